"""Mutual information by supervised training: a network that has read many data sets with known information (MIST)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plogp.estimate.ksg import constant_names, ksg, nothing_shared
from plogp.estimate.mist_network import MISTConfig, MISTNetwork, Prepared, pinball_loss, prepare, together
from plogp.estimate.mist_support import unlike_training
from plogp.estimate.mist_training import train
from plogp.estimate.samples import Floats, as_samples, check_same_length, repeats
from plogp.estimate.training import History
from plogp.measures.uncertainty import Estimate

__all__ = ["MIST", "MISTConfig", "MISTNetwork", "mist_mutual_information", "pinball_loss"]

#: Levels at which an estimate asks the network.
LEVELS = np.array([0.001, 0.0025, 0.005, *np.arange(1, 100) / 100, 0.995, 0.9975, 0.999])
#: Half the probability within one standard deviation of a normal law: what `Estimate.se` is read off at.
ONE_SIGMA = 0.5 * math.erf(math.sqrt(0.5))
#: Rows that are sent through the network at a time.
ROWS_AT_ONCE = 2**15
FORMAT = "plogp-mist-1"


@dataclass(frozen=True, eq=False)
class Quantiles:
    """Interval law from quantiles at `LEVELS`, linear in between."""

    values: Floats

    def __call__(self, level: float) -> tuple[float, float]:
        """Return the equal-tailed interval of probability `level`."""
        low, high = 0.5 - level / 2, 0.5 + level / 2
        if high > LEVELS[-1] + 1e-12:
            raise ValueError(f"this interval is known up to level {2 * LEVELS[-1] - 1:.3g}, got {level!r}")
        return self.at(low), self.at(high)

    def at(self, tau: float) -> float:
        """Return one quantile."""
        return float(np.interp(tau, LEVELS, self.values))


class MIST:
    r"""Mutual information of continuous variables by a pretrained network, with its quantiles.

    The network reads the whole set of rows, whose order does not matter, and answers for any level τ with the
    τ-quantile of the information given these data, under the laws it was trained on:

    .. math:: \min_θ\ E\ \max(τ e, (τ - 1) e), \qquad e = I(X; Y) - q_θ(\{x_i, y_i\}, τ), \quad τ \sim U(0, 1).

    The value is the median. The interval is that of a posterior whose prior is the training distribution
    (`plogp.estimate.tasks.families`): averaged over that distribution it covers at its level; it need not at any
    one law, and for laws of another kind it promises nothing. The weights' card (``weights/MIST.md``) has the
    measured figures, in and out of the training families.

    Suitable for few samples (10 to 500) of 2 to 5 columns each with elliptic dependence, also heavy-tailed, where
    nearest neighbours are far too low. Prefer `ksg` for dependence of another shape, and for one column each with
    hundreds of samples; prefer `copula_mutual_information` where the dependence is known to be normal.

    Of the published estimator this is a small relative: 0.34 instead of several million parameters, at most 5
    columns instead of 32, and other inputs. Ranks replace the samples (normal scores of each column, so the value is
    invariant under increasing maps of columns), x and y have places of their own in a row, beside the scores stand
    their canonical variates, and the network is told the information of the normal copula, from which it answers
    in units of that number's standard error.

    Parameters
    ----------
    pretrained : path, None or False
        A safetensors file that `save` wrote; None: the weights that come with plogp; False: no weights, to be fitted.
    config : MISTConfig, optional
        Size of the network, with ``pretrained=False`` only.
    device : str or torch.device
        Where the network lives.
    rng : Generator, int or None
        Start of the weights, with ``pretrained=False``.

    Attributes
    ----------
    module : MISTNetwork
        The differentiable network: ``module(x, y, tau=0.5)`` of tensors.
    config : MISTConfig
    history : History or None
        Of the last `fit`.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file, or it holds something else.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal(200)
    >>> y = 0.6 * x + 0.8 * rng.standard_normal(200)          # I = 0.2231
    >>> model = MIST()
    >>> found = model.estimate(x, y)
    >>> low, high = found.interval(0.9)
    >>> bool(abs(found.value - 0.2231) < 0.1), low < found.value < high
    (True, True)
    >>> model.estimate(np.exp(x), y**3).value == found.value
    True

    Notes
    -----
    G. Gritsai, M. Richards, M. Méloux, K. Cho and M. Peyrard, 2025, arXiv 2511.18945.
    """

    def __init__(
        self,
        pretrained: str | Path | bool | None = None,
        *,
        config: MISTConfig | None = None,
        device: str | torch.device = "cpu",
        rng: Any = None,
    ):
        self.history: History | None = None
        if pretrained is False:
            self.module = MISTNetwork(config or MISTConfig(), rng).to(device)
        elif pretrained is True:
            raise TypeError("pretrained must be a path, None (the weights of plogp) or False (no weights), got True")
        elif config is not None:
            raise ValueError("config is read from the weights; it can be given with pretrained=False only")
        elif pretrained is None:
            with resources.as_file(resources.files("plogp.estimate") / "weights" / "mist.safetensors") as path:
                self.module = _loaded(path).to(device)
        else:
            self.module = _loaded(Path(pretrained)).to(device)
        self.module.eval()

    @property
    def config(self) -> MISTConfig:
        """Size of the network, and of the data sets that it was trained on."""
        return self.module.config

    @property
    def device(self) -> torch.device:
        """Where the network lives."""
        return next(self.module.parameters()).device

    # ------------------------------------------------------------------------------------------------- estimating

    def estimate(
        self, x: Any, y: Any, *, level: float = 0.95, check: bool = True, rng: np.random.Generator | int | None = None
    ) -> Estimate:
        """Estimate the mutual information of two samples.

        Parameters
        ----------
        x, y : array, shape (n,) or (n, d), d at most ``config.max_dim``
            Paired samples as rows. More rows than the network was trained for are cut at random into equal parts
            within that range, and the parts' quantiles are averaged: the interval is then as wide as that of a
            part, so too wide rather than too narrow.
        level : float
            Of the interval named in ``diagnostics["interval"]``; the estimate's own `interval` answers for any.
        check : bool
            Compare with `ksg` on the same ranks, as part of the support flag (on one part, if there are several).
        rng : Generator, int or None
            Which rows form a part; 0 by default, so that a call can be repeated.

        Returns
        -------
        Estimate
            In nats, never negative. ``se`` is half the width of the central 68.3 %. ``diagnostics["in_support"]`` is
            False where something sets the data apart from the training sets, and ``"outside"`` says what: repeated
            values, a statistic beyond its training range, or nearest neighbours that see much more information than
            the network does. True is no guarantee.

        Raises
        ------
        ValueError
            For too few rows or too many columns, samples that are not paired, or NaN.
        """
        return self.estimate_many([(x, y)], level=level, check=check, rng=rng)[0]

    def estimate_many(
        self,
        pairs: Iterable[tuple[Any, Any]],
        *,
        level: float = 0.95,
        check: bool = False,
        rng: np.random.Generator | int | None = None,
    ) -> list[Estimate]:
        """Estimate the information of many pairs of samples, of any sizes, in few passes through the network.

        Parameters and errors are those of `estimate`; without `check` the support flag leaves nearest neighbours out.

        >>> rng = np.random.default_rng(0)
        >>> sets = [(rng.standard_normal(n), rng.standard_normal((n, 2))) for n in (30, 60)]
        >>> [e.n for e in MIST().estimate_many(sets)]
        [30, 60]
        """
        random = np.random.default_rng(0 if rng is None else rng)
        samples = [self._samples(x, y) for x, y in pairs]
        if not 0 < level < 2 * LEVELS[-1] - 1 + 1e-12:
            raise ValueError(f"level must lie between 0 and {2 * LEVELS[-1] - 1:.3g}, got {level!r}")
        cuts = [self._cuts(len(x), random) for x, _ in samples]
        parts = [self._part(x[i], y[i]) for (x, y), cut in zip(samples, cuts, strict=True) for i in cut]
        quantiles = self._quantiles(parts)
        out = []
        end = 0
        for (x, y), cut in zip(samples, cuts, strict=True):
            start, end = end, end + len(cut)
            if constant := constant_names(x=x, y=y):
                out.append(nothing_shared(len(x), "mist", constant))
            else:
                near = (x[cut[0]], y[cut[0]]) if check else None
                out.append(self._answer(x, y, parts[start:end], quantiles[start:end], level, near))
        return out

    def _samples(self, x: Any, y: Any) -> tuple[Floats, Floats]:
        x, y = as_samples(x, "x"), as_samples(y, "y")
        n = check_same_length(x=x, y=y)
        least, most = self.config.n_range[0], self.config.max_dim
        if n < least:
            raise ValueError(f"too few samples: MIST was trained on {least} rows and more, got {n}")
        if (d := max(x.shape[1], y.shape[1])) > most:
            name = "x" if x.shape[1] == d else "y"
            raise ValueError(f"{name} has {d} columns, but these weights are for at most {most} each of x and y")
        # In an order of their own, rows give the same last digit however they come.
        order = np.lexsort(np.hstack([x, y]).T)
        return x[order], y[order]

    def _cuts(self, n: int, random: np.random.Generator) -> list[Any]:
        """Row numbers of the data set, or of random parts of it that have a size within the range of training."""
        count = -(-n // self.config.n_range[1])
        return [np.arange(n)] if count == 1 else np.array_split(random.permutation(n), count)

    def _part(self, x: Floats, y: Floats) -> Prepared:
        a, b = (torch.from_numpy(v).to(self.device)[None] for v in (x, y))
        return prepare(a, b, self.config.max_dim).to(dtype=torch.float32)

    def _quantiles(self, parts: Sequence[Prepared]) -> Floats:
        """Quantiles at `LEVELS`, in increasing order and not below 0; (parts, levels)."""
        tau = torch.tensor(LEVELS, dtype=torch.float32, device=self.device)
        out = np.empty((len(parts), len(LEVELS)))
        order = sorted(range(len(parts)), key=lambda i: parts[i].rows.shape[1])
        start = 0
        with torch.no_grad():
            while start < len(order):
                end = start + 1
                while end < len(order) and (end + 1 - start) * parts[order[end]].rows.shape[1] <= ROWS_AT_ONCE:
                    end += 1
                given = together([parts[i] for i in order[start:end]])
                found = self.module.both_orders(given, tau.expand(end - start, -1))
                out[order[start:end]] = found.double().cpu().numpy()
                start = end
        return np.maximum(np.sort(out, axis=1), 0.0)

    def _answer(
        self,
        x: Floats,
        y: Floats,
        parts: Sequence[Prepared],
        quantiles: Floats,
        level: float,
        near: tuple[Floats, Floats] | None,
    ) -> Estimate:
        law = Quantiles(quantiles.mean(axis=0))
        outside = unlike_training(x, y, parts, self.config.support)
        diagnostics: dict[str, Any] = {"level": level, "interval": law(level), "parts": len(parts)}
        if near is not None and repeats(np.hstack([x, y])) == 0:
            seen = ksg(*near, k=3, scale="rank", workers=1)
            diagnostics["ksg"] = seen.value
            if seen.value - 3 * (seen.se or 0.0) > law.values[-1]:
                most = f"{law.values[-1]:.3g}"
                outside.append(f"nearest neighbours see {seen.value:.3g} nats, the network at most {most}")
        diagnostics |= {"in_support": not outside, "outside": outside}
        se = 0.5 * (law.at(0.5 + ONE_SIGMA) - law.at(0.5 - ONE_SIGMA))
        return Estimate(law.at(0.5), se, len(x), "mist", law=law, diagnostics=diagnostics)

    # --------------------------------------------------------------------------------------------------- training

    def fit(
        self,
        data: Any = None,
        *,
        families: Sequence[str] | None = None,
        steps: int = 2000,
        minutes: float | None = None,
        rows_per_step: int = 4096,
        levels_per_set: int = 8,
        lr: float = 1e-3,
        held_out: int = 600,
        every: int = 100,
        patience: int | None = None,
        checkpoint: str | Path | None = None,
        rng: np.random.Generator | int | None = None,
        progress: bool = False,
        report: Callable[[int, float], None] | None = None,
    ) -> MIST:
        """Train, or train further, on data sets with known information; keep the best weights.

        Parameters
        ----------
        data : None, sequence, or callable
            None: fresh sets of the training families at every step. A sequence of tuples (x, y, information): these,
            a tenth of them held out. A callable ``data(rng)``: returns an endless iterator of such tuples, as
            `plogp.estimate.tasks.meta_dataset` is.
        families : sequence of str, optional
            Which families, with ``data=None``; all by default.
        steps, minutes : int, float
            Length of the training; with `minutes`, whatever ends first (the learning rate follows the clock).
        rows_per_step, levels_per_set : int
            Rows of a batch in all, and levels τ drawn for each data set.
        lr : float
            Largest rate of AdamW, which falls along half a cosine. A tenth of the default suits a fine-tuning.
        held_out : int
            Data sets that are drawn once to judge by (not for a sequence).
        every, patience, progress
            As in `plogp.estimate.training.fit`.
        checkpoint : path, optional
            Where the best weights so far are saved.
        rng : Generator, int or None
            Randomness.
        report : callable, optional
            ``report(step, held_out_loss)``, at every validation.

        Returns
        -------
        MIST
            Itself. `history` has the losses.

        Raises
        ------
        ValueError
            If a data set is not as described.
        """
        self.history, support, n_range = train(
            self.module,
            data,
            families=families,
            steps=steps,
            minutes=minutes,
            rows_per_step=rows_per_step,
            levels_per_set=levels_per_set,
            lr=lr,
            held_out=held_out,
            every=every,
            patience=patience,
            better=None if checkpoint is None else lambda: self.save(checkpoint),
            report=report,
            rng=rng,
            progress=progress,
        )
        self.module.config = replace(self.config, support=support, n_range=n_range)
        if checkpoint is not None:
            self.save(checkpoint)
        return self

    def save(self, path: str | Path) -> None:
        """Write weights and configuration to one safetensors file, for ``MIST(path)``."""
        from safetensors.torch import save_file

        state = {name: value.detach().cpu().contiguous() for name, value in self.module.state_dict().items()}
        save_file(state, str(path), metadata={"format": FORMAT, "config": json.dumps(asdict(self.config))})


def _loaded(path: Path) -> MISTNetwork:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"there are no weights at {path}")
    try:
        with safe_open(str(path), framework="pt") as file:
            about = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - a file, not a mapping
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file") from error
    if about.get("format") != FORMAT:
        raise ValueError(f"{path} does not hold MIST weights of plogp (format {about.get('format')!r}, not {FORMAT!r})")
    config = json.loads(about["config"])
    network = MISTNetwork(MISTConfig(**config | {"n_range": tuple(config["n_range"])}), rng=0)
    network.load_state_dict(state)
    return network


@lru_cache(maxsize=4)
def _shipped(device: str) -> MIST:
    return MIST(device=device)


def mist_mutual_information(
    x: Any,
    y: Any,
    *,
    pretrained: str | Path | None = None,
    device: str = "cpu",
    level: float = 0.95,
    check: bool = True,
    rng: np.random.Generator | int | None = None,
) -> Estimate:
    """`MIST.estimate` with the weights that come with plogp (loaded once), or those at a path.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((100, 3))
    >>> found = mist_mutual_information(x, rng.standard_normal((100, 2)))
    >>> found.distinguishable(), found.diagnostics["in_support"]
    (False, True)
    """
    model = _shipped(str(device)) if pretrained is None else MIST(pretrained, device=device)
    return model.estimate(x, y, level=level, check=check, rng=rng)
