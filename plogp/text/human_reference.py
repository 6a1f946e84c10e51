"""Where a text's score lies among those of human texts of the same length, under the embedded model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from plogp.text.scores import REGISTRY

if TYPE_CHECKING:
    from plogp.trace.record import Trace

__all__ = ["CALIBRATION", "HumanComparison", "HumanReference"]

Floats = npt.NDArray[np.float64]

#: What training/calibrate_lm.py writes.
CALIBRATION = Path(__file__).parent / "weights" / "calibration.json"
FORMAT = "plogp human reference 1"


@dataclass(frozen=True, eq=False, repr=False)
class HumanComparison:
    """What `HumanReference.test` returns, one entry a text.

    Attributes
    ----------
    score : str
    value : array, shape (S,)
        Of the text's first `length` tokens; NaN for a text that is shorter than all reference lengths.
    length : array of int, shape (S,)
        Tokens that were compared: the largest reference length that the text has; 0 where it has none.
    p_value : array, shape (S,)
        Share of human texts with a score at least as high, (1 + #) / (n + 1): small for text like the model's own.
    p_low : array, shape (S,)
        The same for scores at least as low: small for text that is stranger to the model than human text is.
    n : array of int, shape (S,)
        Reference texts of that length.
    kind : str
    """

    score: str
    value: Floats
    length: npt.NDArray[np.int64]
    p_value: Floats
    p_low: Floats
    n: npt.NDArray[np.int64]
    kind: str

    def sentence(self, i: int = 0) -> str:
        """Return the result of one text in words."""
        if not self.n[i]:
            return f"{self.score}: too short to compare"
        kind = "" if self.kind == "all" else f" of {self.kind}"
        side, p = ("high", self.p_value[i]) if self.p_value[i] <= self.p_low[i] else ("low", self.p_low[i])
        return (
            f"{self.score} {self.value[i]:.3g}: {100 * p:.2g} % of {self.n[i]} human texts{kind} of {self.length[i]} "
            f"tokens score as {side} (p = {p:.2g})"
        )

    def __repr__(self) -> str:
        return f"HumanComparison({self.score}, {len(self.value)} texts)"


class HumanReference:
    """Scores of human texts under one model, by length and kind, and how well the scores find that model's own text.

    Parameters
    ----------
    record : mapping
        As training/calibrate_lm.py writes it; `load` reads it from a file.

    Attributes
    ----------
    scores : tuple of str
    lengths : tuple of int
        In tokens of the model.
    kinds : tuple of str
        "all", and the kinds of text that were scored.
    fingerprint : str
        Of the model.

    Notes
    -----
    The reference texts are windows of documents, some of one document, so that they are not wholly independent, and the
    p-values hold for text of these kinds only: text in another language, or of a genre that is not among them, lies
    outside them without a machine's help.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        try:
            if record["format"] != FORMAT:
                raise ValueError(f"format {record['format']!r} is not {FORMAT!r}")
            self.scores = tuple(record["scores"])
            self.lengths = tuple(sorted(int(n) for n in record["lengths"]))
            self.kinds = tuple(record["human"])
            self.fingerprint = str(record["model"]["fingerprint"])
            self._human = {
                (kind, int(length), score): (
                    int(row["n"]),
                    np.asarray(row["ranks"], np.int64),
                    np.asarray(row["scores"][score], np.float64),
                )
                for kind, rows in record["human"].items()
                for length, row in rows.items()
                for score in row["scores"]
            }
            self.record = record
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a human reference: {error!r}") from error

    @classmethod
    def load(cls, path: str | Path | None = None) -> HumanReference:
        """Read a reference; by default that of the embedded model.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is no human reference.
        """
        path = CALIBRATION if path is None else Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no human reference at {path}; training/calibrate_lm.py makes one")
        try:
            return cls(json.loads(path.read_text(encoding="utf-8")))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} is not a human reference: {error}") from error

    def test(self, trace: Trace, score: str = "fast_detect_gpt", kind: str = "all") -> HumanComparison:
        """Compare the first tokens of each text with human texts of as many tokens.

        Parameters
        ----------
        trace : Trace
            By the model of the reference.
        score : str
            One of `scores`.
        kind : str
            One of `kinds`.

        Raises
        ------
        ValueError
            For an unknown score or kind, or a trace by another model.
        """
        if score not in self.scores:
            raise ValueError(f"score must be one of {', '.join(self.scores)}, got {score!r}")
        if kind not in self.kinds:
            raise ValueError(f"kind must be one of {', '.join(map(repr, self.kinds))}, got {kind!r}")
        if trace.meta.get("fingerprint") != self.fingerprint:
            raise ValueError(
                "the trace is not by the model of this reference; calibrate a Detector on human text for another model"
            )
        at = [n for n in self.lengths if (kind, n, score) in self._human]
        scored = trace.n_scored
        length = np.array([max((n for n in at if n <= k), default=0) for k in scored], np.int64)
        value, high, low = (np.full(len(scored), np.nan) for _ in range(3))
        count = np.zeros(len(scored), np.int64)
        for n in sorted(set(length.tolist()) - {0}):
            rows = np.flatnonzero(length == n)
            value[rows] = REGISTRY[score](_first(trace[rows], n))
            total, ranks, kept = self._human[kind, n, score]
            high[rows], low[rows] = _tails(value[rows], total, ranks, kept)
            count[rows] = total
        return HumanComparison(score, value, length, high, low, count, kind)

    def power(
        self, score: str = "fast_detect_gpt", length: int | None = None, sampling: str = "plain"
    ) -> dict[str, Any]:
        """Return how well a score tells text generated by the model itself from human text of a length.

        Parameters
        ----------
        score : str
        length : int, optional
            One of `lengths`; the longest by default.
        sampling : str
            How the text was generated: one of `samplings`.

        Returns
        -------
        dict
            `auc` and `tpr` (at a false-positive rate of 5 %), each {value, low, high}, and the numbers of texts.

        Raises
        ------
        ValueError
            For an unknown score, length or sampling.
        """
        length = self.lengths[-1] if length is None else length
        try:
            return dict(self.record["generated"][sampling][str(length)][score])
        except KeyError:
            raise ValueError(
                f"there are no figures for {score!r} at {length} tokens, sampling {sampling!r}; {self._known()}, "
                f"samplings: {', '.join(map(repr, self.samplings))}"
            ) from None

    @property
    def samplings(self) -> tuple[str, ...]:
        """The ways in which the text of `power` was generated."""
        return tuple(self.record["generated"])

    def flagged(self, score: str = "fast_detect_gpt", length: int | None = None, kind: str = "all") -> float:
        """Return the measured share of human texts of a kind with p <= 5 % among texts of all other documents.

        It is 0.05 but for chance where the kind is like the others, and more where the score finds its text
        machine-like: an error rate of the p-values of kind "all" for text of one kind.

        Raises
        ------
        ValueError
            For an unknown score, length or kind.
        """
        length = self.lengths[-1] if length is None else length
        try:
            return float(self.record["flagged_at_5_percent"][kind][str(length)][score])
        except KeyError:
            raise ValueError(
                f"there are no figures for {score!r}, {kind!r}, {length} tokens; {self._known()}"
            ) from None

    def _known(self) -> str:
        kinds = ", ".join(map(repr, self.kinds))
        return f"scores: {', '.join(self.scores)}; lengths: {', '.join(map(str, self.lengths))}; kinds: {kinds}"

    def __repr__(self) -> str:
        return f"HumanReference({len(self.scores)} scores, {', '.join(map(str, self.lengths))} tokens, {self.kinds})"


def _first(trace: Trace, n: int) -> Trace:
    """The same trace with only the first n scored tokens of each text scored."""
    before = np.concatenate(([0], np.cumsum(trace.scored)))
    count = before[1:] - np.repeat(before[trace.offsets[:-1]], trace.lengths)
    return replace(trace, scored=np.asarray(trace.scored) & (count <= n))


def _tails(values: Floats, n: int, ranks: npt.NDArray[np.int64], kept: Floats) -> tuple[Floats, Floats]:
    """P-values of both tails from some of n order statistics, the unknown ones between taken against the text."""
    below = np.searchsorted(kept, values, side="left")  # how many of the kept are smaller
    surely_smaller = np.concatenate(([0], ranks))[below]
    above = np.searchsorted(kept, values, side="right")
    surely_larger = np.concatenate((n + 1 - ranks, [0]))[above]
    p = (1 + n - surely_smaller) / (n + 1), (1 + n - surely_larger) / (n + 1)
    return np.where(np.isnan(values), np.nan, p[0]), np.where(np.isnan(values), np.nan, p[1])
