"""Credit scorecards: IV, PSI and Jeffreys are one number; its error; fair selection; three encodings.

Checked: the identity, the standard errors of WoE and IV, the bias and the test at IV = 0, the frontier
against enumeration, and the paper's headline that one-hot, WoE and stump encodings score alike.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

import plogp as pl
from plogp.papers.claim import Result, claim
from plogp.stats.frontier import ParetoMIP
from plogp.tables.information_value import iv_from_counts, psi_from_counts, weight_of_evidence

SLUG = "woe-iv-psi"
EVENTS = np.array([0.10, 0.20, 0.30, 0.25, 0.15])
OTHERS = np.array([0.20, 0.25, 0.25, 0.20, 0.10])
N1, N0 = 400, 2500


@claim(SLUG, kind="exact")
def iv_is_psi_is_jeffreys(seed: int = 0) -> Result:
    """IV of good against bad, PSI of the same bins and the Jeffreys divergence of their shares are equal."""
    rng = np.random.default_rng(seed)
    jeffreys, worst = pl.divergence("jeffreys"), 0.0
    for _ in range(200):
        bad, good = rng.integers(2, 500, size=(2, rng.integers(2, 12)))
        p, q = bad / bad.sum(), good / good.sum()
        truth = float(((p - q) * np.log(p / q)).sum())
        found = (
            iv_from_counts(bad, good, smoothing=0.0).value.value,
            psi_from_counts(good, bad, smoothing=0.0).value.value,
            float(jeffreys(p, q)),
        )
        worst = max(worst, *(abs(value - truth) for value in found))
    return Result(worst, 0.0, "largest difference <= 1e-12 over 200 random tables", worst <= 1e-12, unit="nats")


@claim(SLUG, kind="exact")
def woe_difference_has_the_logit_error(seed: int = 0) -> Result:
    """The error of a difference of two bins' WoE is the error of the logistic regression coefficient."""
    events, others = np.array([30, 10]), np.array([10, 20])
    woe, error = weight_of_evidence(events, others, smoothing=0.0, se="log-odds")
    difference = math.hypot(*error)
    # Fisher information of the saturated one-hot model at its maximum, where the fit equals the shares.
    n, rate = events + others, events / (events + others)
    design = np.array([[1.0, 0.0], [1.0, 1.0]])
    information = design.T @ np.diag(n * rate * (1 - rate)) @ design
    logit = math.sqrt(np.linalg.inv(information)[1, 1])
    measured = {"bin errors": error.tolist(), "difference": difference, "logit coefficient": logit}
    passed = abs(difference - logit) < 1e-12 and np.allclose([*error, difference], [0.3651, 0.3873, 0.5323], atol=5e-5)
    expected = {"bin errors": [0.3651, 0.3873], "difference": 0.5323, "logit coefficient": 0.5323}
    return Result(measured, expected, "both errors agree to 1e-12", bool(passed), details={"woe": woe.tolist()})


@claim(SLUG, kind="statistical")
def iv_error_and_bias(seed: int = 0) -> Result:
    """The delta-method error of IV and its first-order bias are those of repeated samples."""
    rng = np.random.default_rng(seed)
    runs = 20_000
    p, q = rng.multinomial(N1, EVENTS, runs) / N1, rng.multinomial(N0, OTHERS, runs) / N0
    values = pl.divergence("jeffreys")(p, q)
    truth = float(((EVENTS - OTHERS) * np.log(EVENTS / OTHERS)).sum())
    at_truth = iv_from_counts(np.rint(N1 * EVENTS), np.rint(N0 * OTHERS), smoothing=0.0).value
    delta, bias = float(at_truth.se or 0.0), float(at_truth.diagnostics["bias"])
    sd, shift = float(values.std(ddof=1)), float(values.mean() - truth)
    # What a widely used package does: bins and rates as if they were independent.
    woe = np.log(EVENTS / OTHERS)
    parts = (EVENTS - OTHERS) ** 2 * (1 / (N1 * EVENTS) + 1 / (N0 * OTHERS))
    parts += woe**2 * (EVENTS * (1 - EVENTS) / N1 + OTHERS * (1 - OTHERS) / N0)
    measured = {"iv": truth, "sd": sd, "delta error": delta, "bias": shift, "first-order bias": bias}
    passed = abs(delta / sd - 1) <= 0.08 and abs(bias / shift - 1) <= 0.15
    return Result(
        measured,
        {"iv": 0.1210, "sd": 0.0391, "delta error": 0.0377, "bias": 0.0116, "first-order bias": 0.0116},
        "delta error within 8 % of the simulated sd, first-order bias within 15 % of the simulated one",
        passed,
        baseline={"error with independent bins": float(np.sqrt(parts.sum()))},
        unit="nats",
        details={"runs": runs},
    )


@claim(SLUG, kind="statistical")
def iv_test_has_its_level(seed: int = 0) -> Result:
    """Where IV is 0 the chi-square test rejects 5 % of the time, and the folklore band has no level."""
    rng = np.random.default_rng(seed)
    runs = 4000
    rows = [
        iv_from_counts(rng.multinomial(N1, OTHERS), rng.multinomial(N0, OTHERS), smoothing=0.0) for _ in range(runs)
    ]
    rate = float(np.mean([row.p_value < 0.05 for row in rows]))
    folklore = float(np.mean([row.value.value > 0.02 for row in rows]))
    return Result(
        rate,
        0.05,
        "rejects within 0.05 ± 0.01 of 4,000 equal pairs",
        abs(rate - 0.05) <= 0.01,
        baseline={"IV > 0.02, 'a predictor'": folklore},
        details={"runs": runs},
    )


@claim(SLUG, kind="exact")
def frontier_equals_enumeration(seed: int = 0) -> Result:
    """The mixed-integer frontier of 12 columns is the one found by trying all 4,096 selections."""
    rng = np.random.default_rng(seed)
    value, leak, error = rng.exponential(0.1, 12), rng.exponential(0.05, 12), rng.uniform(0.001, 0.02, 12)
    conflicts = [(0, 1), (2, 3), (4, 7)]
    chosen = np.array(list(itertools.product([False, True], repeat=12)))
    allowed = chosen.sum(axis=1) <= 7
    for i, j in conflicts:
        allowed &= ~(chosen[:, i] & chosen[:, j])
    chosen = chosen[allowed]
    program = ParetoMIP(value, leak, cost_se=error, conflicts=conflicts, max_items=7)
    worst, sizes, monotone = 0.0, {}, True
    for alpha in (None, 0.05):
        z = 0.0 if alpha is None else 1.6448536269514722
        cost = chosen @ leak + z * np.sqrt(chosen @ error**2)
        total = chosen @ value
        best: list[tuple[float, float]] = []
        for k in np.lexsort((-total, cost)):
            if not best or total[k] > best[-1][1] + 1e-12:
                best.append((float(cost[k]), float(total[k])))
        frontier = program.frontier(alpha=alpha)
        sizes[f"alpha={alpha}"] = [len(frontier), len(best)]
        monotone &= bool(np.all(np.diff(frontier.values) > 0) and np.all(np.diff(frontier.bounds) > 0))
        if len(frontier) != len(best):
            worst = math.inf
            continue
        pairs = np.column_stack([frontier.bounds, frontier.values])
        worst = max(worst, float(np.abs(pairs - np.array(best)).max()))
    return Result(
        worst,
        0.0,
        "same points to 1e-9, with and without the chance constraint; both totals rise along the frontier",
        worst <= 1e-9 and monotone,
        details={"points found and enumerated": sizes},
    )


@claim(SLUG, kind="directional")
def three_encodings_score_alike(seed: int = 0) -> Result:
    """On columns that are independent given the class, one-hot, WoE and monotone stumps have one AUC."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.preprocessing import OneHotEncoder

    from plogp.tables.binning import StumpBinner
    from plogp.tables.woe import WoEEncoder

    shift = np.array([0.9, 0.7, 0.6, 0.5, 0.4, 0.2, 0.1, 0.0])
    scores: dict[str, list[float]] = {"one-hot": [], "WoE": [], "stumps": []}
    coefficients = []
    for k in range(3):
        rng = np.random.default_rng([seed, k])
        bad = rng.random(20_000) < 0.2
        x = rng.normal(size=(20_000, 8)) + np.outer(bad, shift)
        train, test = slice(0, 14_000), slice(14_000, None)
        binner = StumpBinner(backend="sklearn", monotonic="increasing")
        encoder = WoEEncoder(binner).fit(x[train], bad[train])
        states = encoder.binner_.transform(x)
        one_hot = OneHotEncoder(handle_unknown="ignore").fit(states[train])
        plain = LogisticRegression(C=100.0, max_iter=2000).fit(one_hot.transform(states[train]), bad[train])
        woe = LogisticRegression(C=1e6).fit(encoder.transform(x[train]), bad[train])
        stumps = HistGradientBoostingClassifier(
            max_leaf_nodes=2, max_iter=200, learning_rate=0.2, monotonic_cst=[1] * 8, random_state=0
        ).fit(x[train], bad[train])
        given = {
            "one-hot": plain.decision_function(one_hot.transform(states[test])),
            "WoE": woe.decision_function(encoder.transform(x[test])),
            "stumps": stumps.decision_function(x[test]),
        }
        for name, score in given.items():
            scores[name].append(float(roc_auc_score(bad[test], score)))
        coefficients.append(woe.coef_[0][:7].round(3).tolist())
    mean = {name: float(np.mean(values)) for name, values in scores.items()}
    gap = max(max(v) - min(v) for v in zip(*scores.values()))
    return Result(
        mean,
        {"largest gap": 0.02, "paper, on its credit data": "0.82 to 0.84 for all three"},
        "AUCs within 0.02 of one another in each of 3 seeds",
        gap <= 0.02,
        details={"largest gap": gap, "per seed": scores, "WoE coefficients (near 1)": coefficients},
    )
