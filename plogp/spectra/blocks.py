"""How much each block of a transformer adds to the entropy of its residual stream (EntroDrop)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from plogp.measures import Estimate
from plogp.spectra.sample_entropies import FLOOR, METHODS, SAMPLE_ENTROPIES, gaussian_log_det
from plogp.spectra.streaming import CovarianceAccumulator
from plogp.trace.architectures import Architecture, architecture
from plogp.trace.hooks import capture
from plogp.trace.passes import as_batches, evaluating, forward, shown

__all__ = ["BLOCKS", "METHODS", "BlockEntropy", "BlockRow", "block_entropy"]

Tensor = Any

BLOCKS = ("attention", "mlp", "layer")


@dataclass(frozen=True)
class BlockRow:
    """One block: the entropies of the residual stream before and after it (nats), and how they differ.

    ``gain`` is h_out - h_in, averaged over the samples, with its standard error over them. ``growth`` is the part of
    it that a mere growth of the stream by a factor s would make, d log s. ``cosine`` is 1 - the mean cosine between a
    token's row before and after, the usual measure of importance.
    """

    layer: int
    name: str
    gain: Estimate
    h_in: float
    h_out: float
    growth: float
    cosine: float
    n_tokens: int


@dataclass(frozen=True, eq=False, repr=False)
class BlockEntropy:
    """What `block_entropy` returns: one `BlockRow` a block.

    Iterates over the rows; ``table["gain"]`` is a column, ``table[3]`` the fourth row.
    """

    rows: tuple[BlockRow, ...]
    block: str
    method: str
    architecture: str

    def __iter__(self) -> Iterator[BlockRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, str):
            if key not in BlockRow.__dataclass_fields__:
                raise KeyError(f"no column {key!r}; there are {', '.join(BlockRow.__dataclass_fields__)}")
            column = [getattr(row, key) for row in self.rows]
            return np.array([float(v) for v in column] if key == "gain" else column)
        return self.rows[key]

    @property
    def increase_from(self) -> int:
        """The block at whose input the entropy is lowest: from there on it increases on the whole.

        The paper prunes in this stage only; `ranking` protects a fixed number of first blocks, as its code does.
        """
        return int(np.argmin(self["h_in"]))

    def ranking(self, method: str = "entropy", protect: tuple[int, int] = (2, 1)) -> list[int]:
        """Return block numbers in the order in which to drop them: least gain (or cosine importance) first.

        Parameters
        ----------
        method : {"entropy", "cosine"}
        protect : (int, int)
            How many first and last blocks never to drop.
        """
        if method not in ("entropy", "cosine"):
            raise ValueError(f"method must be 'entropy' or 'cosine', got {method!r}")
        scores = self["gain" if method == "entropy" else "cosine"]
        return sorted(droppable(len(self), protect), key=lambda i: (scores[i], i))

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return one flat record a block; the gain with its standard error."""
        names = [n for n in BlockRow.__dataclass_fields__ if n != "gain"]
        return [
            {n: getattr(row, n) for n in names[:2]}
            | {"gain": row.gain.value, "gain_se": row.gain.se}
            | {n: getattr(row, n) for n in names[2:]}
            for row in self.rows
        ]

    def plot(self, ax: Any = None) -> Any:
        """Draw the gain of each block with its 95 % interval. Needs matplotlib."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        ax = plt.subplots()[1] if ax is None else ax
        reach = [0.0 if row.gain.se is None else 1.96 * row.gain.se for row in self.rows]
        ax.bar(self["layer"], self["gain"], yerr=reach, label="gain", color="tab:blue", alpha=0.8, capsize=2)
        ax.plot(self["layer"], self["growth"], "k.", label="of it by growth of the stream")
        ax.axhline(0.0, color="black", linewidth=0.6)
        ax.set_xlabel(f"{self.block} block")
        ax.set_ylabel("entropy gain (nats)")
        ax.set_title(self.method)
        ax.legend()
        return ax

    def __repr__(self) -> str:
        lines = [["layer", "gain", "se", "h in", "h out", "growth", "cosine"]]
        for row in self.rows:
            se = "" if row.gain.se is None else f"{row.gain.se:.2g}"
            rest = (row.h_in, row.h_out, row.growth, row.cosine)
            lines.append([str(row.layer), f"{row.gain.value:.4g}", se, *(f"{v:.4g}" for v in rest)])
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        body = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths)) for line in lines]
        title = f"entropy gain of the {self.block} blocks of {self.architecture}, {self.method}"
        return "\n".join([title, *body])


def droppable(depth: int, protect: tuple[int, int]) -> list[int]:
    """Return the blocks that `protect` leaves.

    >>> droppable(6, (2, 1))
    [2, 3, 4]
    """
    first, last = protect
    for count in (first, last):
        if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 0:
            raise ValueError(f"protect must be two numbers of blocks, first and last, of at least 0, got {protect!r}")
    return list(range(first, max(first, depth - last)))


# ------------------------------------------------------------------------------------------------ the table


@dataclass(eq=False)
class _Sums:
    """What has been seen of one block."""

    h_in: list[float] = field(default_factory=list)
    h_out: list[float] = field(default_factory=list)
    growth: list[float] = field(default_factory=list)
    cosine: float = 0.0
    tokens: int = 0
    into: CovarianceAccumulator | None = None
    out: CovarianceAccumulator | None = None


def block_entropy(
    model: Any,
    batches: Any,
    block: str = "attention",
    method: str = "knn",
    *,
    k: int = 25,
    bins: int = 20,
    alpha: float = 4.0,
    normalize: bool = False,
    mask: Any = None,
    progress: bool = False,
) -> BlockEntropy:
    r"""Measure how much each block of a transformer adds to the entropy of its residual stream.

    For a block Y = X + f(X) the gain is :math:`\Delta H = H(Y) - H(X)`, H of the token rows of one calibration sample
    (a sequence), averaged over samples. Blocks with the smallest gain are dropped first
    (`plogp.adapt.prune_blocks`). Entropies by neighbours do not change under rotations, so a block that only
    rotates the stream counts as redundant; its cosine importance is high.

    Parameters
    ----------
    model : torch.nn.Module
        A transformer that `plogp.trace.architecture` knows; run in evaluation mode without gradient.
    batches : tensor, mapping or iterable
        Token ids of shape (samples, tokens), a mapping of the model's arguments, or an iterable of these.
    block : {"attention", "mlp", "layer"}
    method : {"knn", "bucket", "renyi", "gaussian"}
        Distance to the k-th neighbour; sum of histogram entropies of the dimensions (does not see their dependence,
        nor a change of scale); a Gaussian-kernel Rényi entropy of standardised dimensions; normal law of the
        covariance of all tokens together (no standard error; needs more tokens than dimensions).
    k, bins, alpha
        Neighbours, bins a dimension, Rényi order. The paper's values are the defaults.
    normalize : bool
        Scale each row to root mean square 1 first. By neighbours a stream that grows by s gains d log s without
        carrying anything more (see the column ``growth``); this takes it out.
    mask : tensor, optional
        Which tokens count, shape (samples, tokens), for `batches` that are one batch; by default each batch's
        ``attention_mask``, or all tokens.
    progress : bool
        Show a bar.

    Returns
    -------
    BlockEntropy
        One row a block. The gain is an `Estimate` whose error is over samples: it says how the ranking would
        vary with other calibration texts, not how far the entropies are off (in hundreds of dimensions and with
        hundreds of tokens they are far off; only their order is used).

    Raises
    ------
    ValueError
        For an unknown architecture, block or method, a part that the architecture does not name, samples of k
        tokens or fewer, or NaN.

    Notes
    -----
    The distances are exact differences here; the reference code expands them into products, which loses small ones.
    log n and log k stand where Kozachenko and Leonenko have digammas, and 1e-10 is added to each distance, as in
    the paper: repeated rows (equal tokens before the first attention, where positions enter later) weigh -23 d each.

    Source: L. Yang et al. (2025), arXiv 2504.03794. Cosine importance: X. Men et al. (2024), arXiv 2403.03853.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> sizes = dict(hidden_size=16, intermediate_size=24, num_attention_heads=2, vocab_size=50)
    >>> model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=4, **sizes))
    >>> ids = torch.randint(50, (4, 40), generator=torch.Generator().manual_seed(0))
    >>> table = block_entropy(model, ids, k=5)
    >>> len(table), table[0].n_tokens, table[2].gain.n
    (4, 160, 4)
    >>> sorted(table.ranking(protect=(1, 1)))
    [1, 2]
    """
    if block not in BLOCKS:
        raise ValueError(f"block must be one of {', '.join(map(repr, BLOCKS))}, got {block!r}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}, got {method!r}")
    for label, value in (("k", k), ("bins", bins)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{label} must be a whole number of at least 1, got {value!r}")
    if not (0 < alpha < math.inf) or alpha == 1:
        raise ValueError(f"alpha must be a positive order other than 1, got {alpha!r}")
    arch = architecture(model)
    sums = [_Sums() for _ in arch.blocks]
    now: dict[str, Any] = {}
    per_sample = SAMPLE_ENTROPIES.get(method)
    entropies = None if per_sample is None else lambda x: per_sample(x, k, bins, alpha)

    def measure(layer: int, x: Tensor, y: Tensor) -> None:
        shape = max(x.shape, y.shape, key=len)
        x, y = x.reshape(shape), y.reshape(shape)
        if x.ndim == 2:
            x, y = x[None], y[None]
        keep = now["mask"]
        if keep is not None and tuple(keep.shape) != tuple(x.shape[:2]):
            raise ValueError(f"mask has shape {tuple(keep.shape)}; expected (samples, tokens) = {tuple(x.shape[:2])}")
        for i in range(len(x)):
            rows = slice(None) if keep is None else keep[i].to(x.device)
            _add(sums[layer], _single(x[i][rows]), _single(y[i][rows]), entropies, normalize)

    with evaluating(arch.model), ExitStack() as stack:
        for layer in range(len(arch.blocks)):
            _tap(stack, arch, block, layer, measure)
        for batch in shown(as_batches(batches, "batches"), progress, "calibration"):
            now["mask"] = _mask_of(batch, mask)
            forward(arch.model, batch)
    label = {"knn": f"knn(k={k})", "bucket": f"bucket(bins={bins})", "renyi": f"renyi({alpha:g})"}.get(method, method)
    label += ", rows normalized" if normalize else ""
    sample = object()
    rows = (_row(i, arch.names[i], s, label, sample) for i, s in enumerate(sums))
    return BlockEntropy(tuple(rows), block, label, arch.name)


def _tap(
    stack: ExitStack, arch: Architecture, block: str, layer: int, measure: Callable[[int, Tensor, Tensor], None]
) -> None:
    """Put hooks where the residual stream enters and leaves one block."""
    held: list[Tensor] = []
    (start, start_at), (end, end_at), branch = _ends(arch, block, layer)

    def leave(name: str, y: Tensor) -> None:
        x = held.pop().to(y.device)
        measure(layer, x, x + y.reshape(x.shape) if branch else y)

    stack.enter_context(capture(arch.model, start, where=start_at, reduce=lambda name, x: held.append(x)))
    stack.enter_context(capture(arch.model, end, where=end_at, reduce=leave))


def _ends(arch: Architecture, block: str, layer: int) -> tuple[tuple[Any, str], tuple[Any, str], bool]:
    """Return where X and Y stand, and whether Y is the branch alone, to which X is to be added."""
    whole = arch.blocks[layer]
    into = (whole, "input")
    if block == "layer":
        return into, (whole, "output"), False
    part = part_of(arch, block)
    if arch.parallel:
        return into, (part[layer], "output"), True
    if arch.post_norm:
        # The norm behind attention closes the sub-block; in BERT it is inside the attention module.
        middle = ((arch.attention_norm or part_of(arch, "attention"))[layer], "output")
    else:
        if arch.mlp_norm is None:
            raise ValueError(
                f"architecture {arch.name!r} does not say which norm reads the residual stream before the MLP; name it "
                "with mlp_norm= in plogp.trace.register_architecture, or measure block='layer'"
            )
        middle = (arch.mlp_norm[layer], "input")
    return (into, middle, False) if block == "attention" else (middle, (whole, "output"), False)


def part_of(arch: Architecture, block: str) -> Sequence[Any]:
    """Return the attention modules or the MLPs of a model, or say that the architecture does not name them."""
    part: Sequence[Any] | None = arch.attention if block == "attention" else arch.mlp or arch.up
    if part is None or (arch.parallel and block == "mlp" and arch.mlp is None):
        raise ValueError(
            f"architecture {arch.name!r} does not say where its {block} modules are; name them with {block}= in "
            "plogp.trace.register_architecture"
        )
    return part


def _add(sums: _Sums, x: Tensor, y: Tensor, entropies: Callable[[Tensor], float] | None, normalize: bool) -> None:
    """Add one sample."""
    sums.tokens += len(x)
    sums.cosine += float(torch.nn.functional.cosine_similarity(x, y, dim=-1).sum())
    size_in, size_out = (float(v.double().square().mean().sqrt()) for v in (x, y))
    sums.growth.append(x.shape[-1] * (math.log(size_out) - math.log(size_in)) if size_in and size_out else math.nan)
    if normalize:
        x, y = (v / v.square().mean(-1, keepdim=True).sqrt().clamp_min(FLOOR) for v in (x, y))
    if entropies is None:
        if sums.into is None or sums.out is None:
            sums.into, sums.out = (CovarianceAccumulator(x.shape[-1]) for _ in range(2))
        sums.into.update(x)
        sums.out.update(y)
        return
    sums.h_in.append(entropies(x))
    sums.h_out.append(entropies(y))


def _row(layer: int, name: str, sums: _Sums, method: str, sample: object) -> BlockRow:
    cosine, growth = 1.0 - sums.cosine / sums.tokens, float(np.mean(sums.growth))
    if sums.into is not None and sums.out is not None:
        h_in, h_out = (gaussian_log_det(acc.spectrum()) for acc in (sums.into, sums.out))
        note = {"no_interval": "one value from all tokens together"}
        gain = Estimate(h_out - h_in, None, sums.tokens, method, diagnostics=note)
    else:
        terms = np.subtract(sums.h_out, sums.h_in)
        h_in, h_out = float(np.mean(sums.h_in)), float(np.mean(sums.h_out))
        n = len(terms)
        se = float(np.std(terms, ddof=1)) / math.sqrt(n) if n > 1 else None
        notes = {} if n > 1 else {"no_interval": "one sample only"}
        gain = Estimate(float(terms.mean()), se, n, method, terms=terms, sample=sample, diagnostics=notes)
    return BlockRow(layer, name, gain, h_in, h_out, growth, cosine, sums.tokens)


def _single(x: Tensor) -> Tensor:
    """Raise half precision to single."""
    return x.float() if x.dtype.itemsize < 4 else x


def _mask_of(batch: Any, mask: Any) -> Tensor | None:
    if mask is None:
        batch = batch[0] if isinstance(batch, (tuple, list)) and batch else batch
        mask = batch.get("attention_mask") if isinstance(batch, Mapping) else None
    return None if mask is None else torch.as_tensor(mask).bool()
