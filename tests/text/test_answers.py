import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm
from scipy.special import logsumexp

from plogp import text
from plogp.text import answers, rejection
from plogp.text.rejection import rejection_curve


def similarities(n=7, seed=0):
    x = np.random.default_rng(seed).random((n, n))
    S = (x + x.T) / 2
    np.fill_diagonal(S, 1.0)
    return S


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 9), st.sampled_from([0.1, 1.0, 10.0, 100.0]))
def test_snne_is_its_definition(seed, n, tau):
    S = similarities(n, seed)
    rows = [logsumexp(S[i] / tau) for i in range(n)]
    assert text.snne(S, tau) == pytest.approx(-np.mean(rows), rel=1e-12)
    w = np.random.default_rng(seed).random(n) + 0.01
    assert text.snne(S, tau, w) == pytest.approx(-np.mean(w / w.mean() * rows), rel=1e-12)
    turn = np.random.default_rng(seed).permutation(n)
    assert text.snne(S[np.ix_(turn, turn)], tau) == pytest.approx(text.snne(S, tau), rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_snne_of_separate_meanings_is_the_semantic_entropy(labels):
    c = np.array(labels)
    S = np.where(c[:, None] == c[None], 0.0, -np.inf)
    assert text.snne(S) + math.log(len(c)) == pytest.approx(text.semantic_entropy(labels), abs=1e-12)


def test_snne_closed_forms():
    assert text.snne(np.ones((10, 10)), 0.5) == pytest.approx(-math.log(10) - 2)
    assert text.snne([[1.0]], 4.0) == -0.25
    S = similarities()
    assert text.snne(S, 1e6) == pytest.approx(-math.log(7) - S.mean() / 1e6, abs=1e-9)
    assert text.snne(S, 1e-6) == pytest.approx(-1e6, rel=1e-5)  # no overflow
    for i, j in ((0, 1), (3, 6)):
        more = S.copy()
        more[i, j] += 0.1
        assert text.snne(more) < text.snne(S)
    both = text.snne(np.stack([S, similarities(seed=1)]))
    np.testing.assert_allclose(both, [text.snne(S), text.snne(similarities(seed=1))])


def test_semantic_entropy():
    assert text.semantic_entropy(["x"] * 5) == 0
    assert text.semantic_entropy(list("abcd")) == pytest.approx(math.log(4))
    logp = np.array([-1.0, -2.0, -3.0, -500.0])
    p = np.exp(logp) / np.exp(logp).sum()
    mass = np.array([p[0] + p[2], p[1] + p[3]])
    assert text.semantic_entropy([0, 1, 0, 1], logp) == pytest.approx(-(mass * np.log(mass)).sum())
    assert text.semantic_entropy([0, 1], [-1e5, -1e5]) == pytest.approx(math.log(2))  # no underflow
    assert text.semantic_entropy([0, 1], [-1.0, -np.inf]) == 0


def test_kernel_language_entropy_by_matrix_exponential():
    S = similarities()
    W = S - np.diag(np.diag(S))
    L = np.diag(W.sum(1)) - W
    for normalized in (False, True):
        if normalized:
            root = np.diag(W.sum(1) ** -0.5)
            L = root @ L @ root
        K = expm(-0.7 * L)
        rho = K / np.sqrt(np.outer(np.diag(K), np.diag(K))) / 7
        values = np.linalg.eigvalsh(rho)
        found = text.kernel_language_entropy(S, 0.7, normalized=normalized)
        assert found == pytest.approx(-(values * np.log(values)).sum(), abs=1e-9)
    assert text.kernel_language_entropy(S, 0.0) == pytest.approx(math.log(7))
    assert text.kernel_language_entropy(S, 200.0) == pytest.approx(0.0, abs=1e-6)
    assert text.kernel_language_entropy(np.stack([S, S])).shape == (2,)


def test_graph_baselines_count_separate_meanings():
    groups = np.kron(np.eye(3), np.ones((4, 4)))
    assert answers.spectral_sum(groups) == pytest.approx(3)
    assert answers.degree(groups) == pytest.approx(2 / 3)
    assert answers.luq(groups) == 0
    assert answers.luq(np.eye(4)) == 1
    assert answers.eccentricity(np.ones((5, 5))) == pytest.approx(0, abs=1e-7)
    S = similarities()
    root = np.diag(S.sum(1) ** -0.5)
    values, vectors = np.linalg.eigh(np.eye(7) - root @ S @ root)
    assert answers.spectral_sum(S) == pytest.approx(np.maximum(1 - values, 0).sum())
    V = vectors[:, values < 0.9]
    assert answers.eccentricity(S) == pytest.approx(np.linalg.norm(V - V.mean(0)))
    others = [max(S[i, j] for j in range(7) if j != i) for i in range(7)]
    assert answers.luq(S) == pytest.approx(1 - np.mean(others))


def test_lexical_similarity():
    said = ["in Paris", "Paris", "in Rome"]
    pairs = [text.rouge_l(a, b) for i, a in enumerate(said) for b in said[:i]]
    assert text.lexical_similarity(said) == pytest.approx(np.mean(pairs))
    assert text.lexical_similarity(["alone"]) == 1.0


class TestSuite:
    questions = ([["Paris", "Paris!", "paris"], ["Rome", "in Oslo", "Bern"], ["a b", "a b", "a c"]],)

    def test_measures_agree_with_the_functions(self):
        said = ["in Rome", "in Oslo", "Bern", "Bern"]
        S = text.similarity_matrix(said)
        logp, lengths = np.array([-4.0, -6.0, -2.0, -2.0]), np.array([2, 2, 1, 1])
        found = text.UncertaintySuite(tau=0.5, t=0.2).measure(said, logp, lengths)
        labels = text.greedy_clusters(S >= 0.7)
        assert found["clusters"] == len(set(labels)) == 3
        assert found["semantic_entropy"] == text.semantic_entropy(labels)
        assert found["snne"] == text.snne(S, 0.5)
        assert found["weighted_snne"] == pytest.approx(text.snne(S, 0.5, np.exp(logp / lengths)))
        assert found["weighted_semantic_entropy"] == pytest.approx(text.semantic_entropy(labels, logp / lengths))
        assert found["kernel_language_entropy"] == text.kernel_language_entropy(S, 0.2)
        assert found["predictive_entropy"] == pytest.approx(2.25)
        assert found["dissimilarity"] == pytest.approx(1 - text.lexical_similarity(said))

    def test_every_measure_sees_disagreement(self):
        table = text.UncertaintySuite().score(*self.questions, progress=True)
        assert len(table) == 3
        assert "3 questions" in repr(table)
        for name, values in table.scores.items():
            assert values[0] < values[1], name
        assert {"auroc", "auarc", "prr"} <= set(vars(table.evaluate([1, 0, 1])["snne"]))

    def test_a_judge_of_equivalence_and_an_encoder(self):
        vectors = {"yes": [1.0, 0.0], "yeah": [0.9, 0.1], "no": [-1.0, 0.2]}
        suite = text.UncertaintySuite(
            "cosine", encoder=lambda t: np.array([vectors[s] for s in t]), equivalent=lambda a, b: a[0] == b[0]
        )
        found = suite.measure(["yes", "yeah", "no"])
        assert found["clusters"] == 2
        assert np.isfinite(list(found.values())).all()

    def test_refuses(self):
        suite = text.UncertaintySuite()
        with pytest.raises(ValueError, match="at least 2"):
            suite.measure(["one"])
        with pytest.raises(ValueError, match="empty"):
            suite.score([])
        with pytest.raises(ValueError, match="logp"):
            suite.score([["a", "b"]], logp=[[1.0, 2.0], [1.0, 2.0]])
        with pytest.raises(ValueError, match="lengths"):
            suite.measure(["a", "b"], None, [1, 1])

    def test_plot(self):
        plt = pytest.importorskip("matplotlib.pyplot")
        ax = text.UncertaintySuite().score(*self.questions).plot([1, 0, 1])
        assert len(ax.lines) == 9
        plt.close(ax.figure)


@pytest.mark.parametrize(
    "S", [np.ones((2, 3)), np.ones(3), np.full((2, 2), np.nan), np.full((2, 2), np.inf), np.zeros((0, 0))]
)
def test_matrices_that_are_none(S):
    functions = (text.snne, text.kernel_language_entropy, answers.degree, answers.eccentricity, answers.spectral_sum)
    for f in functions:
        with pytest.raises(ValueError, match="S "):
            f(S)


def test_bad_arguments():
    S = similarities()
    with pytest.raises(ValueError, match="tau"):
        text.snne(S, 0.0)
    for w in (np.ones(3), -np.ones(7), np.zeros(7), np.full(7, np.nan)):
        with pytest.raises(ValueError, match="weights"):
            text.snne(S, 1.0, w)
    with pytest.raises(ValueError, match="resemble"):
        text.snne(np.full((2, 2), -np.inf))
    with pytest.raises(ValueError, match="negative"):
        text.kernel_language_entropy(-S)
    with pytest.raises(ValueError, match="symmetric"):
        answers.spectral_sum([[1.0, 0.2], [0.4, 1.0]])
    with pytest.raises(ValueError, match="t must"):
        text.kernel_language_entropy(S, -1.0)
    with pytest.raises(ValueError, match="empty"):
        text.semantic_entropy([])
    for logp in ([1.0], [np.nan, 0.0], [-np.inf, -np.inf], [np.inf, 0.0]):
        with pytest.raises(ValueError, match="logp"):
            text.semantic_entropy([0, 1], logp)


class TestRejection:
    def test_by_enumerating_every_order_of_ties(self):
        from itertools import permutations

        u, c = np.array([0.2, 0.5, 0.5, 0.5, 0.9]), np.array([1.0, 1.0, 0.0, 0.0, 1.0])
        curves = []
        for middle in permutations([1, 2, 3]):
            order = [0, *middle, 4]
            curves.append(np.cumsum(c[order]) / np.arange(1, 6))
        np.testing.assert_allclose(rejection_curve(u, c), np.mean(curves, 0))

    def test_against_sklearn_and_trapezia(self):
        metrics = pytest.importorskip("sklearn.metrics")
        rng = np.random.default_rng(0)
        c = rng.integers(0, 2, 80)
        u = rng.normal(size=80) - c
        found = text.rejection_metrics(u, c)
        assert found.auroc.value == pytest.approx(metrics.roc_auc_score(1 - c, u))
        order = np.argsort(u)
        curve = np.cumsum(c[order]) / np.arange(1, 81)
        assert found.auarc.value == pytest.approx(metrics.auc(np.linspace(0, 1, 80), curve))
        best = np.cumsum(np.sort(c)[::-1]) / np.arange(1, 81)
        assert found.prr.value == pytest.approx((curve.mean() - c.mean()) / (best.mean() - c.mean()))

    def test_perfect_useless_and_inverted(self):
        c = np.array([1, 1, 1, 0, 0, 1, 0, 1, 1, 0] * 3)
        perfect = text.rejection_metrics(1 - c, c)
        assert perfect.auroc.value == perfect.prr.value == pytest.approx(1)
        useless = text.rejection_metrics(np.ones(30), c)
        assert useless.prr.value == pytest.approx(0, abs=1e-12)
        assert useless.auarc.value == pytest.approx(c.mean())
        assert text.rejection_metrics(c, c).prr.value < 0

    def test_grades_and_one_kind_only(self):
        graded = text.rejection_metrics([0.1, 0.5, 0.9], [0.9, 0.5, 0.2])
        assert graded.auroc is None
        assert graded.prr.value == pytest.approx(1)
        constant = text.rejection_metrics([0.1, 0.5], [1, 1])
        assert constant.auroc is None
        assert constant.prr is None
        assert constant.auarc.value == 1

    def test_intervals_cover(self):
        rng = np.random.default_rng(1)

        def draw(n):
            wrong = rng.random(n) < 0.3
            return rng.normal(size=n) + wrong, ~wrong

        big = [draw(200_000) for _ in range(2)]
        truth = {}
        for name, statistic in (("auarc", rejection._area), ("prr", rejection._ratio)):
            truth[name] = np.mean([statistic(u, c.astype(float)) for u, c in big])
        hits = dict.fromkeys(truth, 0)
        for _ in range(60):
            found = text.rejection_metrics(*draw(300))
            for name, value in truth.items():
                low, high = getattr(found, name).interval()
                hits[name] += low < value < high
        assert min(hits.values()) >= 51, hits  # 85 %; nominal 57

    @pytest.mark.parametrize("bad", [([1.0], [1]), ([1.0, np.nan], [1, 0]), ([1.0, 2.0], [1, 2]), ([1.0, 2.0], [1])])
    def test_refuses(self, bad):
        with pytest.raises(ValueError):
            text.rejection_metrics(*bad)
