"""Upper bounds on mutual information from a conditional density, known or learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from plogp.estimate.critics import ConditionalGaussian, ConditionalMixture
from plogp.estimate.gaussian import gaussian_entropy
from plogp.estimate.samples import as_samples, check_same_length
from plogp.estimate.training import Rows, fit, generator, numpy_generator
from plogp.measures.uncertainty import Estimate, Normal

__all__ = ["UPPER_KINDS", "mi_upper"]

UPPER_KINDS = ("club", "loo", "ba", "gaussian")
Floats = npt.NDArray[np.float64]


def mi_upper(
    x: Any,
    y: Any,
    kind: str = "club",
    conditional: Any = None,
    *,
    marginal: Any = None,
    noise: Any = None,
    block: int = 1024,
    components: int = 8,
    width: int = 64,
    depth: int = 2,
    steps: int = 2000,
    batch_size: int = 256,
    lr: float = 5e-3,
    validation: float = 0.2,
    device: Any = None,
    progress: bool = False,
    rng: Any = None,
) -> Estimate:
    r"""Return an upper bound on I(X; Y), or what is one where the conditional density is right.

    With q(y|x) the conditional density given or learned, and r(y) a density of y:

    - ``"ba"`` (Barber and Agakov): :math:`E \log q(y|x) - E \log r(y)`. Exact for q = p(y|x) and r = p(y); for
      q = p(y|x) an upper bound whatever r is, too large by KL(p(y)‖r).
    - ``"loo"`` (leave one out): :math:`E \log q(y_i|x_i) - E \log \frac1{K-1}\sum_{j \ne i} q(y_i|x_j)`, K = `block`:
      an upper bound for q = p(y|x), tighter with growing K.
    - ``"club"``: :math:`E_{p(x,y)} \log q(y|x) - E_{p(x)p(y)} \log q(y|x)`: an upper bound for q = p(y|x), and
      also where KL(p(x,y)‖q(y|x)p(x)) is at most KL(p(x)p(y)‖q(y|x)p(x)). For jointly normal x and y of
      correlation ρ it is ρ²/(1 - ρ²), far above the information for strong dependence.
    - ``"gaussian"``: y = g(x) + noise with normal noise of known covariance, independent of x:
      :math:`h_{normal}(\Sigma_y) - h(noise) = \tfrac12 \log\det(I + \Sigma_{g} \Sigma_{noise}^{-1})`. An upper bound
      for any g, exact where g(x) is normal; nothing is learned and x does not enter.

    With a *learned* q nothing is guaranteed: a poor fit lowers E log q(y|x), so "ba" and "loo" estimate I less the
    misfit KL(p(y|x)‖q) plus their own gap, and "club" (then called vCLUB) can fall on either side. The learned q is
    a normal density with mean and standard deviations from a network, independent over the columns of y given x;
    pairs are cut into halves, each scored by the network trained on the other.

    Parameters
    ----------
    x, y : array or tensor, shape (n,) or (n, d)
    kind : {"club", "loo", "ba", "gaussian"}
    conditional : callable, optional
        ``conditional(x, y)`` returns log q(y_j | x_i) of all pairs, shape (n, m), from tensors (n, d_x), (m, d_y), as
        `plogp.estimate.ConditionalGaussian` does; it may have a method ``pairs(x, y)`` for equal positions only.
        None: learned.
    marginal : callable, optional
        For "ba": ``marginal(y)`` returns log r(y), shape (n,). None: learned, a mixture of normals.
    noise : float or array, optional
        For "gaussian": the noise's variance, or covariance matrix (d_y, d_y).
    block : int
        Rows that are compared with one another.
    components : int
        Of the learned marginal.
    width, depth, steps, batch_size, lr, validation
        Of the training; it stops early on the `validation` share.
    device, progress, rng
        As in `plogp.estimate.NeuralMutualInformation`.

    Returns
    -------
    Estimate
        In nats. The interval is normal and covers the bound (what this function estimates at the q used), not the
        information: its lower end is no lower bound on anything else.

    Raises
    ------
    ValueError
        For an unknown kind, mismatched lengths, too few samples, NaN, or a missing `noise`.

    Examples
    --------
    The channel y = x + noise of variance 1/4 with standard normal x has I = ½ log 5 = 0.805:

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=2000)
    >>> y = x + 0.5 * rng.normal(size=2000)
    >>> channel = ConditionalGaussian(1, 1, mean=lambda x: x, sd=0.5)
    >>> {kind: round(mi_upper(x, y, kind, channel, noise=0.25).value, 1) for kind in UPPER_KINDS}
    {'club': 4.0, 'loo': 0.8, 'ba': 0.8, 'gaussian': 0.8}

    References
    ----------
    Barber and Agakov (2003) and Poole et al. (2019), arXiv 1905.06922 ("ba", "loo"); Cheng et al. (2020),
    arXiv 2006.12013 ("club"). Offered beside the score of Zhang et al. (2025), arXiv 2501.03152, which is no bound.
    """
    if kind not in UPPER_KINDS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, UPPER_KINDS))}, got {kind!r}")
    if kind == "gaussian":
        return _gaussian_channel(x, y, noise)
    if marginal is not None and kind != "ba":
        raise ValueError(f"marginal= belongs to kind 'ba', got kind {kind!r}")
    if block < 4:
        raise ValueError(f"block must be at least 4, got {block}")
    rows = Rows(x, y, device=device)
    d_x, d_y = rows.dims
    random = numpy_generator(rng)
    learned = conditional is None or (kind == "ba" and marginal is None)
    if rows.n < (40 if learned else 2):
        raise ValueError(f"too few samples: {'learning needs 40' if learned else 'expected 2'} pairs, got {rows.n}")
    # Densities are learned on standardised values, which changes log q(y|x) and log r(y) by the same constant.
    shift, scale = zip(*rows.moments()) if learned else ((), ())
    options = {
        "steps": steps,
        "batch_size": batch_size,
        "lr": lr,
        "ema": 0.99,
        "every": min(50, steps),
        "patience": 6,
        "progress": progress,
    }
    terms = np.empty(rows.n)
    order = random.permutation(rows.n)
    halves = np.array_split(order, 2) if learned else [order]
    for i, scored in enumerate(halves):
        q, r = conditional, marginal
        if learned:
            train, held = rows.standardized(list(zip(shift, scale))).subset(halves[1 - i]).split(1 - validation, random)
            g = generator(random)
            if q is None:
                net = ConditionalGaussian(d_x, d_y, width, depth, activation=nn.SiLU, generator=g).to(rows.device)
                q = _learned(net, train, held, random, options, "log q(y|x)", shift, scale)
            if kind == "ba" and r is None:
                mixture = ConditionalMixture(0, d_y, components, generator=g).to(rows.device)
                r = _of_y(_learned(mixture, train, held, random, options, "log r(y)", shift, scale))
        for part in np.array_split(scored, max(1, math.ceil(len(scored) / block))):
            terms[part] = _terms(kind, q, r, *rows.take(part))
    value, se = float(terms.mean()), float(terms.std(ddof=1)) / math.sqrt(rows.n)
    notes = {"conditional": "learned" if conditional is None else "given", "block": min(block, rows.n)}
    if kind == "ba":
        notes["marginal"] = "learned" if marginal is None else "given"
    if conditional is None:
        notes["note"] = "an upper bound only as far as the learned conditional density is right"
    return Estimate(
        value, se, rows.n, f"{kind}({notes['conditional']})", law=Normal(value, se), terms=terms, diagnostics=notes
    )


def _terms(kind: str, q: Any, r: Any, x: Tensor, y: Tensor) -> Floats:
    """What each pair of a block adds to the bound; their mean is its value."""
    n = len(x)
    with torch.no_grad():
        if kind == "ba":
            own = q.pairs(x, y) if hasattr(q, "pairs") else q(x, y).diagonal()
            found = own.double() - r(y).double()
        else:
            S = q(x, y).double()
            if S.shape != (n, n):
                raise ValueError(f"conditional(x, y) must have shape ({n}, {n}), got {tuple(S.shape)}")
            own, others = S.diagonal(), S.masked_fill(torch.eye(n, dtype=torch.bool, device=S.device), -math.inf)
            if kind == "loo":
                # Columns are the y; a row's own part as an x for others is added with the opposite sign of its mean.
                log_mean = torch.logsumexp(others, 0) - math.log(n - 1)
                part = torch.softmax(others, 0).sum(1)
                found = own - log_mean - (part - 1)
            else:
                off = S - torch.diag(own)
                mean = off.sum() / (n * (n - 1))
                found = own - (off.sum(0) + off.sum(1)) / (n - 1) + mean
    if torch.isnan(found).any():
        raise ValueError("the conditional (or marginal) log density is NaN for some pairs")
    return np.asarray(found.cpu().numpy(), dtype=np.float64)


def _learned(
    model: Any, train: Rows, held: Rows, rng: Any, options: dict[str, Any], label: str, shift: Any, scale: Any
) -> Any:
    """Fit a conditional density by maximum likelihood; return it as a function of values in the data's own units."""
    no_x = model.d_x == 0
    test = list(held.batches(1024, 0, epochs=1))

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return -model.pairs(x[:, :0] if no_x else x, y).mean()

    def validate() -> float:
        return sum(len(x) * float(loss(x, y)) for x, y in test) / held.n

    fit(model, loss, train, rng=rng, validate=validate, label=label, **options)
    return _InOwnUnits(model, shift, scale)


class _InOwnUnits:
    """A density that was learned on standardised values."""

    def __init__(self, model: Any, shift: Any, scale: Any):
        self.model, self.shift, self.scale = model, shift, scale
        self.constant = float(torch.log(scale[1]).sum())

    def _scaled(self, x: Tensor, y: Tensor) -> Iterator[Tensor]:
        for t, mean, sd in zip((x, y), self.shift, self.scale):
            yield ((t.double() - mean.to(t.device)) / sd.to(t.device)).to(t.dtype)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return self.model(*self._scaled(x, y)) - self.constant

    def pairs(self, x: Tensor, y: Tensor) -> Tensor:
        u, v = self._scaled(x, y)
        return self.model.pairs(u[:, :0] if self.model.d_x == 0 else u, v) - self.constant


def _of_y(density: _InOwnUnits) -> Callable[[Tensor], Tensor]:
    return lambda y: density.pairs(y.new_zeros(len(y), len(density.shift[0])), y)


def _gaussian_channel(x: Any, y: Any, noise: Any) -> Estimate:
    samples = as_samples(y, "y")
    check_same_length(x=as_samples(x, "x"), y=samples)
    d = samples.shape[1]
    if noise is None:
        raise ValueError("kind 'gaussian' needs noise=, the variance or covariance matrix of the noise in y")
    covariance = np.asarray(noise, dtype=np.float64)
    covariance = covariance * np.eye(d) if covariance.ndim == 0 else covariance
    if covariance.shape != (d, d) or not np.allclose(covariance, covariance.T):
        raise ValueError(f"noise must be a variance or a symmetric ({d}, {d}) matrix, got shape {np.shape(noise)}")
    sign, log_det = np.linalg.slogdet(covariance)
    if sign <= 0 or (np.linalg.eigvalsh(covariance) <= 0).any():
        raise ValueError("noise must be positive (definite)")
    whole = gaussian_entropy(samples)
    value = whole.value - 0.5 * (d * math.log(2 * math.pi * math.e) + float(log_det))
    return Estimate(value, whole.se, len(samples), "gaussian(channel)", diagnostics={"noise": "given"})
