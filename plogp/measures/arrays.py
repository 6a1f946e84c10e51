"""The array layer: one code path for NumPy, PyTorch, JAX and every other array-API library.

Arrays of one library go in and arrays of the same library, device and dtype come out. Half-precision inputs
are computed in float32. The elementary functions here have finite values *and* finite gradients wherever the
mathematical gradient is finite, by masking the argument before the function as well as the result after it
(a `where` after the function alone leaves NaN in the gradient).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = [
    "check_axis",
    "check_probabilities",
    "dot",
    "floats",
    "is_traced",
    "log1mexp",
    "log_probabilities",
    "log_ratio",
    "log_softmax",
    "logsumexp",
    "namespace",
    "non_negative",
    "normalized_logs",
    "wright_omega",
    "xlogx",
    "xlogy",
]

Array = Any  # an array of any array-API library

#: NumPy follows the array-API standard by itself from version 2 on.
_NUMPY_IS_STANDARD = int(np.__version__.split(".")[0]) >= 2


def _is_list(x: object) -> bool:
    return isinstance(x, (list, tuple, int, float)) or type(x).__module__ == "builtins"


def _to_array(x: Any, name: str) -> Array:
    """Return `x` as an array: lists and data-frame columns become NumPy, arrays stay what they are."""
    if hasattr(x, "__array_namespace__") or isinstance(x, np.ndarray):
        return x
    if _is_list(x) or not _known(x):
        try:
            out = np.asarray(x)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{name} must be an array or nested lists of numbers of equal length") from error
        if out.dtype.kind not in "buif":
            raise TypeError(
                f"{name} must hold real numbers, got {type(x).__name__} with dtype {out.dtype!s}; "
                "category labels belong to plogp.estimate, which counts them"
            )
        return out
    return x


def _known(x: Any) -> bool:
    """Whether array-api-compat knows the type of `x` (PyTorch and old JAX have no `__array_namespace__`)."""
    from array_api_compat import is_array_api_obj

    return bool(is_array_api_obj(x))


def namespace(*arrays: Any) -> Any:
    """Return the array-API namespace that the arrays share; lists count as NumPy.

    Raises
    ------
    TypeError
        If the arrays come from different libraries.

    Examples
    --------
    >>> import numpy as np
    >>> namespace(np.ones(3), [1.0, 2.0]).__name__.split(".")[-1]
    'numpy'
    """
    from array_api_compat import array_namespace

    own = [x for x in arrays if x is not None and not _is_list(x)]
    if _NUMPY_IS_STANDARD and all(isinstance(x, (np.ndarray, np.generic)) for x in own):
        return np  # what the wrappers do costs more than a small sum
    if not own:
        own = [np.empty(0)]
    try:
        return array_namespace(*own)
    except TypeError as error:
        kinds = ", ".join(f"{type(x).__module__.split('.')[0]}.{type(x).__name__}" for x in own)
        raise TypeError(f"all arrays must come from one array library, got {kinds}") from error


def _is_half(dtype: object) -> bool:
    return "float16" in str(dtype)  # float16 and bfloat16, in every library


def floats(**named: Any) -> tuple[Any, list[Array], Any]:
    """Return `(xp, arrays, out_dtype)`: the named arguments as floating arrays of one library and one dtype.

    Integers and booleans become the library's default float. float16 and bfloat16 are raised to float32 for
    the computation; `out_dtype` is the dtype that the result goes back to.

    Raises
    ------
    TypeError
        For complex or non-numeric input, or arrays of several libraries; the argument is named.
    """
    arrays = [_to_array(x, name) for name, x in named.items()]
    # Plain lists join the library of the arrays beside them, so d(tensor, [0.5, 0.5]) works.
    own = [a for a, x in zip(arrays, named.values()) if a is x]
    xp = namespace(*(own or arrays))
    if own and len(own) < len(arrays):
        like = own[0]
        kwargs: dict[str, Any] = {} if xp.__name__.endswith(("numpy", "strict")) else {"device": like.device}
        if hasattr(like, "dtype") and xp.isdtype(like.dtype, "real floating"):
            kwargs["dtype"] = like.dtype
        arrays = [a if a is x else xp.asarray(a.tolist(), **kwargs) for a, x in zip(arrays, named.values())]
    dtypes = []
    for name, a in zip(named, arrays):
        if xp.isdtype(a.dtype, "real floating") or _is_half(a.dtype):
            dtypes.append(a.dtype)
        elif not xp.isdtype(a.dtype, ("integral", "bool")):
            raise TypeError(f"{name} must hold real numbers, got dtype {a.dtype!s}")
    if dtypes:
        out = dtypes[0]
        for other in dtypes[1:]:
            out = out if out == other else xp.result_type(out, other)
    else:
        out = _default_float(xp)
    work = xp.float32 if _is_half(out) else out
    arrays = [a if a.dtype == work else xp.astype(a, work, copy=False) for a in arrays]
    return xp, arrays, out


def _default_float(xp: Any) -> Any:
    return xp.asarray([0.5]).dtype


def cast(xp: Any, x: Array, dtype: Any) -> Array:
    """Return `x` in `dtype` (a no-op where it has it)."""
    return x if x.dtype == dtype else xp.astype(x, dtype)


def given_dtype(x: Any, default: Any) -> Any:
    """Return the floating dtype that an argument came in; `default` for lists and integers."""
    dtype = getattr(x, "dtype", default)
    return dtype if "float" in str(dtype) else default


def scalar(x: Array) -> Any:
    """Return a NumPy 0-d array as a NumPy scalar, everything else as it is."""
    return x[()] if isinstance(x, np.ndarray) and x.ndim == 0 else x


def is_traced(*arrays: Any) -> bool:
    """Whether any array is a tracer whose values cannot be looked at (JAX jit/vmap, torch.func, compile)."""
    jax = sys.modules.get("jax")
    if jax is not None and any(isinstance(a, jax.core.Tracer) for a in arrays):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and any(isinstance(a, torch.Tensor) for a in arrays):
        if torch.compiler.is_compiling():
            return True
        wrapped = torch._C._functorch.is_functorch_wrapped_tensor
        fake = sys.modules.get("torch._subclasses.fake_tensor")
        return any(
            isinstance(a, torch.Tensor)
            and (wrapped(a) or a.device.type == "meta" or (fake is not None and isinstance(a, fake.FakeTensor)))
            for a in arrays
        )
    return False


def check_axis(shape: Sequence[int], axis: int, name: str) -> int:
    """Return `axis` as a non-negative number, or say which axes `name` has."""
    ndim = len(shape)
    if ndim == 0:
        raise ValueError(f"{name} is a scalar; expected an array with a probability axis")
    if not isinstance(axis, (int, np.integer)) or not -ndim <= axis < ndim:
        raise ValueError(f"axis={axis!r} is out of range for {name} of shape {tuple(shape)}")
    return int(axis) % ndim


def tolerance(xp: Any, dtype: Any, size: int) -> float:
    """Return how far from 1 the mass of `size` numbers of `dtype` may lie by rounding."""
    if _is_half(dtype):
        eps = 2.0**-8 if "bfloat" in str(dtype) else 2.0**-11
        # Each entry is rounded by itself; the errors add like a random walk, with a margin.
        return 8 * eps
    eps = float(xp.finfo(dtype).eps)
    return max(32 * eps * math.sqrt(size), 1e-6 if eps > 1e-10 else 1e-9)


def check_probabilities(p: Array, axis: int | tuple[int, ...] = -1, name: str = "p", *, dtype: Any = None) -> None:
    """Raise unless `p` is non-negative, free of NaN, and sums to 1 along `axis`.

    Skipped for tracers (inside `jax.jit`, `torch.func`, `torch.compile`), whose values cannot be read.

    Parameters
    ----------
    p : array
        Probabilities.
    axis : int or tuple of int
        The probability axis or axes.
    name : str
        How the message calls the argument.
    dtype : dtype, optional
        The dtype that `p` was given in, when it has been raised since; it sets the tolerance.

    Raises
    ------
    ValueError
        Naming the argument and the offending value.

    Examples
    --------
    >>> check_probabilities(np.array([0.5, 0.4]), name="p")
    Traceback (most recent call last):
    ValueError: p must sum to 1 along axis -1, got a sum of 0.9; pass normalize=True if it holds counts or weights
    """
    if is_traced(p):
        return
    xp = namespace(p)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    size = math.prod(p.shape[a] for a in axes)
    if size == 0:
        raise ValueError(f"{name} is empty along its probability axis (shape {tuple(p.shape)})")
    total = xp.sum(p, axis=axis)
    low = xp.min(p) if math.prod(p.shape) else xp.asarray(0.0)
    check_mass(float(detach(low)), total, xp, name, axis, tolerance(xp, dtype or p.dtype, size))


def check_mass(low: float, total: Array, xp: Any, name: str, axis: Any, tol: float) -> None:
    """Judge the smallest entry and the sums of `name`; the message says what was found."""
    if math.prod(total.shape) == 0:
        return
    total = detach(total)
    worst = float(xp.max(xp.abs(total - 1.0)))
    if math.isnan(worst) or math.isnan(low):
        raise ValueError(f"{name} contains NaN or infinite entries; expected probabilities")
    if low < 0:
        raise ValueError(f"{name} contains negative entries (smallest {low:.6g}); expected probabilities")
    if worst > tol:
        flat = xp.reshape(total, (-1,))
        where = int(xp.argmax(xp.abs(flat - 1.0)))
        got = float(flat[where])
        shown = f"{got:.6g}" if f"{got:.6g}" != "1" else f"1 {got - 1.0:+.2g}"
        row = f" (row {where})" if flat.shape[0] > 1 else ""
        raise ValueError(
            f"{name} must sum to 1 along axis {axis}, got a sum of {shown}{row}; "
            "pass normalize=True if it holds counts or weights"
        )


def xlogx(x: Array) -> Array:
    """Return x log x with 0 log 0 = 0; the gradient at exactly 0 (mathematically -inf) is taken as 0.

    >>> xlogx(np.array([0.25, 1.0, 2.0]))
    array([-0.34657359,  0.        ,  1.38629436])
    """
    if isinstance(x, np.ndarray):  # no gradient to protect: one pass less
        return x * np.log(np.maximum(x, np.finfo(x.dtype).tiny))
    xp = namespace(x)
    safe = xp.where(x == 0, xp.ones_like(x), x)
    return safe * xp.log(safe)


def xlogy(x: Array, y: Array) -> Array:
    """Return x log y with 0 log 0 = 0; x > 0 against y = 0 gives -inf.

    >>> xlogy(np.array([0.0, 1.0]), np.array([0.0, 0.0]))
    array([  0., -inf])
    """
    xp = namespace(x, y)
    x, y = xp.broadcast_arrays(x, y)
    out = x * xp.log(xp.where((x == 0) | (y == 0), xp.ones_like(y), y))
    return xp.where((y == 0) & (x != 0), -math.inf * xp.ones_like(x), out)


def logsumexp(x: Array, axis: int = -1, keepdims: bool = False) -> Array:
    """Return log Σ exp(x) along `axis`; a slice that is all -inf gives -inf, with zero gradient.

    >>> round(float(logsumexp(np.array([-1e4, -1e4]))), 6)
    -9999.306853
    """
    xp = namespace(x)
    top = xp.max(x, axis=axis, keepdims=True)
    top = xp.where(xp.isinf(top), xp.zeros_like(top), top)
    top = detach(top)
    total = xp.sum(xp.exp(x - top), axis=axis, keepdims=True)
    empty = total == 0
    out = xp.where(empty, -math.inf * xp.ones_like(total), xp.log(xp.where(empty, xp.ones_like(total), total)))
    out = out + top
    return out if keepdims else xp.squeeze(out, axis=axis)


def dot(xp: Any, x: Array, y: Array) -> Array:
    """Return Σ x y along the last axis, in one pass for NumPy."""
    if isinstance(x, np.ndarray):
        return np.vecdot(x, y) if hasattr(np, "vecdot") else np.einsum("...i,...i->...", x, y)
    return xp.sum(x * y, axis=-1)


def non_negative(xp: Any, x: Array) -> Array:
    """Return `x` with negative entries (rounding of a quantity that cannot be negative) set to 0; NaN stays."""
    if isinstance(x, np.ndarray):
        return np.maximum(x, 0)
    return xp.where(x < 0, xp.zeros_like(x), x)


def detach(x: Array) -> Array:
    """Return `x` cut off from automatic differentiation (PyTorch, JAX); itself elsewhere."""
    if hasattr(x, "detach"):
        return x.detach()
    jax = sys.modules.get("jax")
    if jax is not None and isinstance(x, jax.Array):
        return jax.lax.stop_gradient(x)
    return x


def log_softmax(x: Array, axis: int = -1) -> Array:
    """Return x - log Σ exp(x): logits as log-probabilities; -inf logits stay -inf.

    >>> log_softmax(np.array([0.0, 0.0]))
    array([-0.69314718, -0.69314718])
    """
    return normalized_logs(x, axis)[0]


def normalized_logs(x: Array, axis: int = -1) -> tuple[Array, Array]:
    """Return `(log_softmax(x), logsumexp(x))`, the second with the axis kept.

    The largest entry is taken off first and stays off: logits of 1e4 lose no digits to it.
    """
    xp = namespace(x)
    top = xp.max(x, axis=axis, keepdims=True)
    top = detach(xp.where(xp.isinf(top), xp.zeros_like(top), top))
    shifted = x - top
    norm = logsumexp(shifted, axis=axis, keepdims=True)
    return shifted - norm, norm + top


def log1mexp(x: Array) -> Array:
    """Return log(1 - exp(x)) for x <= 0, accurate near 0 and far below it.

    >>> log1mexp(np.array([-1e-10, -50.0]))
    array([-2.30258509e+01, -1.92874985e-22])
    """
    xp = namespace(x)
    near = x > -math.log(2.0)
    lo = xp.where(near, -xp.ones_like(x), x)
    hi = xp.where(near, x, -xp.ones_like(x))
    return xp.where(near, xp.log(-xp.expm1(hi)), xp.log1p(-xp.exp(lo)))


def log_probabilities(p: Array) -> Array:
    """Return log p with -inf at 0 and no warning.

    >>> log_probabilities(np.array([0.0, 1.0]))
    array([-inf,   0.])
    """
    xp = namespace(p)
    zero = p == 0
    safe = xp.where(zero, xp.ones_like(p), p)
    return xp.where(zero, -math.inf * xp.ones_like(p), xp.log(safe))


def log_ratio(p: Array, q: Array, off: Array | None = None, *, tame: bool = False) -> Array:
    """Return log p - log q, and 0 where the mask `off` is set (where either is 0, say).

    `tame` promises that no quotient p/q overflows or underflows.

    >>> log_ratio(np.array([0.5, 5e-324]), np.array([0.25, 1.0])).round(3).tolist()
    [0.693, -744.44]
    """
    xp = namespace(p, q)
    if off is not None:
        p, q = xp.where(off, xp.ones_like(p), p), xp.where(off, xp.ones_like(q), q)
    if tame:
        return xp.log(p / q)
    if isinstance(p, np.ndarray):
        # One logarithm of the quotient costs half of two and loses less, wherever the quotient is a normal
        # number; where it overflows, underflows or is subnormal, the difference of two logarithms.
        with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
            ratio = p / q
            limits = np.finfo(ratio.dtype)
            if ratio.size == 0 or (ratio.min() > limits.tiny and ratio.max() < limits.max):
                return np.log(ratio)
            return np.log(p) - np.log(q)
    return xp.log(p) - xp.log(q)


def wright_omega(z: Array) -> Array:
    """Return the w > 0 with w + log w = z (Wright's ω; Lambert's W0 of e^z without its overflow).

    >>> wright_omega(np.array([1.0, 1000.0]))
    array([  1.        , 993.09916947])
    """
    xp = namespace(z)
    # Start from the asymptote of either side; Newton's iteration then converges everywhere in a few steps.
    up = z > 1.0
    big = xp.where(up, z, xp.full_like(z, 2.0))
    tiny = z < -30.0  # w = e^z to rounding
    small = xp.exp(xp.where(up | tiny, xp.zeros_like(z), z))
    w = xp.where(up, big - xp.log(big), small / (1.0 + small))
    target = xp.where(tiny, xp.ones_like(z), z)
    for _ in range(6):
        w = w * (1.0 + target - xp.log(w)) / (1.0 + w)
    return xp.where(tiny, xp.exp(xp.where(tiny, z, xp.zeros_like(z))), w)
