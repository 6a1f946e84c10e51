"""What every loss of the room keeps: finite values and gradients, dtypes, order, errors, state."""

import copy
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import plogp as pl  # noqa: E402
from plogp.estimate.critics import Bilinear, Separable  # noqa: E402
from plogp.estimate.training import generator  # noqa: E402

N, D = 24, 5


def batch(seed=0, dtype=torch.float64, rows=N, views=2):
    """Views of one batch: correlated, so that agreement and information are neither 0 nor full."""
    g = torch.Generator().manual_seed(seed)
    base = torch.randn(rows, D, generator=g, dtype=torch.float64)
    return [(base + 0.5 * torch.randn(rows, D, generator=g, dtype=torch.float64)).to(dtype) for _ in range(views)]


def bilinear():
    return Bilinear(D, D, generator=generator(0))


def separable():
    return Separable(D, D, width=8, embed=4, activation=torch.nn.Tanh, generator=generator(0))


class Of:
    """A loss of one tensor (n, d), of a list of views, or of a pair; called on views all the same."""

    def __init__(self, make, takes):
        self.make, self.takes = make, takes

    def __call__(self, loss, views):
        if self.takes == "one":
            found = loss(views[0])
        elif self.takes == "views":
            found = loss(views)
        elif self.takes == "stacked":
            found = loss(torch.stack(views, dim=1).flatten(0, 1))
        else:
            found = loss(*views[:2])
        return found[0] if isinstance(found, tuple) else found


LOSSES = {
    "vne": Of(lambda: pl.losses.VNE(0.5), "one"),
    "ivne": Of(pl.losses.IVNE, "views"),
    "vendi": Of(lambda: pl.losses.VendiDiversity(2.0), "one"),
    "vendi kernel": Of(
        lambda: pl.losses.VendiDiversity(1.0, kernel=lambda z: torch.exp(-((z[:, None] - z[None]) ** 2).sum(-1) / 9)),
        "one",
    ),
    "mmcr": Of(lambda: pl.losses.MMCR(2, lmbda=0.1), "stacked"),
    "mmcr smooth": Of(lambda: pl.losses.MMCR(2, smooth=0.01), "stacked"),
    "e2mc": Of(lambda: pl.losses.E2MC(beta=10.0), "views"),
    "e2mc sigmoid": Of(lambda: pl.losses.E2MC(squash="sigmoid", m=3), "views"),
    "infonce": Of(lambda: pl.losses.InfoNCE(bilinear(), symmetric=True), "pair"),
    "nwj": Of(lambda: pl.losses.NWJ(bilinear()), "pair"),
    "kpair": Of(lambda: pl.losses.KPair(bilinear()), "pair"),
    "mine": Of(lambda: pl.losses.MutualInformation(separable(), kind="mine"), "pair"),
    "wpc": Of(lambda: pl.losses.WPC(separable()), "pair"),
    "smile": Of(lambda: pl.losses.MutualInformation(separable(), sign=-1, kind="smile", coef=0.1), "pair"),
}
ALL = pytest.mark.parametrize("name", LOSSES)


#: Its penalty is drawn at random points, so no two calls agree.
RANDOM = ("wpc",)


def is_regulariser(name):
    """Its value is that of one bound, its gradient by design that of another."""
    return name in ("mine", "smile")


@ALL
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_finite_in_every_dtype(name, dtype):
    of = LOSSES[name]
    views = [v.requires_grad_() for v in batch(dtype=dtype)]
    loss = of.make().to(dtype)
    value = of(loss, views)
    assert value.shape == ()
    assert value.dtype == dtype
    assert torch.isfinite(value)
    value.backward()
    assert torch.isfinite(views[0].grad).all()
    assert views[0].grad.abs().max() > 0
    if name in RANDOM:
        return
    exact = of(of.make().double(), [v.detach().double() for v in views])
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-4, torch.bfloat16: 0.1, torch.float16: 0.02}[dtype]
    assert float(value.detach()) == pytest.approx(float(exact.detach()), rel=tolerance, abs=tolerance)


@ALL
def test_gradient(name):
    if name in RANDOM:
        pytest.skip("random")
    if is_regulariser(name):
        pytest.skip("tested with its two gradients in test_mutual_information.py")
    of = LOSSES[name]
    loss = of.make().double()
    views = [v.requires_grad_() for v in batch(1, rows=8)]
    used = views[:1] if of.takes == "one" else views
    assert torch.autograd.gradcheck(lambda *v: of(loss, list(v)), used, atol=1e-6)


@ALL
def test_order_of_the_batch_does_not_matter(name):
    of = LOSSES[name]
    loss = of.make().double().eval()
    if name in RANDOM:
        pytest.skip("random")
    views, order = batch(2), torch.randperm(N, generator=torch.Generator().manual_seed(0))
    again = of(loss, [v[order] for v in views]).detach()
    assert float(of(loss, views).detach()) == pytest.approx(float(again), rel=1e-12)


@ALL
def test_refuses(name):
    of, loss = LOSSES[name], LOSSES[name].make().double()
    views = batch()
    for value in (math.nan, math.inf):
        spoilt = [v.clone() for v in views]
        spoilt[0][3, 1] = value
        with pytest.raises(ValueError, match="NaN"):
            of(loss, spoilt)
    with pytest.raises((ValueError, TypeError)):
        of(loss, [v[:0] for v in views])
    with pytest.raises((ValueError, TypeError)):
        of(loss, [v[:, :0] for v in views])
    with pytest.raises(ValueError):
        of(loss, [v[:, :, None] for v in views])
    with pytest.raises(TypeError, match="floating"):
        of(loss, [v.long() for v in views])
    with pytest.raises(TypeError, match=r"torch\.Tensor"):
        loss([v.tolist() for v in views]) if of.takes == "views" else loss(
            *[v.numpy() for v in views][: 1 + (of.takes == "pair")]
        )
    if of.takes in ("views", "pair"):
        with pytest.raises(ValueError, match=r"row|shape"):
            of(loss, [views[0], views[1][1:]])


@ALL
def test_state_dict_and_copies(name):
    of = LOSSES[name]
    first, views = of.make().double(), batch(3)
    of(first, views)
    second = of.make().double()
    second.load_state_dict(first.state_dict())
    first.eval(), second.eval()
    with torch.no_grad():
        if name not in RANDOM:
            assert of(first, views) == of(second, views) == of(copy.deepcopy(first), views)
    assert type(first).__name__ in repr(first)


@ALL
def test_is_a_step_of_training(name):
    """A few steps of gradient descent on the embeddings lower what the loss says (penalties: the information)."""
    of = LOSSES[name]
    loss = of.make().double()
    views = [v.requires_grad_() for v in batch(4)]
    optimiser = torch.optim.SGD(views, lr=1e-2)
    values = []
    for _ in range(20):
        optimiser.zero_grad()
        value = of(loss, views)
        value.backward()
        optimiser.step()
        values.append(float(value.detach()))
    assert values[-1] < values[0]


def test_extremes():
    """Embeddings of 1e30 and 1e-30, equal rows and a single direction."""
    views = batch(5)
    for of in (LOSSES["vne"], LOSSES["ivne"], LOSSES["mmcr"], LOSSES["vendi"]):
        usual = float(of(of.make(), views))
        for factor in (1e30, 1e-30):
            scaled = [(factor * v.float()).requires_grad_() for v in views]
            value = of(of.make(), scaled)
            value.backward()
            assert float(value.detach()) == pytest.approx(usual, rel=1e-4)
            assert torch.isfinite(scaled[0].grad).all()
    equal = [torch.ones(N, D, dtype=torch.float64).requires_grad_() for _ in range(2)]
    for name, of in LOSSES.items():
        value = of(of.make().double(), equal)
        grads = torch.autograd.grad(value, equal[0], allow_unused=True)[0]
        assert torch.isfinite(value), name
        assert grads is None or torch.isfinite(grads).all(), name


def test_zero_rows_have_no_direction():
    views = batch(6)
    views[0][2] = 0
    for name in ("vne", "ivne", "mmcr", "vendi"):
        with pytest.raises(ValueError, match="zero rows"):
            LOSSES[name](LOSSES[name].make(), views)


def test_every_public_loss_is_here():
    modules = {v for name in pl.losses.__all__ if isinstance(v := getattr(pl.losses, name), type)}
    assert modules == {type(of.make()) for of in LOSSES.values()}
    assert np.all([issubclass(m, torch.nn.Module) for m in modules])
