"""`Sampler`'s adapter, `Pipeline`, `Temperature`, and the registry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import TemperatureLogitsWarper

from plogp.decode.mirostat import MirostatV2
from plogp.decode.sampler import SAMPLERS, Pipeline, Sampler, Temperature, get_sampler, rows_of_ids
from plogp.decode.truncation import TopK, TopP


def softmax(z):
    p = np.exp(z - z.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True)


def test_temperature_is_the_law_of_transformers():
    z = np.random.default_rng(0).normal(0, 4, (200, 9))
    z[:, 3] = -np.inf
    for t in (0.1, 0.7, 1.0, 3.0):
        theirs = TemperatureLogitsWarper(t)(None, torch.tensor(z)) if t != 1.0 else torch.tensor(z)
        np.testing.assert_allclose(softmax(Temperature(t).filter(z)), softmax(theirs.numpy()), atol=1e-13)


def test_temperature_one_is_the_identity_bit_for_bit():
    z = np.random.default_rng(0).normal(0, 4, (3, 9)).astype(np.float32)
    out = Temperature(1.0).filter(z)
    np.testing.assert_array_equal(out, z)
    assert not np.shares_memory(out, z)


def test_a_small_temperature_stays_finite_in_half_precision():
    z = torch.tensor([[1e4, 0.0, -1e4]], dtype=torch.float16)
    out = Temperature(1e-3).filter(z)
    assert out[0].tolist() == [0.0, -np.inf, -np.inf]


@pytest.mark.parametrize("bad", [0, -1.0, np.inf, np.nan])
def test_temperatures_that_are_none(bad):
    with pytest.raises(ValueError, match="temperature must be positive"):
        Temperature(bad)


def test_temperature_needs_a_number():
    with pytest.raises(TypeError, match="temperature must be a number"):
        Temperature("hot")


def test_a_pipeline_applies_left_to_right_and_is_flat():
    z = np.random.default_rng(0).normal(size=(4, 20))
    pipe = Temperature(0.5) | (TopK(10) | TopP(0.6))
    assert [type(s).__name__ for s in pipe.samplers] == ["Temperature", "TopK", "TopP"]
    np.testing.assert_array_equal(pipe.filter(z), TopP(0.6).filter(TopK(10).filter(Temperature(0.5).filter(z))))
    assert not pipe.stateful
    assert pipe.observe([0], [0.0], None) is None


def test_a_pipeline_observes_every_part():
    pipe = Pipeline([MirostatV2(3.0), TopK(5), MirostatV2(1.0)])
    state = pipe.observe([1], [-np.log(2.0)], pipe.init_state(1))
    assert pipe.stateful
    assert state[0].tolist() == [8.0]
    assert state[1] is None
    assert state[2].tolist() == [2.0]


def test_a_pipeline_is_made_of_samplers():
    with pytest.raises(TypeError, match="made of Samplers"):
        Pipeline([TopK(2), lambda z: z])
    with pytest.raises(ValueError, match="at least one"):
        Pipeline([])
    with pytest.raises(TypeError):
        TopK(2) | 3


def test_the_adapter_starts_anew_for_a_prompt_of_another_length():
    s = MirostatV2(2.0)
    z = torch.zeros(1, 8)
    s(torch.tensor([[1, 2]]), z)
    s(torch.tensor([[1, 2, 3]]), z)
    assert s._memory[2][0] == pytest.approx(4.0 - (3.0 - 2.0), abs=1e-6)
    s(torch.tensor([[5, 5, 5, 5, 5]]), z)
    assert s._memory[2].tolist() == [4.0]
    s(torch.tensor([[7, 7, 7, 7, 7, 7]]), z)  # one longer, but not a continuation
    assert s._memory[2].tolist() == [4.0]


def test_the_adapter_ignores_padding_after_an_end():
    s = MirostatV2(2.0)
    z = torch.zeros(2, 4)
    z[:, 3] = -torch.inf
    s(torch.tensor([[1], [2]]), z)
    s(torch.tensor([[1, 0], [2, 3]]), z)  # 3 has probability 0: a pad
    assert s._memory[2][1] == 4.0
    assert s._memory[2][0] != 4.0


def test_the_adapter_wants_a_batch():
    with pytest.raises(ValueError, match="input_ids must have shape"):
        MirostatV2(2.0)(torch.tensor([1, 2]), torch.zeros(1, 4))


def test_the_adapter_accepts_several_samples_of_one_prompt():
    s = MirostatV2(2.0)
    out = s(torch.tensor([[1, 2], [1, 2]]), torch.randn(2, 9, generator=torch.Generator().manual_seed(0)))
    assert out.shape == (2, 9)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_name_builds_over_its_grid(name):
    entry = SAMPLERS[name]
    for value in (entry.default, *entry.grid):
        built = get_sampler(name, value)
        assert isinstance(built, Sampler)
        assert type(built) is entry.cls
        assert getattr(built, entry.parameter) == value


def test_names_are_lenient_and_unknown_ones_are_told():
    assert repr(get_sampler("Top_K", 3.0)) == "TopK(k=3, min_keep=1)"
    assert get_sampler("greedy").k == 1
    assert get_sampler("top-p", mass=0.3).mass == 0.3
    s = TopK(2)
    assert get_sampler(s) is s
    with pytest.raises(KeyError, match="no sampler 'nucleus'"):
        get_sampler("nucleus")
    with pytest.raises(ValueError, match="takes no parameters"):
        get_sampler(s, 3)


def test_ids_come_as_arrays_tensors_or_ragged_lists():
    assert [r.tolist() for r in rows_of_ids(torch.tensor([[1, 2], [3, 4]]), 2)] == [[1, 2], [3, 4]]
    assert [r.tolist() for r in rows_of_ids([[1], [2, 3]], 2)] == [[1], [2, 3]]
    assert [r.tolist() for r in rows_of_ids([4, 5], 1)] == [[4, 5]]
    with pytest.raises(ValueError, match="one sequence for each of the 3 rows"):
        rows_of_ids([[1], [2]], 3)
