import math

import numpy as np
import pytest

from plogp import text
from plogp.estimate import knn_kl, kozachenko_leonenko


def normal(n, d, shift=0.0, seed=0):
    return np.random.default_rng(seed).normal(shift, 1, (n, d))


class TestNoveltyAndDiversity:
    def test_points_are_the_estimators_of_the_library(self):
        x, y = normal(300, 3, 1.0), normal(400, 3, seed=1)
        assert text.novelty(x, y, 3).value == pytest.approx(knn_kl(x, y, k=3).value)
        assert text.diversity(x, 3).value == pytest.approx(kozachenko_leonenko(x, 3).value)

    def test_by_hand_with_a_loop(self):
        x, y, k = normal(40, 2, 0.5), normal(50, 2, seed=1), 4
        total = 0.0
        for i in range(40):
            own = sorted(np.linalg.norm(x[i] - np.delete(x, i, 0), axis=1))[k - 1]
            other = sorted(np.linalg.norm(x[i] - y, axis=1))[k - 1]
            total += math.log(other / own)
        assert text.novelty(x, y).value == pytest.approx(2 / 40 * total + math.log(50 / 39))

    def test_on_the_sphere_the_dimension_is_one_less(self):
        rng = np.random.default_rng(0)
        x = rng.normal(size=(3000, 3))
        found = text.diversity(x, 2, sphere=True)
        assert found.value == pytest.approx(math.log(4 * math.pi), abs=0.06)  # uniform on the sphere: log of its area
        assert "sphere" in found.method
        assert found.se > 0
        circle = text.diversity(rng.normal(size=(2000, 2)), sphere=True)
        assert circle.value == pytest.approx(math.log(2 * math.pi), abs=0.06)
        # Two von Mises laws on the circle: KL = (I1/I0)(κ) κ (1 - cos δ).
        from scipy.special import ive

        angle, kappa, apart = rng.vonmises, 2.0, 1.0
        a, b = angle(apart, kappa, 3000), angle(0.0, kappa, 3000)
        known = kappa * ive(1, kappa) / ive(0, kappa) * (1 - math.cos(apart))
        points = [np.stack([np.cos(t), np.sin(t)], 1) * rng.uniform(0.5, 2, (3000, 1)) for t in (a, b)]
        assert text.novelty(*points, sphere=True).value == pytest.approx(known, abs=0.12)

    def test_projection(self):
        x, y = normal(200, 6, 0.3), normal(200, 6, seed=1)
        joint = np.concatenate([x, y])
        _, _, turn = np.linalg.svd(joint, full_matrices=False)
        z = joint @ turn[:2].T
        assert text.novelty(x, y, project=2).value == pytest.approx(knn_kl(z[:200], z[200:], k=4).value)
        assert text.novelty(x, y, project=lambda j: j[:, :3]).value == pytest.approx(
            knn_kl(x[:, :3], y[:, :3], k=4).value
        )

    def test_texts(self):
        rng = np.random.default_rng(0)

        def encode(texts):
            return np.array([[len(t), *(t.count(c) + 1 for c in "abcdef")] for t in texts]) + 1e-3 * rng.random((1, 7))

        def draw(letters, n):
            found = set()
            while len(found) < n:
                found.add("".join(rng.choice(list(letters), rng.integers(8, 30))))
            return sorted(found)

        old, near, far = draw("abc", 120), draw("abc", 120), draw("def", 120)
        score = {
            name: text.novelty(new, old, encoder=encode, project=3).value for name, new in (("n", near), ("f", far))
        }
        assert score["f"] > score["n"] + 1

    def test_refuses(self):
        x = normal(50, 2)
        with pytest.raises(TypeError, match="both"):
            text.novelty(["a", "b"], x)
        with pytest.raises(ValueError, match="encoder"):
            text.diversity(x, encoder=lambda t: t)
        with pytest.raises(ValueError, match="dimensions"):
            text.novelty(x, normal(50, 3))
        with pytest.raises(ValueError, match="project must lie"):
            text.diversity(x, project=3)
        with pytest.raises(ValueError, match="too few"):
            text.diversity(x[:3])
        with pytest.raises(ValueError, match="a row for each"):
            text.diversity(x, project=lambda j: j[:5])
        with pytest.raises(ValueError, match="duplicate"):
            text.diversity(np.repeat(x, 6, 0))


class TestKFarthest:
    def test_plain_rule(self):
        c, a = normal(30, 4), normal(10, 4, seed=1)
        cos = (c @ a.T) / np.linalg.norm(c, axis=1)[:, None] / np.linalg.norm(a, axis=1)
        assert text.k_farthest(c, a, 5, greedy=False) == np.argsort(cos.max(1))[:5].tolist()

    def test_greedy_step_by_step(self):
        c, known = normal(20, 3), list(normal(4, 3, seed=1))
        left, expected = list(range(20)), []

        def closest(i):
            return max(c[i] @ a / np.linalg.norm(c[i]) / np.linalg.norm(a) for a in known)

        for _ in range(6):
            best = min(left, key=closest)
            left.remove(best)
            expected.append(best)
            known.append(c[best])
        assert text.k_farthest(c, normal(4, 3, seed=1), 6) == expected

    def test_empty_archive_and_errors(self):
        c = np.array([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0]])
        assert text.k_farthest(c, None, 2)[0] == 2
        assert sorted(text.k_farthest(c, np.empty((0, 2)), 3)) == [0, 1, 2]
        for args in ((c, None, 0), (c, None, 4), (np.zeros((2, 2)), None, 1), (c, np.ones((2, 3)), 1)):
            with pytest.raises(ValueError):
                text.k_farthest(*args)


class TestRunTests:
    def test_passes_and_failures(self):
        good = text.run_tests("def f(x):\n    return x + 1", "assert f(1) == 2")
        assert good.passed
        assert good.errors == ("",)
        assert good.feedback == ""
        bad = text.run_tests("def f(x): return x", ["assert f(1) == 1", "assert f(1) == 2, 'no'", "f(1) / 0"])
        assert not bad.passed
        assert bad.errors[0] == ""
        assert bad.errors[1] == "AssertionError: no"
        assert bad.errors[2].startswith("ZeroDivisionError")
        assert bad.feedback.startswith("test 2: AssertionError")

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("def f(:", "SyntaxError"),
            ("raise SystemExit(0)", "SystemExit"),
            ("import os\nos._exit(0)", "ended with code 0"),
            ("x = bytearray(10**10)", "MemoryError"),
        ],
    )
    def test_hostile_code_fails_every_test(self, code, said):
        report = text.run_tests(code, ["pass", "pass"])
        assert not report.passed
        assert all(said in e for e in report.errors)
        assert not report.timed_out

    def test_endless_loop(self):
        report = text.run_tests("while True: pass", ["pass"], 0.5)
        assert report.timed_out
        assert not report.passed
        assert "0.5 s" in report.errors[0]

    def test_prints_do_not_disturb(self):
        report = text.run_tests("print('[[], 1]')\nprint('é\\n' * 3)", ["print('in a test')", "assert True"])
        assert report.passed
        assert "in a test" in report.output

    def test_refuses(self):
        with pytest.raises(ValueError, match="empty"):
            text.run_tests("x = 1", [])
        with pytest.raises(TypeError, match="strings"):
            text.run_tests("x = 1", [3])


class TestEvolve:
    """Items are pairs of whole numbers; the test that they pass: their sum is even."""

    seeds = ((2, 2), (4, 0))

    @staticmethod
    def mutate(item, difficulty, rng):
        step = {"easier": -1, "equal": 0, "harder": 1}[difficulty]
        return (item[0] + step + int(rng.integers(-3, 4)), item[1] + int(rng.integers(-3, 4)))

    @staticmethod
    def crossover(items, rng):
        return (items[0][0], items[1][1])

    @staticmethod
    def verify(item):
        return sum(item) % 2 == 0

    @staticmethod
    def embed(items):
        return np.array([[a, b, 5.0] for a, b in items])

    def run(self, **kw):
        options = {"mutate": self.mutate, "crossover": self.crossover, "verify": self.verify, "embed": self.embed}
        return text.evolve(list(self.seeds), **{**options, "steps": 6, "rng": 0, **kw})

    def test_every_item_passes_and_none_is_twice(self):
        found = self.run(progress=True)
        assert len(found.items) > 6
        assert all(self.verify(i) for i in found.items)
        assert len(set(found.items)) == len(found.items) == len(found.embeddings) == len(found.parents)
        assert found.rejected > 0
        assert found.repaired == 0
        for i, origin in enumerate(found.parents):
            assert all(p < i for p in origin)

    def test_repair_gets_the_history(self):
        seen = []

        def repair(item, history, rng):
            seen.append(len(history))
            return (item[0], item[1] + (1 if len(history) == 2 else 2))  # only the second attempt mends

        found = self.run(repair=repair, rounds=2)
        assert found.rejected == 0
        assert found.repaired > 0
        assert {1, 2} <= set(seen)
        assert max(seen) <= 2
        assert self.run(repair=repair, rounds=1).repaired == 0

    def test_farthest_spreads_more_than_chance(self):
        def spread(farthest):
            rows = []
            for seed in range(6):
                x = self.run(farthest=farthest, rng=seed, per_step=12).embeddings
                u = x / np.linalg.norm(x, axis=1, keepdims=True)
                rows.append((u @ u.T)[np.triu_indices(len(u), 1)].mean())
            return np.mean(rows)

        assert spread(True) < spread(False)

    def test_seed_repeats(self):
        assert self.run(rng=3).items == self.run(rng=3).items != self.run(rng=4).items

    def test_refuses(self):
        with pytest.raises(ValueError, match="seed 1"):
            text.evolve([(0, 0), (0, 1)], self.mutate, None, self.verify, self.embed)
        with pytest.raises(ValueError, match="empty"):
            text.evolve([], self.mutate, None, self.verify, self.embed)
        with pytest.raises(ValueError, match="steps"):
            self.run(steps=0)
