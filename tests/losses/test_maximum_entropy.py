import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit, ndtr

torch = pytest.importorskip("torch")

from plogp.losses.maximum_entropy import E2MC, TIE_FLOOR, e2mc, hypercube_covariance  # noqa: E402


def by_definition(views, lmbda, beta, squash, m):
    entropies, penalty = [], 0.0
    for z in views:
        u = squash(z)
        n, d = u.shape
        s = np.sort(u, axis=0)
        entropies.append(np.log((n + 1) / m * (s[m:] - s[:-m]) + TIE_FLOOR).mean())
        c = np.cov(u.T)
        penalty += (c**2).sum() / d - (np.diag(c) ** 2).sum() / d
    return -lmbda * np.mean(entropies) + beta * penalty


@pytest.mark.parametrize(("squash", "by"), [("normal_cdf", ndtr), ("sigmoid", expit)])
def test_value(squash, by):
    rng = np.random.default_rng(0)
    views = [rng.normal(size=(49, 4)) @ rng.normal(size=(4, 4)) for _ in range(3)]
    tensors = [torch.from_numpy(v) for v in views]
    loss, parts = e2mc(tensors, lmbda=3.0, beta=2.0, squash=squash)
    assert float(loss) == pytest.approx(by_definition(views, 3.0, 2.0, by, 7), abs=1e-10)
    assert float(loss) == pytest.approx(float(2.0 * parts["covariance"] - 3.0 * parts["entropy"]), abs=1e-10)
    loss, _ = E2MC(3.0, 2.0, squash, m=5)(torch.stack(tensors))
    assert float(loss) == pytest.approx(by_definition(views, 3.0, 2.0, by, 5), abs=1e-10)


def test_covariance():
    u = np.random.default_rng(1).random((30, 5))
    c = np.cov(u.T)
    expected = sum(c[i, j] ** 2 for i in range(5) for j in range(5) if i != j) / 5
    assert float(hypercube_covariance(torch.from_numpy(u))) == pytest.approx(expected, abs=1e-14)
    assert float(hypercube_covariance(torch.from_numpy(u[:, :1]))) == 0.0


def test_the_best_marginals_are_those_of_the_squash():
    """The quantiles of the squash's own law have a higher entropy than the same, stretched or shifted."""
    grid = (np.arange(1, 513) - 0.5) / 512
    for squash, law in (("normal_cdf", stats.norm), ("sigmoid", stats.logistic)):
        z = torch.from_numpy(law.ppf(grid))[:, None]
        at = {
            name: float(e2mc([v], squash=squash)[1]["entropy"])
            for name, v in {"own": z, "wide": 2 * z, "narrow": z / 2, "shifted": z + 1}.items()
        }
        assert at["own"] == max(at.values())
        assert abs(at["own"]) < 0.05


def test_ties_have_finite_gradients():
    for z in (torch.zeros(64, 3), torch.randint(0, 2, (64, 3), generator=torch.Generator().manual_seed(0)).float()):
        z.requires_grad_()
        loss, _ = e2mc([z])
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(z.grad).all()


def test_saturated_values():
    z = torch.full((32, 2), 1e4)
    z[:16] *= -1
    z.requires_grad_()
    loss, parts = e2mc([z])
    loss.backward()
    assert torch.isfinite(z.grad).all()
    assert float(parts["entropy"]) < -5


def test_refuses():
    z = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="squash"):
        E2MC(squash="tanh")
    with pytest.raises(ValueError, match="too few samples: m=16"):
        e2mc([z], m=16)
    with pytest.raises(ValueError, match="at least 2 rows"):
        e2mc([z[:1]])
    with pytest.raises(ValueError, match="one shape"):
        e2mc([z, z[:, :2]])
    with pytest.raises(ValueError, match=r"views\[1\] holds NaN"):
        e2mc([z, z * math.nan])
    with pytest.raises(ValueError, match="k, n, d"):
        e2mc(z)
    with pytest.raises(TypeError, match="list of tensors"):
        e2mc({"a": z})
