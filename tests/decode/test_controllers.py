"""What the controllers share, and their door to transformers."""

import numpy as np
import pytest

from plogp.decode import EntropySwitch, LookaheadRerank, PathBeam, SpeculativeDecoder, TopK, TopP, Tree, generate
from plogp.decode.controllers import Decoding, Draw, ends, normalized
from plogp.trace import MarkovLM

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model():
    config = transformers.LlamaConfig(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.25,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=39,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.LlamaForCausalLM(config).eval()


def test_draw_follows_the_law_and_shares_its_stream():
    law = np.log([0.2, 0.5, 0.3])
    draw = Draw(None, True, 0)
    counts = np.bincount([draw(law, np.array([0])) for _ in range(4000)], minlength=3) / 4000
    assert np.abs(counts - np.exp(law)).max() < 0.03
    assert Draw(TopK(1), True, 0)(law, np.array([0])) == 1
    a, b = Draw(None, True, 3), Draw(None, True, 3)
    a(law, np.array([0]))
    b(np.log([0.9, 0.1]), np.array([0]))  # another law uses up one number too
    assert a.rng.random() == b.rng.random()


def test_normalized_refuses_what_is_no_law():
    assert np.exp(normalized([0.0, -np.inf])).tolist() == [1.0, 0.0]
    for bad in ([np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]):
        with pytest.raises(ValueError, match="logits"):
            normalized(bad)


def test_ends():
    class Known:
        eos_id = 7

    assert ends(Known(), None) == {7}
    assert ends(Known(), ()) == set()
    assert ends(None, np.array([1, 2])) == {1, 2}


def test_decoding_is_told_in_words():
    told = repr(Decoding(np.array([1, 2]), np.array([-1.0, -2.0]), {"calls": 3}))
    assert "2 tokens" in told
    assert "-1.5" in told
    assert "calls=3" in told
    assert np.isnan(Decoding(np.empty(0, np.int64), np.empty(0)).mean_logprob)


def test_greedy_agrees_with_transformers_generate(model):
    prompt = torch.tensor([[1, 5, 9]])
    plain = model.generate(prompt, max_new_tokens=10, do_sample=False)
    small = MarkovLM.random(40, rng=0)
    for controller in (
        LookaheadRerank(tau=np.inf),
        EntropySwitch(small, tau=-np.inf),
        SpeculativeDecoder(draft=small, tree=Tree(3, 3, 8)),
        PathBeam(k=1, sample=False),
    ):
        out = model.generate(
            prompt, max_new_tokens=10, do_sample=False, custom_generate=controller.as_custom_generate(rng=0)
        )
        assert torch.equal(out, plain), type(controller).__name__


def test_batches_padding_processors_and_criteria_are_obeyed(model):
    prompts = torch.tensor([[0, 0, 1, 5], [1, 7, 8, 9]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    how = {"max_new_tokens": 6, "do_sample": False, "attention_mask": mask}
    plain = model.generate(prompts, bad_words_ids=[[3], [11]], **how)
    greedy = LookaheadRerank(tau=np.inf).as_custom_generate()
    out = model.generate(prompts, bad_words_ids=[[3], [11]], custom_generate=greedy, **how)
    assert torch.equal(out, plain)
    dictionary = model.generate(prompts, custom_generate=greedy, return_dict_in_generate=True, **how)
    assert dictionary.sequences.shape == (2, 10)

    class Enough(transformers.StoppingCriteria):
        def __call__(self, ids, scores, **kwargs):
            return torch.full((len(ids),), ids.shape[1] >= 6, dtype=torch.bool)

    short = model.generate(
        prompts, custom_generate=greedy, stopping_criteria=transformers.StoppingCriteriaList([Enough()]), **how
    )
    assert short.shape == (2, 6)


def test_sampling_obeys_set_seed_and_rng(model):
    prompt = torch.tensor([[1, 5, 9]])
    run = SpeculativeDecoder(draft=MarkovLM.random(40, rng=0), tree=Tree.chain(3)).as_custom_generate
    a, b = (model.generate(prompt, max_new_tokens=8, do_sample=True, custom_generate=run(rng=4)) for _ in range(2))
    assert torch.equal(a, b)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        c = model.generate(prompt, max_new_tokens=8, do_sample=True, custom_generate=run())
        torch.manual_seed(3)
        assert torch.equal(c, model.generate(prompt, max_new_tokens=8, do_sample=True, custom_generate=run()))


def test_beams_are_refused(model):
    with pytest.raises(ValueError, match="num_beams"):
        model.generate(
            torch.tensor([[1, 5]]), num_beams=2, max_new_tokens=3, custom_generate=PathBeam().as_custom_generate()
        )


def test_a_stateful_sampler_is_refused_where_tokens_are_tried_out():
    from plogp.decode import Mirostat

    chain = MarkovLM.random(8, rng=0)
    for controller in (PathBeam(chain), LookaheadRerank(chain), SpeculativeDecoder(chain, chain)):
        with pytest.raises(ValueError, match="stateless"):
            controller.decode([0], 3, sampler=Mirostat(2.0))
    out = EntropySwitch(chain, chain).decode([0], 5, sampler=Mirostat(2.0), rng=0)
    assert len(out) == 5


def test_a_switch_that_never_switches_is_generate():
    chain = MarkovLM.random(12, 2.0, rng=0)
    other = MarkovLM.random(12, 2.0, rng=1)
    for tau, model in ((-np.inf, chain), (np.inf, other)):
        for sampler in (None, TopP(0.8)):
            want = generate(model, [2], sampler, 30, rng=5).ids[0]
            got = EntropySwitch(other, chain, tau).decode([2], 30, rng=5, sampler=sampler)
            assert got.ids.tolist() == want.tolist()
