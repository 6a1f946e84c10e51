"""The text that the embedded language model is trained on: books and documents that Debian packages carry.

    python training/lm_corpus.py --folder build/lm-corpus

downloads the packages of `SOURCES` (``apt-get download``, Debian 12), unpacks them, strips the markup and writes one
file of text per source beside them. Nothing of it is part of plogp. `corpus` gives (kind, split, name, text).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import html
import re
import subprocess
import sys
import sysconfig
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

BLOCKS = frozenset(
    re.findall(r"\w+", "p div br li tr h1 h2 h3 h4 h5 h6 pre dt dd blockquote table ul ol section title para td th")
)
STRING = re.compile(rb"\x00(?:\x04\x00|\x00\x80|\x00\x40)\x09")  # the header of a string of R: ASCII, UTF-8, Latin-1
HIDDEN = frozenset(["script", "style", "nav", "head", "footer"])


class _Text(HTMLParser):
    """The text of a page: blocks end lines, white space is folded except in <pre>."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.hidden = self.pre = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.hidden += tag in HIDDEN
        self.pre += tag == "pre"
        if tag in BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self.hidden = max(0, self.hidden - (tag in HIDDEN))
        self.pre = max(0, self.pre - (tag == "pre"))
        if tag in BLOCKS:
            self.parts.append("\n\n" if tag in ("p", "div", "pre", "para", "blockquote", "h1", "h2", "h3") else "\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data if self.pre else re.sub(r"\s+", " ", data))


def raw(path: Path) -> bytes:
    """The bytes of a file; gzip and dictzip are opened."""
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def decoded(data: bytes) -> str:
    """UTF-8, or Latin-1 where it is not."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def plain(path: Path) -> Iterator[tuple[str, str]]:
    """A text file; the licence that Project Gutenberg puts around a book is cut off."""
    text = decoded(raw(path)).replace("\r\n", "\n")
    start = re.search(r"\*\*\* ?START OF.*\n", text)
    end = re.search(r"\n.*\*\*\* ?END OF", text)
    yield path.name, text[start.end() if start else 0 : end.start() if end else None]


def page(path: Path) -> Iterator[tuple[str, str]]:
    """An HTML or XML page."""
    parser = _Text()
    parser.feed(decoded(raw(path)))
    yield path.name, re.sub(r"[ \t]*\n[ \t]*", "\n", "".join(parser.parts)) if not parser.pre else "".join(parser.parts)


def manual(path: Path) -> Iterator[tuple[str, str]]:
    """A manual page in groff: requests become line ends, escapes their characters."""
    text = re.sub(
        r'(?m)^[.\'](\\"|TH|SP|sp|PP|P\b|LP|RS|RE|nf|fi|in|ad|hy|ne|ie|el|if|de|ds|so|tr|nh|ta|ps|EX|EE).*$',
        "",
        decoded(raw(path)),
    )
    text = re.sub(r"(?m)^[.'](SH|SS|TP|B|I|BR|IR|RB|RI|BI|IB|IP|UR|UE|MT|ME|HP|TQ)\b *", "", text)
    text = re.sub(r"\\f.|\\[&%/,^|:]|\\s[-+]?\d", "", text)
    for escape, mark in (("\\-", "-"), ("\\(aq", "'"), ("\\(bu", "*"), ("\\(co", "(C)"), ("\\e", "\\"), ("\\ ", " ")):
        text = text.replace(escape, mark)
    yield path.name, re.sub(r"\\\(..|\\\[[^]]*\]|\\\*.", "", text)


def pod(path: Path) -> Iterator[tuple[str, str]]:
    """Perl's documentation."""
    text = re.sub(r"(?m)^=(head\d|item|over|back|cut|pod|for|begin|end|encoding)[ \d]*", "", decoded(raw(path)))
    for _ in range(3):
        text = re.sub(r"\b[BCEFILSXZ]<([^<>]*)>", r"\1", text)
    yield path.name, text


def fortunes(path: Path) -> Iterator[tuple[str, str]]:
    """Epigrams, one after the other."""
    text = decoded(raw(path))
    if text.count("\n%\n") > 5:
        yield path.name, text.replace("\n%\n", "\n\n")


def sword(path: Path) -> Iterator[tuple[str, str]]:
    """A module of the SWORD project: zlib streams one after the other, one a book or a chapter, with light markup."""
    data, number = path.read_bytes(), 0
    while data:
        engine = zlib.decompressobj()
        text, data, number = decoded(engine.decompress(data)), engine.unused_data.lstrip(b"\0"), number + 1
        text = re.sub(r"<(note|title type=.x)\b.*?</\1>", "", text, flags=re.S)
        text = re.sub(r"</?(p|lb|div|br|hi type=.bold|verse|milestone)\b[^>]*>", "\n", text)
        yield f"{path.parent.name}/{path.name}/{number}", html.unescape(re.sub(r"<[^>]*>|\x00", "", text))


def r_strings(path: Path) -> Iterator[tuple[str, str]]:
    """The vectors of strings in a database of R: zlib streams of its serialisation, of which strings are read."""
    data, number = path.read_bytes(), 0
    while data:  # each block: its length in 4 bytes, then a zlib stream
        engine = zlib.decompressobj()
        block, data, number = engine.decompress(data[4:]), engine.unused_data, number + 1
        found, at = [], 0
        while header := STRING.search(block, at):
            at = header.end() + 4
            length = int.from_bytes(block[header.end() : at], "big")
            if length < 3_000_000:
                found.append(decoded(block[at : at + length]))
                at += length
        text = "\n".join(found)
        if len(text) > 100_000:
            yield f"{path.parts[-3]}/{number}", text


def quoted(pattern: str) -> Callable[[Path], Iterator[tuple[str, str]]]:
    """The texts that a pattern finds in the data of a game."""

    def read(path: Path) -> Iterator[tuple[str, str]]:
        found = [re.sub(r"\s*\n\s*", "\n", t).strip() for t in re.findall(pattern, decoded(raw(path)))]
        if found:
            yield path.name, "\n".join(re.sub(r"<[^>]*>", "", t).replace('""', '"') for t in found)

    return read


@dataclass(frozen=True)
class Source:
    """One package: what it holds, under which licence, where, and how it is read."""

    package: str
    kind: str  # prose, documentation or source
    licence: str
    globs: tuple[str, ...]
    read: Callable[[Path], Iterator[tuple[str, str]]] = plain
    limit: int = 20_000_000  # characters kept
    held_out: str = ""  # documents whose name matches are never trained on, besides the share held out by hash


D = "usr/share/doc"
WML = quoted(r'_ *"((?:[^"]|""){30,})"')
SOURCES = (
    Source("r-cran-janeaustenr", "prose", "public domain", ("**/data/Rdata.rdb",), r_strings, held_out="/2$"),
    Source("r-cran-tokenizers", "prose", "public domain", ("**/data/Rdata.rdb",), r_strings),
    Source("golang-1.19-src", "prose", "public domain", ("**/Isaac.Newton-Opticks.txt",)),
    Source("golang-github-klauspost-compress-dev", "prose", "public domain", ("**/Mark.Twain-Tom.Sawyer.txt",)),
    Source("anarchism", "prose", "GPL-2+", (f"{D}/anarchism/html/*.html",), page, held_out="secJ5"),
    Source("sword-comm-tdavid", "prose", "public domain", ("**/tdavid/*.czz",), sword, 6_000_000),
    Source("sword-comm-mhcc", "prose", "public domain", ("**/mhcc/*.bzz",), sword),
    Source("sword-comm-scofield", "prose", "public domain", ("**/scofield/*.bzz",), sword),
    Source("sword-text-web", "prose", "public domain", ("**/engWEB2015eb/*.bzz",), sword),
    Source(
        "endless-sky-data", "prose", "GPL-3+", ("**/data/*.txt",), quoted(r"`([^`]{30,})`"), held_out="hai missions"
    ),
    *(
        Source(f"wesnoth-1.16-{part}", "prose", "GPL-2+", ("**/*.cfg",), WML)
        for part in re.findall(r"\w+", "httt did utbs sof thot low l nr dm tsg ei sota dw trow sotbe ttb")
    ),
    Source("crawl-common", "prose", "GPL-2+", ("**/dat/descript/*.txt", "**/dat/database/*.txt")),
    Source("fortunes", "prose", "BSD (the collection)", ("**/fortunes/*",), fortunes),
    Source("fortunes-min", "prose", "BSD (the collection)", ("**/fortunes/*",), fortunes),
    Source("jargon-text", "prose", "public domain", ("**/jargon.txt.gz",)),
    Source("dict-devil", "prose", "public domain", ("**/devil.dict.dz",)),
    Source("dict-gcide", "prose", "GPL-2+", ("**/gcide.dict.dz",), limit=1_500_000),
    Source(
        "debian-history",
        "prose",
        "GPL-2+",
        (f"{D}/debian-history/**/*.en.txt*", f"{D}/debian-history/docs/*.en.html"),
        page,
    ),
    Source(
        "debian-handbook", "documentation", "GPL-2+ or CC-BY-SA-3.0", (f"{D}/debian-handbook/html/en-US/*.html",), page
    ),
    Source("debian-reference-en", "documentation", "GPL-2+", ("**/*.en.html",), page),
    Source("developers-reference", "documentation", "GPL-2+", ("**/*.html",), page),
    Source("maint-guide", "documentation", "GPL-2+", ("**/*.en.html",), page),
    Source("debian-policy", "documentation", "GPL-2+", ("**/policy.html/*.html",), page),
    Source("libreoffice-help-en-us", "documentation", "MPL-2.0", ("**/*.html",), page, 2_000_000),
    Source("gnome-user-docs", "documentation", "CC-BY-SA-3.0", ("usr/share/help/C/**/*.page",), page),
    Source("mh-book", "documentation", "GPL-2+", ("**/*.html", "**/*.htm"), page),
    Source(
        "rust-doc",
        "documentation",
        "MIT or Apache-2.0",
        (f"{D}/rust-doc/html/book/*.html", f"{D}/rust-doc/html/nomicon/*.html", f"{D}/rust-doc/html/reference/*.html"),
        page,
    ),
    Source(
        "linux-doc-6.1",
        "documentation",
        "GPL-2",
        ("**/process/*.rst.gz", "**/admin-guide/*.rst.gz", "**/filesystems/*.rst.gz"),
        plain,
        2_500_000,
    ),
    Source(
        "python3.11-doc",
        "documentation",
        "PSF-2.0",
        (
            "**/_sources/howto/*.txt",
            "**/_sources/tutorial/*.txt",
            "**/_sources/reference/*.txt",
            "**/_sources/faq/*.txt",
            "**/_sources/library/[a-m]*.txt",
        ),
        plain,
        4_000_000,
    ),
    Source("perl-doc", "documentation", "Artistic or GPL-1+", ("**/perl*.pod",), pod, 3_000_000),
    Source("postgresql-doc-15", "documentation", "PostgreSQL", ("**/*.html",), page, 3_000_000),
    Source("apache2-doc", "documentation", "Apache-2.0", ("**/*.html.en", "**/manual/en/**/*.html"), page, 2_000_000),
    Source("git-doc", "documentation", "GPL-2", ("**/*.txt",), plain, 2_500_000),
    Source("manpages", "documentation", "several free licences", ("**/man[157]/*.gz",), manual),
    Source("manpages-dev", "documentation", "several free licences", ("**/man[23]/*.gz",), manual, 1_500_000),
    Source("vim-runtime", "documentation", "OPL-1.0+", ("**/doc/usr_*.txt",)),
    Source(
        "golang-1.19-src",
        "source",
        "BSD-3-Clause",
        (
            "**/src/net/**/*.go",
            "**/src/go/**/*.go",
            "**/src/encoding/**/*.go",
            "**/src/sort/*.go",
            "**/src/strings/*.go",
        ),
        plain,
        2_500_000,
    ),
)


def library(limit: int = 5_500_000) -> Iterator[tuple[str, str]]:
    """Python source: the standard library (PSF-2.0), and NumPy and SciPy (BSD-3-Clause) where they are installed."""
    total = 0
    for folder in ("stdlib", "purelib"):
        root = Path(sysconfig.get_path(folder))
        paths = (
            root.glob("*.py")
            if folder == "stdlib"
            else (p for n in ("numpy", "scipy") for p in root.glob(f"{n}/*/*.py"))
        )
        folders = ("json", "email", "http", "asyncio", "unittest", "xml", "logging", "concurrent", "importlib")
        more = (p for n in folders for p in root.glob(f"{n}/*.py")) if folder == "stdlib" else ()
        for path in [*sorted(paths), *sorted(more)]:
            if "_pb2" not in path.name and path.stat().st_size < 200_000 and total < limit:
                total += path.stat().st_size
                yield path.name, path.read_text(errors="replace")


def fetch(folder: Path) -> None:
    """Download and unpack what is not there."""
    debs = folder / "debs"
    debs.mkdir(parents=True, exist_ok=True)
    for package in dict.fromkeys(s.package for s in SOURCES):
        if (folder / "files" / package).is_dir():
            continue
        if not list(debs.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "download", "-qq", package], cwd=debs, check=True)
        archive = next(debs.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder / "files" / package)], check=True)


def tidy(text: str) -> str:
    """Line ends of Unix, no runs of blank lines or of marks, no control characters."""
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", text.replace("\r\n", "\n"))
    text = re.sub(r"[ \t]+\n", "\n", text)
    text = re.sub(r"([-=_*~#.])\1{9,}", lambda m: m[1] * 8, text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def is_english(text: str) -> bool:
    """Whether at least one word in 20 is one of six English ones."""
    words = re.findall(r"[a-z]+", text[:20_000].lower())
    return len(words) > 50 and sum(w in {"the", "of", "and", "to", "is", "that"} for w in words) > 0.05 * len(words)


def corpus(folder: Path, held_out: float = 0.015) -> Iterator[tuple[str, str, str, str]]:
    """(kind, "train" or "held-out", package/document, text) of every document, without paragraphs that came before."""
    seen: set[bytes] = set()
    for source in (*SOURCES, None):
        if source is None:
            package, kind, documents, limit = "python", "source", library(), 10**9
        else:
            package, kind, limit = source.package, source.kind, source.limit
            root = folder / "files" / package
            paths = sorted({p for g in source.globs for p in root.glob(g) if p.is_file() and not p.is_symlink()})
            documents = (d for p in paths for d in source.read(p))
        total = 0
        for name, text in documents:
            text = tidy(text)
            if len(text) < 1000 or (kind != "source" and not is_english(text)):
                continue
            kept = []
            for paragraph in text.split("\n\n"):
                key = hashlib.blake2b(re.sub(r"\W+", "", paragraph).lower().encode(), digest_size=8).digest()
                if len(paragraph) < 40 or key not in seen:
                    kept.append(paragraph)
                seen.add(key)
            text = "\n\n".join(kept)
            text = text[: max(0, limit - total)]
            if len(text) < 500:
                continue
            total += len(text)
            share = int.from_bytes(hashlib.blake2b(f"{package}/{name}".encode(), digest_size=4).digest(), "big") / 2**32
            forced = source is not None and source.held_out and re.search(source.held_out, name)
            yield kind, "held-out" if forced or share < held_out else "train", f"{package}/{name}", text


def main() -> None:
    """Fetch, and print the table of sources."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/lm-corpus"))
    folder = parser.parse_args().folder
    fetch(folder)
    sizes: dict[tuple[str, str, str], int] = {}
    for kind, split, name, text in corpus(folder):
        key = (kind, name.split("/")[0], split)
        sizes[key] = sizes.get(key, 0) + len(text.encode())
    for (kind, package, split), size in sorted(sizes.items()):
        sys.stdout.write(f"{kind:14} {package:40} {split:9} {size / 1e6:7.2f} MB\n")
    for kind in ("prose", "documentation", "source"):
        both = [sum(v for k, v in sizes.items() if k[0] == kind and k[2] == s) / 1e6 for s in ("train", "held-out")]
        sys.stdout.write(f"{kind:14} train {both[0]:.1f} MB, held out {both[1]:.2f} MB\n")


if __name__ == "__main__":
    main()
