"""How well a score tells machine text from human text, or members from others: ROC figures with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.laws import Within
from plogp.estimate.roc import auc
from plogp.measures.uncertainty import Draws, Estimate
from plogp.text.scores import REGISTRY

if TYPE_CHECKING:
    from plogp.trace.record import Trace

__all__ = ["BinomialBounds", "Evaluation", "MintTable", "evaluate_scores", "mint"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """What `evaluate_scores` returns.

    Attributes
    ----------
    auc : Estimate
        Area under the ROC curve.
    tpr : dict
        False-positive rate -> Estimate of the true-positive rate there.
    accuracy : Estimate
        Best balanced accuracy over all thresholds, (1 + max(TPR - FPR)) / 2.
    threshold : float
        Where it is reached: positive is ``score >= threshold``.
    curve : tuple of arrays
        False- and true-positive rates of the empirical ROC curve.
    n_positive, n_negative : int
    """

    auc: Estimate
    tpr: Mapping[float, Estimate]
    accuracy: Estimate
    threshold: float
    curve: tuple[Floats, Floats]
    n_positive: int
    n_negative: int

    def to_dict(self, level: float = 0.95) -> dict[str, Any]:
        """Return the figures with their intervals as JSON can hold them."""
        return {
            "auc": self.auc.to_dict(level),
            "tpr": {f"{rate:g}": value.to_dict(level) for rate, value in self.tpr.items()},
            "accuracy": self.accuracy.to_dict(level),
            "n_positive": self.n_positive,
            "n_negative": self.n_negative,
        }

    def plot(self, ax: Any = None) -> Any:
        """Draw the ROC curve with its low false-positive rates. Needs matplotlib."""
        ax = _axes(ax)
        ax.step(*self.curve, where="post", linewidth=1.2)
        ax.plot([0, 1], [0, 1], color="grey", linewidth=0.6)
        for rate, value in self.tpr.items():
            low, high = value.interval()
            ax.vlines(rate, low, high, color="black", linewidth=1.0)
        ax.set_xlabel("false-positive rate")
        ax.set_ylabel("true-positive rate")
        ax.set_title(f"AUC {self.auc.value:.3f}", fontsize=9)
        return ax

    def __repr__(self) -> str:
        rates = ", ".join(f"TPR {v.value:.3g} at FPR {r:g}" for r, v in self.tpr.items())
        return f"Evaluation(AUC {self.auc.value:.3f}, {rates}, {self.n_positive} positive, {self.n_negative} negative)"


def evaluate_scores(scores: Any, labels: Any, fpr: Iterable[float] = (0.01, 0.05)) -> Evaluation:
    r"""Return AUC, true-positive rates at low false-positive rates and best accuracy of a score, with intervals.

    The AUC's interval is DeLong's. That of TPR at FPR = α covers at any sample size, whatever the laws (it is
    conservative): an interval of order statistics holds the (1 - α)-quantile of the negatives, and Clopper and
    Pearson's the share of positives above its ends. Where there are fewer negatives than about 4.4 / α it reaches down
    to 0: so few texts say nothing about so low a rate. The best accuracy is chosen on the same texts and comes out too
    good; its interval, from the inequality of Dvoretzky, Kiefer, Wolfowitz and Massart, allows for that.

    Parameters
    ----------
    scores : array, shape (n,)
        Larger for positives; may be infinite.
    labels : array of bool or 0/1, shape (n,)
        1 for machine text, or members.
    fpr : sequence of float
        False-positive rates, in (0, 1).

    Raises
    ------
    ValueError
        For NaN (a text too short to be scored), labels other than 0 and 1, or one group only.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> s = np.concatenate([rng.normal(2, 1, 200), rng.normal(0, 1, 200)])
    >>> e = evaluate_scores(s, [1] * 200 + [0] * 200)
    >>> round(e.auc.value, 2), round(e.tpr[0.05].value, 2)
    (0.93, 0.66)
    """
    s = np.asarray(scores, np.float64)
    if s.ndim != 1:
        raise ValueError(f"scores must be one-dimensional, got shape {s.shape}")
    if np.isnan(s).any():
        raise ValueError(
            f"scores holds NaN for {int(np.isnan(s).sum())} of {len(s)} texts (too short?): leave them out"
        )
    from scipy.stats import rankdata

    area = auc(rankdata(s), labels)  # ranks carry infinite scores as well
    y = np.asarray(labels).astype(bool)
    positive, negative = np.sort(s[y]), np.sort(s[~y])
    rates = {}
    for rate in fpr:
        if not 0 < rate < 1:
            raise ValueError(f"fpr must lie in (0, 1), got {rate!r}")
        rates[float(rate)] = _tpr(positive, negative, float(rate))
    levels = np.unique(s)[::-1]
    true = 1 - np.searchsorted(positive, levels, side="left") / len(positive)
    false = 1 - np.searchsorted(negative, levels, side="left") / len(negative)
    best = int(np.argmax(true - false))
    gap = float(true[best] - false[best])
    law = Within(_Massart((1 + gap) / 2, len(positive), len(negative)), (1 + gap) / 2, 0.5, 1.0)
    note = {"optimistic": "the threshold was chosen on these texts"}
    accuracy = Estimate((1 + gap) / 2, None, len(s), "best balanced accuracy", "", law=law, diagnostics=note)
    curve = np.concatenate(([0.0], false)), np.concatenate(([0.0], true))
    return Evaluation(area, rates, accuracy, float(levels[best]), curve, len(positive), len(negative))


@dataclass(frozen=True)
class BinomialBounds:
    """Clopper and Pearson's interval of a proportion: `k` of `n`; it covers at least as often as it says.

    >>> low, high = BinomialBounds(0, 20)(0.95)
    >>> low, round(high, 3)
    (0.0, 0.168)
    """

    k: int
    n: int

    def __call__(self, level: float) -> tuple[float, float]:
        """Return the two-sided interval of probability `level`."""
        from scipy.special import betaincinv

        tail = (1 - level) / 2
        low = float(betaincinv(self.k, self.n - self.k + 1, tail)) if self.k else 0.0
        high = float(betaincinv(self.k + 1, self.n - self.k, 1 - tail)) if self.k < self.n else 1.0
        return low, high


@dataclass(frozen=True, eq=False)
class _AtRate:
    """Interval of TPR at a false-positive rate: half of the error for the quantile, half for the share above it."""

    positive: Floats
    negative: Floats
    rate: float

    def __call__(self, level: float) -> tuple[float, float]:
        from scipy.stats import binom

        n, part = len(self.negative), (1 - level) / 4
        # Order statistics r < u, counted from the largest, with P(quantile above the r-th) <= part and so on.
        r = int(binom.ppf(part, n, self.rate))
        u = int(binom.isf(part, n, self.rate)) + 1
        down = self.negative[::-1]
        high_cut = down[r - 1] if r >= 1 else math.inf
        low_cut = down[u - 1] if u <= n else -math.inf
        m = len(self.positive)
        above = m - int(np.searchsorted(self.positive, high_cut, side="right"))
        most = m - int(np.searchsorted(self.positive, low_cut, side="left"))
        inner = 1 - 2 * part
        low = BinomialBounds(above, m)(inner)[0] if r >= 1 else 0.0
        return low, BinomialBounds(most, m)(inner)[1]


@dataclass(frozen=True)
class _Massart:
    """Interval of the best balanced accuracy: uniform bounds on the two distribution functions."""

    value: float
    n1: int
    n0: int

    def __call__(self, level: float) -> tuple[float, float]:
        log = math.log(4 / (1 - level))
        half = (math.sqrt(log / (2 * self.n1)) + math.sqrt(log / (2 * self.n0))) / 2
        return self.value - half, self.value + half


def _tpr(positive: Floats, negative: Floats, rate: float) -> Estimate:
    n0, n1 = len(negative), len(positive)
    allowed = math.floor(rate * n0 + 1e-9)
    cut = negative[n0 - 1 - allowed] if allowed < n0 else -math.inf
    share = (n1 - int(np.searchsorted(positive, cut, side="right"))) / n1
    law = Within(_AtRate(positive, negative, rate), share, 0.0, 1.0)
    facts = {"threshold": float(cut), "false positives allowed": allowed, "negatives": n0}
    return Estimate(share, None, n1, f"tpr at fpr={rate:g}", "", law=law, diagnostics=facts)


Options = Mapping[str, Any] | Callable[["Trace"], Mapping[str, Any]]


@dataclass(frozen=True, eq=False, repr=False)
class MintTable:
    """What `mint` returns.

    Attributes
    ----------
    auc : dict
        Score -> task -> Estimate of the area under the ROC curve.
    spearman : Estimate
        Rank correlation of the scores' AUCs between the (first two) tasks, with the p-value of no correlation.
    skipped : dict
        Score -> why it could not be computed.
    tasks : tuple of str
    """

    auc: Mapping[str, Mapping[str, Estimate]]
    spearman: Estimate
    skipped: Mapping[str, str]
    tasks: tuple[str, ...]

    def best(self, task: str) -> str:
        """Return the score with the largest AUC on a task."""
        return max(self.auc, key=lambda name: self.auc[name][task].value)

    def plot(self, ax: Any = None) -> Any:
        """Draw the AUCs of the first task against those of the second. Needs matplotlib."""
        ax = _axes(ax)
        first, second = self.tasks[:2]
        for name, row in self.auc.items():
            x, y = row[first], row[second]
            ax.errorbar(x.value, y.value, xerr=1.96 * (x.se or 0), yerr=1.96 * (y.se or 0), fmt="o", markersize=3)
            ax.annotate(name, (x.value, y.value), fontsize=7, xytext=(3, 3), textcoords="offset points")
        ax.set_xlabel(f"AUC, {first}")
        ax.set_ylabel(f"AUC, {second}")
        ax.set_title(f"Spearman {self.spearman.value:.2f}", fontsize=9)
        return ax

    def __repr__(self) -> str:
        width = max(map(len, self.auc))
        rows = sorted(self.auc, key=lambda name: -self.auc[name][self.tasks[0]].value)
        lines = [f"{'':{width}}  " + "  ".join(f"{t:>12}" for t in self.tasks)]
        lines += [f"{n:{width}}  " + "  ".join(f"{self.auc[n][t].value:12.3f}" for t in self.tasks) for n in rows]
        return "\n".join([*lines, f"Spearman {self.spearman.value:.3f}"])


def mint(
    tasks: Mapping[str, tuple[Trace, Trace]],
    scores: Iterable[str] | None = None,
    *,
    options: Mapping[str, Options] | None = None,
    n_resamples: int = 200,
    rng: np.random.Generator | int | None = 0,
) -> MintTable:
    r"""Try every score on every task, and see whether what is good at one is good at the other.

    Membership inference (was the text in the training set?) and detection (did the model write it?) have the same best
    statistic, :math:`\log P_M(y) - \log Q(y)` with Q the law of human text; a score transfers as far as it approximates
    it.

    Parameters
    ----------
    tasks : mapping
        Name -> (positives, negatives): traces of members and others, of machine and human text. At least two.
    scores : sequence of str, optional
        Names of `REGISTRY`; by default all whose needs the traces meet, the others are listed in `skipped`.
    options : mapping, optional
        Score -> arguments, or a function that gives them for a trace (``lambda t: {"perturbed": neighbours(t, lm)}``).
    n_resamples : int
        Bootstrap draws of the texts, for the interval of the correlation. It shows the chance of the texts, not that
        of which scores there are.
    rng : Generator, int or None

    Raises
    ------
    ValueError
        For fewer than two tasks, an unknown score, or fewer than three scores that could be computed.

    Examples
    --------
    >>> from plogp.trace import MarkovLM, NGramLM, trace
    >>> human = MarkovLM.random(10, 2.0, rng=0)
    >>> seen, unseen, other = (human.sample(20, 30, rng=s) for s in (1, 2, 3))
    >>> model = NGramLM(2, 10, "add", 0.05).fit(seen)
    >>> written = model.sample(20, 30, rng=4)
    >>> a, b, c, d = (trace(model, x, references={"human": human}) for x in (seen, unseen, written, other))
    >>> tasks = {"membership": (a, b), "detection": (c, d)}
    >>> table = mint(tasks, ["loss", "entropy", "likelihood_ratio"], n_resamples=20)
    >>> table.best("membership"), table.best("detection")
    ('likelihood_ratio', 'likelihood_ratio')

    References
    ----------
    R. Koike et al., 2025, arXiv 2510.19492.
    """
    tasks = dict(tasks)
    if len(tasks) < 2:
        raise ValueError(f"tasks must hold at least two tasks, each (positives, negatives), got {list(tasks)}")
    names = list(REGISTRY) if scores is None else list(scores)
    if unknown := [n for n in names if n not in REGISTRY]:
        raise ValueError(f"scores holds unknown names {unknown}; known are {', '.join(REGISTRY)}")
    given, skipped = dict(options or {}), {}
    values: dict[str, dict[str, tuple[Floats, Floats]]] = {}
    for name in names:
        try:
            values[name] = {task: _both(name, pair, given.get(name, {})) for task, pair in tasks.items()}
        except _UnableError as reason:
            if scores is not None:
                raise ValueError(str(reason)) from None
            skipped[name] = str(reason)
    if len(values) < 3:
        raise ValueError(f"a rank correlation needs at least 3 scores, got {list(values)}; left out: {skipped}")
    table = {
        name: {t: evaluate_scores(np.concatenate(p), [1] * len(p[0]) + [0] * len(p[1])).auc for t, p in row.items()}
        for name, row in values.items()
    }
    return MintTable(table, _transfer(values, list(tasks)[:2], n_resamples, rng), skipped, tuple(tasks))


class _UnableError(ValueError):
    """A score that these traces do not allow."""


def _both(name: str, pair: tuple[Trace, Trace], options: Options) -> tuple[Floats, Floats]:
    out = []
    for trace in pair:
        extra = dict(options(trace) if callable(options) else options)
        if missing := REGISTRY[name].lacks(trace, **extra):
            raise _UnableError(f"{name} needs {', '.join(missing)}")
        found = REGISTRY[name](trace, **extra)
        if np.isnan(found).any():
            raise _UnableError(f"{name} is NaN for {int(np.isnan(found).sum())} texts: too short")
        out.append(found)
    return out[0], out[1]


def _transfer(
    values: Mapping[str, Mapping[str, tuple[Floats, Floats]]], tasks: list[str], n_resamples: int, rng: Any
) -> Estimate:
    from scipy.stats import rankdata, spearmanr

    generator = np.random.default_rng(rng)
    columns: list[Floats] = []
    draws: list[Floats] = []
    for task in tasks:
        n1, n0 = (len(x) for x in next(iter(values.values()))[task])
        w1 = generator.multinomial(n1, np.full(n1, 1 / n1), n_resamples) / n1
        w0 = generator.multinomial(n0, np.full(n0, 1 / n0), n_resamples) / n0
        column, drawn = [], []
        for row in values.values():
            a, b = row[task]
            wins = (a[:, None] > b).astype(float) + 0.5 * (a[:, None] == b)
            column.append(wins.mean())
            drawn.append(((w1 @ wins) * w0).sum(axis=1))
        columns.append(np.array(column))
        draws.append(np.array(drawn))
    test = spearmanr(columns[0], columns[1])
    ranks = [rankdata(np.round(d, 12), axis=0) for d in draws]
    centred = [r - r.mean(axis=0) for r in ranks]
    below = np.sqrt((centred[0] ** 2).sum(axis=0) * (centred[1] ** 2).sum(axis=0))
    rho = (centred[0] * centred[1]).sum(axis=0)[below > 0] / below[below > 0]
    value = float(test.statistic)
    facts = {"null": "no rank correlation between the tasks", "scores": list(values), "tasks": tasks}
    law = Within(Draws(rho), value, -1.0, 1.0) if len(rho) > 1 else None
    return Estimate(
        value,
        None,
        len(values),
        "spearman(bootstrap over texts)",
        "",
        law=law,
        p_value=float(test.pvalue),
        diagnostics=facts,
    )


def _axes(ax: Any) -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
    return plt.subplots()[1] if ax is None else ax
