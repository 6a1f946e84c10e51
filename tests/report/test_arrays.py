"""The report on arrays: what it reads, what it finds, what it refuses."""

from __future__ import annotations

import json
import math
import re

import jsonschema
import numpy as np
import pytest

from plogp.cli import main
from plogp.report import report
from plogp.report.arrays import ArrayError, is_array, open_array
from plogp.report.comparisons import difference, shared_information
from plogp.report.document import schema
from plogp.report.representations import describe


def cloud(n: int = 600, d: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


# --- reading --------------------------------------------------------------------------------------------


def test_files_of_each_kind_hold_the_same_rows(tmp_path):
    from safetensors.numpy import save_file

    x = cloud()
    np.save(tmp_path / "a.npy", x)
    np.savez(tmp_path / "b.npz", x=x)
    np.savez_compressed(tmp_path / "c.npz", first=x, second=x[:3])
    save_file({"x": x}, tmp_path / "d.safetensors")
    for name in ("a.npy", "b.npz", "c.npz#first", "d.safetensors", "d.safetensors#x"):
        found = open_array(tmp_path / name)
        np.testing.assert_array_equal(found.values, x)
        assert (len(found), found.width, found.labels) == (600, 6, False)


def test_bfloat16_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    save_file({"h": torch.ones(4, 3, dtype=torch.bfloat16)}, tmp_path / "h.safetensors")
    assert open_array(tmp_path / "h.safetensors").values.dtype == np.float32
    assert open_array(torch.zeros(4, 3, dtype=torch.bfloat16, requires_grad=True)).width == 3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 3, 4)), r"reshape it, for example to \(6, 4\)"),
        (np.zeros((0, 3)), "no rows of numbers"),
        (np.zeros(()), "no rows of numbers"),
        (np.zeros((5, 2), dtype=complex), "complex"),
        (np.array([["a", "b"]] * 3), "expected numbers"),
        (np.zeros((1, 3)), "one row"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, values, message):
    np.save(tmp_path / "x.npy", values)
    with pytest.raises(ArrayError, match=message):
        open_array(tmp_path / "x.npy")


def test_broken_files_are_one_line(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(ArrayError, match="Python objects, which are not loaded"):
        open_array(tmp_path / "objects.npy")
    for name in ("junk.npy", "junk.npz", "junk.safetensors"):
        (tmp_path / name).write_bytes(b"not an array at all")
        with pytest.raises(ArrayError, match="cannot be read as"):
            open_array(tmp_path / name)
    np.savez(tmp_path / "two.npz", layer1=cloud(), layer2=cloud())
    with pytest.raises(ArrayError, match="holds 2 arrays; name one after a hash"):
        open_array(tmp_path / "two.npz")
    with pytest.raises(ArrayError, match="did you mean 'layer2'"):
        open_array(tmp_path / "two.npz#layer3")
    with pytest.raises(FileNotFoundError):
        open_array(tmp_path / "none.npy")


def test_an_npy_file_is_mapped_not_read(tmp_path):
    np.save(tmp_path / "x.npy", cloud())
    assert isinstance(open_array(tmp_path / "x.npy").values, np.memmap)
    assert is_array(str(tmp_path / "x.NPY"))
    assert not is_array({"a": [1]})


# --- one array ------------------------------------------------------------------------------------------


def test_the_geometry_of_known_clouds():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(2_000, 3)) @ rng.normal(size=(3, 20))
    g = describe(open_array(flat))
    assert g["effective rank"].value.value <= 3 + 1e-9
    assert g.components["99 %"] <= 3
    round_ = describe(open_array(rng.normal(size=(5_000, 10))))
    assert 9.9 < round_["effective rank"].value.value <= 10
    assert 9.9 < round_["participation ratio"].value.value <= 10
    assert abs(round_["nearest-neighbour entropy"].value.value) < 0.15
    assert round_["common direction"].value.value < 0.01
    shifted = describe(open_array(rng.normal(size=(500, 10)) + 10))
    assert shifted["common direction"].value.value > 0.9
    assert shifted["Vendi score"].value.value < 2


def test_the_numbers_are_those_of_the_library():
    import plogp as pl

    x = cloud(500, 12).astype(np.float64)
    x[:, 0] *= 5
    g = describe(open_array(x))
    assert g["RankMe"].value.value == pytest.approx(float(pl.spectra.rankme(x)), rel=1e-9)
    assert g["Vendi score"].value.value == pytest.approx(float(pl.spectra.vendi_score(x)), rel=1e-9)
    assert g["Vendi score, order 2"].value.value == pytest.approx(float(pl.spectra.vendi_score(x, order=2)), rel=1e-9)
    values = np.linalg.eigvalsh(np.cov(x, rowvar=False))
    p = values / values.sum()
    assert g["effective rank"].value.value == pytest.approx(math.exp(-(p * np.log(p)).sum()), rel=1e-9)


@pytest.mark.slow
def test_intervals_of_the_effective_rank_cover():
    rng = np.random.default_rng(0)
    scale = np.arange(1, 9) ** -0.5
    p = scale**2 / (scale**2).sum()
    truth = math.exp(-(p * np.log(p)).sum())
    hits = 0
    for _ in range(60):
        low, high = describe(open_array(rng.normal(size=(2_000, 8)) * scale))["effective rank"].value.interval()
        hits += low <= truth <= high
    assert hits >= 52


def test_wide_arrays_and_duplicates_and_gaps():
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(60, 300))
    wide[10] = wide[3]
    wide[20, 5] = np.nan
    wide[:, 7] = 1.0
    g = describe(open_array(wide))
    assert (g.duplicates, g.dropped, g.constant, g.n, g.used) == (1, 1, 1, 60, 59)
    assert 40 < g["effective rank"].value.value < 59
    same = describe(open_array(np.ones((50, 4))))
    assert same.constant == 4
    assert same.duplicates == 49
    minus = np.zeros((4, 2))
    minus[1] = -0.0
    assert describe(open_array(np.concatenate([minus, [[1.0, 2.0]]]))).duplicates == 3


# --- two arrays -----------------------------------------------------------------------------------------


def test_information_is_found_and_bounded_by_the_labels():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 4))
    labels = (x[:, 0] > 0).astype(int)
    c = shared_information(open_array(x), open_array(labels), learned=False)
    assert c.found
    assert c.entropy.value == pytest.approx(math.log(2), abs=0.01)
    assert {r.name for r in c.rows} == {"ross", "compressed"}
    swapped = shared_information(open_array(labels), open_array(x), learned=False)
    assert swapped.rows[0].value.value == c.rows[0].value.value
    nothing = shared_information(open_array(x), open_array(rng.permutation(labels)), learned=False)
    assert not nothing.found


def test_information_between_arrays_has_the_right_size():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2_000, 1))
    y = 0.8 * x + 0.6 * rng.normal(size=(2_000, 1))
    truth = -0.5 * math.log(1 - 0.64)
    c = shared_information(open_array(x), open_array(y), learned=False)
    for row in c.rows:
        assert row.value.value == pytest.approx(truth, abs=0.1), row.name


def test_differences_are_found_also_off_the_leading_components():
    rng = np.random.default_rng(0)
    scale = np.array([10.0] * 6 + [0.1] * 2)
    x, y = rng.normal(size=(2, 700, 8)) * scale
    y[:, -1] += 0.2
    assert not difference(open_array(x), open_array(rng.normal(size=(650, 8)) * scale)).found
    assert difference(open_array(x), open_array(y)).found
    with pytest.raises(ValueError, match="equally many"):
        difference(open_array(x), open_array(y[:, :3]))


# --- the report -----------------------------------------------------------------------------------------


def test_the_document_and_the_page(tmp_path):
    x = cloud(400, 5)
    np.save(tmp_path / "<b>x.npy", x)
    np.save(tmp_path / "y.npy", x[:, :2] + 0.1 * cloud(400, 2, seed=1))
    made = report(tmp_path / "<b>x.npy", tmp_path / "y.npy")
    document = json.loads(made.json)
    jsonschema.validate(document, schema())
    assert [a["columns"] for a in document["arrays"]] == [5, 2]
    assert document["comparisons"][0]["kind"] == "information"
    assert document["answer"] == made.answer
    assert "<b>x" not in made.html
    assert "Spectrum of the covariance" in made.html
    assert not re.findall(r"https?://", made.html)
    assert len(made.html) < 300_000


def test_equal_shapes_are_compared_both_ways(tmp_path):
    x, y = cloud(300, 3), cloud(300, 3, seed=1)
    kinds = [c.kind for c in report(x, y).comparisons]
    assert kinds == ["information", "divergence"]
    assert [c.kind for c in report(x, y[:200]).comparisons] == ["divergence"]
    with pytest.raises(ValueError, match="one input is an array and the other a table"):
        report(x, {"a": [1, 2]})
    with pytest.raises(ValueError, match="target is for tables"):
        report(x, target="a")
    with pytest.raises(ValueError, match="one column of labels"):
        report(np.array([0, 1, 1]))


def test_the_command(tmp_path, capsys):
    np.save(tmp_path / "x.npy", cloud(300, 3))
    np.save(tmp_path / "y.npy", cloud(200, 3, seed=1) + 1)
    out = str(tmp_path / "out")
    assert main(["report", str(tmp_path / "x.npy"), str(tmp_path / "y.npy"), "--out", out, "--fail-on", "drift"]) == 1
    said = capsys.readouterr().out
    assert "differ beyond noise" in " ".join(said.split())  # a long path wraps the line
    assert main(["report", str(tmp_path / "x.npy"), "--out", out]) == 0
    assert main(["report", str(tmp_path / "x.npy"), "--target", "y", "--out", out]) == 2
    assert "target is for tables" in capsys.readouterr().err


# --- awkward arrays -------------------------------------------------------------------------------------


def test_junk_and_rows_without_numbers_are_called_what_they_are(tmp_path):
    (tmp_path / "junk.npy").write_bytes(b"hello")
    with pytest.raises(ArrayError, match="does not begin as such a file does"):
        open_array(tmp_path / "junk.npy")
    with pytest.raises(ValueError, match="all 9 rows hold NaN"):
        describe(open_array(np.full((9, 2), np.nan)))


@pytest.mark.parametrize("scale", [1e-200, 1e200, 2.0**1000])
def test_scale_changes_nothing(scale):
    x = cloud(300, 5).astype(np.float64)
    x[:, 0] *= 3
    plain, scaled = describe(open_array(x)), describe(open_array(x * scale))
    for row in plain.rows:
        assert scaled[row.name].value.value == pytest.approx(row.value.value, rel=1e-9), row.name
    labels = (x[:, 0] > 0).astype(int)
    c = shared_information(open_array(x[:100] * scale), open_array(labels[:100]), learned=False)
    assert c.rows[0].value.value > 0.2
    assert np.isfinite(difference(open_array(x[:60] * scale), open_array(x[60:120] * scale)).rows[-1].value.value)


def test_missing_rows_are_not_duplicates():
    x = cloud(300, 4)
    x[:7] = np.nan
    x[9] = x[8]
    g = describe(open_array(x))
    assert (g.duplicates, g.dropped) == (1, 7)


def test_classes_saved_as_floats_are_labels():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 400)
    x = rng.normal(size=(400, 6))
    x[np.arange(400), y] += 3
    a = open_array(y.astype(np.float32))
    assert a.labels
    c = shared_information(open_array(x), a, learned=False)
    assert c.entropy is not None
    assert c.rows[0].value.value == shared_information(open_array(x), open_array(y), learned=False).rows[0].value.value
    assert any("read as labels" in note for note in c.notes)
    for coordinates in (x[:, 0], np.arange(400.0), y + 0.5, np.zeros(400), np.where(y > 1, np.nan, y)):
        assert not open_array(coordinates).labels


def test_rows_that_repeat_are_compared_all_the_same():
    x = np.repeat(cloud(20, 3), 8, axis=0)
    c = shared_information(open_array(x), open_array(x * 2 + 1), learned=False)
    assert c.found
    assert "gao" in {row.name for row in c.rows}
    assert not difference(open_array(x), open_array(x)).found
    assert not shared_information(open_array(x), open_array(cloud(160, 2, seed=5)), learned=False).found


def test_a_constant_array_carries_nothing():
    made = report(cloud(100, 3), np.ones((100, 2)))
    assert not made.comparisons[0].found
    assert "equal, so it carries no information" in made.comparisons[0].test
    assert [g.n for g in made.arrays] == [100, 100]
    assert made.html
    assert json.loads(made.json)["comparisons"][0]["estimates"] == []


def test_the_order_of_rows_is_no_difference():
    """A file sorted by class against the same law shuffled: the first so many rows are not a sample."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3_000, 1))
    x[:, 0] += 4 * (np.arange(3_000) >= 1_500)
    y[:, 0] += 4 * (rng.permutation(3_000) >= 1_500)
    assert not difference(open_array(x), open_array(y)).found


def test_labels_of_words_and_of_numbers_are_not_compared_in_law():
    y = np.random.default_rng(0).integers(0, 3, 200)
    made = report(y, np.array(["a", "b", "c"])[y])
    assert [c.kind for c in made.comparisons] == ["information"]
    assert made.comparisons[0].found


def test_an_interval_of_an_effective_rank_stays_in_its_range():
    x = cloud(300, 8)
    x[0, 0] = 3e38  # one row is nearly all of the variance
    low, high = describe(open_array(x))["effective rank"].value.interval()
    assert 1 - 1e-9 <= low <= high <= 8


def test_words_say_what_is_so():
    x = np.random.default_rng(0).normal(size=(400, 6)) + 1.2
    said = " ".join(report(x).answer)
    share = 1.2**2 / (1.2**2 + 1)
    assert f"a cosine of about {share:.2g}"[:-1] in said
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosine = (np.square(unit.sum(axis=0)).sum() - 400) / (400 * 399)
    assert cosine == pytest.approx(share, abs=0.05)
    wide = describe(open_array(cloud(30, 100)))
    assert any("span at most 29 of 100 directions" in note for note in wide.notes)


def test_too_few_rows_train_no_critic():
    pytest.importorskip("torch")
    c = shared_information(open_array(cloud(100, 2)), open_array(cloud(100, 2, seed=1)))
    assert "infonce" not in {row.name for row in c.rows}
    assert any("too few to train" in note for note in c.notes)


@pytest.mark.parametrize("labels", [False, True])
def test_the_same_arrays_give_the_same_report(labels):
    x = cloud(200, 3)
    y = (x[:, 0] > 0).astype(int) if labels else x[:, :2] + cloud(200, 2, seed=1)
    once, again = (shared_information(open_array(x), open_array(y), learned=False) for _ in range(2))
    assert [r.value.to_dict() for r in once.rows] == [r.value.to_dict() for r in again.rows]
    assert once.p_value == again.p_value
    once, again = (difference(open_array(x[:90]), open_array(x[90:] + 0.5)) for _ in range(2))
    assert [r.value.to_dict() for r in once.rows] == [r.value.to_dict() for r in again.rows]
    assert once.p_value == again.p_value
