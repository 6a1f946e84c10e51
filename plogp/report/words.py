"""Numbers and names as a reader sees them, and the answer in words."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from plogp.measures.uncertainty import Estimate
from plogp.tables.results import Drift, Profile, Relation

__all__ = [
    "beside",
    "drift_answer",
    "interval",
    "listed",
    "number",
    "p_value",
    "percent",
    "profile_answer",
    "relation_answer",
    "shown",
]


def shown(text: str, width: int = 80) -> str:
    r"""Return `text` on one line of at most `width` characters, invisible and control characters spelt out.

    A name with a right-to-left override would otherwise turn the line around it.

    >>> shown("a\u202eb\n"), shown("x" * 9, 5)
    ('a\\u202eb\\n', 'xxxx…')
    """
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))
    return text if len(text) <= width else text[: width - 1] + "…"


def number(x: float | None, digits: int = 3) -> str:
    """Return a number with a few significant digits, infinities by their sign, None as a dash.

    >>> number(0.123456), number(1234567.0), number(-0.0000123), number(math.inf), number(None), number(0.0)
    ('0.123', '1.23e+06', '-1.23e-05', '∞', '–', '0')
    """
    if x is None:
        return "–"
    x = float(x)
    if math.isnan(x):
        return "not a number"
    if math.isinf(x):
        return "∞" if x > 0 else "-∞"
    if x != 0 and abs(x) < 1e-300:
        return "0"
    if 1000 <= abs(x) < 1e6:
        return f"{x:,.0f}"
    return f"{x:.{digits}g}"


def interval(low: float, high: float) -> str:
    """Return an interval with as many decimals as its width deserves.

    >>> interval(1.4142, 1.4263), interval(-6.4e-5, 1.97e-4), interval(-math.inf, 2.0), interval(1200.3, 1400.9)
    ('[1.414, 1.426]', '[-6.4e-05, 0.0002]', '[-∞, 2]', '[1,200, 1,401]')
    """
    decimals = _decimals(low, high)
    if decimals is None:
        return f"[{number(low, 2)}, {number(high, 2)}]"
    # An end that only rounds to zero keeps its sign and size.
    ends = (number(end, 2) if round(end, decimals) == 0 else f"{end:,.{decimals}f}" for end in (low, high))
    return f"[{', '.join(ends)}]"


def beside(value: float, low: float, high: float) -> str:
    """Return a number as it stands beside its interval: with no fewer decimals, or it could seem to lie outside.

    >>> beside(1.0986, 1.0937, 1.0996), beside(10.3461, 10.333, 10.359), beside(0.1234, 0.05, 0.2)
    ('1.0986', '10.346', '0.123')
    """
    said, decimals = number(value), _decimals(low, high)
    if decimals is None or not math.isfinite(value) or "e" in said or len(said.partition(".")[2]) >= decimals:
        return said
    return f"{value:,.{decimals}f}"


def _decimals(low: float, high: float) -> int | None:
    """Decimals that an interval deserves; None where its ends are better told by significant digits."""
    width = high - low
    if not math.isfinite(width) or width <= 0 or max(abs(low), abs(high)) < 1e-3:
        return None
    return min(max(1 - math.floor(math.log10(width)), 0), 6)


def p_value(p: float | None) -> str:
    """Return a p-value; below 1e-16 only its bound is meaningful.

    >>> p_value(0.0), p_value(0.0312), p_value(3.2e-9), p_value(None)
    ('< 1e-16', '0.031', '3.2e-09', '–')
    """
    if p is None or math.isnan(p):
        return "–"
    return "< 1e-16" if p < 1e-16 else f"{p:.2g}"


def counted(n: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "passage"), counted(1200, "passage")
    ('1 passage', '1,200 passages')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def percent(share: float) -> str:
    """Return a share in per cent: two significant digits below 10 %, else whole.

    >>> percent(0.0312), percent(0.5), percent(0.0), percent(0.00004), percent(0.9999)
    ('3.1 %', '50 %', '0 %', '0.004 %', '> 99 %')
    """
    if share <= 0:
        return "0 %"
    if share > 0.995 and share < 1:
        return "> 99 %"
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"


def listed(items: Sequence[str], most: int = 5) -> str:
    """Return items as a list in a sentence, the number beyond `most` counted; semicolons where items hold commas.

    >>> listed(["a"]), listed(["a", "b", "c"]), listed(list("abcdefg"), 3), listed(["a, b", "c", "d"])
    ('a', 'a, b and c', 'a, b, c and 4 more', 'a, b; c; and d')
    """
    some, left = list(items[:most]), len(items) - most
    if left > 0:
        some.append(f"{left} more")
    # A comma inside brackets does not mislead.
    commas = any("," in re.sub(r"\([^()]*\)", "", item) for item in some)
    if len(some) < 2:
        return "".join(some)
    return ("; " if commas else ", ").join(some[:-1]) + ("; and " if commas else " and ") + some[-1]


def _columns(n: int) -> str:
    return f"{n:,} column" + ("" if n == 1 else "s")


def _amount(e: Estimate, unit: str) -> str:
    e = e.to(unit) if e.unit == "nats" else e
    return f"{number(e.value)} {e.unit}".strip()


def _main_list(words: Sequence[str]) -> str:
    """Return what a headline lists: three items if five would be too long to be read at once."""
    return listed(words, 5 if len("".join(words[:5])) < 200 else 3)


def drift_answer(drift: Drift) -> list[str]:
    """Say how many columns changed beyond noise and how, largest first."""
    total, found = len(drift.rows), drift.drifted
    if not total:
        said = ["The two tables have no column in common."]
    elif found:
        words = [f"{shown(r.column, 40)} {r.how}".strip() for r in found]
        said = [f"{len(found)} of {_columns(total)} changed beyond noise: {_main_list(words)}."]
    else:
        who = f"None of the {_columns(total)}" if total > 1 else f"{shown(drift.rows[0].column, 40)} has not"
        said = [f"{who} changed beyond noise."]
    for names, side in ((drift.only_in_reference, "reference"), (drift.only_in_current, "current table")):
        if names:
            verb = "exists" if len(names) == 1 else "exist"
            said.append(f"{_columns(len(names))} {verb} only in the {side}: {listed([shown(n, 40) for n in names])}.")
    new = [f"{shown(r.column, 40)} ({len(r.new_categories)})" for r in drift.rows if r.new_categories]
    gone = [f"{shown(r.column, 40)} ({len(r.vanished_categories)})" for r in drift.rows if r.vanished_categories]
    if new:
        said.append(f"Categories not seen in the reference: {listed(new)}.")
    if gone:
        said.append(f"Categories that vanished: {listed(gone)}.")
    return said


def relation_answer(relation: Relation, unit: str = "nats") -> list[str]:
    """Say which columns carry information about the target, the most informative first."""
    target, rows = shown(relation.target, 40), relation.rows
    found = [r for r in rows if r.informative]
    entropy = relation.target_entropy
    if found:
        words = []
        for r in found:
            name, amount = shown(r.column, 40), _amount(r.mutual_information, unit)
            if entropy is None or not entropy.value > 0:
                words.append(f"{name} ({amount})")
                continue
            share = percent(min(r.mutual_information.to("nats").value / entropy.to("nats").value, 1.0))
            # What the share is of is said once.
            words.append(f"{name} ({share})" if words else f"{name} ({amount}, {share} of its entropy)")
        verb = "carries" if len(found) == 1 else "carry"
        said = [f"{len(found)} of {_columns(len(rows))} {verb} information about {target}: {_main_list(words)}."]
    else:
        said = [f"None of the {_columns(len(rows))} carries information about {target} beyond noise."]
    leaks = [shown(r.column, 40) for r in rows if r.leak]
    if leaks:
        verb = "determines" if len(leaks) == 1 else "determine"
        said.append(
            f"Possible leak: {listed(leaks)} (nearly) {verb} {target}; check that it is known before the target is."
        )
    if relation.dropped_rows:
        said.append(f"{relation.dropped_rows:,} of {relation.n_rows:,} rows have no target and were left out.")
    return said


def profile_answer(profile: Profile, unit: str = "nats") -> list[str]:
    """Say what the table holds: its kinds of columns, what is missing, and the strongest dependence."""
    kinds = Counter(c.kind for c in profile.columns)
    of_kinds = listed([f"{n} {kind}" for kind, n in kinds.most_common()], most=7)
    rows = f"{profile.n_rows:,} row" + ("" if profile.n_rows == 1 else "s")
    said = [f"{rows} and {_columns(len(profile.columns))}: {of_kinds}."]
    pairs = [p for p in profile.pairs if p.dependent]
    if pairs:
        best = max(pairs, key=lambda p: p.normalized)
        strongest = (
            f"{shown(best.a, 40)} with {shown(best.b, 40)} ({_amount(best.mutual_information, unit)}, "
            f"{percent(min(best.normalized, 1.0))} of the smaller entropy)."
        )
        if len(profile.pairs) == 1:
            said.append(f"The two columns depend on each other beyond noise: {strongest}")
        else:
            verb = "is" if len(pairs) == 1 else "are"
            said.append(
                f"{len(pairs):,} of {len(profile.pairs):,} pairs of columns {verb} dependent beyond noise; "
                f"the strongest is {strongest}"
            )
    elif len(profile.pairs) == 1:
        said.append(f"{shown(profile.pairs[0].a, 40)} and {shown(profile.pairs[0].b, 40)} share no more than noise.")
    elif profile.pairs:
        said.append(f"None of the {len(profile.pairs):,} pairs of columns depends on more than noise.")
    gaps = sorted((c for c in profile.columns if c.missing), key=lambda c: -c.missing)
    if gaps:
        words = [f"{shown(c.name, 40)} ({percent(c.missing_share)})" for c in gaps]
        said.append(f"Values are missing in {_columns(len(gaps))}: {listed(words)}.")
    constant = [shown(c.name, 40) for c in profile.columns if c.kind == "constant"]
    if constant:
        said.append(f"Constant: {listed(constant)}.")
    return said
