"""Reading a model's laws at every node of a tree of drafted tokens: in one pass where the model allows it."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from plogp.decode.controllers import Floats, Ints
from plogp.trace.predictors import session

__all__ = ["Reader", "SessionReader", "TreePassReader", "path_to"]

ROOT = -1


def path_to(node: int, parents: Sequence[int]) -> list[int]:
    """Return the nodes from the root's child to `node`.

    >>> path_to(3, [-1, 0, 0, 1])
    [0, 1, 3]
    """
    out: list[int] = []
    while node != ROOT:
        out.append(node)
        node = parents[node]
    return out[::-1]


class Reader(Protocol):
    """What `SpeculativeDecoder` asks of either model. Nodes are numbered, ancestors first; -1 is the text so far."""

    passes: int

    @property
    def ready(self) -> bool:
        """Whether laws can be read now."""
        ...

    def laws(self, tokens: Sequence[int], parents: Sequence[int], nodes: Sequence[int]) -> Floats:
        """Return logits (len(nodes), V) of the token that follows each of `nodes`."""
        ...

    def commit(self, tokens: Sequence[int], nodes: Sequence[int]) -> None:
        """Append tokens to the text; the first len(nodes) of them are these nodes of the last tree."""
        ...


class SessionReader:
    """Any `Predictor`, path by path; a tree that is a chain is read in one go.

    Examples
    --------
    >>> from plogp.trace import MarkovLM
    >>> reader = SessionReader(MarkovLM([[0.9, 0.1], [0.5, 0.5]]), np.array([0]))
    >>> np.exp(reader.laws([0, 1], [-1, -1], [-1, 0, 1])).round(2).tolist()
    [[0.9, 0.1], [0.9, 0.1], [0.5, 0.5]]
    """

    ready = True

    def __init__(self, predictor: Any, ids: Ints) -> None:
        self.session, self.at, self.passes = session(predictor, ids), list[int](), 0

    def _go(self, path: list[int]) -> None:
        """Move the session to the end of the text plus `path`."""
        shared = 0
        while shared < min(len(path), len(self.at)) and path[shared] == self.at[shared]:
            shared += 1
        if shared < len(self.at):
            self.session.rewind(len(self.at) - shared)
        if shared < len(path):
            self.session.feed(np.array(path[shared:], np.int64))
        self.at = path

    def laws(self, tokens: Sequence[int], parents: Sequence[int], nodes: Sequence[int]) -> Floats:
        """Return logits (len(nodes), V) after each node."""
        count = len(tokens)
        if count and list(nodes) == list(range(ROOT, count)) and list(parents) == list(range(ROOT, count - 1)):
            self._go([])
            first = np.asarray(self.session.logits, np.float64)
            rows = np.asarray(self.session.feed(np.array(tokens, np.int64)), np.float64)
            self.at = list(tokens)
            self.passes += 1
            return np.concatenate([first[None], rows])
        out = []
        for node in nodes:
            self._go([tokens[i] for i in path_to(node, parents)])
            self.passes += 1
            out.append(np.asarray(self.session.logits, np.float64))
        return np.stack(out)

    def commit(self, tokens: Sequence[int], nodes: Sequence[int]) -> None:
        """Append tokens to the text."""
        self._go(list(tokens))
        self.at = []


class TreePassReader:
    """A transformers causal language model that reads the whole tree in one pass under a tree-shaped attention mask.

    Keys and values of the nodes that were accepted are kept, those of the others dropped.

    Parameters
    ----------
    predictor : HFPredictor
        Of a model with full attention in every layer and a cache of plain keys and values.
    ids : array of int, shape (n,)
        At least one token.
    hidden : bool
        Keep the last hidden states of the text in `features`, for a `DraftHead`.

    Attributes
    ----------
    features : torch.Tensor or None, shape (n, d)
        Last hidden states of the tokens read so far: all of the text but the last token.

    Raises
    ------
    ValueError
        If the model's cache is of another kind, or the text is empty.
    """

    def __init__(self, predictor: Any, ids: Ints, hidden: bool = False) -> None:
        from transformers import DynamicCache

        model = predictor.model
        if not len(ids):
            raise ValueError("a tree pass needs at least one token before it: give a prompt")
        if not self.fits(model):
            raise ValueError(
                f"{type(model).__name__} cannot be read in tree passes: that needs full attention in every layer, a "
                "plain cache of keys and values, positions that can be given, and eager or sdpa attention; use "
                "verify='paths'"
            )
        self.predictor, self.model, self.hidden = predictor, model, hidden
        self.pending, self.passes = [int(i) for i in ids], 0
        self.cache = DynamicCache(config=model.config)
        self.length, self.features = 0, None
        self._extra: int | None = None  # nodes at the end of the cache that are not judged yet
        self._fresh: Any = None
        self._keep = "logits_to_keep" in inspect.signature(model.forward).parameters

    ready = True

    @staticmethod
    def fits(model: Any) -> bool:
        """Whether the model attends to everything, by a mask that can be given, and keeps plain keys and values.

        Its positions must be given too: those that a model counts along the cache (ALiBi) are not those of a tree.
        """
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer

        asked = inspect.signature(model.forward).parameters
        given = getattr(model.config, "_attn_implementation", None) in ("eager", "sdpa")
        given = given and {"attention_mask", "position_ids", "past_key_values"} <= set(asked)
        given = given and not getattr(model.config, "alibi", False)
        given = given and "local" not in (getattr(model.config, "attention_layers", None) or ())  # GPT-Neo's windows
        return given and all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)

    def laws(self, tokens: Sequence[int], parents: Sequence[int], nodes: Sequence[int]) -> Floats:
        """Return logits (len(nodes), V) after each node, from one forward pass over the unread text and the tree."""
        import torch

        self._drop()
        held, fresh, count = self.length, len(self.pending), len(tokens)
        device = self.predictor.device
        depth = [len(path_to(i, parents)) for i in range(count)]
        positions = [*range(held, held + fresh), *(held + fresh - 1 + d for d in depth)]
        seen = torch.zeros(fresh + count, held + fresh + count, dtype=torch.bool)
        seen[:, :held] = True
        seen[:fresh, held : held + fresh] = torch.ones(fresh, fresh, dtype=torch.bool).tril()
        seen[fresh:, held : held + fresh] = True
        for i in range(count):
            for j in path_to(i, parents):
                seen[fresh + i, held + fresh + j] = True
        dtype = self.predictor.dtype
        mask = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)
        wanted = {"logits_to_keep": count + 1} if self._keep else {}
        with self.predictor.quiet():
            out = self.model(
                input_ids=torch.tensor([[*self.pending, *tokens]], device=device),
                attention_mask=mask[None, None].to(device),
                position_ids=torch.tensor([positions], device=device),
                past_key_values=self.cache,
                use_cache=True,
                output_hidden_states=self.hidden,
                **wanted,
            )
        self.passes += 1
        self._extra = count
        if self.hidden:
            self._fresh = out.hidden_states[-1][0]
        rows = [fresh + node if not self._keep else node + 1 for node in nodes]
        rows = [r if self._keep or node >= 0 else fresh - 1 for r, node in zip(rows, nodes, strict=True)]
        return np.asarray(out.logits[0][rows].double().cpu().numpy())

    def _drop(self) -> None:
        """Forget a tree that was read and not committed."""
        if self._extra is not None:
            for layer in self._layers():
                layer.keys, layer.values = layer.keys[..., : self.length, :], layer.values[..., : self.length, :]
            self._extra = None

    def _layers(self) -> list[Any]:
        return [layer for layer in self.cache.layers if layer.is_initialized]

    def commit(self, tokens: Sequence[int], nodes: Sequence[int]) -> None:
        """Append tokens to the text, keeping the accepted nodes' keys and values."""
        import torch

        layers, fresh = self._layers(), len(self.pending)
        kept = [self.length + fresh + i for i in nodes]
        rows = torch.tensor([*range(self.length + fresh), *kept])
        for layer in layers:
            where = rows.to(layer.keys.device)
            layer.keys, layer.values = layer.keys[..., where, :], layer.values[..., where, :]
        if self.hidden:
            new = self._fresh[[*range(fresh), *(fresh + i for i in nodes)]]
            self.features = new if self.features is None else torch.cat([self.features, new])
        self.length, self.pending, self._extra = len(rows), [int(t) for t in tokens[len(nodes) :]], None
