"""Primes as a source of information: code lengths of the prime indicator, and the law of ω(n).

Kolpakov and Rocke model primality by maximum entropy: each k is prime with probability about 1/ln k. Locating
one of the π(N) primes up to N then costs about ln N nats, all of them π(N) ln N ~ N (their prime coding
theorem), from which they conclude that no learner can beat memorising.

How to read it. X_N, the indicator string of the primes up to N, is computed by a short program, so its true
Kolmogorov complexity is O(log N). The statement is about expected code length under the model. The entropy of
the model itself is Σ h(1/ln k) ≈ N (ln ln N + 1)/ln N, which grows more slowly than N; real codes come close
to it, and below it once they know small divisors. `prime_code_report` sets all lengths side by side and
asserts nothing about learners in general.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures.codes import code_length
from plogp.measures.uncertainty import Estimate

__all__ = ["PrimeCode", "PrimeCodeReport", "omega_clt", "prime_code_report", "prime_indicator", "primes_up_to"]

MERTENS = 0.2614972128476428  # lim Σ_{p<=N} 1/p - ln ln N (Meissel and Mertens)
Ints = npt.NDArray[np.int64]


def primes_up_to(N: int) -> Ints:
    """Return the primes p <= N, by a sieve of N/2 bytes over the odd numbers.

    >>> primes_up_to(20).tolist()
    [2, 3, 5, 7, 11, 13, 17, 19]
    """
    N = _limit(N, 0)
    if N < 2:
        return np.zeros(0, dtype=np.int64)
    odd = np.ones((N + 1) // 2, dtype=np.bool_)  # odd[i] is 2i + 1; odd[0] stands for 2
    for i in range(1, (math.isqrt(N) - 1) // 2 + 1):
        if odd[i]:
            odd[2 * i * (i + 1) :: 2 * i + 1] = False
    out = 2 * np.flatnonzero(odd).astype(np.int64) + 1
    out[0] = 2
    return out


def prime_indicator(N: int) -> npt.NDArray[np.bool_]:
    """Return X_N: whether k is prime, for k = 1 ... N.

    >>> prime_indicator(7).astype(int).tolist()
    [0, 1, 1, 0, 1, 0, 1]
    """
    out = np.zeros(_limit(N, 1), dtype=np.bool_)
    out[primes_up_to(N) - 1] = True
    return out


@dataclass(frozen=True)
class PrimeCode:
    """One line of the report: a code, its length in nats, and what it takes as known."""

    code: str
    nats: float
    bits_per_integer: float
    known: str


@dataclass(frozen=True, eq=False)
class PrimeCodeReport:
    """Lengths of X_N under many codes; prints as a table, iterates over its `PrimeCode` rows."""

    N: int
    primes: int
    rows: tuple[PrimeCode, ...]

    def __getitem__(self, code: str) -> float:
        """Return the length, in nats, of the named code."""
        for row in self.rows:
            if row.code == code:
                return row.nats
        raise KeyError(f"no code {code!r}; there are {', '.join(row.code for row in self.rows)}")

    def __iter__(self) -> Iterator[PrimeCode]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries."""
        return [asdict(row) for row in self.rows]

    def __repr__(self) -> str:
        head = f"{self.primes} primes up to {self.N}\n{'code':<22}{'nats':>14}{'bits/integer':>14}  known"
        body = [f"{r.code:<22}{r.nats:>14.1f}{r.bits_per_integer:>14.5f}  {r.known}" for r in self.rows]
        return "\n".join([head, *body])


def prime_code_report(N: int, *, wheel: tuple[int, ...] = (2, 3, 5, 7)) -> PrimeCodeReport:
    """Return the code lengths of the primes up to `N`, side by side, in nats.

    Parameters
    ----------
    N : int
        Length of the string, at least 4.
    wheel : tuple of int
        The first primes, whose multiples the conditioned codes leave out. Numbers below the square of the
        next prime are then decided and cost nothing.

    Returns
    -------
    PrimeCodeReport
        ``"pi(N) ln N"`` the paper's count; ``"model entropy"`` Σ h(1/ln k); ``"cramer"`` the length of X_N
        under that model (k = 1, 2 are taken as known); the codes of `code_length`; and those of the string
        of the numbers coprime to the wheel, where the model's density is 1/ln k · Π p/(p-1).

    Raises
    ------
    ValueError
        If `N` is too small, or `wheel` is not a run of the first primes.

    Examples
    --------
    >>> report = prime_code_report(10_000)
    >>> report.primes, round(report["pi(N) ln N"] / 10_000, 4)
    (1229, 1.132)
    >>> report["wheel cramer"] < report["cramer"] < report["pi(N) ln N"]
    True

    References
    ----------
    A. Kolpakov, A. Rocke 2023, arXiv:2308.10817.
    """
    N = _limit(N, 4)
    bits = prime_indicator(N)
    k = np.arange(3, N + 1, dtype=np.float64)
    q = 1.0 / np.log(k)
    entropy = -float(np.sum(q * np.log(q) + (1 - q) * np.log1p(-q)))
    rest, density = _coprime(N, wheel)
    kept = bits[rest - 1]
    named = "*".join(str(p) for p in wheel)
    lengths = [
        ("pi(N) ln N", code_length(bits, "per_one"), "nothing; the order of the primes is paid for too"),
        ("model entropy", entropy, "the density 1/ln k"),
        ("cramer", code_length(bits[2:], q), "the density 1/ln k"),
        ("raw", code_length(bits, "raw"), "nothing"),
        ("enumerative", code_length(bits, "enumerative"), "pi(N)"),
        ("kt", code_length(bits, "kt"), "nothing"),
        ("kt order 12", code_length(bits, "kt", order=12), "nothing"),
        ("gap_gamma", code_length(bits, "gap_gamma"), "nothing"),
        ("gap_delta", code_length(bits, "gap_delta"), "nothing"),
        ("gap_entropy", code_length(bits, "gap_entropy"), "the frequencies of the gaps"),
        ("zlib", code_length(bits, "zlib"), "nothing"),
        ("bz2", code_length(bits, "bz2"), "nothing"),
        ("lzma", code_length(bits, "lzma"), "nothing"),
    ]
    if len(rest):
        known = f"multiples of {named} removed"
        lengths += [
            ("wheel cramer", code_length(kept, density), f"{known}; density 1/ln k"),
            ("wheel enumerative", code_length(kept, "enumerative"), f"{known}; pi(N)"),
            ("wheel gap_entropy", code_length(kept, "gap_entropy"), f"{known}; the gaps' frequencies"),
            ("wheel zlib", code_length(kept, "zlib"), known),
            ("wheel bz2", code_length(kept, "bz2"), known),
            ("wheel lzma", code_length(kept, "lzma"), known),
        ]
    rows = tuple(PrimeCode(code, nats, nats / (N * math.log(2.0)), how) for code, nats, how in lengths)
    return PrimeCodeReport(N, int(np.count_nonzero(bits)), rows)


def _coprime(N: int, wheel: tuple[int, ...]) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Numbers coprime to the wheel that it does not decide, and their Cramér density."""
    first = primes_up_to(100)
    if not wheel or len(wheel) > 8 or tuple(first[: len(wheel)].tolist()) != tuple(wheel):
        raise ValueError(f"wheel must be the first few primes, (2, 3, 5, 7) say, got {wheel!r}")
    free = np.ones(N + 1, dtype=np.bool_)
    free[: min(N + 1, int(first[len(wheel)]) ** 2)] = False
    for p in wheel:
        free[::p] = False
    rest = np.flatnonzero(free).astype(np.int64)
    return rest, math.prod(p / (p - 1) for p in wheel) / np.log(np.maximum(rest, 2))


def omega_clt(
    N: int, *, sample: int | None = None, rng: np.random.Generator | int | None = None, block: int = 1 << 19
) -> Estimate:
    r"""Return the mean of ω(n), the number of distinct prime factors, over n <= N, and how normal ω is.

    Given only that p divides n with probability 1/p, the maximum-entropy law makes these events independent:
    mean Σ 1/p = ln ln N + 0.2615, variance Σ (1/p)(1 - 1/p), and (ω - ln ln N)/√(ln ln N) → N(0, 1), which is
    the theorem of Erdős and Kac. Convergence is as slow as ln ln N grows.

    Parameters
    ----------
    N : int
        At least 16.
    sample : int, optional
        Draw that many n uniformly instead of visiting all (for N up to 1e12).
    rng : Generator, int or None
        Randomness of the sample.
    block : int
        Numbers sieved at a time; the peak of memory is about 13 bytes for each.

    Returns
    -------
    Estimate
        Dimensionless. Without `sample` the mean is exact: se 0. ``diagnostics``: ``variance``, ``counts`` (how
        many n have ω = 0, 1, ...), ``model_mean`` and ``model_variance`` (maximum entropy; without `sample`
        the finite sums over p <= N, else their asymptotes), ``asymptotic_mean`` ln ln N + 0.2615,
        ``kolmogorov_distance`` between the law of (ω - mean)/sd and N(0, 1), with the jumps of ω halved
        (continuity correction), ``kolmogorov_distance_raw`` without it and standardised by ln ln N as in the
        theorem, ``concentration`` the share with |ω - ln ln N| <= 2 √(ln ln N) (Hardy and Ramanujan).

    Raises
    ------
    ValueError
        For an N out of range or a sample of fewer than 2.

    Examples
    --------
    >>> e = omega_clt(10_000)
    >>> round(e.value, 4), e.diagnostics["counts"][:3]
    (2.43, [1, 1280, 4097])

    References
    ----------
    P. Erdős and M. Kac 1940; A. Kolpakov, A. Rocke 2023, arXiv:2308.10817.
    """
    N = _limit(N, 16)
    if block < 1:
        raise ValueError(f"block must be positive, got {block!r}")
    small = primes_up_to(math.isqrt(N))
    mean_model, loglog = math.log(math.log(N)) + MERTENS, math.log(math.log(N))
    counts = np.zeros(32, dtype=np.int64)
    if sample is None:
        for start in range(1, N + 1, block):
            counts += np.bincount(_omega(start, min(start + block, N + 1), small), minlength=32)
        inverse = 1.0 / primes_up_to(N)
        model_mean, model_variance = float(inverse.sum()), float((inverse * (1 - inverse)).sum())
    else:
        if sample < 2 or N > 10**12:
            raise ValueError(f"sample must be at least 2 and N at most 1e12, got {sample!r} and {N!r}")
        drawn = np.random.default_rng(rng).integers(1, N, size=sample, endpoint=True)
        counts += np.bincount(_omega_of(drawn, small), minlength=32)
        # Σ 1/p² over all primes = 0.452247...: the part of the variance that stays behind the mean.
        model_mean, model_variance = mean_model, mean_model - 0.4522474200410655
    n = int(counts.sum())
    values = np.arange(32)
    mean = float(values @ counts) / n
    variance = float((values - mean) ** 2 @ counts) / n
    used = int(np.max(np.flatnonzero(counts))) + 1
    return Estimate(
        mean,
        se=0.0 if sample is None else math.sqrt(variance / (n - 1)),
        n=n,
        method="all integers" if sample is None else "random integers",
        unit="",
        diagnostics={
            "variance": variance,
            "counts": counts[:used].tolist(),
            "model_mean": model_mean,
            "model_variance": model_variance,
            "asymptotic_mean": mean_model,
            "kolmogorov_distance": _distance(counts, mean, math.sqrt(variance), 0.5),
            "kolmogorov_distance_raw": _distance(counts, loglog, math.sqrt(loglog), 0.0),
            "concentration": float(counts[np.abs(values - loglog) <= 2 * math.sqrt(loglog)].sum()) / n,
        },
    )


def _omega(start: int, stop: int, small: Ints) -> npt.NDArray[np.int8]:
    """ω(n) for start <= n < stop, given all primes up to the root of the largest."""
    omega = np.zeros(stop - start, dtype=np.int8)
    found = np.zeros(stop - start, dtype=np.float32)  # log of the part of n that the small primes explain
    for p in small[small < stop].tolist():
        first = -start % p
        if first >= len(omega):
            continue
        omega[first::p] += 1
        power, weight = p, np.float32(math.log(p))
        while power < stop:
            found[-start % power :: power] += weight
            power *= p
    # What is left is 1 or a single prime above the root, so at least 2: float32 tells these apart easily.
    left = np.log(np.arange(start, stop, dtype=np.float64)).astype(np.float32) - found
    omega += left > 0.3
    return omega


def _omega_of(numbers: Ints, small: Ints) -> npt.NDArray[np.int64]:
    """ω of arbitrary numbers by trial division, one prime after another."""
    left, omega = numbers.copy(), np.zeros(len(numbers), dtype=np.int64)
    for p in small.tolist():
        hit = np.flatnonzero(left % p == 0)
        omega[hit] += 1
        while len(hit):
            left[hit] //= p
            hit = hit[left[hit] % p == 0]
    return omega + (left > 1)


def _distance(counts: Ints, mean: float, sd: float, shift: float) -> float:
    """Largest distance between the law of ω, its steps moved by `shift`, and the normal law."""
    from scipy.special import ndtr

    law = np.concatenate([[0.0], np.cumsum(counts) / counts.sum()])
    normal = ndtr((np.arange(len(counts)) + shift - mean) / sd)
    after = np.abs(law[1:] - normal)
    return float(np.max(after) if shift else max(np.max(after), np.max(np.abs(law[:-1] - normal))))


def _limit(N: Any, least: int) -> int:
    if isinstance(N, bool) or not isinstance(N, (int, np.integer)) or int(N) < least:
        raise ValueError(f"N must be an integer of at least {least}, got {N!r}")
    return int(N)
