"""Texts as sequences of characters: the tokenizer of character-level models."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.trace.predictors import as_ids

__all__ = ["PRINTABLE", "Characters"]

Ids = npt.NDArray[np.int64]

#: The 95 printable characters of ASCII.
PRINTABLE = "".join(map(chr, range(32, 127)))


class Characters:
    """One token a character of an alphabet, and two more that begin and end a text.

    Parameters
    ----------
    alphabet : str
        The characters, each once; the printable ones of ASCII by default.

    Attributes
    ----------
    bos_id, eos_id, vocab_size : int
        The ids behind those of the characters, and their number with the characters.

    Raises
    ------
    ValueError
        For an empty alphabet or one with a character twice.

    Examples
    --------
    >>> letters = Characters("abc")
    >>> letters.encode("cab").tolist(), letters.decode([2, 0, 1, letters.eos_id]), letters.vocab_size
    ([2, 0, 1], 'cab', 5)
    """

    def __init__(self, alphabet: str = PRINTABLE):
        if not isinstance(alphabet, str):
            raise TypeError(f"alphabet must be a string of characters, got {type(alphabet).__name__}")
        self._ids = {c: i for i, c in enumerate(alphabet)}
        if not alphabet or len(self._ids) < len(alphabet):
            raise ValueError(f"alphabet must hold characters, each once, got {alphabet!r}")
        self.alphabet = alphabet
        self.bos_id, self.eos_id = len(alphabet), len(alphabet) + 1
        self.vocab_size = len(alphabet) + 2

    def encode(self, text: str) -> Ids:
        """Return the ids (T,) of a text.

        Raises
        ------
        ValueError
            For a character outside the alphabet.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected a text, got {type(text).__name__}")
        try:
            return np.array([self._ids[c] for c in text], dtype=np.int64)
        except KeyError as error:
            raise ValueError(f"the character {error.args[0]!r} is not in the alphabet of {len(self._ids)}") from None

    def decode(self, ids: Any) -> str:
        """Return the text of ids, without the marks of its begin and end."""
        return "".join(self.alphabet[i] for i in as_ids(ids, self.vocab_size) if i < len(self.alphabet))

    def document(self, text: str) -> Ids:
        """Return begin, characters, end."""
        return np.concatenate([[self.bos_id], self.encode(text), [self.eos_id]])

    def __repr__(self) -> str:
        return f"Characters({self.alphabet!r})"
