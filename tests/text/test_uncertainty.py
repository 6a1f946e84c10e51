import numpy as np
import pytest

from plogp import text, trace

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def tiny():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.GPT2Config(n_layer=3, n_embd=16, n_head=2, vocab_size=40, n_positions=32)
        model = transformers.GPT2LMHeadModel(config)
        for p in model.parameters():
            p.data.add_(0.3 * torch.randn_like(p))
    return model.eval()


PROMPTS = [[3, 4, 5, 6], [7, 8], [9, 10, 11]]
ANSWERS = [[12, 13], [14], [15, 16]]


@torch.no_grad()
def log_probs(model, prompt, answer):
    ids = torch.tensor([prompt + answer])
    log_p = model(ids).logits[0].double().log_softmax(-1)
    return [float(log_p[len(prompt) - 1 + j, token]) for j, token in enumerate(answer)]


def test_the_output_score_is_the_mean_surprisal_of_the_completion():
    model = tiny()
    scorer = text.residual_cross_entropy(model)
    together = scorer.score(PROMPTS, ANSWERS)
    for i, (p, a) in enumerate(zip(PROMPTS, ANSWERS)):
        expected = -np.mean(log_probs(model, p, a))
        assert scorer.score(p, a) == pytest.approx(expected, abs=1e-5)
        assert together[i] == pytest.approx(expected, abs=1e-5)


def test_without_a_completion_it_is_that_of_the_models_own_token():
    model = tiny()
    own = text.residual_cross_entropy(model).score(PROMPTS)
    with torch.no_grad():
        tops = [float(-model(torch.tensor([p])).logits[0, -1].double().log_softmax(-1).max()) for p in PROMPTS]
    np.testing.assert_allclose(own, tops, atol=1e-5)
    assert text.residual_cross_entropy(model).score(torch.tensor(PROMPTS[0])) == pytest.approx(tops[0], abs=1e-5)


@pytest.mark.parametrize("statistic", ["output", "area", "settle_depth", "kl"])
def test_every_statistic_is_read_off_the_trace(statistic):
    model = tiny()
    found = text.residual_cross_entropy(model, statistic=statistic).score(PROMPTS[0], ANSWERS[0])
    traces = [trace.residual_lens(model, PROMPTS[0] + ANSWERS[0][:j], target=ANSWERS[0][j]) for j in range(2)]
    read = {
        "output": [t.output_ce for t in traces],
        "area": [t.area for t in traces],
        "settle_depth": [t.settle_depth / 3 for t in traces],
        "kl": [t.kl.mean() for t in traces],
    }
    assert found == pytest.approx(np.mean(read[statistic]), abs=1e-5)


def test_batches_do_not_matter():
    model = tiny()
    rng = np.random.default_rng(0)
    prompts = [rng.integers(3, 40, rng.integers(1, 9)).tolist() for _ in range(13)]
    answers = [rng.integers(3, 40, rng.integers(1, 4)).tolist() for _ in range(13)]
    whole = text.residual_cross_entropy(model, statistic="area").score(prompts, answers)
    small = text.residual_cross_entropy(model, statistic="area", batch_size=3).score(prompts, answers)
    np.testing.assert_allclose(whole, small, atol=1e-5)


def test_text():
    model = tiny()
    letters = text.residual_cross_entropy(model, lambda words: [3 + ord(c) - ord("a") for c in words])
    by_hand = text.residual_cross_entropy(model).score([3, 4], [5])
    assert letters.score("ab", "c") == pytest.approx(by_hand, abs=1e-12)
    assert letters.score(["ab", "xyz"], ["c", "d"])[0] == pytest.approx(by_hand, abs=1e-5)

    class Tokenizer:
        """Puts a mark at the beginning, as those of LLaMA do."""

        def __call__(self, words, add_special_tokens=True):
            return {"input_ids": [1] * add_special_tokens + [3 + ord(c) - ord("a") for c in words]}

        def convert_ids_to_tokens(self, ids):
            return ids

    marked = text.residual_cross_entropy(model, Tokenizer()).score("ab", "c")
    assert marked == pytest.approx(text.residual_cross_entropy(model).score([1, 3, 4], [5]), abs=1e-12)


def test_a_tuned_lens():
    model = tiny()
    lens = trace.TunedLens(3, 16)
    lens.bias.data.copy_(torch.linspace(-1, 1, 16))
    assert text.residual_cross_entropy(model, lens=lens, statistic="area").score(PROMPTS[0]) != pytest.approx(
        text.residual_cross_entropy(model, statistic="area").score(PROMPTS[0])
    )


def test_auc_and_threshold():
    model = tiny()
    scorer = text.residual_cross_entropy(model)
    scores = scorer.score(PROMPTS, ANSWERS)
    correct = scores < np.sort(scores)[2]  # the worst is wrong
    found = scorer.auc(PROMPTS, correct, ANSWERS)
    assert found.value == 1.0
    assert found.n == 3
    assert scorer.threshold(PROMPTS, correct, ANSWERS) == scores.max()
    assert scorer.auc(PROMPTS, ~correct, ANSWERS).value == 0.0


def test_hostile_input():
    model = tiny()
    scorer = text.residual_cross_entropy(model)
    with pytest.raises(TypeError, match="prompt is text, so tokenizer= is needed"):
        scorer.score("words")
    with pytest.raises(ValueError, match="prompt is empty"):
        scorer.score([])
    with pytest.raises(ValueError, match="completion is empty"):
        scorer.score([3], [])
    with pytest.raises(ValueError, match="3 prompts but 2 completions"):
        scorer.score(PROMPTS, ANSWERS[:2])
    with pytest.raises(TypeError, match="must be text or a sequence of token numbers"):
        scorer.score([0.5, 1.5])
    with pytest.raises(ValueError, match="statistic must be one of"):
        text.residual_cross_entropy(model, statistic="mean")
    with pytest.raises(ValueError, match="batch_size"):
        text.residual_cross_entropy(model, batch_size=0)
    with pytest.raises(TypeError, match="tokenizer must be"):
        text.residual_cross_entropy(model, "gpt2")
    with pytest.raises(ValueError, match="outside the vocabulary"):
        scorer.score([3], [40])
    with pytest.raises(ValueError, match="both groups"):
        scorer.auc(PROMPTS, [True] * 3)
