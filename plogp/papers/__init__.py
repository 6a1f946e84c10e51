"""The catalogue of published methods, and the claims that anyone can run.

``papers()`` lists the rows, ``paper(slug)`` finds one, ``reproduce(...)`` runs its claims.
"""

from plogp.papers.catalogue import Paper, paper, papers
from plogp.papers.claim import Claim, Result
from plogp.papers.run import Outcome, document, reproduce, select

__all__ = [
    "Claim",
    "Outcome",
    "Paper",
    "Result",
    "document",
    "paper",
    "papers",
    "reproduce",
    "select",
]
