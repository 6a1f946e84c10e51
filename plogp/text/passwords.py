"""Passwords under a language model of characters: how many guesses they take; which leak to learn from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from plogp.measures import jensen_shannon
from plogp.measures.uncertainty import Estimate
from plogp.trace.characters import PRINTABLE, Characters

__all__ = ["GuessCurve", "JSChoice", "MeterErrors", "PasswordModel", "Strength", "meter_errors", "select_by_js"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class GuessCurve:
    """The share of some passwords that is found within each number of guesses.

    Attributes
    ----------
    guesses : array, shape (k,)
    share : array, shape (k,)
    numbers : array, shape (n,)
        Guess number of each password, inf for one that the model gives probability 0.
    """

    guesses: Floats
    share: Floats
    numbers: Floats

    def at(self, guesses: float) -> float:
        """Return the share found within a number of guesses."""
        return float(np.mean(self.numbers <= guesses))

    def plot(self, ax: Any = None, **options: Any) -> Any:
        """Draw the curve over a logarithmic axis. Needs matplotlib."""
        try:
            import matplotlib.pyplot as plt
        except ImportError as error:
            raise ImportError("plogp[viz] is needed to plot: pip install 'plogp[viz]'") from error
        ax = plt.subplots()[1] if ax is None else ax
        ax.step(self.guesses, self.share, where="post", **options)
        ax.set_xscale("log")
        ax.set_ylim(0, 1)
        ax.set_xlabel("guesses")
        ax.set_ylabel("share of passwords found")
        return ax


@dataclass(frozen=True)
class Strength:
    """What `PasswordModel.meter` says: the guesses that a password withstands.

    Attributes
    ----------
    guesses : Estimate
    log10, bits : float
        Of the guesses, to base 10 and 2.
    nll : float
        -log p of the password, in nats.
    """

    guesses: Estimate
    log10: float
    bits: float
    nll: float


class PasswordModel:
    r"""A language model of passwords: learnt from a large mixed leak, then from a sample of the one service.

    A password x is read as characters and an end, :math:`p(x) = \prod_t p(x_t \mid x_{<t})`, so that lengths compete.
    One who guesses in the order of p needs as many guesses as there are strings at least as likely. That rank is
    estimated without listing them, from n passwords drawn from the model:

    .. math:: G(x) = 1 + \frac1n \sum_{i : p(x_i) > p(x)} \frac{1}{p(x_i)}

    unbiased for 1 + the number of strings that are more likely than x.

    Parameters
    ----------
    lm : CharTransformerLM or NGramLM, optional
        With `bos_id` and `eos_id`, its other ids the characters of `alphabet` in order. By default an `NGramLM` of
        order 5; ``CharTransformerLM()`` is what the paper uses.
    alphabet : str, optional
        By default the model's, else the 95 printable characters of ASCII.
    max_length : int
        Longest password that is drawn; guesses longer than it are not counted.
    samples : int
        Passwords drawn, n.
    rng
        Of the draws and of training.

    Raises
    ------
    ValueError
        For a model without begin and end, or whose vocabulary is not the alphabet and these two.

    Notes
    -----
    The draws are made once, at the first question after training, and kept sorted: a question then costs O(log n). The
    standard error is that of the mean of 1[p(x_i) > p(x)] / p(x_i), and the interval is taken on the logarithm; where
    none of the draws is more likely, it runs from 1 to 1 + m/p(x), with m the largest mass above x that n draws can
    miss. Over 30 sets of 20,000 draws from a law on 1365 strings, the
    nominal 95 % intervals of strings picked at random covered in 95.3 % of 6000 questions. Far
    in the tail, where a handful of draws lie between x and the strings before it, the sum is skewed and its error is
    understated; `diagnostics["tail_draws"]`, the effective number of terms (Σ w)²/Σ w², shows it: below about 30, do
    not lean on the interval.

    Examples
    --------
    >>> model = PasswordModel(samples=2000, rng=0).pretrain(["password", "password1", "monkey", "monkey12"])
    >>> bool(model.guess_number("monkey").value < model.guess_number("zq!7K").value)
    True

    References
    ----------
    Y. Wang, H. Li, W. Qiu, S. Li and P. Tang (2024), "PassTSL", arXiv 2407.14145: two stages. M. Dell'Amico and
    M. Filippone (2015), "Monte Carlo strength evaluation", CCS: guess numbers.
    """

    def __init__(
        self,
        lm: Any = None,
        *,
        alphabet: str | None = None,
        max_length: int = 32,
        samples: int = 20_000,
        rng: Any = None,
    ):
        own = getattr(lm, "tokenizer", None)
        given = own.alphabet if isinstance(own, Characters) and alphabet is None else alphabet
        self.characters = Characters(PRINTABLE if given is None else given)
        names = self.characters
        if lm is None:
            from plogp.trace.ngram_lm import NGramLM

            lm = NGramLM(5, names.vocab_size, smoothing="witten-bell", bos_id=names.bos_id, eos_id=names.eos_id)
        found = (lm.vocab_size, getattr(lm, "bos_id", None), getattr(lm, "eos_id", None))
        wanted = (names.vocab_size, names.bos_id, names.eos_id)
        if found != wanted:
            raise ValueError(
                f"lm must have vocab_size, bos_id, eos_id = {wanted} for an alphabet of {len(names.alphabet)} "
                f"characters, got {found}"
            )
        if samples < 2 or max_length < 1:
            raise ValueError(f"samples must be at least 2 and max_length 1, got {samples} and {max_length}")
        segment = getattr(lm, "segment", None)
        if segment is not None and segment < max_length + 1:
            # Such a model draws and scores a longer password under two laws, and guess numbers would be biased.
            raise ValueError(
                f"lm reads segments of {segment} characters, too short for passwords of up to {max_length} and their "
                f"end: expected a segment of at least {max_length + 1}"
            )
        self.lm, self.max_length, self.samples = lm, int(max_length), int(samples)
        self._rng = np.random.default_rng(rng)
        self._drawn: tuple[Floats, Floats, Floats] | None = None

    # --- training ------------------------------------------------------------------------------------------------

    def pretrain(self, passwords: Iterable[str], **options: Any) -> PasswordModel:
        """Learn from scratch: stage one. Options are those of ``lm.fit``."""
        return self._learn(self.lm.fit, passwords, options)

    def finetune(self, passwords: Iterable[str], *, weight: int = 1, **options: Any) -> PasswordModel:
        """Learn further, from a sample of the service: stage two.

        Parameters
        ----------
        passwords : iterable of str
        weight : int
            How often the counts of an `NGramLM` are added, for a sample that is small beside the first.
        **options
            Of ``lm.partial_fit``; by default a transformer goes a step for every 5 passwords (from 5 to 200), at a
            learning rate of 0.001: more steps learn a small sample by heart and lose the rest (measured with 20
            passwords: -log p of others fell from 14.0 to 13.5 nats in 5 steps and rose to 19.4 in 40).
        """
        known = _passwords(passwords)
        if weight < 1:
            raise ValueError(f"weight must be at least 1, got {weight}")
        if self._trains_by_steps:
            if weight != 1:
                raise ValueError("weight is for models of counts; give steps= and lr= to a transformer")
            options = {"lr": 1e-3, "steps": max(5, min(200, len(known) // 5)), **options}
        return self._learn(self.lm.partial_fit, known * weight, options)

    @property
    def _trains_by_steps(self) -> bool:
        return hasattr(self.lm, "losses")

    def _learn(self, method: Callable[..., Any], passwords: Iterable[str], options: dict[str, Any]) -> PasswordModel:
        known = _passwords(passwords)
        if self._trains_by_steps:
            method(known, **{"rng": int(self._rng.integers(2**62)), **options})
        else:
            method([[*self.characters.encode(x).tolist(), self.characters.eos_id] for x in known], **options)
        self._drawn = None
        return self

    # --- probabilities -------------------------------------------------------------------------------------------

    def logprob(self, passwords: Iterable[str]) -> Floats:
        """Return log p (n,) of each password with its end, in nats."""
        known = _passwords(passwords)
        if self._trains_by_steps:
            return np.asarray(self.lm.logprob(known))
        end = self.characters.eos_id
        return np.array([self.lm.logprob([*self.characters.encode(x).tolist(), end]).sum() for x in known])

    def nll(self, passwords: Iterable[str]) -> Estimate:
        """Return the mean of -log p over passwords, in nats a password."""
        terms = -self.logprob(passwords)
        if len(terms) < 2:
            raise ValueError("passwords must hold at least 2")
        se = float(terms.std(ddof=1) / math.sqrt(len(terms)))
        return Estimate(float(terms.mean()), se, len(terms), f"mean -log p of {self.lm.name}", terms=terms)

    def sample(self, n: int, rng: Any = None) -> list[str]:
        """Draw passwords of at most `max_length` characters (drawn again where longer)."""
        g = np.random.default_rng(rng)
        out: list[str] = []
        for _ in range(50):
            out += [self.characters.decode(ids) for ids in self._draw(n, g) if self._is_whole(ids)]
            if len(out) >= n:
                return out[:n]
        raise ValueError(f"less than 1 in 50 draws ends within {self.max_length} characters; train the model first")

    def _draw(self, n: int, g: np.random.Generator) -> list[list[int]]:
        rows = self.lm.sample(n, self.max_length + 1, rng=int(g.integers(2**62)))
        ends = rows == self.characters.eos_id
        stop = np.where(ends.any(axis=1), ends.argmax(axis=1) + 1, rows.shape[1])
        return [row[:k].tolist() for row, k in zip(rows, stop)]

    def _is_whole(self, ids: list[int]) -> bool:
        return ids[-1] == self.characters.eos_id and self.characters.bos_id not in ids

    # --- guesses -------------------------------------------------------------------------------------------------

    def _sorted(self) -> tuple[Floats, Floats, Floats]:
        """Return log p of the draws from the largest, and the running sums of 1/(n p) and of its square."""
        if self._drawn is None:
            whole = [self.characters.decode(ids) for ids in self._draw(self.samples, self._rng) if self._is_whole(ids)]
            # A draw that does not end is no password: it counts among the n and adds nothing.
            once = dict.fromkeys(whole)
            found = dict(zip(once, self.logprob(once))) if once else {}
            log_p = -np.sort([-found[x] for x in whole])
            with np.errstate(over="ignore"):
                weight = np.exp(-log_p)
            sums = np.concatenate([[0.0], np.cumsum(weight)]) / self.samples
            squares = np.concatenate([[0.0], np.cumsum(weight**2)]) / self.samples
            self._drawn = (log_p, sums, squares)
        return self._drawn

    def _numbers(self, log_p: Floats) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
        """Return guess numbers, their standard errors, and how many draws are more likely."""
        drawn, sums, squares = self._sorted()
        # Equal up to rounding is a tie: guessed after.
        limit = np.where(np.isneginf(log_p), np.inf, -log_p - 1e-9 * np.nan_to_num(np.abs(log_p)))
        above = np.searchsorted(-drawn, limit, side="left")
        value, second = sums[above], squares[above]
        se = np.sqrt(np.maximum(second - value**2, 0.0) / (self.samples - 1))
        return np.where(np.isneginf(log_p), np.inf, 1 + value), se, above

    def guess_numbers(self, passwords: Iterable[str]) -> Floats:
        """Return the guess number (n,) of each password, inf where its probability is 0."""
        return self._numbers(self.logprob(passwords))[0]

    def guess_number(self, password: str) -> Estimate:
        """Return how many guesses in the order of the model find a password, itself among them.

        Raises
        ------
        ValueError
            For characters outside the alphabet, or a password of probability 0: it is never guessed.
        """
        log_p = self.logprob([password])
        if np.isneginf(log_p[0]):
            raise ValueError("the model gives the password probability 0: no number of guesses finds it")
        value, se, above = (x[0] for x in self._numbers(log_p))
        drawn, sums, squares = self._sorted()
        tail = self.samples * sums[above] ** 2 / squares[above] if above else 0.0
        law = _Guesses(float(value) - 1, float(se), float(log_p[0]), self.samples)
        return Estimate(
            float(value),
            float(se) if above else None,
            self.samples,
            f"Monte Carlo rank under {self.lm.name}",
            unit="",
            law=law,
            diagnostics={
                "log p": float(log_p[0]),
                "draws above": int(above),
                "tail_draws": float(tail),
                "draws that end": len(drawn) / self.samples,
            },
        )

    def guess_curve(self, passwords: Iterable[str], guesses: Any = None) -> GuessCurve:
        """Return the share of passwords found within each number of guesses; by default 10^0, ..., 10^14."""
        numbers = self.guess_numbers(passwords)
        grid = np.logspace(0, 14, 57) if guesses is None else np.asarray(guesses, dtype=np.float64)
        if grid.ndim != 1 or not len(grid) or np.isnan(grid).any():
            raise ValueError(f"guesses must be a row of numbers, got shape {grid.shape}")
        return GuessCurve(grid, (numbers[:, None] <= grid).mean(axis=0), numbers)

    def meter(self, password: str) -> Strength:
        """Return how strong a password is against one who guesses as this model does."""
        guesses = self.guess_number(password)
        return Strength(
            guesses, math.log10(guesses.value), math.log2(guesses.value), -float(guesses.diagnostics["log p"])
        )

    def __repr__(self) -> str:
        return f"PasswordModel({self.lm!r}, {self.samples} draws)"


@dataclass(frozen=True)
class _Guesses:
    """Interval law of 1 + a mean of non-negative terms, on the logarithm of the mean; see `PasswordModel`."""

    mean: float
    se: float
    log_p: float
    n: int

    def __call__(self, level: float) -> tuple[float, float]:
        from scipy import special

        if self.mean == 0:
            missed = 1 - (0.5 - level / 2) ** (1 / self.n)
            return 1.0, 1 + missed * math.exp(min(-self.log_p, 700.0))
        half = float(special.ndtri(0.5 + level / 2)) * self.se / self.mean
        return 1 + self.mean * math.exp(-half), 1 + self.mean * math.exp(min(half, 700.0))


def _passwords(passwords: Iterable[str]) -> list[str]:
    if isinstance(passwords, str):
        raise TypeError("passwords must be several, got one string; pass [password]")
    known = list(passwords)
    if not known:
        raise ValueError("passwords is empty")
    wrong = next((x for x in known if not isinstance(x, str)), None)
    if wrong is not None:
        raise TypeError(f"passwords must be strings, got {type(wrong).__name__}")
    return known


# --- judging a meter -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class MeterErrors:
    """Errors of a meter against a reference, at every threshold of the meter.

    Attributes
    ----------
    threshold : array
        Of the meter: at least this is called strong.
    unsafe : array
        Share of all passwords that the meter calls strong and the reference weak.
    safe : array
        Share that the meter calls weak and the reference strong.
    """

    threshold: Floats
    unsafe: Floats
    safe: Floats

    def unsafe_at(self, safe: float) -> float:
        """Return the least share of unsafe errors at a share of safe errors of at most `safe`."""
        allowed = self.safe <= safe
        if not allowed.any():
            raise ValueError(f"no threshold has a share of safe errors of at most {safe}")
        return float(self.unsafe[allowed].min())


def meter_errors(strengths: Any, reference: Any, weak_below: float) -> MeterErrors:
    """Compare a meter with a reference meter: whom does it call strong that is not, and the reverse.

    Parameters
    ----------
    strengths, reference : array, shape (n,)
        Of the same passwords, larger is stronger; on any scales.
    weak_below : float
        A password is weak where its reference strength is less.

    Examples
    --------
    >>> e = meter_errors([1, 5, 3, 8], [2, 4, 7, 9], weak_below=5)
    >>> e.unsafe_at(0.25), e.unsafe_at(0)
    (0.0, 0.25)
    """
    a, b = np.asarray(strengths, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise ValueError(f"strengths and reference must be two rows of one length, got {a.shape} and {b.shape}")
    if np.isnan(a).any() or np.isnan(b).any() or math.isnan(weak_below):
        raise ValueError("strengths, reference and weak_below must not be NaN")
    weak = b < weak_below
    threshold = np.concatenate([np.unique(a), [np.inf]])
    strong = a[None, :] >= threshold[:, None]
    return MeterErrors(threshold, (strong & weak).mean(axis=1), (~strong & ~weak).mean(axis=1))


# --- choosing what to learn from -------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class JSChoice:
    """The candidate nearest to the target, and the divergence of each, in nats.

    Attributes
    ----------
    best : key or int
        Of the candidate with the smallest divergence.
    divergence : dict
        Jensen-Shannon divergence of each candidate's features from the target's.
    """

    best: Any
    divergence: dict[Any, float]


def select_by_js(
    candidates: Mapping[Any, Iterable[str]] | Sequence[Iterable[str]],
    target: Iterable[str],
    features: str | Callable[[str], Iterable[Any]] = "ngrams",
    n: int = 3,
) -> JSChoice:
    r"""Choose the leak to learn from: the one whose passwords look most like the target's.

    :math:`\arg\min_j \mathrm{JS}(P_j, P_T)`, with P the shares of features among all features of a set of passwords,
    in nats (at most log 2).

    Parameters
    ----------
    candidates : mapping of name -> passwords, or sequence of passwords
    target : iterable of str
        A sample of the service.
    features : "ngrams", "shapes" or callable
        "ngrams": all runs of 1 to `n` characters, begin and end marked; "shapes": length and the classes of characters
        in order (letters, capitals, digits, others: "Ab12!" is "ULDDS"); or a function from a password to its features.
    n : int
        Longest run.

    Notes
    -----
    The divergence of two finite samples of one law is above 0 and falls with their sizes, so compare candidates of
    about one size. The paper's abstract does not say on which features it takes the divergence: the choice is ours.

    Examples
    --------
    >>> choice = select_by_js({"years": ["love1999", "rose1987"], "pins": ["4411", "0070"]}, ["dave1990"])
    >>> choice.best
    'years'
    """
    if isinstance(candidates, Mapping):
        named = {key: _passwords(x) for key, x in candidates.items()}
    else:
        named = {i: _passwords(x) for i, x in enumerate(candidates)}
    if not named:
        raise ValueError("candidates is empty")
    if callable(features):
        of = features
    elif features == "ngrams":
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        of = _runs(n)
    elif features == "shapes":
        of = _shape
    else:
        raise ValueError(f"features must be 'ngrams', 'shapes' or a function, got {features!r}")
    wanted = _counts(_passwords(target), of, "target")
    out = {}
    for key, passwords in named.items():
        found = _counts(passwords, of, f"candidate {key!r}")
        keys = list(found.keys() | wanted.keys())
        pair = np.array([[float(c[k]) for k in keys] for c in (found, wanted)])
        out[key] = float(jensen_shannon(pair / pair.sum(axis=1, keepdims=True)))
    return JSChoice(min(out, key=lambda key: out[key]), out)


def _counts(passwords: list[str], of: Callable[[str], Iterable[Any]], name: str) -> Counter[Any]:
    counts = Counter(f for x in passwords for f in of(x))
    if not counts:
        raise ValueError(f"{name} has no features")
    return counts


def _runs(n: int) -> Callable[[str], Iterable[str]]:
    def runs(password: str) -> Iterable[str]:
        marked = f"\x02{password}\x03"
        return (marked[i : i + k] for k in range(1, n + 1) for i in range(len(marked) - k + 1))

    return runs


def _shape(password: str) -> list[str]:
    kinds = ("D" if c.isdigit() else "L" if c.islower() else "U" if c.isupper() else "S" for c in password)
    return ["".join(kinds)]
