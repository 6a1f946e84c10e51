"""Variational bounds: formulas by brute force, theorems at the optimal critic, extremes and gradients."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import plogp as pl

torch = pytest.importorskip("torch")
variational = pytest.importorskip("plogp.estimate.variational")
bound, bound_terms, variance_floor = variational.bound, variational.bound_terms, variational.variance_floor

MATRIX = ("infonce", "interpolated")
F_DIVERGENCES = ["kl", "reverse_kl", "js", "chi2", "hellinger", "jeffreys", "le_cam", "neyman", "skew_kl"]


def _mixed():
    return 0.7 * pl.divergence("kl") + 0.3 * pl.divergence("reverse_kl")


def _scores(n=9, seed=0, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, n, generator=g, dtype=torch.float64) * scale


def _parts(S):
    S = np.asarray(S)
    return np.diag(S), S[~np.eye(len(S), dtype=bool)]


def _gaussian(n, rho, d=1, seed=0):
    """Samples and the optimal critic's scores, log p(x, y)/p(x)p(y)."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d))
    y = rho * x + math.sqrt(1 - rho**2) * rng.standard_normal((n, d))
    return torch.from_numpy(x), torch.from_numpy(y)


def _log_ratio(x, y, rho):
    """Of matching rows."""
    r2 = rho * rho
    q = (r2 * (x * x + y * y) - 2 * rho * x * y) / (2 * (1 - r2))
    return (-0.5 * math.log1p(-r2) - q).sum(-1)


def _softplus(t):
    return np.logaddexp(0, t)


BRUTE = {
    "dv": lambda p, q: p.mean() - np.log(np.exp(q).mean()),
    "nwj": lambda p, q: p.mean() - np.exp(q - 1).mean(),
    "tuba": lambda p, q: 1 + p.mean() - np.exp(q).mean(),
    "js": lambda p, q: 1 + p.mean() - np.exp(q).mean(),
    "smile": lambda p, q: p.mean() - np.log(np.clip(np.exp(q), np.exp(-0.5), np.exp(0.5)).mean()),
    "mine": lambda p, q: p.mean() - np.log(np.exp(q).mean()),
}


@pytest.mark.parametrize("kind", BRUTE)
def test_values_are_the_formulas(kind):
    S = _scores()
    value = bound(S, kind, tau=0.5).value
    np.testing.assert_allclose(value, BRUTE[kind](*_parts(S)), rtol=1e-13)
    joint, product = _parts(S)
    again = bound(torch.tensor(joint), kind, product=torch.tensor(product), tau=0.5).value
    np.testing.assert_allclose(again, value, rtol=1e-13)


@pytest.mark.parametrize("kind", ["dv", "mine", "nwj", "tuba", "infonce", "interpolated", "f"])
def test_objective_and_value_are_one_where_they_should_be(kind):
    out = bound(_scores(), kind)
    torch.testing.assert_close(out.objective, out.value, rtol=1e-12, atol=1e-12)


def test_objective_of_js_and_smile_is_the_classifier():
    joint, product = _parts(_scores())
    expected = -_softplus(-joint).mean() - _softplus(product).mean()
    for kind in ("js", "smile"):
        np.testing.assert_allclose(bound(_scores(), kind).objective, expected, rtol=1e-13)


def test_infonce_is_the_cross_entropy():
    S = _scores()
    expected = math.log(9) - torch.nn.functional.cross_entropy(S, torch.arange(9))
    torch.testing.assert_close(bound(S, "infonce").value, expected)


def test_interpolated_by_brute_force():
    S, log_a, alpha = _scores(6), torch.linspace(-1, 1, 6, dtype=torch.float64), 0.3
    s, a, n = S.numpy(), log_a.numpy(), 6
    joint, product = [], []
    for j in range(n):
        for k in range(n):
            others = [i for i in range(n) if i != k]
            mix = alpha * np.mean(np.exp(s[others, j])) + (1 - alpha) * np.exp(a[j])
            if k == j:
                product += [np.exp(s[i, j]) / mix for i in others]
            else:
                joint.append(s[j, j] - np.log(mix))
    expected = 1 + np.mean(joint) - np.mean(product)
    value = bound(S, "interpolated", alpha=alpha, baseline=log_a).value
    np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_interpolated_ends_at_tuba_and_at_the_contrastive_bound():
    S, log_a = _scores(7), torch.linspace(-1, 1, 7, dtype=torch.float64)
    torch.testing.assert_close(
        bound(S, "interpolated", alpha=0, baseline=log_a).value, bound(S, "tuba", baseline=log_a).value
    )
    # α = 1: 1 - 1 is left of the product term, and the joint one is a contrast among n - 1.
    s = S.numpy()
    terms = [s[j, j] - np.log(np.mean(np.exp(np.delete(s[:, j], k)))) for j in range(7) for k in range(7) if k != j]
    np.testing.assert_allclose(bound(S, "interpolated", alpha=1).value, np.mean(terms), rtol=1e-12)


def test_tuba_with_its_baseline():
    S, log_a = _scores(5), torch.linspace(-1, 1, 5, dtype=torch.float64)
    torch.testing.assert_close(bound(S, "tuba", baseline=log_a).value, bound(S - log_a[None], "tuba").value)
    torch.testing.assert_close(bound(S, "tuba", baseline=torch.ones(5)).value, bound(S, "nwj").value)


@pytest.mark.parametrize("name", [*F_DIVERGENCES, "sum", "reversed", "custom"])
def test_f_is_the_conjugate_bound(name):
    d = {
        "sum": _mixed(),
        "reversed": pl.divergence("skew_kl").reversed(),
        "custom": pl.measures.from_generator(
            lambda t: (t - 1) ** 4, lambda t: 4 * (t - 1) ** 3, lambda t: 12 * (t - 1) ** 2 + 1e-9
        ),
    }.get(name)
    d = pl.divergence(name) if d is None else d
    S = _scores()
    joint, product = _parts(S)
    u, v = (d.df(np.exp(t)) for t in (joint, product))
    np.testing.assert_allclose(bound(S, "f", divergence=d).value, np.mean(u) - np.mean(d.conjugate(v)), rtol=1e-7)


def test_f_meets_the_named_bounds():
    S = _scores()
    torch.testing.assert_close(bound(S, "f").value, bound(S + 1, "nwj").value)
    js = bound(S, "js").objective
    torch.testing.assert_close(2 * bound(S, "f", divergence="js").objective - 2 * math.log(2), js)
    torch.testing.assert_close(bound(S, "f", divergence=2 * pl.divergence("kl")).value, 2 * bound(S, "f").value)


@pytest.mark.parametrize("name", [*F_DIVERGENCES, "sum"])
def test_f_at_the_log_ratio_is_the_divergence_and_less_elsewhere(name):
    """Two discrete laws: the value at T = log p/q is D(P‖Q) exactly, at any other T less."""
    d = _mixed() if name == "sum" else pl.divergence(name)
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
    counts = 10  # 10 p and 10 q are whole numbers, so that means over samples are the expectations
    ratio = np.log(p / q)

    def value(critic):
        joint = torch.tensor(np.repeat(critic, np.round(counts * p).astype(int)))
        product = torch.tensor(np.repeat(critic, np.round(counts * q).astype(int)))
        return float(bound(joint, "f", divergence=d, product=product).value)

    assert math.isclose(value(ratio), float(d(p, q)), rel_tol=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(20):
        assert value(ratio + 0.3 * rng.normal(size=3)) < float(d(p, q))


@pytest.mark.parametrize(("kind", "shift"), [("dv", 0.7), ("nwj", 1.0), ("js", 0.0), ("tuba", 0.0), ("f", 0.0)])
def test_optimal_critic_reaches_the_information_and_no_other_does(kind, shift):
    """5-d normal, n = 1e5 independent pairs of each kind: the value is I within 3 s.e., and less when perturbed."""
    rho, d, n = 0.5, 5, 100_000
    x, y = _gaussian(n, rho, d)
    truth = -0.5 * d * math.log1p(-rho * rho)
    other = y.roll(1, 0)
    joint, product = _log_ratio(x, y, rho), _log_ratio(x, other, rho)
    value = float(bound(joint + shift, kind, product=product + shift).value)
    se = math.sqrt((joint.var() + torch.exp(product).var()) / n)
    assert abs(value - truth) < 3 * se
    for factor, wave in ((0.8, 0.0), (1.0, 0.3)):
        worse = [factor * s + wave * torch.sin(3 * t[:, 0]) + shift for s, t in ((joint, y), (product, other))]
        assert float(bound(worse[0], kind, product=worse[1]).value) < value


def test_mine_gradient_is_exact_when_the_average_is():
    S = _scores().requires_grad_()
    joint, product = bound(S, "mine").objective, bound(S, "dv").objective
    assert float(joint.detach()) == pytest.approx(float(product.detach()))
    one, two = (torch.autograd.grad(o, S, retain_graph=True)[0] for o in (joint, product))
    torch.testing.assert_close(one, two)


def test_mine_gradient_uses_the_moving_average():
    S, state, rate = _scores().requires_grad_(), {}, 0.1
    first, second = _scores(seed=1), S
    bound(first, "mine", state=state, rate=rate)
    m = float(np.exp(_parts(first)[1]).mean())
    assert float(state["log_mean"]) == pytest.approx(math.log(m))
    (slope,) = torch.autograd.grad(bound(second, "mine", state=state, rate=rate).objective, S)
    product = _parts(S.detach())[1]
    m = (1 - rate) * m + rate * np.exp(product).mean()
    assert float(state["log_mean"]) == pytest.approx(math.log(m))
    expected = -np.exp(S.detach().numpy()) / m / (9 * 8)
    np.fill_diagonal(expected, 1 / 9)
    np.testing.assert_allclose(slope, expected, rtol=1e-12)


def test_mine_survives_a_jump_of_the_critic():
    state = {}
    bound(_scores(), "mine", state=state)
    S = (_scores() + 1e4).requires_grad_()
    out = bound(S, "mine", state=state)
    (slope,) = torch.autograd.grad(out.objective, S)
    assert torch.isfinite(slope).all()
    assert torch.isfinite(out.value)


def test_smile_without_clipping_is_dv_bitwise_and_clips_only_the_partition():
    S = _scores(scale=10.0)
    assert bound(S, "smile", tau=math.inf).value == bound(S, "dv").value
    joint, product = _parts(S)
    expected = joint.mean() - np.log(np.exp(np.clip(product, -1, 1)).mean())
    np.testing.assert_allclose(bound(S, "smile", tau=1).value, expected, atol=1e-13)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 30), st.floats(0.01, 100.0), st.integers(0, 10**6))
def test_bounds_among_each_other(n, scale, seed):
    """InfoNCE is at most log n; NWJ and TUBA are at most DV; a constant does not move DV or InfoNCE."""
    S = _scores(n, seed, scale)
    value = {kind: float(bound(S, kind).value) for kind in ("infonce", "nwj", "tuba", "dv")}
    assert value["infonce"] <= math.log(n) + 1e-9
    slack = 1e-9 * (1 + abs(value["dv"]))
    assert value["nwj"] <= value["dv"] + slack
    assert value["tuba"] <= value["dv"] + slack
    for kind in ("dv", "infonce"):
        assert float(bound(S + 3.0, kind).value) == pytest.approx(value[kind], rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("kind", variational.KINDS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("diagonal", "other"), [(1e4, -1e4), (-1e4, 1e4), (1e4, 1e4), (-1e4, -1e4), (0.0, 0.0)])
def test_extremes(kind, dtype, diagonal, other):
    S = torch.full((5, 5), other, dtype=dtype).fill_diagonal_(diagonal).requires_grad_()
    out = bound(S, kind)
    assert torch.isfinite(out.objective)
    (slope,) = torch.autograd.grad(out.objective, S)
    # float16 itself ends at e^11: the objective, in float32, is finite, its gradient on the way back may not be.
    assert torch.isfinite(slope).all() or (dtype == torch.float16 and kind in ("nwj", "tuba", "f"))
    assert not torch.isnan(slope).any()
    assert not torch.isnan(out.value)
    assert not out.value.requires_grad
    if kind in ("nwj", "tuba", "js") and other > 0:
        assert float(out.value) == -math.inf  # e^10000 is more than any float holds
    else:
        assert torch.isfinite(out.value)


@pytest.mark.parametrize("name", [*F_DIVERGENCES, "arithmetic_geometric", "sum"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extremes_of_f(name, dtype, size):
    S = torch.randn(6, 6, generator=torch.Generator().manual_seed(0)).to(dtype).mul_(size).requires_grad_()
    out = bound(S, "f", divergence=_mixed() if name == "sum" else name)
    (slope,) = torch.autograd.grad(out.objective, S)
    assert torch.isfinite(slope).all()
    assert not torch.isnan(out.value)


@pytest.mark.parametrize("kind", [k for k in variational.KINDS if k != "mine"])
def test_gradients(kind):
    S = _scores(4).requires_grad_()
    baseline = _scores(4, 3)[0].clone().requires_grad_() if kind in ("tuba", "interpolated") else None
    options = {"divergence": _mixed()} if kind == "f" else {}
    inputs = (S,) if baseline is None else (S, baseline)
    assert torch.autograd.gradcheck(lambda s, b=None: bound(s, kind, baseline=b, **options).objective, inputs)


def test_half_precision_is_computed_in_float32():
    S = _scores(40).to(torch.bfloat16)
    for kind in variational.KINDS:
        half, full = bound(S, kind), bound(S.float(), kind)
        assert half.objective.dtype == torch.float32
        assert half.value.dtype == torch.float64
        assert half.value == full.value


@pytest.mark.parametrize("kind", variational.KINDS)
def test_terms_are_the_infinitesimal_jackknife(kind):
    S = _scores(60, scale=0.5)
    options = {"baseline": 0.1 * _scores(60, 5)[0]} if kind in ("tuba", "interpolated") else {}
    value, terms = bound_terms(S, kind, **options)
    assert value == pytest.approx(float(bound(S, kind, **options).value), rel=1e-12)
    assert terms.mean() == pytest.approx(value, rel=1e-10)
    keep = [np.delete(np.arange(60), i) for i in range(60)]
    left = np.array(
        [
            float(bound(S[k][:, k], kind, **({"baseline": options["baseline"][k]} if options else {})).value)
            for k in keep
        ]
    )
    jackknife = 60 * value - 59 * left
    assert np.corrcoef(terms, jackknife)[0, 1] > 0.99
    assert terms.std() == pytest.approx(jackknife.std(), rel=0.1)


def test_standard_error_of_terms_is_that_over_repetitions():
    """The product pairs share samples; their part must be in the error."""
    values, errors = [], []
    for seed in range(200):
        x, y = _gaussian(100, 0.7, seed=seed)
        S = _log_ratio(x[:, None], y[None], 0.7)
        value, terms = bound_terms(S, "dv")
        values.append(value)
        errors.append(terms.std(ddof=1) / 10)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


def test_variance_of_the_partition_term():
    """Optimal critic, 1-d normal: the variance of the mean ratio is χ²/n = (1/(1 - ρ²) - 1)/n >= (e^I - 1)/n."""
    rho, n = 0.5, 200
    rng = np.random.default_rng(0)
    x, y = torch.from_numpy(rng.standard_normal((2, 4000, n, 1)))
    means = torch.exp(_log_ratio(x, y, rho)).mean(1).numpy()
    chi2 = 1 / (1 - rho**2) - 1
    assert means.mean() == pytest.approx(1.0, abs=0.01)
    assert means.var() == pytest.approx(chi2 / n, rel=0.15)
    assert means.var() > variance_floor(-0.5 * math.log1p(-(rho**2)), n)


def test_variance_floor_values_and_errors():
    np.testing.assert_allclose(variance_floor(np.array([0.0, 1.0]), 10), [0.0, (math.e - 1) / 10])
    assert variance_floor(1000.0, 2) == math.inf
    with pytest.raises(ValueError, match="information must not be negative"):
        variance_floor(-0.1, 5)
    with pytest.raises(ValueError, match="n must be at least 1"):
        variance_floor(1.0, 0)


@pytest.mark.parametrize(
    ("args", "options", "error", "match"),
    [
        ((_scores(), "donsker"), {}, ValueError, "kind must be one of 'dv'"),
        ((_scores()[:3], "dv"), {}, ValueError, r"shape \(n, n\) with n >= 2, got \(3, 9\)"),
        ((_scores(1), "dv"), {}, ValueError, "n >= 2"),
        ((_scores() * math.nan, "dv"), {}, ValueError, "S holds NaN"),
        ((_scores().long(), "dv"), {}, TypeError, "S must be a floating tensor"),
        ((np.eye(3), "dv"), {}, TypeError, "S must be a floating tensor"),
        ((_scores(), "smile"), {"tau": 0.0}, ValueError, "tau"),
        ((_scores(), "interpolated"), {"alpha": 1.5}, ValueError, "alpha"),
        ((_scores(), "mine"), {"rate": 0.0}, ValueError, "rate"),
        ((_scores(), "dv"), {"divergence": "kl"}, ValueError, "belongs to kind 'f'"),
        ((_scores(), "f"), {"divergence": "renyi"}, TypeError, "must be an f-divergence"),
        ((_scores(), "f"), {"divergence": "tv"}, ValueError, "kink"),
        ((_scores(), "tuba"), {"baseline": torch.zeros(4)}, ValueError, r"baseline must hold log a\(y_j\), 9 numbers"),
        ((_scores(), "infonce"), {"product": _scores()}, ValueError, "needs the .* scores S alone"),
        ((_scores(), "tuba"), {"product": _scores(), "baseline": torch.zeros(9)}, ValueError, "baseline"),
        ((_scores(), "dv"), {"product": torch.zeros(0)}, ValueError, "no scores"),
    ],
)
def test_bad_input(args, options, error, match):
    with pytest.raises(error, match=match):
        bound(*args, **options)
