"""The page and the JSON document, from hand-made results."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import json
import math
import re
from html.parser import HTMLParser

import jsonschema
import pytest

from plogp.report.document import estimate, schema


class Reader(HTMLParser):
    """Collects what a reader without scripts sees, and every tag with its attributes."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style", "title"):
            self.inside.append(tag)

    def handle_endtag(self, tag):
        if self.inside and self.inside[-1] == tag:
            self.inside.pop()

    def handle_data(self, data):
        if not self.inside:
            self.words.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


@pytest.fixture
def page(made) -> str:
    return made().html


def test_nothing_is_fetched_and_only_its_own_script_runs(page):
    reader = read(page)
    assert not [
        t for t, a in reader.tags if t in ("img", "iframe", "object", "embed", "form", "base", "audio", "video")
    ]
    for _, attrs in reader.tags:
        for name, value in attrs.items():
            assert not name.startswith("on"), name
            if name in ("src", "href", "srcset", "action", "data", "poster", "xlink:href"):
                assert value.startswith(("#", "data:,")), (name, value)
    assert "@import" not in page
    assert "url(" not in page
    policy = next(a["content"] for t, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    # A style attribute would be blocked by the policy.
    assert not [t for t, a in reader.tags if "style" in a]


def test_hostile_names_are_text(page, handmade):
    reader = read(page)
    assert sum(t == "script" for t, _ in reader.tags) == 1
    text = "".join(reader.words)
    assert handmade.EVIL in text
    assert "new <i>column</i>" in text
    assert handmade.QUOTES in text
    for c in page:
        assert c.isprintable() or c in "\n", repr(c)


def test_it_starts_with_the_answer_and_is_whole_without_scripts(page, made):
    reader = read(page)
    text = " ".join(" ".join(reader.words).split())
    report = made()
    for sentence in report.answer:
        assert sentence in text
    assert text.index(report.answer[0]) < text.index("What changed") < text.index("What each column says")
    assert "made offline" in text
    assert "a" * 64 in text
    assert "not a file, so no SHA-256" in text
    assert "seed 0" in text
    for row in report.drift.rows:
        assert row.column.replace("\u202e", "\\u202e") in text
    # No control is dead: buttons and inputs are made by the script.
    assert not [t for t, _ in reader.tags if t in ("button", "input")]


def test_it_is_accessible(page):
    reader = read(page)
    tags = reader.tags
    assert ("html", {"lang": "en"}) in tags
    assert sum(t == "h1" for t, _ in tags) == 1
    assert all("aria-label" in a and a.get("role") == "img" for t, a in tags if t == "svg")
    heads = [a for t, a in tags if t == "th"]
    assert heads
    assert all(a.get("scope") in ("row", "col") for a in heads)
    assert any(a.get("name") == "viewport" for t, a in tags if t == "meta")
    assert all("tabindex" in a and "aria-label" in a for t, a in tags if t == "div" and a.get("class") == "box")
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_dark_light_phone_and_print_are_styled(page):
    for rule in ("prefers-color-scheme:dark", "max-width:40rem", "@media print", "overflow-x:auto"):
        assert rule in page


def contrast(a: str, b: str) -> float:
    def luminance(colour: str) -> float:
        colour = colour.lstrip("#")
        colour = "".join(c * 2 for c in colour) if len(colour) == 3 else colour
        parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    x, y = sorted((luminance(a), luminance(b)))
    return (y + 0.05) / (x + 0.05)


def test_text_has_contrast_in_both_schemes(page):
    schemes = re.findall(r":root\{([^}]*)\}", page)[:2]
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+):(#\w+)", scheme))
        for ink, ground in (("ink", "bg"), ("soft", "bg"), ("soft", "card"), ("cur", "bg"), ("warn", "warnbg")):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)


def test_it_is_small(made):
    assert len(made(30).html.encode()) < 300_000


def test_wide_tables_fold_after_fifty_figures(made):
    report = made(300)
    page = report.html
    text = " ".join(" ".join(read(page).words).split())
    assert "250 more columns without a figure (figures are drawn for the largest 50)" in text
    assert page.count('svg class="fig overlay"') == 100  # 50 of the drift table, 50 of the columns
    assert "x299" in text
    assert len(page.encode()) < 1_000_000


def test_document_is_strict_and_valid(made):
    text = made().json
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(document, schema())
    row = document["drift"][0]
    assert set(row["js"]) == {"value", "low", "high", "unit"}
    assert {"column", "kind", "psi", "js", "kl", "wasserstein", "p_value", "drifted"} <= set(row)
    assert {"name", "kind", "n", "missing", "entropy"} <= set(document["columns"][0])
    assert {"a", "b", "mutual_information"} <= set(document["pairs"][0])
    assert {"column", "mutual_information", "information_value", "p_value"} <= set(document["target"][0])


def test_document_holds_what_json_cannot(made, handmade):
    report = made(3)
    rows = report.drift.rows
    report.drift.rows[0] = dataclasses.replace(
        rows[0], kl=handmade.estimate(math.inf, 0.0), p_value=math.nan, p_adjusted=math.nan
    )
    report.profile.columns[0].summary["max"] = math.inf
    document = json.loads(report.json, parse_constant=lambda name: pytest.fail(name))
    jsonschema.validate(document, schema())
    assert document["drift"][0]["kl"]["value"] == "inf"
    assert document["drift"][0]["p_value"] == "nan"
    assert "∞" in report.html


def test_page_and_document_show_the_same_numbers(made):
    report = made(5)
    page = html.unescape(report.html)
    for row in json.loads(report.json)["drift"]:
        assert f"{row['effect']['value']:.3g}" in page
        assert f"{row['psi']['value']:.3g}" in page


def test_bits_convert_what_is_in_nats_and_nothing_else(made):
    nats, bits = made(5), made(5, unit="bits")
    a, b = json.loads(nats.json)["drift"][0], json.loads(bits.json)["drift"][0]
    assert (a["js"]["unit"], b["js"]["unit"], b["psi"]["unit"], b["wasserstein"]["unit"]) == (
        "nats",
        "bits",
        "nats",
        "",
    )
    assert b["js"]["value"] == pytest.approx(a["js"]["value"] / math.log(2))
    assert b["js"]["high"] == pytest.approx(a["js"]["high"] / math.log(2))
    assert b["psi"] == a["psi"]
    assert f"{b['js']['value']:.3g}" in bits.html
    assert "bits" in " ".join(bits.answer)


def test_estimate_keeps_sign_and_lacks_what_is_unknown(handmade):
    e = estimate(handmade.estimate(-0.001, 0.01))
    assert e["value"] < 0
    assert e["low"] < 0 < e["high"]
    assert estimate(None) is None


def test_interrupted_report_says_so(made):
    report = made(4)
    report.relation = report.profile = None
    report.__dict__.pop("document", None)
    report.interrupted = True
    text = " ".join(read(report.html).words)
    assert "The run was interrupted" in text
    assert json.loads(report.json)["interrupted"] is True
    jsonschema.validate(json.loads(report.json), schema())


def test_notebook_form_is_framed(made, handmade):
    shown = made(4)._repr_html_()
    assert shown.startswith("<iframe")
    assert handmade.EVIL not in shown
    assert shown.count("<") == 2
