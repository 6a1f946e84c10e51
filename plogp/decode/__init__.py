"""Choosing the next token: samplers, contrasts and controllers.

A `Sampler` is a callable ``(input_ids, scores) -> scores`` that passes as a transformers ``LogitsProcessor`` and needs
no transformers: `TopK`, `TopP`, `MinP`, `Eta`, `Typical`, `TopH`, `Mirostat`, contrasts of two streams (`CAD`,
`AdaCAD`, `USCD`) and `NGramPrior`, composed with ``|``. `generate` runs one on any predictor. Controllers decide which
model, how many paths or how many positions: `LookaheadRerank`, `EntropySwitch`, `PathBeam`, `SpeculativeDecoder`,
`MaskedDiffusionDecoder`, `DifficultyRouter`.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from plogp._lazy import loader as _loader

if _TYPE_CHECKING:
    from plogp.decode.budget import BudgetedEntropy
    from plogp.decode.comparison import SamplerComparison, SamplerRow, compare_samplers
    from plogp.decode.contrast import CAD, USCD, AdaCAD, Contrast, SecondStream, lame_prompt
    from plogp.decode.controllers import Decoding
    from plogp.decode.difficulty import DifficultyRouter, Strategy, u_shape
    from plogp.decode.draft import DraftHead, DraftLoss, attention_entropy, prune_tokens, select_mid_features
    from plogp.decode.generation import Generation, generate
    from plogp.decode.lookahead import LookaheadRerank, learn_entropy_threshold
    from plogp.decode.masked_diffusion import (
        HFMaskedPredictor,
        JointMaskedPredictor,
        MarkovMaskedPredictor,
        MaskedDiffusionDecoder,
        pass_at_k,
        plan_law,
        unmask_cost,
    )
    from plogp.decode.mirostat import Mirostat, MirostatV2
    from plogp.decode.path_beam import Path, PathBeam
    from plogp.decode.sampler import SAMPLERS, Pipeline, Sampler, Temperature, get_sampler
    from plogp.decode.speculative import SpeculativeDecoder, Tree, accept
    from plogp.decode.style import NGramPrior, StyleReport, StyleRow, style_report
    from plogp.decode.switching import EntropySwitch, cost_frontier
    from plogp.decode.tail_mix import TailMix
    from plogp.decode.top_h import TopH
    from plogp.decode.truncation import Epsilon, Eta, MinP, TopK, TopP
    from plogp.decode.typical import Typical

_HOMES = {
    "AdaCAD": "contrast",
    "BudgetedEntropy": "budget",
    "CAD": "contrast",
    "Contrast": "contrast",
    "Decoding": "controllers",
    "DifficultyRouter": "difficulty",
    "DraftHead": "draft",
    "DraftLoss": "draft",
    "EntropySwitch": "switching",
    "Epsilon": "truncation",
    "Eta": "truncation",
    "Generation": "generation",
    "HFMaskedPredictor": "masked_diffusion",
    "JointMaskedPredictor": "masked_diffusion",
    "LookaheadRerank": "lookahead",
    "MarkovMaskedPredictor": "masked_diffusion",
    "MaskedDiffusionDecoder": "masked_diffusion",
    "MinP": "truncation",
    "Mirostat": "mirostat",
    "MirostatV2": "mirostat",
    "NGramPrior": "style",
    "Path": "path_beam",
    "PathBeam": "path_beam",
    "Pipeline": "sampler",
    "SAMPLERS": "sampler",
    "Sampler": "sampler",
    "SamplerComparison": "comparison",
    "SamplerRow": "comparison",
    "SecondStream": "contrast",
    "SpeculativeDecoder": "speculative",
    "Strategy": "difficulty",
    "StyleReport": "style",
    "StyleRow": "style",
    "TailMix": "tail_mix",
    "Temperature": "sampler",
    "TopH": "top_h",
    "TopK": "truncation",
    "TopP": "truncation",
    "Tree": "speculative",
    "Typical": "typical",
    "USCD": "contrast",
    "accept": "speculative",
    "attention_entropy": "draft",
    "compare_samplers": "comparison",
    "cost_frontier": "switching",
    "generate": "generation",
    "get_sampler": "sampler",
    "lame_prompt": "contrast",
    "learn_entropy_threshold": "lookahead",
    "pass_at_k": "masked_diffusion",
    "plan_law": "masked_diffusion",
    "prune_tokens": "draft",
    "select_mid_features": "draft",
    "style_report": "style",
    "u_shape": "difficulty",
    "unmask_cost": "masked_diffusion",
}

__all__ = [
    "CAD",
    "SAMPLERS",
    "USCD",
    "AdaCAD",
    "BudgetedEntropy",
    "Contrast",
    "Decoding",
    "DifficultyRouter",
    "DraftHead",
    "DraftLoss",
    "EntropySwitch",
    "Epsilon",
    "Eta",
    "Generation",
    "HFMaskedPredictor",
    "JointMaskedPredictor",
    "LookaheadRerank",
    "MarkovMaskedPredictor",
    "MaskedDiffusionDecoder",
    "MinP",
    "Mirostat",
    "MirostatV2",
    "NGramPrior",
    "Path",
    "PathBeam",
    "Pipeline",
    "Sampler",
    "SamplerComparison",
    "SamplerRow",
    "SecondStream",
    "SpeculativeDecoder",
    "Strategy",
    "StyleReport",
    "StyleRow",
    "TailMix",
    "Temperature",
    "TopH",
    "TopK",
    "TopP",
    "Tree",
    "Typical",
    "accept",
    "attention_entropy",
    "compare_samplers",
    "cost_frontier",
    "generate",
    "get_sampler",
    "lame_prompt",
    "learn_entropy_threshold",
    "pass_at_k",
    "plan_law",
    "prune_tokens",
    "select_mid_features",
    "style_report",
    "u_shape",
    "unmask_cost",
]

__getattr__ = _loader("plogp.decode", _HOMES, "lm")


def __dir__() -> list[str]:
    return sorted(__all__)
