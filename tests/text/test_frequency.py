import numpy as np
import pytest

from plogp.text import TokenFrequency, scores
from plogp.trace import MarkovLM, trace


def test_laplace_by_hand_and_in_parts():
    f = TokenFrequency.fit([[0, 0, 2], [2, 2, 2, 1]], 5)
    np.testing.assert_allclose(f.probability, (np.array([2, 1, 4, 0, 0]) + 1) / 12)
    np.testing.assert_allclose(f.logprob, np.log(f.probability))
    assert (f.total, f.documents) == (7, 2)
    parts = TokenFrequency(5).partial_fit([[0, 0, 2]]).partial_fit([[2, 2, 2, 1]])
    np.testing.assert_array_equal(parts.counts, f.counts)
    assert TokenFrequency.fit([[0] * 9 + [1] * 9], 2, max_tokens=10).counts.tolist() == [9, 1]
    unsmoothed = TokenFrequency.fit([[0, 1]], 3, smoothing=0.0)
    assert unsmoothed.probability[2] == 0
    assert unsmoothed.logprob[2] == -np.inf


def test_it_counts_traces_and_tensors_and_serves_as_a_reference():
    torch = pytest.importorskip("torch")
    lm = MarkovLM.random(6, rng=0)
    ids = lm.sample(20, 30, rng=1)
    f = TokenFrequency.fit(trace(lm, ids), 6)
    np.testing.assert_array_equal(f.counts, np.bincount(ids.ravel(), minlength=6))
    np.testing.assert_array_equal(TokenFrequency.fit(list(torch.tensor(ids)), 6).counts, f.counts)
    t = trace(lm, ids, references={"unigram": f.probability})
    np.testing.assert_allclose(t.refs["unigram"].logprob, f.logprob[t.ids], rtol=1e-6)
    np.testing.assert_allclose(scores.dc_pdd(t, clip=None), scores.dc_pdd(t, freq=f, clip=None), rtol=1e-6)


def test_it_is_kept_as_counts(tmp_path):
    f = TokenFrequency.fit([[0, 3]], 4, smoothing=0.5, max_tokens=7)
    back = TokenFrequency.load(f.save(tmp_path / "f.npz"))
    np.testing.assert_array_equal(back.counts, f.counts)
    assert (back.smoothing, back.max_tokens, back.documents) == (0.5, 7, 1)
    np.savez(tmp_path / "other.npz", x=np.arange(3))
    with pytest.raises(ValueError, match="not a file of token frequencies"):
        TokenFrequency.load(tmp_path / "other.npz")


def test_bad_input_is_refused_and_leaves_the_counts():
    f = TokenFrequency(3)
    for corpus, error in (([[0, 3]], ValueError), ([[-1]], ValueError), (["text"], TypeError), ([[0.5]], TypeError)):
        with pytest.raises(error):
            f.partial_fit([[1, 1], *corpus])
        assert f.total == 0
    with pytest.raises(ValueError, match="no token"):
        _ = TokenFrequency(3, smoothing=0.0).probability
    for bad in ({"vocab_size": 1}, {"vocab_size": 3, "smoothing": -1.0}, {"vocab_size": 3, "max_tokens": 0}):
        with pytest.raises(ValueError, match="must be"):
            TokenFrequency(**bad)
