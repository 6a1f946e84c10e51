"""How uncertain a model is of an answer, from several answers to one question; larger is more uncertain everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import as_array
from plogp.measures import entropy
from plogp.measures.arrays import logsumexp
from plogp.spectra import Spectrum
from plogp.text.encoder import Encoder, as_texts
from plogp.text.rejection import RejectionMetrics, rejection_curve, rejection_metrics
from plogp.text.similarity import greedy_clusters, similarity_matrix

__all__ = [
    "AnswerUncertainty",
    "RejectionMetrics",
    "UncertaintySuite",
    "degree",
    "eccentricity",
    "kernel_language_entropy",
    "lexical_similarity",
    "luq",
    "rejection_metrics",
    "semantic_entropy",
    "snne",
    "spectral_sum",
]

Floats = npt.NDArray[np.float64]


def semantic_entropy(labels: Any, logp: Any = None) -> float:
    r"""Return the entropy over meanings of several answers, in nats.

    .. math:: -\sum_c p(c) \log p(c), \qquad p(c) = \frac{n_c}{n} \ \text{or}\
              \frac{\sum_{i \in c} P_i}{\sum_i P_i}

    Parameters
    ----------
    labels : sequence of hashable, shape (n,)
        The meaning of each answer, as `greedy_clusters` gives it.
    logp : array, shape (n,), optional
        Log-likelihood of each answer, in nats; divided by its number of tokens where lengths differ much. Without it
        meanings are counted (discrete semantic entropy).

    Raises
    ------
    ValueError
        If `labels` is empty, or `logp` holds NaN, +inf or only -inf, or has another length.

    Examples
    --------
    >>> round(semantic_entropy([0, 0, 1, 0]), 4)
    0.5623
    >>> round(semantic_entropy(["a", "a", "b"], [-1.0, -1.0, -9.0]), 4)
    0.0016

    References
    ----------
    L. Kuhn, Y. Gal and S. Farquhar, arXiv 2302.09664; S. Farquhar et al., Nature 630, 2024.
    """
    names = list(labels)
    if not names:
        raise ValueError("labels is empty; expected the meaning of at least one answer")
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    place = np.array([number[name] for name in names])
    weights = np.ones(len(names)) if logp is None else likelihoods(logp, len(names))
    mass = np.bincount(place, weights=weights)
    return float(entropy(mass / mass.sum()))


def likelihoods(logp: Any, n: int) -> Floats:
    """Return exp(logp) up to a common factor, the largest being 1."""
    x = np.asarray(as_array(logp, "logp"), np.float64)
    if x.shape != (n,):
        raise ValueError(f"logp must hold one number for each of the {n} answers, got shape {x.shape}")
    if np.isnan(x).any() or x.max() in (np.inf, -np.inf):
        raise ValueError("logp must hold log-likelihoods without NaN or +inf, and not all -inf")
    return np.asarray(np.exp(x - x.max()))


def snne(S: Any, tau: float = 1.0, weights: Any = None) -> Any:
    r"""Return the semantic nearest-neighbour entropy of n answers from their similarities.

    .. math:: -\frac1n \sum_i w_i \log \sum_j e^{S_{ij}/τ}, \qquad w_i = \frac{P_i}{\frac1n \sum_j P_j}
              \ (\text{or } 1)

    The sum over j includes i itself. It sees how close the answers of different meaning are and how far apart those
    of the same; with S = 0 inside a meaning and -inf across, it is the discrete semantic entropy minus log n. Only
    values of the same n and τ compare.

    Parameters
    ----------
    S : array, shape (..., n, n)
        Similarities, 1 on the diagonal: ``similarity_matrix(answers)``. Entries may be -inf.
    tau : float
        Temperature, positive; the paper tries 0.1, 1, 10 and 100.
    weights : array, shape (..., n), optional
        The likelihood P_i of each answer (exp of its mean log-probability of a token): the white-box form. Only their
        ratios matter.

    Returns
    -------
    float, or array of shape (...)

    Raises
    ------
    ValueError
        For S that is not square, holds NaN or +inf, or has a row of -inf only; tau <= 0; weights that are negative,
        all 0 or of another shape.

    Examples
    --------
    >>> round(snne(np.ones((10, 10))), 4)  # equal answers: -log 10 - 1
    -3.3026
    >>> round(snne(np.eye(10)), 4)
    -2.4612

    References
    ----------
    D. Nguyen, A. Payani and B. Mirzasoleiman, Beyond Semantic Entropy, arXiv 2506.00245.
    """
    if not tau > 0:
        raise ValueError(f"tau must be positive, got {tau!r}")
    x = _square(S, finite=False)
    inner = logsumexp(x / tau, axis=-1)
    if np.isneginf(inner).any():
        raise ValueError("S has a row of -inf only: an answer must at least resemble itself")
    if weights is None:
        return _result(-inner.mean(-1))
    w = np.asarray(as_array(weights, "weights"), np.float64)
    if w.shape != x.shape[:-1] or not (np.isfinite(w) & (w >= 0)).all() or not (w.sum(-1) > 0).all():
        raise ValueError(
            f"weights must hold a likelihood >= 0 for each answer, not all 0; expected shape {x.shape[:-1]}, got "
            f"{w.shape}"
        )
    return _result(-(inner * (w / w.mean(-1, keepdims=True))).mean(-1))


def kernel_language_entropy(S: Any, t: float = 0.4, *, normalized: bool = False) -> Any:
    r"""Return the von Neumann entropy of the heat kernel on the graph of similarities, in nats.

    .. math:: -\mathrm{tr}\,ρ \log ρ, \qquad ρ_{ij} = \frac{K_{ij}}{n\sqrt{K_{ii} K_{jj}}}, \qquad K = e^{-tL}

    L = D - W the Laplacian (W is S without its diagonal), or D^-½ L D^-½ with `normalized`. From 0 (one meaning, t
    large) to log n (t = 0).

    Parameters
    ----------
    S : array, shape (..., n, n)
        Similarities >= 0.
    t : float
        Diffusion time, >= 0.

    Raises
    ------
    ValueError
        For negative or NaN similarities, an asymmetric S or t < 0.

    Examples
    --------
    >>> two = np.kron(np.eye(2), np.ones((3, 3)))
    >>> round(kernel_language_entropy(two, 50.0), 4)  # two separate meanings: log 2
    0.6931

    References
    ----------
    A. Nikitin, J. Kossen, Y. Gal and P. Marttinen, Kernel Language Entropy, arXiv 2405.20003.
    """
    if not (t >= 0 and np.isfinite(t)):
        raise ValueError(f"t must be a finite number of at least 0, got {t!r}")
    W = _graph(S)
    n = W.shape[-1]
    W = W * (1 - np.eye(n))
    values, vectors = np.linalg.eigh(_laplacian(W, normalized))
    K = (vectors * np.exp(-t * values)[..., None, :]) @ np.swapaxes(vectors, -1, -2)
    return _result(Spectrum.kernel((K + np.swapaxes(K, -1, -2)) / 2, normalize=True).entropy())


def lexical_similarity(answers: Sequence[str]) -> float:
    """Return the mean ROUGE-L of all pairs of answers, in [0, 1]: a confidence, the opposite of an uncertainty.

    One answer gives 1.

    >>> round(lexical_similarity(["in Paris", "Paris", "in Rome"]), 4)
    0.3889
    """
    return 1.0 - _apart(similarity_matrix(answers))


def _apart(S: Floats) -> float:
    n = len(S)
    return 0.0 if n == 1 else 1.0 - float((S.sum() - np.trace(S)) / (n * (n - 1)))


def degree(S: Any) -> Any:
    """Return the mean of 1 - S over all n x n pairs, the uncertainty of the degree matrix.

    >>> degree([[1.0, 0.5], [0.5, 1.0]])
    0.25
    """
    x = _square(S)
    return _result((1.0 - x).mean((-2, -1)))


def luq(S: Any) -> Any:
    """Return the mean of 1 - max_{j≠i} S_ij: how far each answer is from the one that supports it best (n >= 2).

    >>> round(luq([[1.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 1.0]]), 4)
    0.6
    """
    x = _square(S)
    n = x.shape[-1]
    if n < 2:
        raise ValueError("S must compare at least 2 answers")
    others = np.where(np.eye(n, dtype=bool), -np.inf, x)
    return _result((1.0 - others.max(-1)).mean(-1))


def eccentricity(S: Any, threshold: float = 0.9) -> Any:
    """Return ‖V - mean of its rows‖ of the eigenvectors V of the normalised Laplacian with eigenvalue < threshold.

    Answers of one meaning lie together in these coordinates; several meanings spread.

    >>> round(eccentricity(np.kron(np.eye(2), np.ones((3, 3)))), 4)
    1.0

    References: Z. Lin, S. Trivedi and J. Sun, Generating with Confidence, arXiv 2305.19187.
    """
    values, vectors = np.linalg.eigh(_laplacian(_graph(S), True))
    kept = vectors * (values < threshold)[..., None, :]
    return _result(np.sqrt(((kept - kept.mean(-2, keepdims=True)) ** 2).sum((-2, -1))))


def spectral_sum(S: Any) -> Any:
    """Return Σ max(0, 1 - λ) over the eigenvalues of the normalised Laplacian: a graded number of meanings.

    >>> round(spectral_sum(np.kron(np.eye(2), np.ones((3, 3)))), 4)
    2.0

    References: Z. Lin, S. Trivedi and J. Sun, Generating with Confidence, arXiv 2305.19187.
    """
    values = np.linalg.eigvalsh(_laplacian(_graph(S), True))
    return _result(np.maximum(1.0 - values, 0.0).sum(-1))


def _square(S: Any, finite: bool = True) -> Floats:
    x = np.asarray(as_array(S, "S"), np.float64)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2] or x.shape[-1] == 0:
        raise ValueError(f"S must be square, one row and column an answer, got shape {x.shape}")
    if np.isnan(x).any() or np.isposinf(x).any() or (finite and np.isneginf(x).any()):
        raise ValueError("S holds NaN or infinite similarities")
    return x


def _graph(S: Any) -> Floats:
    x = _square(S)
    if (x < 0).any():
        raise ValueError("S holds negative similarities, which are no weights of a graph; clip or shift them first")
    if np.abs(x - np.swapaxes(x, -1, -2)).max() > 1e-6:
        raise ValueError("S must be symmetric; average it with its transpose")
    return x


def _laplacian(W: Floats, normalized: bool) -> Floats:
    sums = W.sum(-1)
    L = np.eye(W.shape[-1]) * sums[..., None] - W
    if not normalized:
        return np.asarray(L)
    root = np.where(sums > 0, 1 / np.sqrt(np.where(sums > 0, sums, 1.0)), 0.0)
    return np.asarray(root[..., :, None] * L * root[..., None, :])


def _result(x: Any) -> Any:
    return float(x) if np.ndim(x) == 0 else x


@dataclass(frozen=True, eq=False)
class AnswerUncertainty:
    """Uncertainties of many questions: `scores` maps each measure's name to an array (questions,)."""

    scores: Mapping[str, Floats] = field(repr=False)

    def __len__(self) -> int:
        return len(next(iter(self.scores.values())))

    def evaluate(self, correct: Any) -> dict[str, RejectionMetrics]:
        """Return AUROC, AUARC and PRR of every measure against `correct`, (questions,) in [0, 1]."""
        return {name: rejection_metrics(values, correct) for name, values in self.scores.items()}

    def plot(self, correct: Any, ax: Any = None) -> Any:
        """Draw accuracy against the share of questions answered, a curve a measure. Needs matplotlib."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        ax = plt.subplots()[1] if ax is None else ax
        for name, values in self.scores.items():
            curve = rejection_curve(values, correct)
            ax.plot(np.arange(1, len(curve) + 1) / len(curve), curve, label=name, linewidth=1.2)
        ax.set_xlabel("share of questions answered, the most certain first")
        ax.set_ylabel("accuracy")
        ax.legend(fontsize="small")
        return ax

    def __repr__(self) -> str:
        return f"AnswerUncertainty({len(self)} questions: {', '.join(self.scores)})"


class UncertaintySuite:
    """All measures of this module at once, on the answers to a set of questions.

    Parameters
    ----------
    similarity : {"rouge-l", "lexical", "cosine"} or callable
        As in `similarity_matrix`; for entailment, a function that returns its probability.
    encoder : optional
        For "cosine": what `Encoder` takes.
    threshold : float
        Answers at least this similar have the same meaning.
    equivalent : callable, optional
        ``equivalent(a, b) -> bool`` decides that instead, for example bidirectional entailment.
    tau, t : float
        Of `snne` and `kernel_language_entropy`.

    Notes
    -----
    Negative similarities (cosines) count as 0 in the graph's measures: KLE, eccentricity and spectral sum.

    Examples
    --------
    >>> suite = UncertaintySuite()
    >>> table = suite.score([["Paris", "Paris", "paris"], ["Rome", "in Oslo", "Bern"]])
    >>> table
    AnswerUncertainty(2 questions: clusters, semantic_entropy, snne, ..., spectral_sum)
    >>> bool((table.scores["snne"][0] < table.scores["snne"][1]))
    True
    """

    def __init__(
        self,
        similarity: Any = "rouge-l",
        *,
        encoder: Any = None,
        threshold: float = 0.7,
        equivalent: Any = None,
        tau: float = 1.0,
        t: float = 0.4,
    ) -> None:
        self.similarity, self.threshold, self.equivalent = similarity, threshold, equivalent
        self.encoder = Encoder.of(encoder) if similarity == "cosine" else encoder
        self.tau, self.t = tau, t

    def measure(self, answers: Sequence[str], logp: Any = None, lengths: Any = None) -> dict[str, float]:
        """Return every measure for the answers to one question.

        Parameters
        ----------
        answers : sequence of str, at least 2
        logp : array, shape (n,), optional
            Log-likelihoods: adds the white-box measures.
        lengths : array, shape (n,), optional
            Numbers of tokens, to divide `logp` by.
        """
        texts = as_texts(answers, "answers")
        if len(texts) < 2:
            raise ValueError("answers holds one answer; expected at least 2 to the same question")
        S = similarity_matrix(texts, self.similarity, encoder=self.encoder)
        judged = greedy_clusters(self.equivalent, texts) if self.equivalent else greedy_clusters(self.threshold <= S)
        graph = np.maximum(S, 0.0)
        found = {"clusters": float(len(set(judged))), "semantic_entropy": semantic_entropy(judged)}
        found["snne"] = snne(S, self.tau)
        found["kernel_language_entropy"] = kernel_language_entropy(graph, self.t)
        found["dissimilarity"] = _apart(S)
        found |= {"degree": degree(S), "luq": luq(S)}
        found |= {"eccentricity": eccentricity(graph), "spectral_sum": spectral_sum(graph)}
        if logp is None:
            if lengths is not None:
                raise ValueError("lengths are of use beside logp only")
            return found
        per_token = np.asarray(as_array(logp, "logp"), np.float64)
        if lengths is not None:
            count = np.asarray(as_array(lengths, "lengths"), np.float64)
            if count.shape != per_token.shape or not (count > 0).all():
                raise ValueError(f"lengths must hold a positive number for each answer, got shape {count.shape}")
            per_token = per_token / count
        found["weighted_semantic_entropy"] = semantic_entropy(judged, per_token)
        found["weighted_snne"] = snne(S, self.tau, likelihoods(per_token, len(texts)))
        found["predictive_entropy"] = -float(per_token.mean())
        return found

    def score(
        self, questions: Sequence[Sequence[str]], logp: Any = None, lengths: Any = None, *, progress: bool = False
    ) -> AnswerUncertainty:
        """Return every measure for every question.

        Parameters
        ----------
        questions : sequence of sequences of str
            The answers to each question.
        logp, lengths : sequence of arrays, optional
            As in `measure`, one a question.

        Raises
        ------
        ValueError
            If there is no question, a question has one answer, or `logp` does not match.
        """
        items = list(questions)
        if not items:
            raise ValueError("questions is empty; expected the answers to at least one question")
        beside = []
        for name, given in (("logp", logp), ("lengths", lengths)):
            rows = [None] * len(items) if given is None else list(given)
            if len(rows) != len(items):
                raise ValueError(f"{name} has {len(rows)} entries for {len(items)} questions")
            beside.append(rows)
        rows_of: Any = zip(items, *beside)
        if progress:
            from rich.progress import track

            rows_of = track(rows_of, description="questions", total=len(items))
        found = [self.measure(*row) for row in rows_of]
        return AnswerUncertainty({name: np.array([row[name] for row in found]) for name in found[0]})
