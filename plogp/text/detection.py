"""`Detector`: a score with a threshold whose false-positive rate is guaranteed on the user's own text."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.laws import Within
from plogp.measures.uncertainty import Estimate
from plogp.text.evaluation import BinomialBounds, Evaluation, MintTable, evaluate_scores, mint
from plogp.text.human_reference import HumanReference
from plogp.text.scores import REGISTRY

__all__ = [
    "Detector",
    "Evaluation",
    "HumanReference",
    "MintTable",
    "conformal_p_values",
    "evaluate_scores",
    "mint",
    "order_for",
]

Floats = npt.NDArray[np.float64]

FORMAT = "plogp detector 1"


def conformal_p_values(values: Any, calibration: Any) -> Floats:
    r"""Return :math:`(1 + \#\{i : c_i \ge s\}) / (n + 1)` of each value s against calibration scores c.

    If s and the c are exchangeable, as when all are of human texts of one kind, the p-value is at most a with
    probability at most a, for every n and every law.

    Parameters
    ----------
    values : array, shape (m,)
        NaN stays NaN.
    calibration : array, shape (n,)

    Examples
    --------
    >>> conformal_p_values([2.5, -1.0], [0.0, 1.0, 2.0])
    array([0.25, 1.  ])

    References
    ----------
    V. Vovk, A. Gammerman and G. Shafer, Algorithmic Learning in a Random World, 2005.
    """
    c, s = np.sort(np.asarray(calibration, np.float64)), np.asarray(values, np.float64)
    if c.ndim != 1 or not len(c) or np.isnan(c).any():
        raise ValueError("calibration must be a non-empty vector of scores without NaN")
    p = (1 + len(c) - np.searchsorted(c, s, side="left")) / (len(c) + 1)
    return np.where(np.isnan(s), np.nan, p)


def order_for(n: int, fpr: float, confidence: float | None) -> int:
    r"""Return r such that flagging what exceeds the r-th largest of n human scores keeps the false-positive rate.

    Given the n scores, the false-positive rate of that rule has (at most) the law Beta(r, n + 1 - r). Without
    `confidence` r is the largest with mean :math:`r / (n + 1) \le` fpr; with it, the largest for which the rate is at
    most fpr with that probability.

    Raises
    ------
    ValueError
        If n is too small for any r; the message says how many are needed.

    Examples
    --------
    >>> order_for(100, 0.05, None), order_for(100, 0.05, 0.95)
    (5, 2)
    """
    from scipy.stats import binom

    if confidence is None:
        r, needed = math.floor(fpr * (n + 1) + 1e-9), math.ceil(1 / fpr - 1e-9) - 1
    else:
        # P(Beta(r, n + 1 - r) <= fpr) = P(Binomial(n, fpr) >= r)
        r = int(binom.ppf(1 - confidence, n, fpr))
        while r > 0 and binom.sf(r - 1, n, fpr) < confidence:
            r -= 1
        while binom.sf(r, n, fpr) >= confidence:
            r += 1
        needed = math.ceil(math.log1p(-confidence) / math.log1p(-fpr))
    if r < 1:
        how = "on average" if confidence is None else f"with confidence {confidence:g}"
        raise ValueError(
            f"{n} human texts cannot bound the false-positive rate by {fpr:g} {how}: at least {needed} are needed"
        )
    return r


class Detector:
    r"""Flag texts whose score is too high for human text, at a false-positive rate that is guaranteed.

    `fit` takes the scores of human texts (or of texts that were surely not in the training set) of the kind and length
    that will be judged, and sets the threshold at one of their order statistics, so that the guarantee holds for every
    sample size and every law, as long as the texts to come are exchangeable with these.

    Parameters
    ----------
    score : str
        A name of `plogp.text.scores.REGISTRY`.
    fpr : float
        The false-positive rate that is allowed.
    confidence : float or None
        Given: ``P(rate <= fpr) >= confidence`` over the choice of calibration texts. None: the rate is at most `fpr` on
        average over them (conformal), which needs fewer texts.
    prior : float
        Share of machine text among the texts to be judged, for `predict_proba` after ``fit(neg, pos)``.
    model : optional
        Where texts are given instead of traces: what `plogp.trace.trace` takes; None is the embedded model.
    **options
        For the score: ``k=0.1``, ``protocol="paper"``, ``ref="scoring"``.

    Attributes
    ----------
    threshold_ : float
        Texts with a larger score are flagged.
    negatives_ : array, shape (n,)
        The sorted scores of the calibration texts.
    power_ : Estimate
        Share of machine text that is flagged, after ``fit(neg, pos)``.

    Raises
    ------
    ValueError, TypeError
        For an unknown score, or a number out of its range.

    Notes
    -----
    The guarantee says nothing of texts of another kind: text of non-native writers, of code, or shorter text than that
    of the calibration may be flagged far more often. Scores for which a text needs more than one trace (`recall`,
    `detect_gpt`) are computed first and given as arrays.

    Examples
    --------
    >>> from plogp.trace import MarkovLM, trace
    >>> model, human = MarkovLM.random(20, rng=0), MarkovLM.random(20, 0.7, rng=0)
    >>> def traced(lm, n, seed):
    ...     return trace(model, lm.sample(n, 100, rng=seed))
    >>> detector = Detector("fast_detect_gpt", fpr=0.05, confidence=None).fit(traced(human, 99, 1))
    >>> bool(detector.predict(traced(model, 50, 2)).mean() > 0.5)
    True
    >>> float(detector.p_value(traced(human, 400, 3)).mean().round(1))
    0.5
    """

    def __init__(
        self,
        score: str = "fast_detect_gpt",
        fpr: float = 0.05,
        *,
        confidence: float | None = 0.95,
        prior: float = 0.5,
        model: Any = None,
        **options: Any,
    ) -> None:
        if score not in REGISTRY:
            raise ValueError(f"score must be one of {', '.join(REGISTRY)}, got {score!r}")
        for name, value in (("fpr", fpr), ("confidence", confidence), ("prior", prior)):
            if value is not None and not 0 < value < 1:
                raise ValueError(f"{name} must lie in (0, 1), got {value!r}")
        self.score, self.fpr, self.confidence, self.prior = score, float(fpr), confidence, float(prior)
        self.model, self.options = model, options
        self.fingerprint_: str | None = None

    # --- fitting -------------------------------------------------------------------------------------------------

    def fit(self, neg: Any, pos: Any = None) -> Detector:
        """Set the threshold on human text; with machine text, learn probabilities and measure the power as well.

        Parameters
        ----------
        neg : Trace, array of scores, or list of str
            Human texts, or texts that were not in the training set.
        pos : the same, optional
            Machine texts, or members.

        Raises
        ------
        ValueError
            For texts that are too short (NaN), or too few for the guarantee: the message says how many are needed.
        """
        self.fingerprint_ = None
        given = self._given(neg)
        negatives = self._complete(given, "neg")
        self.fingerprint_ = getattr(given, "meta", {}).get("fingerprint")
        self.rank_ = order_for(len(negatives), self.fpr, self.confidence)
        self.negatives_ = np.sort(negatives)
        self.threshold_ = float(self.negatives_[-self.rank_])
        self.logistic_: tuple[float, float] | None = None
        self.power_: Estimate | None = None
        if pos is not None:
            positives = self._complete(pos, "pos")
            self.power_ = self.power(positives)
            self.logistic_ = _platt(negatives, positives)
        return self

    def scores(self, x: Any) -> Floats:
        """Return the raw score of each text, larger for machine text; NaN for one that is too short.

        Raises
        ------
        ValueError
            For a trace by another model than that of the calibration, or one that lacks what the score needs.
        """
        given = self._given(x)
        if isinstance(given, np.ndarray):
            return given
        fingerprint = given.meta.get("fingerprint")
        if None not in (self.fingerprint_, fingerprint) and fingerprint != self.fingerprint_:
            raise ValueError("the trace is by another model than the one that this detector was calibrated with")
        return REGISTRY[self.score](given, **self.options)

    def _given(self, x: Any) -> Any:
        """Return a Trace, made here from texts, or a vector of scores."""
        from plogp.trace.record import Trace

        if isinstance(x, Trace):
            return x
        if _is_texts(x):
            from plogp.trace import trace

            return trace(self.model, x, stats=[n for n in REGISTRY[self.score].needs if n != "texts"])
        values = np.asarray(x, np.float64)
        if values.ndim != 1:
            raise ValueError(f"expected a Trace, a list of texts or a vector of scores, got shape {values.shape}")
        return values

    def _complete(self, x: Any, name: str) -> Floats:
        values = self.scores(x)
        short = int(np.isnan(values).sum())
        if short or not len(values):
            raise ValueError(f"{name} must hold texts long enough to be scored; {short} of {len(values)} are not")
        return values

    # --- using ---------------------------------------------------------------------------------------------------

    def decision_function(self, x: Any) -> Floats:
        """Return score less threshold: positive is flagged; NaN for a text that is too short."""
        self._check_fitted()
        with np.errstate(invalid="ignore"):
            return self.scores(x) - self.threshold_

    def predict(self, x: Any) -> npt.NDArray[np.int64]:
        """Return 1 for texts that are flagged as machine text (or members), else 0.

        Raises
        ------
        ValueError
            If a text is too short to be scored; `p_value` gives NaN there.
        """
        self._check_fitted()
        values = self.scores(x)
        if (short := np.flatnonzero(np.isnan(values))).size:
            raise ValueError(f"text {short[0]} is too short to be scored ({short.size} in all); leave it out")
        return (values > self.threshold_).astype(np.int64)

    def p_value(self, x: Any) -> Floats:
        """Return the conformal p-value of each text: small where few human texts score as high."""
        self._check_fitted()
        return conformal_p_values(self.scores(x), self.negatives_)

    def predict_proba(self, x: Any) -> Floats:
        """Return [human, machine] for each text, shape (S, 2); NaN for one that is too short.

        After ``fit(neg, pos)``: the probability of machine text given the score by logistic regression (Platt's, which
        shrinks its targets), at the share `prior` of machine text. After ``fit(neg)`` there is no such probability, and
        the second column is 1 - p_value: the share of human texts that score lower.
        """
        self._check_fitted()
        values = self.scores(x)
        if self.logistic_ is None:
            machine = 1 - conformal_p_values(values, self.negatives_)
        else:
            from scipy.special import expit

            slope, shift = self.logistic_
            machine = expit(slope * values + shift + math.log(self.prior / (1 - self.prior)))
        return np.stack((1 - machine, machine), axis=1)

    def power(self, pos: Any) -> Estimate:
        """Return the share of machine texts that is flagged, with Clopper and Pearson's interval."""
        self._check_fitted()
        values = self._complete(pos, "pos")
        flagged, n = int((values > self.threshold_).sum()), len(values)
        facts = {"fpr": self.fpr, "threshold": self.threshold_, "negatives": len(self.negatives_)}
        law = Within(BinomialBounds(flagged, n), flagged / n, 0.0, 1.0)
        return Estimate(flagged / n, None, n, f"tpr({self.score})", "", law=law, diagnostics=facts)

    @property
    def rate_bound_(self) -> float:
        """The false-positive rate that is not exceeded with 95 % confidence, given the calibration texts' number."""
        self._check_fitted()
        from scipy.special import betaincinv

        return float(betaincinv(self.rank_, len(self.negatives_) + 1 - self.rank_, 0.95))

    # --- keeping -------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the fitted detector as JSON; the model is not in it, only its fingerprint.

        Raises
        ------
        TypeError
            If an option of the score is no plain value.
        """
        self._check_fitted()
        path = Path(path)
        record = {
            "format": FORMAT,
            "score": self.score,
            "fpr": self.fpr,
            "confidence": self.confidence,
            "prior": self.prior,
            "options": self.options,
            "fingerprint": self.fingerprint_,
            "rank": self.rank_,
            "negatives": [_plain(v) for v in self.negatives_.tolist()],
            "logistic": self.logistic_,
            "flagged": None if self.power_ is None else [round(self.power_.value * self.power_.n), self.power_.n],
        }
        text = json.dumps(record, allow_nan=False)
        temporary = path.with_name(path.name + ".part")
        temporary.write_text(text)
        os.replace(temporary, path)
        return path

    @classmethod
    def load(cls, path: str | Path, model: Any = None) -> Detector:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            If the file is no detector, or does not fit together.
        """
        try:
            record = json.loads(Path(path).read_text())
            if record["format"] != FORMAT:
                raise ValueError(f"its format is {record['format']!r}")
            options = {"confidence": record["confidence"], "prior": record["prior"], "model": model}
            out = cls(record["score"], record["fpr"], **options, **record["options"])
            out.fit(np.array([float(v) for v in record["negatives"]]))
            if out.rank_ != record["rank"]:
                raise ValueError("its threshold is not that of its texts")
            out.fingerprint_ = record["fingerprint"]
            if record["logistic"] is not None:
                out.logistic_ = (float(record["logistic"][0]), float(record["logistic"][1]))
            if record["flagged"] is not None:
                k, n = map(int, record["flagged"])
                facts = {"fpr": out.fpr, "threshold": out.threshold_, "negatives": len(out.negatives_)}
                law = Within(BinomialBounds(k, n), k / n, 0.0, 1.0)
                out.power_ = Estimate(k / n, None, n, f"tpr({out.score})", "", law=law, diagnostics=facts)
        except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not a detector that save wrote: {error!r}") from error
        return out

    def _check_fitted(self) -> None:
        if not hasattr(self, "threshold_"):
            raise ValueError("this detector is not fitted: fit(neg) sets its threshold on human text")

    def __repr__(self) -> str:
        words = f"Detector({self.score!r}, fpr={self.fpr:g}, confidence={self.confidence}"
        if hasattr(self, "threshold_"):
            words += f"; score > {self.threshold_:.4g}, set on {len(self.negatives_)} texts"
        return words + ")"


def _is_texts(x: Any) -> bool:
    if isinstance(x, str):
        raise TypeError("expected a list of texts, a Trace or a vector of scores, got one text: wrap it in a list")
    return isinstance(x, Sequence) and len(x) > 0 and all(isinstance(one, str) for one in x)


def _plain(x: float) -> float | str:
    return x if math.isfinite(x) else repr(x)


def _platt(negatives: Floats, positives: Floats) -> tuple[float, float]:
    """Slope and shift of the log-odds at equal shares of the two groups, with Platt's targets."""
    from scipy.optimize import minimize
    from scipy.special import expit

    s = np.concatenate((negatives, positives))
    if not np.isfinite(s).all():
        raise ValueError("probabilities need finite scores; fit(neg) alone sets the threshold")
    n0, n1 = len(negatives), len(positives)
    target = np.concatenate((np.full(n0, 1 / (n0 + 2)), np.full(n1, (n1 + 1) / (n1 + 2))))
    weight = np.concatenate((np.full(n0, 0.5 / n0), np.full(n1, 0.5 / n1)))
    centre, width = float(s.mean()), float(s.std()) or 1.0
    z = (s - centre) / width

    def loss(ab: Floats) -> tuple[float, Floats]:
        u = ab[0] * z + ab[1]
        slack = weight * (expit(u) - target)
        return float((weight * (np.logaddexp(0, u) - target * u)).sum()), np.array([(slack * z).sum(), slack.sum()])

    a, b = minimize(loss, np.zeros(2), jac=True, method="BFGS", options={"gtol": 1e-9}).x
    return float(a / width), float(b - a * centre / width)
