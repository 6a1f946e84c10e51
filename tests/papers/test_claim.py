"""The claim decorator and its results."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from plogp.papers import claim as claims
from plogp.papers.claim import Claim, Result, claim, claims_of
from plogp.papers.run import Outcome, document, reproduce, select


@pytest.fixture(autouse=True)
def _keep_registry(monkeypatch):
    monkeypatch.setattr(claims, "_registry", {k: dict(v) for k, v in claims._registry.items()})


def good(seed: int = 0) -> Result:
    """One is one."""
    return Result(
        measured=np.float64(1.0), expected=1, criterion="equal", passed=np.bool_(True), details={"seed": seed}
    )


def test_results_become_plain_values():
    r = Result({"a": np.arange(2)}, [np.float32(0.5)], "c", np.bool_(False), details={"x": (1, 2)})
    assert r.measured == {"a": [0, 1]}
    assert r.details == {"x": [1, 2]}
    assert r.passed is False
    assert r.status == "failed"
    json.dumps(r.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"passed": 1}, "passed must be True or False"),
        ({"measured": None}, "measured must be a number"),
        ({"measured": "good"}, "measured must be a number"),
        ({"measured": object()}, "measured must be a number, text, list"),
        ({"criterion": "  "}, "criterion must say"),
        ({"measured": math.nan}, "NaN cannot have passed"),
        ({"measured": {"a": [1.0, math.nan]}}, "NaN cannot have passed"),
        ({"reproduced": False}, "needs passed=False and a note"),
        ({"reproduced": False, "passed": False}, "needs passed=False and a note"),
        ({"details": [1]}, "details must be a mapping"),
        ({"series": {"x": [1]}}, "'x' and 'curves'"),
        ({"series": {"x": [1], "curves": {"a": [1, 2]}}}, "must be a list of 1 numbers"),
        ({"series": {"x": [1], "curves": {"a": [1]}, "title": "t"}}, "unknown entries"),
        ({"series": {"x": [1], "curves": {}}}, "non-empty"),
    ],
)
def test_contradictory_results_are_refused(changes, message):
    fields = {"measured": 1.0, "expected": 1.0, "criterion": "equal", "passed": True} | changes
    with pytest.raises((TypeError, ValueError), match=message):
        Result(**fields)


def test_decorator_registers_and_returns_the_function():
    returned = claim("some-paper", kind="exact", slow=True)(good)
    assert returned is good
    made = claims._registry["some_paper"]["good"]
    assert (made.kind, made.slow, made.statement, made.slug) == ("exact", True, "One is one.", "some-paper")


def test_decorator_refuses_what_nobody_could_run():
    with pytest.raises(ValueError, match="kind must be one of exact"):
        claim("x", kind="sure")

    def no_seed() -> Result:
        """Words."""
        return good()

    with pytest.raises(TypeError, match="seed"):
        claim("x", kind="exact")(no_seed)

    def no_words(seed: int = 0) -> Result:
        return good(seed)

    with pytest.raises(ValueError, match="docstring"):
        claim("x", kind="exact")(no_words)


def test_a_paper_without_a_file_has_no_claims():
    assert claims_of("no-such-paper", "measures") == []
    assert claims_of("no-such-paper", "no_such_room") == []


class _Row:
    slug, seed, room, title, link = "p", 1, "measures", "T", ""

    def citation(self) -> str:
        return "c"


def _claims(*functions):
    return [(_Row(), Claim("p", f.__name__, "exact", False, "s", f)) for f in functions]


def failing(seed: int = 0) -> Result:
    return Result(math.inf, 1.0, "equal", False)


def unlucky(seed: int = 0) -> Result:
    return Result(0.3, 0.5, "at least 0.5", False, reproduced=False, note="too small a scale")


def broken(seed: int = 0) -> Result:
    raise RuntimeError("no\nluck")


def empty(seed: int = 0) -> Result:
    return None  # type: ignore[return-value]


def test_reproduce_reports_every_kind_of_end():
    outcomes = list(reproduce(_claims(good, failing, unlucky, broken, empty), seed=7))
    assert [o.status for o in outcomes] == ["passed", "failed", "not reproduced", "error", "error"]
    assert [o.ok for o in outcomes] == [True, False, True, False, False]
    assert outcomes[0].result.details == {"seed": 7}
    assert outcomes[3].error.startswith("RuntimeError")
    assert "must return a Result" in outcomes[4].error
    doc = document(outcomes, skipped_slow=3)
    assert json.loads(json.dumps(doc, allow_nan=False)) == doc
    assert doc["counts"] == {"passed": 1, "failed": 1, "not reproduced": 1, "error": 2}
    assert doc["claims"][1]["measured"] == "inf"


def test_an_interrupt_keeps_what_is_finished():
    def stop(seed: int = 0) -> Result:
        raise KeyboardInterrupt

    steps = reproduce(_claims(good, stop, good))
    assert isinstance(next(steps), Outcome)
    with pytest.raises(KeyboardInterrupt):
        next(steps)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one"),
        ({"slugs": ["hf-diff"], "room": "measures"}, "exactly one"),
        ({"slugs": ["hf-diff"]}, "planned, not working yet"),
        ({"slugs": ["nonsense-paper"]}, "no paper"),
        ({"room": "adapt"}, "no paper of room 'adapt' works yet"),
        ({"room": "kitchen"}, "no room"),
    ],
)
def test_select_refuses_what_cannot_be_run(arguments, message):
    with pytest.raises(ValueError, match=message):
        select(**arguments)
