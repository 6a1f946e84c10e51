"""The language model that plogp carries."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from plogp.trace.huggingface import HFPredictor

__all__ = ["EMBEDDED", "embedded_model"]

#: The folder of the model: weights, tokenizer and model card.
EMBEDDED = Path(__file__).with_name("weights") / "lm"


@cache
def _loaded(device: str, dtype: Any) -> HFPredictor:
    from plogp.trace.huggingface import load_model

    found = load_model(EMBEDDED, device=device, dtype=dtype)
    found.name = "plogp's embedded model"  # not the folder, which differs from machine to machine
    return found


def embedded_model(device: Any = "cpu", dtype: Any = None) -> HFPredictor:
    """Return the language model that lies in the package, as a `Predictor`; nothing is fetched.

    A small LLaMA over bytes and byte pairs: every text is made of its tokens. It was trained on English books,
    technical documentation and program source that are free to use; the model card beside the weights names them, and
    says how well it predicts what. It stands for a language model where none is at hand: on English prose it needs
    1.6 to 1.9 bits per byte where xz needs 2.4 to 2.8, and far more than a model a thousand times its size would. The
    same object is returned by each call with the same arguments, so do not train it.

    Parameters
    ----------
    device : torch.device or str
        Where the weights are put.
    dtype : torch.dtype or str, optional
        Type of the weights; float32 by default (they are stored in half precision).

    Returns
    -------
    HFPredictor

    Examples
    --------
    >>> from plogp.trace import embedded_model
    >>> model = embedded_model()
    >>> model.decode(model.encode("Any text, in any language: žluťoučký kůň."))
    'Any text, in any language: žluťoučký kůň.'
    """
    import torch

    kind = torch.float32 if dtype is None else getattr(torch, str(dtype).removeprefix("torch."), dtype)
    return _loaded(str(device), kind)
