"""How a prediction forms along the residual stream, and what that says of its certainty (arXiv 2412.05768).

Brothers, Mannering, Tien and Winder: the cross-entropy of the emitted token falls from layer to layer, faster and
lower where the model is certain; so it tells correct completions of idioms from incorrect ones.
"""

from typing import Any

import numpy as np
import torch

import plogp as pl
from plogp.papers.claim import Result, claim

SLUG = "residual_cross_entropy"
WORDS, PHRASES, LENGTH, DEPTH = 300, 200, 5, 4


def _model(seed: int) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        n_layer=DEPTH,
        n_embd=64,
        n_head=4,
        vocab_size=WORDS,
        n_positions=16,
        bos_token_id=None,
        eos_token_id=None,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config)


def _idioms(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Phrases of five words; every fourth has three equally likely endings: (phrases, 5) and (phrases, 3) endings."""
    phrases = rng.integers(0, WORDS, (PHRASES, LENGTH))
    endings = np.repeat(phrases[:, -1:], 3, axis=1)
    endings[::4] = rng.integers(0, WORDS, (len(endings[::4]), 3))
    return phrases, endings


def _drawn(phrases: np.ndarray, endings: np.ndarray, which: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    rows = phrases[which].copy()
    rows[:, -1] = endings[which, rng.integers(0, 3, len(which))]
    return torch.as_tensor(rows)


def _trained(seed: int) -> tuple[Any, np.ndarray, np.ndarray, np.random.Generator]:
    """A model that has read the idioms for 400 steps, with one word in twenty replaced by another."""
    rng = np.random.default_rng(seed)
    phrases, endings = _idioms(rng)
    model = _model(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(400):
        ids = _drawn(phrases, endings, rng.integers(0, PHRASES, 64), rng)
        noise = torch.as_tensor(rng.random(ids.shape) < 0.05)
        ids = torch.where(noise, torch.as_tensor(rng.integers(0, WORDS, tuple(ids.shape))), ids)
        model(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, phrases, endings, rng


@claim(SLUG, kind="exact")
def last_layer_is_the_output(seed: int = 0) -> Result:
    """The residual cross-entropy of the last layer is the model's own -log probability, left-padded or not."""
    model = _model(seed).double()
    ids = torch.randint(WORDS, (6, 9), generator=torch.Generator().manual_seed(seed))
    trace = pl.trace.residual_lens(model, ids, target=7)
    padded = torch.cat([torch.zeros(6, 4, dtype=torch.long), ids], 1)
    mask = torch.cat([torch.zeros(6, 4), torch.ones(6, 9)], 1)
    again = pl.trace.residual_lens(model, padded, target=7, attention_mask=mask)
    with torch.no_grad():
        own = -model(ids).logits[:, -1].log_softmax(-1)[:, 7].numpy()
    gap = max(float(np.abs(t.output_ce - own).max()) for t in (trace, again))
    return Result(gap, 0.0, "largest difference <= 1e-9 nats", gap <= 1e-9, unit="nats")


@claim(SLUG, kind="exact")
def idle_layers_change_nothing(seed: int = 0) -> Result:
    """A layer that adds 0 leaves the cross-entropy as it was; where all do, it is the same at every depth."""
    model = _model(seed).double()
    ids = torch.randint(WORDS, (6, 9), generator=torch.Generator().manual_seed(seed))
    gaps, moved = [], []
    for idle in ([1], [0, 1, 2, 3]):
        for i in idle:
            for part in (model.transformer.h[i].attn.c_proj, model.transformer.h[i].mlp.c_proj):
                torch.nn.init.zeros_(part.weight)
                torch.nn.init.zeros_(part.bias)
        ce = pl.trace.residual_lens(model, ids, target=7).ce
        gaps += [float(np.abs(ce[i + 1] - ce[i]).max()) for i in idle]
        moved += [float(np.abs(ce[i + 1] - ce[i]).max()) for i in range(DEPTH) if i not in idle]
    passed = max(gaps) <= 1e-10 and min(moved) > 1e-6
    return Result(max(gaps), 0.0, "change over an idle layer <= 1e-10 nats, over others > 1e-6", passed, unit="nats")


@claim(SLUG, kind="directional", slow=True)
def certainty_grows_with_depth(seed: int = 0) -> Result:
    """On learnt idioms CE falls from layer to layer, finds the wrong completions, and ambiguous ones settle later."""
    curves, areas, depths = [], [], []
    for s in range(3):
        model, phrases, endings, rng = _trained(10 * seed + s)
        ids = _drawn(phrases, endings, np.tile(np.arange(PHRASES), 3), rng)
        trace = pl.trace.residual_lens(model, ids[:, :-1])
        curves.append(trace.ce.mean(axis=1))
        correct = trace.target == ids[:, -1].numpy()
        scorer = pl.text.residual_cross_entropy(model)
        areas.append(scorer.auc(ids[:, :-1].tolist(), correct))
        ambiguous = np.tile(np.arange(PHRASES) % 4 == 0, 3)
        depths.append([float(trace.settle_depth[ambiguous].mean()), float(trace.settle_depth[~ambiguous].mean())])
    falls = [int(np.sum(np.diff(c[1:]) > 0.02 * c[1:-1])) for c in curves]
    later = sum(a > b for a, b in depths)
    values = [a.value for a in areas]
    passed = max(falls) == 0 and min(values) > 0.8 and later == 3
    return Result(
        {"AUC": values, "settling depth (ambiguous, fixed)": depths, "CE by layer": np.mean(curves, axis=0)},
        {"AUC above": 0.8, "the paper's, GPT-2 XL": 0.9239},
        "CE rises by more than 2 % at no layer after the first, AUC > 0.8, ambiguous phrases settle later; 3/3 seeds",
        bool(passed),
        unit="nats",
        details={"AUC standard errors": [a.se for a in areas], "rises": falls, "seeds where later": later},
        series={
            "x": list(range(DEPTH + 1)),
            "curves": {f"seed {s}": c for s, c in enumerate(curves)},
            "xlabel": "layer (0: embeddings)",
            "ylabel": "cross-entropy of the emitted token (nats)",
        },
    )
