"""Estimates: units, intervals, arithmetic, and what they print."""

import math

import numpy as np
import pytest

from plogp import Estimate
from plogp.measures.uncertainty import Draws, Normal, convert_unit


def test_normal_and_t_intervals_against_scipy():
    from scipy import stats

    low, high = Estimate(1.0, se=0.2, n=10).interval(0.9)
    assert (low, high) == pytest.approx(stats.norm(1.0, 0.2).interval(0.9))
    law = Normal(1.0, 0.2, df=4)
    assert law(0.95) == pytest.approx(stats.t(4, 1.0, 0.2).interval(0.95))


def test_units_convert_value_error_and_interval():
    e = Estimate(math.log(2), se=0.1, n=5, law=Draws(np.linspace(0.5, 0.9, 1001)))
    bits = e.to("bits")
    assert bits.value == pytest.approx(1.0)
    assert bits.se == pytest.approx(0.1 / math.log(2))
    assert bits.interval(0.5) == pytest.approx(tuple(x / math.log(2) for x in e.interval(0.5)))
    assert bits.to("nats").value == pytest.approx(e.value)
    with pytest.raises(ValueError, match="dimensionless"):
        convert_unit("", "bits")


def test_paired_difference_uses_the_terms():
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    y = x + 0.1 * rng.normal(size=400)
    tag = object()

    def make(v, sample):
        return Estimate(float(v.mean()), float(v.std(ddof=1) / 20), 400, "mean", terms=v, sample=sample)

    paired = make(x, tag) - make(y, tag)
    assert paired.se == pytest.approx(float((x - y).std(ddof=1) / 20))
    independent = make(x, object()) - make(y, object())
    assert independent.se == pytest.approx(math.hypot(x.std(ddof=1), y.std(ddof=1)) / 20)
    assert "independent" in independent.diagnostics["assumes"]
    shared = Estimate(1.0, 0.1, 400, sample=tag) + make(x, tag)
    with pytest.raises(ValueError, match="share their samples"):
        shared.interval()


def test_shift_and_scale_move_the_interval():
    e = Estimate(1.0, se=0.5, n=3, law=Draws(np.linspace(0, 2, 101)))
    moved = 3.0 - 2.0 * e
    assert moved.value == pytest.approx(1.0)
    assert moved.interval(0.5) == pytest.approx((0.0, 2.0))
    assert (e / 2).se == pytest.approx(0.25)


def test_negative_values_keep_their_sign_and_say_so():
    text = repr(Estimate(-0.01, se=0.02, n=300, method="ksg1(k=4)"))
    assert "-0.01" in text
    assert "not distinguishable from 0" in text
    assert Estimate(1.0, se=0.1, n=3).distinguishable()


def test_without_an_interval():
    e = Estimate(0.3, n=10, method="bound", diagnostics={"no_interval": "it is a bound"})
    with pytest.raises(ValueError, match="it is a bound"):
        e.interval()
    assert e.to_dict()["low"] is None
    with pytest.raises(ValueError, match="level"):
        Estimate(1.0, se=0.1).interval(1.5)
