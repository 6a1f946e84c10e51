"""Unlearning: what a model still knows of the data it should forget, and how to make it forget."""

from plogp.text.unlearning.datamodels import Datamodels, datamodels, influence, ridge_without
from plogp.text.unlearning.matching import DatamodelMatching
from plogp.text.unlearning.metrics import klom, margins, metrics
from plogp.text.unlearning.quality import Reliability, UnifiedQualityScore, reliability

__all__ = [
    "DatamodelMatching",
    "Datamodels",
    "Reliability",
    "UnifiedQualityScore",
    "datamodels",
    "influence",
    "klom",
    "margins",
    "metrics",
    "reliability",
    "ridge_without",
]
