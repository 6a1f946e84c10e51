"""The suites fail on what is wrong, and an exemption cannot outlive its reason."""

import numpy as np
import pytest

import plogp as pl
from plogp.measures.entropy import Shannon
from plogp.measures.kl_family import KL
from plogp.testing import check_divergence, check_entropy, check_estimator, check_source
from plogp.testing.suite import run_checks


class SwappedKL(KL):
    """A divergence whose sum runs the wrong way round: the mistake that the suite is for."""

    def _reduce(self, pair):
        return super()._reduce(pair.swapped())


class ForgetfulShannon(Shannon):
    """An entropy that forgets the states without mass."""

    def _reduce(self, p):
        return super()._reduce(p) + 0.1 * p.xp.sum(p.xp.astype(p.zero, p.p.dtype), axis=-1)


def test_a_swapped_divergence_is_caught():
    with pytest.raises(AssertionError, match="f_standard_form"):
        check_divergence(SwappedKL(), libraries=["numpy"])


def test_a_wrong_entropy_is_caught():
    with pytest.raises(AssertionError, match="states_without_mass"):
        check_entropy(ForgetfulShannon(), libraries=["numpy"])


def test_an_estimator_without_error_or_with_nan_is_caught():
    def naive(x):
        counts = np.bincount(x)
        return pl.Estimate(float(pl.entropy(counts, normalize=True)), n=len(x), method="naive")

    with pytest.raises(AssertionError, match="interval"):
        check_estimator(naive, lambda n, rng: (rng.integers(0, 4, n),))


def test_an_estimator_that_sorts_its_input_is_caught():
    def tidy(x):
        x.sort()
        return pl.estimate.entropy(x)

    with pytest.raises(AssertionError, match="input_untouched"):
        check_estimator(tidy, lambda n, rng: (rng.integers(0, 4, n),))


def test_an_exemption_must_name_a_check():
    with pytest.raises(ValueError, match="no_such_check"):
        check_entropy("shannon", libraries=["numpy"], skip={"no_such_check": "because"})
    run_checks("nothing", [])


def test_sources_of_two_engines():
    check_source(pl.tables.open_table)
    ibis, polars = pytest.importorskip("ibis"), pytest.importorskip("polars")

    def through_polars(columns):
        return pl.tables.open_table(ibis.polars.connect(tables={"t": polars.DataFrame(columns)}).table("t"))

    check_source(through_polars)
