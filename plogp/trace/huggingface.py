"""Causal language models of transformers as predictors: logits in pieces, by whichever route gives the model's own."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from plogp.trace.answers import Question
from plogp.trace.architectures import _unwrapped
from plogp.trace.cached_session import CachedSession, logits_of
from plogp.trace.heads import BLOCK, Block, NetworkPredictor, OutputHead, head_blocks, head_stats
from plogp.trace.passes import evaluating
from plogp.trace.protocol import Session
from plogp.trace.tokens import TokenStats

__all__ = ["HFPredictor", "load_model"]

Tensor = Any
Ids = npt.NDArray[np.int64]

#: What the cap on the logits is called: by Gemma, RecurrentGemma, xLSTM.
SOFTCAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
#: Longest input of a model that names none.
MAX_LENGTH = 2048
#: How far a route may be from the plain forward pass, relative to 1 + the largest logit, by bytes of a number.
AGREEMENT = {2: 2e-2, 4: 1e-3, 8: 1e-9}
#: Tokens of the check, and in how many they are fed to a cache.
CHECKED, PIECE = 16, 5


class HFPredictor(NetworkPredictor):
    """A causal language model of transformers, or any module that is called and answers like one.

    Parameters
    ----------
    model : torch.nn.Module
        ``model(input_ids=...)`` returns logits (B, T, V), as an attribute, a key or itself. Used where it lies, in its
        dtype; put into evaluation mode for each pass and back.
    tokenizer : optional
        Of transformers or tokenizers, or an object with ``encode`` and ``decode``.
    bos : "first", "eos" or "none"
        What `next`, `session` and `blocks` put before a sequence (`trace` has its own `bos=`).
    bos_id, eos_id : int, optional
        By default the tokenizer's; EOS else the model's. Without a tokenizer there is no BOS unless it is given.
    max_length : int, optional
        Longest input; by default what the model's config says, else 2048.
    scale, softcap : float, optional
        What the model does to its logits after the output matrix: softcap·tanh(scale·z/softcap). By default read off
        the config (Gemma's ``final_logit_softcapping``, Cohere's ``logit_scale``, Granite's ``logits_scaling``).
    name : str, optional

    Attributes
    ----------
    vocab_size : int
        Rows of the output matrix; may be more than the tokenizer's words.
    device : torch.device
    route : str
        What "auto" chose: see Notes. It is found at the first use.

    Notes
    -----
    The logits of T tokens, (T, V), are never held whole:

    - "head": one pass through the body; the states before the output matrix, (T, d), are kept, and multiplied with it
      a chunk at a time (`linear_information` where there are no references).
    - "cache": a chunk of tokens at a time, with the cache of keys and values.
    - "keep": one pass for each chunk with ``logits_to_keep``.
    - "full": a plain pass, for short texts.

    A route is used only if it gives the logits of a plain pass on 16 tokens, to 1e-3 of their size (2e-2 in half
    precision). "auto" takes the first that does. "head" is wrong for models that change their logits in a way that is
    not known here, "cache" for recurrent ones that take one token at a time.

    Memory: with d the width and c the chunk, T·d + a few c·V numbers.

    Examples
    --------
    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> tiny = GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=8, n_head=2, vocab_size=50, n_positions=16))
    >>> lm = HFPredictor(tiny, bos_id=0)
    >>> lm.vocab_size, lm.max_length, lm.next([3, 4]).shape, lm.route
    (50, 16, (50,), 'head')
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        bos: str = "first",
        bos_id: int | None = None,
        eos_id: int | None = None,
        max_length: int | None = None,
        scale: float | None = None,
        softcap: float | None = None,
        name: str | None = None,
    ):
        if not callable(getattr(model, "named_modules", None)):
            raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
        if bos not in ("first", "eos", "none"):
            raise ValueError(f"bos must be 'first', 'eos' or 'none', got {bos!r}")
        self.model = _unwrapped(model)
        self.tokenizer = tokenizer
        self.signature = _arguments(self.model)
        config: Any = getattr(self.model, "config", None)
        self._config: Any = config.get_text_config() if hasattr(config, "get_text_config") else config
        if getattr(config, "is_encoder_decoder", False):
            raise ValueError(f"{type(self.model).__name__} is an encoder-decoder; expected a causal language model")
        out = self.model.get_output_embeddings() if hasattr(self.model, "get_output_embeddings") else None
        if out is None and hasattr(self.model, "get_output_embeddings"):
            raise ValueError(
                f"{type(self.model).__name__} has no output matrix; expected a model with its language-model head "
                "(a class that ends in ForCausalLM or LMHeadModel)"
            )
        self._out: Any = out
        weight: Any = getattr(out, "weight", None)
        rows = len(weight) if isinstance(weight, torch.Tensor) and weight.ndim == 2 else None
        size = getattr(self._config, "vocab_size", None) if rows is None or not weight.is_floating_point() else rows
        if size is None:
            raise ValueError(f"{type(self.model).__name__} does not say how many tokens it knows (config.vocab_size)")
        self.vocab_size = int(size)
        self._head = self._find_head(scale, softcap)
        self.bos = bos
        self.bos_id = self._token("bos_token_id", bos_id, from_model=False)
        self.eos_id = self._token("eos_token_id", eos_id, from_model=True)
        self.max_length = self._longest() if max_length is None else int(max_length)
        where = getattr(config, "_name_or_path", "") or type(self.model).__name__
        self.name = name or str(where)
        self._checked: dict[str, bool] = {}
        self._plain: Tensor | None = None

    # --- what the model is -----------------------------------------------------------------------------------------

    @property
    def device(self) -> Any:
        """Where ids go: the device of the input embeddings."""
        first = self.model.get_input_embeddings() if hasattr(self.model, "get_input_embeddings") else None
        weight = getattr(first, "weight", None)
        return weight.device if weight is not None else next(self.model.parameters()).device

    @property
    def dtype(self) -> Any:
        """Dtype of the model's parameters."""
        return next((p.dtype for p in self.model.parameters() if p.is_floating_point()), torch.float32)

    def _token(self, name: str, given: int | None, from_model: bool) -> int | None:
        if given is None and self.tokenizer is not None:
            given = getattr(self.tokenizer, name, getattr(self.tokenizer, name.replace("_token", ""), None))
            given = given() if callable(given) else given
        if given is None and from_model:
            given = getattr(self._config, name, None)
            given = given[0] if isinstance(given, (list, tuple)) and given else given
            given = given if isinstance(given, int) and 0 <= given < self.vocab_size else None
        if given is not None and not 0 <= int(given) < self.vocab_size:
            raise ValueError(f"{name} is {given}, outside the model's {self.vocab_size} tokens")
        return None if given is None else int(given)

    def _longest(self) -> int:
        for name in ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "n_ctx"):
            value = getattr(self._config, name, None)
            if isinstance(value, int) and value > 0:
                return value - self._first_place()
        return MAX_LENGTH

    def _first_place(self) -> int:
        """Return the row of the position table that a text's first token takes: not 0 where padding has a row."""
        modules = self.model.named_modules()
        table = next((m for n, m in modules if n.endswith("position_embeddings") and hasattr(m, "padding_idx")), None)
        row: Any = getattr(table, "padding_idx", None)
        return 0 if row is None else int(row) + 1

    def _find_head(self, scale: float | None, softcap: float | None) -> OutputHead | None:
        if self._out is None:
            return None
        config = self._config
        if scale is None:
            scale = float(getattr(config, "logit_scale", None) or getattr(config, "lm_head_multiplier", None) or 1.0)
            scale /= float(getattr(config, "logits_scaling", None) or 1.0)
        if softcap is None:
            softcap = next((float(c) for c in (getattr(config, n, None) for n in SOFTCAPS) if c), None)
        weight: Any = getattr(self._out, "weight", None)
        bias: Any = getattr(self._out, "bias", None)
        plain = type(self._out) is torch.nn.Linear and weight is not None and weight.is_floating_point()
        # Detached: inference never asks for a gradient, and shared storage costs nothing.
        return OutputHead(
            weight.detach() if plain else _Rows(self.vocab_size),
            None if bias is None else bias.detach(),
            scale,
            float(softcap) if softcap else None,
            None if plain else self._out,
        )

    def fingerprint(self) -> str:
        """Return a hash of the config and of up to 64 numbers of every parameter: another model has another."""
        config: Any = getattr(self.model, "config", None)
        told = config.to_dict() if hasattr(config, "to_dict") else {}
        # Where it was loaded from and by which version does not change what it predicts.
        told = {k: v for k, v in told.items() if k not in ("_name_or_path", "transformers_version")}
        digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode())
        with torch.inference_mode():
            for name, p in sorted(self.model.state_dict().items()):
                flat = p.detach().reshape(-1)
                some = flat[:: max(1, len(flat) // 64)][:64]
                digest.update(f"{name} {tuple(p.shape)} {p.dtype}".encode())
                digest.update(some.double().cpu().numpy().tobytes() if some.dtype.is_floating_point else b"")
        return digest.hexdigest()[:16]

    def notes(self, question: Question) -> dict[str, Any]:
        """Return what a trace's `meta` says of this network."""
        return {"route": self._chosen(question.route), "model_dtype": str(self.dtype).removeprefix("torch.")}

    # --- passes ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(evaluating(self.model))
            stack.enter_context(torch.inference_mode())
            yield

    def quiet(self) -> Any:
        """Return the context manager under which the network runs: evaluation mode, no gradient, both put back."""
        return self._quiet()

    @property
    def _cache_name(self) -> str | None:
        return next((n for n in ("past_key_values", "cache_params") if n in self.signature), None)

    def call(
        self,
        ids: Tensor,
        mask: Tensor | None = None,
        *,
        cache: Any = None,
        caching: bool = False,
        **more: Any,
    ) -> Any:
        """Run the model on ids (B, c), behind those in the cache; the mask is (B, c)."""
        names = self.signature
        inputs: dict[str, Any] = {"input_ids": ids} if "input_ids" in names else {}
        # Padding is on the right, so the positions that a model counts by itself are right, from 0 or elsewhere.
        if mask is not None and "attention_mask" in names:
            inputs["attention_mask"] = mask
        if "use_cache" in names:
            inputs["use_cache"] = caching
        if cache is not None and self._cache_name is not None:
            inputs[self._cache_name] = cache
        if "return_dict" in names:
            inputs["return_dict"] = True
        return self.model(*([] if "input_ids" in names else [ids]), **inputs, **more)

    def _padded(self, batch: Sequence[Ids]) -> tuple[Tensor, Tensor | None]:
        """Return (B, T) ids padded on the right, and their mask where any is shorter."""
        lengths = [len(ids) for ids in batch]
        ids = np.zeros((len(batch), max(lengths)), dtype=np.int64)
        for i, row in enumerate(batch):
            ids[i, : len(row)] = row
        tensor = torch.from_numpy(ids).to(self.device)
        if min(lengths) == max(lengths):
            return tensor, None
        mask = torch.from_numpy((np.arange(ids.shape[1]) < np.array(lengths)[:, None]).astype(np.int64))
        return tensor, mask.to(self.device)

    def _body(self, batch: Sequence[Ids]) -> list[Tensor]:
        """Return what goes into the output matrix, (T, d), for each input; logits are made of one position only."""
        ids, mask = self._padded(batch)
        kept: list[Tensor] = []

        def narrow(module: Any, args: tuple[Any, ...]) -> tuple[Any, ...]:
            kept.append(args[0])
            return (args[0][..., :1, :], *args[1:])

        handle = self._out.register_forward_pre_hook(narrow)
        try:
            self.call(ids, mask)
        finally:
            handle.remove()
        if len(kept) != 1 or kept[0].shape[:2] != ids.shape:
            raise ValueError(f"{type(self.model).__name__} does not send its states through its output matrix once")
        return [kept[0][i, : len(row)] for i, row in enumerate(batch)]

    def states(self, batch: Sequence[Ids]) -> list[Tensor]:
        """Return the states before the output matrix, (T, d), of each input."""
        return self._body(batch)

    def streams(self, batch: Sequence[Ids], firsts: Sequence[int], question: Question) -> list[Iterator[Block]]:
        """Return for each input the blocks (slice counted from `first`, logits) of its tokens from `first` on."""
        route = self._chosen(question.route)
        if route == "head":
            assert self._head is not None
            found = self._body(batch)
            return [head_blocks(self._head, h, first, question.chunk_tokens) for h, first in zip(found, firsts)]
        return [
            self._scored(self._pieces(route, ids, first, question.chunk_tokens), ids, first)
            for ids, first in zip(batch, firsts)
        ]

    def flat(self, batch: Sequence[Ids], firsts: Sequence[int], question: Question) -> list[TokenStats] | None:
        """Return the statistics of each input without making logits: by the head route."""
        if self._chosen(question.route) != "head" or self._head is None or not self._head.plain:
            return None
        return head_stats(self._head, self._body(batch), batch, firsts, question)

    def _pieces(self, route: str, row: Ids, first: int, chunk: int | None) -> Iterator[tuple[int, Tensor]]:
        """Yield (position, logits (c, V)) that predict the tokens behind position, position + 1, ..."""
        ids, n = torch.from_numpy(row).to(self.device)[None], len(row)
        chunk = chunk or max(1, BLOCK // self.vocab_size)
        if route == "full":
            yield 0, logits_of(self.call(ids))[0]
        elif route == "keep":
            for at in range(first - 1, n - 1, chunk):
                where = torch.arange(at, min(at + chunk, n - 1), device=self.device)
                yield at, logits_of(self.call(ids, logits_to_keep=where))[0]
        else:
            cache: Any = None
            for at in range(0, n - 1, chunk):
                out = self.call(ids[:, at : min(at + chunk, n - 1)], cache=cache, caching=True)
                cache = self.cache_of(out)
                yield at, logits_of(out)[0]

    def _scored(self, pieces: Iterator[tuple[int, Tensor]], row: Ids, first: int) -> Iterator[Block]:
        for at, rows in pieces:
            low, high = max(at, first - 1), min(at + len(rows), len(row) - 1)
            if high > low:
                yield slice(low + 1 - first, high + 1 - first), rows[low - at : high - at]

    def cache_of(self, out: Any) -> Any:
        cache = getattr(out, self._cache_name or "", None)
        if cache is None:
            raise ValueError(f"{type(self.model).__name__} returns no cache")
        return cache

    # --- which route -----------------------------------------------------------------------------------------------

    @property
    def route(self) -> str:
        """The route that "auto" takes."""
        with self.quiet():
            return self._chosen("auto")

    def _chosen(self, route: str) -> str:
        """Return the route to take.

        Raises
        ------
        ValueError
            If the route asked for does not give the model's own logits.
        """
        if route == "auto":
            return next(r for r in ("head", "cache", "keep", "full") if self._agrees(r))
        if not self._agrees(route):
            raise ValueError(
                f"route={route!r} does not give the logits of {type(self.model).__name__}; 'auto' takes one that does"
            )
        return route

    def _agrees(self, route: str) -> bool:
        """Whether a route gives the logits of the plain pass; checked once."""
        if route == "full":
            return True
        if route not in self._checked:
            self._checked[route] = self._check(route)
        return self._checked[route]

    def _check_ids(self) -> Ids:
        n = min(CHECKED, self.max_length or CHECKED)
        return (1 + np.arange(n, dtype=np.int64) * 7919) % self.vocab_size

    def _check(self, route: str) -> bool:
        missing = (
            (route == "head" and self._head is None)
            or (route == "cache" and self._cache_name is None)
            or (route == "keep" and "logits_to_keep" not in self.signature)
        )
        ids = self._check_ids()
        if missing or len(ids) < 3:
            return False
        with self.quiet():
            try:
                if route == "head":
                    assert self._head is not None
                    rows = self._head.logits(self._body([ids])[0][:-1])
                else:
                    rows = torch.cat([rows for _, rows in self._pieces(route, ids, 1, PIECE)])
            except (ValueError, TypeError, IndexError, AttributeError, RuntimeError, NotImplementedError):
                return False  # the model cannot be run this way; the next route is tried
            return self._near(rows, self._whole()[: len(ids) - 1])

    def _whole(self) -> Tensor:
        """Return the logits of a plain pass over the tokens of the check."""
        if self._plain is None:
            with self.quiet():
                self._plain = logits_of(self.call(torch.from_numpy(self._check_ids()).to(self.device)[None]))[0]
        return self._plain

    def _near(self, rows: Tensor, plain: Tensor) -> bool:
        if rows.shape != plain.shape:
            return False
        apart = (rows.double() - plain.to(rows.device).double()).abs().max()
        size = min(self.dtype.itemsize, rows.dtype.itemsize)
        return bool(apart <= AGREEMENT[size] * (1 + plain.double().abs().max()))

    # --- one token after another -----------------------------------------------------------------------------------

    def last_logits(self, ids: Ids) -> Tensor:
        """Return the logits of the token behind an input that fits."""
        if self._agrees("head"):
            assert self._head is not None
            return self._head.logits(self._body([ids])[0][-1])
        keep: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in self.signature else {}
        return logits_of(self.call(torch.from_numpy(ids).to(self.device)[None], **keep))[0, -1]

    def session(self, ids: Any = ()) -> Session:
        """Return a `Session` with a cache of keys and values, where the model has one that works."""
        return CachedSession(self, ids)

    def cache_steps(self) -> int:
        """Return how many tokens a cache takes at a time: any number, 1 (recurrent states), or 0 for no cache."""
        if self._agrees("cache"):
            return BLOCK
        if "single" not in self._checked:
            try:
                steps = self._pieces("cache", self._check_ids(), 1, 1)
                rows = torch.cat([rows for _, rows in steps]) if self._cache_name is not None else None
                self._checked["single"] = rows is not None and self._near(rows, self._whole()[: len(rows)])
            except (ValueError, TypeError, IndexError, AttributeError, RuntimeError, NotImplementedError):
                self._checked["single"] = False
        return int(self._checked["single"])

    def crop(self, cache: Any, n: int) -> bool:
        """Take the last `n` tokens out of a cache; return whether that could be done."""
        layers = getattr(cache, "layers", None)
        # Sliding and recurrent layers do not keep what they have passed.
        if not layers or any(type(layer).__name__ != "DynamicLayer" for layer in layers):
            return False
        before = cache.get_seq_length()
        cache.crop(-n)  # negative: so many off the end, in every version of transformers
        return bool(cache.get_seq_length() == before - n)

    def layer_columns(self, ids: Ids, first: int, lens: Any) -> dict[str, npt.NDArray[Any]]:
        """Return entropy and log-probability of the tokens from `first` on, read off every layer: (n, K + 1)."""
        from plogp.trace.lens import residual_lens

        chunk = max(1, BLOCK // 4 // self.vocab_size)
        parts = []
        for at in range(first, len(ids), chunk):
            where = np.arange(at, min(at + chunk, len(ids)))
            parts.append(
                residual_lens(
                    self.model,
                    torch.from_numpy(ids).to(self.device),
                    lens="logit" if lens is True else lens,
                    target=torch.from_numpy(ids[where]),
                    positions=torch.from_numpy(where - 1),
                )
            )
        return {
            "layer_entropy": np.concatenate([p.entropy.T for p in parts]).astype(np.float32),
            "layer_logprob": np.concatenate([-p.ce.T for p in parts]).astype(np.float32),
        }

    def __repr__(self) -> str:
        return f"HFPredictor({self.name}, V={self.vocab_size}, context {self.max_length}, {self.dtype}, {self.device})"


def load_model(name: str | Path | None = None, *, device: Any = "cpu", dtype: Any = None) -> HFPredictor:
    """Return a causal language model as a predictor.

    Parameters
    ----------
    name : str or Path, optional
        A folder that holds a transformers model (safetensors) and its tokenizer; else a name on the Hugging Face hub,
        which is the only case that may open a connection. By default the small model that comes with plogp.
    device : torch.device or str
    dtype : torch.dtype or str, optional
        "float32", "bfloat16", ...; by default that of the file.

    Raises
    ------
    ValueError
        For an unknown dtype, or a folder without a model. No code that comes with a model is run.

    Examples
    --------
    >>> load_model("/no/such/model/folder")
    Traceback (most recent call last):
    ...
    ValueError: '/no/such/model/folder' is no folder with a model
    """
    kind = _dtype(dtype)
    if name is None:
        from plogp.trace.embedded import embedded_model

        return embedded_model(device, kind or torch.float32)
    import transformers

    folder = Path(name).expanduser()
    local = folder.is_dir()
    looks_local = isinstance(name, Path) or str(name).startswith(("/", ".", "~")) or str(name).count("/") > 1
    if (not local and looks_local) or (local and not (folder / "config.json").is_file()):
        raise ValueError(f"{str(name)!r} is no folder with a model")
    source = str(folder) if local else str(name)
    newer = tuple(int(x) for x in transformers.__version__.split(".")[:2]) >= (4, 56)
    options: dict[str, Any] = {"dtype" if newer else "torch_dtype": kind or "auto", "use_safetensors": True}
    common: dict[str, Any] = {"local_files_only": local, "trust_remote_code": False}
    with _no_bar(transformers.utils.logging):
        model = transformers.AutoModelForCausalLM.from_pretrained(source, **options, **common).to(device)
    spelled = not local or any((folder / f).is_file() for f in ("tokenizer.json", "tokenizer_config.json"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(source, **common) if spelled else None
    carried = local and folder.resolve() == Path(__file__).resolve().with_name("weights") / "lm"
    return HFPredictor(model.eval(), tokenizer, name="plogp's own" if carried else source)


@contextmanager
def _no_bar(logging: Any) -> Iterator[None]:
    """Keep transformers from drawing a bar while it reads weights."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _dtype(dtype: Any) -> Any:
    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype
    found = getattr(torch, str(dtype), None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ValueError(f"dtype must be 'float32', 'bfloat16', 'float16' or 'float64', got {dtype!r}")
    return found


def _arguments(model: Any) -> set[str]:
    """Return the names that a model's forward takes; where it passes on what it is given, those of its parents too."""
    names: set[str] = set()
    for forward in [model.forward, *(c.__dict__["forward"] for c in type(model).__mro__ if "forward" in c.__dict__)]:
        found = inspect.signature(forward).parameters
        names |= {n for n in found if n not in ("self", "args", "kwargs")}
        if not any(p.kind is p.VAR_KEYWORD for p in found.values()):
            break
    return names


class _Rows:
    """The shape of an output matrix that is not plain: its number of rows."""

    def __init__(self, rows: int):
        self.shape = (rows,)
