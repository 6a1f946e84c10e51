"""Curves of effective rank along training, their phases, and spectral ablation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

import plogp as pl
from plogp.spectra import phases, project, track


def rows(a: float, n: int = 400, d: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)) * np.arange(1, d + 1) ** -a


def test_track_gives_what_the_functions_give():
    runs = {0: rows(0.1), 10: rows(0.5), 100: rows(1.0)}
    curve = track(runs)
    for i, F in enumerate(runs.values()):
        p = np.linalg.eigvalsh(F.T @ F)
        p = p / p.sum()
        assert curve.rankme[i] == pytest.approx(np.exp(-(p * np.log(p)).sum()), rel=1e-9)
        assert curve.alpha[i] == pytest.approx(pl.spectra.alpha_req(F, center=False).value, rel=1e-9)
    singular = track(runs, of="singular")
    assert singular.rankme[0] == pytest.approx(float(pl.spectra.rankme(runs[0], eps=0.0)), rel=1e-9)
    assert len(curve.to_dicts()) == 3


def test_checkpoints_may_be_models_and_come_one_by_one():
    alive = []

    def models():
        for step in (1, 2, 4):
            torch.manual_seed(step)
            model = torch.nn.Linear(6, 12)
            alive.append(step)
            yield step, model

    x = torch.randn(50, 6)
    curve = track(models(), lambda m: m(x).detach())
    assert curve.step.tolist() == [1, 2, 4]
    assert alive == [1, 2, 4]
    assert np.isfinite(curve.rankme).all()


def test_few_eigenvalues_have_no_slope():
    curve = track({1: rows(0.0, d=2)})
    assert np.isnan(curve.alpha[0])
    assert 1 < curve.rankme[0] <= 2
    with pytest.raises(ValueError, match=r"range|rank"):
        track({1: rows(0.0, d=6)}, i0=1, i1=40)


@pytest.mark.parametrize(
    ("rank", "names"),
    [
        ([10, 8, 6, 4, 3], ["warmup"]),
        ([3, 4, 6, 8, 10], ["entropy-seeking"]),
        ([3, 5, 9, 7, 4], ["entropy-seeking", "compression-seeking"]),
        ([9, 4, 8, 3, 7], ["warmup", "entropy-seeking", "compression-seeking", "entropy-seeking"]),
        ([5, 5.01, 4.99, 5.02, 5], []),
    ],
)
def test_names_of_phases(rank, names):
    assert [p.name for p in phases((range(5), rank), window=1)] == names


def test_phases_adjoin_and_noise_below_the_hysteresis_is_ignored():
    rng = np.random.default_rng(0)
    rank = np.interp(np.arange(80), [0, 20, 50, 79], [30, 8, 50, 20]) * (1 + 0.004 * rng.normal(size=80))
    found = phases((np.geomspace(1, 1e4, 80), rank))
    assert [p.name for p in found] == ["warmup", "entropy-seeking", "compression-seeking"]
    assert all(a.end == b.start for a, b in pairwise(found))
    rough = rank * (1 + 0.05 * rng.normal(size=80))
    assert len(phases((np.arange(80), rough), window=1, hysteresis=0.0)) > 3


def test_projections():
    H = rows(0.5, n=40, d=10)
    top, rest = project(H, 3), project(H, 3, "bottom")
    np.testing.assert_allclose(top + rest, H, atol=1e-12)
    assert np.linalg.matrix_rank(top) == 3
    np.testing.assert_allclose(top.T @ rest, 0, atol=1e-9)
    u, s, vt = np.linalg.svd(H)
    np.testing.assert_allclose(top, (u[:, :3] * s[:3]) @ vt[:3], atol=1e-10)
    np.testing.assert_allclose(project(top, 3, fitted=H), top, atol=1e-10)
    np.testing.assert_allclose(project(H, 0), 0)
    np.testing.assert_allclose(project(H, 10), H, atol=1e-10)
    shifted = H + 100
    np.testing.assert_allclose(project(shifted, 3, center=True) - 100, project(H - H.mean(0), 3) + H.mean(0), atol=1e-8)


def test_projection_of_tensors_keeps_type_and_gradient():
    H = torch.randn(2, 5, 6, dtype=torch.float64, requires_grad=True)
    out = project(H, 2, "bottom")
    assert out.dtype == torch.float64
    out.square().sum().backward()
    assert torch.isfinite(H.grad).all()
    assert project(H.detach().bfloat16(), 2).dtype == torch.bfloat16


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="checkpoints is empty"):
        track({})
    with pytest.raises(ValueError, match="must rise"):
        track([(2, rows(0.1)), (1, rows(0.1))])
    with pytest.raises(ValueError, match="of must be"):
        track({1: rows(0.1)}, of="values")
    with pytest.raises(ValueError, match="at least 3"):
        phases(([1, 2], [3, 4]))
    with pytest.raises(ValueError, match="odd"):
        phases((range(5), range(1, 6)), window=2)
    for bad in (np.nan, 0.0):
        with pytest.raises(ValueError, match="positive and finite"):
            phases((range(5), [1, 2, bad, 4, 5]))
    with pytest.raises(ValueError, match="k must be"):
        project(rows(0.1), 99)
    with pytest.raises(ValueError, match="columns"):
        project(rows(0.1), 2, fitted=np.zeros((5, 3)))


def test_the_plot(tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    curve = track({s: rows(a) for s, a in ((0, 0.2), (1, 0.6), (10, 1.0), (100, 0.4), (1000, 0.9))})
    curve.plot().savefig(tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size > 5_000
