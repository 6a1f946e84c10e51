"""The answer in words for texts."""

from __future__ import annotations

from plogp.report.readings import Reading
from plogp.report.text_comparison import TextComparison
from plogp.report.words import beside, interval, number, p_value, shown

__all__ = ["reading_answer", "text_comparison_answer"]

#: A repeat of this many characters is named in the answer.
LONG_REPEAT = 200
#: Level at which a score sets a text apart, before Bonferroni's correction for the number of scores.
LEVEL = 0.05


def _value(name: str, r: Reading) -> str:
    e = r[name].value
    if not e.has_interval:
        return number(e.value)
    low, high = e.interval()
    return f"{beside(e.value, low, high)} {interval(low, high)}"


def reading_answer(r: Reading) -> list[str]:
    """Say how predictable a text is, what stands out in it, and whether it reads as machine-written."""
    name = shown(r.source, 60)
    many = f"{r.n_chars:,} characters" + (f" in {r.documents:,} documents" if r.documents > 1 else "")
    xz = r["xz -9"].value.value
    said = [
        f"{name}: {many}; {_value('bits per byte', r)} bits per byte under {shown(r.model, 60)}, {number(xz)} under xz."
    ]
    known = [s for s in r.scores if s.p_value == s.p_value]
    if known:
        first = min(known, key=lambda s: s.p_value)
        n = f"{first.passages:,} passages" if first.passages > 1 else "1 passage"
        beyond = [s for s in known if s.p_value < LEVEL / len(known)]
        if beyond:
            names = ", ".join(s.name for s in beyond[:3])
            said.append(
                f"It is more like the model's own text than human text is by chance: {names} (p = "
                f"{p_value(first.p_value)} over {n}, before correction for {len(known)} scores)."
            )
        else:
            said.append(
                f"No score sets it apart from human text beyond chance ({n}; smallest p = {p_value(first.p_value)} of "
                f"{len(known)} scores), which is weak evidence: see how well each score tells them apart."
            )
    repeat = r["longest repeat"].value.value
    if repeat >= LONG_REPEAT:
        said.append(f"{name}: a passage of {repeat:,.0f} characters occurs twice.")
    if r.surprising:
        worst = r.surprising[0]
        words = shown(" ".join(worst.text.split()), 90)
        said.append(f"Most surprising, at {number(worst.bits_per_byte)} bits per byte: “{words}”")
    return said


def text_comparison_answer(c: TextComparison) -> list[str]:
    """Say whether two texts differ, in what, and how much more predictable one is."""
    a, b = shown(c.first, 60), shown(c.second, 60)
    if c.p_value != c.p_value:
        said = [f"{a} and {b}: too short to test whether they differ."]
    elif c.found:
        p = p_value(c.p_value)
        said = [f"{a} and {b} use tokens differently beyond noise (p {p if p.startswith('<') else '= ' + p})."]
    else:
        said = [f"{a} and {b} do not differ in their use of tokens beyond noise (p = {p_value(c.p_value)})."]
    e = c["bits per byte"].value
    if e.has_interval:
        low, high = e.interval()
        which = "neither is more predictable" if low <= 0 <= high else f"{a if e.value < 0 else b} is more predictable"
        said.append(
            f"Bits per byte differ by {beside(e.value, low, high)} {interval(low, high)} (first less second): {which}."
        )
    if c.shifts and c.found:
        more = [s for s in c.shifts if s.first > s.second][:5]
        less = [s for s in c.shifts if s.first < s.second][:5]
        for side, shifts in ((a, more), (b, less)):
            if shifts:
                tokens = ", ".join(f"“{shown(s.token.strip() or s.token, 20)}”" for s in shifts)
                said.append(f"{side} uses more: {tokens}.")
    return said
