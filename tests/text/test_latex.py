import math
import random
import re

import numpy as np
import pytest

from plogp.text import LatexCorpus, latex_validity
from plogp.text.latex import strip_comments, word_perplexity

GOOD = r"""\documentclass{article}
\newcommand{\loss}{L}
\begin{document}
\section{A}\label{sec:a} 100\% of \{it\} costs \$5, $x_{1}$ \cite{k1, k2}.
\begin{table}\begin{tabular}{ll} a & \loss \\ \end{tabular}\end{table} \ref{sec:a}
\bibitem{k1} One. \bibitem[x]{k2} Two.
\end{document}
"""


def test_a_correct_document_is_valid():
    v = latex_validity(GOOD)
    assert v.valid
    assert (v.n_environments, v.n_references) == (6, 3)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (r"\end{table}", r"\end{tabel}", "environments"),
        (r"\end{tabular}\end{table}", r"\end{table}\end{tabular}", "environments"),
        (r"\section{A}", r"\sectoin{A}", "commands"),
        (r"\newcommand{\loss}{L}", "", "commands"),
        (r"\ref{sec:a}", r"\ref{sec:b}", "references"),
        (r"\bibitem[x]{k2} Two.", "", "references"),
        (r"\{it\}", r"{it\}", "braces"),
        (r"$x_{1}$", r"$x_{1}", "math"),
    ],
)
def test_each_fault_is_seen_in_its_field(old, new, field):
    assert old in GOOD
    v = latex_validity(GOOD.replace(old, new))
    assert not v.valid
    wrong = [f for f in ("braces", "environments", "commands", "references") if getattr(v, f) < 1]
    assert ([*wrong] if v.math else [*wrong, "math"]) == [field]


def test_commands_can_be_told_and_comments_do_not_count():
    assert not latex_validity(r"\mymacro").valid
    assert latex_validity(r"\mymacro", commands=["mymacro"]).valid
    assert latex_validity("fine % \\broken { $\n").valid
    assert latex_validity("").valid
    with pytest.raises(TypeError):
        latex_validity(b"x")


def test_brace_share_against_brute_force():
    """The longest balanced part, as counted by removing pairs until none is left."""
    g = random.Random(0)
    for _ in range(200):
        text = "".join(g.choice("{}a") for _ in range(g.randrange(30)))
        left = re.sub(r"[^{}]", "", text)
        n = len(left)
        while "{}" in left:
            left = left.replace("{}", "")
        v = latex_validity(text)
        assert v.n_braces == n
        assert v.braces == (1.0 if n == 0 else (n - len(left)) / n)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a%b", "a"),
        (r"a\%b", r"a\%b"),
        (r"a\\%b", r"a\\"),
        (r"a\\\%b", r"a\\\%b"),
        ("a\n  % all\nb", "a\nb"),
        ("a\n\nb", "a\n\nb"),
        ("", ""),
    ],
)
def test_strip_comments(source, expected):
    assert strip_comments(source) == expected


def test_synthetic_papers_are_valid_and_refer_far_back():
    corpus = LatexCorpus.synthetic(20, rng=0)
    assert len(corpus) == 20
    assert corpus.documents == LatexCorpus.synthetic(20, rng=0).documents
    assert corpus.documents != LatexCorpus.synthetic(20, rng=1).documents
    distances = []
    for d in corpus:
        v = latex_validity(d)
        assert v.valid
        assert v.n_references >= 6
        for m in re.finditer(r"\\ref\{(.*?)\}", d):
            distances.append(m.start() - d.index(rf"\label{{{m[1]}}}"))
    assert min(distances) > 0
    assert np.median(distances) > 60
    assert set(corpus.alphabet) == set("".join(corpus))
    with pytest.raises(ValueError):
        LatexCorpus.synthetic(0)


def test_split_by_paper():
    corpus = LatexCorpus([f"paper {i}" for i in range(20)])
    parts = corpus.split(0.1, 0.2, rng=0)
    assert [len(p) for p in parts] == [14, 2, 4]
    assert sorted([*parts[0], *parts[1], *parts[2]]) == sorted(corpus)
    assert len(corpus.split(0, 0.1)[1]) == 0
    for shares in ((0.5, 0.5), (-0.1, 0.1)):
        with pytest.raises(ValueError):
            corpus.split(*shares)
    with pytest.raises(ValueError, match="too few"):
        LatexCorpus(["a", "b"]).split()


def test_from_dir_merges_strips_and_filters(tmp_path):
    one = tmp_path / "one"
    (one / "parts").mkdir(parents=True)
    (one / "aaa.tex").write_text("only a part")
    (one / "main.tex").write_text(
        "\\documentclass{article} % comment\n\\input{parts/intro}\n\\include{missing}\n\\input{aaa.tex}\n"
    )
    (one / "parts" / "intro.tex").write_text("Größe \\input{deeper} % x")
    (one / "parts" / "deeper.tex").write_text("deep")
    (tmp_path / "two.tex").write_bytes(b"\\documentclass{article} caf\xe9 %")
    (tmp_path / "empty").mkdir()
    corpus = LatexCorpus.from_dir(tmp_path)
    assert corpus.names == ["two.tex", "one"]
    assert corpus[0] == "\\documentclass{article} caf\n"
    assert corpus[1] == "\\documentclass{article}\nGre deep\n\\include{missing}\nonly a part\n"
    assert "ö" in LatexCorpus.from_dir(tmp_path, ascii_only=False)[1]


def test_from_dir_refuses(tmp_path):
    with pytest.raises(ValueError, match="no folder"):
        LatexCorpus.from_dir(tmp_path / "none")
    with pytest.raises(ValueError, match=r"no \.tex"):
        LatexCorpus.from_dir(tmp_path)
    (tmp_path / "secret.tex").write_text("secret")
    folder = tmp_path / "papers" / "p"
    folder.mkdir(parents=True)
    (folder / "a.tex").write_text(r"\input{../../secret}")
    with pytest.raises(ValueError, match="outside"):
        LatexCorpus.from_dir(tmp_path / "papers")
    (folder / "a.tex").write_text(r"\input{b}")
    (folder / "b.tex").write_text(r"\input{a}")
    with pytest.raises(ValueError, match="itself"):
        LatexCorpus.from_dir(tmp_path / "papers")


def test_documents_must_be_texts():
    for bad in ([], [""], ["a", 3]):
        with pytest.raises(ValueError):
            LatexCorpus(bad)
    with pytest.raises(ValueError, match="one a document"):
        LatexCorpus(["a"], ["x", "y"])


def test_word_perplexity():
    # 26 words of one letter and a space behind each, uniform over 26 letters where a letter comes: log 26 a word.
    text = "".join(c + " " for c in "abcdefghijklmnopqrstuvwxyz")
    assert word_perplexity(math.log(26) / 2, text) == pytest.approx(26)
    assert word_perplexity(math.log(26) / 2, [text, text]) == pytest.approx(26)
    for bad in ((math.nan, "a"), (-1.0, "a"), (1.0, "  ")):
        with pytest.raises(ValueError):
            word_perplexity(*bad)
