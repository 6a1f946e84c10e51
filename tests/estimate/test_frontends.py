from __future__ import annotations

import math
from decimal import Decimal

import numpy as np
import pytest

from plogp import estimate as est
from plogp.estimate import registry
from plogp.estimate.registry import methods, prepare, register
from plogp.measures.uncertainty import Estimate

RNG = np.random.default_rng(0)
N = 600
LABELS = RNG.integers(0, 3, N)
X = RNG.standard_normal(N)
Y = 0.6 * X + 0.8 * RNG.standard_normal(N)


def test_the_type_decides():
    assert est.entropy(LABELS).method == "chao_wang_jost"
    assert est.entropy(LABELS.astype(str)).value == pytest.approx(est.entropy(LABELS).value)
    assert est.entropy(X > 0).value < math.log(2) + 0.01
    assert "kozachenko" in est.entropy(X).method
    assert est.mutual_information(LABELS, LABELS).value == pytest.approx(est.entropy(LABELS).value)
    assert "ksg" in est.mutual_information(X, Y).method
    assert "ross" in est.mutual_information(LABELS, X).method
    assert est.mutual_information(X, LABELS).value == pytest.approx(est.mutual_information(LABELS, X).value)
    assert "frenzel" in est.conditional_mutual_information(X, Y, X + Y).method


def test_known_values_lie_in_the_intervals():
    cases = [
        (est.entropy(X), 0.5 * math.log(2 * math.pi * math.e)),
        (est.mutual_information(X, Y), -0.5 * math.log(1 - 0.36)),
        (est.mutual_information(X, Y, method="gaussian"), -0.5 * math.log(1 - 0.36)),
        (est.mutual_information(X, LABELS), 0.0),
        (est.entropy(LABELS), math.log(3)),
        (est.total_correlation(X, Y), -0.5 * math.log(1 - 0.36)),
        (est.total_correlation(np.stack([X, Y], 1), method="gaussian"), -0.5 * math.log(1 - 0.36)),
    ]
    for found, truth in cases:
        low, high = found.interval(0.999)
        assert low <= truth <= high, found


def test_automatic_ksg_is_invariant_under_increasing_maps():
    assert est.mutual_information(X, np.exp(3 * Y)).value == pytest.approx(est.mutual_information(X, Y).value)


def test_ints_are_labels_and_a_copy_has_the_entropy():
    """MI of a column with itself is its entropy, in nats, not 1 and not an artefact of neighbours."""
    x = RNG.integers(0, 5, 1000)
    found = est.mutual_information(x, x)
    assert found.value == pytest.approx(est.entropy(x).value)
    assert found.to("bits").value == pytest.approx(found.value / math.log(2))


def test_independent_floats_are_not_labels():
    """Counting every float as a state would give log n = 6.4."""
    found = est.mutual_information(X, RNG.standard_normal(N))
    assert abs(found.value) < 0.1
    assert not found.distinguishable(level=0.99)


def test_a_constant_says_nothing():
    for other in (LABELS, X):
        found = est.mutual_information(np.zeros(N, int), other)
        assert found.value == pytest.approx(0.0, abs=1e-12)
    assert est.mutual_information(np.zeros(N), X).value == 0.0


def test_whole_floats_are_refused_with_guidance():
    counts = RNG.poisson(3, N).astype(float)
    with pytest.raises(ValueError, match=r"y is float but holds whole numbers.*Convert y to integers.*gao"):
        est.mutual_information(X, counts)
    with pytest.raises(ValueError, match="Convert x to integers"):
        est.entropy(counts)
    assert est.entropy(counts, method="plugin").value == pytest.approx(est.entropy(counts.astype(int), "plugin").value)
    assert math.isfinite(est.mutual_information(X, counts, method="gao").value)
    assert math.isfinite(est.mutual_information(X, counts, jitter=1e-10, rng=0).value)


def test_too_many_bins_are_refused():
    assert est.mutual_information(X, Y, method="binned", bins=8).value > 0.1
    with pytest.raises(ValueError, match=r"bins=50 make 2500 cells for 300 samples.*at most 17"):
        est.mutual_information(X[:300], Y[:300], method="binned", bins=50)


def test_unknown_methods_are_listed():
    with pytest.raises(ValueError, match=r"unknown method 'ksq'.*ksg"):
        est.mutual_information(X, Y, method="ksq")
    with pytest.raises(TypeError, match="'ksg' is for continuous variables; these are discrete"):
        est.mutual_information(LABELS, LABELS, method="ksg")
    with pytest.raises(TypeError, match="'plugin' is for discrete"):
        est.mutual_information(X, Y, method="plugin")
    with pytest.raises(TypeError, match="dual total correlation"):
        est.dual_total_correlation(X, Y)
    with pytest.raises(TypeError, match="z is continuous"):
        est.conditional_mutual_information(LABELS, LABELS, X)


def test_a_registered_method_is_found_by_name(monkeypatch):
    monkeypatch.setitem(registry._REGISTRY, "mutual_information", dict(registry._REGISTRY["mutual_information"]))
    seen = {}

    def constant(x, y, *, level=1.0, rng=None):
        seen["rng"] = rng
        return Estimate(level, 0.1, len(x), "constant")

    register("mutual_information", "My-Method", constant)
    assert "my_method" in methods("mutual_information")
    found = est.mutual_information(X, LABELS, method="my method", level=2.0, rng=0)
    assert found.value == 2.0
    assert isinstance(seen["rng"], np.random.Generator)
    with pytest.raises(ValueError, match="taken"):
        register("mutual_information", "ksg", constant)
    with pytest.raises(ValueError, match="unknown measure"):
        register("entropies", "x", constant)
    with pytest.raises(ValueError, match="suits"):
        register("entropy", "x", constant, suits="all")


def test_a_value_above_the_entropy_of_the_labels_is_flagged(monkeypatch):
    monkeypatch.setitem(registry._REGISTRY, "mutual_information", dict(registry._REGISTRY["mutual_information"]))
    register("mutual_information", "too_much", lambda x, y: Estimate(1.5, 0.1, len(x), "too_much"))
    assert "exceeds the entropy of y" in est.mutual_information(X, LABELS, "too_much").diagnostics["warning"]
    assert "warning" not in est.mutual_information(X, Y, "too_much").diagnostics
    assert "warning" not in est.mutual_information(X, LABELS).diagnostics
    assert "warning" not in est.mutual_information(["a", "b"] * 50, ["c", "d"] * 50).diagnostics


def test_permutation_p_values():
    independent = est.mutual_information(X[:150], RNG.standard_normal(150), p_value="permutation", num_permutations=39)
    assert independent.p_value > 0.02
    dependent = est.mutual_information(X[:150], Y[:150], p_value="permutation", num_permutations=39, rng=0)
    assert dependent.p_value == 0.025
    assert dependent.diagnostics["null"] == "independence"
    same = est.mutual_information(X[:150], Y[:150], p_value="permutation", num_permutations=39, rng=0)
    assert same.p_value == dependent.p_value
    with pytest.raises(ValueError, match="'permutation'"):
        est.mutual_information(X, Y, p_value="bootstrap")


def test_permutations_agree_with_the_g_test():
    x, y = LABELS[:200], np.where(RNG.random(200) < 0.2, LABELS[:200], RNG.integers(0, 3, 200))
    asymptotic = est.mutual_information(x, y).p_value
    permuted = est.mutual_information(x, y, p_value="permutation", num_permutations=499, rng=0).p_value
    assert permuted == pytest.approx(asymptotic, abs=0.04)


def test_conditional_permutation_keeps_what_z_explains():
    z = RNG.integers(0, 3, 400)
    x, y = (z + (RNG.random(400) < 0.3)) % 3, (z + (RNG.random(400) < 0.3)) % 3
    found = est.conditional_mutual_information(x, y, z, p_value="permutation", num_permutations=59, rng=0)
    assert found.p_value > 0.02
    assert est.mutual_information(x, y).p_value < 1e-6
    w = RNG.standard_normal(200)
    a, b = w + RNG.standard_normal(200), w + RNG.standard_normal(200)
    found = est.conditional_mutual_information(a, b, w, p_value="permutation", num_permutations=39, rng=0)
    assert found.p_value > 0.02


def test_labels_z_with_numbers():
    z = RNG.integers(0, 2, 800)
    x = RNG.standard_normal(800) + 3 * z
    y = 3 * z + RNG.standard_normal(800)
    found = est.conditional_mutual_information(x, y, z)
    assert found.interval(0.999)[0] <= 0 <= found.interval(0.999)[1]
    y = y + np.where(z == 1, x - 3, 0)
    truth = 0.5 * 0.5 * math.log(2)
    low, high = est.conditional_mutual_information(x, y, z).interval(0.999)
    assert low <= truth <= high


def test_transfer_entropy_of_labels_has_a_direction_and_a_lag():
    x = RNG.integers(0, 2, 4000)
    noisy = np.where(RNG.random(4000) < 0.1, 1 - x, x)
    y = np.roll(noisy, 3)
    flip = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    found = est.transfer_entropy(x, y, lag=3)
    assert found.interval(0.999)[0] <= math.log(2) - flip <= found.interval(0.999)[1]
    assert found.p_value < 1e-10
    assert not est.transfer_entropy(x, y, lag=1).distinguishable(level=0.999)
    assert not est.transfer_entropy(y, x, lag=3).distinguishable(level=0.999)
    shifted = est.transfer_entropy(x[:400], y[:400], lag=3, p_value="permutation", num_permutations=39, rng=0)
    assert shifted.p_value == 0.025
    with pytest.raises(ValueError, match="lag must be at least 1"):
        est.transfer_entropy(x, y, lag=0)


def test_transfer_entropy_error_allows_for_slow_regimes():
    """The coupling switches on and off every 20 steps: independent terms would give half the error."""
    rng = np.random.default_rng(1)
    values, errors, naive = [], [], []
    for _ in range(40):
        regime = np.cumsum(rng.random(1500) < 0.05) % 2
        x = rng.integers(0, 2, 1500)
        y = np.where((regime == 1) & (rng.random(1500) < 0.9), np.roll(x, 1), rng.integers(0, 2, 1500))
        values.append(est.transfer_entropy(x + 2 * regime, y).value)
        errors.append(est.transfer_entropy(x + 2 * regime, y, block=120).se)
        naive.append(est.transfer_entropy(x + 2 * regime, y, block=None).se)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.3)
    assert np.mean(naive) < 0.7 * np.std(values)


def test_transfer_entropy_against_its_definition():
    x, y = RNG.integers(0, 3, 300), RNG.integers(0, 2, 300)
    found = est.transfer_entropy(x, y, history=2, method="plugin").value
    past = y[1:-1] * 2 + y[:-2]
    direct = est.conditional_mutual_information(y[2:], x[1:-1], past, method="plugin").value
    assert found == pytest.approx(direct)


def test_transfer_entropy_of_numbers():
    y = np.zeros(1500)
    x = RNG.standard_normal(1500)
    for t in range(1, 1500):
        y[t] = 0.5 * y[t - 1] + 0.6 * x[t - 1] + RNG.standard_normal()
    truth = 0.5 * math.log(1.36)
    for method in ("auto", "gaussian"):
        low, high = est.transfer_entropy(x, y, method=method).interval(0.999)
        assert low <= truth <= high


def test_o_information_of_numbers():
    """Redundancy: three variables of correlation 0.8; closed form from determinants."""
    rho, n = 0.8, 1500
    shared = RNG.standard_normal(n)
    x = math.sqrt(rho) * shared[:, None] + math.sqrt(1 - rho) * RNG.standard_normal((n, 3))
    pair, triple = -0.5 * math.log(1 - rho**2), -0.5 * math.log((1 - rho) ** 2 * (1 + 2 * rho))
    truth = 3 * pair - triple
    found = est.o_information(x, method="gaussian")
    assert found.interval(0.999)[0] <= truth <= found.interval(0.999)[1]
    assert est.o_information(x).value == pytest.approx(truth, abs=0.12)
    synergy = RNG.integers(0, 2, (n, 2))
    assert est.o_information(synergy[:, 0], synergy[:, 1], synergy.sum(1) % 2).value == pytest.approx(
        -math.log(2), abs=0.01
    )


def test_paired_terms_of_labels():
    """Differences from the same samples: I(x;y) = H(x) + H(y) - H(x,y), with a paired error."""
    from plogp.estimate.combined import from_columns

    token = object()
    x, y = LABELS, (LABELS + (RNG.random(N) < 0.4)) % 3
    parts = [from_columns("entropy", "plugin", c, sample=token) for c in (x, y, np.stack([x, y], 1))]
    total = parts[0] + parts[1] - parts[2]
    direct = from_columns("mutual_information", "plugin", x, y, sample=token)
    assert total.value == pytest.approx(direct.value)
    assert total.se == pytest.approx(direct.se, rel=0.01)
    assert np.mean(direct.terms) == pytest.approx(est.mutual_information(x, y).value, abs=0.01)


def test_joint_states_of_rows():
    pairs = np.stack([LABELS, X > 0], 1).astype(int)
    joint = est.entropy(pairs, method="plugin").value
    assert joint == pytest.approx(est.entropy(pairs[:, 0] * 2 + pairs[:, 1], method="plugin").value)
    assert est.conditional_entropy(LABELS, LABELS).value == pytest.approx(0.0, abs=1e-9)


def test_torch_jax_and_frames_are_accepted():
    torch = pytest.importorskip("torch")
    t = torch.as_tensor(X, dtype=torch.float64).requires_grad_()
    assert est.entropy(t).value == pytest.approx(est.entropy(X).value)
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": LABELS.astype(str), "b": X})
    assert est.mutual_information(frame["a"], frame["b"]).value == pytest.approx(
        est.mutual_information(LABELS, X).value
    )
    nullable = pandas.Series(X).astype("Float64")
    assert est.entropy(nullable).value == pytest.approx(est.entropy(X).value)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: est.entropy([]), ValueError, "x is empty"),
        (lambda: est.entropy(3.0), ValueError, "x must be an array or a list"),
        (lambda: est.entropy([1.0, np.nan, 2.0]), ValueError, "x contains NaN"),
        (lambda: est.mutual_information([1, 2, 3], [1, 2]), ValueError, "y has 2 samples but x has 3"),
        (lambda: est.mutual_information(["a", None], ["b", "c"]), ValueError, "missing"),
        (lambda: est.entropy([1j]), TypeError, "complex"),
        (lambda: est.entropy(["a"]), ValueError, "at least 2 samples"),
        (lambda: est.total_correlation(LABELS), ValueError, "two or more variables"),
        (lambda: est.o_information(LABELS, LABELS), ValueError, "needs 3 variables"),
        (lambda: est.entropy(LABELS, method="nsb"), ValueError, "needs num_states"),
        (lambda: prepare(x=np.ma.array([1, 2], mask=[1, 0])), ValueError, "masked"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_options_reach_the_method_and_unknown_ones_do_not_vanish():
    assert est.entropy(LABELS, method="nsb", num_states=3).value == pytest.approx(math.log(3), abs=0.01)
    assert "k=7" in est.mutual_information(X, Y, k=7).method
    with pytest.raises(TypeError, match="unexpected"):
        est.mutual_information(X, Y, neighbours=7)


def test_the_room_imports_quickly():
    import subprocess
    import sys

    code = (
        "import sys, plogp.estimate; "
        "print([m for m in ('scipy.stats', 'sklearn', 'torch', 'jax', 'joblib', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names_exist():
    assert set(est.__all__) <= set(dir(est))
    for name in est.__all__:
        assert getattr(est, name) is not None
    assert callable(est.entropy)
    with pytest.raises(AttributeError, match="no attribute 'entropi'"):
        _ = est.entropi


def test_what_columns_of_other_libraries_hold_reaches_the_right_estimator():
    decimals = [Decimal(str(round(v, 6))) for v in X]
    assert est.mutual_information(decimals, X).method == est.mutual_information(X, X).method
    mixed = [1, "1"] * 50
    assert est.entropy(mixed, "plugin").value == pytest.approx(math.log(2))
    wide = LABELS.astype(np.uint64) + np.uint64(2**63)  # beyond int64
    assert est.entropy(wide, "plugin").value == pytest.approx(est.entropy(LABELS, "plugin").value)
    low = np.array([-128, 127, 127, -128], np.int8)
    assert est.entropy(low, "plugin").value == pytest.approx(math.log(2))


def test_messages_name_the_argument():
    with pytest.raises(ValueError, match=r"^x has missing"):
        est.mutual_information(np.array(["a", None] * 20, object), [1, 2] * 20)
    with pytest.raises(ValueError, match=r"^y has missing"):
        est.mutual_information(np.arange(40) / 7, np.array(["a", None] * 20, object))
    with pytest.raises(ValueError, match=r"every state of z has fewer than 10"):
        est.conditional_mutual_information(X, X, np.arange(N))


@pytest.mark.parametrize("stretch", [lambda v: v, lambda v: np.sign(v) * np.expm1(2 * np.abs(v))])
def test_auto_holds_for_heavy_tails(stretch):
    # On standardised axes the biases of the second case are -0.08 to -0.12 and the intervals cover 0 to 20 %.
    rng = np.random.default_rng(1)
    truth, hits, errors = -0.5 * math.log1p(-0.36), [], []
    for _ in range(8):
        x, z, e = rng.standard_normal((3, 400))
        y = 0.6 * x + 0.8 * e
        tc = est.total_correlation(stretch(x), stretch(y), stretch(z))
        cmi = est.conditional_mutual_information(stretch(x + z), stretch(y + z), stretch(z))
        hits += [found.interval()[0] <= truth <= found.interval()[1] for found in (tc, cmi)]
        errors += [found.value - truth for found in (tc, cmi)]
    assert np.mean(hits) >= 0.7
    assert abs(np.mean(errors)) < 0.04
    labels = rng.integers(0, 3, 400)
    y = rng.standard_normal(400) + labels
    plain, curved = est.mutual_information(labels, y), est.mutual_information(labels, stretch(y))
    assert curved.value == pytest.approx(plain.value)
    y[0] = 1e300  # one outlier does not make the others equal
    assert est.mutual_information(labels, y).value == pytest.approx(plain.value, abs=0.05)


def test_binned_refuses_several_columns():
    x, y = np.random.default_rng(0).normal(size=(2, 100, 2))
    with pytest.raises(ValueError, match="x has 2 columns"):
        est.mutual_information(x, y, method="binned")
    one = est.mutual_information(x[:, :1], y[:, :1], method="binned")
    assert one.value == est.mutual_information(x[:, 0], y[:, 0], method="binned").value
