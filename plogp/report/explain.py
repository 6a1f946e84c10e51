"""One line for each number on the page: what it is, its direction, unit, estimator and bins."""

from __future__ import annotations

from collections.abc import Iterable

from plogp.report.words import shown
from plogp.tables.results import Drift, Profile, Relation

__all__ = ["drift", "name_of", "pairs", "profile", "relation"]

NAMES = {
    "js": "JS",
    "kl": "KL",
    "psi": "PSI",
    "jeffreys": "PSI",
    "tv": "Total variation",
    "hellinger": "Hellinger",
    "chi2": "Chi-square",
}

Lines = list[tuple[str, str]]


def name_of(divergence: str) -> str:
    """Return what to call a divergence in a heading.

    >>> name_of("js"), name_of("le_cam")
    ('JS', 'Le cam')
    """
    known = NAMES.get(divergence)
    return known or shown(divergence.replace("_", " "), 40).capitalize()


def _methods(names: Iterable[str]) -> str:
    unique = list(dict.fromkeys(n for n in names if n))
    return f" Estimator: {'; '.join(shown(n, 120) for n in unique[:4])}." if unique else ""


def drift(result: Drift, unit: str) -> Lines:
    """Explain the drift table."""
    rows = result.rows
    out: Lines = []
    if result.divergence not in ("js", "kl", "psi", "jeffreys"):
        words = f"The divergence {result.divergence} from current to reference shares, D(reference ‖ current)."
        out.append((name_of(result.divergence), words + _methods(r.effect.method for r in rows)))
    most = {"nats": "0.693 nats", "bits": "1 bit", "bans": "0.301 bans"}[unit]
    out += [
        (
            "JS",
            f"Jensen-Shannon divergence of the binned shares (not its root): symmetric, from 0 to {most}, in {unit}."
            + _methods(r.js.method for r in rows),
        ),
        (
            "PSI",
            "Population stability index: the Jeffreys divergence KL(reference ‖ current) + KL(current ‖ reference) of "
            "the binned shares, always in nats; shares are smoothed from counts, so an empty bin is finite."
            + _methods(r.psi.method for r in rows),
        ),
        (
            "KL",
            f"KL(reference ‖ current) of the binned shares, in {unit}: the information lost when the reference is "
            "described by the current shares." + _methods(r.kl.method for r in rows),
        ),
        (
            "Wasserstein",
            "1-D Wasserstein-1 distance (how far the mass moved) in standard deviations of the reference; a dash for "
            "categories, which have no distance."
            + _methods(r.wasserstein.method for r in rows if r.wasserstein is not None),
        ),
        (
            "Adjusted p",
            "Probability of a divergence this large if nothing had changed, corrected for looking at "
            f"{len(rows):,} columns (false discovery rate).",
        ),
        ("Interval", "In square brackets, 95 %."),
        ("Bins", "Under each column's name, “how read” says how it was typed and binned; missing is a state."),
    ]
    return out


def relation(result: Relation, unit: str) -> Lines:
    """Explain the target table."""
    rows = result.rows
    out: Lines = [
        (
            "Mutual information",
            f"How much knowing the column reduces the uncertainty about {shown(result.target, 60)}, in {unit}, "
            "corrected for its bias; negative values are not distinguishable from 0."
            + _methods(r.mutual_information.method for r in rows),
        )
    ]
    if any(r.information_value is not None for r in rows):
        methods = _methods(r.information_value.method for r in rows if r.information_value is not None)
        out += [
            (
                "Information value",
                "Jeffreys divergence between the column's shares among events and non-events, in nats, smoothed from "
                "counts." + methods,
            ),
            ("WoE", "Weight of evidence: ln(share of events / share of non-events); positive means more events."),
        ]
    out += [
        ("Adjusted p", f"Test of independence, corrected for {len(rows):,} columns (false discovery rate)."),
        ("Possible leak", "The column (nearly) determines the target: check that it is known before the target is."),
    ]
    return out


def profile(result: Profile, unit: str) -> Lines:
    """Explain the table of columns."""
    return [
        (
            "Entropy",
            f"Uncertainty of the column in {unit}; of a continuous column the differential entropy of its density, "
            "which depends on the column's unit of measurement and may be negative."
            + _methods(c.entropy.method for c in result.columns),
        ),
        ("Kind", "How the column was read, with the reason below; wrong ones are put right with --as name=kind."),
        ("Missing", "Share of rows without a value; in the figure the bar at the right."),
        ("Distinct", "Number of different values."),
    ]


def pairs(result: Profile, unit: str) -> Lines:
    """Explain the dependence of pairs."""
    return [
        (
            "Mutual information",
            f"How much the two columns tell about each other, in {unit}, corrected for its bias."
            + _methods(p.method for p in result.pairs),
        ),
        ("Share", "Mutual information of the counted states over the smaller of their entropies; 100 % is a function."),
        ("Adjusted p", f"Test of independence, corrected for {len(result.pairs):,} pairs (false discovery rate)."),
    ]
