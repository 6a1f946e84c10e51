"""Names of divergences, and the one door to them: :func:`divergence`."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable
from typing import Any, overload

from plogp.measures import bregman, kl_family, power_family, quantum, transforms
from plogp.measures.divergence import Dissimilarity, Divergence

__all__ = ["divergence", "divergences"]


def _alpha(a: float = 0.5) -> Divergence:
    """`alpha`, with its limits `kl` at 1 and `reverse_kl` at 0."""
    limits: dict[float, type[Divergence]] = {1.0: kl_family.KL, 0.0: kl_family.ReverseKL}
    return limits[float(a)]() if float(a) in limits else power_family.Alpha(a)


def _renyi(alpha: float = 0.5) -> Dissimilarity:
    """`renyi`, with its limits `kl` at 1 and `max_divergence` at infinity."""
    limits: dict[float, type[Dissimilarity]] = {1.0: kl_family.KL, math.inf: transforms.MaxDivergence}
    return limits[float(alpha)]() if float(alpha) in limits else transforms.Renyi(alpha)


def _sandwiched(alpha: float = 2.0) -> Dissimilarity:
    """`sandwiched_renyi`, with its limit `umegaki` at 1."""
    return quantum.Umegaki() if float(alpha) == 1.0 else quantum.SandwichedRenyi(alpha)


def _tsallis(alpha: float = 2.0) -> Divergence:
    """Tsallis relative entropy [Σ p^α q^(1-α) - 1]/(α - 1) = α · alpha(α), for α > 0; an f-divergence."""
    if not alpha > 0:
        raise ValueError(f"alpha must be positive, got {alpha!r}")
    return float(alpha) * _alpha(alpha)


F_DIVERGENCES: dict[str, Callable[..., Divergence]] = {
    "kl": kl_family.KL,
    "reverse_kl": kl_family.ReverseKL,
    "jeffreys": kl_family.Jeffreys,
    "js": kl_family.JS,
    "gjs": kl_family.GJS,
    "skew_kl": kl_family.SkewKL,
    "skew_reverse_kl": kl_family.SkewReverseKL,
    "tv": power_family.TV,
    "chi2": power_family.Chi2,
    "neyman": power_family.Neyman,
    "hellinger": power_family.Hellinger,
    "le_cam": power_family.LeCam,
    "alpha": _alpha,
    "hockey_stick": power_family.HockeyStick,
    "arithmetic_geometric": kl_family.ArithmeticGeometric,
    "tsallis": _tsallis,
}

OTHERS: dict[str, Callable[..., Dissimilarity]] = {
    "renyi": _renyi,
    "bhattacharyya": transforms.Bhattacharyya,
    "chernoff": transforms.Chernoff,
    "fisher_rao": transforms.FisherRao,
    "js_distance": transforms.JSDistance,
    "hellinger_distance": transforms.HellingerDistance,
    "max_divergence": transforms.MaxDivergence,
    "hilbert": transforms.Hilbert,
    "cauchy_schwarz": transforms.CauchySchwarz,
    "bregman": bregman.Bregman,
    "squared_euclidean": bregman.SquaredEuclidean,
    "generalized_kl": bregman.GeneralizedKL,
    "itakura_saito": bregman.ItakuraSaito,
    "umegaki": quantum.Umegaki,
    "sandwiched_renyi": _sandwiched,
}


ALIASES: dict[str, str] = {
    "kullback_leibler": "kl",
    "forward_kl": "kl",
    "relative_entropy": "kl",
    "rkl": "reverse_kl",
    "fkl": "kl",
    "j": "jeffreys",
    "jeffrey": "jeffreys",
    "symmetric_kl": "jeffreys",
    "psi": "jeffreys",
    "iv": "jeffreys",
    "jensen_shannon": "js",
    "jsd": "js",
    "generalized_js": "gjs",
    "skew_js": "gjs",
    "skl": "skew_kl",
    "srkl": "skew_reverse_kl",
    "total_variation": "tv",
    "tvd": "tv",
    "statistical_distance": "tv",
    "chi_squared": "chi2",
    "chi_square": "chi2",
    "pearson": "chi2",
    "pearson_chi2": "chi2",
    "neyman_chi2": "neyman",
    "reverse_chi2": "neyman",
    "squared_hellinger": "hellinger",
    "hellinger_squared": "hellinger",
    "lecam": "le_cam",
    "triangular": "le_cam",
    "triangular_discrimination": "le_cam",
    "vincze": "le_cam",
    "cressie_read": "alpha",
    "power_divergence": "alpha",
    "amari": "alpha",
    "hockeystick": "hockey_stick",
    "e_gamma": "hockey_stick",
    "ag": "arithmetic_geometric",
    "tsallis_rel": "tsallis",
    "tsallis_relative_entropy": "tsallis",
    "sqrt_js": "js_distance",
    "jensen_shannon_distance": "js_distance",
    "renyi_divergence": "renyi",
    "bhattacharyya_distance": "bhattacharyya",
    "chernoff_information": "chernoff",
    "d_max": "max_divergence",
    "hilbert_metric": "hilbert",
    "cs": "cauchy_schwarz",
    "euclidean_squared": "squared_euclidean",
    "i_divergence": "generalized_kl",
    "quantum_relative_entropy": "umegaki",
}


@overload
def divergence(name: Divergence, **parameters: Any) -> Divergence: ...
@overload
def divergence(name: str | Dissimilarity, **parameters: Any) -> Any: ...
def divergence(name: str | Dissimilarity, **parameters: Any) -> Any:
    """Return a divergence by name, ready to be called, added, scaled, reversed and passed on.

    Parameters
    ----------
    name : str or divergence
        One of :func:`divergences`; hyphens, spaces, capitals and the usual long names are accepted. An object
        is returned as it is, so that every function of the library can take either.
    **parameters
        Of the family: ``pi`` of gjs, ``a`` of skew_kl, skew_reverse_kl and alpha, ``g`` of hockey_stick,
        ``alpha`` of renyi, tsallis and sandwiched_renyi, ``phi`` and ``dphi`` of bregman.

    Returns
    -------
    Divergence
        For f-divergences; another :class:`Dissimilarity` for the rest (Rényi, Chernoff, metrics, quantum).

    Raises
    ------
    ValueError
        For an unknown name (the nearest is suggested) or a parameter out of range.
    TypeError
        For a parameter that the family does not have.

    Examples
    --------
    >>> js = divergence("js")
    >>> p, q = [0.5, 0.5, 0.0], [0.25, 0.25, 0.5]
    >>> round(float(js(p, q)), 4), round(float(js(p, q, base=2)), 4), round(float(divergence("sqrt_js")(p, q)), 4)
    (0.2158, 0.3113, 0.4645)
    >>> divergence("Jensen-Shannon") == js
    True
    >>> divergence("kullback")
    Traceback (most recent call last):
    ValueError: unknown divergence 'kullback'; did you mean 'kullback_leibler'? plogp.divergences() lists all
    """
    if isinstance(name, Dissimilarity):
        if parameters:
            raise TypeError(f"parameters belong to a name; {name!r} is already built")
        return name
    if not isinstance(name, str):
        raise TypeError(f"name must be a string or a divergence, got {type(name).__name__}")
    key = name.strip().lower().replace("-", "_").replace(" ", "_")
    key = ALIASES.get(key, key)
    build = F_DIVERGENCES.get(key) or OTHERS.get(key)
    if build is None:
        near = difflib.get_close_matches(key, [*F_DIVERGENCES, *OTHERS, *ALIASES], n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown divergence {name!r}; {hint}plogp.divergences() lists all")
    try:
        inspect.signature(build).bind(**parameters)
    except TypeError as error:
        takes = ", ".join(inspect.signature(build).parameters) or "no parameters"
        raise TypeError(f"divergence {key!r} takes {takes}: {error}") from None
    return build(**parameters)


def divergences(kind: str | None = None) -> list[str]:
    """Return the names that :func:`divergence` knows.

    Parameters
    ----------
    kind : {None, "f", "other"}
        ``"f"``: f-divergences, which can be added and work in every method. ``"other"``: the rest. None: all.

    Examples
    --------
    >>> divergences("f")[:4]
    ['kl', 'reverse_kl', 'jeffreys', 'js']
    """
    groups = {None: [*F_DIVERGENCES, *OTHERS], "f": [*F_DIVERGENCES], "other": [*OTHERS]}
    if kind not in groups:
        raise ValueError(f"kind must be None, 'f' or 'other', got {kind!r}")
    return groups[kind]
