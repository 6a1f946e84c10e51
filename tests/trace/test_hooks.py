import re

import numpy as np
import pytest

from plogp import trace

torch = pytest.importorskip("torch")
nn = torch.nn


class Block(nn.Module):
    """Takes its input by keyword and gives a tuple, as attention modules do."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 3)

    def forward(self, hidden_states=None, scale=2.0, flags=None):
        return (self.inner(hidden_states) * scale, None)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 3)
        self.h = nn.ModuleList(Block() for _ in range(2))
        self.fails = False

    def forward(self, ids, attention_mask=None):
        x = self.embed(ids)
        for block in self.h:
            x = x + block(flags=None, hidden_states=x)[0]
        if self.fails:
            raise RuntimeError("broken")
        return x


IDS = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])


def select_modules(*args):
    from plogp.trace.hooks import select_modules

    return select_modules(*args)


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def by_hand(model, ids):
    x = model.embed(ids)
    into, out = [], []
    for block in model.h:
        into.append(x)
        out.append(2.0 * block.inner(x))
        x = x + out[-1]
    return into, out


def test_inputs_and_outputs_are_those_of_a_hand_written_pass():
    model = Model()
    into, out = by_hand(model, IDS)
    with trace.capture(model, "h.?") as after, trace.capture(model, Block, where="input") as before:
        model(IDS)
    assert list(after) == ["h.0", "h.1"]
    assert len(before) == 2
    for i in range(2):
        torch.testing.assert_close(after[f"h.{i}"], out[i].detach())
        torch.testing.assert_close(before[f"h.{i}"], into[i].detach())
        assert not after[f"h.{i}"].requires_grad
    assert hooks(model) == 0


def test_every_kind_of_selector():
    model = Model()
    ways = {
        "h.1": ["h.1"],
        "h.*.inner": ["h.0.inner", "h.1.inner"],
        "h*": ["h", "h.0", "h.0.inner", "h.1", "h.1.inner"],
        re.compile(r"h\.\d"): ["h.0", "h.1"],
        nn.Linear: ["h.0.inner", "h.1.inner"],
        model.h[1].inner: ["h.1.inner"],
        (lambda name, module: name.endswith("r") and "1" in name): ["h.1.inner"],
        ("h.1", nn.Embedding): ["embed", "h.1"],
    }
    for selector, names in ways.items():
        assert list(select_modules(model, selector)) == names
    assert list(select_modules(model, model)) == [""]


@pytest.mark.parametrize("given", ["tensor", "keyword", "callable", "list", "positional"])
def test_mask_leaves_padding_out(given):
    model = Model()
    _, out = by_hand(model, IDS)
    expected = out[0].detach()[MASK.bool()]
    mask = {"tensor": MASK, "callable": lambda: MASK.bool(), "list": MASK.tolist()}.get(given, "attention_mask")
    with trace.capture(model, "h.0", mask=mask) as acts:
        if given == "positional":
            model(IDS, MASK)
        elif given == "keyword":
            model(IDS, attention_mask=MASK)
        else:
            model(IDS)
    torch.testing.assert_close(acts["h.0"], expected)


def test_a_mask_may_change_between_passes():
    model = Model()
    with trace.capture(model, "h.0", mask=MASK) as acts:
        model(IDS)
        acts.mask = torch.ones(1, 3)
        model(IDS[:1, :3])
    assert acts["h.0"].shape == (9, 3)
    assert [len(p) for p in acts.parts("h.0")] == [6, 3]
    assert repr(acts) == "Activations('h.0': 9 rows)"
    acts.clear()
    with pytest.raises(KeyError, match="no forward pass went through it"):
        acts["h.0"]


def test_a_named_mask_that_covers_the_past_is_cut_to_the_new_tokens():
    model = Model()
    with trace.capture(model, "h.0", mask="attention_mask") as acts:
        model(IDS[:, 3:], attention_mask=torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]))
    assert acts["h.0"].shape == (1, 3)


def test_passes_are_joined_and_rows_merged():
    model = Model()
    with trace.capture(model, "h.0", rows=True, device="cpu", dtype=torch.float64) as acts:
        model(IDS)
        model(IDS[:, :2])
    assert acts["h.0"].shape == (12, 3)
    assert acts["h.0"].dtype == torch.float64
    with trace.capture(model, "h.0") as ragged:
        model(IDS)
        model(IDS[:, :2])
    with pytest.raises(ValueError, match=r"\(2, 4, 3\), \(2, 2, 3\), which do not stack; pass rows=True"):
        ragged["h.0"]


def test_reduce_keeps_nothing():
    model = Model()
    sums = {}

    def add(name, x):
        n, total = sums.get(name, (0, 0.0))
        sums[name] = n + len(x), total + x.sum(0)

    with trace.capture(model, "h.*.inner", mask="attention_mask", reduce=add) as acts:
        for _ in range(3):
            model(IDS, attention_mask=MASK)
    assert all(not acts.parts(name) for name in acts)
    assert sums["h.1.inner"][0] == 18
    with trace.capture(model, "h.1.inner", mask=MASK) as whole:
        model(IDS)
    torch.testing.assert_close(sums["h.1.inner"][1], 3 * whole["h.1.inner"].sum(0))


def test_gradient_is_kept_when_asked_for():
    model = Model()
    with trace.capture(model, "h.1", detach=False) as acts:
        model(IDS)
    acts["h.1"].square().sum().backward()
    assert model.h[1].inner.weight.grad.abs().sum() > 0


def test_half_precision_is_kept():
    model = Model().to(torch.bfloat16)
    with trace.capture(model, "h.0") as acts:
        model(IDS)
    assert acts["h.0"].dtype == torch.bfloat16


def test_hooks_go_after_an_exception():
    model = Model()
    model.fails = True
    with pytest.raises(RuntimeError, match="broken"), trace.capture(model, "h.*"):
        model(IDS)
    assert hooks(model) == 0
    model.fails = False
    wrong = r"mask has shape \(2, 3\).*expected a mask of shape \(2, 4\)"
    with pytest.raises(ValueError, match=wrong), trace.capture(model, "h.0", mask=torch.ones(2, 3)):
        model(IDS)
    assert hooks(model) == 0
    with pytest.raises(ZeroDivisionError), trace.capture(model, "h.0", reduce=lambda name, x: 1 / 0):
        model(IDS)
    assert hooks(model) == 0


def test_a_transposed_mask_of_equal_size_is_refused():
    model = Model()
    with pytest.raises(ValueError, match="mask has shape"), trace.capture(model, "h.0", mask=MASK.T):
        model(IDS)


def test_hostile_input():
    model = Model()
    nothing = r"selector 'x\.\*' selects no module of Model; it has embed, h, h\.0"
    with pytest.raises(ValueError, match=nothing), trace.capture(model, "x.*"):
        pass
    for bad, error in [([], ValueError), (3, TypeError), (np.ones(2), TypeError)]:
        with pytest.raises(error, match="selector"), trace.capture(model, bad):
            pass
    with pytest.raises(TypeError, match=r"torch.nn.Module, got dict"), trace.capture({}, "x"):
        pass
    with pytest.raises(ValueError, match="where must be"), trace.capture(model, "h.0", where="middle"):
        pass
    with pytest.raises(TypeError, match="reduce must be called"), trace.capture(model, "h.0", reduce=3):
        pass
    with trace.capture(model, "h.0") as acts:
        model(IDS)
    with pytest.raises(KeyError, match=r"no module 'h\.1' was captured"):
        acts["h.1"]
    stray = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="selector a Linear selects no module"), trace.capture(model, stray):
        pass

    class Silent(nn.Module):
        def forward(self, x):
            return {"nothing": None}

    silent = Silent()
    with pytest.raises(TypeError, match="gave no tensor but dict"), trace.capture(silent, silent):
        silent(1)
    with pytest.raises(TypeError, match="called without a tensor"), trace.capture(silent, silent, where="input"):
        silent(1)
