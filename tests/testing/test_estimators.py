"""The common test of the room `estimate`: every registered method passes the exported suite on a task it is for."""

import math

import numpy as np
import pytest

import plogp as pl
from plogp.estimate.learned import NEURAL_BOUNDS
from plogp.testing import check_estimator

RHO = 0.6
GAUSSIAN_MI = -0.5 * math.log(1 - RHO**2)
P = np.array([0.4, 0.3, 0.2, 0.1])
JOINT = np.array([[0.3, 0.1, 0.0], [0.1, 0.2, 0.3]])
DISCRETE = list(pl.estimate.STRATEGIES)


def symbols(n, rng):
    return (rng.choice(4, n, p=P),)


def pairs(n, rng):
    cell = rng.choice(6, n, p=JOINT.ravel())
    return cell // 3, cell % 3


def normals(n, rng):
    return (rng.normal(size=n),)


def normal_pairs(n, rng):
    x = rng.normal(size=n)
    return x, RHO * x + math.sqrt(1 - RHO**2) * rng.normal(size=n)


def labelled(n, rng):
    """A fair coin and a normal whose mean it moves by 2: I = 0.3367 nats by quadrature."""
    c = rng.integers(0, 2, n)
    return c, rng.normal(size=n) + 2.0 * c


def chained(n, rng):
    """X - Z - Y with Z between: I(X;Y|Z) = 0."""
    z = rng.normal(size=n)
    return z + rng.normal(size=n), z + rng.normal(size=n), z


def bit_chain(n, rng):
    z = rng.integers(0, 2, n)
    x, y = ((z + (rng.uniform(size=n) < 0.2)) % 2 for _ in range(2))
    return x, y, z


def _shift_information():
    t = np.linspace(-8, 10, 40001)
    halves = [np.exp(-((t - m) ** 2) / 2) / math.sqrt(2 * math.pi) for m in (0.0, 2.0)]
    mixture = (halves[0] + halves[1]) / 2
    return float(np.trapezoid(-mixture * np.log(mixture), t)) - 0.5 * math.log(2 * math.pi * math.e)


ENTROPY = float(pl.entropy(P))
PAIR_MI = float(pl.mutual_information(JOINT))
LABEL_MI = _shift_information()
NORMAL = 0.5 * math.log(2 * math.pi * math.e)

CASES = [
    *[("entropy", m, symbols, ENTROPY) for m in pl.estimate.methods("entropy") if m in DISCRETE],
    *[("entropy", m, normals, NORMAL) for m in pl.estimate.methods("entropy") if m not in DISCRETE],
    *[("mutual_information", m, pairs, PAIR_MI) for m in DISCRETE],
    *[("mutual_information", m, normal_pairs, GAUSSIAN_MI) for m in ("ksg", "ksg1", "ksg2", "gao", "gaussian")],
    *[("mutual_information", m, normal_pairs, GAUSSIAN_MI) for m in ("copula", "binned")],
    ("mutual_information", "ross", labelled, LABEL_MI),
    ("mutual_information", "gao", labelled, LABEL_MI),
    *[("conditional_mutual_information", m, bit_chain, 0.0) for m in DISCRETE],
    *[("conditional_mutual_information", m, chained, 0.0) for m in ("frenzel_pompe", "gaussian")],
    *[("total_correlation", m, pairs, PAIR_MI) for m in DISCRETE],
    *[("total_correlation", m, normal_pairs, GAUSSIAN_MI) for m in ("ksg", "gaussian")],
]  # fmt: skip

#: Learned estimators with a training short enough for a test: what they must do does not depend on how well they do.
CRITIC = {"steps": 60, "restarts": 1, "width": 16, "batch_size": 64}
LEARNED = [
    *[("mutual_information", m, normal_pairs, CRITIC) for m in NEURAL_BOUNDS if m != "f"],
    ("mutual_information", "f", normal_pairs, CRITIC | {"divergence": "js"}),
    *[("mutual_information", m, normal_pairs, {"steps": 40}) for m in ("minde", "minde_c", "minde_j")],
    ("mutual_information", "mist", normal_pairs, {}),
    ("mutual_information", "compressed", normal_pairs, {}),
    ("total_correlation", "soi", normal_pairs, {"steps": 40}),
]


def test_every_method_of_the_main_measures_is_here():
    for measure in ("entropy", "mutual_information", "total_correlation"):
        here = {m for name, m, _, _ in [*CASES, *LEARNED] if name == measure}
        assert here == {*pl.estimate.methods(measure)}, measure


@pytest.mark.parametrize(("measure", "method", "sample", "options"), LEARNED, ids=lambda v: v if type(v) is str else "")
def test_learned(measure, method, sample, options):
    front_end = getattr(pl.estimate, measure)

    def estimator(*samples, rng=0):
        return front_end(*samples, method=method, rng=rng, **options)

    estimator.__name__ = f"{measure}({method})"
    skip = {
        "consistency": "the error of a short training does not shrink with n",
        "order_of_samples": "which rows are held out follows from their order",
    }
    check_estimator(estimator, sample, random=True, skip=skip)


@pytest.mark.parametrize(("measure", "method", "sample", "truth"), CASES, ids=lambda v: getattr(v, "__name__", str(v)))
def test_suite(measure, method, sample, truth):
    front_end = getattr(pl.estimate, measure)

    states = {symbols: 4, pairs: (2, 3), bit_chain: (2, 2, 2)}.get(sample)
    options = {"num_states": states} if method in ("nsb", "james_stein") else {}

    def estimator(*samples):
        return front_end(*samples, method=method, **options)

    estimator.__name__ = f"{measure}({method})"
    check_estimator(estimator, sample, truth=truth)


@pytest.mark.parametrize("method", ["one-step", "knn", "nn-ratio", "classifier", "binned", "discrete"])
def test_divergences(method):
    def shifted(n, rng):
        return rng.normal(size=n) + 1.0, rng.normal(size=n)

    def coded(n, rng):
        return rng.choice(4, n, p=P), rng.choice(4, n, p=P[::-1])

    discrete = method == "discrete"
    truth = float(pl.divergence("kl")(P, P[::-1])) if discrete else 0.5

    def estimator(x, y, rng=0):
        return pl.estimate.divergence(x, y, "kl", method=method, rng=rng)

    skip = {"consistency": "a lower bound, which the number of bins decides"} if method == "binned" else {}
    if method == "classifier":
        skip["consistency"] = "the linear default is exact here and its error is mostly that of the folds"
    check_estimator(estimator, coded if discrete else shifted, truth=truth, paired=False, random=True, skip=skip)
