"""The KoLMogorov test: compress a sequence of bytes by writing a program that prints it."""

from plogp.text.kolmogorov.coding import bits, decode, encode
from plogp.text.kolmogorov.evaluation import Evaluation, baseline_bits, evaluate, run_program
from plogp.text.kolmogorov.language import run
from plogp.text.kolmogorov.sampling import sample
from plogp.text.kolmogorov.search import Searcher

__all__ = [
    "Evaluation",
    "Searcher",
    "baseline_bits",
    "bits",
    "decode",
    "encode",
    "evaluate",
    "run",
    "run_program",
    "sample",
]
