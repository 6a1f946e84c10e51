"""What every functional of a Spectrum promises, in every library and precision, from every constructor."""

import math

import numpy as np
import pytest

from plogp.spectra import Spectrum, effective_rank, participation_ratio, rankme, vendi_score, von_neumann_entropy

torch = pytest.importorskip("torch")

#: Decided by eigenvalues that are at the rounding of the precision in a kernel matrix.
BY_SMALL_VALUES = ("hill 0", "hill 0.5", "numerical_rank", "isotropy", "condition")

#: name: (functional, value at D equal eigenvalues, value at a single one, differentiable where values are distinct)
FUNCTIONALS = {
    "entropy": (lambda s: s.entropy(), math.log, lambda D: 0.0, True),
    "entropy in bits": (lambda s: s.entropy(base=2), math.log2, lambda D: 0.0, True),
    "renyi": (lambda s: s.entropy("renyi", alpha=3), math.log, lambda D: 0.0, True),
    "tsallis": (lambda s: s.entropy("tsallis", q=2), lambda D: 1 - 1 / D, lambda D: 0.0, True),
    "min": (lambda s: s.entropy("min"), math.log, lambda D: 0.0, True),
    "hill 0": (lambda s: s.hill(0), float, lambda D: 1.0, False),
    "hill 0.5": (lambda s: s.hill(0.5), float, lambda D: 1.0, True),
    "hill inf": (lambda s: s.hill(math.inf), float, lambda D: 1.0, True),
    "effective_rank": (lambda s: s.effective_rank, float, lambda D: 1.0, True),
    "participation_ratio": (lambda s: s.participation_ratio, float, lambda D: 1.0, True),
    "stable_rank": (lambda s: s.stable_rank, float, lambda D: 1.0, True),
    "numerical_rank": (lambda s: s.numerical_rank(), float, lambda D: 1.0, False),
    "isotropy": (lambda s: s.isotropy, lambda D: 1.0, lambda D: 0.0, True),
    "condition": (lambda s: s.condition, lambda D: 1.0, lambda D: math.inf, True),
    "eee": (lambda s: s.eee(), lambda D: 0.0, lambda D: 1 - 1 / D, True),
    "eee trapezoid": (lambda s: s.eee("trapezoid"), lambda D: 0.0, lambda D: (1 - 1 / D) ** 2, True),
    "rankme": (lambda s: s.rankme(0.0), float, lambda D: 1.0, True),
    "js with itself": (lambda s: s.js(s), lambda D: 0.0, lambda D: 0.0, False),
}
CONSTRUCTORS = {
    "covariance": Spectrum.covariance,
    "second moment": lambda X: Spectrum.covariance(X, center=False),
    "autocorrelation": Spectrum.autocorrelation,
    "singular": Spectrum.singular,
    "kernel": lambda X: Spectrum.kernel(X @ X.T if isinstance(X, np.ndarray) else X @ X.mT),
    "diffusion": Spectrum.diffusion,
    "values": Spectrum.from_values,
}
KINDS = {
    "numpy float64": (lambda X: np.asarray(X, np.float64), 1e-9),
    "numpy float32": (lambda X: np.asarray(X, np.float32), 1e-4),
    "torch float64": (lambda X: torch.tensor(X, dtype=torch.float64), 1e-9),
    "torch float32": (lambda X: torch.tensor(X, dtype=torch.float32), 2e-3),
    "torch bfloat16": (lambda X: torch.tensor(X, dtype=torch.bfloat16), 0.12),
}


def data(n=40, d=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)) * np.arange(1, d + 1) ** -0.5 + 0.2


def rotation(d=6):
    return np.linalg.qr(np.random.default_rng(5).normal(size=(d, d)))[0]


def build(name, X):
    return CONSTRUCTORS[name](X[:, 0] ** 2 if name == "values" else X)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("functional", FUNCTIONALS)
def test_same_in_every_library_and_precision(functional, kind):
    cast, tolerance = KINDS[kind]
    call = FUNCTIONALS[functional][0]
    for name in CONSTRUCTORS:
        if name in ("diffusion", "kernel") and functional in BY_SMALL_VALUES:
            continue  # decided by eigenvalues at the rounding of the precision
        exact, ours = call(build(name, data())), call(build(name, cast(data())))
        assert float(ours) == pytest.approx(float(exact), rel=tolerance, abs=tolerance), name
        if "torch" in kind:
            assert isinstance(ours, torch.Tensor)
            if functional != "numerical_rank":
                assert ours.dtype == (torch.float64 if "64" in kind else torch.float32)


@pytest.mark.parametrize("constructor", CONSTRUCTORS)
@pytest.mark.parametrize("functional", FUNCTIONALS)
def test_scale_does_not_matter(functional, constructor):
    call = FUNCTIONALS[functional][0]
    expected = float(call(build(constructor, data())))
    for factor in (1e-9, 3.0, 1e9):
        assert float(call(build(constructor, factor * data()))) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("constructor", [name for name in CONSTRUCTORS if name != "values"])
@pytest.mark.parametrize("functional", FUNCTIONALS)
def test_rotation_does_not_matter(functional, constructor):
    if constructor in ("diffusion", "kernel") and functional in ("isotropy", "condition", "hill 0", "numerical_rank"):
        pytest.skip("decided by eigenvalues at rounding")
    call = FUNCTIONALS[functional][0]
    expected = float(call(build(constructor, data())))
    assert float(call(build(constructor, data() @ rotation()))) == pytest.approx(expected, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("functional", FUNCTIONALS)
def test_uniform_and_rank_one(functional, kind):
    cast, _ = KINDS[kind]
    call, uniform, single, _ = FUNCTIONALS[functional]
    D = 8
    flat = {
        "covariance": np.vstack([np.eye(D), -np.eye(D)]),
        "second moment": 2 * np.eye(D),
        "autocorrelation": np.repeat(np.eye(D), 3, axis=0),
        "singular": np.eye(D),
        "kernel": np.eye(D),
        "values": np.ones(D),
    }
    one = {name: np.zeros_like(x) for name, x in flat.items()}
    for name, x in one.items():
        if name == "values":
            x[0] = 4.0
        else:
            x[:, 0] = 1.0
    one["covariance"][::2, 0] = -1.0
    for name, x in flat.items():
        s, t = CONSTRUCTORS[name](cast(x)), CONSTRUCTORS[name](cast(one[name]))
        assert float(call(s)) == pytest.approx(uniform(D), rel=1e-5, abs=1e-5), name
        assert float(call(t)) == pytest.approx(single(D), rel=1e-5, abs=1e-5), name


@pytest.mark.parametrize("constructor", CONSTRUCTORS)
@pytest.mark.parametrize("functional", [name for name, row in FUNCTIONALS.items() if row[3]])
def test_gradcheck(functional, constructor):
    if constructor in ("kernel", "diffusion") and functional in ("isotropy", "condition"):
        pytest.skip("the smallest eigenvalue is at rounding")
    call = FUNCTIONALS[functional][0]
    X = torch.tensor(data(9, 3), requires_grad=True)
    fixed = (lambda x: Spectrum.diffusion(x, 1.1)) if constructor == "diffusion" else (lambda x: build(constructor, x))
    assert torch.autograd.gradcheck(lambda x: call(fixed(x)), (X,), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("functional", [name for name, row in FUNCTIONALS.items() if row[3]])
def test_gradients_are_finite_at_repeated_and_zero_values(functional):
    call = FUNCTIONALS[functional][0]
    for rows in (np.vstack([np.eye(4)[:3], -np.eye(4)[:3]]), np.repeat(data(3, 5), 2, axis=0)):
        for dtype in (torch.float64, torch.float32):
            X = torch.tensor(rows, dtype=dtype, requires_grad=True)
            (gradient,) = torch.autograd.grad(call(Spectrum.covariance(X)), X)
            assert torch.isfinite(gradient).all() or functional == "condition"


@pytest.mark.parametrize("constructor", [name for name in CONSTRUCTORS if name != "values"])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_refusals(constructor, library):
    cast = np.asarray if library == "numpy" else torch.tensor
    call = CONSTRUCTORS[constructor]
    for bad in (np.nan, np.inf):
        x = np.eye(3)
        x[1, 2] = bad
        with pytest.raises(ValueError, match="NaN"):
            Spectrum.kernel(cast(x)) if constructor == "kernel" else call(cast(x))
    with pytest.raises(ValueError, match="empty"):
        call(cast(np.empty((0, 3))))
    with pytest.raises(TypeError, match="real numbers"):
        call(cast(np.ones((3, 3)) * 1j))


def test_one_row():
    row = [[1.0, 2.0, 2.0]]
    with pytest.raises(ValueError, match="at least 2 rows"):
        Spectrum.covariance(row)
    with pytest.raises(ValueError, match="at least 2 rows"):
        Spectrum.singular(row, center=True)
    for s in (Spectrum.autocorrelation(row), Spectrum.singular(row), Spectrum.kernel([[2.0]]), Spectrum.diffusion(row)):
        assert float(s.effective_rank) == pytest.approx(1.0)


def test_integers_lists_and_one_dimension():
    assert Spectrum.covariance([[0, 1], [1, 0], [2, 3]]).values.dtype == np.float64
    assert Spectrum.covariance([1, 2, 3, 4]).values.shape == (1,)
    assert float(Spectrum.singular(torch.tensor([[3, 0], [0, 4]])).nuclear) == 7.0


def test_functions_are_compositions():
    """One number, two ways: the function and the functional of the spectrum."""
    X = data()
    assert rankme(X) == Spectrum.singular(X).rankme()
    assert effective_rank(X) == Spectrum.singular(X).effective_rank
    assert participation_ratio(X) == Spectrum.covariance(X).participation_ratio
    assert von_neumann_entropy(X) == Spectrum.autocorrelation(X).entropy()
    assert vendi_score(X) == Spectrum.autocorrelation(X).effective_rank
    assert math.log(vendi_score(X)) == pytest.approx(von_neumann_entropy(X))


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
def test_jax():
    jax = pytest.importorskip("jax")
    X = data().astype(np.float32)
    Y = jax.numpy.asarray(X)
    for name in ("covariance", "singular", "diffusion"):
        assert float(build(name, Y).entropy()) == pytest.approx(float(build(name, X).entropy()), rel=1e-3)
    gradient = jax.grad(lambda x: Spectrum.covariance(x).entropy())(Y)
    T = torch.tensor(X, requires_grad=True)
    Spectrum.covariance(T).entropy().backward()
    np.testing.assert_allclose(np.asarray(gradient), T.grad.numpy(), atol=1e-4)
