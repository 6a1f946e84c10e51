import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from plogp.estimate import ScalingLaw, epiplexity, prequential, requential
from plogp.estimate.learners import KrichevskyTrofimov, Markov, SklearnLearner, TorchLearner
from plogp.estimate.learning_curves import LearningCurve
from plogp.estimate.training import MLP, generator

H = -(0.2 * math.log(0.2) + 0.8 * math.log(0.8))


def tosses(n, seed, p=0.2):
    return (np.random.default_rng(seed).random(n) < p).astype(int)


def test_prequential_is_the_sum_of_losses():
    x = tosses(5000, 0)
    code = -KrichevskyTrofimov().code(x)
    known = prequential(KrichevskyTrofimov(), [x], final=H)
    assert known.value == pytest.approx(code.sum() - 5000 * H)
    assert known.diagnostics["total"] == pytest.approx(code.sum())
    assert known.diagnostics["final_loss"] == pytest.approx(H)
    tail = prequential(KrichevskyTrofimov(), [x], tail=0.1)
    assert tail.value == pytest.approx(code.sum() - 5000 * code[-500:].mean(), abs=1e-6)
    pieces = prequential(KrichevskyTrofimov(), np.split(x, 50), tail=0.1)
    assert pieces.value == pytest.approx(tail.value, abs=1e-6)
    again = prequential(KrichevskyTrofimov(), [x], final="replay")
    p = x.mean()  # the final learner's loss, up to the half counts
    assert again.value == pytest.approx(code.sum() + 5000 * (p * math.log(p) + (1 - p) * math.log(1 - p)), abs=0.01)


def test_replay_is_exact_up_to_the_fit():
    """The regret against the best fixed law is ½ log n + ½ log(π/2), for nearly every sequence."""
    for seed in range(5):
        found = prequential(KrichevskyTrofimov(), [tosses(20_000, seed)], final="replay").value
        assert found == pytest.approx(0.5 * math.log(20_000) + 0.5 * math.log(math.pi / 2), abs=0.01)


@pytest.mark.parametrize("final", ["tail", H])
def test_coverage_of_the_error(final):
    """Where the noise of the losses is the error: a coin, many times."""
    truth = 0.5 * math.log(4000) + 0.5 * math.log(math.pi / 2) - 0.5
    z = []
    for seed in range(150):
        found = prequential(KrichevskyTrofimov(), [tosses(4000, seed)], final=final)
        z.append((found.value - truth) / found.se)
    assert abs(np.mean(z)) < 0.35
    assert 0.8 < np.std(z) < 1.25


def test_batches_of_pairs_and_a_learner_without_code():
    from sklearn.naive_bayes import GaussianNB

    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 2000)
    x = 2.0 * y[:, None] + rng.standard_normal((2000, 1))
    stream = [(x[i : i + 50], y[i : i + 50]) for i in range(0, 2000, 50)]
    found = prequential(SklearnLearner(GaussianNB(), [0, 1]), stream, final="replay", label="naive Bayes")
    by_hand, learner = [], SklearnLearner(GaussianNB(), [0, 1])
    for batch in stream:
        by_hand.append(-learner.logprob(batch).sum())
        learner.partial_fit(batch)
    last = sum(-learner.logprob(batch).sum() for batch in stream)
    assert found.value == pytest.approx(sum(by_hand) - last)
    assert found.n == 2000
    curve = found.diagnostics["curve"]
    assert curve.label == "naive Bayes"
    assert curve.tokens[-1] == 2000
    assert curve.code[-1] == pytest.approx(sum(by_hand) - 2000 * curve.loss[-1])


def test_requential_by_hand():
    batches = np.split(tosses(400, 3), 20)
    found = requential(Markov(1), Markov(1), stream=batches, rng=5, speed=2)
    teacher, student, rng, spent = Markov(1), Markov(1), np.random.default_rng(5), 0.0
    for batch in batches:
        teacher.partial_fit(batch)
        for _ in range(2):
            drawn = teacher.draw(batch, rng)
            p, q = teacher.log_proba(drawn), student.log_proba(drawn)
            spent += (np.exp(p) * (p - q)).sum()
            student.partial_fit(drawn)
    assert found.value == pytest.approx(spent)
    assert found.diagnostics["tokens"] == 800
    assert found.diagnostics["curve"].kind == "req"


def test_requential_without_the_whole_law():
    """Only log-probabilities of samples: the same mean."""

    class Bare:
        def __init__(self):
            self.inner = KrichevskyTrofimov()

        def logprob(self, batch):
            return self.inner.logprob(batch)

        def partial_fit(self, batch):
            self.inner.partial_fit(batch)

    def sampler(teacher, batch, rng):
        return teacher.inner.draw(batch, rng)

    exact, sampled = [], []
    for seed in range(40):
        batches = np.split(tosses(500, seed, 0.1), 25)
        exact.append(requential(KrichevskyTrofimov(), KrichevskyTrofimov(), stream=batches, rng=seed).value)
        found = requential(Bare(), Bare(), sampler, stream=batches, rng=seed)
        sampled.append(found.value)
    error = np.hypot(np.std(exact), np.std(sampled)) / math.sqrt(40)
    assert np.mean(exact) == pytest.approx(np.mean(sampled), abs=4 * error)
    assert min(exact) > 0


def test_a_slow_student_makes_the_teacher_wait():
    stream = [(np.eye(2)[tosses(64, s)], tosses(64, s)) for s in range(60)]

    def learner(lr):
        return TorchLearner(MLP(2, 8, 2, generator=generator(0)), lr=lr, ema_steps=0)

    free = requential(learner(0.05), learner(1e-4), stream=stream, rng=0)
    held = requential(learner(0.05), learner(1e-4), stream=stream, rng=0, max_kl=0.02)
    assert free.diagnostics["paused"] == 0
    assert held.diagnostics["paused"] > 10
    assert held.value < free.value


def test_no_structure_in_a_fair_coin():
    found = prequential(Markov(3), [tosses(8000, 0, 0.5)])
    assert not found.distinguishable(4 * math.log(8000))  # 8 contexts, ½ log n each
    assert found.diagnostics["final_loss"] == pytest.approx(math.log(2), abs=0.01)


def test_curve_from_losses_alone():
    tokens = np.geomspace(1, 1e5, 4000)
    law = ScalingLaw(0.5, 1.0, 1.0, 3.0, 0.4)
    curve = LearningCurve(tokens, 0.5 + (3.0 / tokens) ** 0.4)
    assert curve.code[-1] == pytest.approx(float(law.area(1e5)), rel=2e-3)
    assert (np.diff(curve.code) > 0).all()
    with pytest.raises(ValueError, match="increase"):
        LearningCurve([1, 1], [1.0, 0.5])
    with pytest.raises(ValueError, match="cumulative divergence"):
        LearningCurve([1, 2], [1.0, 0.5], kind="req")
    with pytest.raises(ValueError, match="equal length"):
        LearningCurve([1, 2], [1.0])
    with pytest.raises(ValueError, match="one finite number"):
        LearningCurve([1, 2], [1.0, 0.5], code=[1.0, math.nan])


def brute_front(runs, d_test, budget):
    points = []
    for run in runs:
        for t, loss, code in zip(run.tokens, run.loss, run.code):
            if 6 * run.parameters * t + 2 * run.parameters * d_test <= budget:
                points.append((code + loss * d_test, code, loss * d_test))
    return min(points) if points else None


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), d_test=st.floats(1.0, 1e6))
def test_epiplexity_is_the_best_point_for_every_budget(seed, d_test):
    rng = np.random.default_rng(seed)
    runs = [
        LearningCurve(
            np.sort(rng.choice(10_000, 6, replace=False)), np.sort(rng.random(6))[::-1] + 0.1, 10 ** rng.uniform(0, 4)
        )
        for _ in range(3)
    ]
    curve = epiplexity(runs, d_test, tol=0.0)
    assert (np.diff(curve.T) > 0).all() or len(curve.T) == 1 or (np.diff(curve.total) < 0).all()
    for budget in np.geomspace(curve.T[0], 1e13, 7):
        total, S, H_ = brute_front(runs, d_test, budget)
        point = curve.at(budget)
        assert point.total == pytest.approx(total)
        assert abs(point.S - S) <= 1e-9 * abs(total)
        assert abs(point.H - H_) <= 1e-9 * abs(total)
    loose = epiplexity(runs, d_test, tol=0.05)
    assert len(loose.T) <= len(curve.T)
    assert loose.total[-1] <= curve.total[-1] * 1.06
    with pytest.raises(ValueError, match="cheapest"):
        curve.at(curve.T[0] * 0.99)


def test_epiplexity_of_estimates():
    x = tosses(400_000, 0)
    runs = [prequential(Markov(k), [x], label=f"order {k}") for k in (0, 4)]
    curve = epiplexity(runs, 1e6)
    assert curve.at(1e12).label == "order 0"
    last = curve.at(1e12).H
    assert last == pytest.approx(1e6 * H, rel=0.04)  # a mean over 4,000 tosses
    req = requential(Markov(0), Markov(0), stream=np.split(x[:3000], 30), rng=0)
    assert epiplexity([req], 1e5, "req").S[-1] > 0
    with pytest.raises(ValueError, match="order 0"):
        epiplexity(runs, 1e5, "req")
    for bad in ({"d_test": 0.0}, {"d_test": 1e3, "tol": 1.0}, {"d_test": 1e3, "method": "area"}):
        with pytest.raises(ValueError):
            epiplexity(runs, **bad)
    with pytest.raises(ValueError, match="empty"):
        epiplexity([], 1.0)
    with pytest.raises(TypeError, match="LearningCurve"):
        epiplexity([3.0], 1.0)


def test_area_against_quadrature():
    law = ScalingLaw(1.0, 5.0, 0.5, 2.0, 0.3)
    assert float(law.area(1e6)) == pytest.approx(8362.4246, abs=1e-4)
    for D in (10.0, 1e4):
        for N in (1e3, 1e9):
            # In u = d^(1-b) the integrand has no singularity.
            def integrand(u, N=N):
                d = u ** (1 / 0.7)
                return float(law.loss(N, d)) * d**0.3 / 0.7

            found = integrate.quad(integrand, 1e-12, D**0.7, epsrel=1e-12, limit=200)[0]
            assert float(law.area(D)) == pytest.approx(found - D * float(law.loss(N, D)), rel=1e-8)
    with pytest.raises(ValueError, match="infinite"):
        ScalingLaw(1.0, 1.0, 1.0, 1.0, 1.2).area(10.0)


@settings(max_examples=30, deadline=None)
@given(a=st.floats(0.1, 0.9), b=st.floats(0.1, 0.9), log_t=st.floats(14, 24), log_d=st.floats(5, 12))
def test_the_best_two_part_code_of_a_scaling_law(a, b, log_t, log_d):
    law, T, d = ScalingLaw(1.0, 300.0, a, 1000.0, b), 10**log_t, 10**log_d
    point = law.epiplexity(T, d)
    D, N = point.tokens, point.parameters
    assert 6 * N * D + 2 * N * d == pytest.approx(T)
    assert math.isclose(point.S, float(law.area(D)))
    assert math.isclose(point.H, float(law.loss(N, D)) * d)
    grid = np.geomspace(d * 1e-17, 100 * d, 5000)
    best = np.min(law.area(grid) + d * law.loss(T / (6 * grid + 2 * d), grid))
    assert point.total <= best * (1 + 1e-9)


def test_fit_recovers_a_law_with_noise():
    law = ScalingLaw(1.69, 400.0, 0.34, 2000.0, 0.28)
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e6, 1e10, 8), np.geomspace(1e8, 1e12, 8)))
    noisy = law.loss(N, D) * np.exp(0.001 * np.random.default_rng(0).standard_normal(64))
    noisy[5] *= 1.3  # an outlier
    found = ScalingLaw.fit(N, D, noisy)
    assert (found.E, found.a, found.b) == pytest.approx((1.69, 0.34, 0.28), rel=0.1)
    with pytest.raises(ValueError, match="6 runs"):
        ScalingLaw.fit([1, 2], [1, 2], [1, 2])
    with pytest.raises(ValueError, match="equal lengths"):
        ScalingLaw.fit([1, 2], [1], [1, 2])
    with pytest.raises(ValueError, match="positive"):
        ScalingLaw.fit(N, D, -noisy)


def test_bad_input():
    x = tosses(100, 0)
    for call in (
        lambda: prequential(Markov(0), []),
        lambda: prequential(Markov(0), [x], final="last"),
        lambda: prequential(Markov(0), [x], tail=0.0),
        lambda: prequential(Markov(0), iter([x]), final="replay"),
        lambda: requential(Markov(0), Markov(0), stream=[]),
        lambda: requential(Markov(0), Markov(0), stream=[x], speed=0),
        lambda: ScalingLaw(-1.0, 1.0, 1.0, 1.0, 0.5),
        lambda: ScalingLaw(1.0, 1.0, 1.0, 0.0, 0.5),
        lambda: ScalingLaw(1.0, 1.0, 1.0, 1.0, 0.5).epiplexity(0.0, 1.0),
    ):
        with pytest.raises(ValueError):
            call()

    class Sure:
        def logprob(self, batch):
            return np.where(np.asarray(batch) == 0, 0.0, -np.inf)

        def partial_fit(self, batch):
            return self

    with pytest.raises(ValueError, match="probability 0"):
        prequential(Sure(), [x])
    few = prequential(Markov(0), [x[:5]])
    assert few.se is None
    assert not few.has_interval


def test_plot_and_progress(capsys):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    runs = [prequential(Markov(k), np.split(tosses(2000, 0), 40), progress=k == 0) for k in (0, 2)]
    axes = epiplexity(runs, 1e4).plot()
    assert [ax.get_ylabel() for ax in axes] == ["S + H in nats", "S in nats", "H in nats"]
