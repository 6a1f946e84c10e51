"""Perfect reconstruction in the lattice of information (arXiv 2306.15540): metrics, complements, the bound.

The paper: if functions X_1..X_n of X determine X, their Rajski distances to X sum to at most n - 1; for
independent functions the converse holds too. Checked on its five examples, and on random partitions.
"""

import itertools
import math

import numpy as np

import plogp as pl
from plogp.papers.claim import Result, claim

SLUG = "reconstruction_lattice"


@claim(SLUG, kind="exact")
def distances_are_metrics(seed: int = 0) -> Result:
    """Shannon's and Rajski's distances obey the triangle inequality on 2,000 random triples of variables."""
    rng = np.random.default_rng(seed)
    worst = {"shannon": -math.inf, "rajski": -math.inf}
    for _ in range(2000):
        world = pl.Lattice(rng.dirichlet(np.ones(30)))
        x, y, z = (world.partition(rng.integers(0, rng.integers(1, 12), 30)) for _ in range(3))
        for name, d in (("shannon", pl.shannon_distance), ("rajski", pl.rajski_distance)):
            worst[name] = max(worst[name], d(x, z) - d(x, y) - d(y, z))
    return Result(
        measured=worst,
        expected={"shannon": 0.0, "rajski": 0.0},
        criterion="largest violation of the triangle inequality <= 1e-12",
        passed=max(worst.values()) <= 1e-12,
    )


@claim(SLUG, kind="exact")
def join_and_meet_match_brute_force(seed: int = 0) -> Result:
    """Join and meet agree with intersection and chained union of blocks, on 1,000 pairs of six points."""
    rng = np.random.default_rng(seed)
    wrong = 0
    for _ in range(1000):
        x, y = (pl.Partition(rng.integers(0, 4, 6)) for _ in range(2))
        in_both, in_either = _same_block(x) & _same_block(y), _same_block(x) | _same_block(y)
        chained = np.linalg.matrix_power(in_either.astype(int), 6) > 0
        wrong += not np.array_equal(_same_block(x | y), in_both)
        wrong += not np.array_equal(_same_block(x & y), chained)
    return Result(wrong, 0, "no pair of partitions disagrees", wrong == 0, details={"pairs": 1000})


def _same_block(x: pl.Partition) -> np.ndarray:
    return x.labels[:, None] == x.labels


@claim(SLUG, kind="exact")
def complements_exist(seed: int = 0) -> Result:
    """Every X below Y has a Z with X v Z = Y and X ^ Z = 0: 1,000 random pairs, with massless atoms."""
    rng = np.random.default_rng(seed)
    wrong = 0
    for _ in range(1000):
        p = rng.dirichlet(np.ones(20)) * (rng.random(20) < 0.8) + 1e-9 * (np.arange(20) == 0)
        world = pl.Lattice(p / p.sum())
        x = world.partition(rng.integers(0, 5, 20))
        top = x | world.partition(rng.integers(0, 6, 20))
        z = x.complement(top)
        wrong += not (x | z == top and x & z == world.bottom)
    return Result(wrong, 0, "no complement breaks an identity", wrong == 0)


@claim(SLUG, kind="exact")
def variables_below_lie_on_geodesics(seed: int = 0) -> Result:
    """For Z <= X: D(0,Z) + D(Z,X) = D(0,X) with D(Z,X) = H(X) - H(Z), and d(Z,X) = 1 - H(Z)/H(X)."""
    rng = np.random.default_rng(seed)
    worst = 0.0
    for _ in range(500):
        world = pl.Lattice(rng.dirichlet(np.ones(15)))
        z = world.partition(rng.integers(0, 4, 15))
        x = z | world.partition(rng.integers(0, 4, 15))
        below = pl.shannon_distance(world.bottom, z)
        rest = pl.shannon_distance(z, x)
        deviations = [
            below + rest - pl.shannon_distance(world.bottom, x),
            rest - (x.entropy() - z.entropy()),
            pl.rajski_distance(z, x) - (1 - z.entropy() / x.entropy()),
        ]
        worst = max(worst, *map(abs, deviations))
    return Result(worst, 0.0, "largest deviation <= 1e-12", worst <= 1e-12)


@claim(SLUG, kind="exact")
def sign_and_magnitude(seed: int = 0) -> Result:
    """A variable is its sign and its magnitude; the bound is met with equality iff X is symmetric."""
    rng = np.random.default_rng(seed)
    x = np.array([-3, -2, -1, 1, 2, 3])
    half = rng.dirichlet(np.ones(3)) / 2
    weights = {"symmetric": np.concatenate([half[::-1], half]), "skew": rng.dirichlet(np.ones(6))}
    slack, good = {}, True
    for name, p in weights.items():
        report = pl.reconstruction(x, [np.sign(x), np.abs(x)], probs=p)
        slack[name] = report.slack
        good &= report.reconstructs and report.independent == (name == "symmetric")
    good &= abs(slack["symmetric"]) <= 1e-12 and slack["skew"] > 1e-6
    return Result(slack, {"symmetric": 0.0}, "both reconstruct; slack 0 iff symmetric", good)


@claim(SLUG, kind="exact")
def words_from_linear_combinations(seed: int = 0) -> Result:
    """A binary word is rebuilt from linear combinations over GF(2) iff their matrix has full rank."""
    rng = np.random.default_rng(seed)
    k, wrong, beyond, full = 4, 0, 0, 0
    words = np.array(list(itertools.product((0, 1), repeat=k)))
    for _ in range(300):
        matrix = rng.integers(0, 2, (int(rng.integers(2, 7)), k))
        report = pl.reconstruction(words, [words @ row % 2 for row in matrix])
        rank = round(math.log2(len(np.unique(words @ matrix.T % 2, axis=0))))
        assert rank == _rank_gf2(matrix)
        full += rank == k
        wrong += report.reconstructs != (rank == k)
        beyond += report.reconstructs and not report.possible
        wrong += report.independent and report.possible != report.reconstructs
    passed = wrong == 0 and beyond == 0 and 0 < full < 300
    return Result(
        {"disagreements": wrong, "reconstructed beyond the bound": beyond},
        {"disagreements": 0, "reconstructed beyond the bound": 0},
        "no disagreement with the rank, no violation of the bound",
        passed,
        details={"matrices": 300, "full rank": full},
    )


def _rank_gf2(matrix: np.ndarray) -> int:
    rows, rank = [int("".join(map(str, row)), 2) for row in matrix], 0
    while rows:
        pivot = rows.pop()
        if pivot:
            rank += 1
            low = pivot & -pivot
            rows = [row ^ pivot if row & low else row for row in rows]
    return rank


@claim(SLUG, kind="exact")
def integers_from_their_prime_valuations(seed: int = 0) -> Result:
    """A number up to 30 is rebuilt from its p-adic valuations iff no prime up to 30 is left out."""
    rng = np.random.default_rng(seed)
    x = np.arange(1, 31)
    primes = [n for n in range(2, 31) if all(n % d for d in range(2, n))]
    valuations = [np.array([max(e for e in range(5) if n % p**e == 0) for n in x]) for p in primes]
    p = rng.dirichlet(np.ones(30))
    whole = pl.reconstruction(x, valuations, probs=p)
    lacking = [
        pl.reconstruction(x, [v for j, v in enumerate(valuations) if j != i], probs=p).reconstructs
        for i in range(len(primes))
    ]
    passed = whole.reconstructs and whole.possible and not any(lacking)
    return Result(
        {"all primes": int(whole.reconstructs), "one prime less": sum(lacking), "slack": whole.slack},
        {"all primes": 1, "one prime less": 0},
        "all primes reconstruct within the bound; every smaller family fails",
        passed,
    )


@claim(SLUG, kind="exact")
def chinese_remainders(seed: int = 0) -> Result:
    """Residues of a number below 30: sums of distances, and whether they rebuild it, as the theorem says."""
    x = np.arange(30)
    families = [(2, 3, 5), (2, 3), (6, 10, 15), (2, 4, 8)]
    expected = {"2,3,5": 2.0, "2,3": 1.4732, "6,10,15": 1.0, "2,4,8": 1.7799}
    reports = {",".join(map(str, f)): pl.reconstruction(x, [x % m for m in f]) for f in families}
    measured = {name: report.sum_d for name, report in reports.items()}
    passed = all(abs(measured[name] - value) <= 5e-5 for name, value in expected.items())
    passed &= {name: r.reconstructs for name, r in reports.items()} == {
        name: math.lcm(*f) == 30 for name, f in zip(reports, families)
    }
    passed &= reports["2,4,8"].possible and not reports["2,3"].possible
    return Result(
        measured,
        expected,
        "sums within 5e-5; reconstructs iff the least common multiple is 30; (2,4,8) shows insufficiency",
        passed,
    )


@claim(SLUG, kind="exact")
def permutations_from_comparisons(seed: int = 0) -> Result:
    """An order of 3 or 4 things is rebuilt from pairwise comparisons iff every pair is compared."""
    wrong, families = 0, 0
    least: dict[str, int] = {}
    for n in (3, 4):
        orders = np.array(list(itertools.permutations(range(n))))
        pairs = list(itertools.combinations(range(n), 2))
        for size in range(1, len(pairs) + 1):
            for chosen in itertools.combinations(pairs, size):
                report = pl.reconstruction(orders, [orders[:, a] < orders[:, b] for a, b in chosen])
                # Each order has some pair as neighbours, which no other comparison can settle.
                wrong += report.reconstructs != (size == len(pairs))
                wrong += report.reconstructs and not report.possible
                wrong += report.possible != (size >= math.log2(math.factorial(n)))
                if report.possible:
                    least.setdefault(f"least number allowed for {n}", size)
                families += 1
    return Result(
        wrong,
        0,
        "reconstructs iff all pairs are compared; the bound is the sorting bound log2 n!",
        wrong == 0,
        details={"families": families, **least},
    )


@claim(SLUG, kind="exact")
def no_family_beats_the_bound(seed: int = 0) -> Result:
    """Over 1,000 random families: none that reconstructs X exceeds n - 1; independent ones exactly so."""
    rng = np.random.default_rng(seed)
    beyond, converse, rebuilt, worst = 0, 0, 0, 0.0
    for _ in range(1000):
        size, n = int(rng.integers(2, 9)), int(rng.integers(2, 5))
        world = pl.Lattice(rng.dirichlet(np.ones(size)))
        parts = [world.partition(rng.integers(0, 3, size)) for _ in range(n)]
        report = pl.reconstruction(world.top, parts)
        rebuilt += report.reconstructs
        beyond += report.reconstructs and not report.possible
        converse += report.independent and report.possible and not report.reconstructs
        if report.reconstructs:  # the slack is the total correlation of the parts over H(X)
            redundancy = sum(part.entropy() for part in parts) / report.entropy - 1
            worst = max(worst, abs(report.slack - redundancy))
    passed = beyond == 0 and converse == 0 and rebuilt > 100 and worst <= 1e-12
    return Result(
        {"beyond the bound": beyond, "independent exceptions": converse, "slack - redundancy": worst},
        {"beyond the bound": 0, "independent exceptions": 0, "slack - redundancy": 0.0},
        "no exception; slack equals the normalised total correlation to 1e-12",
        passed,
        details={"families": 1000, "reconstructed": rebuilt},
    )
