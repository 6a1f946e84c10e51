"""The answer in words."""

from __future__ import annotations

import dataclasses
import math

import pytest

from plogp.report.words import (
    beside,
    drift_answer,
    interval,
    number,
    p_value,
    percent,
    profile_answer,
    relation_answer,
    shown,
)


def test_drift_counts_and_names_what_changed(handmade):
    said = drift_answer(handmade.drift(30, changed=2))
    assert said[0] == (
        "2 of 30 columns changed beyond noise: x0 mean up by 0.21 sd and " + handmade.EVIL + " mean up by 0.21 sd."
    )
    assert "1 column exists only in the reference: old." in said
    assert any("x4 (2)" in s and "not seen" in s for s in said)


def test_drift_says_so_when_nothing_changed(handmade):
    assert drift_answer(handmade.drift(30, changed=0))[0] == "None of the 30 columns changed beyond noise."
    one = handmade.drift(1, changed=0)
    assert drift_answer(one)[0] == "x0 has not changed beyond noise."
    empty = dataclasses.replace(one, rows=[])
    assert drift_answer(empty)[0] == "The two tables have no column in common."


def test_drift_lists_five_and_counts_the_rest(handmade):
    first = drift_answer(handmade.drift(30, changed=12))[0]
    assert first.startswith("12 of 30 columns changed")
    assert first.endswith("and 7 more.")


def test_relation_names_leaks_and_dropped_rows(handmade):
    said = relation_answer(handmade.relation())
    assert said[0].startswith("5 of 29 columns carry information about y: x0 (0.3 nats, 43 % of its entropy), ")
    assert said[0].endswith("x2 (4.8 %), x3 (2.7 %) and x4 (1.7 %).")
    assert any(s.startswith("Possible leak: x0 (nearly) determines y") for s in said)
    assert "37 of 50,000 rows have no target and were left out." in said
    none = dataclasses.replace(handmade.relation(), rows=[r for r in handmade.relation().rows if not r.informative])
    assert relation_answer(none)[0] == "None of the 24 columns carries information about y beyond noise."


def test_profile_names_kinds_missing_and_the_strongest_pair(handmade):
    said = profile_answer(handmade.profile())
    assert said[0] == "50,000 rows and 30 columns: 24 continuous and 6 categorical."
    assert any("62 of 435 pairs of columns are dependent" in s for s in said)
    assert any("(10 %)" in s and "Values are missing in 1 column" in s for s in said)


@pytest.mark.parametrize("evil", ["a\u202eb", "a\u2066b", "a\x00b", "a\x1b[31mb", "a\nb", "a\u200bb"])
def test_invisible_characters_are_spelt_out(evil):
    out = shown(evil)
    assert out.isprintable()
    assert "\\" in out


def test_numbers_never_lie_about_what_they_are():
    assert number(math.nan) == "not a number"
    assert number(-math.inf) == "-∞"
    assert p_value(1e-300) == "< 1e-16"
    assert percent(1e-9) != "0 %"
    assert percent(0.99999) == "> 99 %"
    assert percent(1.0) == "100 %"
    # Two ends of an interval are never shown as the same number unless they are.
    for low, high in ((1.4142, 1.4143), (0.0331, 0.0671), (-1e-9, 1e-9), (12_345.1, 12_346.9)):
        a, b = interval(low, high)[1:-1].rsplit(", ", 1)
        assert a != b


def test_a_number_never_seems_to_lie_outside_its_interval():
    for value, low, high in ((1.0986, 1.0937, 1.0996), (10.346, 10.333, 10.359), (26.9379, 26.9365, 26.9393)):
        shown_low, shown_high = map(float, interval(low, high)[1:-1].split(", "))
        assert shown_low <= float(beside(value, low, high)) <= shown_high
    assert beside(0.1234, 0.05, 0.2) == "0.123"
    assert beside(math.inf, 0.0, math.inf) == "∞"


def test_a_single_pair_is_said_in_the_singular():
    from plogp.tables import profile

    x = [i * i / 7 for i in range(200)]
    said = profile_answer(profile({"a": x, "b": x}))
    assert any(s.startswith("The two columns depend on each other beyond noise: a with b") for s in said)
    said = profile_answer(profile({"a": [1, 2] * 100, "b": [1, 1, 2, 2] * 50}))
    assert "a and b share no more than noise." in said
