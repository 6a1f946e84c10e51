r"""LaTeX as a language to model: corpora of documents, and whether what a model writes is well formed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["LatexCorpus", "LatexValidity", "latex_validity", "strip_comments", "word_perplexity"]

#: The commands that `latex_validity` knows without being told: those of LaTeX's kernel and of common packages.
COMMANDS = frozenset(
    re.findall(
        r"\w+",
        """
    documentclass usepackage begin end title author date maketitle section subsection subsubsection paragraph label
    ref eqref cite citep citet caption includegraphics textbf textit emph texttt text frac sqrt sum prod int left right
    cdot times alpha beta gamma delta epsilon varepsilon theta lambda mu sigma tau phi varphi psi omega pi rho eta xi
    zeta nu kappa chi partial nabla infty leq geq neq approx sim in mathbb mathcal mathbf mathrm hat bar tilde vec log
    exp min max arg item hline toprule midrule bottomrule multicolumn centering footnote url href bibitem bibliography
    bibliographystyle newcommand renewcommand def input include appendix tableofcontents newpage clearpage vspace hspace
    noindent textwidth linewidth columnwidth scriptsize small large footnotesize quad qquad ldots dots cdots top mid to
    rightarrow leftarrow Rightarrow forall exists subset cup cap setminus Delta Sigma Omega Theta Lambda Phi Psi Gamma
    limits operatorname mathop lim sup inf det ln sin cos tan tanh lVert rVert Vert vert par and thanks textsc
    textsuperscript textsubscript underline overline langle rangle lfloor rfloor lceil rceil pm mp ast star circ
    odot otimes oplus mapsto equiv propto cong perp parallel ell hbar Re Im boldsymbol resizebox scalebox""",
    )
)
WORDS = re.findall(
    r"\w+",
    "the model network image feature layer training loss method result data set learning deep visual object detection "
    "segmentation we our this that propose show use with on for and of a in by to from as is are can be which each "
    "between large small accuracy baseline approach input output representation attention convolution dataset",
)


@dataclass(frozen=True)
class LatexValidity:
    r"""How well formed a piece of LaTeX is; every share is 1 for a correct document, and where there is nothing to err.

    Attributes
    ----------
    braces : float
        Share of braces { and } that have their partner.
    environments : float
        Share of ``\begin`` and ``\end`` that are matched, properly nested and of one name.
    commands : float
        Share of commands that are known: given, of LaTeX, or defined in the text.
    references : float
        Share of ``\ref`` whose label is in the text, and of ``\cite`` whose item is, where the text has items.
    math : bool
        Whether every $ is closed within its paragraph.
    n_braces, n_environments, n_commands, n_references : int
        How many of each there were.
    """

    braces: float
    environments: float
    commands: float
    references: float
    math: bool
    n_braces: int
    n_environments: int
    n_commands: int
    n_references: int

    @property
    def valid(self) -> bool:
        """Whether nothing is wrong."""
        return self.math and min(self.braces, self.environments, self.commands, self.references) == 1.0


def strip_comments(source: str) -> str:
    r"""Remove LaTeX comments: from % to the end of the line, unless it is escaped.

    A line that is only a comment goes altogether.

    Examples
    --------
    >>> strip_comments("50\\% of it % all of it\n% nothing\nmore")
    '50\\% of it\nmore'
    """
    lines = []
    for line in source.split("\n"):
        found = re.search(r"(?<!\\)(?:\\\\)*%", line)
        kept = line if found is None else line[: found.end() - 1]
        if found is None or kept.strip():
            lines.append(kept if found is None else kept.rstrip())
    return "\n".join(lines)


def latex_validity(source: str, commands: Iterable[str] = ()) -> LatexValidity:
    r"""Say how well formed a LaTeX text is: braces, environments, commands, references, inline mathematics.

    Parameters
    ----------
    source : str
        Comments are left out first. Escaped braces and dollars do not count.
    commands : iterable of str
        Names, without backslash, that are known beside those of LaTeX's kernel and common packages.

    Returns
    -------
    LatexValidity

    Notes
    -----
    A check of form, not a compiler: verbatim text and changed category codes are read as LaTeX.

    Examples
    --------
    >>> latex_validity(r"\begin{equation} x^{2} \label{eq:a} \end{equation} see \ref{eq:a}").valid
    True
    >>> v = latex_validity(r"\begin{table} \emhp{word} \end{tabel} {")
    >>> v.environments, round(v.commands, 2), round(v.braces, 2)
    (0.0, 0.67, 0.86)
    """
    if not isinstance(source, str):
        raise TypeError(f"source must be a text, got {type(source).__name__}")
    text = strip_comments(source)
    bare = re.sub(r"\\[\\{}$%&#_]", "  ", text)
    depth = matched = braces = 0
    for mark in re.findall(r"[{}]", bare):
        braces += 1
        if mark == "{":
            depth += 1
        elif depth:
            depth, matched = depth - 1, matched + 2
    stack: list[str] = []
    paired = 0
    marks = re.findall(r"\\(begin|end)\s*\{([^{}]*)\}", bare)
    for kind, name in marks:
        if kind == "begin":
            stack.append(name)
        elif name in stack:
            while stack.pop() != name:
                pass
            paired += 2
    defined = set(re.findall(r"\\(?:(?:re)?newcommand\*?|def|DeclareMathOperator\*?)\s*\{?\\([A-Za-z]+)", bare))
    known = COMMANDS | set(commands) | defined
    used = re.findall(r"\\([A-Za-z]+)", bare)
    labels = set(re.findall(r"\\label\{([^{}]*)\}", bare))
    items = set(re.findall(r"\\bibitem(?:\[[^]]*\])?\{([^{}]*)\}", bare))
    references = [x in labels for x in re.findall(r"\\(?:eq|page|auto|c|C)?ref\*?\{([^{}]*)\}", bare)]
    if items:
        cited = re.findall(r"\\[Cc]ite[a-z]*\*?(?:\[[^]]*\])*\{([^{}]*)\}", bare)
        references += [key.strip() in items for keys in cited for key in keys.split(",")]
    dollars = all(p.replace("$$", "").count("$") % 2 == 0 for p in re.split(r"\n\s*\n", bare))

    def share(good: int, all_: int) -> float:
        return good / all_ if all_ else 1.0

    return LatexValidity(
        share(matched, braces),
        share(paired, len(marks)),
        share(sum(c in known for c in used), len(used)),
        share(sum(references), len(references)),
        dollars,
        braces,
        len(marks),
        len(used),
        len(references),
    )


def word_perplexity(cross_entropy: float, text: str | Sequence[str]) -> float:
    r"""Return the perplexity per word that a cross-entropy per character comes to: :math:`e^{\,CE \cdot C / W}`.

    Parameters
    ----------
    cross_entropy : float
        In nats a character.
    text : str or sequence of str
        What it was measured on: C characters and W words divided by white space.

    Examples
    --------
    >>> round(word_perplexity(1.0, "four word text here"), 2)      # e^(19/4)
    115.58
    """
    texts = [text] if isinstance(text, str) else list(text)
    characters, words = sum(map(len, texts)), sum(len(t.split()) for t in texts)
    if not words:
        raise ValueError("text has no words")
    if math.isnan(cross_entropy) or cross_entropy < 0:
        raise ValueError(f"cross_entropy must be at least 0, got {cross_entropy}")
    return math.exp(cross_entropy * characters / words)


class LatexCorpus:
    r"""LaTeX documents, one text a paper, to train and judge language models on.

    Parameters
    ----------
    documents : sequence of str
    names : sequence of str, optional

    Attributes
    ----------
    documents : list of str
    names : list of str
    alphabet : str
        The characters that occur, sorted.

    Examples
    --------
    >>> corpus = LatexCorpus.synthetic(10, rng=0)
    >>> train, validation, test = corpus.split(rng=0)
    >>> len(train), len(validation), len(test)
    (8, 1, 1)
    >>> all(latex_validity(d).valid for d in corpus)
    True

    References
    ----------
    S. Demir, U. Mutlu and Ö. Özdemir (2019), "Neural Academic Paper Generation", arXiv 1912.01982.
    """

    def __init__(self, documents: Sequence[str], names: Sequence[str] | None = None):
        self.documents = list(documents)
        self.names = [str(i) for i in range(len(self.documents))] if names is None else list(names)
        if not self.documents or not all(isinstance(d, str) and d for d in self.documents):
            raise ValueError("documents must be texts that are not empty, at least one")
        if len(self.names) != len(self.documents):
            raise ValueError(f"names must be one a document: {len(self.names)} for {len(self.documents)}")

    @property
    def alphabet(self) -> str:
        """The characters that occur, sorted."""
        return "".join(sorted(set().union(*self.documents)))

    def __len__(self) -> int:
        return len(self.documents)

    def __iter__(self) -> Iterator[str]:
        return iter(self.documents)

    def __getitem__(self, i: int) -> str:
        return self.documents[i]

    def __repr__(self) -> str:
        return f"LatexCorpus({len(self)} documents, {sum(map(len, self.documents))} characters)"

    def split(
        self, validation: float = 0.1, test: float = 0.1, rng: Any = None
    ) -> tuple[list[str], list[str], list[str]]:
        """Return documents to train on, to choose by and to judge on; no paper is in two of them.

        Raises
        ------
        ValueError
            If a part that was asked for, or what is left to train on, would be empty.
        """
        if validation < 0 or test < 0 or validation + test >= 1:
            raise ValueError(
                f"validation and test must be shares that leave some to train on, got {validation}, {test}"
            )
        n = len(self)
        sizes = [max(1, round(share * n)) if share else 0 for share in (validation, test)]
        if sum(sizes) >= n:
            raise ValueError(f"{n} documents are too few for these shares")
        order = np.random.default_rng(rng).permutation(n)
        parts = np.split(order, [n - sum(sizes), n - sizes[1]])
        train, held, last = ([self.documents[i] for i in part] for part in parts)
        return train, held, last

    @classmethod
    def from_dir(cls, path: str | Path, ascii_only: bool = True) -> LatexCorpus:
        r"""Read the papers of a folder: each sub-folder with a ``.tex`` file is one, and each ``.tex`` file in it.

        A paper begins with the file that has ``\documentclass``; ``\input`` and ``\include`` are replaced by what they
        name. Comments are removed.

        Parameters
        ----------
        path : str or Path
        ascii_only : bool
            Leave out all characters but printable ASCII, tabs and line ends.

        Raises
        ------
        ValueError
            If there is none, an included file is outside the paper's folder, or files include one another in a circle.
        """
        root = Path(path)
        if not root.is_dir():
            raise ValueError(f"{str(root)!r} is no folder")
        found: dict[str, str] = {}
        for main in sorted(root.glob("*.tex")):
            found[main.name] = _merged(main, root)
        for folder in sorted(p for p in root.iterdir() if p.is_dir()):
            files = sorted(folder.rglob("*.tex"))
            mains = [p for p in files if r"\documentclass" in strip_comments(_source(p))]
            if files:
                found[folder.name] = _merged((mains or files)[0], folder)
        if not found:
            raise ValueError(f"{str(root)!r} holds no .tex file")
        if ascii_only:
            found = {k: "".join(c for c in v if " " <= c <= "~" or c in "\n\t") for k, v in found.items()}
        kept = {k: v.strip() + "\n" for k, v in found.items() if v.strip()}
        return cls(list(kept.values()), list(kept))

    @classmethod
    def synthetic(cls, n: int, rng: Any = None, sections: int = 3) -> LatexCorpus:
        r"""Write `n` papers by a grammar: preamble, sections, equations, tables, citations.

        What it has for a language model to learn lies at every distance: spelling, braces, the names of environments
        at their ends; the dozen words that a paper is about; and labels of six random letters and digits that are
        referred to one or more paragraphs later, which only who remembers them can predict.
        """
        if n < 1 or sections < 1:
            raise ValueError(f"n and sections must be at least 1, got {n} and {sections}")
        g = np.random.default_rng(rng)
        return cls([_paper(g, sections) for _ in range(n)])


def _source(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _merged(path: Path, root: Path, above: tuple[Path, ...] = ()) -> str:
    where = path.resolve()
    if where in above:
        raise ValueError(
            f"{path.name} includes itself, by way of {', '.join(p.name for p in above[above.index(where) :])}"
        )
    if not where.is_relative_to(root.resolve()):
        raise ValueError(f"{above[-1].name} includes a file outside its folder: {path}")

    def included(match: re.Match[str]) -> str:
        name = match[1].strip()
        for base in (path.parent, root):
            for candidate in (base / name, base / f"{name}.tex"):
                if candidate.is_file() or not candidate.resolve().is_relative_to(root.resolve()):
                    return _merged(candidate, root, (*above, where))
        return match[0]  # not among the sources: it stays as it is written

    text = strip_comments(_source(path))
    return re.sub(r"\\(?:input|include)\s*\{([^{}]+)\}", included, text)


def _paper(g: np.random.Generator, sections: int) -> str:
    own = g.choice(WORDS, 12, replace=False)  # what this paper is about

    def words(low: int, high: int) -> str:
        return " ".join(g.choice(own, g.integers(low, high)))

    def key(kind: str) -> str:
        return f"{kind}:" + "".join(g.choice(list("abcdefghijklmnopqrstuvwxyz0123456789"), 6))

    def term() -> str:
        a, b = g.choice(list("xyzwhfg"), 2)
        return str(g.choice([rf"\frac{{{a}}}{{{b}}}", rf"{a}_{{{b}}}", rf"\sqrt{{{a} + {b}}}", rf"\hat{{{a}}}^{{2}}"]))

    cited = [key("bib") for _ in range(3)]
    lines = [r"\documentclass{article}", r"\begin{document}", rf"\title{{{words(3, 6)}}}", r"\maketitle"]
    for _ in range(sections):
        equation, table = key("eq"), key("tab")
        lines += [
            rf"\section{{{words(1, 4)}}}",
            f"{words(6, 12)} \\cite{{{g.choice(cited)}}}.",
            r"\begin{equation}",
            f"{term()} = {term()} + {term()}",
            rf"\label{{{equation}}}",
            r"\end{equation}",
            f"{words(6, 12)}.",
        ]
        if g.random() < 0.5:
            rows = [rf"{words(1, 2)} & {g.integers(10, 99)}.{g.integers(0, 9)} \\" for _ in range(2)]
            lines += [r"\begin{table}", r"\begin{tabular}{lr}", *rows, r"\end{tabular}", rf"\label{{{table}}}"]
            lines += [r"\end{table}", rf"{words(4, 8)} in \ref{{{table}}}."]
        lines.append(rf"{words(4, 8)} of \ref{{{equation}}} and \ref{{{equation}}} \cite{{{g.choice(cited)}}}.")
    lines.append(r"\begin{thebibliography}{9}")
    lines += [rf"\bibitem{{{c}}} {words(3, 6)}." for c in cited]
    lines += [r"\end{thebibliography}", r"\end{document}", ""]
    return "\n".join(lines)
