"""The published MIST network (package `mist-statinf`), read from its weights and run without that package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - PyTorch's own name for it
from torch import Tensor

from plogp.estimate.mist import LEVELS, ONE_SIGMA, Quantiles
from plogp.estimate.samples import as_samples, check_same_length
from plogp.measures.uncertainty import Estimate

__all__ = ["PublishedMIST", "convert"]

#: What stands before the names of the weights, in the files of the hub and of the trainer.
PREFIXES = ("core.", "msm.", "")


@dataclass(frozen=True)
class PublishedMIST:
    """The published network: row embedding, attention between rows, induced attention, pooling, decoder, head.

    Parameters
    ----------
    weights : mapping of str to tensor
        By the names of the original, without a prefix.
    heads : int
        Attention heads (the weights do not tell).
    activation : {"gelu", "relu"}
        Of the attention blocks.

    Notes
    -----
    G. Gritsai, M. Richards, M. Méloux, K. Cho and M. Peyrard, 2025, arXiv 2511.18945. Where a row sums to exactly 0
    the original takes it for padding in one of its blocks; here every row counts.
    """

    weights: Mapping[str, Tensor]
    heads: int
    activation: str = "gelu"

    @property
    def columns(self) -> int:
        """Columns of x and y together that the network takes."""
        return int(self.weights["phi.embedding_mlp.0.weight"].shape[1])

    @property
    def quantile_conditioned(self) -> bool:
        """Whether it answers for a level τ; otherwise it gives a point."""
        width = self.weights["phi.output_layer.weight"].shape[0]
        return int(self.weights["rho.0.weight"].shape[1]) == int(width) + 1

    def __call__(self, rows: Tensor, tau: Tensor | None = None) -> Tensor:
        """Return the answer for data sets ``(B, n, columns)`` at levels ``(B, 1)``, shape (B, 1)."""
        if (tau is None) == self.quantile_conditioned:
            raise ValueError("tau must be given for weights with quantiles, and only for them")
        h = self._normed(F.gelu(self._linear(rows, "phi.embedding_mlp.0")), "phi.embedding_mlp.2")
        h = self._normed(F.gelu(self._linear(h, "phi.embedding_mlp.4")), "phi.embedding_mlp.6")
        for i in self._numbers("phi.feature_interaction_block.layers."):
            name = f"phi.feature_interaction_block.layers.{i}"
            h = (
                self._block(h, h, f"{name}.mab")
                if f"{name}.mab.norm1.weight" in self.weights
                else self._normed(h, name)
            )
        for i in self._numbers("phi.encoder."):
            found = self._block(self._learned(f"phi.encoder.{i}.i", h), h, f"phi.encoder.{i}.mab0")
            h = self._block(h, found, f"phi.encoder.{i}.mab1")
        h = self._block(self._learned("phi.pooling_pma.s", h), h, "phi.pooling_pma.mab")
        for i in self._numbers("phi.decoder."):
            seeds = f"phi.decoder.{i}.s"
            h = self._block(self._learned(seeds, h) if seeds in self.weights else h, h, f"phi.decoder.{i}.mab")
        out = self._linear(h[:, 0], "phi.output_layer")
        out = out if tau is None else torch.cat([out, tau], dim=1)
        steps = self._numbers("rho.")
        for i in steps:
            out = self._linear(out, f"rho.{i}")
            out = F.relu(out) if i != steps[-1] else out
        return out

    def estimate(self, x: Any, y: Any) -> Estimate:
        """Estimate the mutual information of paired samples, shapes (n,) or (n, d), given to the network as they are.

        With quantiles the value is the median, and the interval and se are read off them as in `MIST`; without, there
        is no interval. In nats; not cut off at 0.

        Raises
        ------
        ValueError
            For more columns together than the network takes, or samples that are not paired.
        """
        x, y = as_samples(x, "x"), as_samples(y, "y")
        n = check_same_length(x=x, y=y)
        rows = np.hstack([x, y])
        if rows.shape[1] > self.columns:
            raise ValueError(f"x and y have {rows.shape[1]} columns together; these weights take {self.columns}")
        like = self.weights["phi.output_layer.weight"]
        given = F.pad(torch.from_numpy(rows)[None].to(like), (0, self.columns - rows.shape[1]))
        method = "mist(published)"
        with torch.no_grad():
            if not self.quantile_conditioned:
                note = {"no_interval": "these weights were trained for a point estimate"}
                return Estimate(float(self(given)), None, n, method, diagnostics=note)
            tau = torch.from_numpy(LEVELS).to(like)[:, None]
            found = torch.cat([self(given, t[None]) for t in tau])
        law = Quantiles(np.sort(found[:, 0].double().cpu().numpy()))
        se = 0.5 * (law.at(0.5 + ONE_SIGMA) - law.at(0.5 - ONE_SIGMA))
        return Estimate(law.at(0.5), se, n, method, law=law)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _normed(self, x: Tensor, name: str) -> Tensor:
        weight = self.weights[f"{name}.weight"]
        return F.layer_norm(x, weight.shape, weight, self.weights[f"{name}.bias"])

    def _learned(self, name: str, like: Tensor) -> Tensor:
        return self.weights[name].expand(len(like), -1, -1)

    def _numbers(self, prefix: str) -> list[int]:
        """The numbers that stand behind a prefix in the names of the weights, in order."""
        return sorted({int(name[len(prefix) :].split(".")[0]) for name in self.weights if name.startswith(prefix)})

    def _block(self, x: Tensor, source: Tensor, name: str) -> Tensor:
        """``LN(h + FF(h))`` of ``h = LN(x + attention(x, source))``."""
        weight, bias = self.weights[f"{name}.mha.in_proj_weight"], self.weights[f"{name}.mha.in_proj_bias"]
        projected = (F.linear(v, w, b) for v, w, b in zip((x, source, source), weight.chunk(3), bias.chunk(3)))
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in projected)
        found = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        h = self._normed(x + self._linear(found, f"{name}.mha.out_proj"), f"{name}.norm1")
        active = F.gelu if self.activation == "gelu" else F.relu
        return self._normed(
            h + self._linear(active(self._linear(h, f"{name}.linear1")), f"{name}.linear2"), f"{name}.norm2"
        )


def convert(
    path: str | Path, *, heads: int | None = None, activation: str | None = None, device: str | torch.device = "cpu"
) -> PublishedMIST:
    """Read the weights of the published network.

    Parameters
    ----------
    path : path
        A safetensors file, or a file of weights alone that ``torch.save`` wrote (it is read without running code, so
        a trainer's checkpoint that holds other objects is refused).
    heads, activation : int, {"gelu", "relu"}, optional
        By default those of the ``config.json`` beside the file, as the hub has it.
    device : str or torch.device
        Where the weights go.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, it holds something else, or the number of heads is not known.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there are no weights at {path}")
    beside = path.with_name("config.json")
    config = json.loads(beside.read_text()) if beside.is_file() else {}
    heads = config.get("n_phi_heads") if heads is None else heads
    activation = str(config.get("phi_activation_fun", "gelu") if activation is None else activation).lower()
    if heads is None:
        raise ValueError("the number of attention heads does not follow from the weights: give heads=")
    if activation not in ("gelu", "relu"):
        raise ValueError(f"activation must be 'gelu' or 'relu', got {activation!r}")
    state = _state(path)
    for prefix in PREFIXES:
        if f"{prefix}phi.output_layer.weight" in state:
            named = {k[len(prefix) :]: v.to(device) for k, v in state.items() if k.startswith(prefix)}
            return PublishedMIST(named, int(heads), activation)
    raise ValueError(f"{path} does not hold the weights of a published MIST network")


def _state(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(str(path)))
        except SafetensorError as error:
            raise ValueError(f"{path} is not a safetensors file") from error
    import pickle

    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} holds objects other than weights; save its state_dict as safetensors first"
        ) from error
    return dict(held.get("state_dict", held))
