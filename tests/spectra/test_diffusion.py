import itertools
import math
import random

import numpy as np
import pytest

from plogp.spectra import Spectrum, dse, dsmi
from plogp.spectra.diffusion import clusters_of

torch = pytest.importorskip("torch")


def data(n=90, d=7, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


# ------------------------------------------------------------------------------------------------ the released code


@pytest.mark.parametrize("settings", [(10.0, 1.0), (2.0, 1.0), (1.0, 4.0), (0.3, 2.0)])
def test_parity_of_the_entropy(settings):
    package = pytest.importorskip("dse_dsmi")
    X = data()
    sigma, t = settings
    theirs = package.diffusion_spectral_entropy(X, sigma, t)
    assert dse(X, sigma, t, base=2) == pytest.approx(theirs, abs=1e-6)
    assert dse(X, sigma, t) == pytest.approx(theirs * math.log(2), abs=1e-6)


def test_parity_of_the_variants():
    package = pytest.importorskip("dse_dsmi")
    X = data()
    entries = package.diffusion_spectral_entropy(X, 2.0, matrix_entry_entropy=True)
    assert dse(X, 2.0, variant="entries", base=2) == pytest.approx(entries, abs=1e-6)
    binned = package.diffusion_spectral_entropy(X[:, :4], classic_shannon_entropy=True, num_bins_per_dim=3)
    assert dse(X[:, :4], variant="binned", bins=3, base=2) == pytest.approx(binned, abs=1e-6)
    adjacency = package.adjacency_spectral_entropy(X, 2.0)
    assert dse(X, 2.0, variant="adjacency", base=2) == pytest.approx(adjacency, abs=1e-6)
    graph = package.adjacency_spectral_entropy(X, use_knn=True, knn=6)
    assert dse(X, variant="knn", k=6, base=2) == pytest.approx(graph, abs=1e-6)


class TheirSubsets(np.random.Generator):
    """Draws the subsets that the released code draws: its seed is set again for every class."""

    def __init__(self, n_rep):
        super().__init__(np.random.PCG64(0))
        self.n_rep, self.calls = n_rep, 0

    def choice(self, n, size, replace=True):
        if self.calls % self.n_rep == 0:
            random.seed(0)
        self.calls += 1
        return np.array(random.sample(range(n), k=size))


@pytest.mark.parametrize("reference", ["labels", "scalar", "vectors"])
def test_parity_of_the_information(reference):
    package = pytest.importorskip("dse_dsmi")
    X = data(120)
    y = {
        "labels": np.random.default_rng(1).integers(0, 4, 120),
        "scalar": X[:, 0] + 0.1,
        "vectors": X[:, :3],
    }[reference]
    state = random.getstate()
    theirs, clusters = package.diffusion_spectral_mutual_information(X, y, gaussian_kernel_sigma=2.0, n_clusters=4)
    if reference == "scalar":  # there the largest value has the bin n_clusters: the same bins as here
        assert len(np.unique(clusters)) == 4
    ours = dsmi(X, y, 2.0, n_clusters=4, rng=TheirSubsets(5))
    random.setstate(state)
    assert ours.to("bits").value == pytest.approx(float(theirs), abs=1e-6)


# ------------------------------------------------------------------------------------------------ identities


def test_identical_points_and_far_clusters():
    assert dse(np.ones((20, 3))) == pytest.approx(0.0, abs=1e-9)
    for m in (2, 5):
        X = np.repeat(np.eye(m) * 1000, 12, axis=0) + 0.5 * data(12 * m, m)
        assert dse(X, 3.0, 60.0) == pytest.approx(math.log(m), abs=1e-3)
        assert Spectrum.diffusion(X, 3.0).values[0] == pytest.approx(1.0)


def test_bounds():
    X = data()
    values = [dse(X, sigma) for sigma in (0.01, 0.5, 2.0, 100.0)]
    assert values[0] == pytest.approx(math.log(90), abs=1e-6)
    assert all(a > b for a, b in itertools.pairwise(values))
    assert values[-1] < 0.02
    assert dse(1e6 * X) == pytest.approx(dse(X), rel=1e-6)
    assert dse(X[:, ::-1] + 7.0, 1.0) == pytest.approx(dse(X, 1.0), rel=1e-9)


def test_subsets_of_many_rows():
    X = data(300)
    averaged = dse(X, 1.5, max_rows=150, num_subsets=4)
    assert dse(X, 1.5) - math.log(2) < averaged < dse(X, 1.5)
    assert dse(X, 1.5, max_rows=150, num_subsets=4) == averaged
    assert float(dse(torch.tensor(X), 1.5, max_rows=150, num_subsets=4)) == pytest.approx(averaged)


def test_gradients():
    X = torch.tensor(data(12, 3), requires_grad=True)
    for variant in ("diffusion", "adjacency", "entries"):
        assert torch.autograd.gradcheck(lambda x, v=variant: dse(x, 1.4, variant=v), (X,), atol=1e-6)
    with pytest.raises(TypeError, match="NumPy"):
        dse(X, variant="knn")


def test_groups_of_a_reference():
    assert clusters_of([3, 1, 3]).tolist() == [1, 0, 1]
    assert clusters_of(np.array([[True], [False]])).tolist() == [1, 0]
    assert clusters_of(np.linspace(0, 1, 5), 4).tolist() == [0, 1, 2, 3, 3]
    assert clusters_of([2.0, 2.0]).tolist() == [0, 0]
    assert clusters_of([2.0, 1.0, 2.0], discrete=True).tolist() == [1, 0, 1]
    far = np.repeat([[0.0, 0.0], [90.0, 90.0]], 15, axis=0) + data(30, 2)
    groups = clusters_of(far, 2)
    assert len(set(groups[:15])) == len(set(groups[15:])) == 1
    with pytest.raises(ValueError, match="one column"):
        clusters_of(np.ones((3, 2)), discrete=True)


def test_information_of_labels_and_of_noise():
    rng = np.random.default_rng(0)
    y = np.repeat(["a", "b", "c"], 40)
    Z = data(120, 4) + 6.0 * (y == "b")[:, None] - 6.0 * (y == "c")[:, None]
    told = dsmi(Z, y, num_permutations=39)
    assert told.value > 0.5
    assert told.p_value == pytest.approx(1 / 40)
    shuffled = [dsmi(Z, rng.permutation(y), num_permutations=39, rng=seed) for seed in range(6)]
    assert abs(np.mean([e.value for e in shuffled])) < 0.05
    assert np.mean([e.p_value for e in shuffled]) > 0.15
    assert not told.has_interval
    assert dsmi(Z, y, rng=4).value == dsmi(Z, y, rng=4).value
    assert dsmi(Z, np.zeros(120, int)).value == pytest.approx(0.0, abs=1e-9)


def test_permutation_test_has_its_level():
    ps = []
    for seed in range(40):
        Z, y = data(60, 3, seed), np.random.default_rng(seed).integers(0, 3, 60)
        ps.append(dsmi(Z, y, n_rep=2, num_permutations=19, rng=seed).p_value)
    assert np.mean(np.array(ps) <= 0.1) <= 0.25


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: dse(data(), variant="spectral"), "variant"),
        (lambda: dse(data(), "mean"), "sigma"),
        (lambda: dse(data(), 1.0, -1.0), "t must"),
        (lambda: dse(np.full((3, 2), np.nan)), "NaN"),
        (lambda: dse(np.empty((0, 2))), "empty"),
        (lambda: dse(data(), variant="knn", k=91), "k must"),
        (lambda: dse(data(), bins=0), "bins"),
        (lambda: dse(data(), max_rows=1), "max_rows"),
        (lambda: dse(data()[None]), "shape"),
        (lambda: dsmi(data(), np.zeros(5, int)), "same number of rows"),
        (lambda: dsmi(data(), np.zeros(90, int), n_rep=0), "n_rep"),
        (lambda: dsmi(data(), data(), n_clusters=0), "n_clusters"),
        (lambda: dsmi(data(), np.zeros(90, int), variant="x"), "variant"),
        (lambda: dsmi(data(), np.zeros(90, int), num_permutations=-1), "num_permutations"),
    ],
)
def test_bad_input(call, match):
    with pytest.raises(ValueError, match=match):
        call()


def test_one_row():
    assert dse([[1.0, 2.0]]) == pytest.approx(0.0, abs=1e-12)
