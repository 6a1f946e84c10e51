"""Scorecards: a logistic regression on weights of evidence, written as points to add up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from plogp.tables.columns import code_target
from plogp.tables.frames import Frame

if TYPE_CHECKING:
    from plogp.tables.woe import WoEEncoder

__all__ = ["PointsRow", "PointsTable", "Scorecard"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PointsRow:
    """The points of one bin of one column."""

    feature: str
    bin: str
    n: int
    share: float
    event_rate: float
    woe: float
    points: float


@dataclass(frozen=True, repr=False)
class PointsTable(Frame):
    """A scorecard on paper: look up each column's bin and add the points."""

    title: str
    rows: list[PointsRow]
    notes: list[str] = field(default_factory=list)

    row_type: ClassVar[type] = PointsRow
    shown: ClassVar[tuple[str, ...]] = ("feature", "bin", "n", "share", "event_rate", "woe", "points")


class Scorecard:
    """A points table from a WoE encoder and a logistic regression on its output.

    With factor = pdo / ln 2 and offset = base - factor · ln(odds), a row's score is
    offset - factor · logit P(event) = offset + factor · ln(odds of the non-event), and each of the m columns
    gives -(β_j WoE_ij + β_0 / m) · factor + offset / m points. Every `pdo` points double the odds.

    Parameters
    ----------
    encoder : WoEEncoder
        With ``output="woe"`` or ``"woe_norm"``; fitted, or fitted by `fit`. By default a new one.
    model : object with coef_ and intercept_
        A linear model of the event's log-odds on the encoder's output; by default scikit-learn's
        `LogisticRegression`, practically without penalty.
    pdo : float
        Points to double the odds.
    base : float
        Score of a row whose odds, non-events to events, are `odds`.
    odds : float
        Odds at `base`.

    Raises
    ------
    ValueError
        If `pdo` is 0, `odds` is not positive, or the encoder's output is not one column a feature.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> bad = rng.random(2000) < 0.3
    >>> table = {"x": rng.normal(size=2000) + bad, "z": rng.normal(size=2000) - bad}
    >>> card = Scorecard(pdo=20, base=600, odds=50).fit(table, bad)
    >>> score = card.predict_points(table)
    >>> bool(score[bad].mean() < score[~bad].mean())
    True
    >>> from math import log
    >>> p = card.predict_proba(table)[:, 1]
    >>> bool(np.allclose(score, 600 + 20 / log(2) * (np.log((1 - p) / p) - log(50))))
    True

    References
    ----------
    Siddiqi (2006), Credit Risk Scorecards; arXiv 2509.09855 (2025).
    """

    def __init__(
        self,
        encoder: WoEEncoder | None = None,
        model: Any = None,
        pdo: float = 20.0,
        base: float = 600.0,
        odds: float = 50.0,
    ):
        if not (math.isfinite(pdo) and pdo != 0):
            raise ValueError(f"pdo must be a number other than 0, got {pdo!r}")
        if not odds > 0:
            raise ValueError(f"odds must be positive, got {odds!r}")
        if not math.isfinite(base):
            raise ValueError(f"base must be finite, got {base!r}")
        from plogp.tables.woe import WoEEncoder

        if model is None:
            from sklearn.linear_model import LogisticRegression

            # C so large that the penalty shrinks nothing; one coefficient a column needs no more.
            model = LogisticRegression(C=1e6, max_iter=1000)
        self.encoder = WoEEncoder() if encoder is None else encoder
        if self.encoder.output not in ("woe", "woe_norm"):
            raise ValueError(f"encoder must give one column a feature, its output is {self.encoder.output!r}")
        self.model, self.pdo, self.base, self.odds = model, pdo, base, odds

    @property
    def factor(self) -> float:
        """Points for one nat of log-odds: pdo / ln 2."""
        return self.pdo / math.log(2.0)

    @property
    def offset(self) -> float:
        """Score at even odds: base - factor · ln(odds)."""
        return self.base - self.factor * math.log(self.odds)

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the encoder (cross-fitted if its `cv` says so) and the model; rows without a target are left out."""
        encoded = np.asarray(self.encoder.fit_transform(X, y))
        target = code_target(y, event=self.encoder.event)
        known = target.codes >= 0
        self.model.fit(encoded[known], target.codes[known])
        return self

    def predict_proba(self, X: Any) -> Floats:
        """Return P(non-event) and P(event), shape (n, 2)."""
        log_odds = self._log_odds(X)
        p = np.exp(-np.logaddexp(0.0, -log_odds))
        return np.column_stack([np.exp(-np.logaddexp(0.0, log_odds)), p])

    def predict_points(self, X: Any, rounded: bool = False) -> Floats:
        """Return each row's score: the sum of its bins' points (whole points with `rounded`)."""
        parts = self.points_of(X)
        return np.asarray((np.round(parts) if rounded else parts).sum(axis=1))

    def points_of(self, X: Any) -> Floats:
        """Return each column's points for each row, shape (n, m): which column cost how much."""
        beta, intercept = self._coefficients()
        m = len(beta)
        return -(self._encode(X) * beta + intercept / m) * self.factor + self.offset / m

    def points(self) -> PointsTable:
        """Return the points table: one row a bin, in the columns' order."""
        beta, intercept = self._coefficients()
        m, rows = len(beta), []
        for weight, (name, bins), spread in zip(beta, self.encoder.mapping_.items(), self._spreads()):
            for b in bins:
                woe, rate = float(b.woe or 0.0), float(b.event_rate or 0.0)
                points = -(weight * woe / spread + intercept / m) * self.factor + self.offset / m
                rows.append(PointsRow(name, b.label, b.n, b.share, rate, woe, float(points)))
        title = (
            f"Scorecard of {m} columns: {self.base:g} points at odds {self.odds:g}:1 of the non-event, "
            f"{self.pdo:g} points double them"
        )
        note = "a value that was not there in training gives the points of WoE 0"
        return PointsTable(title, rows, [note])

    def __repr__(self) -> str:
        if not hasattr(self.encoder, "mapping_") or not hasattr(self.model, "coef_"):
            return f"Scorecard(pdo={self.pdo:g}, base={self.base:g}, odds={self.odds:g}, not fitted)"
        return repr(self.points())

    def __rich__(self) -> Any:
        return self.points().__rich__()

    def _encode(self, X: Any) -> Floats:
        return np.asarray(self.encoder.transform(X), dtype=np.float64)

    def _log_odds(self, X: Any) -> Floats:
        beta, intercept = self._coefficients()
        return np.asarray(self._encode(X) @ beta + intercept)

    def _coefficients(self) -> tuple[Floats, float]:
        if not hasattr(self.encoder, "mapping_") or not hasattr(self.model, "coef_"):
            raise ValueError("this Scorecard is not fitted yet: call fit, or give a fitted encoder and model")
        beta = np.asarray(self.model.coef_, dtype=np.float64).reshape(-1)
        if len(beta) != len(self.encoder.mapping_):
            raise ValueError(f"model has {len(beta)} coefficients, encoder gives {len(self.encoder.mapping_)} columns")
        return beta, float(np.asarray(self.model.intercept_).reshape(-1)[0])

    def _spreads(self) -> list[float]:
        """Return what the encoder divides each column's WoE by."""
        spreads: Mapping[str, float] = self.encoder.spreads_
        return [spreads[name] if self.encoder.output == "woe_norm" else 1.0 for name in self.encoder.mapping_]
