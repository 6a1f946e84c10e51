"""Cross-entropy search on the zeta function, and path-aware top-p (Li, arXiv 2409.19790).

A framework paper without numeric results. Two algorithms of it are run here; nothing is claimed about the Riemann
hypothesis.
"""

import mpmath
import numpy as np

from plogp.decode import PathBeam, TopP, generate
from plogp.decode.path_beam import Path
from plogp.papers.claim import Result, claim
from plogp.search import CrossEntropyMethod
from plogp.search.cross_entropy_method import IndependentNormal, SearchResult
from plogp.trace import MarkovLM

SLUG = "riemann-ce"


def find_zero(t0: float, sigma: float | None = None, *, spread: float = 0.5, rng: int = 0) -> SearchResult:
    """Search a zero of the zeta function near sigma + i t0; with sigma None along the line 1/2 + i t, over t only.

    >>> round(float(find_zero(14.5).best[0]), 6)
    14.134725
    """

    def size(x: np.ndarray) -> np.ndarray:
        return np.array([float(abs(mpmath.zeta(complex(*(row if len(row) == 2 else (0.5, row[0])))))) for row in x])

    law = IndependentNormal([t0], [spread]) if sigma is None else IndependentNormal([sigma, t0], [spread / 2, spread])
    return CrossEntropyMethod(60, 0.15, iterations=25 if sigma is None else 40, tol=1e-9, rng=rng).search(size, law)


@claim(SLUG, kind="statistical")
def search_finds_the_zeros(seed: int = 0) -> Result:
    """On the line from 14.5, 21.3 and 25.3, and in the plane from 0.7 + 14.5i, the search ends at a zero of zeta."""
    ends = {f"from {t0}": float(find_zero(t0, rng=seed).best[0]) for t0 in (14.5, 21.3, 25.3)}
    truth = [float(mpmath.zetazero(n).imag) for n in (1, 2, 3)]
    error = max(abs(a - b) for a, b in zip(ends.values(), truth, strict=True))
    plane = find_zero(14.5, 0.7, rng=seed)
    off = float(np.abs(plane.best - [0.5, truth[0]]).max())
    share = plane.share(lambda x: np.abs(x[:, 0] - 0.5) < 1e-3)
    return Result(
        {"zeros": list(ends.values()), "error on the line": error, "error in the plane": off},
        {"zeros": truth, "error on the line": 0.0, "error in the plane": 0.0},
        "within 1e-6 on the line and 1e-4 in the plane",
        error <= 1e-6 and off <= 1e-4,
        details={
            "residual": float(abs(mpmath.zeta(complex(*plane.best)))),
            "share of the elite within 0.001 of 1/2": share.to_dict(),
            "evaluations": plane.evaluations,
        },
    )


@claim(SLUG, kind="exact")
def ends_of_the_path_beam(seed: int = 0) -> Result:
    """One path keeps exactly the tokens of top-p; p = 0 is beam search of the same width."""
    rng = np.random.default_rng(seed)
    wrong = 0
    for _ in range(100):
        z, mass = 2 * rng.normal(size=12), float(rng.uniform(0.05, 1))
        wrong += not np.array_equal(PathBeam(k=1, p=mass).nucleus(z) > -np.inf, TopP(mass).filter(z) > -np.inf)
    chain, gap = MarkovLM.random(8, 1.5, order=2, rng=seed), 0.0
    for start in range(8):
        beams: list[tuple[tuple[int, ...], float]] = [((start, 0), 0.0)]
        for _ in range(5):
            grown = [((*ids, v), s + float(chain.next(ids)[v])) for ids, s in beams for v in range(8)]
            beams = sorted(grown, key=lambda b: -b[1])[:4]
        scores = PathBeam(chain, k=4, p=0.0).decode([start, 0], 5, rng=seed).report["scores"]
        gap = max(gap, float(np.abs(scores - [s for _, s in beams]).max()))
    return Result(
        {"nuclei that differ": wrong, "largest gap of beam scores": gap},
        {"nuclei that differ": 0, "largest gap of beam scores": 0.0},
        "no nucleus of 100 differs, gap <= 1e-12",
        wrong == 0 and gap <= 1e-12,
    )


def _delayed(seed: int) -> MarkovLM:
    """An order-2 chain in which the likelier of two first tokens leads to a broad law, the other to a sharp one."""
    rng = np.random.default_rng(seed)
    sharp = np.where(rng.random((12, 12, 1)) < 0.5, 4.0, 0.7)
    logits = sharp * rng.normal(size=(12, 12, 12))
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return MarkovLM(p / p.sum(axis=-1, keepdims=True))


def _distinct(paths: list[Path]) -> float:
    return len({p.ids.tobytes() for p in paths}) / len(paths)


@claim(SLUG, kind="directional")
def likelier_than_sampling_more_varied_than_beams(seed: int = 0) -> Result:
    """Delayed rewards: PathBeam(4) is likelier than top-p, and repeated runs more varied than beam search."""
    ours, top_p, variety, beams = [], [], [], []
    for s in range(3):
        chain = _delayed(100 * seed + s)
        runs = [PathBeam(chain, k=4, p=0.9).decode([0, r % 12], 15, rng=r) for r in range(24)]
        ours.append(float(np.mean([p.logprob for r in runs for p in r.report["paths"]])))
        drawn = [generate(chain, [0, r % 12], TopP(0.9), 15, num_samples=4, rng=r) for r in range(24)]
        top_p.append(float(np.mean([-g.trace.nll() for g in drawn if g.trace is not None])))
        again = [PathBeam(chain, k=4, p=0.9).decode([0, 0], 15, rng=r).report["paths"] for r in range(8)]
        fixed = [PathBeam(chain, k=4, p=0.0).decode([0, 0], 15, rng=r).report["paths"] for r in range(8)]
        variety.append(_distinct([p for paths in again for p in paths]))
        beams.append(_distinct([p for paths in fixed for p in paths]))
    likelier = all(a > b for a, b in zip(ours, top_p, strict=True))
    varied = all(a > b for a, b in zip(variety, beams, strict=True))
    return Result(
        {"log-probability of a path": ours, "distinct share of 32 paths": variety},
        {"log-probability of a path": "above top-p", "distinct share of 32 paths": "above beam search"},
        "mean log-probability of a path above top-p sampling, and share of distinct paths of 8 runs above beam search, "
        "in 3 of 3 chains",
        likelier and varied,
        baseline={"top-p": top_p, "beam search": beams},
        unit="nats",
    )
