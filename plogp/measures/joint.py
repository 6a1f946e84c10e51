"""`Joint`: a joint distribution over named variables, and every information quantity by name."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from plogp.measures import association, information, multivariate
from plogp.measures.arrays import Array, check_probabilities, floats, is_traced, namespace
from plogp.measures.channel import Channel
from plogp.measures.divergence import Dissimilarity
from plogp.measures.grouping import float64

__all__ = ["Joint"]

#: One variable by name, or several as a sequence of names ("XY" is X and Y where the names are letters).
Names = str | Sequence[str]
#: Largest table that `Joint.from_samples` makes: 800 MB of probabilities.
MAX_CELLS = 10**8


class Joint:
    """A joint probability table with a name for every axis.

    Wherever a method takes variables, it takes a name, a sequence of names, or, where all names are single
    letters, a word: ``j.I("X", "YZ")``.

    Parameters
    ----------
    pmf : array
        Probabilities, one axis per variable, in any array library.
    names : str or sequence of str, optional
        One name per axis; ``"XYZ"`` names three. By default X0, X1, ...
    states : mapping, optional
        Labels of a variable's states, by name; the others are numbered from 0.
    normalize : bool
        Divide by the mass first, for a table of counts.

    Raises
    ------
    ValueError
        If `pmf` is no distribution, or names or states do not fit its axes.

    Examples
    --------
    >>> j = Joint([[[0.25, 0.0], [0.0, 0.25]], [[0.0, 0.25], [0.25, 0.0]]], "XYZ")
    >>> j
    Joint(X[2], Y[2], Z[2]; H=1.386 nats)
    >>> float(j.H("X", base=2)), float(j.I("X", "Y")), float(j.I("X", "Y", given="Z", base=2))
    (1.0, 0.0, 1.0)
    >>> round(float(j.interaction_information(base=2)), 9)
    1.0
    >>> j.condition(Z=0)
    Joint(X[2], Y[2]; H=0.6931 nats)

    References
    ----------
    C. E. Shannon 1948; T. Cover and J. Thomas, Elements of Information Theory, 2006.
    """

    def __init__(
        self,
        pmf: Any,
        names: Names | None = None,
        *,
        states: Mapping[str, Sequence[Hashable]] | None = None,
        normalize: bool = False,
    ):
        xp, (table,), dtype = floats(pmf=pmf)
        if table.ndim == 0 or 0 in table.shape:
            raise ValueError(f"pmf must have at least one axis and one state on each, got shape {tuple(table.shape)}")
        if normalize:
            mass = xp.sum(table)
            if not is_traced(mass) and not 0 < float(mass) < math.inf:
                raise ValueError(f"pmf cannot be normalised: its mass is {float(mass):.6g}")
            table = table / mass
        check_probabilities(table, tuple(range(table.ndim)), "pmf", dtype=dtype)
        named = tuple(f"X{i}" for i in range(table.ndim)) if names is None else tuple(names)
        if len(named) != table.ndim or len(set(named)) < len(named) or not all(isinstance(n, str) for n in named):
            raise ValueError(f"names must be {table.ndim} different names, one per axis of pmf, got {names!r}")
        labels: dict[str, tuple[Hashable, ...]] = {n: tuple(range(k)) for n, k in zip(named, table.shape)}
        for name, given in (states or {}).items():
            if name not in labels or len(given) != len(labels[name]) or len(set(given)) < len(given):
                raise ValueError(f"states[{name!r}] must label the states of a variable once each, got {given!r}")
            labels[name] = tuple(given)
        self.pmf: Array = table
        self.names: tuple[str, ...] = named
        self.states: dict[str, tuple[Hashable, ...]] = labels

    # -- making one ---------------------------------------------------------------------------------------

    @classmethod
    def from_counts(cls, counts: Any, names: Names | None = None, **options: Any) -> Joint:
        """Return the empirical distribution of a table of counts.

        Examples
        --------
        >>> Joint.from_counts([[3, 1], [1, 3]], "XY").pmf
        array([[0.375, 0.125],
               [0.125, 0.375]])
        """
        return cls(counts, names, normalize=True, **options)

    @classmethod
    def from_samples(cls, *columns: Any, names: Names | None = None) -> Joint:
        """Return the empirical distribution of samples of categories.

        The quantities of the result are plug-in values, without correction or interval; for estimates see
        :mod:`plogp.estimate`.

        Parameters
        ----------
        *columns : sequence, array (n, d), or mapping
            One sequence per variable; or one array with a variable per column; or a mapping name -> sequence.
        names : str or sequence of str, optional
            Names of the variables.

        Raises
        ------
        ValueError
            For no samples, columns of different lengths, NaN, or a table of more than 10^8 cells.

        Examples
        --------
        >>> j = Joint.from_samples({"weather": ["sun", "rain", "sun", "rain"], "mood": [1, 0, 1, 0]})
        >>> j.states["weather"], round(float(j.I("weather", "mood", base=2)), 9)
        (('rain', 'sun'), 1.0)
        """
        if len(columns) == 1 and isinstance(columns[0], Mapping):
            names = tuple(columns[0]) if names is None else names
            columns = tuple(columns[0].values())
        elif len(columns) == 1 and np.ndim(columns[0]) == 2:
            columns = tuple(np.asarray(columns[0]).T)
        arrays = [np.asarray(column) for column in columns]
        sizes = {a.shape for a in arrays}
        if len(sizes) != 1 or next(iter(sizes)) == (0,) or arrays[0].ndim != 1:
            raise ValueError(f"columns must be equally long, one-dimensional and not empty, got shapes {sorted(sizes)}")
        labels, codes = [], []
        for i, a in enumerate(arrays):
            if a.dtype.kind == "f" and np.isnan(a).any():
                raise ValueError(f"column {i} contains NaN; give missing values a label of their own")
            values, code = np.unique(a, return_inverse=True)
            labels.append(tuple(values.tolist()))
            codes.append(code)
        shape = tuple(len(values) for values in labels)
        if math.prod(shape) > MAX_CELLS:
            raise ValueError(
                f"the joint table of columns with {' x '.join(map(str, shape))} states would have more than "
                f"{MAX_CELLS:.0e} cells; bin the columns first, or estimate with plogp.estimate"
            )
        cells = np.bincount(np.ravel_multi_index(codes, shape), minlength=math.prod(shape))
        joint = cls.from_counts(cells.reshape(shape), names)
        return cls(joint.pmf, joint.names, states=dict(zip(joint.names, labels)))

    # -- other distributions from this one ------------------------------------------------------------------

    def marginal(self, *variables: Names) -> Joint:
        """Return the joint distribution of some of the variables, in the order asked for."""
        kept = self._names(variables)
        return self._with(self._table([(name,) for name in kept]), kept)

    def condition(self, **values: Hashable) -> Joint:
        """Return the distribution of the other variables given the state of some.

        Raises
        ------
        ValueError
            For an unknown variable or state, an event of probability 0, or no variable left.
        """
        index: list[Any] = [slice(None)] * len(self.names)
        for name, value in values.items():
            (known,) = self._names([name])
            if value not in self.states[known]:
                raise ValueError(f"{known} has no state {value!r}; its states are {_some(self.states[known])}")
            index[self.names.index(known)] = self.states[known].index(value)
        rest = tuple(name for name in self.names if name not in values)
        if not rest:
            raise ValueError("condition leaves no variable")
        part = self.pmf[tuple(index)]
        if not is_traced(part) and float(namespace(part).sum(part)) == 0:
            raise ValueError(f"the event {values} has probability 0")
        return Joint(part, rest, states={name: self.states[name] for name in rest}, normalize=True)

    def push(self, function: Callable[..., Hashable], *variables: Names, into: str) -> Joint:
        """Return the joint with `variables` replaced by one: a function of their states.

        States of the new variable are labelled by the function's values, in order of appearance.

        Parameters
        ----------
        function : callable
            Called with one state of each of `variables`.
        *variables : str
            Arguments of the function.
        into : str
            Name of the new variable, which becomes the last.

        Examples
        --------
        >>> dice = Joint(np.full((6, 6), 1 / 36), "XY").push(lambda x, y: x + y + 2, "X", "Y", into="sum")
        >>> dice.states["sum"][:3], round(float(dice.pmf[5]), 6)
        ((2, 3, 4), 0.166667)
        """
        arguments = self._names(variables)
        return self.define(into, function, *arguments).marginal(
            *(name for name in self.names if name not in arguments), into
        )

    def define(self, name: str, function: Callable[..., Hashable], *variables: Names) -> Joint:
        """Return the joint with one more variable, a function of `variables`, as its last axis.

        Examples
        --------
        >>> j = Joint(np.full((2, 2), 0.25), "XY").define("Z", lambda x, y: x ^ y, "X", "Y")
        >>> float(j.I("X", "Y", given="Z", base=2))
        1.0
        """
        arguments = self._names(variables)
        if name in self.names:
            raise ValueError(f"there is a variable {name!r} already")
        images = [function(*state) for state in itertools.product(*(self.states[n] for n in arguments))]
        labels = tuple(dict.fromkeys(images))
        codes = np.array([labels.index(image) for image in images])
        shape = [len(self.states[n]) for n in arguments]
        # One axis per argument in the order of this joint, then the new one; 1 elsewhere.
        onehot = np.moveaxis(
            np.eye(len(labels))[codes].reshape(*shape, len(labels)),
            range(len(arguments)),
            np.argsort(np.argsort([self.names.index(n) for n in arguments])).tolist(),
        )
        sizes = [len(self.states[n]) if n in arguments else 1 for n in self.names]
        indicator = floats(pmf=self.pmf, indicator=onehot.reshape(*sizes, len(labels)).tolist())[1][1]
        return self._with(self.pmf[..., None] * indicator, (*self.names, name), {name: labels})

    def channel(self, source: Names, to: Names) -> Channel:
        """Return the conditional distribution p(to|source) as a channel.

        A state of the source that never occurs leaves its row free; it is the marginal of `to` there.
        """
        table = self._table([self._names([source]), self._names([to])])
        xp = namespace(table)
        total = xp.sum(table, axis=-1)[:, None]
        live = total > 0
        marginal = xp.sum(table, axis=0)[None, :]
        return Channel(xp.where(live, table / xp.where(live, total, xp.ones_like(total)), marginal))

    # -- what it measures -----------------------------------------------------------------------------------

    def H(  # noqa: N802 - the field's name for entropy
        self, *variables: Names, given: Names = (), base: float | None = None
    ) -> Any:
        """Return the entropy of some variables (of all, if none is named), given others."""
        groups = [self._names(variables) if variables else self.names, self._names([given])]
        return information.conditional_entropy(self._table(groups), base=base)

    def I(  # noqa: E743, N802 - the field's name for mutual information
        self,
        a: Names,
        b: Names,
        given: Names = (),
        D: str | Dissimilarity = "kl",
        *,
        base: float | None = None,
    ) -> Any:
        """Return the mutual information of two groups of variables given a third, in any divergence.

        A variable may be on both sides: ``I("X", "X")`` is the self-information, H(X) for KL.
        """
        groups = [self._names([a]), self._names([b]), self._names([given])]
        table = self._table(groups)
        return information.conditional_mutual_information(table, divergence=D, base=base)

    def total_correlation(self, *variables: Names, base: float | None = None) -> Any:
        """Return the total correlation of some variables (all, if none is named)."""
        return multivariate.total_correlation(self._each(variables), base=base)

    def dual_total_correlation(self, *variables: Names, base: float | None = None) -> Any:
        """Return the dual total correlation."""
        return multivariate.dual_total_correlation(self._each(variables), base=base)

    def o_information(self, *variables: Names, base: float | None = None) -> Any:
        """Return the O-information: redundancy positive, synergy negative."""
        return multivariate.o_information(self._each(variables), base=base)

    def s_information(self, *variables: Names, base: float | None = None) -> Any:
        """Return the S-information, the sum of total and dual total correlation."""
        return multivariate.s_information(self._each(variables), base=base)

    def co_information(self, *variables: Names, base: float | None = None) -> Any:
        """Return the co-information: I(X;Y) - I(X;Y|Z) for three variables."""
        return multivariate.co_information(self._each(variables), base=base)

    def interaction_information(self, *variables: Names, base: float | None = None) -> Any:
        """Return McGill's interaction information: I(X;Y|Z) - I(X;Y) for three variables."""
        return multivariate.interaction_information(self._each(variables), base=base)

    def variation_of_information(self, a: Names, b: Names, *, base: float | None = None) -> Any:
        """Return H(a|b) + H(b|a)."""
        return association.variation_of_information(self._table([self._names([a]), self._names([b])]), base=base)

    def rajski_distance(self, a: Names, b: Names) -> Any:
        """Return (H(a|b) + H(b|a)) / H(a,b)."""
        return association.rajski_distance(self._table([self._names([a]), self._names([b])]))

    def independent(self, *variables: Names) -> Joint:
        """Return the product of the marginals of some variables (all, if none is named)."""
        names = self._names(variables) if variables else self.names
        product: Array = None
        for name in names:
            marginal = self._table([(name,)])
            product = marginal if product is None else product[..., None] * marginal
        return self._with(product, names)

    # -- inside ---------------------------------------------------------------------------------------------

    def _names(self, variables: Any) -> tuple[str, ...]:
        """Return the names that a name, a word of names, or a nest of them stands for; each once."""
        out: list[str] = []
        for item in [variables] if isinstance(variables, str) else variables:
            if isinstance(item, str) and item in self.names:
                out.append(item)
            elif isinstance(item, str) and item and all(letter in self.names for letter in item):
                out.extend(item)
            elif isinstance(item, str):
                raise ValueError(f"there is no variable {item!r}; the variables are {', '.join(self.names)}")
            else:
                out.extend(self._names(item))
        return tuple(dict.fromkeys(out))

    def _table(self, groups: Sequence[tuple[str, ...]]) -> Array:
        """Return the marginal with one axis per group; a variable in several groups is copied."""
        xp, pmf = namespace(self.pmf), self.pmf
        wanted = [name for group in groups for name in group]
        kept = [name for name in self.names if name in wanted]
        away = tuple(i for i, name in enumerate(self.names) if name not in wanted)
        table = xp.sum(pmf, axis=away) if away else pmf
        order = list(kept)
        for name in kept:
            for _ in range(wanted.count(name) - 1):  # copy: a second axis with mass only where the two agree
                axis, size = order.index(name), len(self.states[name])
                shape = [1] * len(order) + [size]
                shape[axis] = size
                eye = floats(pmf=pmf, eye=np.eye(size).tolist())[1][1]
                table = table[..., None] * xp.reshape(eye, tuple(shape))
                order.append(name)
        places = []
        for name in wanted:
            places.append(next(i for i, n in enumerate(order) if n == name and i not in places))
        shape_out = tuple(math.prod(len(self.states[name]) for name in group) for group in groups)
        return xp.reshape(xp.permute_dims(table, tuple(places)) if places else table, shape_out)

    def _each(self, variables: Sequence[Names]) -> Array:
        return self._table([(name,) for name in (self._names(variables) if variables else self.names)])

    def _with(self, pmf: Array, names: Sequence[str], states: Mapping[str, Sequence[Hashable]] | None = None) -> Joint:
        labels = {name: self.states[name] for name in names if name in self.states} | dict(states or {})
        return Joint(pmf, tuple(names), states=labels)

    def to_dict(self) -> dict[tuple[Hashable, ...], float]:
        """Return outcome -> probability for the outcomes that occur.

        >>> Joint([[0.5, 0.0], [0.0, 0.5]], "XY").to_dict()
        {(0, 0): 0.5, (1, 1): 0.5}
        """
        table = float64(self.pmf)
        labels = itertools.product(*(self.states[name] for name in self.names))
        return {state: float(p) for state, p in zip(labels, table.reshape(-1)) if p > 0}

    def __repr__(self) -> str:
        axes = ", ".join(f"{name}[{len(self.states[name])}]" for name in self.names)
        entropy = "" if is_traced(self.pmf) else f"; H={float(self.H()):.4g} nats"
        return f"Joint({axes}{entropy})"

    def __str__(self) -> str:
        rows = sorted(self.to_dict().items(), key=lambda row: -row[1])[:16]
        lines = ["  ".join((*self.names, "p"))]
        lines += ["  ".join((*(str(state) for state in outcome), f"{p:.4g}")) for outcome, p in rows]
        more = sum(1 for _ in self.to_dict()) - len(rows)
        return "\n".join([repr(self), *lines, *([f"... and {more} more outcomes"] if more else [])])


def _some(labels: Sequence[Hashable]) -> str:
    shown = ", ".join(repr(label) for label in labels[:6])
    return shown + (f" and {len(labels) - 6} more" if len(labels) > 6 else "")
