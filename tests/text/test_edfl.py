import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp import divergence
from plogp.measures.bernoulli import bernoulli_kl
from plogp.text import edfl

kl = divergence("kl")
SEEDS = st.integers(0, 10**6)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(2, 8), st.integers(1, 6))
def test_the_law_and_the_certificate(seed, states, m):
    rng = np.random.default_rng(seed)
    P, S = rng.dirichlet(np.ones(states)), rng.dirichlet(np.ones(states) / 2, m) + 1e-12
    S /= S.sum(1, keepdims=True)
    A = rng.random(states) < 0.5
    A[:2] = True, False  # neither the sure nor the impossible event: their sums are 1 and 0 up to rounding only
    budget = float(kl(P, S).mean())
    assert budget >= bernoulli_kl(min(P[A].sum(), 1.0), min(S[:, A].mean(0).sum(), 1.0)) - 1e-12
    q = S[:, A].sum(1)
    assert np.abs(q - q.mean()).mean() <= edfl.js_certificate(S) + 1e-12
    assert edfl.jensen_gap(np.log(S[:, 0])) >= 0


def test_the_law_is_tight_for_the_tilt():
    rng = np.random.default_rng(0)
    S, A = rng.dirichlet(np.ones(6)), np.array([1, 1, 0, 0, 0, 1])
    tilt = S * np.exp(1.7 * A)
    tilt /= tilt.sum()
    assert float(kl(tilt, S)) == pytest.approx(bernoulli_kl(tilt @ A, S @ A), abs=1e-12)
    assert edfl.p_max(float(kl(tilt, S)), S @ A) == pytest.approx(tilt @ A)


def test_worked_example_of_the_paper():
    np.testing.assert_allclose(edfl.b2t(0.05, [0.02, 0.10, 0.30]), [3.519, 1.994, 0.963], atol=5e-4)
    np.testing.assert_allclose(edfl.p_max([0.5, 1, 2, 3], 0.10), [0.495, 0.689, 0.951, 1.0], atol=5e-4)
    assert edfl.p_max(-1.0, 0.3) == 0.3
    one = edfl.plan(-0.0, [-2.0] * 3, [0.1] * 3)
    assert one.isr == pytest.approx(1.003, abs=1e-3)
    assert one.answer is True
    two = edfl.plan(-0.0, [-2.0] * 3, [0.02] * 3)
    assert two.isr == pytest.approx(0.568, abs=1e-3)
    assert two.answer is False


def test_plan_by_hand_and_in_a_batch():
    rng = np.random.default_rng(0)
    logP, logS, q = -rng.exponential(0.3, 20), -rng.exponential(3, (20, 6)), rng.random((20, 6)) * 0.4
    for mode, low in (("symmetric", -2.0), ("one-sided", 0.0), ("min", -np.inf)):
        batch = edfl.plan(logP, logS, q, 0.1, clip=2.0, clip_mode=mode, q_floor=0.05, margin=0.2)
        for i in range(20):
            one = edfl.plan(logP[i], logS[i], q[i], 0.1, clip=2.0, clip_mode=mode, q_floor=0.05, margin=0.2)
            delta = np.mean([min(max(logP[i] - s, low), 2.0) for s in logS[i]])
            need = bernoulli_kl(0.9, max(q[i].min(), 0.05))
            assert one.delta == pytest.approx(delta)
            assert one.b2t == pytest.approx(need)
            assert one.isr == pytest.approx(delta / need)
            assert one.answer == (delta >= need + 0.2)
            assert one.roh == pytest.approx(1 - edfl.p_max(delta, max(q[i].mean(), 0.05)))
            for name in ("delta", "q_bar", "q_lo", "b2t", "isr", "roh", "answer"):
                assert getattr(batch, name)[i] == pytest.approx(getattr(one, name))
    moved = batch.with_margin(-100.0)
    assert moved.answer.all()
    assert moved.margin == -100.0
    assert not batch.answer.all()


def test_plan_reads_tensors():
    torch = pytest.importorskip("torch")
    logP, logS, q = np.log([0.9, 0.8]), np.log([[0.2, 0.3], [0.4, 0.1]]), np.array([[0.2, 0.3], [0.4, 0.1]])
    known = edfl.plan(logP, logS, q)
    given = [torch.tensor(x, requires_grad=True) for x in (logP, logS, q)]
    np.testing.assert_array_equal(edfl.plan(*given).isr, known.isr)
    assert edfl.plan(given[0][0], given[1][0], given[2][0]).isr == known.isr[0]


def test_min_clip_bounds_the_budget_from_below():
    rng = np.random.default_rng(1)
    P, S = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(5) / 3, 4)
    means = {}
    for mode in ("min", "one-sided"):
        plans = [edfl.plan(np.log(P[y]), np.log(S[:, y]), S[:, 0], clip=1.0, clip_mode=mode) for y in range(5)]
        means[mode] = float(P @ [p.delta for p in plans])
    assert means["min"] <= float(kl(P, S).mean())
    assert means["min"] < means["one-sided"]


def test_no_need_of_evidence():
    free = [edfl.plan(-1.0, [-1.0 - x], [0.99]) for x in (0.5, 0.0, -0.5)]
    assert [p.isr for p in free] == [math.inf, 1.0, -math.inf]
    assert [p.answer for p in free] == [True, True, False]
    assert all(p.b2t == 0 for p in free)
    impossible = edfl.plan(-0.1, [-9.0], [0.0], clip=math.inf)
    assert impossible.b2t == math.inf
    assert impossible.isr == 0
    assert not impossible.answer
    assert impossible.roh == 1.0


@pytest.mark.parametrize(
    ("args", "kw", "said"),
    [
        ((-1.0, [-1.0, -2.0], [0.1]), {}, "do not match"),
        ((0.5, [-1.0], [0.1]), {}, "logP"),
        ((-1.0, [math.nan], [0.1]), {}, "logS"),
        ((-math.inf, [-1.0], [0.1]), {}, "-inf"),
        ((-1.0, [-1.0], [1.1]), {}, "q must"),
        ((-1.0, [], []), {}, "no permutation"),
        ((-1.0, [-1.0], [0.1], 0.0), {}, "h must"),
        ((-1.0, [-1.0], [0.1]), {"clip": 0}, "clip"),
        ((-1.0, [-1.0], [0.1]), {"clip_mode": "both"}, "clip_mode"),
        ((-1.0, [-1.0], [0.1]), {"q_floor": 1.0}, "q_floor"),
    ],
)
def test_plan_refuses(args, kw, said):
    with pytest.raises(ValueError, match=said):
        edfl.plan(*args, **kw)


def test_jensen_gap_by_definition():
    x = np.log(np.random.default_rng(0).random((3, 5)))
    expected = -x.mean(1) + np.log(np.exp(x).mean(1))
    np.testing.assert_allclose(edfl.jensen_gap(x), expected, atol=1e-12)
    assert edfl.jensen_gap([-1e4, -1e4]) == 0


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_dispersion_bounds_by_enumeration(n, alpha):
    step = [r**-alpha for r in range(1, n)]
    pairs = [(u, v) for u in range(n) for v in range(n)]
    distance = np.mean([sum(step[: abs(u - v)]) for u, v in pairs])
    rank = np.mean([sum(step[min(u, v) : max(u, v)]) for u, v in pairs])
    assert edfl.dispersion_bound(3.0, n, alpha) == pytest.approx(0.75 * distance)
    assert edfl.dispersion_bound(3.0, n, alpha, by="rank") == pytest.approx(0.75 * rank)
    assert rank <= distance + 1e-12
    if alpha == 1.0:
        assert rank == pytest.approx((n - 1) / n)
        assert distance > sum(1 / r for r in range(1, n + 1)) - 1.5  # the closed form is no bound


def test_dispersion_bound_holds_for_the_steepest_potential():
    rng = np.random.default_rng(0)
    n, C = 12, 2.0
    psi = C * np.concatenate([[0], np.cumsum(1 / np.arange(1, n))])
    w = rng.dirichlet(np.ones(n))
    orders = rng.permuted(np.tile(np.arange(n), (4000, 1)), axis=1)
    q = 1 / (1 + np.exp(-(psi[orders] @ w - psi.mean())))
    assert np.abs(q - q.mean()).mean() <= edfl.dispersion_bound(C, n, by="rank")


def test_order_penalty_is_the_mean_over_pairs_and_has_a_gradient():
    x = np.random.default_rng(0).normal(size=(2, 6))
    np.testing.assert_allclose(edfl.order_penalty(x), [((r[:, None] - r[None]) ** 2).mean() for r in x])
    torch = pytest.importorskip("torch")
    t = torch.tensor(x, requires_grad=True)
    assert torch.autograd.gradcheck(edfl.order_penalty, (t,))


class TestPermutations:
    def test_bands(self):
        orders = edfl.banded_permutations(12, 8, bands=3, rng=0)
        assert orders.shape == (8, 12)
        assert len({o.tobytes() for o in orders}) == 8
        for o in orders:
            for start in (0, 4, 8):
                assert set(o[start : start + 4]) == set(range(start, start + 4))
        assert (edfl.banded_permutations(4, 2, bands=6) == np.arange(4)).all()
        assert len({o.tobytes() for o in edfl.banded_permutations(3, 6, bands=None)}) == 6
        assert len(edfl.banded_permutations(2, 5, bands=None)) == 5  # more than there are: repeats

    def test_with_a_predictor(self):
        from plogp.trace import MarkovLM

        rng = np.random.default_rng(0)
        model = MarkovLM(rng.dirichlet(np.ones(4), 4))
        chunks = [[0, 1], [2], [3, 3]]
        mixture = edfl.permutation_mixture(model, chunks, m=6, bands=None, rng=0)
        for order, row in zip(mixture.orders, mixture.S):
            last = chunks[order[-1]][-1]
            np.testing.assert_allclose(row, model.transition[last], atol=1e-12)
        np.testing.assert_allclose(mixture.mean, mixture.S.mean(0))
        assert mixture.certificate == pytest.approx(float(edfl.js_certificate(mixture.S)))
        same = edfl.permutation_mixture(model, chunks, m=3, bands=None, suffix=[1])
        assert same.certificate == pytest.approx(0, abs=1e-7)

    def test_refuses(self):
        with pytest.raises(ValueError, match="empty"):
            edfl.permutation_mixture(lambda c: [1.0], [])
        with pytest.raises(ValueError, match="predictions"):
            edfl.permutation_mixture(lambda c: [0.5, 0.4], ["a"], 1)
        with pytest.raises(ValueError, match="at least 1"):
            edfl.banded_permutations(3, 0)
        for bad in ({"C": -1.0, "n": 3}, {"C": 1.0, "n": 0}, {"C": 1.0, "n": 3, "by": "x"}):
            with pytest.raises(ValueError):
                edfl.dispersion_bound(**bad)


def test_skeletons_hide_content_and_repeat():
    prompt = 'In 1815 John Murray printed "Emma".\nHow many of 2,000 copies were sold?'
    bare = edfl.skeletons(prompt, [1.0], rng=0)[0]
    assert not any(x in bare for x in ("1815", "Murray", "Emma", "2,000"))
    assert "copies were sold" in bare
    assert sorted(edfl.skeletons(prompt, [0.0])[0].splitlines()) == sorted(prompt.splitlines())
    assert edfl.skeletons(prompt, rng=3) == edfl.skeletons(prompt, rng=3)
    assert len(edfl.skeletons(prompt)) == 6
    with pytest.raises(ValueError, match="strengths"):
        edfl.skeletons(prompt, [1.5])


class TestAudit:
    def plans(self, budget):
        n = len(budget)
        return edfl.plan(np.full(n, -0.01), -0.01 - budget[:, None], np.full((n, 1), 0.1))

    def test_counts(self):
        p = self.plans(np.array([3.0, 3.0, 0.1, 3.0]))
        found = edfl.audit(p, [True, False, True, False])
        assert (found.n, found.answered, found.errors) == (4, 3, 1)
        assert found.answer_rate.value == 0.75
        assert found.error_rate.value == pytest.approx(1 / 3)
        low, high = found.error_rate.interval()
        z, k, n = 1.959964, 1, 3
        centre, half = (k + z * z / 2) / (n + z * z), z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
        assert (low, high) == (pytest.approx(centre - half, abs=1e-6), pytest.approx(centre + half, abs=1e-6))
        several = [edfl.plan(-0.01, [-0.01 - b], [0.1]) for b in (3.0, 3.0, 0.1, 3.0)]
        assert edfl.audit(several, [1, 0, 1, 0]).errors == 1
        assert edfl.audit(self.plans(np.zeros(2)), [0, 1]).error_rate is None

    def test_refuses(self):
        with pytest.raises(ValueError, match="wrong"):
            edfl.audit(self.plans(np.ones(3)), [True])
        with pytest.raises(ValueError, match="empty"):
            edfl.audit([], [])

    def test_calibration_keeps_its_promise(self):
        rng = np.random.default_rng(0)
        h, broken, runs = 0.1, 0, 60
        for _ in range(runs):
            budget = rng.uniform(0, 6, 400)
            found = edfl.calibrate(self.plans(budget), rng.random(400) < np.exp(-budget), h, level=0.9)
            limit = edfl.b2t(0.05, 0.1) + found.margin  # answers where the budget is at least this
            low = max(limit, 0.0)
            truth = (math.exp(-low) - math.exp(-6)) / (6 - low) if low < 6 else 0.0
            broken += truth > h
        assert broken <= 0.1 * runs + 3 * math.sqrt(runs * 0.09)
        assert found.errors / found.answered <= h

    def test_calibration_refuses_all_where_nothing_works(self):
        budget = np.linspace(0, 6, 200)
        found = edfl.calibrate(self.plans(budget), np.ones(200), 0.1)
        assert found.margin == math.inf
        assert not self.plans(budget).with_margin(found.margin).answer.any()
        few = edfl.calibrate(self.plans(budget[:20]), np.zeros(20), 0.05)
        assert few.margin == math.inf  # 20 right answers prove no error rate of 5 %
        enough = edfl.calibrate(self.plans(budget), np.zeros(200), 0.05)
        assert enough.answered == 200
        assert enough.errors == 0
