"""Speculative decoding: a cheap model drafts a tree of tokens, the target judges it in one pass and keeps its law."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from plogp.decode.controllers import Controller, Decoding, Floats, Stop, edited, ends, normalized, steps
from plogp.decode.generation import prompt_tokens
from plogp.decode.readers import ROOT, Reader, SessionReader, TreePassReader, path_to
from plogp.measures import divergence, entropy_from_logits
from plogp.measures.arrays import check_probabilities, log_probabilities
from plogp.trace.predictors import draw

__all__ = ["SpeculativeDecoder", "Tree", "accept", "acceptance_rate", "expected_length", "residual"]


def acceptance_rate(p: Any, q: Any) -> Any:
    """Return the probability that a token drafted from q is accepted by p: Σ min(p, q) = 1 - TV(p, q).

    >>> round(float(acceptance_rate([0.5, 0.5], [0.9, 0.1])), 12)
    0.6
    """
    return 1.0 - divergence("tv")(p, q)


def expected_length(rate: float, depth: int) -> float:
    """Return the mean number of tokens that one target pass yields, for a chain with independent acceptances.

    (1 - a^(d+1)) / (1 - a): the accepted drafts and the token that the target adds.

    >>> expected_length(0.5, 2), expected_length(1.0, 4)
    (1.75, 5.0)
    """
    if not 0 <= rate <= 1 or depth < 0:
        raise ValueError(f"rate must lie in [0, 1] and depth be >= 0, got {rate} and {depth}")
    return float(sum(rate**i for i in range(depth + 1)))


def residual(p: Any, q: Any) -> Floats:
    """Return the law of the token that replaces a rejected draft: max(p - q, 0), normalised.

    Where p equals q nothing is ever rejected, and p itself is returned.

    >>> residual([0.5, 0.3, 0.2], [0.8, 0.1, 0.1]).round(12).tolist()
    [0.0, 0.666666666667, 0.333333333333]
    """
    p = np.asarray(p, np.float64)
    left = np.maximum(p - np.asarray(q, np.float64), 0.0)
    total = left.sum()
    return left / total if total > 0 else p


def accept(p: Any, q: Any, candidates: Sequence[int], rng: Any = None) -> tuple[int, int]:
    r"""Judge drafted candidates for one position in turn, so that the token returned follows p exactly.

    Candidate x is accepted with probability min(1, p(x) / q(x)); after a rejection p becomes max(p - q, 0)
    normalised, q loses x (candidates are drawn without replacement), and the next is judged; after the last, the
    token is drawn from what is left of p.

    Parameters
    ----------
    p : array, shape (V,)
        The target's law.
    q : array, shape (V,), or None
        The law that the candidates were drawn from one after another, without replacement. None: the candidates were
        chosen without a random number (the k likeliest, say); x is then accepted with probability p(x).
    candidates : sequence of int
        Distinct; may be empty.
    rng : Generator, int or None

    Returns
    -------
    token : int
    index : int
        Of the accepted candidate; -1 where all were rejected.

    Raises
    ------
    ValueError
        If p or q is no distribution, or a candidate is repeated or has probability 0 under q.

    Examples
    --------
    >>> accept([0.2, 0.8], [0.2, 0.8], [1], rng=0)
    (1, 0)
    >>> accept([1.0, 0.0], [0.0, 1.0], [1], rng=0)
    (0, -1)

    References
    ----------
    Y. Leviathan, M. Kalman and Y. Matias 2023, arXiv:2211.17192; several candidates: X. Miao et al. 2024,
    arXiv:2305.09781.
    """
    p = np.asarray(p, np.float64)
    check_probabilities(p, name="p")
    if len(set(candidates)) < len(candidates):
        raise ValueError(f"candidates must be distinct, got {list(candidates)}")
    g = np.random.default_rng(rng)
    if q is not None:
        q = np.array(q, np.float64)
        check_probabilities(q, name="q")
    for index, x in enumerate(candidates):
        if q is None:
            now = np.zeros_like(p)
            now[x] = 1.0
        elif q[x] > 0:
            now = q / q.sum()
        else:
            raise ValueError(f"candidate {x} has probability 0 under q: it cannot have been drawn from it")
        if g.random() * now[x] < p[x]:
            return int(x), index
        p = residual(p, now)
        if q is not None:
            q[x] = 0.0
    return int(draw(log_probabilities(p)[None], g)[0]), -1


@dataclass(frozen=True)
class Tree:
    """The shape of a draft.

    Parameters
    ----------
    top_k : int
        Candidates after a node, and nodes expanded on each level. 1 is a chain.
    depth : int
        Longest path. (The released code of DREAM counts the levels after the first: its 5 is 6 here.)
    nodes : int
        Most nodes judged: the best by cumulative log-probability of the draft; with `sample`, whole sets of siblings
        of the best nodes until they are used up, since dropping a drawn candidate would bias the output.
    sample : bool
        Draw the candidates from the draft without replacement; by default they are its `top_k` likeliest. Both keep
        the target's law. A sampled chain is the classical scheme.
    max_entropy : float, optional
        Do not expand nodes at which the draft's entropy exceeds this, in nats: the depth adapts to how sure the draft
        is. The target's law is kept, since the decision looks at the draft only.

    Examples
    --------
    >>> Tree.chain(4)
    Tree(top_k=1, depth=4, nodes=4, sample=True, max_entropy=None)
    """

    top_k: int = 8
    depth: int = 5
    nodes: int = 62
    sample: bool = False
    max_entropy: float | None = None

    def __post_init__(self) -> None:
        if self.top_k < 1 or self.depth < 1 or self.nodes < 1:
            raise ValueError(f"top_k, depth and nodes must be >= 1, got {self.top_k}, {self.depth}, {self.nodes}")
        if self.max_entropy is not None and not self.max_entropy >= 0:
            raise ValueError(f"max_entropy must be >= 0, got {self.max_entropy}")

    @classmethod
    def chain(cls, depth: int = 4, max_entropy: float | None = None) -> Tree:
        """Return a chain of sampled tokens: classical speculative sampling."""
        return cls(1, depth, depth, True, max_entropy)


@dataclass
class _Draft:
    """Drafted nodes, ancestors first; `law[i]` is the draft's law after node i (-1: after the text)."""

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    law: dict[int, Floats] = field(default_factory=dict)

    def add(self, parent: int, token: int, score: float) -> int:
        self.tokens.append(token)
        self.parents.append(parent)
        self.score.append(score)
        return len(self.tokens) - 1

    def children(self, node: int) -> list[int]:
        return [i for i, parent in enumerate(self.parents) if parent == node]

    def best(self, count: int) -> _Draft:
        """The best `count` nodes; no node scores above its parent and ties keep their order, so ancestors stay."""
        keep = sorted(sorted(range(len(self.tokens)), key=lambda i: -self.score[i])[:count])
        place = {ROOT: ROOT, **{old: new for new, old in enumerate(keep)}}
        out = _Draft(law={place[i]: law for i, law in self.law.items() if i in place})
        for i in keep:
            out.add(place[self.parents[i]], self.tokens[i], self.score[i])
        return out


@dataclass
class SpeculativeDecoder(Controller):
    r"""Decode from a target model with a draft's help; the output follows the target's law exactly.

    Each round the draft grows a tree of continuations, the target gives its law at every node (one pass for a
    transformers model), and the tokens are judged along one path by `accept`; the target then adds a token of its
    own. Greedy decoding (``sample=False``) keeps a path while it is the target's argmax. A drafted token is accepted
    with probability 1 - TV(p, q) in a sampled chain, and with the target's mass on the candidates in a deterministic
    tree.

    The released code of DREAM draws the token after a wholly accepted path from the target without temperature or
    filters; here the same law is used everywhere.

    Parameters
    ----------
    target : Predictor
        `as_custom_generate` sets it.
    draft : Predictor, or the result of `DraftHead.draft`
        Of the same vocabulary.
    tree : Tree
    sample : bool
    temperature : float
        Of the target's law, and of the draft's.
    verify : {"auto", "tree", "paths"}
        "tree": one pass under a tree mask, transformers models with full attention only. "paths": path by path, any
        predictor (a chain is one reading). "auto" takes "tree" where the first pass agrees with the plain forward to
        0.01 nats (0.3 in half precision) and while the text fits into the target's context, and says in the report
        what it took.

    Examples
    --------
    >>> from plogp.trace import MarkovLM
    >>> target = MarkovLM.random(12, 2.0, rng=0)
    >>> fast = SpeculativeDecoder(target, target.perturbed(0.5, rng=1), Tree(3, 4, 20), sample=False)
    >>> out = fast.decode([0], 40)
    >>> out.report["rounds"] < 30, len(out)
    (True, 40)

    References
    ----------
    Y. Hu et al. 2025, arXiv:2505.19201 (DREAM); the growing of the tree: Y. Li et al. 2024, arXiv:2406.16858.
    """

    target: Any = None
    draft: Any = None
    tree: Tree = field(default_factory=Tree)
    sample: bool = True
    temperature: float = 1.0
    verify: str = "auto"

    _model = "target"

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(f"temperature must be positive, got {self.temperature}; sample=False is greedy")
        if self.verify not in ("auto", "tree", "paths"):
            raise ValueError(f"verify must be 'auto', 'tree' or 'paths', got {self.verify!r}")
        if self.target is not None and self.draft is not None and self.target.vocab_size != self.draft.vocab_size:
            raise ValueError(
                f"target and draft must share one vocabulary, got {self.target.vocab_size} and {self.draft.vocab_size}"
            )

    def decode(
        self,
        prompt_ids: Any,
        max_new_tokens: int = 50,
        *,
        rng: Any = None,
        eos: Any = None,
        stop: Stop | None = None,
        sampler: Any = None,
        progress: bool = False,
    ) -> Decoding:
        """Decode after a prompt.

        Parameters
        ----------
        prompt_ids : array of int, shape (n,), or str
        max_new_tokens : int
        rng : Generator, int or None
        eos, stop, sampler, progress
            End of sequence, ``stop(new_ids) -> bool`` (asked after each round's tokens, one by one), a stateless
            `Sampler` that edits the laws of both models before the temperature, a bar.

        Returns
        -------
        Decoding
            report: ``accepted`` (drafted tokens accepted in each round), ``mean_accepted``, ``tokens_per_pass``,
            ``rounds``, ``target_passes`` (readings of the target: one a round under a tree mask or for a chain),
            ``drafted`` (nodes judged), ``verification`` ("tree" or "paths", of the last round).

        Raises
        ------
        ValueError
            Without both models, for ids outside the vocabulary, NaN logits, or a sampler with state.
        """
        if self.target is None or self.draft is None:
            raise ValueError("target and draft are both needed: SpeculativeDecoder(target, draft)")
        prompt = prompt_tokens(self.target, prompt_ids)
        g, stops, ids, logprob = np.random.default_rng(rng), ends(self.target, eos), prompt, list[float]()
        target, route = self._target(prompt)
        draft = (
            self.draft.reader(target, prompt) if hasattr(self.draft, "reader") else SessionReader(self.draft, prompt)
        )
        accepted, drafted, done = list[int](), 0, False
        for _ in steps(max_new_tokens, progress, "drafting and judging"):
            room = max_new_tokens - (len(ids) - len(prompt))
            if room <= 0 or done:
                break
            depth = min(self.tree.depth, room - 1)
            target = self._sliding(target, ids, depth)
            tree = self._grow(draft, depth, ids, sampler, g)
            laws = target.laws(tree.tokens, tree.parents, range(ROOT, len(tree.tokens)))
            if route == "auto" and isinstance(target, TreePassReader):
                target, route, laws = self._checked(target, tree, laws, ids)
                if route == "paths" and hasattr(self.draft, "reader"):
                    raise ValueError("this draft needs a target that is read in tree passes, and its passes disagree")
            new, nodes = self._judge(tree, laws, ids, sampler, g)
            count = next((i + 1 for i in range(len(new)) if new[i] in stops or _stops(stop, ids, new, i, prompt)), 0)
            if count:
                new, nodes, done = new[:count], nodes[:count], True
            for i, token in enumerate(new):
                logprob.append(float(normalized(laws[(nodes[i - 1] if i else ROOT) + 1])[token]))
            drafted += len(tree.tokens)
            accepted.append(len(nodes))
            ids = np.concatenate([ids, np.array(new, np.int64)])
            target.commit(new, nodes)
            draft.commit(new, [])
        rounds, made = len(accepted), len(ids) - len(prompt)
        report = {
            "accepted": np.array(accepted),
            "mean_accepted": float(np.mean(accepted)) if accepted else math.nan,
            "tokens_per_pass": made / max(rounds, 1),
            "rounds": rounds,
            "target_passes": target.passes,
            "drafted": drafted,
            "verification": "tree" if isinstance(target, TreePassReader) else "paths",
        }
        return Decoding(ids[len(prompt) :], np.array(logprob), report)

    def _target(self, prompt: Any) -> tuple[Reader, str]:
        model = getattr(self.target, "model", None)
        hidden = hasattr(self.draft, "reader")
        whole = model is not None and hasattr(model, "get_output_embeddings")
        if self.verify == "paths" or (self.verify == "auto" and not whole):
            if hidden:
                raise ValueError("a DraftHead reads the target's hidden states: verify must not be 'paths'")
            return SessionReader(self.target, prompt), "paths"
        if not whole:
            raise ValueError("verify='tree' needs a target that holds a transformers model, such as HFPredictor")
        if self.verify == "auto" and not hidden and not TreePassReader.fits(model):
            return SessionReader(self.target, prompt), "paths"
        return TreePassReader(self.target, prompt, hidden), self.verify

    def _sliding(self, target: Reader, ids: Any, depth: int) -> Reader:
        """Return the reader for the next round: path by path, behind a context that slides, where a tree is too long.

        Raises
        ------
        ValueError
            Where the text leaves the context of a target that must be read in tree passes.
        """
        longest = getattr(self.target, "max_length", None)
        if longest is None or not isinstance(target, TreePassReader) or len(ids) + depth <= longest:
            return target
        if self.verify == "tree" or hasattr(self.draft, "reader"):
            raise ValueError(
                f"the text leaves the target's context of {longest} tokens, where a tree pass cannot follow; lower "
                "max_new_tokens, or with a draft that is a Predictor use verify='auto'"
            )
        reader = SessionReader(self.target, ids)
        reader.passes = target.passes
        return reader

    def _checked(self, target: Reader, tree: _Draft, laws: Floats, ids: Any) -> tuple[Reader, str, Floats]:
        """Compare the first tree pass with a plain forward; read path by path where they disagree."""
        if not tree.tokens:
            return target, "auto", laws
        half = any(p.element_size() < 4 for p in self.target.model.parameters())
        depths = [len(path_to(i, tree.parents)) for i in range(len(tree.tokens))]
        # The deepest node, and the one whose place in the pass is farthest from its place in the text.
        worst = 0.0
        for node in {int(np.argmax(depths)), int(np.argmax(np.arange(len(depths)) - depths))}:
            path = np.array([tree.tokens[i] for i in path_to(node, tree.parents)], np.int64)
            plain, found = normalized(self.target.next(np.concatenate([ids, path]))), normalized(laws[node + 1])
            worst = max(worst, float(np.abs(plain - found)[plain > -20].max()))
        if worst <= (0.3 if half else 0.01):
            return target, "tree", laws
        other = SessionReader(self.target, ids)
        return other, "paths", other.laws(tree.tokens, tree.parents, range(ROOT, len(tree.tokens)))

    def _law(self, logits: Any, ids: Any, path: list[int], sampler: Any) -> Floats:
        """Log-probabilities after sampler and temperature, at the end of the text and a path."""
        if sampler is not None:
            logits = edited(sampler, logits, np.concatenate([ids, np.array(path, np.int64)]))
        return normalized(np.asarray(logits, np.float64) / self.temperature)

    def _grow(self, reader: Reader, depth: int, ids: Any, sampler: Any, g: np.random.Generator) -> _Draft:
        """Draft a tree level by level, expanding the best nodes of each."""
        tree, shape, frontier = _Draft(), self.tree, [ROOT]
        if not reader.ready:
            return tree
        for _ in range(depth):
            if shape.sample:
                frontier = frontier[: max((shape.nodes - len(tree.tokens)) // shape.top_k, 0)]
            if not frontier:
                break
            laws, level = reader.laws(tree.tokens, tree.parents, frontier), list[int]()
            for node, logits in zip(frontier, laws, strict=True):
                law = self._law(logits, ids, [tree.tokens[i] for i in path_to(node, tree.parents)], sampler)
                tree.law[node] = law
                if shape.max_entropy is not None and float(entropy_from_logits(law)) > shape.max_entropy:
                    continue
                keys = law + g.gumbel(size=len(law)) if shape.sample else law
                top = np.argsort(-keys, kind="stable")[: shape.top_k]
                before = tree.score[node] if node != ROOT else 0.0
                level += [tree.add(node, int(v), before + float(law[v])) for v in top if law[v] > -math.inf]
            frontier = sorted(level, key=lambda i: -tree.score[i])[: shape.top_k]
        return tree if shape.sample else tree.best(shape.nodes)

    def _judge(
        self, tree: _Draft, laws: Floats, ids: Any, sampler: Any, g: np.random.Generator
    ) -> tuple[list[int], list[int]]:
        """Walk down the tree; return the tokens and the nodes accepted, one fewer than the tokens."""
        new, nodes, node = list[int](), list[int](), ROOT
        while True:
            law = self._law(laws[node + 1], ids, new, sampler)
            below = tree.children(node)
            candidates = [tree.tokens[i] for i in below]
            if self.sample:
                q = np.exp(tree.law[node]) if self.tree.sample and below else None
                token, index = accept(np.exp(law), q, candidates, g)
            else:
                token = int(law.argmax())
                index = candidates.index(token) if token in candidates else -1
            new.append(token)
            if index < 0:
                return new, nodes
            node = below[index]
            nodes.append(node)


def _stops(stop: Stop | None, ids: Any, new: list[int], i: int, prompt: Any) -> bool:
    """Whether `stop` ends the text after the new token i."""
    return stop is not None and stop(np.concatenate([ids[len(prompt) :], np.array(new[: i + 1], np.int64)]))
