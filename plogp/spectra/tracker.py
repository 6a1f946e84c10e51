"""`Tracker`: hook a module and follow the spectrum of its activations while the model trains."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from plogp.estimate.callbacks import TrainingCallback
from plogp.spectra.spectrum import Spectrum
from plogp.trace.hooks import call_argument, capture, select_modules

__all__ = ["METRICS", "Record", "Tracker", "TrackerCallback"]

Module = Any  # torch.nn.Module
Tensor = Any  # torch.Tensor

#: Metric by name: what is decomposed, and what is read from the spectrum.
METRICS: Mapping[str, tuple[str, Callable[[Spectrum], Any]]] = {
    "effective_rank": ("covariance", lambda s: s.effective_rank),
    "participation_ratio": ("covariance", lambda s: s.participation_ratio),
    "spectral_entropy": ("covariance", lambda s: s.entropy()),
    "stable_rank": ("covariance", lambda s: s.stable_rank),
    "eee": ("covariance", lambda s: s.eee()),
    "isotropy": ("covariance", lambda s: s.isotropy),
    "alpha_req": ("covariance", lambda s: s.alpha_req().value),
    "rankme": ("singular", lambda s: s.rankme()),
    "von_neumann_entropy": ("autocorrelation", lambda s: s.entropy()),
    "vendi": ("autocorrelation", lambda s: s.hill(1.0)),
}

_SPECTRA: Mapping[str, Callable[[Tensor], Spectrum]] = {
    "covariance": Spectrum.covariance,
    "singular": Spectrum.singular,
    # A row of zeros (all units of a ReLU layer off) has no direction, and the other rows still do.
    "autocorrelation": lambda x: Spectrum.autocorrelation(x[(x != 0).any(1)]),
}


@dataclass(frozen=True)
class Record:
    """The metrics of one module at one step, from `n` rows of `d` activations."""

    step: int
    module: str
    n: int
    d: int
    values: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return a flat dictionary."""
        return {"step": self.step, "module": self.module, "n": self.n, "d": self.d, **self.values}


class Tracker:
    """Follow metrics of the spectrum of a module's activations during training, memory bounded.

    Hooks the module; nothing in the training loop changes. Every `every`-th forward pass in training mode, the
    activations are looked at, at most `rows` rows of each module (a random subset), the metrics computed and the
    activations let go: memory beyond the model's is at most `rows` x d numbers of each module, and what decomposing
    one of them takes. Other passes cost a comparison. Gradients and the model's random numbers are not touched.

    Parameters
    ----------
    module : torch.nn.Module
        The model, or a part of it. Its forward passes are the clock.
    selector : selector of `plogp.trace.capture`, optional
        Which parts are looked at: ``"*.mlp"``, ``nn.ReLU``, a list of names; the module itself by default.
    metrics : sequence of str, or mapping of str to callable
        Of `METRICS`: effective_rank, participation_ratio, spectral_entropy, stable_rank, eee, isotropy, alpha_req (of
        the covariance), rankme (singular values, not centred), von_neumann_entropy, vendi (rows scaled to length one,
        rows of zeros left out). A callable takes the rows (a tensor, n x d) and returns a number.
    every : int
        Forward passes between records; the first is recorded.
    rows : int
        Most rows of a record. Compare records with equally many: effective ranks grow with them.
    where : {"output", "input"}
    mask : str, tensor or callable, optional
        Which tokens count, as in `capture`: ``"attention_mask"`` leaves padding out.
    evaluation : bool
        Look at passes in evaluation mode too.
    clock : callable, optional
        Returns the step; by default the number of passes seen. A step is recorded once.
    on_record : callable, optional
        ``on_record(record)`` for a logger.
    rng : int
        Seed of the subset of rows.

    Attributes
    ----------
    history : list of Record
    seconds : float
        Time spent on records so far.

    Raises
    ------
    ValueError
        For an unknown metric, or numbers that are not positive.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    >>> tracker = Tracker(model, nn.ReLU, every=10)
    >>> for step in range(21):
    ...     _ = model(torch.randn(64, 8, generator=torch.Generator().manual_seed(step)))
    >>> steps, values = tracker.curve("effective_rank")
    >>> steps, values.shape
    (array([ 0, 10, 20]), (3, 1))
    >>> tracker.close()

    Notes
    -----
    Metrics that are not defined for the rows at hand (constant or overflowing activations, too few eigenvalues for a
    slope) are NaN; a callable's errors are its own. Under data parallelism each process follows its own part of the
    batch. Sources: Roy and Vetterli (2007) for the effective rank; Garrido et al. (2023), arXiv 2210.02885, for RankMe.
    """

    def __init__(
        self,
        module: Module,
        selector: Any = None,
        *,
        metrics: Sequence[str] | Mapping[str, Callable[[Tensor], Any]] = (
            "effective_rank",
            "participation_ratio",
            "rankme",
            "vendi",
        ),
        every: int = 100,
        rows: int = 2048,
        where: str = "output",
        mask: Any = None,
        evaluation: bool = False,
        clock: Callable[[], int] | None = None,
        on_record: Callable[[Record], Any] | None = None,
        rng: int = 0,
    ):
        for name, value in (("every", every), ("rows", rows)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1 + (name == "rows"):
                raise ValueError(f"{name} must be a whole number of at least {1 + (name == 'rows')}, got {value!r}")
        self.metrics = _metrics(metrics)
        self.names = list(select_modules(module, module if selector is None else selector))
        self.module, self.selector, self.every, self.rows = module, selector, every, rows
        self.where, self.mask, self.evaluation = where, mask, evaluation
        self.clock, self.on_record = clock, on_record
        self.history: list[Record] = []
        self.seconds = 0.0
        self.passes = 0
        self._last: int | None = None
        self._generator = torch.Generator().manual_seed(rng)
        self._pass = ExitStack()
        self._taken: dict[str, list[Tensor]] = {}
        self._handle = module.register_forward_pre_hook(self._before, with_kwargs=True)

    # ------------------------------------------------------------------------------------------------ hooks

    def _before(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._pass.close()  # of a pass that an exception ended
        if not (module.training or self.evaluation):
            return
        step = self.passes if self.clock is None else self.clock()
        self.passes += 1
        if step % self.every or step == self._last:
            return
        self._last, self._taken = step, {}
        mask = call_argument(module, args, kwargs, self.mask) if isinstance(self.mask, str) else self.mask
        chosen = module if self.selector is None else self.selector
        self._pass.enter_context(capture(module, chosen, where=self.where, mask=mask, rows=True, reduce=self._take))
        self._pass.callback(module.register_forward_hook(self._after).remove)

    def _take(self, name: str, x: Tensor) -> None:
        started = time.perf_counter()
        held = self._taken.setdefault(name, [])
        if len(x) > self.rows:
            x = x[torch.randperm(len(x), generator=self._generator)[: self.rows].to(x.device)]
        held.append(x.clone() if x.numel() else x)
        if sum(map(len, held)) > self.rows:  # a module that is used several times in a pass
            both = torch.cat(held)
            held[:] = [both[torch.randperm(len(both), generator=self._generator)[: self.rows].to(both.device)]]
        self.seconds += time.perf_counter() - started

    def _after(self, module: Module, args: Any, out: Any) -> None:
        started = time.perf_counter()
        self._pass.close()
        taken, self._taken = self._taken, {}
        assert self._last is not None
        for name, held in taken.items():
            x = torch.cat(held).reshape(-1, held[0].shape[-1])
            record = Record(self._last, name, len(x), x.shape[-1], self._measure(x))
            self.history.append(record)
            if self.on_record is not None:
                self.on_record(record)
        self.seconds += time.perf_counter() - started

    def _measure(self, x: Tensor) -> dict[str, float]:
        made: dict[str, Spectrum] = {}
        out = {}
        with torch.no_grad():
            x = x.float() if x.dtype.itemsize < 4 or not x.is_floating_point() else x
            usable = len(x) > 1 and bool(torch.isfinite(x).all()) and bool((x != x[0]).any())
            for name, metric in self.metrics.items():
                out[name] = math.nan
                if not usable:
                    continue
                if not isinstance(metric, tuple):
                    out[name] = float(metric(x))
                    continue
                of, read = metric
                # No reason to end a training: an all-zero spectrum, a slope through too few values, an overflow.
                with suppress(ValueError, torch.linalg.LinAlgError):
                    if of not in made:
                        made[of] = _SPECTRA[of](x)
                    out[name] = float(read(made[of]))
        return out

    # ---------------------------------------------------------------------------------------------- results

    def curve(self, metric: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return the steps, shape (S,), and a metric's values, shape (S, modules); NaN where a module was not used.

        Raises
        ------
        ValueError
            For a metric that is not followed.
        """
        if metric not in self.metrics:
            raise ValueError(f"metric {metric!r} is not followed; followed are {', '.join(self.metrics)}")
        steps = sorted({r.step for r in self.history})
        values = np.full((len(steps), len(self.names)), np.nan)
        for r in self.history:
            values[steps.index(r.step), self.names.index(r.module)] = r.values[metric]
        return np.array(steps, dtype=np.int64), values

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return one flat dictionary a record: what a data frame is made of."""
        return [r.to_dict() for r in self.history]

    def plot(self, metrics: Sequence[str] | None = None) -> Any:
        """Draw each metric over the steps, a line a module, and return the matplotlib figure."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        names = list(self.metrics if metrics is None else metrics)
        curves = [self.curve(name) for name in names]
        if not self.history:
            raise ValueError("nothing was recorded yet: no forward pass in training mode went through the module")
        figure, axes = plt.subplots(len(names), 1, sharex=True, squeeze=False, figsize=(7, 1.2 + 1.9 * len(names)))
        for ax, name, (steps, values) in zip(axes[:, 0], names, curves):
            for j, module in enumerate(self.names):
                colour = plt.get_cmap("viridis")(j / max(len(self.names) - 1, 1) * 0.9)
                ax.plot(steps, values[:, j], marker=".", color=colour, label=module or type(self.module).__name__)
            ax.set_ylabel(name.replace("_", " "))
        axes[-1, 0].set_xlabel("step")
        if len(self.names) <= 12:
            axes[0, 0].legend(fontsize="small")
        figure.tight_layout()
        return figure

    def close(self) -> None:
        """Remove the hooks; what was recorded stays."""
        self._pass.close()
        self._handle.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        of = ", ".join(name or type(self.module).__name__ for name in self.names[:4])
        more = f" and {len(self.names) - 4} more" if len(self.names) > 4 else ""
        return f"Tracker({of}{more}: {', '.join(self.metrics)}; {len(self.history)} records)"


def _metrics(metrics: Any) -> dict[str, Any]:
    if isinstance(metrics, Mapping):
        for name, function in metrics.items():
            if not callable(function):
                raise TypeError(f"metric {name!r} must be callable, got {type(function).__name__}")
        return dict(metrics)
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    unknown = [name for name in names if name not in METRICS]
    if unknown or not names:
        raise ValueError(f"unknown metric {unknown[0] if unknown else None!r}; known are {', '.join(METRICS)}")
    return {name: METRICS[name] for name in names}


class TrackerCallback(TrainingCallback):
    """A `Tracker` for the transformers and the Lightning trainer: the step is the trainer's, and metrics are logged.

    Metrics go into ``trainer.state.log_history`` of transformers, and to the logger of Lightning, as
    ``spectra/<module>/<metric>``.

    Parameters
    ----------
    selector : selector of `plogp.trace.capture`, optional
        Which parts of the model; the whole model's output by default.
    every : int
        Optimiser steps between records.
    **options
        Of `Tracker`: metrics, rows, where, mask, rng.

    Attributes
    ----------
    tracker : Tracker
        From the beginning of training on.

    Examples
    --------
    >>> callback = TrackerCallback("*.mlp", every=50, metrics=["rankme"])
    >>> callback.every, callback.by
    (50, 'step')
    """

    tracker: Tracker | None = None

    def __init__(self, selector: Any = None, every: int = 100, **options: Any):
        super().__init__(every, by="step")
        self.selector, self.options = selector, options

    def _start(self, model: Module, clock: Callable[[], int], log: Callable[[int, dict[str, float]], None]) -> None:
        def note(record: Record) -> None:
            log(record.step, {f"spectra/{record.module or 'model'}/{k}": v for k, v in record.values.items()})

        if self.tracker is not None:
            self.tracker.close()
        self.tracker = Tracker(model, self.selector, every=self.every, clock=clock, on_record=note, **self.options)

    def record(self, at: int, model: Any) -> None:
        """The tracker looks at the training passes themselves, so there is nothing to do at the end of a step."""

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        def log(step: int, values: dict[str, float]) -> None:
            state.log_history.append({"step": step, **values})

        self._start(model, lambda: int(state.global_step), log)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        def log(step: int, values: dict[str, float]) -> None:
            for logger in trainer.loggers:
                logger.log_metrics(values, step)

        self._start(pl_module, lambda: int(trainer.global_step), log)

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        if self.tracker is not None:
            self.tracker.close()

    def plot(self, metrics: Sequence[str] | None = None) -> Any:
        """Draw the tracker's metrics over the steps."""
        if self.tracker is None:
            raise ValueError("training has not begun, so nothing was recorded")
        return self.tracker.plot(metrics)
