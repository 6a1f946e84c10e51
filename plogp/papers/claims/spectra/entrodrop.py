"""Pruning blocks by how much they add to the entropy of the residual stream (Yang et al., arXiv 2504.03794).

The paper: a block that adds little entropy can go; the usual measure, the cosine between a block's input and output,
keeps blocks that only turn the stream.
"""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch

import plogp as pl
from plogp.papers.claim import Result, claim
from plogp.papers.claims.spectra.nerve import character_model, corpus, loss_of, train, windows

SLUG = "entrodrop"
Map = Callable[[torch.Tensor], torch.Tensor]
WIDTH, TOKENS = 8, 200


class Branch(torch.nn.Module):
    """What a block adds to its input."""

    def __init__(self, added: Map):
        super().__init__()
        self.added = added

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.added(x)


class Block(torch.nn.Module):
    """A residual block: the branch in the place of attention, no MLP."""

    def __init__(self, added: Map):
        super().__init__()
        self.attention, self.norm, self.mlp = Branch(added), torch.nn.Identity(), torch.nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x + self.attention(x))


class PlantedStream(torch.nn.Module):
    """Residual blocks one after another."""

    def __init__(self, branches: Sequence[Map]):
        super().__init__()
        self.blocks = torch.nn.ModuleList(Block(b) for b in branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x


pl.trace.register_architecture(
    "PlantedStream",
    blocks="blocks",
    up="mlp",
    down="mlp",
    mlp="mlp",
    attention="attention",
    mlp_norm="norm",
    attention_pair=False,
)


def _rotation(rng: np.random.Generator) -> torch.Tensor:
    return torch.as_tensor(np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0])


def _turn(q: torch.Tensor) -> Map:
    return lambda x: x @ q - x


def _spread(x: torch.Tensor) -> torch.Tensor:
    """Add to each row along itself, more to long ones: a block that adds entropy and commutes with rotations."""
    return 0.3 * x * x.square().mean(-1, keepdim=True).tanh()


@claim(SLUG, kind="exact")
def identity_rotation_and_scale(seed: int = 0) -> Result:
    """By neighbours, the identity and a rotation add no entropy, a scaling by s adds d log s; cosine sees rotations."""
    rng = np.random.default_rng(seed)
    x = torch.as_tensor(rng.normal(size=(4, TOKENS, WIDTH)))
    model = PlantedStream([torch.zeros_like, _turn(_rotation(rng)), lambda x: 2.0 * x])
    table = pl.spectra.block_entropy(model, x)
    gaps = np.abs(table["gain"] - [0.0, 0.0, WIDTH * np.log(3.0)])
    passed = gaps.max() <= 1e-6 and table[0].cosine < 1e-9 and table[1].cosine > 0.5
    return Result(
        {"largest gap": gaps.max(), "cosine importance of the rotation": table[1].cosine},
        {"largest gap": 0.0},
        "gains within 1e-6 nats of 0, 0 and d log s; cosine importance of the rotation > 0.5",
        bool(passed),
        unit="nats",
    )


@claim(SLUG, kind="exact")
def planted_redundancy(seed: int = 0) -> Result:
    """Of 12 blocks, 4 near the identity and 2 rotations rank as redundant by entropy; pruning them costs nothing."""
    rng = np.random.default_rng(seed)
    turns = [_rotation(rng), _rotation(rng)]
    idle = [lambda x: 1e-4 * x.tanh()] * 4
    places = rng.permutation(12)
    branches: list[Map] = [_spread] * 12
    for place, branch in zip(places, [*idle, *map(_turn, turns)]):
        branches[place] = branch
    redundant, rotations = set(places[:6].tolist()), places[4:6].tolist()
    x = torch.as_tensor(rng.normal(size=(8, TOKENS, WIDTH)))
    model = PlantedStream(branches)
    table = pl.spectra.block_entropy(model, x)
    ranked = set(table.ranking(protect=(0, 0))[:6])
    by_cosine = table.ranking("cosine", protect=(0, 0))
    # The six other blocks commute with rotations, so one rotation of the read-out makes up for both that are gone.
    turn = torch.eye(WIDTH, dtype=x.dtype)
    for place in sorted(rotations):
        turn = turn @ turns[rotations.index(place)]
    weight, bias = torch.as_tensor(rng.normal(size=(WIDTH, 10))), 5 * torch.as_tensor(rng.normal(size=10))
    labels = (model(x) @ weight + bias).argmax(-1)
    agreement = {}
    for method, q in (("entropy", turn), ("cosine", torch.eye(WIDTH, dtype=x.dtype))):
        pruned = pl.adapt.prune_blocks(model, table, 6, protect=(0, 0), method=method)
        agreement[method] = float(((pruned(x) @ q @ weight + bias).argmax(-1) == labels).double().mean())
    last = set(by_cosine[-2:]) == set(rotations)
    passed = ranked == redundant and last and agreement["entropy"] > 0.995 > agreement["cosine"]
    return Result(
        {"six redundant first": float(ranked == redundant), "rotations last by cosine": float(last), **agreement},
        {"six redundant first": 1.0, "rotations last by cosine": 1.0, "entropy": 1.0},
        "entropy ranks the six first, cosine the rotations last; labels agree on > 99.5 % after pruning by entropy, "
        "on fewer by cosine",
        bool(passed),
        baseline=agreement["cosine"],
        details={"gains": table["gain"], "cosine": table["cosine"]},
    )


@claim(SLUG, kind="directional", slow=True)
def better_than_chance(seed: int = 0) -> Result:
    """Dropping one or two attention blocks of a six-layer character model by entropy costs less than at random."""
    train_ids, held_out, alphabet = corpus()
    rises: dict[str, list[list[float]]] = {"entropy": [], "cosine": [], "random": []}
    for s in range(3):
        model = character_model(6, alphabet, 10 * seed + s)
        train(model, train_ids, 300, s)
        generator = torch.Generator().manual_seed(s)
        calibration = windows(train_ids, 32, generator)
        ids = windows(held_out, 64, generator)
        table = pl.spectra.block_entropy(model, calibration)
        full = loss_of(model, ids)

        def rise(blocks: Any, model: Any = model, ids: Any = ids, full: float = full) -> float:
            return loss_of(pl.adapt.prune_blocks(model, list(blocks)), ids) - full

        # The expected loss of a random choice, over all choices.
        free = sorted(table.ranking())
        rises["random"].append([float(np.mean([rise(c) for c in combinations(free, n)])) for n in (1, 2)])
        for method in ("entropy", "cosine"):
            order = table.ranking(method)
            rises[method].append([rise(order[:n]) for n in (1, 2)])
    mean = {name: np.mean(v, axis=0) for name, v in rises.items()}
    passed = bool((mean["entropy"] <= mean["random"]).all())
    said = ", ".join(f"{k} {v[0]:.3f} and {v[1]:.3f}" for k, v in mean.items())
    return Result(
        mean["entropy"],
        {"at most": mean["random"]},
        "loss added by dropping 1 and 2 of blocks 2 to 4, mean of 3 seeds, at most that of a random choice",
        passed,
        baseline=mean["random"],
        unit="nats",
        details={"by seed": rises, "cosine": mean["cosine"]},
        reproduced=passed,
        note=f"Loss added by dropping one and two blocks: {said} nats a character.",
    )
