"""The check suite for divergences."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from plogp.measures.divergence import Dissimilarity, Divergence
from plogp.measures.registry import divergence
from plogp.testing.suite import available_libraries, converter, expect_error, run_checks

__all__ = ["check_divergence"]


def check_divergence(
    d: str | Dissimilarity,
    *,
    libraries: Sequence[str] | None = None,
    skip: Mapping[str, str] | None = None,
    seed: int = 0,
) -> None:
    """Raise unless `d` behaves as a divergence of this library must.

    Runs: zero at equality, non-negativity, zeros, the bound, symmetry, order of arguments, permutation of states,
    batch against loop, axis, agreement of probabilities, log-probabilities and logits, extreme and masked logits,
    near-equal and subnormal input, dtype, unit, refusal of bad input, agreement of array libraries, gradients;
    for f-divergences also the generator (standard form, convexity, derivatives, conjugate), data processing and
    the algebra.

    Parameters
    ----------
    d : str or divergence
    libraries : sequence of str, optional
        Of numpy, torch, jax and array_api_strict; by default those installed.
    skip : mapping, optional
        Names of checks that do not apply, with the reason.
    seed : int
        Of the random inputs.

    Raises
    ------
    AssertionError
        Listing the failed checks.
    """
    found: Dissimilarity = divergence(d)
    names = available_libraries() if libraries is None else list(libraries)
    run_checks(repr(found), _Suite(found, names, seed), skip)


class _Suite:
    def __init__(self, d: Dissimilarity, libraries: list[str], seed: int):
        self.d, self.libraries = d, libraries
        rng = np.random.default_rng(seed)
        self.p, self.q = (rng.dirichlet(np.full(6, 0.7), size=8) for _ in range(2))
        self.a, self.b = (rng.normal(scale=3.0, size=(8, 6)) for _ in range(2))
        self.rng = rng

    def __iter__(self) -> Iterator[Callable[[], None]]:
        names = [n for n in dir(self) if n.startswith("check_")]
        if not isinstance(self.d, Divergence):
            names = [n for n in names if not n.startswith("check_f_")]
        return iter([getattr(self, n) for n in names])

    def check_zero_at_equality(self) -> None:
        value = np.asarray(self.d(self.p, self.p))
        assert (np.abs(value) <= 1e-7).all(), f"d(p, p) = {np.abs(value).max():.3g}"

    def check_non_negative(self) -> None:
        value = np.asarray(self.d(self.p, self.q))
        assert (value > 0).all(), f"smallest {value.min():.3g} for different distributions"

    def check_near_equality(self) -> None:
        x = math.nextafter(0.5, 0.0)
        for p, q in (([x, 1 - x], [1 - x, x]), ([0.5, 0.5], [x, 1 - x])):
            value = float(self.d(np.array(p), np.array(q), check=False))
            assert 0 <= value < 1e-6, f"{value!r} for distributions one rounding apart"

    def check_zeros(self) -> None:
        p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])
        for x, y in ((p, q), (q, p), (p, p)):
            value = float(self.d(x, y))
            assert not math.isnan(value), f"NaN for d({x}, {y})"
            assert value >= 0, f"{value} for d({x}, {y})"

    def check_bound(self) -> None:
        disjoint = float(self.d(np.array([1.0, 0.0]), np.array([0.0, 1.0])))
        if self.d.bounded:
            assert disjoint <= self.d.upper_bound * (1 + 1e-12), f"{disjoint} exceeds {self.d.upper_bound}"
            tiny = float(self.d(np.array([0.0, 1.0]), np.array([5e-324, 1.0])))
            assert 0 <= tiny < 1e-6, f"{tiny} beside a subnormal number"
        else:
            assert not math.isnan(disjoint), "NaN for disjoint distributions"

    def check_symmetry(self) -> None:
        forward, backward = np.asarray(self.d(self.p, self.q)), np.asarray(self.d(self.q, self.p))
        same = np.allclose(forward, backward, rtol=1e-9)
        assert same == self.d.symmetric, f"symmetric is {self.d.symmetric}, the values say {same}"

    def check_permutation_of_states(self) -> None:
        order = self.rng.permutation(6)
        _close(self.d(self.p[:, order], self.q[:, order]), self.d(self.p, self.q))

    def check_batch_against_loop(self) -> None:
        batch = self.d(self.p, self.q)
        assert np.shape(batch) == (8,), f"shape {np.shape(batch)}"
        _close(batch, [float(self.d(p, q)) for p, q in zip(self.p, self.q)])
        _close(self.d(self.p[0], self.q), [float(self.d(self.p[0], q)) for q in self.q])
        assert np.shape(self.d(self.p[:0], self.q[:0])) == (0,), "an empty batch must stay empty"

    def check_large_against_small(self) -> None:
        p, q = (self.rng.dirichlet(np.ones(300), size=700) for _ in range(2))
        _close(self.d(p, q)[::97], [float(self.d(p[i], q[i])) for i in range(0, 700, 97)])
        long_p, long_q = (self.rng.dirichlet(np.ones(100_000)) for _ in range(2))
        joined = float(self.d(long_p, long_q))
        assert math.isfinite(joined), "a long row must be finite"
        assert math.isclose(joined, float(self.d(long_p[::-1], long_q[::-1])), rel_tol=1e-9), "a long row, reversed"

    def check_axis(self) -> None:
        _close(self.d(self.p.T, self.q.T, axis=0), self.d(self.p, self.q))

    def check_log_domain(self) -> None:
        direct = self.d(self.p, self.q)
        _close(self.d.from_log_probs(np.log(self.p), np.log(self.q)), direct, 1e-9)
        shift = self.rng.normal(size=(8, 1))
        _close(self.d.from_logits(np.log(self.p) + shift, np.log(self.q) - shift), direct, 1e-9)

    def check_extreme_logits(self) -> None:
        value = np.asarray(self.d.from_logits(self.a * 1e4, self.b * 1e4))
        assert not np.isnan(value).any(), "NaN for logits of ±1e4"
        assert (value >= 0).all(), "negative for logits of ±1e4"

    def check_masked_logits(self) -> None:
        a, b = self.a.copy(), self.b.copy()
        a[:, 2] = b[:, 2] = -np.inf
        keep = [0, 1, 3, 4, 5]
        _close(self.d.from_logits(a, b), self.d.from_logits(a[:, keep], b[:, keep]), 1e-9)

    def check_dtype(self) -> None:
        p, q = 0.5 * self.p + 0.5 / 6, 0.5 * self.q + 0.5 / 6  # values that half precision can hold
        wide = np.asarray(self.d(p, q))
        for dtype, tol in ((np.float32, 1e-5), (np.float16, 1e-2)):
            narrow = self.d(p.astype(dtype), q.astype(dtype), normalize=True)
            assert narrow.dtype == dtype, f"{np.dtype(dtype)} became {narrow.dtype}"
            _close(narrow.astype(np.float64), wide, tol * 10, atol=tol)
        assert np.asarray(self.d(np.array([1, 1]), np.array([3, 1]), normalize=True)).dtype == np.float64, "integers"

    def check_unit(self) -> None:
        if self.d.unit == "nats":
            _close(self.d(self.p, self.q, base=2), np.asarray(self.d(self.p, self.q)) / math.log(2))
        else:
            expect_error(lambda: self.d(self.p, self.q, base=2), "base", "a base for a dimensionless divergence")

    def check_bad_input(self) -> None:
        good, d = np.array([0.5, 0.5]), self.d
        if d._on_simplex:
            expect_error(lambda: d(np.array([0.5, 0.6]), good), "p must sum to 1", "mass 1.1")
            expect_error(lambda: d(good, np.array([np.nan, 1.0])), "q", "NaN")
            expect_error(lambda: d(good, np.array([1.5, -0.5])), "negative", "negative mass")
        expect_error(lambda: d(good, np.array([0.2, 0.3, 0.5])), "states", "two and three states")
        expect_error(lambda: d(np.empty(0), np.empty(0)), "empty", "no states")
        expect_error(lambda: d(["a", "b"], good), "p must hold real numbers", "labels")
        expect_error(lambda: d(good, good, axis=3), "axis", "an axis out of range")
        nothing = np.full(2, -np.inf)
        expect_error(lambda: d.from_logits(nothing, good), "masked", "a row masked throughout")

    def check_libraries_agree(self) -> None:
        p, q = self.p.copy(), self.q.copy()
        p[0, 1] = q[0, 1] = q[1, 2] = p[2, 3] = 0.0
        p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)
        for library in self.libraries:
            convert = converter(library)
            _close(np.asarray(self.d(convert(p), convert(q))), self.d(p, q), 1e-9, what=library)
            logits = self.d.from_logits(convert(self.a), convert(self.b))
            _close(np.asarray(logits), self.d.from_logits(self.a, self.b), 1e-9, what=library)

    def check_gradient(self) -> None:
        if "torch" not in self.libraries:
            return
        import torch

        a, b = (torch.tensor(x, requires_grad=True) for x in (self.a, self.b))
        assert torch.autograd.gradcheck(lambda x, y: self.d.from_logits(x, y), (a, b), atol=1e-5, rtol=1e-3)
        for scale, masked in ((1.0, True), (1e4, False)):
            x, y = self.a * scale, self.b * scale
            if masked:
                x[:, 2] = y[:, 2] = -np.inf
            a, b = (torch.tensor(v, requires_grad=True) for v in (x, y))
            value = self.d.from_logits(a, b)
            if bool(torch.isfinite(value).all()):
                value.sum().backward()
                finite = bool(torch.isfinite(a.grad).all()) and bool(torch.isfinite(b.grad).all())
                assert finite, f"gradient not finite ({'masked' if masked else 'extreme'} logits)"

    def check_low_precision(self) -> None:
        if "torch" not in self.libraries:
            return
        import torch

        value = self.d.from_logits(torch.tensor(self.a).bfloat16(), torch.tensor(self.b).bfloat16())
        assert value.dtype == torch.bfloat16, f"bfloat16 became {value.dtype}"
        assert bool((value >= 0).all()), "negative in bfloat16"

    def check_jax_transforms(self) -> None:
        if "jax" not in self.libraries:
            return
        import jax

        a, b = converter("jax")(self.a), converter("jax")(self.b)
        value = jax.jit(self.d.from_logits)(a, b)
        _close(np.asarray(value), self.d.from_logits(self.a, self.b), 1e-9)
        _close(np.asarray(jax.vmap(self.d.from_logits)(a, b)), value, 1e-9)
        grad = jax.grad(lambda x: self.d.from_logits(x, b).sum())(a)
        assert np.isfinite(np.asarray(grad)).all(), "JAX gradient not finite"

    def check_f_standard_form(self) -> None:
        d = self._f()
        assert abs(float(d.f(1.0))) < 1e-9, f"f(1) = {float(d.f(1.0))}"
        assert d.curvature == math.inf or abs(float(d.df(1.0))) < 1e-6, f"f'(1) = {float(d.df(1.0))}"
        t = np.exp(np.linspace(-8, 8, 401))
        assert (np.asarray(d.f(t)) >= -1e-9).all(), "f < 0 somewhere"
        slopes = np.diff(np.asarray(d.f(t))) / np.diff(t)
        assert (np.diff(slopes) > -1e-6 * (1 + np.abs(slopes[1:]))).all(), "f is not convex"
        direct = (self.q * np.asarray(d.f(self.p / self.q))).sum(-1)
        _close(d(self.p, self.q), direct, 1e-8)

    def check_f_limits(self) -> None:
        d = self._f()
        zero = float(d(np.array([0.0, 1.0]), np.array([0.5, 0.5])))
        expected = 0.5 * d.f0 + 0.5 * float(d.f(2.0))
        assert zero == expected or math.isclose(zero, expected, rel_tol=1e-7), f"f(0): {zero} against {expected}"
        missing = float(d(np.array([0.5, 0.5]), np.array([0.0, 1.0])))
        expected = 0.5 * d.finf + float(d.f(0.5))
        assert missing == expected or math.isclose(missing, expected, rel_tol=1e-7), f"f'(∞): {missing}, {expected}"

    def check_f_derivatives(self) -> None:
        d = self._f()
        t = np.exp(np.linspace(-5, 5, 41)) * 1.0123
        h = 1e-5 * t
        for function, derivative in ((d.f, d.df), (d.df, d.d2f)):
            numeric = (np.asarray(function(t + h)) - np.asarray(function(t - h))) / (2 * h)
            _close(derivative(t), numeric, 1e-4, atol=1e-5)

    def check_f_conjugate(self) -> None:
        d = self._f()
        low = max(d.df0, -4.0)
        u = np.linspace(low - 0.5, min(d.finf, 3.0) - 0.02, 23)
        t = np.concatenate([[0.0], np.exp(np.linspace(-25, 25, 100_001))])
        with np.errstate(over="ignore", invalid="ignore"):
            brute = np.nanmax(u[:, None] * t - np.asarray(d.f(t)), axis=1)
        _close(d.conjugate(u), brute, 5e-4, atol=5e-4)  # a kink falls between two points of the grid
        if math.isfinite(d.finf):
            assert float(d.conjugate(d.finf + 0.1)) == math.inf, "f* must be infinite above f'(∞)"
        inside = u[(u > d.df0 + 1e-3)]
        if math.isfinite(d.curvature) and d.curvature > 0:
            _close(d.df(d.inv_df(inside)), inside, 1e-6, atol=1e-6)

    def check_f_reversal(self) -> None:
        d = self._f()
        _close(d.reversed()(self.p, self.q), d(self.q, self.p), 1e-9)
        _close(d.reversed().reversed()(self.p, self.q), d(self.p, self.q), 1e-9)

    def check_f_algebra(self) -> None:
        d, kl = self._f(), divergence("kl")
        mixed = 0.7 * d + 0.3 * kl
        _close(mixed(self.p, self.q), 0.7 * d(self.p, self.q) + 0.3 * kl(self.p, self.q), 1e-9)
        _close(mixed.from_logits(self.a, self.b), mixed(_softmax(self.a), _softmax(self.b)), 1e-8)

    def check_f_data_processing(self) -> None:
        d, channel = self._f(), self.rng.dirichlet(np.ones(4), size=6)
        before, after = np.asarray(d(self.p, self.q)), np.asarray(d(self.p @ channel, self.q @ channel))
        assert (after <= before + 1e-9).all(), "processing both with one channel increased the divergence"

    def check_f_curvature(self) -> None:
        d = self._f()
        if not (math.isfinite(d.curvature) and d.curvature > 0):
            return
        q = self.q[0] * 0.5 + 0.5 / 6
        direction = self.rng.normal(size=6)
        direction -= direction.mean()
        step = 1e-3 * direction / np.abs(direction).max() * q.min()
        expected = 0.5 * d.curvature * float((step**2 / q).sum())
        assert math.isclose(float(d(q + step, q)), expected, rel_tol=2e-2), "D is not f''(1)/2 χ² near equality"

    def _f(self) -> Divergence:
        assert isinstance(self.d, Divergence)
        return self.d


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def _close(got: Any, expected: Any, rtol: float = 1e-10, atol: float = 1e-12, what: str = "") -> None:
    np.testing.assert_allclose(np.asarray(got), np.asarray(expected), rtol=rtol, atol=atol, err_msg=what)
