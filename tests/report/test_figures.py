"""Inline SVG: well formed, escaped, true to the counts."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from plogp.report import figures
from plogp.tables.results import Histogram

NS = "{http://www.w3.org/2000/svg}"
EVIL = '"><script>alert(1)</script>'


def parse(markup) -> ET.Element:
    return ET.fromstring(str(markup))


def heights(path: str) -> list[float]:
    return [float(y) for y in re.findall(r"V([\d.]+)H", path)]


def test_overlay_draws_shares_of_categories():
    h = Histogram(["a", "b", "c"], [50, 25, 25])
    root = parse(figures.overlay(h, h, "x", width=90, height=40))
    ref = heights(root.find("path[@class='ref']").get("d"))
    cur = heights(root.find("path[@class='cur']").get("d"))
    assert ref == cur
    drawn = [39.5 - y for y in ref]
    assert drawn[1] == pytest.approx(drawn[0] / 2, abs=0.2)
    assert drawn[1] == drawn[2]


def test_overlay_draws_density_over_true_edges():
    # Equal counts in a narrow and a wider bin: the narrow one is taller by the ratio of the widths.
    h = Histogram(["(0, 1]", "(1, 2.5]"], [10, 10], [0.0, 1.0, 2.5])
    root = parse(figures.overlay(h, None, "x", height=400))
    tall, flat = (399.5 - y for y in heights(root.find("path[@class='ref']").get("d")))
    assert tall == pytest.approx(1.5 * flat, rel=0.01)


def test_a_long_tail_leaves_the_rest_visible_and_areas_are_shares():
    counts = [5, 10, 40, 30, 10, 5]
    h = Histogram([str(i) for i in range(6)], counts, [0.0, 1.0, 2.0, 3.0, 5.0, 50.0, 1e6])
    d = parse(figures.overlay(h, None, "x", height=400)).find("path[@class='ref']").get("d")
    ys = [399.5 - y for y in heights(d)]
    xs = [0.0, *(float(x) for x in re.findall(r"H([\d.]+)", d))]
    widths = [b - a for a, b in pairwise(xs)]
    assert min(widths) > 0.05 * sum(widths)
    areas = [w * y for w, y in zip(widths, ys)]
    assert [a / sum(areas) for a in areas] == pytest.approx([c / 100 for c in counts], abs=0.005)


@pytest.mark.parametrize(
    "edges",
    [
        [-math.inf, 0.0, 1.0, math.inf],
        [-math.inf, 0.0, 0.0 + 5e-324, math.inf],
        [0.0, 1e300, 1.7e308, math.inf],
        [-1e-300, 0.0, 1e-300, 2e-300],
    ],
)
def test_overlay_survives_extreme_edges(edges):
    h = Histogram(["a", "b", "c", "(missing)"], [1, 2, 3, 4], edges)
    text = str(figures.overlay(h, h, "x"))
    parse(text)
    assert "nan" not in text
    assert "inf" not in text


def test_overlay_of_nothing_and_of_one_state():
    parse(figures.overlay(Histogram([], []), None, "empty"))
    parse(figures.overlay(Histogram(["a"], [0]), None, "zero"))
    parse(figures.overlay(Histogram(["only", "(missing)"], [0, 7]), None, "all missing"))


def test_overlay_pools_many_categories_and_stays_small():
    n = 5_000
    h = Histogram([f"city {i}" for i in range(n)], [n - i for i in range(n)])
    text = str(figures.overlay(h, h, "x"))
    assert len(text) < 1_500


def test_missing_values_are_a_bar_of_their_own():
    h = Histogram(["a", "(missing)"], [75, 25])
    assert parse(figures.overlay(h, None, "x")).find("path[@class='ref miss']") is not None
    none = Histogram(["a", "(missing)"], [100, 0])
    assert parse(figures.overlay(none, None, "x")).find("path[@class='ref miss']") is None


def test_overlay_refuses_different_states():
    with pytest.raises(ValueError, match="same labels"):
        figures.overlay(Histogram(["a"], [1]), Histogram(["b"], [1]), "x")


def test_every_text_is_escaped_and_every_figure_named():
    h = Histogram([EVIL], [1])
    made = [
        figures.overlay(h, h, EVIL),
        figures.dot(0.5, 0.4, 0.6, (0.0, 1.0), EVIL),
        figures.bars([0.1, 0.2], [EVIL, "b"], EVIL),
        figures.heat_map([EVIL, "b"], {(EVIL, "b"): 0.5}, EVIL),
    ]
    for markup in made:
        assert "<script" not in str(markup)
        root = parse(markup)
        assert root.get("role") == "img"
        assert root.get("aria-label").startswith('">')


def test_dot_stays_on_its_axis():
    for value, low, high in ((0.5, 0.1, 0.9), (-5.0, -9.0, 7.0), (math.inf, 0.0, math.inf)):
        if not math.isfinite(value):
            continue
        root = parse(figures.dot(value, low, high, (-0.1, 1.0), "x"))
        assert 0 <= float(root.find("circle").get("cx")) <= 112


def test_infinite_values_are_drawn_at_the_edge():
    root = parse(figures.dot(math.inf, 0.1, math.inf, (0.0, 1.0), "x"))
    assert float(root.find("circle").get("cx")) == 108


def test_lines_leave_out_what_is_not_finite():
    series = {"x": [1, 2, 3], "curves": {EVIL: [0.0, math.nan, 2.0], "flat": [1, 1, 1]}, "xlabel": EVIL, "ylabel": "y"}
    text = str(figures.lines(series, "a"))
    assert "<script" not in text
    assert "nan" not in text
    root = parse(text)
    assert [p.get("d").count("L") for p in root.iter("path") if "line" in p.get("class")] == [1, 2]
    assert str(figures.lines({"x": [1], "curves": {"a": [math.nan]}}, "a")) == ""
    parse(figures.lines({"x": ["a", "b"], "curves": {"c": [1, 2]}}, "words"))
