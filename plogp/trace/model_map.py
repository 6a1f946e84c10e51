"""A map of language models: log-likelihoods of the same texts as coordinates, and KL divergences as distances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.uncertainty import Estimate, convert_unit

__all__ = ["KLTable", "ModelMap", "ScorePrediction", "loglik_vector"]

Floats = npt.NDArray[np.float64]
#: Penalties of the ridge regression, in units of the mean eigenvalue of the models' Gram matrix.
PENALTIES = np.logspace(-4, 2, 13)


def loglik_vector(predictor: Any, texts: Any, *, progress: bool = False, **options: Any) -> Floats:
    """Return log p(text) in nats of each text under a language model: its coordinates on a `ModelMap`.

    Every model must be given the same texts, whole: vectors of models with different tokenizers may be compared
    because the same bytes are scored, so nothing may be cut by tokens. Texts longer than a model's context are read
    in windows (`plogp.trace.trace`).

    Parameters
    ----------
    predictor : Predictor, transformers model or name
        As `plogp.trace.trace` takes it.
    texts : list of str or of ids
        Ids only for models of one vocabulary.
    progress : bool
        Show a bar.
    **options
        Of `plogp.trace.trace`: `bos`, `window`, `batch_size`, ... A first token without a prediction is left out of
        the sum, so use the same `bos` for models of the same tokenizer.

    Returns
    -------
    array, shape (N,)
        float64.

    Examples
    --------
    >>> from plogp.trace.predictors import MarkovLM
    >>> loglik_vector(MarkovLM([[0.9, 0.1], [0.5, 0.5]]), [[0, 0], [1, 0, 0]]).round(4).tolist()
    [-0.2877, -2.5903]
    """
    from plogp.trace.tracing import trace

    return trace(predictor, texts, stats=(), progress=progress, **options).sums("logprob")


@dataclass(frozen=True, eq=False, repr=False)
class KLTable:
    """KL divergences of all pairs of models; ``table[i, j]`` is the `Estimate` of one pair.

    Attributes
    ----------
    value, se : array, shape (K, K)
        Symmetric, in `unit`.
    n : int
        Number of texts.
    unit : str
    """

    value: Floats
    se: Floats
    n: int
    unit: str

    def __getitem__(self, pair: tuple[int, int]) -> Estimate:
        """Return the estimate of one pair."""
        i, j = pair
        return _estimate(float(self.value[i, j]), float(self.se[i, j]), self.n, self.unit)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.value, dtype=dtype)

    def __repr__(self) -> str:
        off = self.value[np.triu_indices(len(self.value), 1)]
        shown = f"{off.min():.3g} to {off.max():.3g} {self.unit}" if len(off) else "one model"
        return f"KLTable({len(self.value)} models, {self.n} texts: {shown})"


@dataclass(frozen=True, eq=False)
class ScorePrediction:
    """What `ModelMap.predict` returns.

    Attributes
    ----------
    values : array, shape (K,)
        The predicted score of each model: out of fold where its score was given.
    correlation : float
        Pearson's, of the given scores with their out-of-fold predictions; NaN where the predictions are constant.
    rmse : float
        Root mean squared error out of fold.
    n : int
        How many scores were given.
    """

    values: Floats
    correlation: float
    rmse: float
    n: int


class ModelMap:
    r"""Language models as points, from the log-likelihoods they give to the same texts.

    With :math:`L_{is} = \log p_i(x_s)`, clipped from below, the coordinates are L centred over texts and then over
    models,

    .. math:: q_{is} = L_{is} - \bar L_{i\cdot} - \bar L_{\cdot s} + \bar L_{\cdot\cdot}, \qquad
        \frac{\|q_i - q_j\|^2}{N} = Var_s\left(\log \frac{p_i(x_s)}{p_j(x_s)}\right) \approx 2\,KL(p_i\|p_j)

    to second order, where both models are near the source of the texts. The map costs one pass of each model over
    the texts; no pair of models ever meets.

    Attributes
    ----------
    loglik : array, shape (K, N)
        The clipped log-likelihoods.
    floor : float
        What they were clipped at; -inf without clipping.
    coordinates : array, shape (K, N)
        q.
    quality : array, shape (K,)
        Mean log-likelihood of a text: nearer to 0 is the better model.
    names : list of str

    Notes
    -----
    The approximation holds for models near each other and near the texts' source. Measured on 12 Markov chains of 40
    words and 3,000 texts of 40 tokens from the chain they were perturbed from: KL of the map over the exact KL of a
    pair is 0.98 on average (0.93 to 1.05) where the logits are perturbed by 0.15 normal deviates, with a correlation
    of 0.92; at 1.0 it is 1.06 (0.9 to 1.3) with 0.73. Clipping lowers it by 2 to 4 %. The interval is that of the
    variance of the log-ratio (jackknife over texts) and does not know of either.

    Source: M. Oyama, H. Yamagiwa, Y. Takase and H. Shimodaira (2025), arXiv 2502.16173.

    Examples
    --------
    >>> from plogp.trace.predictors import MarkovLM
    >>> base = MarkovLM.random(10, rng=0)
    >>> texts = base.sample(200, 30, rng=1)
    >>> models = [base.perturbed(0.2, rng=i) for i in range(4)]
    >>> world = ModelMap().fit([loglik_vector(m, texts) for m in models])
    >>> world.kl(0, 1)
    Estimate(0.772 ± 0.063 nats/text, 95 % [0.649, 0.896], n=200, model map)
    >>> world.embed("pca").shape
    (4, 2)
    """

    loglik: Floats
    coordinates: Floats
    floor: float
    names: list[str]

    def fit(
        self,
        L: Any,
        clip: float | None = 0.02,
        *,
        names: Sequence[str] | None = None,
        n_bytes: Any = None,
    ) -> ModelMap:
        """Place models on the map.

        Parameters
        ----------
        L : array, shape (K, N)
            Log-likelihoods of N texts under K models, a row a model, in nats.
        clip : float or None
            Share of all entries that are raised to the quantile of that order, against outliers; None clips nothing.
        names : sequence of str, optional
            Of the models.
        n_bytes : array, shape (N,), or number, optional
            Length of the texts, for divergences by the byte.

        Raises
        ------
        ValueError
            For fewer than two texts, NaN or +inf, entries of -inf that clipping leaves, or names or lengths that do
            not fit.
        """
        table = np.array(L, dtype=np.float64)
        if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
            raise ValueError(f"L must have shape (models, texts) with at least 2 texts, got {table.shape}")
        if np.isnan(table).any() or (table == math.inf).any():
            raise ValueError("L holds NaN or +inf; expected log-likelihoods")
        if clip is not None and not 0 <= clip < 1:
            raise ValueError(f"clip must lie in [0, 1), or be None, got {clip!r}")
        floor = -math.inf if clip is None else float(np.quantile(table, clip, method="higher"))
        table = np.maximum(table, floor)
        if np.isinf(table).any():
            raise ValueError(
                f"L holds -inf (a text that a model cannot write) in more entries than clip={clip!r} raises; clip "
                "more, or leave the text or the model out"
            )
        self.names = [str(i) for i in range(len(table))] if names is None else [str(n) for n in names]
        if len(self.names) != len(table):
            raise ValueError(f"names has {len(self.names)} entries; expected one for each of the {len(table)} models")
        self._bytes = None if n_bytes is None else _mean_bytes(n_bytes, table.shape[1])
        self.loglik, self.floor = table, floor
        self._center = self._centered(table).mean(axis=0)
        self.coordinates = self._centered(table) - self._center
        return self

    @staticmethod
    def _centered(table: Floats) -> Floats:
        return table - table.mean(axis=1, keepdims=True)

    @property
    def quality(self) -> Floats:
        """Mean log-likelihood of a text under each model, in nats."""
        return np.asarray(self._fitted().mean(axis=1))

    def transform(self, L: Any) -> Floats:
        """Return the coordinates of further models, shape (M, N), clipped and centred as those of the map."""
        rows = np.atleast_2d(np.array(L, dtype=np.float64))
        if rows.shape[1] != self._fitted().shape[1] or np.isnan(rows).any():
            raise ValueError(f"L must have shape (models, {self.loglik.shape[1]}) and no NaN, got {rows.shape}")
        return self._centered(np.maximum(rows, self.floor)) - self._center

    def kl(self, i: int | str | None = None, j: int | str | None = None, *, unit: str = "nats/text") -> Any:
        """Return KL divergences between models: half the variance over texts of the log-ratio of their likelihoods.

        Parameters
        ----------
        i, j : int or str, optional
            Two models, by number or name. Without them all pairs.
        unit : str
            "nats" or "bits", by "/text" or "/byte" (then `fit` needs `n_bytes`).

        Returns
        -------
        Estimate, or KLTable of all pairs
            With the jackknife standard error over texts. To second order it is KL either way round.
        """
        q = self._fitted(coordinates=True)
        factor = self._factor(unit)
        if (i is None) != (j is None):
            raise ValueError("kl takes two models, or none for all pairs")
        n = q.shape[1]
        if i is not None and j is not None:
            value, se = _half_variance(q[self._number(i)] - q[self._number(j)][None])
            return _estimate(float(value[0]) * factor, float(se[0]) * factor, n, unit)
        values, errors = np.zeros((len(q), len(q))), np.zeros((len(q), len(q)))
        for k in range(len(q) - 1):
            values[k, k + 1 :], errors[k, k + 1 :] = _half_variance(q[k + 1 :] - q[k])
        return KLTable((values + values.T) * factor, (errors + errors.T) * factor, n, unit)

    def embed(self, method: str = "pca", dim: int = 2, *, rng: Any = None) -> Floats:
        """Return positions of the models in few dimensions, shape (K, dim).

        "pca" is the projection that keeps most of the squared distance, in units in which squared distance is
        2 KL in nats; "mds" places the models so that the square roots of 2 KL are kept (scikit-learn's SMACOF, from
        the projection); "tsne" keeps neighbourhoods only (scikit-learn; `rng` seeds it).
        """
        q = self._fitted(coordinates=True) / math.sqrt(self.loglik.shape[1])
        if not isinstance(dim, int) or not 1 <= dim <= len(q):
            raise ValueError(f"dim must lie between 1 and the {len(q)} models, got {dim!r}")
        if method not in ("pca", "mds", "tsne"):
            raise ValueError(f"method must be 'pca', 'mds' or 'tsne', got {method!r}")
        if method == "pca":
            return _projected(q, dim)
        distance = np.sqrt(2 * self.kl().value)
        seed = None if rng is None else int(np.random.default_rng(rng).integers(2**31))
        if method == "mds":
            from sklearn.manifold import smacof

            found, _ = smacof(distance, n_components=dim, init=_projected(q, dim), n_init=1, normalized_stress=False)
            return np.asarray(found)
        from sklearn.manifold import TSNE

        if len(q) < 4:
            raise ValueError(f"method='tsne' needs at least 4 models, got {len(q)}")
        near = min(30.0, (len(q) - 1) / 3)
        tsne = TSNE(dim, perplexity=near, metric="precomputed", init="random", random_state=seed)
        return np.asarray(tsne.fit_transform(distance), dtype=np.float64)

    def predict(self, scores: Any, *, folds: int = 5, rng: Any = 0) -> ScorePrediction:
        """Predict a benchmark's score from where models stand, by ridge regression with cross-validation.

        Parameters
        ----------
        scores : array, shape (K,)
            One for each model; NaN where it is to be predicted.
        folds : int
            Models with scores are split into so many parts, each predicted from the others. The penalty is chosen
            inside, from the others only.
        rng : Generator, int or None
            Of the split.

        Raises
        ------
        ValueError
            For fewer scores than folds, or infinite ones.
        """
        from sklearn.linear_model import RidgeCV
        from sklearn.model_selection import KFold

        q = self._fitted(coordinates=True)
        y = np.array(scores, dtype=np.float64)
        if y.shape != (len(q),) or np.isinf(y).any():
            raise ValueError(f"scores must have shape ({len(q)},), NaN where unknown, got {y.shape}")
        known = np.flatnonzero(~np.isnan(y))
        if not 2 <= folds <= len(known) or len(known) < 4:
            raise ValueError(f"scores holds {len(known)} numbers; expected at least 4 and no fewer than folds={folds}")
        # The models span few directions: their projection holds all inner products, and is small.
        x = _projected(q, min(q.shape))
        x = x / math.sqrt(float((x * x).sum(axis=1).mean()) or 1.0)
        values = np.empty(len(q))
        seed = None if rng is None else int(np.random.default_rng(rng).integers(2**31))
        for train, test in KFold(folds, shuffle=True, random_state=seed).split(known):
            model = RidgeCV(PENALTIES).fit(x[known[train]], y[known[train]])
            values[known[test]] = model.predict(x[known[test]])
        rest = np.setdiff1d(np.arange(len(q)), known)
        if len(rest):
            values[rest] = RidgeCV(PENALTIES).fit(x[known], y[known]).predict(x[rest])
        given, found = y[known], values[known]
        spread = float(given.std() * found.std())
        r = float(((given - given.mean()) * (found - found.mean())).mean() / spread) if spread > 0 else math.nan
        return ScorePrediction(values, r, float(np.sqrt(((given - found) ** 2).mean())), len(known))

    def plot(
        self, method: str = "pca", *, color: Any = None, labels: bool | None = None, rng: Any = 0, ax: Any = None
    ) -> Any:
        """Draw the map, a point a model, coloured by `quality` unless `color` is given. Needs matplotlib.

        Names are written beside the points of up to 40 models, or as `labels` says.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        at = self.embed(method, min(2, len(self._fitted())), rng=rng)
        at = at if at.shape[1] == 2 else np.column_stack([at, np.zeros(len(at))])
        ax = plt.subplots()[1] if ax is None else ax
        points = ax.scatter(*at.T, c=self.quality if color is None else color, s=18, alpha=0.8)
        if color is None:
            ax.figure.colorbar(points, ax=ax, label="mean log-likelihood of a text (nats)")
        if labels or (labels is None and len(at) <= 40):
            for name, place in zip(self.names, at):
                ax.annotate(name, place, xytext=(3, 3), textcoords="offset points", fontsize=7)
        unit = "" if method == "tsne" else " (squared distance: 2 KL in nats/text)"
        ax.set_title(f"{len(at)} models, {method}{unit}", fontsize=9)
        return ax

    def _fitted(self, coordinates: bool = False) -> Floats:
        if not hasattr(self, "loglik"):
            raise ValueError("this ModelMap is empty; call fit(L) first")
        return self.coordinates if coordinates else self.loglik

    def _number(self, model: int | str) -> int:
        if isinstance(model, str):
            if model not in self.names:
                raise ValueError(f"no model is named {model!r}")
            return self.names.index(model)
        if not -len(self.names) <= model < len(self.names):
            raise ValueError(f"model {model} is not among the {len(self.names)} models")
        return int(model)

    def _factor(self, unit: str) -> float:
        information, _, per = unit.partition("/")
        if per not in ("text", "byte") or information not in ("nats", "bits"):
            raise ValueError(f"unit must be 'nats' or 'bits', by '/text' or '/byte', got {unit!r}")
        if per == "byte" and self._bytes is None:
            raise ValueError("unit by the byte needs the texts' lengths: fit(L, n_bytes=...)")
        return convert_unit("nats", information) / (self._bytes or 1.0 if per == "byte" else 1.0)

    def __repr__(self) -> str:
        shape = "empty" if not hasattr(self, "loglik") else "{} models, {} texts".format(*self.loglik.shape)
        return f"ModelMap({shape})"


def _half_variance(apart: Floats) -> tuple[Floats, Floats]:
    """Return half the variance of each row, and its jackknife standard error in closed form.

    Without entry s, the variance v of n becomes (v - e_s²/(n-1)) n/(n-1), with e_s its deviation.
    """
    n = apart.shape[-1]
    squares = (apart - apart.mean(axis=-1, keepdims=True)) ** 2
    value = squares.mean(axis=-1)
    spread = ((squares - value[..., None]) ** 2).sum(axis=-1)
    return value / 2, np.sqrt(spread * n / (n - 1) ** 3) / 2


def _estimate(value: float, se: float, n: int, unit: str) -> Estimate:
    return Estimate(value, se, n, "model map", unit)


def _projected(q: Floats, dim: int) -> Floats:
    """Return the principal coordinates of rows that are centred; each axis' largest entry is positive."""
    u, s, _ = np.linalg.svd(q, full_matrices=False)
    u = u[:, :dim]
    signs = np.sign(u[np.abs(u).argmax(axis=0), np.arange(u.shape[1])])
    found = u * (np.where(signs == 0, 1.0, signs) * s[:dim])
    return np.asarray(np.pad(found, ((0, 0), (0, dim - found.shape[1]))))


def _mean_bytes(n_bytes: Any, texts: int) -> float:
    lengths = np.array(n_bytes, dtype=np.float64)
    if lengths.shape not in ((), (texts,)) or not np.isfinite(lengths).all() or not (lengths > 0).all():
        raise ValueError(f"n_bytes must be a positive number, or one for each of the {texts} texts")
    return float(lengths.mean())
