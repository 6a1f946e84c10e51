"""The check suite for entropies of known distributions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from plogp.measures.entropy import Entropy, get_entropy
from plogp.testing.suite import available_libraries, converter, expect_error, run_checks

__all__ = ["check_entropy"]


def check_entropy(
    h: str | Entropy,
    *,
    libraries: Sequence[str] | None = None,
    skip: Mapping[str, str] | None = None,
    seed: int = 0,
) -> None:
    """Raise unless `h` behaves as an entropy of this library must.

    Runs: the value at the uniform distribution and that it is the largest, the least value at a point mass,
    permutation of states, states without mass, batch against loop, axis, log domain, extreme and masked logits,
    dtype, unit, additivity over products where promised, bad input, agreement of libraries, gradients.

    Raises
    ------
    AssertionError
        Listing the failed checks.

    Examples
    --------
    >>> check_entropy("shannon", libraries=["numpy"])
    """
    names = available_libraries() if libraries is None else list(libraries)
    h = get_entropy(h)
    run_checks(repr(h), _Suite(h, names, seed), skip)


class _Suite:
    def __init__(self, h: Entropy, libraries: list[str], seed: int):
        self.h, self.libraries, self.rng = h, libraries, np.random.default_rng(seed)
        self.p = self.rng.dirichlet(np.full(6, 0.7), size=8)
        self.logits = self.rng.normal(scale=3.0, size=(8, 6))

    def __iter__(self) -> Iterator[Callable[[], None]]:
        return iter([getattr(self, n) for n in dir(self) if n.startswith("check_")])

    def check_uniform(self) -> None:
        for k in (1, 2, 7):
            _close(self.h(np.full(k, 1 / k)), self.h.at_uniform(k), 1e-12, what=f"K = {k}")
        assert (np.asarray(self.h(self.p)) <= self.h.at_uniform(6) + 1e-12).all(), "uniform is not the largest"

    def check_point_mass(self) -> None:
        least = self.h.at_uniform(1)
        _close(self.h(np.array([0.0, 1.0, 0.0])), least)
        assert (np.asarray(self.h(self.p)) >= least - 1e-12).all(), "a point mass is not the least"

    def check_states_without_mass(self) -> None:
        padded = np.concatenate([self.p, np.zeros((8, 3))], axis=-1)
        _close(self.h(padded), self.h(self.p))

    def check_permutation_of_states(self) -> None:
        _close(self.h(self.p[:, self.rng.permutation(6)]), self.h(self.p))

    def check_batch_against_loop(self) -> None:
        _close(self.h(self.p), [float(self.h(p)) for p in self.p])
        _close(self.h(self.p.T, axis=0), self.h(self.p))
        large = self.rng.dirichlet(np.ones(300), size=700)
        _close(self.h(large)[::97], [float(self.h(p)) for p in large[::97]])

    def check_log_domain(self) -> None:
        _close(self.h.from_log_probs(np.log(self.p)), self.h(self.p), 1e-9)
        _close(self.h.from_logits(np.log(self.p) + 3.0), self.h(self.p), 1e-9)

    def check_extreme_logits(self) -> None:
        value = np.asarray(self.h.from_logits(self.logits * 1e4))
        assert np.isfinite(value).all(), "not finite for logits of ±1e4"
        masked = self.logits.copy()
        masked[:, 2] = -np.inf
        _close(self.h.from_logits(masked), self.h.from_logits(masked[:, [0, 1, 3, 4, 5]]), 1e-9)

    def check_dtype(self) -> None:
        for dtype, tol in ((np.float32, 1e-5), (np.float16, 1e-2)):
            value = self.h(self.p.astype(dtype), normalize=True)
            assert value.dtype == dtype, f"{np.dtype(dtype)} became {value.dtype}"
            _close(value.astype(float), self.h(self.p), tol * 10, tol)

    def check_unit(self) -> None:
        if self.h.unit == "nats":
            _close(self.h(self.p, base=2), np.asarray(self.h(self.p)) / math.log(2))
        else:
            expect_error(lambda: self.h(self.p, base=2), "base", "a base for a dimensionless entropy")

    def check_products(self) -> None:
        if not self.h.additive_over_products:
            return
        p, q = self.p[0], self.p[1]
        _close(self.h(np.outer(p, q).ravel()), float(self.h(p)) + float(self.h(q)), 1e-9)

    def check_bad_input(self) -> None:
        expect_error(lambda: self.h(np.array([0.5, 0.6])), "p must sum to 1", "mass 1.1")
        expect_error(lambda: self.h(np.array([0.5, np.nan])), "NaN", "NaN")
        expect_error(lambda: self.h(np.array([1.5, -0.5])), "negative", "negative mass")
        expect_error(lambda: self.h(np.empty((2, 0))), "empty", "no states")
        expect_error(lambda: self.h.from_logits(np.full(3, -np.inf)), "masked", "a row masked throughout")

    def check_libraries_agree(self) -> None:
        p = self.p.copy()
        p[0, 1] = 0.0
        p /= p.sum(-1, keepdims=True)
        for library in self.libraries:
            _close(np.asarray(self.h(converter(library)(p))), self.h(p), 1e-9, what=library)

    def check_gradient(self) -> None:
        if "torch" not in self.libraries:
            return
        import torch

        x = torch.tensor(self.logits, requires_grad=True)
        if not self.h.from_logits(x).requires_grad:  # a count of states has no gradient
            return
        assert torch.autograd.gradcheck(self.h.from_logits, (x,), atol=1e-5, rtol=1e-3)
        masked = self.logits.copy()
        masked[:, 2] = -np.inf
        x = torch.tensor(masked, requires_grad=True)
        self.h.from_logits(x).sum().backward()
        assert bool(torch.isfinite(x.grad).all()), "gradient not finite with masked logits"


def _close(got: Any, expected: Any, rtol: float = 1e-10, atol: float = 1e-12, what: str = "") -> None:
    np.testing.assert_allclose(np.asarray(got), np.asarray(expected), rtol=rtol, atol=atol, err_msg=what)
