"""Frontiers against enumeration of all selections, chance constraints, ties, and scores on held-out rows."""

import itertools

import numpy as np
import pytest

from plogp.stats.frontier import Frontier, ParetoMIP, fair_frontier, holdout, score_information

Z95 = 1.6448536269514722


def enumerated(mip, alpha=None, form="exact"):
    """The frontier found by trying every selection."""
    value, cost = np.asarray(mip.value), np.asarray(mip.cost)
    chosen = np.array(list(itertools.product([False, True], repeat=len(value))))
    allowed = np.ones(len(chosen), dtype=bool)
    if mip.max_items is not None:
        allowed &= chosen.sum(axis=1) <= mip.max_items
    for i, j in mip.conflicts:
        allowed &= ~(chosen[:, i] & chosen[:, j])
    if mip.groups is not None:
        for g in np.unique(mip.groups):
            allowed &= chosen[:, np.asarray(mip.groups) == g].sum(axis=1) <= 1
    chosen = chosen[allowed]
    total, price = chosen @ value, chosen @ cost
    if alpha is not None:
        se = np.asarray(mip.cost_se)
        price = price + (Z95 * chosen @ se if form == "conservative" else Z95 * np.sqrt(chosen @ se**2))
    best = []
    for k in np.lexsort((-total, price)):
        if not best or total[k] > best[-1][1] + 1e-12:
            best.append((price[k], total[k]))
    return np.array(best)


def program(seed):
    rng = np.random.default_rng(seed)
    value, cost, se = rng.exponential(0.1, 12), rng.exponential(0.05, 12), rng.uniform(0.001, 0.05, 12)
    if seed % 3 == 0:
        cost[:4] = 0
    if seed % 4 == 1:
        value, cost = value.round(1), cost.round(1)
    pairs = [tuple(int(i) for i in rng.choice(12, 2, replace=False)) for _ in range(seed % 5)]
    groups = rng.integers(0, 9, 12) if seed % 2 else None
    return ParetoMIP(value, cost, cost_se=se, conflicts=pairs, groups=groups, max_items=6 if seed % 3 else None)


@pytest.mark.parametrize("seed", range(8))
def test_frontier_is_the_enumerated_one(seed):
    mip = program(seed)
    frontier, truth = mip.frontier(), enumerated(mip)
    assert np.column_stack([frontier.bounds, frontier.values]) == pytest.approx(truth, abs=1e-9)
    assert np.all(np.diff(frontier.values) > 0)
    assert np.all(np.diff(frontier.bounds) > 0)


@pytest.mark.parametrize("form", ["exact", "conservative"])
@pytest.mark.parametrize("seed", range(4))
def test_chance_constrained_frontier_is_the_enumerated_one(seed, form):
    mip = program(seed)
    frontier, truth = mip.frontier(alpha=0.05, form=form), enumerated(mip, 0.05, form)
    assert np.column_stack([frontier.bounds, frontier.values]) == pytest.approx(truth, abs=1e-9)


def test_conservative_is_never_better():
    mip = program(2)
    exact = mip.frontier(alpha=0.05)
    for point in mip.frontier(alpha=0.05, form="conservative"):
        assert exact.best(point.bound + 1e-9).value >= point.value - 1e-12


def test_many_free_items_are_no_burden():
    rng = np.random.default_rng(0)
    cost = np.concatenate([np.zeros(18), rng.exponential(0.1, 4)])
    value = rng.exponential(0.1, 22)
    frontier = ParetoMIP(value, cost).frontier()
    costly = enumerated(ParetoMIP(value[18:], cost[18:]))
    assert frontier.bounds == pytest.approx(costly[:, 0])
    assert frontier.values == pytest.approx(costly[:, 1] + value[:18].sum())
    assert len(frontier[0].selected) == 18
    assert len(frontier[-1].selected) == 22


def test_budgets_and_solve_agree_with_the_frontier():
    mip = program(4)
    frontier = mip.frontier()
    for budget in (0.05, 0.1, 0.2):
        assert mip.solve(budget).value == pytest.approx(frontier.best(budget).value)
    few = mip.frontier(budgets=[0.05, 0.1, 0.2])
    assert len(few) == 3
    assert mip.solve(-1.0) is None
    with pytest.raises(ValueError, match="no point costs"):
        frontier.best(-1.0)


def test_errors_add_in_squares():
    point = ParetoMIP([1.0, 2.0], [0.1, 0.2], [0.3, 0.4], [0.03, 0.04]).frontier()[-1]
    assert point.value_se == pytest.approx(0.5)
    assert point.cost_interval() == pytest.approx((0.3 - 1.96 * 0.05, 0.3 + 1.96 * 0.05), abs=1e-3)
    assert point.value_interval(0.9)[0] == pytest.approx(3 - Z95 * 0.5)


def test_correlated_columns_and_rival_binnings_exclude_each_other():
    correlation = np.array([[1.0, 0.9, 0.0], [0.9, 1.0, -0.8], [0.0, -0.8, 1.0]])
    frontier = fair_frontier([0.5, 0.4, 0.3], [0.0, 0.0, 0.0], correlation=correlation, features=list("abc"))
    assert frontier[-1].names == ("a", "c")
    rivals = fair_frontier([0.5, 0.6, 0.3], [0.1, 0.3, 0.1], columns=["age", "age", "job"])
    assert all(not {0, 1} <= set(p.selected) for p in rivals)
    assert "selected" in repr(rivals)
    assert isinstance(rivals, Frontier)
    assert fair_frontier([0.5], [-0.01])[-1].cost == 0  # a negative bias-corrected leak is none


def test_score_information_against_the_normal_closed_form():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 50_000)
    for shift in (0.5, 1.0):
        e = score_information(rng.normal(size=100_000) + shift * y, y, bins=40)
        assert e.value == pytest.approx(shift**2, rel=0.03)  # Jeffreys of N(shift, 1) and N(0, 1)
    assert score_information(np.zeros(100), np.arange(100) % 2).value == 0.0


def test_holdout_measures_the_score_itself():
    rng = np.random.default_rng(0)
    y, a = rng.random(20_000) < 0.3, rng.random(20_000) < 0.5
    x = rng.normal(size=(20_000, 3)) + np.column_stack([y, y + a, a])
    frontier = fair_frontier([1.0, 0.9, 0.0], [0.0, 1.0, 1.0])
    found = holdout(frontier, lambda chosen: x[:, list(chosen)].sum(axis=1), y, a)
    assert [h.point.selected for h in found] == [(0,), (0, 1)]
    fair, able = found
    assert fair.leak.value < 0.01 < able.leak.value
    assert able.iv.value > fair.iv.value
    assert abs(fair.parity.value) < 3 * fair.parity.se
    assert able.parity.distinguishable()
    from sklearn.metrics import roc_auc_score

    assert fair.auc.value == pytest.approx(roc_auc_score(y, x[:, 0]))
    with pytest.raises(ValueError, match="shape"):
        holdout(frontier, lambda chosen: x[:5, 0], y, a)
    with pytest.raises(ValueError, match="protected"):
        holdout(frontier, lambda chosen: x[:, 0], y, np.zeros(20_000))


def test_auc_error_is_that_of_repeated_samples():
    rng = np.random.default_rng(0)
    frontier = fair_frontier([1.0], [0.0])
    values, errors = [], []
    for _ in range(200):
        y = np.repeat([True, False], [60, 140])
        x = rng.normal(size=200) + y
        auc = holdout(frontier, lambda chosen, x=x: x, y, np.arange(200) % 2)[0].auc
        values.append(auc.value)
        errors.append(auc.se)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"value": [], "cost": []}, "value"),
        ({"value": [1.0], "cost": [1.0, 2.0]}, "cost"),
        ({"value": [1.0], "cost": [-1.0]}, "cost"),
        ({"value": [np.nan], "cost": [1.0]}, "value"),
        ({"value": [1.0], "cost": [1.0], "cost_se": [-1.0]}, "cost_se"),
        ({"value": [1.0], "cost": [1.0], "conflicts": [(0, 1)]}, "conflicts"),
        ({"value": [1.0], "cost": [1.0], "groups": [1, 2]}, "groups"),
        ({"value": [1.0], "cost": [1.0], "names": ["a", "b"]}, "names"),
        ({"value": [1.0], "cost": [1.0], "max_items": -1}, "max_items"),
    ],
)
def test_bad_input_is_named(arguments, said):
    with pytest.raises(ValueError, match=said):
        ParetoMIP(**arguments)


def test_bad_options_are_named():
    mip = ParetoMIP([1.0], [1.0])
    with pytest.raises(ValueError, match="cost_se"):
        mip.frontier(alpha=0.05)
    with pytest.raises(ValueError, match="form"):
        mip.frontier(form="robust")
    with pytest.raises(ValueError, match="alpha"):
        ParetoMIP([1.0], [1.0], cost_se=[0.1]).frontier(alpha=0.9)
    with pytest.raises(ValueError, match="correlation"):
        fair_frontier([1.0, 2.0], [0.0, 0.0], correlation=np.eye(3))
