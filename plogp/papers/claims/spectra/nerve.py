"""Eigenspectra before and after the nonlinearity of a transformer's MLPs (Jha and Reagen, arXiv 2603.06922).

The paper: the nonlinearity puts variance back into directions that had little (entropy and participation ratio rise,
early enrichment falls), and the spectra before it follow the evaluation loss through training.
"""

from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
import torch

import plogp as pl
from plogp.papers.claim import Result, claim

SLUG = "nerve"
CONTEXT = 64


def corpus() -> tuple[torch.Tensor, torch.Tensor, int]:
    """The dataset descriptions that come with scikit-learn, as character numbers: training part, rest, alphabet."""
    found = sorted(f.name for f in files("sklearn.datasets.descr").iterdir() if f.name.endswith(".rst"))
    text = "".join((files("sklearn.datasets.descr") / name).read_text("utf-8") for name in found)
    letters = sorted(set(text))
    ids = torch.tensor([letters.index(c) for c in text])
    cut = len(ids) * 9 // 10
    return ids[:cut], ids[cut:], len(letters)


def windows(ids: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """Random pieces of CONTEXT characters, shape (count, CONTEXT)."""
    start = torch.randint(len(ids) - CONTEXT, (count, 1), generator=generator)
    return ids[start + torch.arange(CONTEXT)]


def character_model(layers: int, alphabet: int, seed: int) -> Any:
    """A small GPT-2, untrained."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        n_layer=layers,
        n_embd=64,
        n_head=4,
        vocab_size=alphabet,
        n_positions=CONTEXT,
        bos_token_id=None,
        eos_token_id=None,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config)


@torch.no_grad()
def loss_of(model: Any, ids: torch.Tensor) -> float:
    """Mean cross-entropy in nats a character."""
    model.eval()
    loss = float(model(ids, labels=ids).loss)
    model.train()
    return loss


def train(
    model: Any, ids: torch.Tensor, steps: int, seed: int, after_step: Callable[[int], None] | None = None
) -> None:
    """Train on random windows with AdamW."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(1, steps + 1):
        batch = windows(ids, 16, generator)
        model(batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if after_step is not None:
            after_step(step)


@claim(SLUG, kind="exact")
def ends_of_the_scales(seed: int = 0) -> Result:
    """Equal eigenvalues have SE = log D, PR = D, EEE = 0; a single one 0, 1, 1 - 1/D; scale changes nothing."""
    worst = 0.0
    for d in (2, 16, 256):
        even, one = (pl.spectra.Spectrum.from_values(v) for v in (np.ones(d), np.eye(d)[0]))
        gaps = [even.entropy() - np.log(d), even.participation_ratio / d - 1, even.eee()]
        gaps += [one.entropy(), one.participation_ratio - 1, one.eee() - (1 - 1 / d)]
        values = np.random.default_rng(seed).exponential(size=d)
        s, scaled = (pl.spectra.Spectrum.from_values(v) for v in (values, 1e6 * values))
        gaps += [s.entropy() - scaled.entropy(), s.eee() - scaled.eee(), s.js(scaled)]
        worst = max(worst, float(np.abs(gaps).max()))
    return Result(worst, 0.0, "largest deviation <= 1e-10", worst <= 1e-10)


@claim(SLUG, kind="exact")
def streaming_is_exact(seed: int = 0) -> Result:
    """Spectra from batches, in any split, are those of all tokens at once."""
    train_ids, _, alphabet = corpus()
    model = character_model(2, alphabet, seed).double()
    ids = windows(train_ids, 24, torch.Generator().manual_seed(seed))
    whole = pl.spectra.ffn_spectra(model, ids)
    parts = pl.spectra.ffn_spectra(model, [ids[:1], ids[1:9], ids[9:]], at_once=1)
    names = ("se_pre", "se_post", "pr_pre", "pr_post", "eee_pre", "eee_post", "js")
    worst = max(float(np.abs(whole[n] / parts[n] - 1).max()) for n in names)
    return Result(worst, 0.0, "largest relative difference <= 1e-9", worst <= 1e-9)


@claim(SLUG, kind="directional")
def the_nonlinearity_spreads_variance(seed: int = 0) -> Result:
    """On normal pre-activations with λ_i ~ i^(-1.5), ReLU and GELU raise SE and PR and lower EEE; the identity not."""
    d, n = 256, 8192
    acts = {"relu": torch.relu, "gelu": torch.nn.functional.gelu, "identity": lambda h: h}
    measured: dict[str, list[list[float]]] = {name: [] for name in acts}
    for s in range(3):
        rng = np.random.default_rng(10 * seed + s)
        values = np.arange(1, d + 1) ** -1.5
        basis, _ = np.linalg.qr(rng.normal(size=(d, d)))
        pre = torch.as_tensor(rng.normal(size=(n, d)) * np.sqrt(d * values / values.sum()) @ basis.T)
        before = pl.spectra.Spectrum.covariance(pre)
        for name, act in acts.items():
            after = pl.spectra.Spectrum.covariance(act(pre))
            row = [f(x) for f in (_se, _pr, _eee) for x in (before, after)]
            measured[name].append([*row, float(before.js(after))])
    mean = {name: np.mean(rows, axis=0) for name, rows in measured.items()}
    expected = {
        "relu": [2.70, 3.50, 5.0, 8.8, 0.91, 0.80],
        "gelu": [2.70, 3.49, 5.0, 9.0, 0.91, 0.81],
    }
    near = all(np.all(np.abs(mean[k][:6] / np.array(v) - 1) <= 0.1) for k, v in expected.items())
    directions = all(r[1] > r[0] and r[3] > r[2] and r[5] < r[4] and r[6] > 0 for k in expected for r in measured[k])
    unchanged = max(abs(r[6]) for r in measured["identity"]) <= 1e-12
    return Result(
        {k: v.round(4) for k, v in mean.items()},
        expected,
        "SE and PR rise and EEE falls in all seeds, means within 10 %, identity unchanged (JS <= 1e-12)",
        bool(near and directions and unchanged),
        unit="nats",
        details={"order": "SE before, after, PR before, after, EEE before, after, JS", "d": d, "n": n, "seeds": 3},
    )


def _se(s: pl.spectra.Spectrum) -> float:
    return float(s.entropy())


def _pr(s: pl.spectra.Spectrum) -> float:
    return float(s.participation_ratio)


def _eee(s: pl.spectra.Spectrum) -> float:
    return float(s.eee())


@claim(SLUG, kind="directional", slow=True)
def spectra_follow_the_loss(seed: int = 0) -> Result:
    """Over the checkpoints of a small GPT-2 on characters, SE or PR before the nonlinearity follows the loss."""
    train_ids, held_out, alphabet = corpus()
    correlations: dict[str, list[float]] = {"se_pre": [], "pr_pre": []}
    untrained: dict[str, list[float]] = {"se_pre": [], "pr_pre": []}
    curves: dict[str, list[float]] = {}
    for s in range(3):
        model = character_model(2, alphabet, 10 * seed + s)
        ids = windows(held_out, 48, torch.Generator().manual_seed(s))
        callback = pl.spectra.FFNSpectrumCallback(every=20)
        losses: list[float] = []

        def record(
            step: int, model: Any = model, ids: Any = ids, callback: Any = callback, losses: Any = losses
        ) -> None:
            if callback(step, model, ids) is not None:
                losses.append(loss_of(model, ids))

        train(model, train_ids, 300, s, record)
        for name, found in correlations.items():
            _, curve = callback.curve(name)
            found.append(float(np.corrcoef(curve.mean(axis=1)[1:], losses[1:])[0, 1]))
            untrained[name].append(float(np.corrcoef(curve.mean(axis=1), losses)[0, 1]))
        steps, entropies = callback.curve("se_pre")
        curves = {"loss": losses, "SE before": entropies.mean(axis=1).tolist()}
    best = max(float(np.abs(c).min()) for c in correlations.values())
    from_start = max(float(np.abs(c).min()) for c in untrained.values())
    return Result(
        best,
        {"above": 0.7},
        "|Pearson correlation| of SE or PR before the nonlinearity with the loss, steps 20 to 300, > 0.7 in 3/3 seeds",
        best > 0.7,
        details={"correlations": correlations, "with step 1": untrained, "steps": 300, "the paper's": "above 0.97"},
        series={"x": steps, "curves": curves, "xlabel": "step", "ylabel": "nats"},
        note="The untrained network is left out: its spectrum is nearly white and collapses within 20 steps, before "
        f"the rise that goes with the falling loss. With it the same figure is {from_start:.2f}.",
    )
