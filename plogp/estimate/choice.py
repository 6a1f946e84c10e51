"""The choice of an estimator: which names there are for each measure, and what ``method="auto"`` takes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from plogp.estimate.combined import (
    binned_mutual_information,
    from_columns,
    o_information_gaussian,
    o_information_ksg,
    ross_either_way,
    transfer_entropy_from_labels,
)
from plogp.estimate.conditional import frenzel_pompe, transfer_entropy_knn
from plogp.estimate.counts import encode
from plogp.estimate.density import kde_entropy
from plogp.estimate.entropies import STRATEGIES
from plogp.estimate.gaussian import (
    copula_mutual_information,
    gaussian_conditional_mutual_information,
    gaussian_entropy,
    gaussian_mutual_information,
    gaussian_total_correlation,
    gaussian_transfer_entropy,
)
from plogp.estimate.knn import kozachenko_leonenko, weighted_kozachenko_leonenko
from plogp.estimate.ksg import ksg, total_correlation_ksg
from plogp.estimate.learned import register_learned
from plogp.estimate.mixed import gao
from plogp.estimate.registry import Variable, find, prepare, register
from plogp.measures.uncertainty import Estimate

__all__ = ["Seed", "estimate"]

Seed = np.random.Generator | int | None


def _within_states(
    x: Any, y: Any, z: Any, *, rng: Seed = None, names: Sequence[str] = ("x", "y", "z"), **options: Any
) -> Estimate:
    """I(X;Y|Z) for labels z as Σ p(z) I(X;Y|Z=z), each term by the method that suits x and y."""
    codes, labels = encode(z, names[2])
    generator = None if rng is None else np.random.default_rng(rng)
    parts, shares, skipped = [], [], 0
    for state in range(len(labels)):
        here = codes == state
        if here.sum() < 10:
            skipped += int(here.sum())
            continue
        pair = prepare(**{names[0]: x[here], names[1]: y[here]})
        parts.append(estimate("mutual_information", pair, "auto", generator, options))
        shares.append(float(here.mean()))
    if not parts:
        raise ValueError(
            f"every state of {names[2]} has fewer than 10 samples: the conditional information cannot be estimated; "
            f"merge rare states of {names[2]}, or convert ordered numbers to float"
        )
    total = sum(shares)
    value = sum(w * e.value for w, e in zip(shares, parts)) / total
    # Sampling error within the states, and of how often each state is seen.
    within = sum((w / total * (e.se or 0.0)) ** 2 for w, e in zip(shares, parts))
    between = sum(w / total * (e.value - value) ** 2 for w, e in zip(shares, parts)) / len(codes)
    facts = {"states": len(parts), "dropped": skipped}
    return Estimate(
        value, math.sqrt(within + between), len(codes) - skipped, f"within z: {parts[0].method}", diagnostics=facts
    )


def _register_all() -> None:
    for name in STRATEGIES:
        for measure in (
            "entropy",
            "conditional_entropy",
            "mutual_information",
            "conditional_mutual_information",
            "total_correlation",
            "dual_total_correlation",
            "o_information",
            "interaction_information",
        ):
            register(measure, name, partial(from_columns, measure, name), "discrete")
        register("transfer_entropy", name, partial(transfer_entropy_from_labels, name), "discrete")
    register("entropy", "kozachenko_leonenko", kozachenko_leonenko, "continuous")
    register("entropy", "weighted_kozachenko_leonenko", weighted_kozachenko_leonenko, "continuous")
    register("entropy", "gaussian", gaussian_entropy, "continuous")
    register("entropy", "kde", kde_entropy, "continuous")
    register("mutual_information", "ksg", ksg, "continuous")
    register("mutual_information", "ksg1", partial(ksg, variant=1), "continuous")
    register("mutual_information", "ksg2", partial(ksg, variant=2), "continuous")
    register("mutual_information", "gao", gao, "any")
    register("mutual_information", "ross", ross_either_way, "mixed")
    register("mutual_information", "gaussian", gaussian_mutual_information, "continuous")
    register("mutual_information", "copula", copula_mutual_information, "continuous")
    register("mutual_information", "binned", binned_mutual_information, "any")
    register("conditional_mutual_information", "frenzel_pompe", frenzel_pompe, "continuous")
    register("conditional_mutual_information", "gaussian", gaussian_conditional_mutual_information, "continuous")
    register("conditional_mutual_information", "within_states", _within_states, "any")
    register("transfer_entropy", "frenzel_pompe", transfer_entropy_knn, "continuous")
    register("transfer_entropy", "gaussian", gaussian_transfer_entropy, "continuous")
    register("total_correlation", "ksg", total_correlation_ksg, "continuous")
    register("total_correlation", "gaussian", gaussian_total_correlation, "continuous")
    register("o_information", "ksg", o_information_ksg, "continuous")
    register("o_information", "gaussian", o_information_gaussian, "continuous")


_register_all()
register_learned()

#: Method by measure and kind of data, for ``method="auto"``.
_AUTO = {
    "entropy": {"discrete": "chao_wang_jost", "continuous": "kozachenko_leonenko"},
    "conditional_entropy": {"discrete": "chao_wang_jost"},
    "mutual_information": {"discrete": "chao_wang_jost", "continuous": "ksg", "mixed": "ross"},
    "conditional_mutual_information": {
        "discrete": "chao_wang_jost",
        "continuous": "frenzel_pompe",
        "mixed": "within_states",
    },
    "transfer_entropy": {"discrete": "chao_wang_jost", "continuous": "frenzel_pompe"},
    "total_correlation": {"discrete": "chao_wang_jost", "continuous": "ksg"},
    "dual_total_correlation": {"discrete": "chao_wang_jost"},
    "o_information": {"discrete": "chao_wang_jost", "continuous": "ksg"},
    "interaction_information": {"discrete": "chao_wang_jost"},
}
#: Nearest neighbours, whose distances an outlier or a heavy tail spoils; their measures do not change on ranks.
_ON_RANKS = {"ksg", "ross", "frenzel_pompe"}
#: Methods that repeated values break.
_NEEDS_DENSITY = {"kozachenko_leonenko", "weighted_kozachenko_leonenko", "ksg", "ksg1", "ksg2", "ross", "frenzel_pompe"}


def estimate(measure: str, variables: list[Variable], method: str, rng: Seed, options: dict[str, Any]) -> Estimate:
    """Choose the method, check that it suits the data, and call it."""
    kinds = {v.discrete for v in variables}
    kind = "mixed" if len(kinds) == 2 else "discrete" if kinds == {True} else "continuous"
    if method == "auto":
        if kind not in _AUTO[measure]:
            which = ", ".join(f"{v.name}: {'discrete' if v.discrete else 'continuous'}" for v in variables)
            raise TypeError(
                f"no method estimates the {measure.replace('_', ' ')} of {kind} variables ({which}); "
                "bin the continuous ones, or convert labels that are numbers to float"
            )
        method = _AUTO[measure][kind]
        if method in _ON_RANKS:
            options = {"scale": "rank", **options}
        if measure == "conditional_mutual_information" and kind == "mixed" and not variables[2].discrete:
            raise TypeError(
                "z is continuous while x or y is discrete: no method of this room handles that; "
                "bin z to condition on its bins, or convert labels that are ordered numbers to float"
            )
    chosen = find(measure, method)
    forced = chosen.suits == "discrete" and all(v.discrete or v.whole for v in variables)  # whole floats as labels
    if chosen.suits not in ("any", kind) and not forced:
        raise TypeError(f"method {chosen.name!r} is for {chosen.suits} variables; these are {kind}")
    if chosen.name in _NEEDS_DENSITY and not options.get("jitter"):
        for v in variables:
            if v.whole:
                raise ValueError(
                    f"{v.name} is float but holds whole numbers with repeats: counts or categories, which have no "
                    f"density. Convert {v.name} to integers to count them"
                    + (", or method='gao' for a mixture" if measure == "mutual_information" else "")
                    + ", or jitter=1e-10 to break the ties by noise"
                )
    takes = inspect.signature(chosen.estimate).parameters
    if "rng" in takes:
        options = {**options, "rng": rng}
    if "names" in takes:  # for messages
        options = {**options, "names": [v.name for v in variables]}
    return chosen.estimate(*(v.values for v in variables), **options)
