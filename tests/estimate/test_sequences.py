import math

import numpy as np
import pytest

from plogp.estimate import gaussian_transfer_entropy
from plogp.estimate.tasks.sequences import awgn, coloured, eca, evolve, gar, gma, induction, markov, prng, stationary


def test_automata_by_hand():
    rng = np.random.default_rng(0)
    for rule in (0, 15, 30, 54, 90, 110, 255):
        cells = rng.integers(0, 2, 11)
        expected = [(rule >> (4 * cells[i - 1] + 2 * cells[i] + cells[(i + 1) % 11])) & 1 for i in range(11)]
        assert evolve(cells, rule).tolist() == expected
        assert (evolve(cells, rule, 3) == evolve(evolve(evolve(cells, rule), rule), rule)).all()
    # rule 30 from one cell: the known triangle
    start = np.zeros(11, dtype=int)
    start[5] = 1
    assert evolve(start, 30, 3).tolist() == [0, 0, 1, 1, 0, 1, 1, 1, 1, 0, 0]
    # rule 90 is a sum modulo 2
    assert (evolve(cells, 90) == (np.roll(cells, 1) ^ np.roll(cells, -1))).all()


def test_eca():
    first, last = eca(15, width=9, steps=4, n=50, rng=1)
    assert (last == np.roll(first, 4, axis=1)).all()  # shifted and inverted four times
    assert first.dtype == np.uint8
    assert 0.4 < first.mean() < 0.6
    again = eca(15, width=9, steps=4, n=50, rng=1)
    assert (again[0] == first).all()


def test_markov_chains():
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.0, 0.4, 0.6]])
    pi = stationary(p)
    assert pi @ p == pytest.approx(pi)
    assert pi.sum() == pytest.approx(1.0)
    for x in (markov(p, 60_000, rng=0), markov(p, 300, n=200, rng=0).ravel()):
        assert np.bincount(x, minlength=3) / len(x) == pytest.approx(pi, abs=0.015)
    x = markov(p, 60_000, rng=2)
    table = np.zeros((3, 3))
    np.add.at(table, (x[:-1], x[1:]), 1)
    assert table / table.sum(1, keepdims=True) == pytest.approx(p, abs=0.02)
    many = markov(p, 2, n=60_000, rng=3)
    np.add.at(table := np.zeros((3, 3)), (many[:, 0], many[:, 1]), 1)
    assert table / table.sum(1, keepdims=True) == pytest.approx(p, abs=0.02)
    assert markov([[0.0, 1.0], [1.0, 0.0]], 4, rng=0).tolist() in ([0, 1, 0, 1], [1, 0, 1, 0])


def test_induction_tasks():
    task = induction("hard", 20, num_hidden=4, width=12, steps=2, rule=30, rng=0)
    whole = np.concatenate([task.hidden, task.given], axis=1)
    assert (evolve(whole, 30, 2) == task.sequence).all()
    easy = induction("easy", 400, num_hidden=1, symbols=3, length=300, rng=0)
    assert easy.given.shape == (400, 6)
    assert (easy.hidden == easy.hidden[0]).all()
    rows = easy.given.reshape(400, 2, 3)
    assert rows.sum(-1) == pytest.approx(np.ones((400, 2)))
    # the given rows are those that the sequences follow
    shown = np.setdiff1d(np.arange(3), easy.hidden[0])
    gap = []
    for i in range(400):
        s = easy.sequence[i]
        for k, state in enumerate(shown):
            after = s[1:][s[:-1] == state]
            if len(after) >= 100:
                gap.append(np.abs(np.bincount(after, minlength=3) / len(after) - rows[i, k]).mean())
    assert np.mean(gap) < 0.05


def test_bits():
    assert (prng(100, seed=3) == prng(100, seed=3)).all()
    assert (prng(100, seed=3) != prng(100, seed=4)).any()
    x = prng(80_000)
    words = np.packbits(x)
    counts = np.bincount(words, minlength=256)
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 255 + 5 * math.sqrt(510)
    assert prng(5, "alternating").tolist() == [0, 1, 0, 1, 0]
    lcg = prng(8 * 512, "lcg", seed=1)
    assert (lcg[: 8 * 256] == lcg[8 * 256 :]).all()
    assert len(set(np.packbits(lcg[: 8 * 256]).tolist())) == 256  # a full period


@pytest.mark.parametrize("delay", [1, 3])
def test_noise_by_recursion(delay):
    rng = np.random.default_rng(0)
    white = rng.standard_normal((2, 20 + delay, 2))
    z = coloured(white, ma=0.4, ar=0.7, delay=delay)
    state = np.empty_like(white)
    for t in range(20 + delay):
        state[:, t] = white[:, t] / math.sqrt(1 - 0.49) if t < delay else 0.7 * state[:, t - delay] + white[:, t]
    assert z == pytest.approx(state[:, delay:] + 0.4 * state[:, :-delay])
    torch = pytest.importorskip("torch")
    assert coloured(torch.as_tensor(white), ma=0.4, ar=0.7, delay=delay).numpy() == pytest.approx(z)


@pytest.mark.parametrize(
    ("task", "h"),
    [(awgn(2.0, 0.5), 0), (gma(0.8, history=3), 3), (gar(0.7, history=2), 2), (gma(-0.5, 2.0, 3.0, 1), 1)],
)
def test_truth_of_the_channels_by_regression(task, h):
    """Half the Granger causality of a long series is the truth: all is normal."""
    x, y = task.sample(200_000, 0)
    found = gaussian_transfer_entropy(x, y, target_history=max(h, 1), source_history=h + 1)
    assert found.value == pytest.approx(task.truth, abs=0.006)


def test_long_histories_approach_the_spectral_rate():
    omega = np.linspace(0, 2 * np.pi, 4096, endpoint=False)
    ma, ar = abs(1 + 0.5 * np.exp(-1j * omega)) ** 2, 1 / abs(1 - 0.6 * np.exp(-1j * omega)) ** 2
    assert gma(0.5, 2.0, history=40).truth == pytest.approx(0.5 * np.log1p(2 / ma).mean(), abs=1e-9)
    assert gar(0.6, 2.0, history=40).truth == pytest.approx(0.5 * np.log1p(2 / ar).mean(), abs=1e-9)


def test_bad_input():
    for make in (
        lambda: evolve([0, 1, 2], 30),
        lambda: evolve([0, 1, 1], 256),
        lambda: eca(30, width=2),
        lambda: eca(30, n=0),
        lambda: markov([[0.5, 0.6], [0.5, 0.5]], 5),
        lambda: markov([[0.5, 0.5]], 5),
        lambda: markov([[0.5, 0.5], [0.5, 0.5]], 0),
        lambda: induction("medium", 3),
        lambda: induction("hard", 3, num_hidden=32, width=32),
        lambda: induction("easy", 3, num_hidden=9, symbols=8),
        lambda: prng(10, "mersenne"),
        lambda: prng(0),
        lambda: gar(1.0),
        lambda: gma(0.5, power=0.0),
        lambda: awgn(variance=-1.0),
        lambda: coloured(np.zeros((1, 1))),
        lambda: coloured(np.zeros((5, 1)), ar=-1.0),
    ):
        with pytest.raises(ValueError):
            make()
