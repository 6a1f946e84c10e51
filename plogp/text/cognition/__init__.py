"""How regular a text is, operators that roughen one, and the collapse of models that train on their own text."""

from plogp.text.cognition.agreement import codec_report, icc
from plogp.text.cognition.generations import collapse
from plogp.text.cognition.operators import perturb
from plogp.text.cognition.state import FEATURES, CognitiveState

__all__ = ["FEATURES", "CognitiveState", "codec_report", "collapse", "icc", "perturb"]
