"""DiffAdapt: guess how hard a question is from the prompt's hidden state, and choose the strategy to fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import as_samples, check_same_length

__all__ = ["STRATEGIES", "DifficultyRouter", "Strategy", "u_shape"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
EASY, NORMAL, HARD = 0, 1, 2


@dataclass(frozen=True)
class Strategy:
    """How to answer a class of questions: prompt, temperature, and room as a share of the longest answer allowed.

    Examples
    --------
    >>> Strategy("hard", "Outline a plan, then answer.", 0.4, 0.5).max_tokens(2048)
    1024
    """

    name: str
    prompt: str = ""
    temperature: float = 0.8
    share: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature >= 0 or not 0 < self.share <= 1:
            raise ValueError(
                f"temperature must be >= 0 and share lie in (0, 1], got {self.temperature} and {self.share}"
            )

    def max_tokens(self, longest: int) -> int:
        """Return the room in tokens, at least 1."""
        return max(1, round(self.share * longest))


#: Easy, normal, hard. The published prompts and constants are not known to us: these are values to tune.
STRATEGIES = (
    Strategy("easy", "Answer directly and briefly.", 0.5, 0.4),
    Strategy("normal", "Think step by step, then answer.", 0.8, 1.0),
    Strategy("hard", "Plan first, spend bounded effort, then give your best answer.", 0.4, 0.5),
)


class DifficultyRouter:
    """Routes questions to strategies by a probe on the last hidden state of the prompt.

    Training questions are labelled from sampled answers: with accuracy a and mean token entropy h of the traces,

    - hard where a is below `accuracy`,
    - easy where it is not, and h is above `entropy`: the model overthinks,
    - normal otherwise.

    A probe (hidden states standardised; linear, or one hidden layer of 256 with dropout 0.1; class-weighted
    cross-entropy, AdamW) learns the label from the hidden state. Routing costs one matrix product a question.

    Parameters
    ----------
    strategies : sequence of Strategy
        For easy, normal and hard questions, in this order.
    probe : {"mlp", "linear"} or object
        Or anything with ``fit(X, y)`` and ``predict_proba(X)``, such as a scikit-learn classifier.
    accuracy : float
        Share of correct answers from which a question counts as solved.
    entropy : float, optional
        Threshold in the unit of the entropies; by default the median over solved questions.
    steps, lr, weight_decay, batch_size
        Of the probe's training.
    rng : Generator, int or None

    Attributes
    ----------
    entropy_ : float
        The threshold that `label` used last.
    probe_ : object
        The fitted probe.

    Examples
    --------
    >>> router = DifficultyRouter(entropy=0.5)
    >>> router.label([1.0, 0.9, 0.1], [0.9, 0.3, 0.9]).tolist()
    [0, 1, 2]
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(3, size=300)
    >>> hidden = np.eye(3)[y] + 0.1 * rng.normal(size=(300, 3))
    >>> router = DifficultyRouter(probe="linear", steps=100, lr=0.05, rng=0).fit(hidden, y)
    >>> [router.strategy(h).name for h in np.eye(3)]
    ['easy', 'normal', 'hard']

    References
    ----------
    X. Liu et al. 2025, arXiv:2510.19669, from its abstracts and public reviews: the pipeline is theirs; thresholds,
    prompts and constants of the strategies are this library's defaults.
    """

    def __init__(
        self,
        strategies: Sequence[Strategy] = STRATEGIES,
        probe: Any = "mlp",
        *,
        accuracy: float = 0.5,
        entropy: float | None = None,
        steps: int = 1000,
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        batch_size: int = 64,
        rng: Any = None,
    ) -> None:
        if len(strategies) != 3:
            raise ValueError(f"strategies must be three, for easy, normal and hard questions, got {len(strategies)}")
        if isinstance(probe, str) and probe not in ("mlp", "linear"):
            raise ValueError(f"probe must be 'mlp', 'linear' or an object with fit and predict_proba, got {probe!r}")
        if not 0 < accuracy <= 1:
            raise ValueError(f"accuracy must lie in (0, 1], got {accuracy}")
        self.strategies, self.probe, self.accuracy, self.entropy = tuple(strategies), probe, accuracy, entropy
        self.steps, self.lr, self.weight_decay, self.batch_size, self.rng = steps, lr, weight_decay, batch_size, rng

    def label(self, accuracy: Any, entropy: Any) -> Ints:
        """Return 0 (easy), 1 (normal) or 2 (hard) for each question.

        Parameters
        ----------
        accuracy : array, shape (n,)
            Share of sampled answers that were correct.
        entropy : array, shape (n,)
            Mean token entropy of the traces, untempered (``trace.means("entropy")``).
        """
        a, h = as_samples(accuracy, "accuracy")[:, 0], as_samples(entropy, "entropy")[:, 0]
        check_same_length(accuracy=a, entropy=h)
        if a.min() < 0 or a.max() > 1:
            raise ValueError(f"accuracy must lie in [0, 1], got {a.min():.3g}..{a.max():.3g}")
        solved = a >= self.accuracy
        if self.entropy is None and not solved.any():
            raise ValueError(
                f"no question reaches accuracy {self.accuracy:g}: the threshold of entropy cannot be their median"
            )
        self.entropy_ = float(np.median(h[solved]) if self.entropy is None else self.entropy)
        return np.where(~solved, HARD, np.where(h > self.entropy_, EASY, NORMAL)).astype(np.int64)

    def fit(self, hidden: Any, labels: Any, *, progress: bool = False) -> DifficultyRouter:
        """Train the probe.

        Parameters
        ----------
        hidden : array, shape (n, d)
            Last-layer hidden state of the last prompt token (``trace(model, prompts, hidden="last").hidden``).
        labels : array of int, shape (n,)
            From `label`.

        Raises
        ------
        ValueError
            For labels other than 0, 1, 2, fewer than two classes, or lengths that differ.
        """
        x, y = as_samples(hidden, "hidden"), np.asarray(labels)
        if y.shape != (len(x),) or not np.isin(y, (EASY, NORMAL, HARD)).all():
            raise ValueError(f"labels must be {len(x)} numbers 0, 1 or 2, got shape {y.shape}")
        if len(np.unique(y)) < 2:
            raise ValueError("labels hold one class only: there is nothing to route")
        if not isinstance(self.probe, str):
            self.probe_ = self.probe.fit(x, y)
            self._classes = np.asarray(getattr(self.probe_, "classes_", np.arange(3)))
            return self
        self._classes = np.arange(3)
        from plogp.decode.difficulty_probe import SoftmaxProbe

        self.probe_ = SoftmaxProbe(self.probe == "mlp", self.steps, self.lr, self.weight_decay, self.batch_size)
        self.probe_.fit(x, y.astype(np.int64), self.rng, progress)
        return self

    def predict_proba(self, hidden: Any) -> Floats:
        """Return the probe's probabilities of easy, normal and hard, shape (n, 3)."""
        if not hasattr(self, "probe_"):
            raise ValueError("the router is not fitted: call fit(hidden, labels)")
        x = as_samples(hidden, "hidden")
        out = np.zeros((len(x), 3))
        out[:, self._classes] = self.probe_.predict_proba(x)
        return out

    def route(self, hidden: Any) -> Ints:
        """Return the class of each question: 0, 1 or 2, shape (n,)."""
        return self.predict_proba(hidden).argmax(axis=1)

    def strategy(self, hidden: Any) -> Strategy:
        """Return the strategy for one question, hidden state of shape (d,)."""
        return self.strategies[int(self.route(np.atleast_2d(np.asarray(hidden)))[0])]


@dataclass(frozen=True)
class UShape:
    """A parabola fitted to entropy over difficulty: its curvature, standard error, one-sided p-value and minimum."""

    curvature: float
    se: float
    p_value: float
    minimum: float


def u_shape(difficulty: Any, entropy: Any) -> UShape:
    """Test whether the entropy is U-shaped over difficulty: whether its quadratic coefficient is positive.

    Ordinary least squares of the entropy on 1, d, d²; the p-value is Student's, one-sided.

    Parameters
    ----------
    difficulty, entropy : array, shape (n,)
        At least 4 points with 3 values of difficulty.

    Examples
    --------
    >>> d = np.linspace(0, 1, 50)
    >>> u_shape(d, (d - 0.4) ** 2 + 0.01 * np.random.default_rng(0).normal(size=50)).p_value < 0.01
    True

    References
    ----------
    X. Liu et al. 2025, arXiv:2510.19669.
    """
    from scipy.special import stdtr

    d, h = as_samples(difficulty, "difficulty")[:, 0], as_samples(entropy, "entropy")[:, 0]
    n = check_same_length(difficulty=d, entropy=h)
    if n < 4 or len(np.unique(d)) < 3:
        raise ValueError(f"at least 4 points with 3 values of difficulty are needed, got {n} and {len(np.unique(d))}")
    design = np.stack([np.ones_like(d), d, d**2], axis=1)
    beta = np.linalg.lstsq(design, h, rcond=None)[0]
    scale = float(((h - design @ beta) ** 2).sum() / (n - 3))
    se = float(np.sqrt(scale * np.linalg.inv(design.T @ design)[2, 2]))
    p = float(stdtr(n - 3, -beta[2] / se)) if se > 0 else float(beta[2] <= 0)
    return UShape(float(beta[2]), se, p, float(-beta[1] / (2 * beta[2])) if beta[2] else float("nan"))
