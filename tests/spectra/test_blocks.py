import math

import numpy as np
import pytest
from scipy import special
from scipy.spatial.distance import cdist

from plogp import spectra, trace

torch = pytest.importorskip("torch")
nn = torch.nn

TOKENS, WIDTH = 60, 6


class Branch(nn.Module):
    """A block Y = X + f(X), and inside it an attention (here any function) and an MLP."""

    def __init__(self, attention, mlp=None):
        super().__init__()
        self.norm, self.norm2 = nn.Identity(), nn.Identity()
        self.attention, self.mlp = attention, mlp or Function(torch.zeros_like)

    def forward(self, x):
        x = x + self.attention(self.norm(x))
        return x + self.mlp(self.norm2(x))


class Parallel(Branch):
    def forward(self, x):
        return x + self.attention(self.norm(x)) + self.mlp(x)


class Function(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)


class Stream(nn.Module):
    def __init__(self, *blocks):
        super().__init__()
        self.layers = nn.ModuleList(blocks)

    def forward(self, x, attention_mask=None):
        for block in self.layers:
            x = block(x)
        return x


@pytest.fixture(autouse=True)
def _families(monkeypatch):
    from plogp.trace.architectures import _FAMILIES

    monkeypatch.setattr("plogp.trace.architectures._FAMILIES", dict(_FAMILIES))
    paths = {"attention": "attention", "mlp": "mlp", "attention_norm": "norm"}
    trace.register_architecture(
        "Stream", blocks="layers", up="mlp", down="mlp", mlp_norm="norm2", attention_pair=False, **paths
    )
    trace.register_architecture(
        "Side", blocks="layers", up="mlp", down="mlp", parallel=True, attention_pair=False, **paths
    )


class Side(Stream):
    pass


def rotation(seed=0):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(WIDTH, WIDTH)))
    q = torch.as_tensor(q)
    return Function(lambda x: x @ q - x)


def scaling(s):
    return Function(lambda x: (s - 1) * x)


def data(samples=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(samples, TOKENS, WIDTH, generator=generator, dtype=torch.float64) + 1.0


def by_definition(x, method, k=25, bins=20, alpha=4.0):
    """The estimators of the paper on one sample, written out."""
    x = np.asarray(x, dtype=np.float64)
    n, d = x.shape
    if method == "knn":
        r = np.sort(cdist(x, x), axis=1)[:, k]
        ball = d / 2 * math.log(math.pi) - special.gammaln(d / 2 + 1)
        return d * np.log(r + 1e-10).mean() + ball + math.log(n) - math.log(k)
    if method == "bucket":
        total = 0.0
        for column in x.T:
            p = np.histogram(column, bins)[0] / n
            total -= sum(v * math.log(v) for v in p if v > 0)
        return total
    z = (x - x.mean(0)) / x.std(0, ddof=1)
    apart = cdist(z, z)
    sigma = np.median(apart[np.triu_indices(n, 1)])
    return math.log(np.mean(np.exp(-(apart**2) / (2 * sigma**2)) ** (alpha - 1))) / (1 - alpha)


@pytest.mark.parametrize("method", ["knn", "bucket", "renyi"])
@pytest.mark.parametrize("block", ["attention", "mlp", "layer"])
def test_matches_its_definition(method, block):
    bend = Function(lambda x: torch.tanh(2 * x))
    model, x = Stream(Branch(bend, rotation()), Branch(rotation(1), bend)), data()
    table = spectra.block_entropy(model, x, block, method, k=7)
    stream = [x]
    for one in model.layers:
        stream += [stream[-1] + one.attention(stream[-1])]
        stream += [stream[-1] + one.mlp(stream[-1])]
    ends = {"attention": [(0, 1), (2, 3)], "mlp": [(1, 2), (3, 4)], "layer": [(0, 2), (2, 4)]}[block]
    for row, (i, j) in zip(table, ends):
        before = [by_definition(s, method, k=7) for s in stream[i]]
        after = [by_definition(s, method, k=7) for s in stream[j]]
        assert row.h_in == pytest.approx(np.mean(before), abs=1e-9)
        assert row.h_out == pytest.approx(np.mean(after), abs=1e-9)
        gains = np.subtract(after, before)
        assert row.gain.value == pytest.approx(gains.mean(), abs=1e-9)
        assert row.gain.se == pytest.approx(gains.std(ddof=1) / math.sqrt(3), rel=1e-6, abs=1e-9)
        a, b = stream[i].numpy().reshape(-1, WIDTH), stream[j].numpy().reshape(-1, WIDTH)
        cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        assert row.cosine == pytest.approx(1 - cosines.mean(), abs=1e-9)
        assert row.n_tokens == 180


def test_parallel_blocks_are_measured_apart():
    bend = Function(torch.tanh)
    model, x = Side(Parallel(bend, rotation())), data()
    attention = spectra.block_entropy(model, x, "attention", k=7)[0]
    mlp = spectra.block_entropy(model, x, "mlp", k=7)[0]
    assert attention.h_out == pytest.approx(np.mean([by_definition(s, "knn", 7) for s in x + torch.tanh(x)]), abs=1e-9)
    assert mlp.gain.value == pytest.approx(0.0, abs=1e-9)


def test_identity_rotation_and_scale():
    """The paper's argument: a rotation adds no entropy though its cosine importance is large; s adds d log s."""
    model = Stream(Branch(Function(torch.zeros_like)), Branch(rotation()), Branch(scaling(3.0)))
    table = spectra.block_entropy(model, data(), "attention", k=7)
    assert table[0].gain.value == 0.0
    assert table[0].cosine == pytest.approx(0.0, abs=1e-12)
    assert abs(table[1].gain.value) < 1e-6
    assert table[1].cosine > 0.3
    assert table[2].gain.value == pytest.approx(WIDTH * math.log(3), abs=1e-6)
    assert table[2].growth == pytest.approx(WIDTH * math.log(3), abs=1e-9)
    assert table[1].growth == pytest.approx(0.0, abs=1e-9)
    normalized = spectra.block_entropy(model, data(), "attention", k=7, normalize=True)
    assert normalized["gain"] == pytest.approx([0, 0, 0], abs=1e-6)
    assert normalized.method == "knn(k=7), rows normalized"
    bucket = spectra.block_entropy(model, data(), "attention", "bucket")
    assert bucket[2].gain.value == pytest.approx(0.0, abs=1e-9)


def test_gaussian_is_of_all_tokens():
    model, x = Stream(Branch(rotation()), Branch(scaling(2.0))), data(4)
    table = spectra.block_entropy(model, [x[:1], x[1:]], "attention", "gaussian")
    covariance = np.cov(x.numpy().reshape(-1, WIDTH).T)
    expected = 0.5 * np.linalg.slogdet(2 * math.pi * math.e * covariance)[1]
    assert table[0].h_in == pytest.approx(expected, abs=1e-9)
    assert table[0].gain.value == pytest.approx(0.0, abs=1e-9)
    assert table[1].gain.value == pytest.approx(WIDTH * math.log(2), abs=1e-9)
    assert table[0].gain.se is None
    with pytest.raises(ValueError, match="needs activations that span all their dimensions"):
        spectra.block_entropy(model, x[:1, :5], "attention", "gaussian")


def test_batches_do_not_matter_and_padding_does_not_count():
    model = Stream(Branch(Function(torch.tanh)))
    x = data(4)
    whole = spectra.block_entropy(model, x, k=7)[0]
    parts = spectra.block_entropy(model, [x[:1], [x[1:]]], k=7, progress=True)[0]
    assert parts.gain.value == pytest.approx(whole.gain.value, abs=1e-12)
    assert parts.gain.n == 4
    padded = torch.cat([x, torch.full((4, 9, WIDTH), 50.0, dtype=x.dtype)], 1)
    mask = torch.cat([torch.ones(4, TOKENS), torch.zeros(4, 9)], 1)

    class Batch(dict):
        pass

    masked = spectra.block_entropy(model, Batch(x=padded, attention_mask=mask), k=7)[0]
    assert masked.gain.value == pytest.approx(whole.gain.value, abs=1e-12)
    given = spectra.block_entropy(model, padded, k=7, mask=mask)[0]
    assert given.n_tokens == 240
    with pytest.raises(ValueError, match=r"mask has shape \(4, 60\); expected"):
        spectra.block_entropy(model, padded, k=7, mask=mask[:, :TOKENS])


def test_one_sequence_alone():
    row = spectra.block_entropy(Stream(Branch(Function(torch.tanh))), data(1)[0], k=7)[0]
    assert row.gain.se is None
    assert "one sample" in row.gain.diagnostics["no_interval"]
    assert row.n_tokens == TOKENS


def test_repeated_rows_have_an_entropy():
    x = torch.zeros(1, 40, WIDTH)
    row = spectra.block_entropy(Stream(Branch(Function(torch.zeros_like))), x)[0]
    assert row.gain.value == 0.0
    assert row.h_in == pytest.approx(WIDTH * math.log(1e-10), abs=10)
    assert math.isnan(row.growth)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    model = Stream(Branch(Function(torch.tanh)))
    full = spectra.block_entropy(model, data(), k=7)[0].gain.value
    half = spectra.block_entropy(model, data().to(dtype), k=7)[0].gain.value
    assert half == pytest.approx(full, abs=0.05)


def test_ranking():
    blocks = [Branch(scaling(s)) for s in (1.1, 1.0, 3.0, 1.5, 1.0, 2.0, 1.01)]
    table = spectra.block_entropy(Stream(*blocks), data(), k=7)
    assert table.ranking(protect=(0, 0)) == [1, 4, 6, 0, 3, 5, 2]
    assert table.ranking() == [4, 3, 5, 2]
    assert table.ranking(protect=(3, 3)) == [3]
    assert table.ranking(protect=(7, 1)) == []
    assert table.increase_from == 0
    falling = [Branch(scaling(s)) for s in (0.5, 0.7, 1.2, 1.3)]
    assert spectra.block_entropy(Stream(*falling), data(), k=7).increase_from == 2
    with pytest.raises(ValueError, match="method must be 'entropy' or 'cosine'"):
        table.ranking("random")
    for bad in ((-1, 0), (1.5, 0), (True, 0)):
        with pytest.raises(ValueError, match="protect"):
            table.ranking(protect=bad)


def test_differences_of_gains_are_paired():
    """Two blocks of the same samples: the error of the difference is that of the differences."""
    table = spectra.block_entropy(Stream(Branch(Function(torch.tanh)), Branch(scaling(2.0))), data(5), k=7)
    apart = table[1].gain - table[0].gain
    terms = table[1].gain.terms - table[0].gain.terms
    assert apart.se == pytest.approx(np.std(terms, ddof=1) / math.sqrt(5))


def test_table():
    table = spectra.block_entropy(Stream(Branch(scaling(2.0)), Branch(rotation())), data(), k=7)
    assert len(table) == 2
    assert table["gain"].shape == (2,)
    assert table["name"].tolist() == ["layers.0", "layers.1"]
    assert "entropy gain of the attention blocks of Stream, knn(k=7)" in repr(table)
    record = table.to_dicts()[0]
    assert set(record) == {"layer", "name", "gain", "gain_se", "h_in", "h_out", "growth", "cosine", "n_tokens"}
    with pytest.raises(KeyError, match="no column 'x'"):
        table["x"]
    pytest.importorskip("matplotlib").use("Agg")
    assert table.plot().get_title() == "knn(k=7)"


def test_hostile_input():
    model, x = Stream(Branch(rotation())), data()
    with pytest.raises(ValueError, match="block must be one of"):
        spectra.block_entropy(model, x, "head")
    with pytest.raises(ValueError, match="method must be one of"):
        spectra.block_entropy(model, x, method="kde")
    with pytest.raises(ValueError, match="a sample of 20 tokens is too short for k=25"):
        spectra.block_entropy(model, x[:, :20])
    for name, bad in (("k", 0), ("bins", 2.5), ("k", True)):
        with pytest.raises(ValueError, match=f"{name} must be a whole number"):
            spectra.block_entropy(model, x, **{name: bad})
    for alpha in (1, 0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match="alpha must be"):
            spectra.block_entropy(model, x, method="renyi", alpha=alpha)
    with pytest.raises(ValueError, match="hold no batch"):
        spectra.block_entropy(model, [])
    with pytest.raises(ValueError, match="NaN or infinite"):
        spectra.block_entropy(model, x * math.nan, k=7)
    with pytest.raises(TypeError, match="batches must be token ids"):
        spectra.block_entropy(model, 3)
    trace.register_architecture("Stream", blocks="layers", up="mlp", down="mlp", attention="attention")
    with pytest.raises(ValueError, match="which norm reads the residual stream before the MLP"):
        spectra.block_entropy(model, x)
    assert len(spectra.block_entropy(model, x, "layer", k=7)) == 1
    trace.register_architecture("Stream", blocks="layers", up="mlp", down="mlp")
    with pytest.raises(ValueError, match="does not say where its attention modules are"):
        spectra.block_entropy(model, x)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("kind", ["gpt2", "bert", "opt", "gemma2"])
def test_on_transformers(kind):
    transformers = pytest.importorskip("transformers")
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "vocab_size": 40,
    }
    extra = {"head_dim": 8, "num_key_value_heads": 1} if kind == "gemma2" else {}
    extra |= {"ffn_dim": 24, "word_embed_proj_dim": 16} if kind == "opt" else {}
    config, cls = {
        "gpt2": (transformers.GPT2Config(n_layer=3, n_embd=16, n_head=2, vocab_size=40), transformers.GPT2LMHeadModel),
        "bert": (transformers.BertConfig(**sizes), transformers.BertModel),
        "opt": (transformers.OPTConfig(**sizes, **extra), transformers.OPTForCausalLM),
        "gemma2": (transformers.Gemma2Config(**sizes, **extra), transformers.Gemma2ForCausalLM),
    }[kind]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = cls(config)
    ids = torch.randint(3, 40, (3, 30), generator=torch.Generator().manual_seed(1))
    tables = {block: spectra.block_entropy(model, ids, block, k=5) for block in ("attention", "mlp", "layer")}
    for i in range(3):
        together = tables["attention"][i].gain.value + tables["mlp"][i].gain.value
        assert together == pytest.approx(tables["layer"][i].gain.value, abs=1e-4)  # the halves make the whole
        assert tables["attention"][i].h_in == pytest.approx(tables["layer"][i].h_in, abs=1e-6)
    assert model.training
