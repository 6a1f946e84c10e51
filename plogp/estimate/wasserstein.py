"""The Wasserstein dependency measure: how far the joint law lies from the product law in a metric of the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from plogp.estimate.critics import Critic, as_critic
from plogp.estimate.samples import Floats, as_samples, check_same_length, rescaled
from plogp.estimate.training import MLP, Rows, fit, generator
from plogp.estimate.variational import bound
from plogp.measures.uncertainty import Estimate

__all__ = ["METRICS", "LipschitzCritic", "dependency", "gradient_penalty", "wasserstein_dependency"]

#: Metric on pairs by name: distance from the distances of both parts, and the size of a gradient that its
#: 1-Lipschitz functions keep to 1 (the dual norm).
METRICS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Tensor, Tensor], Tensor]]] = {
    "euclidean": (lambda a, b: (a**2 + b**2) ** 0.5, lambda u, v: (u.square() + v.square()).sqrt()),
    "sum": (lambda a, b: a + b, torch.maximum),
}


def gradient_penalty(
    critic: Any,
    joint: tuple[Tensor, Tensor],
    product: tuple[Tensor, Tensor],
    *,
    metric: str = "euclidean",
    two_sided: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Return how far a critic's slope is from at most 1, between joint and product pairs.

    .. math:: \mathbb E\,(\|\nabla f(\hat x, \hat y)\| - 1)_+^2, \qquad
              (\hat x, \hat y) = u\,(x, y) + (1 - u)\,(x', y'), \quad u \sim U(0, 1)

    Parameters
    ----------
    critic : Module
        With ``pairs(x, y)``, as `plogp.estimate.Bilinear` has.
    joint, product : pairs of tensors (n, d_x), (n, d_y)
    metric : {"euclidean", "sum"}
        Distance of pairs: sqrt(|x - x'|² + |y - y'|²), or |x - x'| + |y - y'|.
    two_sided : bool
        Penalise slopes below 1 too.

    Examples
    --------
    >>> from plogp.estimate import Bilinear
    >>> critic = Bilinear(1, 1)
    >>> x = torch.ones(4, 1)
    >>> gradient_penalty(critic, (x, x), (x, x)).shape
    torch.Size([])

    Notes
    -----
    I. Gulrajani et al. (2017), arXiv 1704.00028.
    """
    size = _metric(metric)[1]
    (x, y), (x2, y2) = joint, product
    u = torch.rand(len(x), 1, generator=generator, dtype=x.dtype).to(x.device)
    a, b = (torch.lerp(p, q, u).detach().requires_grad_() for p, q in ((x2, x), (y2, y)))
    with torch.enable_grad():
        total = critic.pairs(a, b).sum()
        of_a, of_b = torch.autograd.grad(total, (a, b), create_graph=True)
    # The square root has no slope at 0.
    norms = [(g.square().sum(1) + 1e-24).sqrt() for g in (of_a, of_b)]
    excess = size(norms[0], norms[1]) - 1
    return (excess if two_sided else excess.clamp_min(0)).square().mean()


def _metric(metric: str) -> tuple[Callable[[Any, Any], Any], Callable[[Tensor, Tensor], Tensor]]:
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(map(repr, METRICS))}, got {metric!r}")
    return METRICS[metric]


class LipschitzCritic(Critic):
    """A critic that is 1-Lipschitz in (x, y) by its construction: spectral norms of 1 and rectified units.

    Such networks are far from all 1-Lipschitz functions, so values come out low.

    >>> critic = LipschitzCritic(2, 3, width=16)
    >>> critic(torch.zeros(4, 2), torch.zeros(5, 3)).shape
    torch.Size([4, 5])
    """

    def __init__(self, d_x: int, d_y: int, width: int = 64, depth: int = 2, generator: torch.Generator | None = None):
        super().__init__()
        self.net = MLP(d_x + d_y, width, 1, depth, generator=generator)
        for layer in self.net.layers:
            if isinstance(layer, nn.Linear):
                nn.utils.parametrizations.spectral_norm(layer, n_power_iterations=3)

    def pairs(self, x: Tensor, y: Tensor) -> Tensor:
        """Return f(x_i, y_i), shape (n,)."""
        out: Tensor = self.net(torch.cat([x, y], dim=1))[:, 0]
        return out

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return f(x_i, y_j), shape (n, m)."""
        n, m = len(x), len(y)
        return self.pairs(x.repeat_interleave(m, 0), y.repeat(n, 1)).reshape(n, m)


def dependency(
    x: Any,
    y: Any,
    kind: str = "wasserstein",
    *,
    critic: str | nn.Module = "concatenated",
    lipschitz: str = "gp",
    weight: float = 10.0,
    two_sided: bool = False,
    metric: str = "euclidean",
    scale: str | None = None,
    width: int = 64,
    steps: int = 2000,
    batch_size: int = 256,
    lr: float = 1e-3,
    held_out: float = 0.3,
    device: Any = None,
    progress: bool = False,
    rng: np.random.Generator | int | None = None,
) -> Estimate:
    r"""Return the Wasserstein dependency measure of paired samples, by a critic with bounded slope.

    .. math:: I_W(X; Y) = W_1(P_{XY}, P_X P_Y) = \sup_{\mathrm{Lip}(f) \le 1} \mathbb E_{P_{XY}} f
              - \mathbb E_{P_X P_Y} f

    It is 0 exactly for independent variables, has the unit of the metric, and, unlike the mutual information, changes
    under rescaling and is not bounded by the logarithm of the sample size. Kinds:

    - ``"wasserstein"``: the critic of the display, on held-out pairs.
    - ``"wpc"``, Wasserstein predictive coding: the value :math:`\mathbb E[f(x, y) - \log\frac1K \sum_j e^{f(x, y_j)}]`
      of InfoNCE under the same constraint, in nats and at most log K.
    - ``"assignment"``: no critic. W_1 between the sample and pairs put together anew, by optimal assignment, less
      W_1 between two such shuffled samples; up to some thousand samples. It has no interval.

    Parameters
    ----------
    x, y : array, shape (n, d_x), (n, d_y)
    kind : {"wasserstein", "wpc", "assignment"}
    critic : {"concatenated", "separable", "bilinear"} or Module
    lipschitz : {"gp", "spectral"}
        Gradient penalty of `weight`, which keeps the slope near 1 only where pairs are; or a critic of spectral norm
        1 (`critic` is then a plain network).
    weight, two_sided
        Of the penalty.
    metric : {"euclidean", "sum"}
    scale : {None, "standard"}
        Standardise columns first; by default the data's own unit is kept.
    steps, batch_size, lr, width, held_out, device, progress
        Of training; validation pairs are taken off `held_out` as well.
    rng : Generator, int or None

    Returns
    -------
    Estimate
        Its error is the sampling error on held-out pairs, the critic given: a weak critic gives too low a value,
        and a slope above 1 too high a one. ``diagnostics["slope"]`` is the largest slope on held-out pairs.

    Raises
    ------
    ValueError
        For fewer than 50 samples (10 for "assignment"), NaN, lengths that differ, or unknown names.

    Examples
    --------
    >>> g = np.random.default_rng(0)
    >>> x = g.normal(size=(300, 1))
    >>> near, far = dependency(x, x, "assignment", rng=0), dependency(x, g.normal(size=300), "assignment", rng=0)
    >>> near.value > 0.3 > 0.1 > abs(far.value)
    True

    Notes
    -----
    The penalty's weight and the architecture are those of WGAN-GP; the paper's own are not published with code.
    Source: S. Ozair, C. Lynch, Y. Bengio, A. van den Oord, S. Levine and P. Sermanet (2019), arXiv 1903.11780.
    """
    a, b = as_samples(x, "x"), as_samples(y, "y")
    check_same_length(x=a, y=b)
    if kind not in ("wasserstein", "wpc", "assignment"):
        raise ValueError(f"kind must be 'wasserstein', 'wpc' or 'assignment', got {kind!r}")
    if lipschitz not in ("gp", "spectral"):
        raise ValueError(f"lipschitz must be 'gp' or 'spectral', got {lipschitz!r}")
    least = 10 if kind == "assignment" else 50
    if len(a) < least:
        raise ValueError(f"at least {least} samples are needed, got {len(a)}")
    distance = _metric(metric)[0]
    if scale is not None:
        a, b = (rescaled(v, scale) for v in (a, b))
    numpy_rng = np.random.default_rng(rng)
    if kind == "assignment":
        return _by_assignment(a, b, distance, metric, numpy_rng)
    return _by_critic(
        a, b, kind, critic, lipschitz, weight, two_sided, metric, width, steps, batch_size, lr, held_out, device,
        progress, numpy_rng,
    )  # fmt: skip


def _by_assignment(
    a: Floats, b: Floats, distance: Callable[[Any, Any], Any], metric: str, rng: np.random.Generator, draws: int = 5
) -> Estimate:
    """The excess of the cost of joint against shuffled pairs over that of shuffled against shuffled ones."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    of_a, of_b = cdist(a, a), cdist(b, b)
    n = len(a)

    def cost(first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]) -> float:
        table = distance(of_a, of_b[np.ix_(first, second)])
        return float(table[linear_sum_assignment(table)].mean())

    straight = np.arange(n)
    joint, null = [], []
    for _ in range(draws):
        one, two = rng.permutation(n), rng.permutation(n)
        joint.append(cost(straight, one))
        null.append(cost(one, two))
    facts = {
        "no_interval": "the assignment's sampling law is not known",
        "uncorrected": float(np.mean(joint)),
        "null": float(np.mean(null)),
    }
    value = float(np.mean(joint) - np.mean(null))
    return Estimate(value, None, n, f"assignment({metric}, draws={draws})", unit="", diagnostics=facts)


def _by_critic(
    a: Floats,
    b: Floats,
    kind: str,
    critic: str | nn.Module,
    lipschitz: str,
    weight: float,
    two_sided: bool,
    metric: str,
    width: int,
    steps: int,
    batch_size: int,
    lr: float,
    held_out: float,
    device: Any,
    progress: bool,
    rng: np.random.Generator,
) -> Estimate:
    if not 0 < held_out < 0.9:
        raise ValueError(f"held_out must lie in (0, 0.9), got {held_out}")
    training, test = Rows(a, b, device=device).split(held_out, rng)
    training, validation = training.split(min(0.2, held_out), rng)
    g = generator(rng)
    if lipschitz == "spectral":
        module: Any = critic if isinstance(critic, nn.Module) else LipschitzCritic(a.shape[1], b.shape[1], width, 2, g)
    else:
        options = {} if critic == "bilinear" or isinstance(critic, nn.Module) else {"width": width}
        module = as_critic(critic, a.shape[1], b.shape[1], g, **options)
    module = module.to(device) if device is not None else module

    def gain(u: Tensor, v: Tensor) -> Tensor:
        S = module(u, v)
        if kind == "wpc":
            return bound(S, "infonce").objective
        return S.diagonal().mean() - (S.sum() - S.diagonal().sum()) / (len(S) * (len(S) - 1))

    def penalty(u: Tensor, v: Tensor, by: torch.Generator) -> Tensor:
        other = v.roll(1, 0)
        return gradient_penalty(module, (u, v), (u, other), metric=metric, two_sided=two_sided, generator=by)

    def loss(u: Tensor, v: Tensor) -> Tensor:
        return -gain(u, v) + (weight * penalty(u, v, g) if lipschitz == "gp" else 0.0)

    watched_x, watched_y = validation.take(np.arange(min(len(validation), 1024)))

    def validate() -> float:
        held = -float(gain(watched_x, watched_y))
        return held + (weight * float(penalty(watched_x, watched_y, generator(0))) if lipschitz == "gp" else 0.0)

    history = fit(
        module, loss, training, steps=steps, batch_size=min(batch_size, len(training)), lr=lr, rng=g,
        validate=validate, progress=progress, label=f"{kind} critic",
    )  # fmt: skip
    return _on_held_out(module, test, kind, lipschitz, metric, batch_size, history.best_step)


def _on_held_out(
    module: Any, test: Rows, kind: str, lipschitz: str, metric: str, batch_size: int, best_step: int
) -> Estimate:
    """The value on pairs that training never saw, with the error of its projections on single pairs."""
    terms = []
    blocks = max(1, len(test) // batch_size)
    for index in np.array_split(np.arange(len(test)), blocks):
        u, v = test.take(index)
        with torch.no_grad():
            S = module(u, v).double().cpu().numpy()
        n = len(S)
        diagonal = np.diagonal(S)
        if kind == "wpc":
            top = S.max(axis=1)
            terms.append(diagonal - top - np.log(np.mean(np.exp(S - top[:, None]), axis=1)))
            continue
        rows, columns = ((S.sum(axis=k) - diagonal) / (n - 1) for k in (1, 0))
        # Hoeffding's projection of the mean over pairs of different samples.
        terms.append(diagonal - rows - columns + rows.mean())
    per_sample = np.concatenate(terms)
    u, v = test.take(np.arange(min(len(test), 2048)))
    a, b = u.clone().requires_grad_(), v.roll(1, 0).requires_grad_()
    of_a, of_b = torch.autograd.grad(module.pairs(a, b).sum(), (a, b))
    slope = float(_metric(metric)[1](of_a.norm(dim=1), of_b.norm(dim=1)).max())
    value = float(per_sample.mean())
    se = float(per_sample.std(ddof=1)) / math.sqrt(len(per_sample))
    facts = {"slope": slope, "best_step": best_step, "critic": type(module).__name__}
    return Estimate(
        value, se, len(per_sample), f"{kind}({lipschitz}, {metric})", unit="nats" if kind == "wpc" else "",
        terms=per_sample, diagnostics=facts,
    )  # fmt: skip


def wasserstein_dependency(
    joint: npt.ArrayLike, cost_x: npt.ArrayLike | None = None, cost_y: npt.ArrayLike | None = None
) -> float:
    r"""Return :math:`W_1(P_{XY}, P_X P_Y)` of a table of probabilities exactly, by linear programming.

    The distance of two cells is ``cost_x[a, a'] + cost_y[b, b']``; by default 1 for states that differ.

    Parameters
    ----------
    joint : array, shape (A, B)
    cost_x, cost_y : array, shape (A, A), (B, B), optional
        Metrics on the states.

    Raises
    ------
    ValueError
        For a table that is no law, costs of other shapes or negative, or more than 10,000 cells squared.

    Examples
    --------
    >>> round(wasserstein_dependency([[0.5, 0.0], [0.0, 0.5]]), 12)      # 2 |p11 - p1 q1|
    0.5
    """
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    from plogp.measures.arrays import check_probabilities

    table = np.asarray(joint, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"joint must be a table, got shape {table.shape}")
    check_probabilities(table.ravel(), -1, "joint")
    costs = []
    for name, given, size in (("cost_x", cost_x, table.shape[0]), ("cost_y", cost_y, table.shape[1])):
        cost = 1.0 - np.eye(size) if given is None else np.asarray(given, dtype=np.float64)
        if cost.shape != (size, size) or not (np.isfinite(cost).all() and (cost >= 0).all()):
            raise ValueError(f"{name} must hold distances, shape {(size, size)}, got shape {cost.shape}")
        costs.append(cost)
    cells = table.size
    if cells > 400:
        raise ValueError(f"the table has {cells} cells; at most 400 are solved exactly")
    product = np.outer(table.sum(1), table.sum(0)).ravel()
    a, b = np.unravel_index(np.arange(cells), table.shape)
    cost = (costs[0][np.ix_(a, a)] + costs[1][np.ix_(b, b)]).ravel()
    plan = np.arange(cells * cells)
    rows, columns = np.r_[plan // cells, cells + plan % cells], np.r_[plan, plan]
    constraints: Any = csr_array((np.ones(2 * len(plan)), (rows, columns)))
    # One constraint follows from the others; without it rounding cannot make the programme infeasible.
    wanted = np.r_[table.ravel(), product / product.sum() * table.sum()][:-1]
    for method in ("highs-ds", "highs-ipm"):
        solve: Any = linprog
        found = solve(cost, A_eq=constraints[:-1], b_eq=wanted, bounds=(0, None), method=method)
        # The prices of the constraints prove the optimum: they bound it from below.
        if found.success:
            prices = np.append(found.eqlin.marginals, 0.0)
            violation = float((prices[:cells, None] + prices[None, cells:] - cost.reshape(cells, cells)).max())
            if violation < 1e-9 and found.fun - float(prices[:-1] @ wanted) < 1e-9:
                break
    else:
        raise RuntimeError(f"the linear programme was not solved: {found.message}")
    return max(0.0, float(found.fun))
