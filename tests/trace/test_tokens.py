"""token_stats against SciPy, brute force, theorems and hostile rows, in NumPy, PyTorch and JAX."""

import math

import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

import plogp as pl
from plogp.trace.tokens import STATS, largest, token_stats

RNG = np.random.default_rng(3)
Z = RNG.normal(size=(4, 5, 17)) * 2
Y = RNG.integers(0, 17, (4, 5))
Q = RNG.normal(size=(4, 5, 17))
U = np.log(RNG.dirichlet(np.ones(17)))


def torch_(x):
    return pytest.importorskip("torch").asarray(x)


def jax_(x):
    jnp = pytest.importorskip("jax.numpy")
    return jnp.asarray(x)


def every(z, y, references, **more):
    return token_stats(z, y, references=references, powers=(0.5, 2.0), top_k=3, js=True, **more)


def by_hand(z, y, q):
    """One row, with Python's sums and a sort."""
    p = scipy.special.softmax(z)
    lp, lq = scipy.special.log_softmax(z), scipy.special.log_softmax(q)
    h = math.fsum(scipy.special.entr(p))
    order = sorted(range(len(z)), key=lambda v: (-z[v], v))
    return {
        "logprob": lp[y],
        "entropy": h,
        "varentropy": math.fsum(p * (lp + h) ** 2),
        "max_logprob": lp.max(),
        "rank": order.index(y) + 1,
        "topk_ids": order[:3],
        "power": [math.log(math.fsum(p**a)) for a in (0.5, 2.0)],
        "cross_entropy": -math.fsum(p * lq),
        "second_moment": math.fsum(p * lq**2),
        "js": pl.divergence("js")(p, scipy.special.softmax(q)),
        "of": lq[y],
    }


@pytest.mark.parametrize("library", [np.asarray, torch_, jax_])
def test_every_number_against_sums_by_hand(library):
    s = every(library(Z), library(Y), [library(Q), library(U)])
    assert type(s.entropy) is type(library(Z))
    tol = 1e-5 if library is jax_ else 1e-12
    plain = {k: np.asarray(v) for k, v in vars(s).items() if k not in ("power", "references")}
    power = np.stack([np.asarray(s.power[a]) for a in (0.5, 2.0)], -1)
    rivals = [{k: np.asarray(v) for k, v in vars(r).items()} for r in s.references]
    for i in np.ndindex(2, 3):
        for rival, q in zip(rivals, (Q[i], U)):
            hand = by_hand(Z[i], Y[i], q)
            for name in ("logprob", "entropy", "varentropy", "max_logprob", "rank", "topk_ids"):
                assert plain[name][i] == pytest.approx(hand[name], abs=tol)
            for name in ("cross_entropy", "second_moment", "js"):
                assert rival[name][i] == pytest.approx(hand[name], abs=10 * tol)
            assert rival["logprob"][i] == pytest.approx(hand["of"], abs=tol)
        assert plain["topk_logprob"][i] == pytest.approx(scipy.special.log_softmax(Z[i])[hand["topk_ids"]], abs=tol)
        assert power[i] == pytest.approx(hand["power"], abs=tol)


def test_library_dtype_and_shape_are_kept():
    torch = pytest.importorskip("torch")
    s = every(torch.asarray(Z, dtype=torch.bfloat16), torch.asarray(Y), [torch.asarray(Q), torch.asarray(U)])
    wide = every(torch.asarray(Z, dtype=torch.bfloat16).double(), torch.asarray(Y), [torch.asarray(Q)])
    assert s.entropy.dtype == torch.float64  # of the widest argument
    torch.testing.assert_close(s.entropy, wide.entropy)
    half = token_stats(torch.asarray(Z, dtype=torch.bfloat16), torch.asarray(Y))
    assert half.entropy.dtype == half.logprob.dtype == torch.float32
    torch.testing.assert_close(half.varentropy.double(), wide.varentropy, atol=1e-5, rtol=1e-5)
    assert token_stats(Z.astype(np.float16), Y).entropy.dtype == np.float32
    one = token_stats(Z[0, 0], int(Y[0, 0]), top_k=2)
    assert one.rank == token_stats(Z, Y).rank[0, 0]
    assert one.topk_ids.shape == (2,)
    assert isinstance(one.entropy, np.float64)


def test_only_what_is_asked_for():
    s = token_stats(Z, stats=())
    assert [getattr(s, n) for n in ("logprob", "entropy", "varentropy", "max_logprob", "rank", "topk_ids")] == [
        None
    ] * 6
    assert s.references == ()
    assert s.power == {}
    s = token_stats(Z, Y, stats=("varentropy",))
    assert s.entropy is None
    assert s.rank is None
    np.testing.assert_allclose(s.varentropy, token_stats(Z).varentropy)
    assert token_stats(Z, stats=STATS).rank is None
    assert "entropy: (4, 5)" in repr(token_stats(Z))
    assert "rank" not in repr(token_stats(Z))


def test_identities():
    s = token_stats(Z, Y, references=[Z, np.zeros(17)], powers=(0.0, 1.0, 2.0), js=True)
    np.testing.assert_allclose(s.references[0].cross_entropy, s.entropy)
    np.testing.assert_allclose(s.references[0].second_moment - s.entropy**2, s.varentropy, atol=1e-12)
    np.testing.assert_allclose(s.references[0].js, 0, atol=1e-15)
    np.testing.assert_allclose(s.references[1].cross_entropy, math.log(17))
    np.testing.assert_allclose(s.power[0.0], math.log(17))
    np.testing.assert_allclose(s.power[1.0], 0, atol=1e-13)
    np.testing.assert_allclose(-s.power[2.0], pl.measures.entropy_from_logits(Z, "collision"))
    kl = pl.divergence("kl").from_logits(Z, Q)
    t = token_stats(Z, references=[Q])
    np.testing.assert_allclose(t.references[0].cross_entropy - t.entropy, kl, atol=1e-12)
    # d/dβ log Σ e^{βz} has the varentropy as its second derivative at β = 1.
    h = 1e-4
    free = [scipy.special.logsumexp((1 + b) * Z, axis=-1) for b in (-h, 0, h)]
    np.testing.assert_allclose((free[0] - 2 * free[1] + free[2]) / h**2, s.varentropy, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(token_stats(Z, temperature=2.0).entropy, token_stats(Z / 2).entropy)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([-math.inf, -1.0, 0.0, 0.0, 2.5]), min_size=1, max_size=9), st.data())
def test_rank_is_the_place_in_a_stable_sort(row, data):
    if max(row) == -math.inf:
        row[0] = 0.0
    z = np.array(row)
    order = np.argsort(-z, kind="stable")
    k = data.draw(st.integers(0, len(row)))
    every_rank = token_stats(np.tile(z, (len(row), 1)), np.arange(len(row)), top_k=k)
    assert every_rank.rank[order].tolist() == list(range(1, len(row) + 1))
    if k:
        assert every_rank.topk_ids[0].tolist() == order[:k].tolist()


def test_ties_at_the_edge_of_the_top_k_in_every_library():
    z = RNG.integers(0, 4, (6, 40)).astype(float)
    expected = np.argsort(-z, axis=-1, kind="stable")
    for library in (np.asarray, torch_, jax_):
        for k in (5, 40):
            assert np.asarray(token_stats(library(z), top_k=k).topk_ids).tolist() == expected[:, :k].tolist()
    assert largest(np, z[0], 7).tolist() == expected[0, :7].tolist()


def test_impossible_words():
    z = np.array([[0.0, 0.0, -math.inf, -math.inf], [0.0, -math.inf, -math.inf, -math.inf]])
    s = token_stats(z, np.array([2, 0]), references=[z, z[:, ::-1].copy()], powers=(0.0, 0.5, 2.0), top_k=3, js=True)
    assert s.logprob.tolist() == [-math.inf, 0.0]
    assert s.rank.tolist() == [3, 1]
    np.testing.assert_allclose(s.entropy, [math.log(2), 0])
    np.testing.assert_allclose(s.varentropy, 0, atol=1e-15)
    np.testing.assert_allclose(s.power[0.0], [math.log(2), 0])
    assert s.topk_ids.tolist() == [[0, 1, 2], [0, 1, 2]]
    np.testing.assert_allclose(s.references[0].cross_entropy, s.entropy)
    assert s.references[1].cross_entropy.tolist() == [math.inf, math.inf]
    assert s.references[1].second_moment.tolist() == [math.inf, math.inf]
    np.testing.assert_allclose(s.references[1].js, math.log(2))
    assert s.references[1].logprob.tolist() == [-math.log(2), -math.inf]


def test_extremes():
    z = np.array([[1e4, -1e4, 0.0], [1e4, 1e4, -1e4]])
    s = token_stats(z, np.array([1, 0]), references=[-z], js=True)
    assert s.logprob.tolist() == [-2e4, -math.log(2)]
    np.testing.assert_allclose(s.entropy, [0, math.log(2)])
    np.testing.assert_allclose(s.references[0].cross_entropy, [2e4, 2e4 + math.log(1)])
    # A peaked row: the mean of squares less the squared mean has no digit left here, the central form has all.
    p = 1e-12
    peaked = token_stats(np.array([0.0, math.log(p)]))
    exact = p * math.log(p) ** 2
    assert peaked.varentropy == pytest.approx(exact, rel=1e-9)
    narrow = token_stats(np.array([1000.0, 1000.0 + math.log(1e-6)], dtype=np.float32))
    assert narrow.varentropy == pytest.approx(1e-6 * math.log(1e-6) ** 2, rel=1e-3)


def test_positions_that_do_not_count():
    y = Y.copy()
    y[0, 1] = y[3, 4] = -100
    z = Z.copy()
    z[0, 1] = math.nan  # padding may hold anything
    for library in (np.asarray, torch_):
        s = every(library(z), library(y), [library(Q)])
        for x in (s.logprob, s.entropy, s.max_logprob, s.power[2.0], s.references[0].js, s.references[0].logprob):
            assert np.isnan(np.asarray(x)).sum() == 2
        assert int(s.rank[0, 1]) == 0
        assert s.topk_ids[3, 4].tolist() == [-1, -1, -1]
        np.testing.assert_allclose(np.asarray(s.entropy)[1], token_stats(Z).entropy[1])


def test_large_rows_are_swept_in_blocks():
    z = np.random.default_rng(0).normal(size=(7, 3, 40_000)).astype(np.float32)
    y = np.random.default_rng(1).integers(0, 40_000, (7, 3))
    u = np.random.default_rng(2).normal(size=40_000).astype(np.float32)
    s = token_stats(z, y, references=[u], top_k=2)
    one = [token_stats(z[i], y[i], references=[u], top_k=2) for i in np.ndindex(7, 3)]
    for name in ("logprob", "entropy", "varentropy", "max_logprob", "rank", "topk_ids"):
        assert np.array_equal(
            getattr(s, name), np.stack([getattr(o, name) for o in one]).reshape(getattr(s, name).shape)
        )
    wide = token_stats(z.astype(float), y, references=[u.astype(float)])
    np.testing.assert_allclose(s.entropy, wide.entropy, rtol=1e-5)
    np.testing.assert_allclose(s.references[0].cross_entropy, wide.references[0].cross_entropy, rtol=1e-5)


def test_gradients():
    torch = pytest.importorskip("torch")
    z = torch.asarray(Z[0, :2]).requires_grad_()
    q = torch.asarray(Q[0, :2]).requires_grad_()
    y = torch.asarray(Y[0, :2])

    def f(z, q):
        s = token_stats(z, y, references=[q], powers=(2.0,), js=True)
        r = s.references[0]
        return s.logprob, s.entropy, s.varentropy, s.max_logprob, s.power[2.0], r.cross_entropy, r.second_moment, r.js

    assert torch.autograd.gradcheck(f, (z, q))
    masked = torch.tensor([[0.0, 1.0, -math.inf]], requires_grad=True)
    s = token_stats(masked, torch.tensor([1]), references=[masked])
    (s.logprob + s.entropy + s.varentropy + s.references[0].cross_entropy).sum().backward()
    assert bool(torch.isfinite(masked.grad).all())


def test_jax_transforms():
    jax = pytest.importorskip("jax")
    z, y, u = jax_(Z[0]), jax_(Y[0]), jax_(U)
    every_rank = jax.jit(lambda z, y: (lambda s: (s.topk_ids, s.rank))(token_stats(z, y, references=[u], top_k=2)))
    ids, rank = every_rank(z, y)
    assert ids.tolist() == token_stats(Z[0], top_k=2).topk_ids.tolist()
    assert rank.tolist() == token_stats(Z[0], Y[0]).rank.tolist()
    h = jax.vmap(jax.grad(lambda z: token_stats(z).entropy))(z)
    p, lp = scipy.special.softmax(Z[0], -1), scipy.special.log_softmax(Z[0], -1)
    expected = -p * (lp + token_stats(Z[0]).entropy[:, None])
    np.testing.assert_allclose(h, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"logits": np.full((2, 3), np.nan)}, ValueError, "row 0 of logits holds NaN"),
        ({"logits": np.array([[0, 0, 0], [0, math.inf, 0]])}, ValueError, r"row 1 of logits holds NaN or \+inf"),
        ({"logits": np.full((2, 3), -math.inf)}, ValueError, "no finite entry"),
        ({"logits": np.float64(3.0)}, ValueError, "shape"),
        ({"logits": np.zeros((2, 0))}, ValueError, "V >= 1"),
        ({"logits": np.zeros((2, 3)) + 0j}, TypeError, "real"),
        ({"targets": np.array([0, 3])}, ValueError, "targets holds 3"),
        ({"targets": np.array([0, -1])}, ValueError, "targets holds -1"),
        ({"targets": np.array([0.0, 1.0])}, TypeError, "whole"),
        ({"targets": np.array([0])}, ValueError, r"expected one for each row of logits: \(2,\)"),
        ({"references": np.zeros(3)}, TypeError, "list"),
        ({"references": [np.zeros(4)]}, ValueError, "same vocabulary"),
        ({"references": [np.zeros((1, 3))]}, ValueError, "expected that of logits"),
        ({"references": [np.array([0, np.nan, 0])]}, ValueError, r"references\[0\] holds NaN"),
        ({"temperature": 0}, ValueError, "temperature"),
        ({"temperature": math.nan}, ValueError, "temperature"),
        ({"stats": ("surprise",)}, ValueError, "surprise"),
        ({"top_k": 4}, ValueError, "top_k"),
        ({"powers": (math.inf,)}, ValueError, "powers"),
    ],
)
def test_refusals(change, error, words):
    with pytest.raises(error, match=words):
        token_stats(**{"logits": np.zeros((2, 3)), "targets": np.array([0, 1])} | change)


def test_no_rows():
    s = token_stats(np.zeros((0, 5)), np.zeros(0, dtype=int), references=[np.zeros(5)], top_k=2, js=True)
    assert s.entropy.shape == s.rank.shape == s.references[0].js.shape == (0,)
    assert s.topk_ids.shape == (0, 2)
