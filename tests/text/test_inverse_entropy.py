import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from plogp import text
from plogp.text.inverse_entropy import join_clauses, substitution


def similarities(n, seed, d=4):
    e = np.random.default_rng(seed).normal(size=(n, d))
    e /= np.linalg.norm(e, axis=1, keepdims=True)
    return np.abs(e @ e.T)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(0, 10**6))
def test_by_sums_over_states(n, seed):
    A, B = similarities(n, seed), similarities(n, seed + 1)
    px, py = A / A.sum(1, keepdims=True), B / B.sum(1, keepdims=True)
    p_y = np.array([sum(py[i, j] for i in range(n)) / n for j in range(n)])
    given_y = np.array([[sum(py[j, k] * px[k, i] for k in range(n)) for i in range(n)] for j in range(n)])
    p_x = np.array([sum(p_y[j] * given_y[j, i] for j in range(n)) for i in range(n)])
    given_x = np.array([[given_y[j, i] * p_y[j] / p_x[i] for j in range(n)] for i in range(n)])
    found = text.inv_entropy(A, B)
    np.testing.assert_allclose(found.p_y, p_y, atol=1e-14)
    np.testing.assert_allclose(found.p_x, p_x, atol=1e-14)
    np.testing.assert_allclose(found.p_x_given_y, given_y, atol=1e-14)
    np.testing.assert_allclose(found.p_y_given_x, given_x, atol=1e-13)
    np.testing.assert_allclose(found.p_x_given_y.sum(1), 1)
    np.testing.assert_allclose(found.p_y_given_x.sum(1), 1)
    for value, table in ((found.value, given_y), (found.forward, given_x)):
        assert value == pytest.approx(-sum(table[i, i] * math.log(table[i, i]) for i in range(n)), abs=1e-12)
    assert found.value <= n / math.e + 1e-12
    assert found.confidence == pytest.approx(p_y.max())
    assert found.wasserstein == pytest.approx(wasserstein_distance(p_x, p_y), abs=1e-14)
    turn = np.random.default_rng(seed).permutation(n)
    turned = text.inv_entropy(A[np.ix_(turn, turn)], B[np.ix_(turn, turn)])
    assert turned.value == pytest.approx(found.value, abs=1e-12)


def test_equal_answers_and_batches():
    A = similarities(5, 0)
    same = text.inv_entropy(A, np.ones((5, 5)))
    assert np.ptp(same.p_x_given_y, axis=0).max() < 1e-15
    both = text.inv_entropy(np.stack([A, A]), np.stack([np.ones((5, 5)), np.eye(5)]))
    np.testing.assert_allclose(both.value, [same.value, text.inv_entropy(A, np.eye(5)).value])
    assert both.p_x.shape == (2, 5)
    assert "2 matrices" in repr(both)
    apart = text.inv_entropy(np.eye(5), np.eye(5))
    assert apart.value == 0
    assert apart.forward == 0


@pytest.mark.parametrize(
    ("A", "B", "said"),
    [
        (np.eye(2), np.eye(3), "same shape"),
        (np.eye(2), -np.eye(2), "absolute value"),
        (np.full((2, 2), np.nan), np.eye(2), "S_x"),
        (np.zeros((2, 2)), np.eye(2), "sums to 0"),
        (np.ones(3), np.ones(3), "square"),
    ],
)
def test_matrices_refused(A, B, said):
    with pytest.raises(ValueError, match=said):
        text.inv_entropy(A, B)


class TestScore:
    inputs = ("the capital of France", "what is France's capital", "France: its capital city")

    def test_all_choices_when_few(self):
        answers = [["Paris", "Lyon"], ["Paris"], ["Paris", "Nice"]]
        found = text.InvEntropy(similarity="rouge-l").score(self.inputs, answers, replicates=50)
        S_x = text.similarity_matrix(list(self.inputs))
        values = [
            text.inv_entropy(S_x, text.similarity_matrix([a, "Paris", b])).value for a in answers[0] for b in answers[2]
        ]
        assert found.value == pytest.approx(np.mean(values))
        assert found.n == 4
        assert found.se == pytest.approx(np.std(values, ddof=1) / 2)

    def test_repeats_with_its_seed_and_does_not_touch_another(self):
        answers = [["a b", "a c", "d"]] * 3
        measure = text.InvEntropy(encoder=lambda t: np.array([[len(s), s.count("a") + 1.0] for s in t]))
        one, two = (measure.score(self.inputs, answers, 5, rng=3).value for _ in range(2))
        assert one == two
        assert measure.score(self.inputs, answers, 5, rng=4).value != one

    def test_refuses(self):
        measure = text.InvEntropy(similarity="rouge-l")
        with pytest.raises(ValueError, match="2 entries for 3"):
            measure.score(self.inputs, [["a"], ["b"]])
        with pytest.raises(ValueError, match=r"answers\[1\] is empty"):
            measure.score(self.inputs, [["a"], [], ["b"]])
        with pytest.raises(TypeError, match="list of strings"):
            measure.score(self.inputs, ["Paris"] * 3)
        with pytest.raises(ValueError, match="replicates"):
            measure.score(self.inputs, [["a"]] * 3, 0)
        with pytest.raises(ValueError, match="not both"):
            text.InvEntropy(lambda t: t, "rouge-l")


def test_tsu():
    table = np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 3.0], [3.0, 2.0, 1.0], [0.0, 0.1, 0.2]])
    found = text.tsu(table)
    assert found.value == 0.5
    assert found.n == 4
    low, high = found.interval()
    assert 0 < low < 0.5 < high < 1
    assert text.tsu({1.0: table[:, 2], 0.1: table[:, 0], 0.5: table[:, 1]}).value == 0.5
    chance = text.tsu(np.random.default_rng(0).random((20_000, 3))).value
    assert chance == pytest.approx(1 / 6, abs=0.01)
    for bad in (np.ones(3), np.ones((3, 1)), np.empty((0, 2)), [[1.0, np.nan]], {1: [1.0], 2: [1.0, 2.0]}, {}):
        with pytest.raises(ValueError):
            text.tsu(bad)


class TestGaap:
    bag = ("big", "large", "huge", "town", "city", "place", "old", "aged", "near", "close", "river", "stream")
    text = "A big old town near the river."
    mutate = staticmethod(
        substitution(
            {
                "big": ["large", "huge"],
                "old": ["aged"],
                "town": ["city", "place"],
                "near": ["close"],
                "river": ["stream"],
            },
            0.4,
        )
    )

    def encode(self, texts):
        return np.array([[3.0] + [float(w in t.lower()) for w in self.bag] for t in texts])

    def search(self, **kw):
        return text.gaap(self.text, self.mutate, encoder=self.encode, m=6, band=(0.5, 0.99), **kw)

    def test_different_in_band_and_diverse(self):
        found = self.search()
        assert found[0] == self.text
        assert len(set(found)) == 6
        rows = text.Encoder(self.encode).encode(found)
        near = rows @ rows[0]
        assert ((near[1:] >= 0.5) & (near[1:] <= 0.99)).all()
        rng = np.random.default_rng(0)
        plain = list(dict.fromkeys(self.mutate(self.text, rng) for _ in range(60)))[:6]
        other = text.Encoder(self.encode).encode(plain)

        def closeness(x):
            return (x @ x.T)[np.triu_indices(len(x), 1)].mean()

        assert closeness(rows[1:]) < closeness(other)

    def test_seed(self):
        assert self.search(rng=1) == self.search(rng=1)

    def test_refuses(self):
        with pytest.raises(ValueError, match="band"):
            text.gaap("x", lambda t, r: t, encoder=self.encode, m=3)
        with pytest.raises(ValueError, match="population"):
            self.search(population=1)
        with pytest.raises(TypeError, match="mutate"):
            text.gaap("x", lambda t, r: 3, encoder=self.encode, m=3)
        with pytest.raises(ValueError, match="rising"):
            text.gaap("x", self.mutate, encoder=self.encode, band=(0.9, 0.1))

    def test_operators(self):
        rng = np.random.default_rng(0)
        assert substitution({"x": ["y"]})("nothing to swap", rng) == "nothing to swap"
        assert substitution({"x": ["y"]}, 0.0)("X x", rng) in ("Y x", "X y")
        assert join_clauses("one", "two", rng) == "one"
        assert set(join_clauses("a b c d", "w x y z", rng).split()) <= set("abcdwxyz")
