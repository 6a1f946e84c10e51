"""What a sequence model knows, token by token and layer by layer.

`trace` scores texts in one pass and returns a `Trace`: log-probability, entropy, varentropy and rank of every token,
with the (tokens x vocabulary) logits never held whole; `linear_information` is the primitive under it. `Predictor` is
what it asks of a model: `HFPredictor`, `NGramLM`, `MarkovLM` and others are some. `capture` records the activations of
chosen modules, `architecture` tells where a transformer keeps its blocks, and `residual_lens` reads a prediction off
every layer of the residual stream.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from plogp._lazy import loader as _loader

if _TYPE_CHECKING:
    from plogp.trace.architectures import Architecture, architecture, register_architecture
    from plogp.trace.char_transformer import CharTransformerLM
    from plogp.trace.corpus import CorpusTrace, read_traces, trace_corpus
    from plogp.trace.embedded import EMBEDDED, embedded_model
    from plogp.trace.heads import StatesPredictor
    from plogp.trace.hooks import capture
    from plogp.trace.huggingface import HFPredictor, load_model
    from plogp.trace.lens import ResidualTrace, TunedLens, residual_lens
    from plogp.trace.linear import Head, LinearInformation, linear_information
    from plogp.trace.model_map import KLTable, ModelMap, ScorePrediction, loglik_vector
    from plogp.trace.ngram_lm import NGramLM
    from plogp.trace.predictors import (
        ArrayPredictor,
        MarkovLM,
        MixturePredictor,
        Predictor,
        Session,
        TopKPredictor,
        session,
    )
    from plogp.trace.record import ReferenceTrace, Trace
    from plogp.trace.repetition import distinct_ngrams, longest_repeat
    from plogp.trace.tokens import ReferenceStats, TokenStats, token_stats
    from plogp.trace.tracing import trace

_HOMES = {
    "Architecture": "architectures",
    "ArrayPredictor": "predictors",
    "CharTransformerLM": "char_transformer",
    "CorpusTrace": "corpus",
    "EMBEDDED": "embedded",
    "HFPredictor": "huggingface",
    "Head": "linear",
    "KLTable": "model_map",
    "LinearInformation": "linear",
    "MarkovLM": "predictors",
    "MixturePredictor": "predictors",
    "ModelMap": "model_map",
    "NGramLM": "ngram_lm",
    "Predictor": "predictors",
    "ReferenceStats": "tokens",
    "ReferenceTrace": "record",
    "ResidualTrace": "lens",
    "ScorePrediction": "model_map",
    "Session": "predictors",
    "StatesPredictor": "heads",
    "TokenStats": "tokens",
    "TopKPredictor": "predictors",
    "Trace": "record",
    "TunedLens": "lens",
    "architecture": "architectures",
    "capture": "hooks",
    "distinct_ngrams": "repetition",
    "embedded_model": "embedded",
    "linear_information": "linear",
    "load_model": "huggingface",
    "loglik_vector": "model_map",
    "longest_repeat": "repetition",
    "read_traces": "corpus",
    "register_architecture": "architectures",
    "residual_lens": "lens",
    "session": "predictors",
    "token_stats": "tokens",
    "trace": "tracing",
    "trace_corpus": "corpus",
}

__all__ = [
    "EMBEDDED",
    "Architecture",
    "ArrayPredictor",
    "CharTransformerLM",
    "CorpusTrace",
    "HFPredictor",
    "Head",
    "KLTable",
    "LinearInformation",
    "MarkovLM",
    "MixturePredictor",
    "ModelMap",
    "NGramLM",
    "Predictor",
    "ReferenceStats",
    "ReferenceTrace",
    "ResidualTrace",
    "ScorePrediction",
    "Session",
    "StatesPredictor",
    "TokenStats",
    "TopKPredictor",
    "Trace",
    "TunedLens",
    "architecture",
    "capture",
    "distinct_ngrams",
    "embedded_model",
    "linear_information",
    "load_model",
    "loglik_vector",
    "longest_repeat",
    "read_traces",
    "register_architecture",
    "residual_lens",
    "session",
    "token_stats",
    "trace",
    "trace_corpus",
]

__getattr__ = _loader("plogp.trace", _HOMES, "lm")


def __dir__() -> list[str]:
    return sorted(__all__)
