"""The one training loop of this room: rows of any source in mini-batches, a held-out check, the best weights kept."""

from __future__ import annotations

import copy
import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from plogp.estimate.samples import as_array

__all__ = ["MLP", "History", "Rows", "affine", "fit", "generator", "linear", "numpy_generator"]

#: Bytes of float64 that one pass over all rows (`Rows.moments`) may hold at a time.
PASS_BYTES = 32 * 2**20


def generator(rng: Any = None, device: Any = "cpu") -> torch.Generator:
    """Return a PyTorch generator: the one given, or one seeded from a NumPy generator, an int or (None) the system.

    PyTorch's global seed is never read and never set.

    >>> bool((torch.rand(3, generator=generator(0)) == torch.rand(3, generator=generator(0))).all())
    True
    """
    if isinstance(rng, torch.Generator):
        return rng
    seed = int(rng) if isinstance(rng, (int, np.integer)) else int(np.random.default_rng(rng).integers(2**62))
    return torch.Generator(device=device).manual_seed(seed)


def _fresh() -> torch.Generator:
    return generator()


def numpy_generator(rng: Any = None) -> np.random.Generator:
    """Return a NumPy generator from whatever seeds one: a generator of NumPy or PyTorch, an int, or None."""
    if isinstance(rng, torch.Generator):
        return np.random.default_rng(int(torch.randint(2**62, (), generator=rng, device=rng.device)))
    return np.random.default_rng(rng)


def linear(d_in: int, d_out: int, generator: torch.Generator | None = None, device: Any = "cpu") -> nn.Linear:
    """Return a linear layer with PyTorch's usual start, U(-1/√d_in, 1/√d_in), drawn from `generator`."""
    layer = torch.nn.utils.skip_init(nn.Linear, d_in, d_out, device=device)
    g = generator if generator is not None else _fresh()
    half = 1.0 / math.sqrt(d_in)
    with torch.no_grad():
        for weight in (layer.weight, layer.bias):
            weight.copy_(torch.rand(weight.shape, generator=g, device=g.device) * (2 * half) - half)
    return layer


class MLP(nn.Module):
    """A plain fully connected network: `depth` hidden layers of `width` units, then a linear layer.

    Examples
    --------
    >>> MLP(3, 16, 2, generator=generator(0))(torch.zeros(5, 3)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        d_in: int,
        width: int,
        d_out: int,
        depth: int = 2,
        activation: Callable[[], nn.Module] = nn.ReLU,
        *,
        generator: torch.Generator | None = None,
        device: Any = "cpu",
    ):
        super().__init__()
        sizes = [d_in, *[width] * depth, d_out]
        g = generator if generator is not None else _fresh()
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(sizes):
            layers += [linear(a, b, g, device), activation()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Rows:
    """Rows of one or several arrays of equal length, read in mini-batches from wherever they are.

    Arrays, memory maps, PyTorch tensors (on any device) and map-style PyTorch Datasets are left where they are and
    only the rows asked for are read; other sequences become arrays. An item of a Dataset is one row, or a tuple
    with one row for each of several columns of the result. Indices are held (8 bytes a row), the data are not.

    Parameters
    ----------
    *arrays : array, tensor or Dataset, shape (n,) or (n, d); further axes are flattened
    device : torch.device or str, optional
        Where batches go. By default the device of the first tensor, else the CPU.
    dtype : torch.dtype
        Of the batches.

    Attributes
    ----------
    n : int
    dims : tuple of int
        Columns of each array; a 1-D array has one.

    Raises
    ------
    TypeError
        For values that are not real numbers, or an IterableDataset (it has no length to split).
    ValueError
        If there are no rows, or the arrays differ in length; NaN and infinite values are found when read.

    Examples
    --------
    >>> rows = Rows(np.arange(10.0), np.ones((10, 3)))
    >>> rows.n, rows.dims
    (10, (1, 3))
    >>> train, held = rows.split(0.7, rng=0)
    >>> train.n, held.n, [tuple(t.shape) for t in held.take([0, 1])]
    (7, 3, [(2, 1), (2, 3)])
    """

    def __init__(self, *arrays: Any, device: Any = None, dtype: torch.dtype = torch.float32):
        if not arrays:
            raise ValueError("Rows needs at least one array")
        self._sources = [_source(a, f"array {i}") for i, a in enumerate(arrays)]
        lengths = [len(s) for s in self._sources]
        if len(set(lengths)) > 1:
            raise ValueError(f"arrays must be paired row by row, got lengths {lengths}")
        if lengths[0] == 0:
            raise ValueError("the arrays have no rows")
        if device is None:
            device = next((s.device for s in self._sources if isinstance(s, Tensor)), "cpu")
        self.device, self.dtype = torch.device(device), dtype
        self._index: npt.NDArray[np.int64] | None = None
        self._maps: tuple[Callable[[Tensor], Tensor], ...] | None = None
        self.n = lengths[0]
        self.dims: tuple[int, ...] = tuple(t.shape[1] for t in self._read(np.zeros(1, dtype=np.int64)))

    def __len__(self) -> int:
        return self.n

    def subset(self, index: Any) -> Rows:
        """Return the rows at `index` (positions within these rows) as `Rows` of their own; nothing is copied."""
        index = np.asarray(index, dtype=np.int64)
        if index.size == 0:
            raise ValueError("a subset must have at least one row")
        other = copy.copy(self)
        other._index = index if self._index is None else self._index[index]
        other.n = len(index)
        return other

    def split(self, share: float, rng: Any = None) -> tuple[Rows, Rows]:
        """Return a random `share` of the rows, and the others (held out); each has at least one row."""
        if not 0 < share < 1:
            raise ValueError(f"share must lie strictly between 0 and 1, got {share!r}")
        if self.n < 2:
            raise ValueError(f"a split needs at least two rows, got {self.n}")
        order = numpy_generator(rng).permutation(self.n)
        cut = min(max(round(share * self.n), 1), self.n - 1)
        return self.subset(np.sort(order[:cut])), self.subset(np.sort(order[cut:]))

    def take(self, index: Any) -> tuple[Tensor, ...]:
        """Return the rows at `index`, one tensor of shape (len(index), d) for each array.

        Raises
        ------
        ValueError
            If a row holds NaN or infinite values.
        """
        index = np.asarray(index.cpu() if isinstance(index, Tensor) else index, dtype=np.int64)
        rows = index if self._index is None else self._index[index]
        out = []
        for j, t in enumerate(self._read(rows)):
            if self._maps is not None:
                t = self._maps[j](t.to(torch.float32 if t.device.type == "mps" else torch.float64))
            t = t.to(device=self.device, dtype=self.dtype)
            _check_finite(t, j, rows)
            out.append(t)
        return tuple(out)

    def batches(
        self, size: int, rng: Any = None, epochs: int | None = None, drop_last: bool | None = None
    ) -> Iterator[tuple[Tensor, ...]]:
        """Yield shuffled batches of `size` rows (of all rows, if there are fewer), endlessly when `epochs` is None.

        The shorter last batch of an epoch is left out when `drop_last`: by default only in an endless run.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1, got {size}")
        random = numpy_generator(rng)
        size = min(int(size), self.n)
        end = self.n - self.n % size if (epochs is None if drop_last is None else drop_last) else self.n
        epoch = 0
        while epochs is None or epoch < epochs:
            order = random.permutation(self.n)
            for start in range(0, end, size):
                yield self.take(order[start : start + size])
            epoch += 1

    def moments(self) -> list[tuple[Tensor, Tensor]]:
        """Return mean and standard deviation of every column of every array (float64), in one pass over the rows.

        A constant column has standard deviation 1 here, so that it can be divided by.
        """
        size = max(1, PASS_BYTES // (8 * max(sum(self.dims), 1)))
        count = 0
        mean, total = ([torch.zeros(d, dtype=torch.float64) for d in self.dims] for _ in range(2))
        for start in range(0, self.n, size):
            index = np.arange(start, min(start + size, self.n))
            rows = index if self._index is None else self._index[index]
            for j, t in enumerate(self._read(rows)):
                t = t.to(device="cpu", dtype=torch.float64)
                _check_finite(t, j, rows)
                # Chan's update: a batch's mean and sum of squares join the running ones without cancellation.
                own = t.mean(dim=0)
                shift = own - mean[j]
                total[j] += ((t - own) ** 2).sum(dim=0) + shift**2 * (count * len(t) / (count + len(t)))
                mean[j] = mean[j] + shift * (len(t) / (count + len(t)))
            count += len(rows)
        out = []
        for m, s in zip(mean, total):
            sd = torch.sqrt(s / count)
            out.append((m, torch.where(sd > 1e-12 * m.abs(), sd, torch.ones_like(sd))))
        return out

    def mapped(self, *maps: Callable[[Tensor], Tensor]) -> Rows:
        """Return the same rows, each array's passed through its map (from and to shape (n, d), float64) when read."""
        if len(maps) != len(self.dims):
            raise ValueError(f"expected one map for each of {len(self.dims)} arrays, got {len(maps)}")
        other = copy.copy(self)
        other._maps = maps
        return other

    def standardized(self, moments: Sequence[tuple[Tensor, Tensor]] | None = None) -> Rows:
        """Return the same rows, read as (value - mean) / sd with the given moments (by default their own)."""
        given = self.moments() if moments is None else moments
        return self.mapped(*(affine(mean, sd) for mean, sd in given))

    def loaded(self) -> Rows:
        """Return the same rows, read and mapped once and held as tensors on the device."""
        size = max(1, PASS_BYTES // (8 * max(sum(self.dims), 1)))
        parts = [self.take(np.arange(i, min(i + size, self.n))) for i in range(0, self.n, size)]
        return Rows(*(torch.cat(columns) for columns in zip(*parts)), device=self.device, dtype=self.dtype)

    def _read(self, rows: npt.NDArray[np.int64]) -> list[Tensor]:
        """Rows of the sources as they are, each (len(rows), d), in the source's own dtype and place."""
        out: list[Tensor] = []
        for source in self._sources:
            if isinstance(source, Tensor):
                found = [source[torch.from_numpy(rows).to(source.device)]]
            elif isinstance(source, np.ndarray):
                # Reading a memory map in order is what disks and page caches like.
                order = np.argsort(rows, kind="stable") if isinstance(source, np.memmap) else None
                block = source[rows] if order is None else source[rows[order]][np.argsort(order)]
                found = [torch.from_numpy(np.ascontiguousarray(_native(block)))]
            else:
                items = [source[int(i)] for i in rows]
                columns = zip(*items) if isinstance(items[0], (tuple, list)) else [items]
                found = [torch.stack([torch.as_tensor(v) for v in column]) for column in columns]
            out += [t.reshape(len(rows), -1) for t in found]
        return out


def affine(mean: Tensor, sd: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the map (t - mean) / sd."""
    return lambda t: (t - mean.to(t)) / sd.to(t)


def _check_finite(t: Tensor, j: int, rows: npt.NDArray[np.int64]) -> None:
    if not torch.isfinite(t).all():
        bad = rows[int(torch.isfinite(t).all(dim=1).logical_not().nonzero()[0, 0])]
        raise ValueError(f"array {j} holds NaN or infinite values (row {bad}); drop or impute them first")


def _native(block: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array in a dtype that PyTorch holds: machine byte order, no unsigned long or extended floats."""
    kind = block.dtype.kind
    if kind == "b" or block.dtype in (np.float16, np.float32, np.float64):
        return np.array(block, dtype=block.dtype.newbyteorder("="))
    return block.astype(np.float64) if kind in "uif" else block


def _source(array: Any, name: str) -> Any:
    """A tensor, a NumPy array (memory maps stay), or a Dataset with a length; checked as far as its type goes."""
    if isinstance(array, Tensor):
        if array.is_complex():
            raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
        if array.ndim == 0:
            raise ValueError(f"{name} must have one row a sample, got a single number")
        return array.detach()
    if isinstance(array, torch.utils.data.IterableDataset):
        raise TypeError(f"{name} is an IterableDataset: it has no length to split and shuffle; use a map-style Dataset")
    if isinstance(array, torch.utils.data.Dataset):
        if not hasattr(array, "__len__"):
            raise TypeError(f"{name} is a Dataset without a length; define __len__")
        return array
    if not isinstance(array, np.ndarray):
        array = as_array(array, name)
    if array.ndim == 0:
        raise ValueError(f"{name} must have one row a sample, got a single number")
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}")
    return array


@dataclass
class History:
    """What happened in a training run: the losses of all steps and the held-out values.

    Attributes
    ----------
    losses : list of float
        One a step.
    validation : list of (int, float)
        Step and held-out value, lower is better.
    best_step : int
        The step whose weights were kept (the last one without validation).
    stopped_early, interrupted : bool

    Examples
    --------
    >>> History([3.0, 2.0], [(1, 2.5), (2, 2.4)], best_step=2).best
    2.4
    """

    losses: list[float] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    best_step: int = 0
    stopped_early: bool = False
    interrupted: bool = False

    @property
    def best(self) -> float:
        """The held-out value of the weights kept; inf where nothing was validated."""
        return min((v for _, v in self.validation), default=math.inf)

    def plot(self, ax: Any = None) -> Any:
        """Draw the loss and the held-out values over the steps. Needs matplotlib."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        if ax is None:
            ax = plt.subplots()[1]
        ax.plot(range(1, len(self.losses) + 1), self.losses, linewidth=0.6, alpha=0.6, label="training batches")
        if self.validation:
            ax.plot(*zip(*self.validation), marker=".", label="held out")
            ax.axvline(self.best_step, color="grey", linewidth=0.8, linestyle="--", label="kept")
        ax.set_xlabel("step")
        ax.set_ylabel("loss")
        ax.legend()
        return ax


Schedule = Callable[[int], float]


def _schedule(schedule: str | Schedule | None, steps: int) -> Schedule | None:
    if schedule is None or callable(schedule):
        return schedule
    if schedule == "cosine":
        return lambda step: 0.5 * (1.0 + math.cos(math.pi * min(step / steps, 1.0)))
    if schedule == "linear":
        return lambda step: max(0.0, 1.0 - step / steps)
    raise ValueError(f"schedule must be None, 'cosine', 'linear' or a function of the step, got {schedule!r}")


def _optimizer(optimizer: Any, parameters: list[Any], lr: float, weight_decay: float) -> torch.optim.Optimizer:
    if callable(optimizer):
        return optimizer(parameters)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    if optimizer not in kinds:
        raise ValueError(f"optimizer must be one of {', '.join(map(repr, kinds))} or a function, got {optimizer!r}")
    return kinds[optimizer](parameters, lr=lr, weight_decay=weight_decay)


class _Weights:
    """The weights to validate and keep: those of the module, or an exponential average of them."""

    def __init__(self, module: nn.Module, decay: float | None):
        self.live = [p for p in module.parameters() if p.requires_grad]
        self.buffers = list(module.buffers())
        self.decay, self.steps = decay, 0
        self.average = None if decay is None else [p.detach().clone() for p in self.live]
        self.best: list[Tensor] | None = None

    def step(self) -> None:
        if self.average is None or self.decay is None:
            return
        self.steps += 1
        decay = min(self.decay, (1.0 + self.steps) / (10.0 + self.steps))  # the start is forgotten quickly
        torch._foreach_lerp_(self.average, [p.detach() for p in self.live], 1.0 - decay)

    def swap(self) -> None:
        """Exchange the average with the module's weights."""
        if self.average is not None:
            for p, a in zip(self.live, self.average):
                held = p.detach().clone()
                p.data.copy_(a)
                a.copy_(held)

    def keep(self) -> None:
        self.best = [t.detach().clone() for t in (*self.live, *self.buffers)]

    def restore(self) -> None:
        if self.best is not None:
            for t, b in zip((*self.live, *self.buffers), self.best):
                t.data.copy_(b)


def fit(
    module: nn.Module,
    loss: Callable[..., Tensor],
    rows: Rows,
    *,
    steps: int,
    batch_size: int,
    lr: float = 1e-3,
    rng: Any = None,
    optimizer: str | Callable[[Any], torch.optim.Optimizer] = "adam",
    weight_decay: float = 0.0,
    clip: float | None = None,
    ema: float | None = None,
    validate: Callable[[], float] | None = None,
    every: int = 100,
    patience: int | None = 10,
    schedule: str | Schedule | None = None,
    progress: bool = False,
    label: str = "training",
) -> History:
    """Minimise ``loss(*batch)`` over `module` by mini-batches of `rows`; leave the best weights in it, in eval mode.

    Parameters
    ----------
    module : torch.nn.Module
        Its parameters that require a gradient are trained.
    loss : callable
        ``loss(*batch)`` returns a scalar tensor; a batch has one tensor for each array of `rows`.
    rows : Rows
    steps, batch_size : int
    lr : float
    rng : Generator, int, torch.Generator or None
        Order of the rows.
    optimizer : {"adam", "adamw", "sgd"} or callable
        Or a function of the parameters that returns an optimiser (`lr` and `weight_decay` are then its business).
    clip : float, optional
        Largest norm of the gradient.
    ema : float, optional
        Decay of an exponential average of the weights; the average is what is validated and kept.
    validate : callable, optional
        Returns the held-out value, lower is better; called every `every` steps, and at the last, in eval mode and
        without gradients. NaN counts as infinitely bad.
    patience : int or None
        Stop after this many validations without a better value. None: never.
    schedule : {None, "cosine", "linear"} or callable
        Factor of the learning rate as a function of the step, which counts from 0.
    progress : bool
        Show a progress bar.

    Returns
    -------
    History
        An interrupt from the keyboard keeps the best weights so far and is noted.

    Raises
    ------
    FloatingPointError
        If the loss became NaN or infinite before any validation; afterwards training stops with a warning and the
        best weights are kept. Losses are looked at every `every` steps.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 200)
    >>> net = MLP(1, 16, 1, generator=generator(0))
    >>> rows = Rows(x, 2 * x)
    >>> history = fit(net, lambda x, y: ((net(x) - y) ** 2).mean(), rows, steps=200, batch_size=50, lr=0.01, rng=0)
    >>> history.losses[-1] < 0.01 < history.losses[0]
    True
    """
    for name, number in (("steps", steps), ("batch_size", batch_size), ("every", every)):
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    if ema is not None and not 0 <= ema < 1:
        raise ValueError(f"ema must lie in [0, 1), got {ema}")
    weights = _Weights(module, ema)
    if not weights.live:
        raise ValueError("the module has no parameters that require a gradient")
    optimiser = _optimizer(optimizer, weights.live, lr, weight_decay)
    factor = _schedule(schedule, steps)
    schedule_of_rate = None if factor is None else torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    history, recent, best, waited = History(), [], math.inf, 0
    batches = rows.batches(batch_size, rng)
    module.train()
    bar = _Bar(label, steps, progress)
    try:
        for step in range(1, steps + 1):
            optimiser.zero_grad(set_to_none=True)
            value = loss(*next(batches))
            value.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(weights.live, clip)
            optimiser.step()
            if schedule_of_rate is not None:
                schedule_of_rate.step()
            weights.step()
            recent.append(value.detach())
            if step % every and step < steps:
                continue
            new = torch.stack(recent).double().tolist()  # one transfer from the device for many steps
            recent.clear()
            history.losses += new
            bar.to(step, new[-1])
            if not all(map(math.isfinite, new)):
                _diverged(step, weights.best is not None)
                break
            if validate is None:
                continue
            found = _validated(module, weights, validate)
            history.validation.append((step, found))
            if found < best:
                best, waited, history.best_step = found, 0, step
                weights.swap()
                weights.keep()
                weights.swap()
            else:
                waited += 1
                if patience is not None and waited >= patience:
                    history.stopped_early = True
                    break
    except KeyboardInterrupt:
        history.interrupted = True
        history.losses += [float(v) for v in recent]
    finally:
        bar.close()
        optimiser.zero_grad(set_to_none=True)
    if weights.best is None:
        weights.swap()  # the average, if one was kept
        history.best_step = len(history.losses)
    weights.restore()
    module.eval()
    return history


def _validated(module: nn.Module, weights: _Weights, validate: Callable[[], float]) -> float:
    weights.swap()
    module.eval()
    try:
        with torch.no_grad():
            found = float(validate())
    finally:
        module.train()
        weights.swap()
    return math.inf if math.isnan(found) else found


def _diverged(step: int, kept: bool) -> None:
    message = f"the loss became NaN or infinite by step {step}; try a smaller lr, or clip=1.0"
    if not kept:
        raise FloatingPointError(message)
    warnings.warn(f"{message}; the best weights before it are kept", RuntimeWarning, stacklevel=3)


class _Bar:
    """A progress bar, or nothing."""

    def __init__(self, label: str, steps: int, show: bool):
        self._bar: Any = None
        if show:
            from rich.progress import Progress

            self._bar = Progress(transient=True)
            self._label, self._task = label, self._bar.add_task(label, total=steps)
            self._bar.start()

    def to(self, step: int, loss: float) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=step, description=f"{self._label} (loss {loss:.4g})")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
