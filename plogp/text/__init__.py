"""What a text, or a collection of texts, carries.

Scores of detection and membership on a `Trace` (`scores`, `Detector`, `PerplexityTest`, `mint`), uncertainty of answers
(`semantic_entropy`, `snne`, `InvEntropy`, `edfl`), evaluation (`face`, `novelty`, `UnifiedQualityScore`), compression
(`compress`, `kolmogorov`, `PromptCompressor`), `PasswordModel`, `InfGram`, `vendi_ngrams` and more.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from plogp._lazy import loader as _loader

if _TYPE_CHECKING:
    from plogp.text import edfl, kolmogorov, scores, unlearning
    from plogp.text.answers import (
        UncertaintySuite,
        kernel_language_entropy,
        lexical_similarity,
        rejection_metrics,
        semantic_entropy,
        snne,
    )
    from plogp.text.benchmarks import diversity, evolve, k_farthest, novelty, run_tests
    from plogp.text.cognition import CognitiveState, codec_report, collapse, icc, perturb
    from plogp.text.compression import compress, compress_stream, compression_report, decompress, decompress_stream
    from plogp.text.detection import Detector, evaluate_scores, mint
    from plogp.text.frequency import TokenFrequency
    from plogp.text.human_reference import HumanReference
    from plogp.text.infgram import InfGram
    from plogp.text.inverse_entropy import InvEntropy, gaap, inv_entropy, tsu
    from plogp.text.latex import LatexCorpus, latex_validity, word_perplexity
    from plogp.text.ngrams import vendi_ngrams
    from plogp.text.passwords import PasswordModel, meter_errors, select_by_js
    from plogp.text.perplexity_test import PerplexityTest, sample_size, source_test
    from plogp.text.prompts import PromptCompressor, SurprisalCompressor, align_labels, compression_quality
    from plogp.text.similarity import Encoder, greedy_clusters, rouge_l, similarity_matrix
    from plogp.text.spectral import face, surprisal_spectrum
    from plogp.text.uncertainty import residual_cross_entropy
    from plogp.text.unlearning import UnifiedQualityScore

_HOMES = {
    "CognitiveState": "cognition",
    "Detector": "detection",
    "Encoder": "similarity",
    "HumanReference": "human_reference",
    "InfGram": "infgram",
    "InvEntropy": "inverse_entropy",
    "LatexCorpus": "latex",
    "PasswordModel": "passwords",
    "PerplexityTest": "perplexity_test",
    "PromptCompressor": "prompts",
    "SurprisalCompressor": "prompts",
    "TokenFrequency": "frequency",
    "UncertaintySuite": "answers",
    "UnifiedQualityScore": "unlearning",
    "align_labels": "prompts",
    "codec_report": "cognition",
    "collapse": "cognition",
    "compress": "compression",
    "compress_stream": "compression",
    "compression_quality": "prompts",
    "compression_report": "compression",
    "decompress": "compression",
    "decompress_stream": "compression",
    "diversity": "benchmarks",
    "evaluate_scores": "detection",
    "evolve": "benchmarks",
    "face": "spectral",
    "gaap": "inverse_entropy",
    "greedy_clusters": "similarity",
    "icc": "cognition",
    "inv_entropy": "inverse_entropy",
    "k_farthest": "benchmarks",
    "kernel_language_entropy": "answers",
    "latex_validity": "latex",
    "lexical_similarity": "answers",
    "meter_errors": "passwords",
    "mint": "detection",
    "novelty": "benchmarks",
    "perturb": "cognition",
    "rejection_metrics": "answers",
    "residual_cross_entropy": "uncertainty",
    "rouge_l": "similarity",
    "run_tests": "benchmarks",
    "sample_size": "perplexity_test",
    "select_by_js": "passwords",
    "semantic_entropy": "answers",
    "similarity_matrix": "similarity",
    "snne": "answers",
    "source_test": "perplexity_test",
    "surprisal_spectrum": "spectral",
    "tsu": "inverse_entropy",
    "vendi_ngrams": "ngrams",
    "word_perplexity": "latex",
}

_MODULES = ("edfl", "kolmogorov", "scores", "unlearning")

__all__ = [
    "CognitiveState",
    "Detector",
    "Encoder",
    "HumanReference",
    "InfGram",
    "InvEntropy",
    "LatexCorpus",
    "PasswordModel",
    "PerplexityTest",
    "PromptCompressor",
    "SurprisalCompressor",
    "TokenFrequency",
    "UncertaintySuite",
    "UnifiedQualityScore",
    "align_labels",
    "codec_report",
    "collapse",
    "compress",
    "compress_stream",
    "compression_quality",
    "compression_report",
    "decompress",
    "decompress_stream",
    "diversity",
    "edfl",
    "evaluate_scores",
    "evolve",
    "face",
    "gaap",
    "greedy_clusters",
    "icc",
    "inv_entropy",
    "k_farthest",
    "kernel_language_entropy",
    "kolmogorov",
    "latex_validity",
    "lexical_similarity",
    "meter_errors",
    "mint",
    "novelty",
    "perturb",
    "rejection_metrics",
    "residual_cross_entropy",
    "rouge_l",
    "run_tests",
    "sample_size",
    "scores",
    "select_by_js",
    "semantic_entropy",
    "similarity_matrix",
    "snne",
    "source_test",
    "surprisal_spectrum",
    "tsu",
    "unlearning",
    "vendi_ngrams",
    "word_perplexity",
]

__getattr__ = _loader("plogp.text", _HOMES, "lm", modules=_MODULES)


def __dir__() -> list[str]:
    return sorted(__all__)
