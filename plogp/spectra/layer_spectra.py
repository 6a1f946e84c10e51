"""The table of the spectra before and after each MLP's nonlinearity."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from plogp.spectra.spectrum import Spectrum

__all__ = ["COLUMNS", "METRICS", "FFNSpectra", "LayerSpectra", "figure"]

METRICS = ("se_pre", "se_post", "pr_pre", "pr_post", "eee_pre", "eee_post", "js", "pr_gain", "delta_eee")


@dataclass(frozen=True)
class LayerSpectra:
    """The spectra of one MLP before and after its nonlinearity, and the numbers read from them.

    ``se`` is the spectral entropy (nats), ``pr`` the participation ratio, ``eee`` the eigenvalue early enrichment,
    ``js`` the Jensen-Shannon divergence of the two spectra (nats), ``pr_gain`` is pr_post / pr_pre, ``delta_eee`` is
    eee_post - eee_pre (negative: the spectrum became flatter). All are NaN where activations do not vary at all.
    """

    layer: int
    name: str
    n: int
    width: int
    se_pre: float
    se_post: float
    pr_pre: float
    pr_post: float
    eee_pre: float
    eee_post: float
    js: float
    pr_gain: float
    delta_eee: float
    pre: Spectrum = field(repr=False, compare=False)
    post: Spectrum = field(repr=False, compare=False)

    @classmethod
    def of(cls, layer: int, name: str, n: int, pre: Spectrum, post: Spectrum) -> LayerSpectra:
        """Read the numbers off the two spectra."""
        (se0, pr0, eee0), (se1, pr1, eee1) = _numbers(pre), _numbers(post)
        js = math.nan if math.isnan(se0 + se1) else float(pre.js(post))
        width = int(pre.values.shape[-1])
        return cls(layer, name, n, width, se0, se1, pr0, pr1, eee0, eee1, js, pr1 / pr0, eee1 - eee0, pre, post)


def _numbers(spectrum: Spectrum) -> tuple[float, float, float]:
    if not float(spectrum.values.sum()) > 0:
        return math.nan, math.nan, math.nan
    return float(spectrum.entropy()), float(spectrum.participation_ratio), float(spectrum.eee())


@dataclass(frozen=True, eq=False, repr=False)
class FFNSpectra:
    """What `ffn_spectra` returns: one `LayerSpectra` a layer.

    Iterates over the rows; ``table["se_pre"]`` is a column, ``table[3]`` the fourth row.
    """

    rows: tuple[LayerSpectra, ...]
    architecture: str
    step: int | None = None

    def __iter__(self) -> Iterator[LayerSpectra]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, str):
            if key not in COLUMNS:
                raise KeyError(f"no column {key!r}; there are {', '.join(COLUMNS)}")
            return np.array([getattr(row, key) for row in self.rows])
        return self.rows[key]

    def mean(self) -> dict[str, float]:
        """Return the mean of each metric over the layers."""
        return {name: float(self[name].mean()) for name in METRICS}

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return one flat record a layer (without the spectra), with the training step where there is one."""
        step = {} if self.step is None else {"step": self.step}
        return [step | {name: getattr(row, name) for name in COLUMNS} for row in self.rows]

    def plot(self, axes: Any = None) -> Any:
        """Draw SE, PR, EEE (before and after) and JS over the layers; returns the four axes. Needs matplotlib."""
        axes = figure(4) if axes is None else axes
        layers = self["layer"]
        for ax, name, label in zip(axes, ("se", "pr", "eee"), ("spectral entropy", "participation ratio", "EEE")):
            ax.plot(layers, self[f"{name}_pre"], marker=".", label="before the nonlinearity")
            ax.plot(layers, self[f"{name}_post"], marker=".", label="after")
            ax.set_ylabel(f"{label} (nats)" if name == "se" else label)
        axes[3].plot(layers, self["js"], marker=".", color="tab:green")
        axes[3].set_ylabel("JS (nats)")
        axes[0].legend()
        for ax in axes:
            ax.set_xlabel("layer")
        return axes

    def __repr__(self) -> str:
        where = "" if self.step is None else f", step {self.step}"
        tokens = f"{self.rows[0].n:,} tokens, width {self.rows[0].width}" if self.rows else "no layers"
        lines = [["layer", *(name.replace("_", " ") for name in METRICS)]]
        lines += [[str(row.layer), *(f"{getattr(row, name):.3g}" for name in METRICS)] for row in self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        body = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths)) for line in lines]
        return "\n".join([f"MLP spectra of {self.architecture} ({tokens}{where})", *body])


#: The columns of the table: the fields that are numbers or text.
COLUMNS = tuple(f.name for f in fields(LayerSpectra) if f.repr)


def figure(panels: int) -> Any:
    """Return the axes of a figure of panels side by side."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
    return np.atleast_1d(plt.subplots(1, panels, figsize=(4 * panels, 3.2), layout="constrained")[1])
