"""The check suite for estimators from samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.uncertainty import UNITS, Estimate
from plogp.testing.suite import expect_error, run_checks

__all__ = ["check_estimator"]

Samples = tuple[npt.NDArray[Any], ...]


def check_estimator(
    estimator: Callable[..., Estimate],
    sample: Callable[[int, np.random.Generator], Samples],
    *,
    truth: float | None = None,
    n: int = 300,
    paired: bool = True,
    random: bool = False,
    skip: Mapping[str, str] | None = None,
    seed: int = 0,
) -> None:
    """Raise unless `estimator` behaves as an estimator of this library must.

    Runs: the type and contents of the answer, the unit, the interval, the order of the samples, the input left
    untouched, bad input (NaN, no samples, lengths that differ), the seed, and that the error shrinks with n.

    Parameters
    ----------
    estimator : callable
        ``estimator(*samples) -> Estimate``; with ``random=True`` it must take ``rng``.
    sample : callable
        ``sample(n, rng) -> (x, ...)``: n samples of a task the estimator is made for.
    truth : float, optional
        The true value in nats; then the estimate must lie within five standard errors (or 0.3) of it.
    n : int
        Sample size.
    paired : bool
        Whether the arrays are columns of one sample (mutual information) or samples by themselves (divergence).
    random : bool
        Whether the estimator draws random numbers.
    skip : mapping, optional
        Names of checks that do not apply, with the reason.

    Raises
    ------
    AssertionError
        Listing the failed checks.

    Examples
    --------
    >>> from plogp.estimate import entropy
    >>> check_estimator(entropy, lambda n, rng: (rng.integers(0, 4, n),), truth=math.log(4))
    """
    name = getattr(estimator, "__name__", repr(estimator))
    run_checks(name, _Suite(estimator, sample, truth, n, paired, random, seed), skip)


class _Suite:
    def __init__(
        self,
        estimator: Callable[..., Estimate],
        sample: Callable[[int, np.random.Generator], Samples],
        truth: float | None,
        n: int,
        paired: bool,
        random: bool,
        seed: int,
    ):
        self.draw, self.truth, self.n, self.paired, self.random, self.seed = sample, truth, n, paired, random, seed
        self.rng = np.random.default_rng(seed)
        self.samples = sample(n, self.rng)
        self.estimator = estimator
        self.before = [x.copy() for x in self.samples]
        self.answer = self.call(*self.samples)

    def call(self, *samples: npt.NDArray[Any]) -> Estimate:
        return self.estimator(*samples, rng=self.seed) if self.random else self.estimator(*samples)

    def __iter__(self) -> Iterator[Callable[[], None]]:
        return iter([getattr(self, n) for n in dir(self) if n.startswith("check_")])

    def check_answer(self) -> None:
        assert isinstance(self.answer, Estimate), f"returned {type(self.answer).__name__}, not an Estimate"
        assert isinstance(self.answer.value, float), f"value is a {type(self.answer.value).__name__}"
        assert math.isfinite(self.answer.value), f"value is {self.answer.value}"
        assert self.answer.n > 0, "n is not positive"
        assert self.answer.method, "method is empty"
        assert self.answer.unit in (*UNITS, ""), f"unit {self.answer.unit!r}"

    def check_interval(self) -> None:
        if not self.answer.has_interval:
            reason = self.answer.diagnostics.get("no_interval")
            assert reason, "no interval, and diagnostics['no_interval'] does not say why"
            return
        low, high = self.answer.interval(0.95)
        wide = self.answer.interval(0.99)
        assert low <= high, f"interval [{low}, {high}]"
        assert wide[0] <= low and high <= wide[1], "the 99 % interval does not hold the 95 % one"  # noqa: PT018

    def check_unit(self) -> None:
        if self.answer.unit in UNITS:
            bits = self.answer.to("bits")
            assert math.isclose(bits.value * math.log(2), self.answer.to("nats").value, abs_tol=1e-12), "bits"

    def check_order_of_samples(self) -> None:
        order = self.rng.permutation(self.n)
        shuffled = self.call(*(x[order] for x in self.samples))
        if not self.random:
            assert math.isclose(shuffled.value, self.answer.value, rel_tol=1e-8, abs_tol=1e-10), "order matters"

    def check_input_untouched(self) -> None:
        for before, after in zip(self.before, self.samples):
            assert np.array_equal(before, after), "the input was changed"

    def check_same_seed(self) -> None:
        again = self.call(*self.samples)
        assert again.value == self.answer.value, "the same call gave another number"

    def check_bad_input(self) -> None:
        x = self.samples[0]
        expect_error(lambda: self.call(*(s[:0] for s in self.samples)), "", "no samples")
        if np.issubdtype(x.dtype, np.floating):
            broken = x.copy()
            broken[(0,) * x.ndim] = np.nan
            expect_error(lambda: self.call(broken, *self.samples[1:]), "NaN", "NaN")
        if self.paired and len(self.samples) > 1:
            expect_error(lambda: self.call(x[:-1], *self.samples[1:]), "", "columns of different lengths")

    def check_truth(self) -> None:
        if self.truth is None:
            return
        answer = self.answer.to("nats") if self.answer.unit else self.answer
        error = abs(answer.value - self.truth)
        allowed = max(0.3, 5 * (answer.se or 0.0))
        assert error <= allowed, f"{answer.value} is {error:.3g} from the truth {self.truth}"

    def check_consistency(self) -> None:
        if self.truth is None:
            return
        errors = []
        for size in (self.n // 3, self.n * 3):
            runs = [self.call(*self.draw(size, np.random.default_rng(s))).value for s in range(6)]
            errors.append(float(np.sqrt(np.mean((np.array(runs) - self.truth) ** 2))))
        assert errors[1] < errors[0] or errors[1] < 0.02, f"the error does not shrink with n: {errors}"
