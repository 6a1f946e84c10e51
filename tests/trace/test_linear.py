"""linear_information against token_stats of the whole logits, finite differences, and its promise of memory."""

import math
import weakref

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from plogp.trace import tiles  # noqa: E402
from plogp.trace.linear import Head, LinearInformation, linear_information  # noqa: E402
from plogp.trace.tokens import token_stats  # noqa: E402

POWERS = (0.0, 0.5, 2.0, -0.3)


def draw(*shape, seed=0, dtype=torch.float64, scale=1.0):
    g = torch.Generator().manual_seed(1000 * seed + len(shape) + sum(shape))
    return torch.randn(*shape, generator=g, dtype=torch.float64).mul(scale).to(dtype)


def whole(h, w, y=None, *, bias=None, scale=1.0, softcap=None, reference=None, **more):
    """The same numbers from all logits at once."""

    def logits(hidden, weight, bias=None, scale=1.0, softcap=None, temperature=1.0):
        z = hidden @ weight.T
        z = (z if bias is None else z + bias) * scale
        return (z if softcap is None else softcap * torch.tanh(z / softcap)) / temperature

    if isinstance(reference, Head):
        reference = logits(**vars(reference))
    elif isinstance(reference, tuple):
        reference = logits(*reference)
    references = () if reference is None else (reference,)
    return token_stats(logits(h, w, bias, scale, softcap), y, references=references, **more)


def assert_same(a, b, tol=1e-11):
    for name in ("logprob", "entropy", "varentropy", "max_logprob", "rank", "topk_ids", "topk_logprob"):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None), name
        if x is not None:
            torch.testing.assert_close(x, y, atol=tol, rtol=tol, equal_nan=True, msg=lambda m, n=name: f"{n}: {m}")
    assert list(a.power) == list(b.power)
    for order in a.power:
        torch.testing.assert_close(a.power[order], b.power[order], atol=tol, rtol=tol, equal_nan=True)
    assert len(a.references) == len(b.references)
    for p, q in zip(a.references, b.references):
        for name in ("logprob", "cross_entropy", "second_moment"):
            x, y = getattr(p, name), getattr(q, name)
            assert (x is None) == (y is None)
            if x is not None:
                torch.testing.assert_close(x, y, atol=tol, rtol=tol, equal_nan=True)


N, V, D = 13, 57, 8
H, W, B = draw(N, D, scale=2), draw(V, D), draw(V)
Y = torch.randint(0, V, (N,), generator=torch.Generator().manual_seed(4))
HIDDEN2, WEIGHT2 = draw(N, 4, seed=1), draw(V, 4, seed=1)
barred = B.clone()
barred[::5] = -math.inf
some_off = Y.clone()
some_off[[0, 7]] = -100
CASES = {
    "plain": {},
    "bias": {"bias": B},
    "barred words": {"bias": barred, "targets": Y - Y % 5},
    "softcap": {"bias": B, "scale": 0.5, "softcap": 3.0, "temperature": 0.7},
    "scale": {"scale": -0.3, "temperature": 1.7},
    "second head": {"reference": (HIDDEN2, WEIGHT2)},
    "second head with bias": {"bias": B, "reference": (HIDDEN2, WEIGHT2, B)},
    "second head with softcap": {"reference": Head(HIDDEN2, WEIGHT2, B, 2.0, 1.5, 0.8)},
    "vector": {"bias": B, "reference": draw(V, seed=2).log_softmax(0)},
    "both barred": {"bias": barred, "reference": barred.log_softmax(0), "targets": Y - Y % 5 + 1},
    "rival barred": {"reference": barred.log_softmax(0)},
    "targets off": {"targets": some_off, "reference": (HIDDEN2, WEIGHT2)},
    "no targets": {"targets": None, "reference": (HIDDEN2, WEIGHT2)},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tile", [(None, None), (4, 10), (5, 1), (13, 57)])
def test_equals_the_whole_computation(case, tile):
    given = {"targets": Y} | CASES[case]
    y = given.pop("targets")
    more = {"powers": POWERS, "top_k": 3}
    s = linear_information(H, W, y, chunk_tokens=tile[0], chunk_vocab=tile[1], **given, **more)
    assert isinstance(s, LinearInformation)
    assert_same(s, whole(H, W, y, **given, **more))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_lower_precisions_are_raised_before_anything_else(dtype):
    h, w = draw(20, 32, dtype=dtype), draw(300, 32, dtype=dtype)
    y = torch.arange(20) * 7
    s = linear_information(h, w, y, top_k=2, chunk_vocab=64, reference=(h, w))
    exact = whole(h.double(), w.double(), y, top_k=2, reference=(h.double(), w.double()))
    assert s.entropy.dtype == s.references[0].second_moment.dtype == torch.float32
    for name in ("logprob", "entropy", "varentropy", "max_logprob", "rank", "topk_ids"):
        torch.testing.assert_close(getattr(s, name).double(), getattr(exact, name).double(), atol=2e-5, rtol=2e-5)
    torch.testing.assert_close(s.references[0].cross_entropy, s.entropy, atol=2e-5, rtol=2e-5)
    mixed = linear_information(h, w.double())
    assert mixed.entropy.dtype == torch.float64


def test_stable_where_predictions_are_peaked_or_logits_large():
    w = torch.eye(3)
    h = torch.tensor([[0.0, math.log(1e-6), -200.0], [1e4, -1e4, 1e4], [1000.0, 1000.0 + math.log(1e-6), 0.0]])
    s = linear_information(h, w, torch.tensor([1, 0, 1]), chunk_vocab=1)
    p = 1e-6 / (1 + 1e-6)
    assert s.varentropy[0].item() == pytest.approx(p * (1 - p) * math.log(1e-6) ** 2, rel=1e-5)
    assert s.varentropy[2].item() == pytest.approx(p * math.log(1e-6) ** 2, rel=1e-3)  # 1000 has 4 decimals in float32
    assert s.entropy[1].item() == pytest.approx(math.log(2), rel=1e-6)
    assert s.logprob[1].item() == pytest.approx(-math.log(2), rel=1e-6)
    assert s.varentropy[1].item() == 0.0


def test_ranks_are_exact_and_ties_stable():
    g = torch.Generator().manual_seed(0)
    h = torch.randint(-2, 3, (300, 5), generator=g).float()
    w = torch.randint(-1, 2, (200, 5), generator=g).float()
    y = torch.randint(0, 200, (300,), generator=g)
    full = whole(h, w, y, top_k=9)
    for tile in ((None, None), (50, 37), (300, 1)):
        s = linear_information(h, w, y, top_k=9, chunk_tokens=tile[0], chunk_vocab=tile[1])
        assert torch.equal(s.rank, full.rank)
        assert torch.equal(s.topk_ids, full.topk_ids)
    equal = linear_information(torch.zeros(6, 3), torch.zeros(11, 3), torch.tensor([0, 3, 10, 5, 1, 2]), chunk_vocab=4)
    assert equal.rank.tolist() == [1, 4, 11, 6, 2, 3]


@pytest.mark.parametrize("rounding", [0, 6, 1e7])
def test_ranks_do_not_depend_on_the_bounds(monkeypatch, rounding):
    """Bounds that are never right, usual, and never decisive: every token, some, or every token is swept again."""
    monkeypatch.setattr(tiles, "ROUNDING", rounding)
    h, w = draw(64, 40, dtype=torch.float32), draw(3000, 40, dtype=torch.float32)
    w[1500:] = w[:1500]  # every word has a twin in a later tile
    y = torch.randint(0, 3000, (64,), generator=torch.Generator().manual_seed(0))
    y[:8] = (h[:8] @ w.T).argmax(1)
    s = linear_information(h, w, y, chunk_tokens=16, chunk_vocab=500)
    z = h.double() @ w.double().T
    own = z.gather(1, y[:, None])
    twin = (y >= 1500).long()
    apart = (z - own).abs()
    apart[apart < 1e-12] = 1
    clear = apart.amin(1) > 1e-5
    assert clear.sum() > 40
    expected = 1 + (z > own + 1e-9).sum(1) + twin
    assert torch.equal(s.rank[clear], expected[clear])
    best = linear_information(h, w, s.topk_ids if s.topk_ids is not None else z.argmax(1), chunk_vocab=500)
    assert (best.rank <= 2).all()


def test_gradients_are_exact():
    h, w, b, h2, w2, b2 = (
        x.requires_grad_()
        for x in (draw(3, 2), draw(7, 2), draw(7), draw(3, 1, seed=1), draw(7, 1, seed=1), draw(7, seed=1))
    )
    y = torch.tensor([3, -100, 6])
    kept = [0, 2]

    def every(h, w, b, h2, w2, b2):
        s = linear_information(
            h,
            w,
            y,
            bias=b,
            scale=0.8,
            softcap=2.0,
            temperature=0.7,
            powers=(0.5, 2.0, -1.0),
            reference=Head(h2, w2, b2, scale=1.3, softcap=4.0),
            chunk_tokens=2,
            chunk_vocab=3,
        )
        r = s.references[0]
        all_of_them = (s.logprob, s.entropy, s.varentropy, s.max_logprob, *s.power.values())
        return tuple(x[kept] for x in (*all_of_them, r.logprob, r.cross_entropy, r.second_moment))

    assert torch.autograd.gradcheck(every, (h, w, b, h2, w2, b2))
    vector = draw(7, seed=3).requires_grad_()

    def against_vector(h, w, v):
        r = linear_information(h, w, reference=v, chunk_tokens=2, chunk_vocab=3).references[0]
        return r.cross_entropy, r.second_moment

    assert torch.autograd.gradcheck(against_vector, (h, w, vector))


def test_gradients_of_barred_words_and_halves():
    h, w = draw(7, 6, dtype=torch.bfloat16).requires_grad_(), draw(40, 6, dtype=torch.bfloat16).requires_grad_()
    bias = torch.zeros(40)
    bias[3:9] = -math.inf
    bias.requires_grad_()
    y = torch.arange(10, 17)

    def loss(s):
        return (s.logprob + s.entropy + s.varentropy + s.power[2.0] + s.power[-1.0].nan_to_num(posinf=0)).sum()

    loss(linear_information(h, w, y, bias=bias, powers=(2.0, -1.0), chunk_vocab=7)).backward()
    assert h.grad.dtype == w.grad.dtype == torch.bfloat16
    h2, w2, b2 = (x.detach().float().requires_grad_() for x in (h, w, bias))
    full = whole(h2, w2, y, bias=b2, powers=(2.0,))
    (full.logprob + full.entropy + full.varentropy + full.power[2.0]).sum().backward()
    torch.testing.assert_close(h.grad.float(), h2.grad, atol=2e-2, rtol=2e-2)
    torch.testing.assert_close(w.grad.float(), w2.grad, atol=2e-2, rtol=2e-2)
    torch.testing.assert_close(bias.grad, b2.grad, atol=1e-5, rtol=1e-4)
    assert torch.isfinite(bias.grad).all()
    only = linear_information(h.detach(), w.detach(), y, bias=b2, stats=())
    only.logprob.sum().backward()
    with pytest.raises(RuntimeError):
        linear_information(h, w, y).rank.sum().backward()


def test_padding_gives_nan_and_touches_no_gradient():
    h = draw(2, 3, 4).requires_grad_()
    w = draw(9, 4).requires_grad_()
    y = torch.tensor([[1, 2, -100], [3, 4, 5]])
    mask = torch.tensor([[1, 1, 1], [0, 1, 1]])
    with torch.no_grad():
        h[0, 2] = math.nan
    s = linear_information(h, w, y, mask=mask, top_k=2, powers=(2.0,), reference=torch.zeros(9), chunk_tokens=3)
    off = torch.tensor([[False, False, True], [True, False, False]])
    for x in (s.logprob, s.entropy, s.varentropy, s.max_logprob, s.power[2.0], *vars(s.references[0]).values()):
        if x is not None:
            assert torch.equal(x.isnan(), off)
    assert torch.equal(s.rank == 0, off)
    assert torch.equal(s.topk_ids == -1, off[..., None].expand(2, 3, 2))
    s.entropy[~off].sum().backward()
    assert (h.grad[off] == 0).all()
    assert (h.grad[~off] != 0).any()
    everything = linear_information(h, w, torch.full((2, 3), -100))
    assert everything.entropy.isnan().all()


def test_numpy_in_numpy_out_and_shapes():
    s = linear_information(H.numpy(), W.numpy(), Y.numpy(), powers=(2.0,), top_k=4, reference=WEIGHT2[:, 0].numpy())
    assert isinstance(s.entropy, np.ndarray)
    assert s.entropy.dtype == np.float64
    assert s.topk_ids.shape == (N, 4)
    np.testing.assert_allclose(s.varentropy, token_stats(H.numpy() @ W.numpy().T).varentropy, atol=1e-12)
    one = linear_information(H[0].numpy(), W.numpy(), int(Y[0]))
    assert one.rank.shape == ()
    assert one.rank == s.rank[0]
    frozen = H.numpy().copy()
    frozen.setflags(write=False)
    np.testing.assert_allclose(linear_information(frozen[::-1], W.numpy()).entropy, s.entropy[::-1])
    empty = linear_information(H[:0], W, Y[:0], top_k=2, reference=(HIDDEN2[:0], WEIGHT2))
    assert empty.entropy.shape == empty.rank.shape == (0,)
    assert linear_information(H, W, stats=()).entropy is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        exact = linear_information(H.float(), W.float())
    np.testing.assert_allclose(exact.entropy, s.entropy, atol=1e-5)


class Peak(TorchDispatchMode):
    """Bytes of the tensors made inside that live at one time, at most."""

    def __init__(self):
        super().__init__()
        self.live, self.now, self.most = set(), 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        known = {
            x.untyped_storage()._cdata for x in torch.utils._pytree.tree_leaves(args) if isinstance(x, torch.Tensor)
        }
        out = func(*args, **(kwargs or {}))
        for x in torch.utils._pytree.tree_leaves(out):
            if isinstance(x, torch.Tensor):
                storage = x.untyped_storage()
                key, size = storage._cdata, storage.nbytes()
                if key not in self.live and key not in known:
                    self.live.add(key)
                    self.now += size
                    self.most = max(self.most, self.now)
                    weakref.finalize(storage, self.freed, key, size)
        return out

    def freed(self, key, size):
        self.live.discard(key)
        self.now -= size


def peak(f):
    with Peak() as mode:
        f()
    return mode.most


def test_memory_stays_within_the_budget():
    tokens, words, d = 96, 4_000, 16
    h, w, y = draw(tokens, d, dtype=torch.float32), draw(words, d, dtype=torch.float32), torch.arange(tokens)
    logits = 4 * tokens * words
    assert peak(lambda: token_stats(h @ w.T, y)) > 2 * logits
    budget = 2**18
    seen = peak(lambda: linear_information(h, w, y, budget=budget, top_k=3, powers=(2.0,), reference=(h, w)))
    assert budget / 4 < seen < budget + 64 * 8 * tokens
    halves = (h.bfloat16(), w.bfloat16())
    assert peak(lambda: linear_information(*halves, y, budget=budget, reference=halves)) < budget + 64 * 8 * tokens
    h.requires_grad_()
    w.requires_grad_()

    def backward():
        s = linear_information(h, w, y, budget=budget, stats=("entropy", "varentropy"))
        (s.logprob + s.entropy + s.varentropy).sum().backward()

    of_its_own = 4 * (h.numel() + w.numel())
    assert peak(backward) < 2 * of_its_own + 3 * budget < logits


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"hidden": draw(4, 3)}, ValueError, r"\(\.\.\., d\) and \(V, d\)"),
        ({"weight": draw(5)}, ValueError, "shapes"),
        ({"hidden": [[1.0]]}, TypeError, "PyTorch tensor or a NumPy array"),
        ({"hidden": torch.ones(4, 2, dtype=torch.int64)}, TypeError, "real"),
        ({"hidden": torch.full((4, 2), math.nan)}, ValueError, "position 0 hold NaN"),
        ({"hidden": torch.tensor([[0.0, 0], [math.inf, 0], [0, 0], [0, 0]])}, ValueError, "position 1 hold"),
        ({"bias": torch.full((5,), -math.inf)}, ValueError, "bar every word"),
        (
            {"hidden": torch.ones(4, 2), "weight": torch.ones(5, 2), "bias": torch.full((5,), -math.inf)},
            ValueError,
            "bar every word",
        ),
        ({"bias": torch.tensor([0, math.nan, 0, 0, 0])}, ValueError, "bias must hold numbers"),
        ({"bias": torch.tensor([0, -math.inf, 0, 0, 0]), "scale": -1.0}, ValueError, "bias must hold numbers"),
        ({"bias": torch.zeros(4)}, ValueError, "one for each word"),
        ({"targets": torch.tensor([0, 1, 2, 5])}, ValueError, "targets holds 5"),
        ({"targets": torch.tensor([0, 1])}, ValueError, "one for each hidden state"),
        ({"targets": torch.zeros(4)}, TypeError, "whole"),
        ({"mask": torch.ones(3)}, ValueError, "mask has shape"),
        ({"scale": 0.0}, ValueError, "scale"),
        ({"softcap": -1.0}, ValueError, "softcap must be a positive"),
        ({"temperature": math.nan}, ValueError, "temperature"),
        ({"reference": torch.zeros(4)}, ValueError, "reference must be a pair"),
        ({"reference": torch.full((5,), -math.inf)}, ValueError, "reference's logits of position 0"),
        ({"reference": (draw(4, 2), draw(6, 2))}, ValueError, "same vocabulary"),
        ({"reference": (draw(3, 2), draw(5, 2))}, ValueError, "reference has hidden states"),
        ({"reference": (draw(4, 2), draw(5, 3))}, ValueError, "reference hidden and reference weight"),
        ({"stats": ("variance",)}, ValueError, "variance"),
        ({"top_k": 6}, ValueError, "top_k"),
        ({"powers": (math.nan,)}, ValueError, "powers"),
        ({"chunk_tokens": 0}, ValueError, "chunk_tokens"),
        ({"budget": 0.5}, ValueError, "budget"),
    ],
)
def test_refusals(change, error, words):
    with pytest.raises(error, match=words):
        linear_information(
            **{"hidden": draw(4, 2), "weight": draw(5, 2), "targets": torch.tensor([0, 1, 2, 3])} | change
        )
