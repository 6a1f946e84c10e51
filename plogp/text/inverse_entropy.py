"""Inverse entropy: the uncertainty of an answer read backwards, from answers to the questions they could belong to."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.probes import Wilson
from plogp.estimate.samples import as_array
from plogp.measures import Estimate
from plogp.measures.arrays import xlogx
from plogp.text.encoder import Encoder, as_texts
from plogp.text.evolution import k_farthest
from plogp.text.similarity import similarity_matrix

__all__ = ["InvEntropy", "InverseEntropy", "gaap", "inv_entropy", "join_clauses", "substitution", "tsu"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class InverseEntropy:
    """What `inv_entropy` returns; numbers for one pair of matrices, arrays (...) for a batch.

    Attributes
    ----------
    value : float or array
        -Σ_i p(x_i|y_i) log p(x_i|y_i), in nats; at most n/e.
    forward : float or array
        The same with p(y_i|x_i).
    confidence : float or array
        max_i p(y_i): larger is more certain.
    wasserstein : float or array
        Distance W1 between the values of p(x) and those of p(y).
    p_x, p_y : array, shape (..., n)
        Marginals.
    p_x_given_y, p_y_given_x : array, shape (..., n, n)
        Row: what is given. Each row sums to 1.
    """

    value: Any
    forward: Any
    confidence: Any
    wasserstein: Any
    p_x: Floats
    p_y: Floats
    p_x_given_y: Floats
    p_y_given_x: Floats

    def __repr__(self) -> str:
        n = self.p_x.shape[-1]
        if np.ndim(self.value):
            return f"InverseEntropy({np.size(self.value)} matrices of {n} pairs)"
        return f"InverseEntropy({self.value:.4g} nats, n={n}, forward {self.forward:.4g}, {self.confidence:.3g})"


def inv_entropy(S_x: Any, S_y: Any) -> InverseEntropy:
    r"""Return the inverse entropy of n pairs (input, answer) from the similarities of inputs and of answers.

    Two random walks, with rows of similarities scaled to sum to 1 (P_X, P_Y) and a uniform start π:

    .. math:: p(y) = π P_Y, \quad p(x|y) = P_Y P_X, \quad p(x) = p(y)\,p(x|y), \quad
              -\sum_i p(x_i|y_i) \log p(x_i|y_i)

    The sum runs over the pairs (x_i, y_i) alone, so it is no entropy of one distribution: at most n/e, and rising
    with each p(x_i|y_i) up to 1/e. Compare at equal n only.

    Parameters
    ----------
    S_x, S_y : array, shape (..., n, n)
        Similarities >= 0, 1 on the diagonal (the paper: |cosine| of sentence embeddings).

    Raises
    ------
    ValueError
        For shapes that differ, or similarities that are negative, NaN or infinite, or whose row sums to 0.

    Examples
    --------
    >>> S_x, S_y = np.eye(3), np.full((3, 3), 0.5) + 0.5 * np.eye(3)
    >>> found = inv_entropy(S_x, S_y)
    >>> found.p_x_given_y[0], round(found.value, 4)
    (array([0.5 , 0.25, 0.25]), 1.0397)

    References
    ----------
    H. Song et al., Inv-Entropy, arXiv 2506.09684, 2025.
    """
    walk_x, walk_y = _walk(S_x, "S_x"), _walk(S_y, "S_y")
    if walk_x.shape != walk_y.shape:
        raise ValueError(f"S_x {walk_x.shape} and S_y {walk_y.shape} must have the same shape: the pairs are matched")
    n = walk_x.shape[-1]
    p_y = walk_y.mean(-2)
    backward = walk_y @ walk_x
    p_x = (p_y[..., None, :] @ backward)[..., 0, :]
    joint = p_y[..., :, None] * backward
    with np.errstate(invalid="ignore", divide="ignore"):
        forward = np.where(p_x[..., None, :] > 0, joint / p_x[..., None, :], 1.0 / n)
    forward = np.swapaxes(forward, -1, -2)
    totals = [-np.asarray(xlogx(np.diagonal(p, axis1=-2, axis2=-1))).sum(-1) for p in (backward, forward)]
    # Equal weights on n values each: W1 is the mean distance of the sorted values.
    distance = np.abs(np.sort(p_x, -1) - np.sort(p_y, -1)).mean(-1)
    value, ahead, most, apart = (float(x) if np.ndim(x) == 0 else x for x in (*totals, p_y.max(-1), distance))
    return InverseEntropy(value, ahead, most, apart, p_x, p_y, backward, np.asarray(forward))


def _walk(S: Any, name: str) -> Floats:
    x = np.asarray(as_array(S, name), np.float64)
    if x.ndim < 2 or x.shape[-1] != x.shape[-2] or x.shape[-1] == 0:
        raise ValueError(f"{name} must be square, one row and column a pair, got shape {x.shape}")
    if not (np.isfinite(x) & (x >= 0)).all():
        raise ValueError(f"{name} must hold finite similarities of at least 0; of cosines, take the absolute value")
    sums = x.sum(-1, keepdims=True)
    if (sums == 0).any():
        raise ValueError(f"{name} has a row that sums to 0: an item must at least resemble itself")
    return np.asarray(x / sums)


class InvEntropy:
    """Inverse entropy of a question from its paraphrases and several answers to each.

    Parameters
    ----------
    encoder : optional
        What `Encoder` takes; similarities are then |cosine|.
    similarity : "rouge-l", "lexical" or callable, optional
        As in `similarity_matrix`, instead of an encoder.

    Examples
    --------
    >>> measure = InvEntropy(similarity="rouge-l")
    >>> sure = measure.score(["capital of France", "France's capital"], [["Paris", "Paris"], ["Paris", "Paris"]])
    >>> sure.diagnostics["replicates"], round(sure.value, 3)
    (4, 0.693)
    """

    def __init__(self, encoder: Any = None, similarity: Any = None) -> None:
        if encoder is not None and similarity is not None:
            raise ValueError("pass an encoder or a similarity, not both")
        self.similarity = "cosine" if similarity is None else similarity
        self.encoder = Encoder.of(encoder) if self.similarity == "cosine" else None

    def similarities(self, texts: Sequence[str]) -> Floats:
        """Return the absolute similarities of texts."""
        return np.abs(similarity_matrix(texts, self.similarity, encoder=self.encoder))

    def score(
        self,
        inputs: Sequence[str],
        answers: Sequence[Sequence[str]],
        replicates: int = 20,
        rng: np.random.Generator | int | None = 0,
    ) -> Estimate:
        """Return the inverse entropy, averaged over random choices of one answer to each input.

        Parameters
        ----------
        inputs : sequence of str, length m
            The question and its paraphrases.
        answers : sequence of sequences of str
            The answers to each of them.
        replicates : int
            Choices, all different; fewer where fewer exist. Choices that pick other copies of an equal answer count
            as different.

        Returns
        -------
        Estimate
            In nats; its error is that of the choices alone (s.d. over √replicates), not of the answers drawn.
            `diagnostics`: the means of ``forward``, ``confidence`` and ``wasserstein``, and ``replicates``.

        Raises
        ------
        ValueError
            If `answers` does not match `inputs`, an input has no answer, or replicates < 1.
        """
        questions = as_texts(inputs, "inputs")
        given = [as_texts(a, f"answers[{i}]") for i, a in enumerate(answers)]
        if len(given) != len(questions):
            raise ValueError(f"answers has {len(given)} entries for {len(questions)} inputs")
        if replicates < 1:
            raise ValueError(f"replicates must be at least 1, got {replicates!r}")
        S_x = self.similarities(questions)
        S_y = self.similarities([text for some in given for text in some])
        starts = np.cumsum([0] + [len(some) for some in given[:-1]])
        chosen = np.stack([starts + c for c in _choices([len(some) for some in given], replicates, rng)])
        found = inv_entropy(
            np.broadcast_to(S_x, (len(chosen), *S_x.shape)), S_y[chosen[:, :, None], chosen[:, None, :]]
        )
        k = len(chosen)
        se = float(found.value.std(ddof=1) / math.sqrt(k)) if k > 1 else None
        means = {name: float(getattr(found, name).mean()) for name in ("forward", "confidence", "wasserstein")}
        return Estimate(
            float(found.value.mean()), se, k, f"inv-entropy(m={len(questions)})", diagnostics=means | {"replicates": k}
        )


def _choices(counts: list[int], replicates: int, rng: np.random.Generator | int | None) -> list[Any]:
    generator = np.random.default_rng(rng)
    wanted = min(replicates, math.prod(counts))
    found: dict[tuple[int, ...], None] = {}
    while len(found) < wanted:
        found[tuple(int(i) for i in generator.integers(counts))] = None
    return [np.array(c) for c in found]


def tsu(scores: Any) -> Estimate:
    """Return the share of questions whose uncertainty rises strictly with the temperature: no labels are needed.

    Parameters
    ----------
    scores : array, shape (questions, temperatures), or mapping
        The uncertainty at each temperature, in increasing order; or ``{temperature: array (questions,)}``.

    Returns
    -------
    Estimate
        Dimensionless, with Wilson's interval over the questions. By chance a share of 1/k! rises, k temperatures.

    Raises
    ------
    ValueError
        For NaN or fewer than 2 temperatures.

    Examples
    --------
    >>> tsu({0.1: [1.0, 2.0, 1.0], 1.0: [2.0, 1.0, 3.0]}).value
    0.6666666666666666
    """
    if isinstance(scores, Mapping):
        columns = [np.asarray(as_array(scores[t], f"scores[{t}]"), np.float64) for t in sorted(scores)]
        if len({c.shape for c in columns}) > 1:
            raise ValueError("scores must hold as many questions at each temperature")
        table = np.stack(columns, axis=-1) if columns else np.empty((0, 0))
    else:
        table = np.asarray(as_array(scores, "scores"), np.float64)
    if table.ndim != 2 or table.shape[1] < 2 or len(table) == 0:
        raise ValueError(f"scores must have shape (questions, temperatures >= 2), got {table.shape}")
    if np.isnan(table).any():
        raise ValueError("scores holds NaN")
    n = len(table)
    rises = (np.diff(table, axis=1) > 0).all(1)
    share = float(rises.mean())
    error = math.sqrt(share * (1 - share) / n)
    return Estimate(share, error, n, f"tsu({table.shape[1]} temperatures)", "", law=Wilson(share, n))


Mutate = Callable[[str, np.random.Generator], str]
Cross = Callable[[str, str, np.random.Generator], str]
_CLAUSE = re.compile(r"(?<=[,;:.?!])\s+")


def substitution(synonyms: Mapping[str, Sequence[str]], rate: float = 0.2) -> Mutate:
    """Return a mutation that replaces words by synonyms, each with chance `rate` and one at least where any can.

    >>> swap = substitution({"big": ["large"], "town": ["city"]}, 1.0)
    >>> swap("A big town?", np.random.default_rng(0))
    'A large city?'
    """

    def mutate(text: str, rng: np.random.Generator) -> str:
        parts = re.split(r"(\w+)", text)
        able = [i for i in range(1, len(parts), 2) if synonyms.get(parts[i].lower())]
        if not able:
            return text
        chosen = [i for i in able if rng.random() < rate] or [able[int(rng.integers(len(able)))]]
        for i in chosen:
            options = synonyms[parts[i].lower()]
            word = options[int(rng.integers(len(options)))]
            parts[i] = word.capitalize() if parts[i][0].isupper() else word
        return "".join(parts)

    return mutate


def join_clauses(a: str, b: str, rng: np.random.Generator) -> str:
    """Return the first clauses of `a` with the last of `b`, cut at the same share; texts of one clause: by words.

    >>> join_clauses("One, two, three.", "Uno, due, tre.", np.random.default_rng(0))
    'One, two, tre.'
    """
    first, second = (_CLAUSE.split(x.strip()) for x in (a, b))
    if len(first) < 2 or len(second) < 2:
        first, second = a.split(), b.split()
    if len(first) < 2 or len(second) < 2:
        return a
    cut = int(rng.integers(1, len(first)))
    other = min(max(round(cut / len(first) * len(second)), 1), len(second) - 1)
    return " ".join(first[:cut] + second[other:])


def gaap(
    text: str,
    mutate: Mutate,
    crossover: Cross = join_clauses,
    *,
    encoder: Any = None,
    m: int = 10,
    population: int = 40,
    generations: int = 5,
    band: tuple[float, float] = (0.7, 0.99),
    rng: np.random.Generator | int | None = 0,
    progress: bool = False,
) -> list[str]:
    """Search diverse rewordings of a question by a genetic algorithm.

    A rewording is fit if its cosine similarity to the question lies in `band`. Of the fit ones the population keeps
    those least similar to one another; children are crossed from two of them and mutated.

    Parameters
    ----------
    text : str
        The question.
    mutate : callable
        ``mutate(text, rng) -> text``: a language model that paraphrases, or `substitution` from a thesaurus.
    crossover : callable
        ``crossover(a, b, rng) -> text``.
    encoder : optional
        What `Encoder` takes.
    m : int
        Texts returned, the question among them.
    population, generations : int
    band : (float, float)
        Least and greatest similarity to the question.

    Returns
    -------
    list of str
        The question, then m - 1 different rewordings, the most diverse first.

    Raises
    ------
    ValueError
        If fewer than m - 1 rewordings in the band were found, or an option is out of range.

    Notes
    -----
    The paper's operators and thresholds are not published in full; the band, the sizes and the greedy choice are ours.

    Examples
    --------
    >>> class Letters:
    ...     def encode(self, texts):
    ...         return np.array([[1.0 + text.count(c) for c in "aeiou"] for text in texts])
    >>> swap = substitution({"big": ["large", "great"], "town": ["city"]})
    >>> gaap("Is the big town old?", swap, encoder=Letters(), m=3, generations=2, rng=0)[0]
    'Is the big town old?'
    """
    if m < 1 or population < 2 or generations < 1:
        raise ValueError(
            f"m, generations >= 1 and population >= 2 expected, got {m!r}, {generations!r}, {population!r}"
        )
    if not -1 <= band[0] < band[1] <= 1:
        raise ValueError(f"band must hold two rising similarities in [-1, 1], got {band!r}")
    generator, network = np.random.default_rng(rng), Encoder.of(encoder)
    home = network.encode([text])[0]
    fit: dict[str, Any] = {}
    rounds: Any = range(generations)
    if progress:
        from rich.progress import track

        rounds = track(rounds, description="generations")
    parents = [text]
    for _ in rounds:
        children = [_child(parents, mutate, crossover, generator) for _ in range(population)]
        new = [c for c in dict.fromkeys(children) if c != text and c not in fit and c.strip()]
        if new:
            rows = network.encode(new)
            near = rows @ home
            fit |= {c: row for c, row, s in zip(new, rows, near) if band[0] <= s <= band[1]}
        if fit:
            names = list(fit)
            kept = k_farthest(np.stack(list(fit.values())), home[None], min(population, len(fit)))
            fit = {names[i]: fit[names[i]] for i in kept}
            parents = [text, *fit]
    if len(fit) < m - 1:
        raise ValueError(
            f"only {len(fit)} of {m - 1} rewordings lie within the band {band} of similarity; widen it, or let "
            "`mutate` vary more"
        )
    return [text, *list(fit)[: m - 1]]


def _child(parents: list[str], mutate: Mutate, crossover: Cross, rng: np.random.Generator) -> str:
    child = parents[int(rng.integers(len(parents)))]
    if len(parents) > 1 and rng.random() < 0.5:
        child = crossover(child, parents[int(rng.integers(len(parents)))], rng)
    child = mutate(child, rng)
    if not isinstance(child, str):
        raise TypeError(f"mutate must return a string, got {type(child).__name__}")
    return child
