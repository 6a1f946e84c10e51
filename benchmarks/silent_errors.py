"""What peers get silently wrong, and what plogp answers: every case really run.

    python benchmarks/silent_errors.py --collect peers.json   # run the peers that this environment has
    python benchmarks/silent_errors.py --write peers.json     # run plogp and write docs/silent-errors.md

`--collect` adds to the file, so that peers that cannot live in one environment are run one after the other.
`tests/test_silent_errors.py` runs plogp's side of every case.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).parent.parent / "docs" / "silent-errors.md"


@dataclass(frozen=True)
class Case:
    """One mistake: the peer's call and answer, the truth, plogp's call and answer, and when that is right."""

    title: str
    peer: str
    call: str
    peer_answer: Callable[[], Any]
    truth: str
    ours: str
    answer: Callable[[], Any]
    holds: Callable[[Any], bool]


CASES: list[Case] = []


def case(title: str, peer: str, call: str, truth: str, ours: str) -> Callable[[type], type]:
    """Register a class with static methods `peer`, `ours` and `holds` as a case."""

    def register(cls: Any) -> Any:
        CASES.append(Case(title, peer, call, cls.peer, truth, ours, cls.ours, cls.holds))
        return cls

    return register


def short(value: Any) -> str:
    """Return a number, or a tuple of them, in a few digits."""
    if isinstance(value, (tuple, list)):
        return ", ".join(short(v) for v in value)
    if isinstance(value, (bool, np.bool_, str)):
        return str(value)
    return f"{float(value):.4g}"


def refused(call: Callable[[], Any]) -> str:
    """Return the error that a call raises, as text."""
    try:
        return f"accepted: {call()}"
    except (ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"


# -- direction, zeros, NaN ------------------------------------------------------------------------------------


@case("KL between samples without common support", "infomeasure", 'im.kld(["a","b"]*50, ["a"]*100, approach="discrete")',
      "+∞", 'pl.estimate.divergence(["a","b"]*50, ["a"]*100, "kl")')  # fmt: skip
class DisjointSupport:
    @staticmethod
    def peer() -> Any:
        import infomeasure as im

        return im.kld(["a", "b"] * 50, ["a"] * 100, approach="discrete")

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        return pl.estimate.divergence(["a", "b"] * 50, ["a"] * 100, "kl").value

    holds = staticmethod(lambda answer: answer == math.inf)


@case("Jensen-Shannon of nearly equal distributions", "scipy", "jensenshannon([x,1-x], [1-x,x])², x = nextafter(0.5, 0)",
      "0 to rounding", 'pl.divergence("js")([x,1-x], [1-x,x])')  # fmt: skip
class NearlyEqual:
    @staticmethod
    def peer() -> Any:
        from scipy.spatial.distance import jensenshannon

        x = math.nextafter(0.5, 0)
        return jensenshannon([x, 1 - x], [1 - x, x]) ** 2

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        x = math.nextafter(0.5, 0)
        return pl.divergence("js")([x, 1 - x], [1 - x, x])

    holds = staticmethod(lambda answer: 0 <= answer < 1e-15)


@case("Jensen-Shannon beside a subnormal number", "scipy", "jensenshannon([0,1], [5e-324,1])²", "0 (at most log 2)",
      'pl.divergence("js")([0,1], [5e-324,1])')  # fmt: skip
class Subnormal:
    @staticmethod
    def peer() -> Any:
        from scipy.spatial.distance import jensenshannon

        return jensenshannon([0, 1], [5e-324, 1]) ** 2

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        return pl.divergence("js")([0, 1], [5e-324, 1])

    holds = staticmethod(lambda answer: 0 <= answer < 1e-300)


@case("Entropy of a batch of rows", "scipy", "entropy([[.5,.5,0],[1,0,0]])", "one entropy per row: 0.693, 0",
      "pl.entropy([[.5,.5,0],[1,0,0]])")  # fmt: skip
class BatchAxis:
    @staticmethod
    def peer() -> Any:
        from scipy.stats import entropy

        return tuple(entropy([[0.5, 0.5, 0], [1, 0, 0]]))

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        return tuple(pl.entropy([[0.5, 0.5, 0], [1, 0, 0]]))

    holds = staticmethod(lambda answer: np.allclose(answer, [math.log(2), 0]))


@case("Entropy of what is no distribution", "scipy", "entropy([.5,-.1,.6])", "an error", "pl.entropy([.5,-.1,.6])")
class NegativeMass:
    @staticmethod
    def peer() -> Any:
        from scipy.stats import entropy

        return entropy([0.5, -0.1, 0.6])

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        return refused(lambda: pl.entropy([0.5, -0.1, 0.6]))

    holds = staticmethod(lambda answer: answer.startswith("ValueError: p contains negative"))


@case("Which JS is it? p = (.5,.5,0), q = (.25,.25,.5)", "scipy", "jensenshannon(p, q)",
      "divergence 0.2158 nats = 0.3113 bits; its root 0.4645", 'js(p, q), js(p, q, base=2), divergence("js_distance")(p, q)')  # fmt: skip
class FourAnswers:
    @staticmethod
    def peer() -> Any:
        from scipy.spatial.distance import jensenshannon

        return jensenshannon([0.5, 0.5, 0], [0.25, 0.25, 0.5])

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        p, q, js = [0.5, 0.5, 0], [0.25, 0.25, 0.5], pl.divergence("js")
        return float(js(p, q)), float(js(p, q, base=2)), float(pl.divergence("js_distance")(p, q))

    holds = staticmethod(lambda answer: np.allclose(answer, [0.2158, 0.3113, 0.4645], atol=1e-4))


@case("Direction and scale of KL", "torch", "kl_div(P.log(), Q), P = (.5,.5), Q = (.9,.1)", "KL(P‖Q) = 0.5108",
      'pl.divergence("kl")(P, Q)')  # fmt: skip
class Direction:
    @staticmethod
    def peer() -> Any:
        import torch

        p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.9, 0.1]])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return float(torch.nn.functional.kl_div(p.log(), q))

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        return pl.divergence("kl")([0.5, 0.5], [0.9, 0.1])

    holds = staticmethod(lambda answer: abs(answer - 0.5108256) < 1e-6)


@case("KL of probabilities given where logarithms are wanted", "torch", 'kl_div(P, P, reduction="sum"), P = (.2,.3,.5)',
      "0, or an error", "pl.divergence('kl')(P, P), .from_log_probs(P, P)")  # fmt: skip
class LogsWanted:
    @staticmethod
    def peer() -> Any:
        import torch

        p = torch.tensor([0.2, 0.3, 0.5])
        return float(torch.nn.functional.kl_div(p, p, reduction="sum"))

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        p, kl = [0.2, 0.3, 0.5], pl.divergence("kl")
        return float(kl(p, p)), refused(lambda: kl.from_log_probs(p, p))

    holds = staticmethod(lambda answer: answer[0] == 0 and answer[1].startswith("ValueError"))


@case("Gradient of entropy with a masked logit", "torch", "p = softmax(z), -(p * p.log()).sum(), z = (0, 0, -inf): gradient",
      "(0, 0, 0)", "pl.measures.entropy_from_logits(z): gradient")  # fmt: skip
class MaskedGradient:
    @staticmethod
    def peer() -> Any:
        import torch

        z = torch.tensor([0.0, 0.0, -math.inf], requires_grad=True)
        p = torch.softmax(z, -1)
        (-(p * p.log()).sum()).backward()
        return tuple(z.grad.tolist())

    @staticmethod
    def ours() -> Any:
        import torch

        import plogp as pl

        z = torch.tensor([0.0, 0.0, -math.inf], requires_grad=True)
        pl.measures.entropy_from_logits(z).backward()
        return tuple(z.grad.tolist())

    holds = staticmethod(lambda answer: np.allclose(answer, 0))


@case("KL of bfloat16 logits, 128,000 words, truth about 5e-5", "torch",
      "kl_div(log_softmax(b), log_softmax(a), log_target=True) in bfloat16", "the float64 KL of the same logits",
      "KL.from_logits(a, b) / the float64 KL")  # fmt: skip
class BFloat16:
    @staticmethod
    def logits() -> Any:
        import torch

        torch.manual_seed(0)
        a = torch.randn(4, 128_000).bfloat16()
        return a, (a.float() + 0.01 * torch.randn(4, 128_000)).bfloat16()

    @staticmethod
    def peer() -> Any:
        import torch

        a, b = BFloat16.logits()
        out = torch.nn.functional.kl_div(
            torch.log_softmax(b, -1), torch.log_softmax(a, -1), log_target=True, reduction="none"
        ).sum(-1)
        return tuple(out.tolist())

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        a, b = BFloat16.logits()
        kl = pl.divergence("kl")
        return tuple((kl.from_logits(a, b).double() / kl.from_logits(a.double(), b.double())).tolist())

    holds = staticmethod(lambda answer: np.allclose(answer, 1, rtol=0.02))


# -- estimates ------------------------------------------------------------------------------------------------


def _gaussian(rho: float, n: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, rho * x + math.sqrt(1 - rho * rho) * rng.normal(size=n)


@case("Confidence interval of mutual information (normal, ρ = 0.6, n = 300, 20 samples)", "infomeasure",
      "estimator.statistical_test(...).confidence_interval(95): covers the truth 0.223", "19 of 20",
      "pl.estimate.mutual_information(x, y).interval(0.95): covers")  # fmt: skip
class NullInterval:
    @staticmethod
    def peer() -> Any:
        import infomeasure as im

        hits = 0
        for seed in range(20):
            x, y = _gaussian(0.6, 300, seed)
            test = im.estimator(x, y, measure="mi", approach="ksg").statistical_test(n_tests=40)
            low, high = test.confidence_interval(95)
            hits += low <= 0.2231 <= high
        return f"{hits} of 20"

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        hits = 0
        for seed in range(20):
            low, high = pl.estimate.mutual_information(*_gaussian(0.6, 300, seed)).interval(0.95)
            hits += low <= 0.2231 <= high
        return f"{hits} of 20"

    holds = staticmethod(lambda answer: int(answer.split()[0]) >= 16)


@case("Mutual information of independent floats, n = 1,000", "sklearn", "mutual_info_score(x, y)", "0",
      "pl.estimate.mutual_information(x, y)")  # fmt: skip
class FloatLabels:
    @staticmethod
    def peer() -> Any:
        from sklearn.metrics import mutual_info_score

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return mutual_info_score(*_gaussian(0.0, 1000, 0))

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        e = pl.estimate.mutual_information(*_gaussian(0.0, 1000, 0))
        return e.value, *e.interval(0.95)

    holds = staticmethod(lambda answer: answer[1] <= 0 <= answer[2] and abs(answer[0]) < 0.1)


@case("Mutual information of independent labels with 50 levels, n = 500", "sklearn", "mutual_info_score(a, b)", "0",
      "pl.estimate.mutual_information(a, b): value, p-value")  # fmt: skip
class ManyLevels:
    @staticmethod
    def peer() -> Any:
        from sklearn.metrics import mutual_info_score

        rng = np.random.default_rng(0)
        return mutual_info_score(rng.integers(0, 50, 500), rng.integers(0, 50, 500))

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        rng = np.random.default_rng(0)
        e = pl.estimate.mutual_information(rng.integers(0, 50, 500), rng.integers(0, 50, 500))
        return e.value, e.p_value

    holds = staticmethod(lambda answer: answer[0] < 0.6 and answer[1] > 0.01)


@case("Nearest-neighbour MI by sorted marginals, independent normals, n = 2,000", "scipy",
      "KSG with searchsorted(u + nextafter(r, 0)) for the counts, less KSG with counts by brute force", "0",
      "pl.estimate.ksg(x, y), less KSG with counts by brute force")  # fmt: skip
class BoundaryOfTheBall:
    @staticmethod
    def setting() -> Any:
        from scipy.spatial import cKDTree

        x, y = _gaussian(0.0, 2000, 1)
        radius = cKDTree(np.c_[x, y]).query(np.c_[x, y], k=4, p=np.inf)[0][:, -1]
        return x, y, radius

    @staticmethod
    def value(counts: list[Any]) -> float:
        from scipy.special import digamma

        return float(digamma(3) + digamma(2000) - sum(np.mean(digamma(c)) for c in counts))

    @staticmethod
    def brute() -> float:
        x, y, radius = BoundaryOfTheBall.setting()
        return BoundaryOfTheBall.value([(np.abs(u[:, None] - u) < radius[:, None]).sum(1) for u in (x, y)])

    @staticmethod
    def peer() -> Any:
        x, y, radius = BoundaryOfTheBall.setting()
        r = np.nextafter(radius, 0)
        counts = []
        for u in (x, y):
            s = np.sort(u)
            counts.append(np.searchsorted(s, u + r, "right") - np.searchsorted(s, u - r, "left"))
        return BoundaryOfTheBall.value(counts) - BoundaryOfTheBall.brute()

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        x, y, _ = BoundaryOfTheBall.setting()
        return pl.estimate.ksg(x, y, k=3, scale=None).value - BoundaryOfTheBall.brute()

    holds = staticmethod(lambda answer: abs(answer) < 1e-9)


@case("Interval of entropy, 50 symbols, n = 200, 60 samples", "scipy",
      'bootstrap((x,), entropy, method="percentile"): covers the truth', "57 of 60",
      "pl.estimate.entropy(x).interval(0.95): covers")  # fmt: skip
class PercentileBootstrap:
    @staticmethod
    def samples() -> Any:
        p = np.random.default_rng(7).dirichlet(np.ones(50))
        truth = float(-(p * np.log(p)).sum())
        return truth, [np.random.default_rng(s).choice(50, 200, p=p) for s in range(60)]

    @staticmethod
    def peer() -> Any:
        from scipy.stats import bootstrap, entropy

        truth, samples = PercentileBootstrap.samples()

        def plugin(x: Any, axis: int = -1) -> Any:
            return np.apply_along_axis(lambda v: entropy(np.bincount(v.astype(int), minlength=50)), axis, x)

        hits = 0
        for x in samples:
            low, high = bootstrap(
                (x,), plugin, method="percentile", n_resamples=199, random_state=0
            ).confidence_interval
            hits += low <= truth <= high
        return f"{hits} of 60"

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        truth, samples = PercentileBootstrap.samples()
        hits = 0
        for x in samples:
            low, high = pl.estimate.entropy(x).interval(0.95)
            hits += low <= truth <= high
        return f"{hits} of 60"

    holds = staticmethod(lambda answer: int(answer.split()[0]) >= 51)


@case("Differential entropy of 5,000 normals rounded to one decimal", "scipy", "differential_entropy(x.round(1))",
      "an error, or a number that says so: ties have no density", "pl.estimate.entropy(x.round(1))")  # fmt: skip
class RoundedData:
    @staticmethod
    def peer() -> Any:
        from scipy.stats import differential_entropy

        with np.errstate(all="ignore"):
            return differential_entropy(np.random.default_rng(0).normal(size=5000).round(1))

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        return refused(lambda: pl.estimate.entropy(np.random.default_rng(0).normal(size=5000).round(1)))

    holds = staticmethod(lambda answer: answer.startswith("ValueError"))


# -- tables ---------------------------------------------------------------------------------------------------


@case("Information value of a perfect predictor", "optbinning", "OptimalBinning().fit(x, x > 0.5): IV", "as large as it gets",
      "pl.tables.relate(table, 'y'): IV, leak")  # fmt: skip
class PerfectPredictor:
    @staticmethod
    def peer() -> Any:
        from optbinning import OptimalBinning

        x = np.random.default_rng(0).uniform(size=5000)
        binning = OptimalBinning(dtype="numerical").fit(x, (x > 0.5).astype(int))
        table = binning.binning_table
        table.build()
        return table.iv

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        x = np.random.default_rng(0).uniform(size=5000)
        row = next(iter(pl.tables.relate({"x": x, "y": (x > 0.5).astype(int)}, "y")))
        return row.information_value.value, row.leak

    holds = staticmethod(lambda answer: answer[0] > 5 and bool(answer[1]))


@case("Information value of pure noise, n = 500, 30 seeds", "optbinning", "share of seeds with IV above 0.02 ('weak')",
      "5 % or fewer are called informative", "share of seeds that pl.tables.relate calls informative")  # fmt: skip
class NoiseValue:
    @staticmethod
    def peer() -> Any:
        from optbinning import OptimalBinning

        high = 0
        for seed in range(30):
            rng = np.random.default_rng(seed)
            binning = OptimalBinning(dtype="numerical").fit(rng.normal(size=500), rng.integers(0, 2, 500))
            table = binning.binning_table
            table.build()
            high += table.iv > 0.02
        return high / 30

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        called = 0
        for seed in range(30):
            rng = np.random.default_rng(seed)
            table = {"x": rng.normal(size=500), "y": rng.integers(0, 2, 500)}
            called += next(iter(pl.tables.relate(table, "y"))).informative
        return called / 30

    holds = staticmethod(lambda answer: answer <= 4 / 30)


def _evidently(reference: Any, current: Any, **options: Any) -> Any:
    import pandas as pd
    from evidently import Report
    from evidently.metrics import ValueDrift

    kind = {"x": reference}, {"x": current}
    run = Report([ValueDrift(column="x", **options)]).run(
        current_data=pd.DataFrame(kind[1]), reference_data=pd.DataFrame(kind[0])
    )
    return float(run.dict()["metrics"][0]["value"])


def _cities(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return np.char.add("city ", rng.integers(0, 300, 1001).astype(str))


@case("No drift: 300 cities, the same distribution, n = 1,001 each", "evidently", "JS distance, drift above 0.1", "no drift",
      "pl.tables.drift(...): drifted, adjusted p-value")  # fmt: skip
class ManyCities:
    @staticmethod
    def peer() -> Any:
        return _evidently(_cities(0), _cities(1))

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        row = next(iter(pl.tables.drift({"x": _cities(0)}, {"x": _cities(1)})))
        return row.drifted, row.p_adjusted

    holds = staticmethod(lambda answer: not answer[0] and answer[1] > 0.01)


@case("Drift: N(0,1) against N(0.08,1), n = 50,000", "evidently", "Wasserstein distance (normed), drift above 0.1", "drift",
      "pl.tables.drift(...): drifted, adjusted p-value")  # fmt: skip
class SmallShift:
    @staticmethod
    def samples() -> Any:
        rng = np.random.default_rng(0)
        return rng.normal(size=50_000), rng.normal(0.08, 1, 50_000)

    @staticmethod
    def peer() -> Any:
        return _evidently(*SmallShift.samples())

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        x, y = SmallShift.samples()
        row = next(iter(pl.tables.drift({"x": x}, {"x": y})))
        return row.drifted, row.p_adjusted

    holds = staticmethod(lambda answer: bool(answer[0]) and answer[1] < 1e-6)


@case("PSI with one outlier of 1e6 in the reference, N(0,1) against N(2,1), n = 5,000", "evidently",
      'PSI without and with it (method="psi")', "about 3.9 both times",
      "pl.tables.drift(...): PSI without and with it")  # fmt: skip
class OneOutlier:
    @staticmethod
    def samples() -> Any:
        rng = np.random.default_rng(0)
        return rng.normal(size=5000), rng.normal(2, 1, 5000)

    @staticmethod
    def peer() -> Any:
        x, y = OneOutlier.samples()
        return _evidently(x, y, method="psi"), _evidently(np.append(x, 1e6), np.append(y, 2.0), method="psi")

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        x, y = OneOutlier.samples()
        return tuple(next(iter(pl.tables.drift({"x": v}, {"x": y}))).psi.value for v in (x, np.append(x, 1e6)))

    holds = staticmethod(lambda answer: min(answer) > 2.5 and abs(answer[0] - answer[1]) < 0.2)


@case("PSI and one row of a rare category on both sides; a new category at 1 %, n = 20,000", "evidently",
      'PSI without and with the rare row (method="psi"), drift above 0.1', "the same verdict both times",
      "pl.tables.drift(...): PSI without and with it, same verdict")  # fmt: skip
class OneRareRow:
    @staticmethod
    def samples() -> Any:
        rng = np.random.default_rng(0)
        reference = rng.choice(["a", "b", "c"], 20_000)
        current = np.where(rng.uniform(size=20_000) < 0.01, "new", rng.choice(["a", "b", "c"], 20_000))
        return reference, current

    @staticmethod
    def peer() -> Any:
        x, y = OneRareRow.samples()
        return _evidently(x, y, method="psi"), _evidently(np.append(x, "rare"), np.append(y, "rare"), method="psi")

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        x, y = OneRareRow.samples()
        rows = [
            next(iter(pl.tables.drift({"x": a}, {"x": b})))
            for a, b in ((x, y), (np.append(x, "rare"), np.append(y, "rare")))
        ]
        return rows[0].psi.value, rows[1].psi.value, rows[0].drifted == rows[1].drifted

    holds = staticmethod(lambda answer: bool(answer[2]) and abs(answer[0] - answer[1]) < 0.02)


@case("PSI of two equal samples, n = 2,000, 10 bins", "frouros", "PSI(num_bins=10).fit(x).compare(x')", "0 to noise (bias 0.009)",
      "pl.tables.psi({'x': x}, {'x': x'}, n=10): value, p-value")  # fmt: skip
class EqualSamples:
    @staticmethod
    def samples() -> Any:
        rng = np.random.default_rng(0)
        return rng.normal(size=2000), rng.normal(size=2000)

    @staticmethod
    def peer() -> Any:
        from frouros.detectors.data_drift import PSI

        x, y = EqualSamples.samples()
        detector = PSI(num_bins=10)
        detector.fit(X=x)
        result, _ = detector.compare(X=y)
        return result.distance

    @staticmethod
    def ours() -> Any:
        import plogp as pl

        x, y = EqualSamples.samples()
        row = next(iter(pl.tables.psi({"x": x}, {"x": y})))
        return row.value.value, row.p_value

    holds = staticmethod(lambda answer: answer[0] < 0.03 and answer[1] > 0.001)


# -- running --------------------------------------------------------------------------------------------------

DISTRIBUTIONS = {"sklearn": "scikit-learn"}


def collect(path: Path) -> None:
    """Run every peer that can be imported here and add its answers to the file."""
    answers = json.loads(path.read_text()) if path.exists() else {}
    for c in CASES:
        try:
            __import__(c.peer)
        except ImportError:
            continue
        version = importlib.metadata.version(DISTRIBUTIONS.get(c.peer, c.peer))
        try:
            answer = short(c.peer_answer())
        except Exception as error:  # a peer that crashes is not silent: say so
            answer = f"{type(error).__name__}: {str(error)[:80]}"
        answers[c.title] = {"answer": answer, "version": version}
        print(f"{c.peer} {version}: {c.title}: {answer}")
    path.write_text(json.dumps(answers, indent=1))


def write(path: Path) -> int:
    """Run plogp on every case and write the page; the number of cases that plogp gets wrong."""
    answers = json.loads(path.read_text())
    wrong, rows = 0, []
    for c in CASES:
        ours = c.answer()
        wrong += not c.holds(ours)
        peer = answers.get(c.title)
        if peer is None:
            raise SystemExit(f"no answer of {c.peer} for {c.title!r}: run --collect where it is installed")
        rows.append(
            f"### {c.title}\n\n| | call | answer |\n|---|---|---|\n"
            f"| {c.peer} {peer['version']} | `{cell(c.call)}` | {cell(peer['answer'])} |\n"
            f"| truth | | {cell(c.truth)} |\n| plogp | `{cell(c.ours)}` | {cell(short(ours))} |\n"
        )
        print(f"{'ok   ' if c.holds(ours) else 'WRONG'} {c.title}: {short(ours)}")
    PAGE.write_text(
        "# Silent errors\n\nCalls that give a number, no warning, and the wrong answer. Each was run, with the version named; "
        "plogp's side is a test of this repository (`tests/test_silent_errors.py`). Written by "
        "`benchmarks/silent_errors.py`.\n\n" + "\n".join(rows)
    )
    return wrong


def cell(text: str) -> str:
    """Return text as it can stand in a table of Markdown."""
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collect", type=Path)
    parser.add_argument("--write", type=Path)
    chosen = parser.parse_args()
    if chosen.collect:
        collect(chosen.collect)
    if chosen.write:
        raise SystemExit(write(chosen.write))
