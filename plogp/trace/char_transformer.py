"""`CharTransformerLM`: a small transformer over characters, with or without a memory of what it read before."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from plogp.trace.characters import PRINTABLE, Characters
from plogp.trace.passes import evaluating
from plogp.trace.predictors import Session, as_ids

__all__ = ["CharTransformerLM"]

Tensor = Any
Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Characters read in one pass where many texts are scored.
AT_ONCE = 2**15


class _Attention(nn.Module):
    r"""Attention with relative positions: (q + u)·k + (q + v)·(W r) for the sinusoid r of the distance i - j."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.place = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.u = nn.Parameter(torch.zeros(heads, 1, width // heads))
        self.v = nn.Parameter(torch.zeros(heads, 1, width // heads))

    def forward(self, x: Tensor, past: Tensor, distances: Tensor, allowed: Tensor) -> Tensor:
        """Attend from x (B, T, d) to past and x (B, K, d); `distances` (K, d) are sinusoids of K - 1, ..., 0."""
        b, t, d = x.shape
        full = torch.cat([past, x], dim=1)
        k = full.shape[1]

        def split(y: Tensor) -> Tensor:
            return y.unflatten(-1, (self.heads, d // self.heads)).transpose(-2, -3)

        q, keys, values = split(self.query(x)), split(self.key(full)), split(self.value(full))
        content = (q + self.u) @ keys.transpose(-1, -2)
        by_distance = (q + self.v) @ split(self.place(distances)).transpose(-1, -2)
        # Column c stands for distance K - 1 - c; row i wants distance (K - T + i) - j, which is column j + T - 1 - i.
        shifted = (
            nn.functional.pad(by_distance, (1, 0))
            .reshape(b, self.heads, k + 1, t)[:, :, 1:]
            .reshape(b, self.heads, t, k)
        )
        scores = (content + shifted) / math.sqrt(d // self.heads)
        weights = scores.masked_fill(~allowed[:, None], -math.inf).softmax(dim=-1)
        return self.out((weights @ values).transpose(1, 2).flatten(-2))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = _Attention(width, heads)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.rate = dropout

    def forward(self, x: Tensor, past: Tensor, distances: Tensor, allowed: Tensor, g: Any) -> Tensor:
        x = x + self.dropped(self.attention(self.norm1(x), self.norm1(past), distances, allowed), g)
        return x + self.dropped(self.down(nn.functional.gelu(self.up(self.norm2(x)))), g)

    def dropped(self, x: Tensor, g: Any) -> Tensor:
        """Set a share of the numbers to 0, drawn from a generator, not from the global seed."""
        if not self.rate or g is None:
            return x
        return x * (torch.rand(x.shape, generator=g) >= self.rate).to(x) / (1 - self.rate)


class _Network(nn.Module):
    """Ids (B, T) and what each layer read before to logits (B, T, V) and the inputs of each layer."""

    def __init__(self, vocab_size: int, bos_id: int, width: int, layers: int, heads: int, dropout: float):
        super().__init__()
        self.width, self.bos_id = width, bos_id
        self.embed = nn.Embedding(vocab_size, width)
        self.blocks = nn.ModuleList(_Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocab_size)

    def distances(self, k: int) -> Tensor:
        """Return the sinusoids (k, d) of the distances k - 1, ..., 0."""
        weight = self.embed.weight
        half = self.width // 2
        speed = torch.exp(torch.arange(half, device=weight.device) * (-math.log(10_000.0) / half))
        angle = torch.arange(k - 1, -1, -1.0, device=weight.device)[:, None] * speed
        return torch.cat([angle.sin(), angle.cos()], dim=-1).to(weight.dtype)

    def forward(self, ids: Tensor, texts: Tensor, past: Memory | None = None, g: Any = None) -> tuple[Tensor, Memory]:
        """Return logits, and the memory that ends with these tokens.

        `texts` (B, T) numbers the text of each token: attention stays within it. -1 is padding. A generator turns
        dropout on.
        """
        t = ids.shape[1]
        x = self.embed(ids)
        if past is None:
            past = Memory([x[:, :0].detach()] * len(self.blocks), texts[:, :0])
        k = past.texts.shape[1] + t
        of_keys = torch.cat([past.texts, texts], dim=1)
        allowed = texts[:, :, None] == of_keys[:, None, :]
        allowed &= torch.ones(t, k, dtype=torch.bool, device=ids.device).tril(k - t)
        distances, layers = self.distances(k), []
        for block, before in zip(self.blocks, past.layers):
            layers.append(torch.cat([before, x.detach()], dim=1))
            x = block(x, before, distances, allowed, g)
        logits = self.head(self.norm(x))
        # A text begins once: nothing is followed by the mark of a begin.
        logits = logits.index_fill(-1, torch.tensor([self.bos_id], device=ids.device), -math.inf)
        return logits, Memory(layers, of_keys)


class Memory:
    """What every layer read: its inputs (B, M, d), without gradient, and the text of each (B, M)."""

    def __init__(self, layers: list[Tensor], texts: Tensor):
        self.layers, self.texts = layers, texts

    def last(self, n: int) -> Memory:
        """Keep the last n positions."""
        start = max(0, self.texts.shape[1] - n)
        return Memory([x[:, start:] for x in self.layers], self.texts[:, start:])

    def rows(self, keep: Tensor) -> Memory:
        """Keep some sequences."""
        return Memory([x[keep] for x in self.layers], self.texts[keep])


class CharTransformerLM:
    r"""A transformer decoder over characters that is trained in seconds to minutes on one core.

    Layers of attention and a feed-forward net, each behind a layer norm; positions enter as distances only, so that a
    text is read in segments: the attention scores of query i and key j are
    :math:`(q_i + u)^\top k_j + (q_i + v)^\top W r_{i-j}` with the sinusoid r of the distance. With `memory` M the
    inputs that each layer saw at the last M characters before a segment are kept, without gradient, and attended to
    (Transformer-XL); without, a segment is all that is seen.

    A text is read as begin, characters, end, so that the probability of a text includes that it ends.

    Parameters
    ----------
    alphabet : str
        The characters; the 95 printable ones of ASCII by default.
    width, layers, heads : int
        Of the network; `width` is a multiple of 2 x `heads`.
    segment : int
        Characters read in one pass.
    memory : int
        Characters before a segment that each layer attends to; 0 for none.
    dropout : float
    rng
        Of the weights: a seed or generator of NumPy or torch.
    device : torch.device or str

    Attributes
    ----------
    vocab_size, bos_id, eos_id, tokenizer
        As `Characters` has them.
    losses : list of float
        Mean loss of each training step, nats a character.
    steps : int
        Training steps so far.

    Raises
    ------
    ValueError
        For sizes that do not fit.

    Examples
    --------
    >>> lm = CharTransformerLM("ab", width=16, layers=1, heads=2, segment=16, rng=0)
    >>> lm = lm.fit(["abab", "ab"], steps=150, rng=0)
    >>> p = np.exp(lm.logprob(["ab", "abab", "ba"]))
    >>> bool(p[0] + p[1] > 0.9), bool(p[2] < 0.05)
    (True, True)

    References
    ----------
    Z. Dai, Z. Yang, Y. Yang, J. Carbonell, Q. Le and R. Salakhutdinov (2019), "Transformer-XL", arXiv 1901.02860.
    Here the norm comes before each part, the memory of a layer is detached where it is read, and attention does not
    cross from one text to the next.
    """

    def __init__(
        self,
        alphabet: str = PRINTABLE,
        *,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        segment: int = 64,
        memory: int = 0,
        dropout: float = 0.0,
        rng: Any = None,
        device: Any = "cpu",
    ):
        if min(width, layers, heads, segment) < 1 or memory < 0 or not 0 <= dropout < 1:
            raise ValueError("width, layers, heads and segment must be at least 1, memory 0 or more, dropout in [0, 1)")
        if width % (2 * heads):
            raise ValueError(f"width must be a multiple of 2 x heads, got {width} and {heads} heads")
        self.tokenizer = Characters(alphabet)
        self.vocab_size = self.tokenizer.vocab_size
        self.bos_id, self.eos_id = self.tokenizer.bos_id, self.tokenizer.eos_id
        self.width, self.layers, self.heads = int(width), int(layers), int(heads)
        self.segment, self.memory, self.dropout = int(segment), int(memory), float(dropout)
        self.device = torch.device(device)
        self.module = self._fresh(rng)
        self.losses: list[float] = []
        self.steps = 0

    def _fresh(self, rng: Any) -> _Network:
        g = _generator(rng)
        with torch.device("meta"):
            module = _Network(self.vocab_size, self.bos_id, self.width, self.layers, self.heads, self.dropout)
        module = module.to_empty(device="cpu")
        with torch.no_grad():
            for name, p in module.named_parameters():
                if p.ndim == 2:
                    scale = 1.0 if "embed" in name else p.shape[1] ** -0.5
                    scale /= math.sqrt(2 * self.layers) if name.endswith(("out.weight", "down.weight")) else 1.0
                    scale *= 0.1 if name == "head.weight" else 1.0
                    p.copy_(torch.randn(p.shape, generator=g) * scale)
                else:
                    p.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        return module.to(self.device)

    # --- training ------------------------------------------------------------------------------------------------

    def fit(self, texts: Iterable[str], *, rng: Any = None, **options: Any) -> CharTransformerLM:
        """Train from fresh weights; the options are those of `partial_fit`."""
        g = _generator(rng)
        self.module, self.losses, self.steps = self._fresh(g), [], 0
        return self.partial_fit(texts, rng=g, **options)

    def partial_fit(
        self,
        texts: Iterable[str],
        *,
        steps: int = 500,
        batch_size: int = 32,
        lr: float = 1e-2,
        warmup: float = 0.05,
        weight_decay: float = 0.01,
        rng: Any = None,
        progress: bool = False,
    ) -> CharTransformerLM:
        """Train further from the weights that are there: AdamW, the step going up over `warmup` and then down to 0.

        Parameters
        ----------
        texts : iterable of str
            Whole texts, each read as begin, characters, end.
        steps, batch_size : int
            Each step reads `batch_size` segments.
        lr, warmup, weight_decay : float
            `warmup` is a share of the steps.
        rng
            Of the order of the texts (and of dropout).
        progress : bool
            Show a bar.

        Raises
        ------
        ValueError
            For no texts, characters outside the alphabet, or a loss that is not finite.
        """
        if isinstance(texts, str):
            raise TypeError("texts must be several texts, got one string; pass [text]")
        documents = [self.tokenizer.document(text) for text in texts]
        if not documents:
            raise ValueError("texts is empty")
        if steps < 1 or batch_size < 1 or not lr > 0:
            raise ValueError(f"steps, batch_size and lr must be positive, got {steps}, {batch_size} and {lr}")
        g = _generator(rng)
        rows = self._streams(documents, batch_size, g) if self.memory else self._packed(documents, batch_size, g)
        groups = [
            {"params": [p for p in self.module.parameters() if p.ndim == 2], "weight_decay": weight_decay},
            {"params": [p for p in self.module.parameters() if p.ndim != 2], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98))
        self.module.train()
        past: Memory | None = None
        for step in _shown(steps, progress):
            up = min(1.0, (step + 1) / max(1.0, warmup * steps))
            down = min(1.0, (steps - step) / max(1.0, (1 - warmup) * steps))
            for group in optimiser.param_groups:
                group["lr"] = lr * min(up, down)
            ids, of, fresh = next(rows)
            ids, of = torch.from_numpy(ids).to(self.device), torch.from_numpy(of).to(self.device)
            past = None if fresh else past
            logits, read = self.module(ids[:, :-1], of[:, :-1], past, g)
            past = read.last(self.memory) if self.memory else None
            wanted = ids[:, 1:].masked_fill((of[:, 1:] != of[:, :-1]) | (of[:, 1:] < 0), -100)
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=-100)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
            optimiser.step()
            self.losses.append(loss.item())
            if not math.isfinite(self.losses[-1]):
                raise ValueError(f"the loss is {self.losses[-1]} at step {self.steps + 1}; try a smaller lr")
            self.steps += 1
        self.module.eval()
        return self

    def _packed(self, documents: list[Ids], batch: int, g: Any) -> Iterator[tuple[Ids, Ids, bool]]:
        """Yield (ids, text numbers, True) of shape (batch, segment + 1): whole texts side by side, long ones cut."""
        length = self.segment + 1
        while True:
            ids, of = np.full((batch, length), self.eos_id), np.full((batch, length), -1)
            row = at = 0
            for number in torch.randperm(len(documents), generator=g).tolist():
                document = documents[number]
                # Pieces share one character, so that each character but the first is predicted once.
                for start in range(0, max(1, len(document) - 1), self.segment):
                    piece = document[start : start + length]
                    if at + len(piece) > length:
                        row, at = row + 1, 0
                        if row == batch:
                            yield ids, of, True
                            ids, of, row = np.full((batch, length), self.eos_id), np.full((batch, length), -1), 0
                    ids[row, at : at + len(piece)] = piece
                    of[row, at : at + len(piece)] = number
                    at += len(piece)
            if at or row:
                yield ids[: row + 1], of[: row + 1], True

    def _streams(self, documents: list[Ids], batch: int, g: Any) -> Iterator[tuple[Ids, Ids, bool]]:
        """Yield (ids, text numbers, is first) of shape (batch, segment + 1): streams read segment after segment."""
        while True:
            order = torch.randperm(len(documents), generator=g).tolist()
            ids = np.concatenate([documents[i] for i in order])
            of = np.concatenate([np.full(len(documents[i]), i) for i in order])
            streams = min(batch, max(1, (len(ids) - 1) // self.segment))
            length = math.ceil((len(ids) - 1) / streams)
            # Each stream repeats the last character of the one before, and the last is filled up.
            short = streams * length + 1 - len(ids)
            ids = np.concatenate([ids, np.full(short, self.eos_id)])
            of = np.concatenate([of, np.full(short, -1)])
            at = np.arange(streams)[:, None] * length
            for start in range(0, length, self.segment):
                where = at + np.arange(start, min(start + self.segment, length) + 1)
                yield ids[where], of[where], start == 0

    # --- the protocol --------------------------------------------------------------------------------------------

    def _led(self, ids: Ids) -> Ids:
        return ids if len(ids) and ids[0] == self.bos_id else np.concatenate([[self.bos_id], ids])

    def _read(self, ids: Ids, past: Memory | None = None) -> tuple[Tensor, Memory]:
        """Read one sequence; return logits (T, V) and the memory."""
        with evaluating(self.module), torch.inference_mode():
            row = torch.from_numpy(np.ascontiguousarray(ids)).to(self.device)[None]
            logits, read = self.module(row, torch.zeros_like(row), past)
        return logits[0], read

    def blocks(self, ids: Any, context: Any = ()) -> Iterator[tuple[slice, npt.NDArray[Any]]]:
        """Yield (slice of `ids`, logits (c, V)), behind the mark of a begin unless it is there.

        With a memory the text is read segment by segment; without, in windows of a segment moved by half of it.
        """
        before, ids = as_ids(context, self.vocab_size, "context"), as_ids(ids, self.vocab_size)
        full = self._led(np.concatenate([before, ids]))
        skip = len(full) - len(ids)  # place of ids[0]
        if not len(ids):
            return
        if self.memory:
            past: Memory | None = None
            for start in range(0, len(full) - 1, self.segment):
                stop = min(start + self.segment, len(full) - 1)
                logits, read = self._read(full[start:stop], past)
                past = read.last(self.memory)
                first = max(start + 1, skip)
                if first <= stop:
                    yield slice(first - skip, stop + 1 - skip), _array(logits[first - 1 - start :])
            return
        stride = max(1, self.segment // 2)
        done = max(skip, 1)
        start = 0
        while done < len(full):
            stop = min(start + self.segment, len(full) - 1)
            if stop >= done:
                logits, _ = self._read(full[start:stop])
                yield slice(done - skip, stop + 1 - skip), _array(logits[done - 1 - start :])
                done = stop + 1
            start += stride

    def next(self, ids: Any) -> npt.NDArray[Any]:
        """Return the logits (V,) of the character that follows `ids`."""
        return self.session(ids).logits

    def session(self, ids: Any = ()) -> Session:
        """Return a reader of one text as it grows, which keeps the memory of finished segments."""
        return _SegmentSession(self, ids)

    def encode(self, text: str) -> Ids:
        """Return the ids of a text, without begin and end."""
        return self.tokenizer.encode(text)

    def decode(self, ids: Any) -> str:
        """Return the text of ids."""
        return self.tokenizer.decode(ids)

    # --- whole texts ---------------------------------------------------------------------------------------------

    def logprob(self, texts: Iterable[str]) -> Floats:
        """Return the log-probability (n,) of each text, its end included, in nats."""
        if isinstance(texts, str):
            raise TypeError("texts must be several texts, got one string; pass [text]")
        documents = [self.tokenizer.document(text) for text in texts]
        out = np.zeros(len(documents))
        short = [i for i, d in enumerate(documents) if len(d) - 1 <= self.segment]
        short.sort(key=lambda i: len(documents[i]))
        rows = max(1, AT_ONCE // (self.segment + 1))
        for at in range(0, len(short), rows):
            some = short[at : at + rows]
            width = max(len(documents[i]) for i in some)
            ids = np.full((len(some), width), self.eos_id)
            of = np.full((len(some), width), -1)
            for row, i in enumerate(some):
                ids[row, : len(documents[i])] = documents[i]
                of[row, : len(documents[i])] = 0
            x, y = torch.from_numpy(ids).to(self.device), torch.from_numpy(of).to(self.device)
            with evaluating(self.module), torch.inference_mode():
                logits, _ = self.module(x[:, :-1], y[:, :-1])
                found = logits.double().log_softmax(-1).gather(-1, x[:, 1:, None])[..., 0]
                out[some] = found.masked_fill(y[:, 1:] < 0, 0.0).sum(-1).cpu().numpy()
        for i in set(range(len(documents))) - set(short):
            ids = documents[i][1:]
            for where, logits in self.blocks(ids):
                rows_ = torch.from_numpy(logits).double().log_softmax(-1).numpy()
                out[i] += rows_[np.arange(len(rows_)), ids[where]].sum()
        return out

    def sample(self, n: int, length: int, rng: Any = None, *, temperature: float = 1.0, progress: bool = False) -> Ids:
        """Draw `n` texts of at most `length` tokens, shape (n, length); the end mark fills up behind the first one.

        `decode` turns a row into a text. With a memory or without, the last `segment` + `memory` characters are seen.
        """
        if n < 1 or length < 1 or not temperature > 0:
            raise ValueError(f"n, length and temperature must be positive, got {n}, {length} and {temperature}")
        g = _generator(rng)
        out = np.full((n, length), self.eos_id)
        with evaluating(self.module), torch.inference_mode():
            for first in range(0, n, AT_ONCE // 8):
                alive = torch.arange(first, min(first + AT_ONCE // 8, n))
                ids = torch.full((len(alive), 1), self.bos_id, device=self.device)
                past: Memory | None = None
                for t in _shown(length, progress):
                    logits, past = self.module(ids, torch.zeros_like(ids), past)
                    past = past.last(self.segment + self.memory - 1)
                    p = (logits[:, -1].double() / temperature).softmax(-1).cpu()
                    ids = torch.multinomial(p, 1, generator=g)
                    out[alive.numpy(), t] = ids[:, 0].numpy()
                    going = ids[:, 0] != self.eos_id
                    if not going.any():
                        break
                    alive, ids = alive[going], ids[going].to(self.device)
                    past = past.rows(going.to(self.device))
        return out

    # --- files ---------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write weights and settings to one safetensors file."""
        from safetensors.torch import save_file

        settings = {
            "alphabet": self.tokenizer.alphabet,
            **{k: getattr(self, k) for k in ("width", "layers", "heads", "segment", "memory", "dropout", "steps")},
        }
        weights = {k: v.detach().cpu().contiguous() for k, v in self.module.state_dict().items()}
        save_file(weights, str(path), metadata={"CharTransformerLM": json.dumps(settings)})
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, device: Any = "cpu") -> CharTransformerLM:
        """Read a file of `save`.

        Raises
        ------
        ValueError
            For another file.
        """
        from safetensors import safe_open

        try:
            with safe_open(str(path), "pt") as file:
                settings = json.loads((file.metadata() or {})["CharTransformerLM"])
                weights = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 - not a mapping
        except FileNotFoundError:
            raise
        except Exception as error:
            raise ValueError(f"{str(path)!r} is no file of CharTransformerLM.save") from error
        steps = settings.pop("steps")
        lm = cls(settings.pop("alphabet"), **settings, rng=0, device=device)
        lm.module.load_state_dict(weights)
        lm.module.eval()
        lm.steps = steps
        return lm

    @property
    def name(self) -> str:
        """What a trace calls it."""
        size = sum(p.numel() for p in self.module.parameters())
        return f"CharTransformerLM({size} parameters, segment={self.segment}, memory={self.memory})"

    def fingerprint(self) -> str:
        """Return a hash of the weights and settings."""
        digest = hashlib.sha256(f"{self.name} {self.heads} {self.tokenizer.alphabet}".encode())
        for key, value in sorted(self.module.state_dict().items()):
            digest.update(key.encode() + value.detach().cpu().numpy().tobytes())
        return digest.hexdigest()[:16]

    def __repr__(self) -> str:
        return f"{self.name[:-1]}, {self.steps} steps)"


class _SegmentSession(Session):
    """Reads segment by segment as `CharTransformerLM.blocks` does; without a memory the last segment's worth."""

    predictor: CharTransformerLM

    def __init__(self, lm: CharTransformerLM, ids: Any = ()):
        super().__init__(lm, ids)
        self._past: Memory | None = None
        self._start = 0  # of the segment that is not finished, among the ids behind begin

    def _input(self) -> Ids:
        return self.predictor._led(self.ids)

    @property
    def logits(self) -> npt.NDArray[Any]:
        """Logits (V,) of the next character."""
        if self._logits is None:
            self._logits = self._after(1)[-1]
        return self._logits

    def feed(self, tokens: Any) -> npt.NDArray[Any]:
        """Read characters; return the logits (k, V) after each."""
        lm = self.predictor
        new = as_ids(np.atleast_1d(tokens) if np.ndim(tokens) == 0 else tokens, lm.vocab_size, "tokens")
        if not len(new):
            return np.zeros((0, lm.vocab_size), dtype=np.float32)
        self._ids.extend(new.tolist())
        rows = self._after(len(new))
        self._logits = rows[-1]
        return rows

    def _after(self, k: int) -> npt.NDArray[Any]:
        """Return the logits behind each of the last k of begin and the characters read."""
        lm, full = self.predictor, self._input()
        wanted = len(full) - k
        if not lm.memory:
            if len(full) <= lm.segment:
                return _array(lm._read(full)[0][-k:])
            return np.stack(
                [_array(lm._read(full[max(0, t - lm.segment) : t])[0][-1]) for t in range(wanted + 1, len(full) + 1)]
            )
        if wanted < self._start:
            self._past, self._start = None, 0
        rows = []
        while self._start < len(full):
            stop = min(self._start + lm.segment, len(full))
            logits, read = lm._read(full[self._start : stop], self._past)
            rows.append(logits[max(0, wanted - self._start) :])
            if stop - self._start < lm.segment:
                break
            if stop == len(full):
                # A full segment is kept open: its last logits may be asked for again after a rewind of nothing.
                self._past, self._start = read.last(lm.memory), stop
                break
            self._past, self._start = read.last(lm.memory), stop
        return _array(torch.cat(rows)[-k:])

    def rewind(self, n: int) -> None:
        """Forget the last `n` characters."""
        super().rewind(n)
        if n and len(self._input()) <= self._start:
            self._past, self._start = None, 0

    def copy(self) -> Session:
        """Return a session that goes on from here by itself."""
        return super().copy()  # the memory is never changed in place


def _array(x: Tensor) -> npt.NDArray[Any]:
    return np.asarray(x.detach().float().cpu().numpy())


def _generator(rng: Any) -> torch.Generator:
    if isinstance(rng, torch.Generator):
        return rng
    seed = int(rng) if isinstance(rng, (int, np.integer)) else int(np.random.default_rng(rng).integers(2**62))
    return torch.Generator().manual_seed(seed)


def _shown(steps: int, progress: bool) -> Iterable[int]:
    if not progress:
        return range(steps)
    from rich.progress import track

    return track(range(steps), description="CharTransformerLM")
