import bz2
import math
import zlib
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plogp.measures.algorithmic import (
    bit_tape_machine,
    code_length,
    doubling_machine,
    omega_clt,
    prequential_code_length,
    prime_code_report,
    universal_prior,
)
from plogp.measures.codes import CODES
from plogp.measures.primes import _omega, prime_indicator, primes_up_to

bit_lists = st.lists(st.integers(0, 1), min_size=1, max_size=12)


def factors(n):
    out, p = set(), 2
    while n > 1:
        while n % p == 0:
            out.add(p)
            n //= p
        p += 1
    return out


def sequential_kt(bits, order):
    counts, total = {}, min(order, len(bits)) * math.log(2)
    for i in range(order, len(bits)):
        context = tuple(bits[i - order : i])
        c = counts.setdefault(context, [0.5, 0.5])
        total -= math.log(c[bits[i]] / sum(c))
        c[bits[i]] += 1
    return total


def elias_gamma(n):
    return "0" * (n.bit_length() - 1) + f"{n:b}"


def elias_delta(n):
    return elias_gamma(n.bit_length()) + f"{n:b}"[1:]


@settings(max_examples=60, deadline=None)
@given(bits=bit_lists)
def test_codes_against_sequential_coding(bits):
    n, ones = len(bits), sum(bits)
    assert code_length(bits, "raw", base=2) == pytest.approx(n)
    assert code_length(bits, "enumerative") == pytest.approx(math.log(math.comb(n, ones)), abs=1e-9)
    for order in (0, 1, 3):
        assert code_length(bits, "kt", order=order) == pytest.approx(sequential_kt(bits, order), abs=1e-9)
    where = [0, *(i + 1 for i, b in enumerate(bits) if b), n + 1]
    gaps = [b - a for a, b in pairwise(where)]
    assert code_length(bits, "gap_gamma", base=2) == pytest.approx(sum(len(elias_gamma(g)) for g in gaps))
    assert code_length(bits, "gap_delta", base=2) == pytest.approx(sum(len(elias_delta(g)) for g in gaps))
    share = {g: gaps.count(g) / len(gaps) for g in gaps}
    assert code_length(bits, "gap_entropy") == pytest.approx(-sum(math.log(share[g]) for g in gaps), abs=1e-9)
    assert code_length(bits, "per_one") == pytest.approx(ones * math.log(n))


@pytest.mark.parametrize("code", ["raw", "kt", "gap_gamma", "gap_delta"])
def test_complete_codes_obey_kraft(code):
    # Strings of one length: Σ exp(-length) <= 1, with equality for the first two.
    total = sum(math.exp(-code_length(bits, code)) for bits in product((0, 1), repeat=9))
    assert total <= 1 + 1e-9
    if code in ("raw", "kt"):
        assert total == pytest.approx(1)


def test_compressors_and_predictions():
    bits = np.random.default_rng(0).random(5000) < 0.1
    packed = np.packbits(bits).tobytes()
    assert code_length(bits, "zlib", base=2) == pytest.approx(8 * len(zlib.compress(packed, 9)))
    assert code_length(bits, "bz2", base=256) == pytest.approx(len(bz2.compress(packed, 9)))
    q = np.random.default_rng(1).uniform(0.05, 0.9, 5000)
    assert code_length(bits, q) == pytest.approx(-sum(math.log(a if b else 1 - a) for a, b in zip(q, bits)))
    assert code_length([1], [0.0]) == math.inf
    assert code_length([1, 0], [1.0, 0.0]) == 0.0
    assert code_length(bits, lambda b: float(len(b))) == 5000.0
    # Adaptive coding costs ½ log n + O(1) more than the entropy.
    share = bits.mean()
    ideal = -5000 * (share * math.log(share) + (1 - share) * math.log(1 - share))
    excess = code_length(bits, "kt") - ideal
    assert excess == pytest.approx(0.5 * math.log(5000) + 0.5 * math.log(math.pi / 2), abs=0.05)


@pytest.mark.parametrize("bits", [[], [0, 2], [[0, 1]], [0.5], ["a"], [math.nan], [-1]])
def test_hostile_bits(bits):
    with pytest.raises(ValueError, match="bits"):
        code_length(bits)


def test_hostile_models():
    with pytest.raises(ValueError, match="model must be one of"):
        code_length([0, 1], "huffman")
    with pytest.raises(ValueError, match="shape"):
        code_length([0, 1], [0.5])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        code_length([0, 1], [0.5, math.nan])
    with pytest.raises(ValueError, match="order"):
        code_length([0, 1], "kt", order=-1)
    with pytest.raises(ValueError, match="base"):
        code_length([0, 1], base=1)
    for name in CODES:  # a single bit and a constant string are no special case
        assert code_length([0], name) >= 0
        assert math.isfinite(code_length(np.ones(100), name))


def test_primes():
    assert primes_up_to(0).size == primes_up_to(1).size == 0
    for N in (2, 3, 4, 9, 25, 26, 1000):
        assert primes_up_to(N).tolist() == [n for n in range(2, N + 1) if len(factors(n)) == 1 and n in factors(n)]
    assert [len(primes_up_to(10**e)) for e in range(1, 7)] == [4, 25, 168, 1229, 9592, 78498]
    assert np.array_equal(np.flatnonzero(prime_indicator(100)) + 1, primes_up_to(100))
    for bad in (-1, 2.5, True, "7"):
        with pytest.raises(ValueError, match="N must"):
            primes_up_to(bad)


def test_omega_against_factoring():
    want = [len(factors(n)) for n in range(1, 3001)]
    assert _omega(1, 3001, primes_up_to(54)).tolist() == want
    assert _omega(2500, 2600, primes_up_to(50)).tolist() == want[2499:2599]
    e = omega_clt(3000, block=777)
    assert e.value == pytest.approx(np.mean(want), abs=1e-12)
    assert e.diagnostics["variance"] == pytest.approx(np.var(want), abs=1e-12)
    assert e.diagnostics["counts"] == np.bincount(want).tolist()
    assert e.interval() == (e.value, e.value)
    # High blocks, where float32 logarithms must still tell 1 from a prime: 10^9 + 6 = 2·500000003; 10^9 + 7 is prime.
    assert _omega(10**9 + 6, 10**9 + 8, primes_up_to(31700)).tolist() == [2, 1]


def test_omega_sample_covers_the_exact_mean():
    exact = omega_clt(200_000).value
    inside = 0
    for seed in range(40):
        low, high = omega_clt(200_000, sample=400, rng=seed).interval(0.95)
        inside += low <= exact <= high
    assert 33 <= inside <= 40  # of 40; fewer than 33 has probability 0.2 %
    assert omega_clt(10**9, sample=50, rng=1).value == omega_clt(10**9, sample=50, rng=1).value
    with pytest.raises(ValueError, match="sample"):
        omega_clt(10**13, sample=10)
    with pytest.raises(ValueError, match="N must"):
        omega_clt(3)


def test_kolmogorov_distance_by_hand():
    from scipy.stats import norm

    d = omega_clt(50_000).diagnostics
    mean, sd = omega_clt(50_000).value, math.sqrt(d["variance"])
    law = np.cumsum(d["counts"]) / 50_000
    by_hand = max(abs(law[k] - norm.cdf((k + 0.5 - mean) / sd)) for k in range(len(law)))
    assert d["kolmogorov_distance"] == pytest.approx(by_hand, abs=1e-9)


def test_report_against_direct_sums():
    N = 5000
    report = prime_code_report(N)
    prime = prime_indicator(N)
    cramer = sum(-math.log(1 / math.log(k) if prime[k - 1] else 1 - 1 / math.log(k)) for k in range(3, N + 1))
    assert report["cramer"] == pytest.approx(cramer)
    density = (2 / 1) * (3 / 2) * (5 / 4) * (7 / 6)
    wheel = 0.0
    for k in range(121, N + 1):
        if math.gcd(k, 210) == 1:
            q = density / math.log(k)
            wheel -= math.log(q if prime[k - 1] else 1 - q)
    assert report["wheel cramer"] == pytest.approx(wheel)
    assert report["enumerative"] == pytest.approx(math.log(math.comb(N, report.primes)))
    assert report["pi(N) ln N"] == pytest.approx(669 * math.log(N))
    assert report.to_dicts()[0]["code"] == "pi(N) ln N"
    assert len(report) == len(list(report)) == 19
    assert "669 primes up to 5000" in repr(report)
    assert len(prime_code_report(100)) == 13  # the wheel decides all below 121
    with pytest.raises(KeyError, match="no code"):
        report["huffman"]
    with pytest.raises(ValueError, match="wheel"):
        prime_code_report(100, wheel=(2, 5))


class Frequencies:
    """Laplace-free relative frequencies; knows only the labels it has seen."""

    def fit(self, X, y):
        self.classes_, counts = np.unique(y, return_counts=True)
        self.p = counts / counts.sum()

    def predict_proba(self, X):
        return np.tile(self.p, (len(X), 1))


def test_prequential_by_hand():
    y = np.array(list("aabacbca"))
    code = prequential_code_length(Frequencies(), np.zeros((8, 1)), y, edges=[2, 5, 8])
    second = [(2 * p + 1) / 5 for p in (0, 1, 0)]  # after "aa": b, a, c
    third = [(5 * {"a": 0.6, "b": 0.2, "c": 0.2}[c] + 1) / 8 for c in "bca"]
    want = [2 * math.log(3), -sum(map(math.log, second)), -sum(map(math.log, third))]
    np.testing.assert_allclose(code.block_nats, want)
    assert float(code) == pytest.approx(sum(want))
    assert code.edges.tolist() == [0, 2, 5, 8]


def test_prequential_learns():
    sklearn = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 2))
    y = rng.random(3000) < 1 / (1 + np.exp(-3 * X[:, 0]))
    code = prequential_code_length(sklearn.LogisticRegression(), X, y)
    p = 1 / (1 + np.exp(-3 * X[:, 0]))
    ideal = -np.sum(np.where(y, np.log(p), np.log(1 - p)))
    assert ideal < code.nats < ideal + 64 * math.log(2) + 40  # d/2 log n and a uniform first block
    shuffled = prequential_code_length(sklearn.LogisticRegression(), X, rng.permutation(y))
    assert shuffled.nats > 3000 * math.log(2) * 0.99
    for edges in ([], [0, 3000], [10, 5, 3000], [10], [1.5]):
        with pytest.raises(ValueError, match="edges"):
            prequential_code_length(Frequencies(), X, y, edges=edges)
    with pytest.raises(ValueError, match="one row"):
        prequential_code_length(Frequencies(), X[:5], y)


def test_doubling_machine_by_hand_enumeration():
    found = {}
    for commands in range(1, 6):
        for program in product((0, 1, 2), repeat=commands - 1):
            output = ""
            for c in program:
                output = output + output if c == 2 else output + str(c)
            found.setdefault(output, []).append(2 * commands)
    prior = universal_prior(["", "0", "01", "0000", "0101", "1111"], max_length=10)
    for x in prior.complexity:
        assert prior.complexity[x] == min(found[x])
        assert 2 ** prior.log2_probability[x] == pytest.approx(sum(2.0**-n for n in found[x]))
    assert prior.coding_gap() >= 0


@pytest.mark.parametrize("machine", [doubling_machine, bit_tape_machine])
def test_programs_are_prefix_free(machine):
    halting = []

    def watch(read):
        seen = []

        def recorder():
            seen.append(read())
            return seen[-1]

        output = machine(recorder)
        if output is not None:
            halting.append("".join(map(str, seen)))
        return output

    prior = universal_prior(["0"], watch, max_length=12)
    assert len(set(halting)) == len(halting) > 20
    assert not any(a != b and b.startswith(a) for a in halting for b in halting)
    assert prior.halting_mass == pytest.approx(sum(2.0 ** -len(p) for p in halting))
    assert prior.halting_mass + prior.undecided_mass == pytest.approx(1)


def run_tape(source, data=""):
    code = {">": "000", "<": "001", "+": "010", ";": "011", "[": "100", "]": "101", ",": "110", ".": "111"}
    bits = iter([int(b) for b in "".join(code[c] for c in source) + data])
    return bit_tape_machine(lambda: next(bits))


def test_bit_tape_machine():
    assert run_tape(".") == ""
    assert run_tape(";+;.") == "01"
    assert run_tape(",;,;,;.", "101") == "101"
    assert run_tape("+[;+].") == "1"  # loop left after the flip
    assert run_tape("[;].") == ""
    assert run_tape(">+<+[;>+<+].") == "1"
    assert run_tape(">+;<;.") == "10"
    assert run_tape("+[].") is None  # never ends
    assert run_tape("].") is None
    assert run_tape("[.") is None
    assert run_tape(",[;,].", "1110") == "111"  # copies ones until a zero


def test_hostile_prior():
    with pytest.raises(ValueError, match="empty"):
        universal_prior([])
    with pytest.raises(ValueError, match="max_length"):
        universal_prior(["0"], max_length=0)
    out_of_reach = universal_prior(["010011"], max_length=6)
    assert out_of_reach.complexity["010011"] is None
    assert out_of_reach.log2_probability["010011"] == -math.inf
    with pytest.raises(ValueError, match="no program"):
        out_of_reach.coding_gap()


@pytest.mark.slow
def test_sieve_of_ten_million_is_fast():
    import time

    start = time.perf_counter()
    assert len(primes_up_to(10**7)) == 664579
    assert time.perf_counter() - start < 2.0
