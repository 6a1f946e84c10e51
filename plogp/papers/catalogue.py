"""The catalogue: one row a published method, read from ``catalogue.toml``."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any

from plogp.papers.claim import Claim, claims_of, module_name

__all__ = ["STATUSES", "Paper", "catalogue", "paper", "papers", "resolve"]

STATUSES = ("working", "planned")


@dataclass(frozen=True)
class Paper:
    """One row of the catalogue.

    ``symbols`` are the dotted public names that hold the method, ``claims`` the functions of its claim file;
    both are empty while the status is "planned".
    """

    seed: int
    slug: str
    title: str
    method: str
    year: int
    room: str
    status: str
    symbols: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    arxiv: str = ""
    venue: str = ""
    doi: str = ""
    url: str = ""
    note: str = ""

    @property
    def link(self) -> str:
        """Where to read it: the arXiv page, or the DOI, or the repository; empty where none is known."""
        if self.arxiv:
            return f"https://arxiv.org/abs/{self.arxiv}"
        return f"https://doi.org/{self.doi}" if self.doi else self.url

    def citation(self) -> str:
        """Return one line of reference.

        >>> print(paper("mine").citation())
        MINE: Mutual Information Neural Estimation (2018). ICML 2018. arXiv:1801.04062.
        """
        parts = [f"{_names(self.authors)}. " if self.authors else "", f"{self.title} ({self.year})."]
        if self.venue:
            parts.append(f" {self.venue}.")
        if self.arxiv:
            parts.append(f" arXiv:{self.arxiv}.")
        if self.doi:
            parts.append(f" doi:{self.doi}.")
        elif self.url and not self.arxiv:
            parts.append(f" {self.url}.")
        return "".join(parts)

    def bibtex(self) -> str:
        """Return a BibTeX entry.

        >>> print(paper("mine").bibtex())
        @misc{mine2018,
          title = {{MINE: Mutual Information Neural Estimation}},
          year = {2018},
          eprint = {1801.04062},
          archivePrefix = {arXiv},
          note = {ICML 2018},
          url = {https://arxiv.org/abs/1801.04062}
        }
        """
        entry: dict[str, str] = {}
        if self.authors:
            entry["author"] = _tex(" and ".join(self.authors))
        entry |= {"title": f"{{{_tex(self.title)}}}", "year": str(self.year)}
        if self.arxiv:
            entry |= {"eprint": self.arxiv, "archivePrefix": "arXiv"}
        if self.venue:
            entry["note"] = _tex(self.venue)
        if self.doi:
            entry["doi"] = self.doi
        if self.link:
            entry["url"] = self.link
        body = ",\n".join(f"  {key} = {{{value}}}" for key, value in entry.items())
        return f"@misc{{{module_name(self.slug)}{self.year},\n{body}\n}}"

    def load(self) -> list[Claim]:
        """Import the claim file and return its claims; an empty list for a planned row."""
        return claims_of(self.slug, self.room) if self.status == "working" else []

    def to_dict(self) -> dict[str, Any]:
        """Return the fields and the link as plain values."""
        row = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        return row | {"link": self.link}


def _names(authors: tuple[str, ...]) -> str:
    return " and ".join([", ".join(authors[:-1]), authors[-1]]) if len(authors) > 1 else authors[0]


_TEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}"}


def _tex(text: str) -> str:
    # A title may hold inline mathematics, where `_` and braces mean something.
    return text if "$" in text else "".join(_TEX.get(c, c) for c in text)


@cache
def catalogue() -> tuple[Paper, ...]:
    """Return all rows, by seed.

    >>> len(catalogue())
    221
    """
    text = files("plogp.papers").joinpath("catalogue.toml").read_text(encoding="utf-8")
    rows: list[Paper] = []
    for entry in tomllib.loads(text)["paper"]:
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
        rows.append(Paper(**fields))
    for row in rows:
        if row.status not in STATUSES:
            raise ValueError(f"catalogue.toml: {row.slug} has status {row.status!r}; expected one of {STATUSES}")
    return tuple(sorted(rows, key=lambda row: row.seed))


def papers(room: str | None = None, status: str | None = None) -> list[Paper]:
    """Return the rows of a room, or of a status, or all.

    Raises
    ------
    ValueError
        For a room or status that no row has.

    Examples
    --------
    >>> [p.slug for p in papers(room="trace")]
    ['model-map', 'paper-gen']
    """
    rooms = sorted({row.room for row in catalogue()})
    if room is not None and room not in rooms:
        raise ValueError(f"no room {room!r} in the catalogue{_did_you_mean(room, rooms)}; rooms: {', '.join(rooms)}")
    if status is not None and status not in STATUSES:
        raise ValueError(f"status must be one of {', '.join(STATUSES)}, got {status!r}")
    return [r for r in catalogue() if room in (None, r.room) and status in (None, r.status)]


def paper(slug: str) -> Paper:
    """Return the row of a slug; hyphens and underscores are alike, and the seed number works too.

    Raises
    ------
    ValueError
        If there is none; the message names the nearest slugs.

    Examples
    --------
    >>> paper("reconstruction-lattice").seed, paper("24").slug
    (24, 'reconstruction_lattice')
    """
    wanted = module_name(slug.strip())
    for row in catalogue():
        if wanted in (module_name(row.slug), str(row.seed)):
            return row
    near = _did_you_mean(wanted, [module_name(row.slug) for row in catalogue()])
    raise ValueError(f"no paper {slug!r} in the catalogue{near}; `plogp papers` lists them")


def _did_you_mean(wanted: str, known: list[str]) -> str:
    close = difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
    if not close:
        return ""
    row = {module_name(r.slug): r.slug for r in catalogue()}
    return "; did you mean " + " or ".join(repr(row.get(c, c)) for c in close) + "?"


def resolve(symbol: str) -> Any:
    """Import what a dotted public name means.

    Raises
    ------
    ImportError, AttributeError
        If a part of it does not exist.

    Examples
    --------
    >>> resolve("plogp.papers.paper") is paper
    True
    """
    parts = symbol.split(".")
    found: Any = import_module(parts[0])
    for i, part in enumerate(parts[1:], start=2):
        if not hasattr(found, part):
            try:
                found = import_module(".".join(parts[:i]))
                continue
            except ModuleNotFoundError as error:
                raise AttributeError(f"{'.'.join(parts[: i - 1])} has no {part!r}") from error
        found = getattr(found, part)
    return found
