"""The report: what a table carries and what drifted, in the terminal, as a page and as JSON.

``report(input, other, target=...)`` returns a `Report` with ``.html``, ``.json`` and ``.save(directory)``.
"""

from plogp.report.build import Report, UnsupportedInputError, parts, report

__all__ = ["Report", "UnsupportedInputError", "parts", "report"]
