"""Unlearning: closed forms, SciPy, the released margins and histograms written out again, hostile input."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from plogp.text import unlearning as u

torch = pytest.importorskip("torch")
G = np.random.default_rng(0)


def test_margins_are_log_odds() -> None:
    z, y = G.normal(0, 3, (4, 6, 5)), G.integers(0, 5, 6)
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    own = np.take_along_axis(p, np.broadcast_to(y, (4, 6))[..., None], -1)[..., 0]
    np.testing.assert_allclose(u.margins(z, y), np.log(own / (1 - own)), atol=1e-10)
    np.testing.assert_allclose(u.margins(torch.tensor(z), torch.tensor(y)), u.margins(z, y), atol=1e-12)
    assert u.margins([[1e4, -1e4]], [1])[0] == -2e4


def plain_klom(p: np.ndarray, q: np.ndarray, bins: int = 20) -> float:
    """One point, with np.histogram, whose last bin holds its right end, and SciPy's renormalised entropy."""
    p, q = np.clip(p, -100, 100), np.clip(q, -100, 100)
    low, high = min(p.min(), q.min()), max(p.max(), q.max())
    edges = np.linspace(low, high if high > low else low + 1, bins + 1)
    a, b = (np.histogram(v, edges)[0] / len(v) for v in (p, q))
    return float(stats.entropy(a, np.where(a > 0, np.maximum(b, 1e-5), b)))


def test_klom_against_numpy_and_scipy() -> None:
    a, b = G.normal(0, 1, (60, 30)), G.normal(0.5, 1.5, (40, 30))
    a[:, 0] *= 200
    a[:, 1] = b[0, 1] = 3.0
    b[:, 2] = a[:, 2] = 1.0 if (len(a) == len(b)) else a[0, 2]
    expected = [plain_klom(a[:, j], b[:, j]) for j in range(30)]
    np.testing.assert_allclose(u.klom(a, b), expected, atol=1e-10)
    np.testing.assert_allclose(u.klom(a, a), 0, atol=1e-12)
    assert u.klom(np.zeros((5, 1)), np.ones((5, 1)))[0] == pytest.approx(np.log(1e5), abs=1e-4)
    # The direction: of the unlearned models from the oracles.
    wide, narrow = np.linspace(0, 1, 100)[:, None], np.full((100, 1), 0.5)
    assert u.klom(wide, narrow)[0] > u.klom(narrow, wide)[0]


def test_klom_refuses() -> None:
    for a, b in (
        (np.zeros(3), np.zeros(3)),
        (np.zeros((3, 2)), np.zeros((3, 1))),
        (np.zeros((0, 1)), np.zeros((3, 1))),
    ):
        with pytest.raises(ValueError, match="expected margins"):
            u.klom(a, b)
    with pytest.raises(ValueError, match="NaN"):
        u.klom([[np.nan]], [[1.0]])
    with pytest.raises(ValueError, match="bins"):
        u.klom([[0.0]], [[1.0]], bins=0)


def test_metrics_by_hand() -> None:
    x = G.normal(size=(30, 3))
    y = x.argmax(-1)
    sets = [(x[i : i + 10], y[i : i + 10]) for i in (0, 10, 20)]
    exact = u.metrics(lambda v: 9 * v, lambda v: 9 * v, *sets)
    assert (exact["FA"], exact["RA"], exact["JS"], exact["distance"]) == (1.0, 1.0, 0.0, 0.0)
    assert "AD" not in exact
    flat = u.metrics(lambda v: 0 * v, None, *sets, original=lambda v: 9 * v)
    assert flat["MIA"] == 0.5
    assert "distance" not in flat
    margins = [u.margins(9 * s[0], s[1]) for s in sets]
    wins = (margins[0][:, None] > margins[2]).mean()
    assert exact["MIA"] == pytest.approx(wins, abs=1e-12)
    p, q = np.full((10, 3), 1 / 3), np.exp(9 * x[:10]) / np.exp(9 * x[:10]).sum(-1, keepdims=True)
    m = (p + q) / 2
    js = (stats.entropy(p, m, axis=1) + stats.entropy(q, m, axis=1)) / 2
    assert flat["JS"] == pytest.approx(js.mean(), abs=1e-10)
    with pytest.raises(ValueError, match="oracle"):
        u.metrics(lambda v: v, None, *sets)
    for i, name in enumerate(("forget", "retain", "holdout")):
        some = [s if j != i else (s[0][:0], s[1][:0]) for j, s in enumerate(sets)]
        with pytest.raises(ValueError, match=f"{name} must hold"):
            u.metrics(lambda v: v, lambda v: v, *some)


def test_activation_distance_of_networks() -> None:
    a = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    b = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    x, y = torch.randn(8, 3), torch.zeros(8, dtype=torch.long)
    found = u.metrics(a, b, (x, y), (x, y), (x, y))
    with torch.no_grad():
        expected = float((a[:2](x) - b[:2](x)).norm(dim=-1).mean())
    assert found["AD"] == pytest.approx(expected, rel=1e-5)
    given = u.metrics(a, b, (x, y), (x, y), (x, y), activations=lambda m, v: m(v).detach())
    assert given["AD"] != found["AD"]


def test_reliability_against_scipy() -> None:
    table, d = G.normal(size=(15, 4)), G.random(15)
    table[:, 3] = -table[:, 0]
    found = u.reliability(table, d)
    for i in range(4):
        rho = stats.spearmanr(table[:, i], -d)
        assert (found.rho[i], found.rho_p[i]) == pytest.approx((rho.statistic, rho.pvalue))
        for j in range(i):
            tau = stats.kendalltau(table[:, i], table[:, j])
            assert (found.tau[i, j], found.tau_p[j, i]) == pytest.approx((tau.statistic, tau.pvalue))
    assert found.tau[0, 3] == pytest.approx(-1)
    assert found.clusters[0] != found.clusters[3]
    assert found.mean_tau == pytest.approx(found.tau[np.triu_indices(4, 1)].mean())


def test_score_by_hand_and_on_other_models() -> None:
    d = np.array([0.0, 1.0, 2.0, 3.0])
    table = {"a": -d, "b": d**2, "c": np.array([1.0, 0.0, 1.0, 0.0])}
    score = u.UnifiedQualityScore().fit(table, d)
    rho = np.array([1.0, -1.0, stats.spearmanr(table["c"], -d).statistic])
    np.testing.assert_allclose(score.weights, rho / np.abs(rho).sum())
    scaled = np.stack([(v - v.min()) / np.ptp(v) for v in table.values()], axis=1)
    np.testing.assert_allclose(score.score(table), scaled @ score.weights)
    shuffled = {name: table[name] for name in ("c", "a", "b")}
    np.testing.assert_allclose(score.score(shuffled), score.score(table))
    np.testing.assert_allclose(score.score({k: v[1:2] for k, v in table.items()}), score.score(table)[1:2])
    assert u.UnifiedQualityScore(positive_part=True).fit(table, d).weights[1] == 0
    mean, sd = score.stability(20, rng=0)
    assert 0 < mean <= 1
    assert sd >= 0
    assert score.stability(20, rng=0) == (mean, sd)
    exact = u.UnifiedQualityScore().fit({"a": -d}, d)
    assert exact.stability(5, rng=0) == pytest.approx((1.0, 0.0))


def test_score_refuses() -> None:
    d = [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="fit must be called"):
        u.UnifiedQualityScore().score({"a": d})
    with pytest.raises(ValueError, match="same for all models"):
        u.UnifiedQualityScore().fit({"a": [1, 1, 1]}, d)
    with pytest.raises(ValueError, match="at least 3 models"):
        u.UnifiedQualityScore().fit({"a": [1, 2]}, [1, 2])
    with pytest.raises(ValueError, match="finite"):
        u.UnifiedQualityScore().fit({"a": [1, 2, np.nan]}, d)
    with pytest.raises(ValueError, match="oracle_distance"):
        u.UnifiedQualityScore().fit({"a": [1, 2, 3]}, [1, 2])
    with pytest.raises(ValueError, match="no metric is correlated"):
        u.UnifiedQualityScore(positive_part=True).fit({"a": d}, d)
    with pytest.raises(ValueError, match="lacks the metrics a"):
        u.UnifiedQualityScore().fit({"a": [3, 2, 1]}, d).score({"b": d})
    with pytest.raises(ValueError, match="at least two metrics"):
        u.reliability({"a": d}, d)


@pytest.mark.parametrize("ridge", [0.0, 0.7])
def test_ridge_without_is_retraining(ridge: float) -> None:
    X, y = G.normal(size=(50, 5)), G.normal(size=(50, 2))
    forget = np.array([0, 7, 8, 30])
    kept = np.delete(np.arange(50), forget)
    exact = np.linalg.solve(X[kept].T @ X[kept] + ridge * np.eye(5), X[kept].T @ y[kept])
    np.testing.assert_allclose(u.ridge_without(X, y, forget, ridge), exact, atol=1e-10)


def test_influence_is_the_first_order_effect() -> None:
    X, y = G.normal(size=(400, 4)), G.normal(size=400)
    theta = np.linalg.lstsq(X, y, rcond=None)[0]
    queries = G.normal(size=(3, 4))
    beta = u.influence(queries, X, y - X @ theta)
    for i in (0, 5):
        exact = queries @ (theta - u.ridge_without(X, y, [i]))
        leverage = X[i] @ np.linalg.solve(X.T @ X, X[i])
        np.testing.assert_allclose(beta[:, i] / (1 - leverage), exact, rtol=1e-5, atol=1e-9)
    with pytest.raises(ValueError, match="residuals"):
        u.influence(queries, X, y[:3])


def test_datamodels_are_least_squares() -> None:
    effects, masks = G.normal(size=6), []

    def outputs(mask: np.ndarray) -> np.ndarray:
        masks.append(mask)
        return np.array([mask @ effects + 2 + 0.1 * mask[0] * mask[1], mask.sum()])

    found = u.datamodels(outputs, 6, 60, rng=0)
    X = np.column_stack([np.ones(60), np.array(masks, dtype=float)])
    exact = np.linalg.lstsq(X, X[:, 1:] @ effects + 2 + 0.1 * X[:, 1] * X[:, 2], rcond=None)[0]
    np.testing.assert_allclose([found.intercept[0], *found.beta[0]], exact, atol=1e-10)
    np.testing.assert_allclose(found(masks[0])[1], masks[0].sum(), atol=1e-10)
    np.testing.assert_allclose(found.effect([0, 2]), found.beta[:, [0, 2]].sum(1))
    with pytest.raises(ValueError, match="n_subsets"):
        u.datamodels(outputs, 6, 7)
    with pytest.raises(ValueError, match="alpha"):
        u.datamodels(outputs, 6, 60, alpha=1.0)
    assert u.datamodels(outputs, 6, 4, ridge=1.0, rng=0).beta.shape == (2, 6)


def test_matching_reaches_its_target_and_leaves_the_model_alone() -> None:
    g = torch.Generator().manual_seed(0)
    model = torch.nn.Linear(5, 3)
    before = {name: p.clone() for name, p in model.state_dict().items()}
    forget, retain = torch.randn(10, 5, generator=g), torch.randn(50, 5, generator=g)
    oracle = torch.nn.Linear(5, 3)
    options = {"epochs": 300, "lr": 0.05, "decay": 0.99, "rng": 0}
    match = u.DatamodelMatching.from_oracles([oracle], model, **options).fit(forget, retain)
    np.testing.assert_allclose(match.model_(forget).detach(), oracle(forget).detach(), atol=1e-2)
    np.testing.assert_allclose(match.direct()(retain), oracle(retain).detach(), atol=1e-5)
    assert match.losses_[-1] < 1e-4 < match.losses_[0]
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    again = u.DatamodelMatching.from_oracles([oracle], model, **options).fit(forget, retain)
    assert again.losses_ == match.losses_
    effects = (model(forget) - oracle(forget), model(retain) - oracle(retain))
    rows = u.DatamodelMatching(effects, model, **options).fit(forget, retain)
    np.testing.assert_allclose(rows.losses_, match.losses_, rtol=1e-3)
    with pytest.raises(ValueError, match="function of x"):
        rows.direct()
    half = u.DatamodelMatching(effects, model, multiplier=0.0, **{**options, "epochs": 1}).fit(forget, retain)
    assert half.losses_[0] < 1e-10
    soft = u.DatamodelMatching.from_oracles([oracle], model, loss="cross-entropy", **options).fit(forget, retain)
    np.testing.assert_allclose(soft.model_(forget).softmax(-1).detach(), oracle(forget).softmax(-1).detach(), atol=2e-2)
    held = u.DatamodelMatching.from_oracles([oracle], model, penalty=1e4, **options).fit(forget, retain)
    moved = [float((m.model_.weight - model.weight).detach().norm()) for m in (held, match)]
    assert moved[0] < moved[1]


def test_matching_refuses() -> None:
    model, x = torch.nn.Linear(2, 2), torch.zeros(3, 2)
    with pytest.raises(ValueError, match="loss must be"):
        u.DatamodelMatching(lambda v: v, model, loss="l1")
    with pytest.raises(ValueError, match="lr > 0"):
        u.DatamodelMatching(lambda v: v, model, lr=0.0)
    with pytest.raises(ValueError, match="attribution must have"):
        u.DatamodelMatching(lambda v: v[:, :1], model).fit(x, x)
    with pytest.raises(ValueError, match="forget must hold"):
        u.DatamodelMatching(lambda v: v, model).fit(x[:0], x)
    with pytest.raises(ValueError, match="oracles"):
        u.DatamodelMatching.from_oracles([], model)
