"""How docstrings become pages: formulas as code blocks, examples outside an Examples section fenced, roles as code.

Docstrings are written for `help()` and for doctest; Markdown would read underscores and brackets of a formula as
emphasis and links, and `>>>` as quotations.
"""

from __future__ import annotations

import re
from textwrap import dedent
from typing import Any

from griffe import Extension, Object

__all__ = ["Docstrings", "for_markdown"]

_MATH = re.compile(r"^( *)\.\. math::[ ]*(.*)\n((?:\1 +\S.*\n|[ ]*\n(?=\1 +\S))*)", re.MULTILINE)
_ROLE = re.compile(r":(?:func|class|meth|mod|math):`~?([^`]+)`")
_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}[ ]*$", re.MULTILINE)
_DOCTEST = re.compile(r"^(?:>>> .*\n)(?:(?!\s*$).*\n)*", re.MULTILINE)


def for_markdown(text: str) -> str:
    """Return a docstring that Markdown shows as it was meant."""
    text = _MATH.sub(_formula, text + "\n")
    text = _ROLE.sub(r"`\1`", text)
    found = list(_SECTION.finditer(text))
    ends = [*(m.start() for m in found[1:]), len(text)]
    parts = [_fenced(text[: found[0].start()] if found else text)]
    for section, end in zip(found, ends):
        body = text[section.start() : end]
        parts.append(body if section[1] == "Examples" else _fenced(body))
    return "".join(parts)


def _formula(match: re.Match[str]) -> str:
    lines = dedent("\n".join(line for line in [match[2], *match[3].splitlines()] if line.strip()))
    indent = match[1]
    return "".join(f"{indent}{line}\n" for line in ["```tex", *map(str.strip, lines.splitlines()), "```"]) + "\n"


def _fenced(text: str) -> str:
    return _DOCTEST.sub(lambda m: f"```pycon\n{m[0].rstrip()}\n```\n", text)


class Docstrings(Extension):
    """Rewrites every docstring as it is collected."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = for_markdown(obj.docstring.value).rstrip()
