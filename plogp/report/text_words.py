"""The answer in words for texts."""

from __future__ import annotations

from plogp.report.readings import Reading
from plogp.report.text_comparison import TextComparison
from plogp.report.text_scores import ScoreRow
from plogp.report.words import beside, counted, interval, number, p_value, shown

__all__ = ["apart", "asked", "reading_answer", "text_comparison_answer"]

#: A repeat of this many characters is named in the answer.
LONG_REPEAT = 200
#: Level at which a score sets a text apart, before Bonferroni's correction for the scores that are asked.
LEVEL = 0.05
#: AUROC, known before the text is seen, from which a score is asked; one that tells nothing would only cost power.
TELLING = 0.9


def asked(r: Reading) -> list[ScoreRow]:
    """Return the scores that decide whether a text is set apart: those that tell the model's text from human text."""
    known = [s for s in r.scores if s.p_value == s.p_value]
    return [s for s in known if s.auc >= TELLING] or known


def apart(r: Reading) -> list[ScoreRow]:
    """Return the scores that set a text apart from human text, corrected for the number that were asked."""
    scores = asked(r)
    return [s for s in scores if s.p_value < LEVEL / len(scores)]


def _value(name: str, r: Reading) -> str:
    e = r[name].value
    if not e.has_interval:
        return number(e.value)
    low, high = e.interval()
    return f"{beside(e.value, low, high)} {interval(low, high)}"


def reading_answer(r: Reading) -> list[str]:
    """Say how predictable a text is, what stands out in it, and whether it reads as machine-written."""
    name = shown(r.source, 60)
    many = counted(r.n_chars, "character") + (f" in {r.documents:,} documents" if r.documents > 1 else "")
    xz = r["xz -9"].value.value
    said = [
        f"{name}: {many}; {_value('bits per byte', r)} bits per byte under {shown(r.model, 60)}, {number(xz)} under xz."
    ]
    known = asked(r)
    if known:
        first = min(known, key=lambda s: s.p_value)
        n = counted(first.passages, "passage")
        beyond = apart(r)
        asked_words = counted(len(known), "score")
        if known[0].auc >= TELLING:
            asked_words += f" whose AUROC is at least {TELLING}"
        if beyond:
            names = ", ".join(s.name for s in beyond[:3])
            said.append(
                f"It is more like the model's own text than human text is by chance: {names} (p = "
                f"{p_value(first.p_value)} over {n}, before correction for {asked_words})."
            )
        else:
            said.append(
                f"No score sets it apart from human text beyond chance ({n}; smallest p = {p_value(first.p_value)} of "
                f"{asked_words}), which is weak evidence: see how well each score tells them apart."
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
        # A token that begins inside a word says little by itself; the table has them all.
        whole = [s for s in c.shifts if not s.token[:1].isalnum()]
        more = [s for s in whole if s.first > s.second][:5]
        less = [s for s in whole if s.first < s.second][:5]
        for side, shifts in ((a, more), (b, less)):
            if shifts:
                tokens = ", ".join(f"“{shown(s.token.strip() or s.token, 20)}”" for s in shifts)
                said.append(f"{side} uses more: {tokens}.")
    return said
