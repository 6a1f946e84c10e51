"""Arrays as the report reads them: from ``.npy``, ``.npz`` and safetensors files, or as they are in memory."""

from __future__ import annotations

import difflib
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ARRAY_SUFFIXES", "MOST_CLASSES", "ArrayError", "NamedArray", "is_array", "open_array"]

ARRAY_SUFFIXES = (".npy", ".npz", ".safetensors")
#: A column of floats that holds at most so many different whole numbers, each ten times on average, is classes.
MOST_CLASSES = 20


class ArrayError(ValueError):
    """A file that holds no array that can be reported on."""


@dataclass(frozen=True, eq=False)
class NamedArray:
    """Samples as rows, with what to call them.

    Attributes
    ----------
    name : str
        The path (with ``#key`` where the file holds several arrays), or "array".
    values : array, shape (n, d)
        As stored; a memory map of an ``.npy`` file is not read until its rows are.
    path : Path or None
        The file.
    labels : bool
        Whether it is one column of classes, not of coordinates: integers, booleans, strings, or floats that are a few
        whole numbers again and again.
    notes : list of str
        What the reader should know of how it was read.
    """

    name: str
    values: npt.NDArray[Any]
    path: Path | None = None
    labels: bool = False
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        """Number of columns."""
        return 1 if self.values.ndim == 1 else self.values.shape[1]


def is_array(argument: Any) -> bool:
    """Whether the report reads an argument as an array rather than as a table.

    >>> is_array("x.npy"), is_array("x.npz#a"), is_array("x.csv"), is_array(np.zeros((3, 2)))
    (True, True, False, True)
    """
    if isinstance(argument, NamedArray):
        return True
    if isinstance(argument, (str, os.PathLike)):
        name = os.fsdecode(os.fspath(argument)).lower()
        return "://" not in name and name.partition("#")[0].endswith(ARRAY_SUFFIXES)
    # A tensor or an array: it has axes and numbers, and no named columns.
    if isinstance(argument, np.ndarray):
        return argument.dtype.names is None
    return hasattr(argument, "detach") and hasattr(argument, "shape")


def open_array(argument: Any, role: str = "array") -> NamedArray:
    """Return what is given as a `NamedArray`.

    Parameters
    ----------
    argument : path, array or tensor
        ``.npy`` (mapped, not read), ``.npz`` or ``.safetensors``; of several arrays in a file the one named after
        a hash: ``"activations.npz#layer3"``. Nothing is unpickled.
    role : str
        What to call an array that has no file.

    Raises
    ------
    ArrayError
        For a file that cannot be read, several arrays and no name, an array that holds no numbers, has no rows, or
        has more than two axes.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> a = open_array(np.zeros((5, 3), dtype=np.float32))
    >>> a.name, len(a), a.width, a.labels
    ('array', 5, 3, False)
    >>> open_array(np.array([0, 1, 1])).labels
    True
    """
    if isinstance(argument, NamedArray):
        return argument
    if isinstance(argument, (str, os.PathLike)):
        text = os.fsdecode(os.fspath(argument))
        file, _, key = text.partition("#") if not Path(text).exists() else (text, "", "")
        path = Path(file)
        if not path.exists():
            raise FileNotFoundError(2, "no such file", file)
        values, key = _read(path, key)
        return _checked(values, f"{file}#{key}" if key else file, path)
    from plogp.estimate.samples import as_array

    return _checked(as_array(argument, role), role, None)


def _read(path: Path, key: str) -> tuple[npt.NDArray[Any], str]:
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            if key:
                raise ArrayError(f"{path} holds one array; it has no name such as {key!r}")
            return np.load(path, mmap_mode="r", allow_pickle=False), ""
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as held:
                key = _choose(path, list(held), key)
                return held[key], key
        return _read_safetensors(path, key)
    except ArrayError:
        raise
    except (ValueError, OSError, EOFError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        if suffix == ".npy" and not _starts_as_npy(path):
            why = "it does not begin as such a file does"
        elif "pickle" in why.lower() or "object" in why.lower():
            why = "it holds Python objects, which are not loaded; save numbers or strings"
        raise ArrayError(f"{path} cannot be read as {suffix}: {why}") from error
    except Exception as error:  # zipfile.BadZipFile, SafetensorError: no common base
        raise ArrayError(f"{path} cannot be read as {suffix}: {str(error).splitlines()[0]}") from error


def _starts_as_npy(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(6) == b"\x93NUMPY"


def _read_safetensors(path: Path, key: str) -> tuple[npt.NDArray[Any], str]:
    try:
        from safetensors import safe_open
    except ImportError as error:
        raise ImportError("plogp[torch] is needed for safetensors files: pip install 'plogp[torch]'") from error
    with safe_open(path, framework="np") as held:
        key = _choose(path, list(held.keys()), key)
        if held.get_slice(key).get_dtype() != "BF16":
            return np.asarray(held.get_tensor(key)), key
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise ImportError("plogp[torch] is needed for bfloat16 arrays: pip install 'plogp[torch]'") from error
    with safe_open(path, framework="pt") as held:
        return np.asarray(held.get_tensor(key).float().numpy()), key


def _choose(path: Path, keys: list[str], key: str) -> str:
    if not keys:
        raise ArrayError(f"{path} holds no array")
    if not key:
        if len(keys) == 1:
            return keys[0]
        some = ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
        raise ArrayError(f"{path} holds {len(keys)} arrays; name one after a hash, {path}#{keys[0]}: {some}")
    if key not in keys:
        near = difflib.get_close_matches(key, keys, n=1)
        raise ArrayError(f"{path} holds no array {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return key


def _checked(values: npt.NDArray[Any], name: str, path: Path | None) -> NamedArray:
    shape = values.shape
    if values.ndim == 2 and shape[1] == 1:
        values = values[:, 0]
    kind = values.dtype.kind
    if kind == "O":
        raise ArrayError(f"{name} holds Python objects; expected numbers or strings")
    if kind == "c":
        raise ArrayError(f"{name} holds complex numbers; expected real ones")
    if values.ndim == 0 or math.prod(shape) == 0:
        raise ArrayError(f"{name} has shape {shape}: there are no rows of numbers in it")
    if values.ndim > 2:
        raise ArrayError(
            f"{name} has shape {shape}; expected rows of numbers, shape (n, d): reshape it, for example to "
            f"({math.prod(shape[:-1])}, {shape[-1]}), or average over an axis"
        )
    labels, notes = values.ndim == 1 and kind in "iubUS", []
    if kind not in "iubf" and not labels:
        raise ArrayError(f"{name} holds {values.dtype} in several columns; expected numbers, or one column of labels")
    if len(values) < 2:
        raise ArrayError(f"{name} has one row; at least 2 are needed")
    if values.ndim == 1 and kind == "f" and (classes := _classes(values)):
        values, labels = np.asarray(values, dtype=np.int64), True
        notes.append(f"{name} holds {classes} different whole numbers as floats: read as labels.")
    return NamedArray(name, values, path, labels, notes)


def _classes(column: npt.NDArray[Any]) -> int:
    """How many classes a column of floats holds: its distinct values if these are few whole numbers, else 0."""
    head = np.unique(column[:1000])
    if len(head) > MOST_CLASSES or not np.isfinite(head).all():
        return 0
    distinct = np.unique(column)
    whole = np.isfinite(distinct).all() and bool((distinct == np.rint(distinct)).all())
    few = 1 < len(distinct) <= min(MOST_CLASSES, len(column) // 10)
    return len(distinct) if whole and few and np.abs(distinct).max() < 2**53 else 0
