"""Eigenvalue distributions of representations, kernels and layers.

A `Spectrum` holds eigenvalues; effective ranks, the Vendi score, von Neumann entropy, RankMe, alpha-ReQ and
the measures of spread are functionals of it. `Tracker` follows them while a PyTorch model trains.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING

from plogp._lazy import loader as _loader

if _TYPE_CHECKING:
    from plogp.spectra.blocks import block_entropy
    from plogp.spectra.diffusion import dse, dsmi
    from plogp.spectra.dispersion import spread, vrm
    from plogp.spectra.feed_forward import FFNSpectrumCallback, ffn_spectra
    from plogp.spectra.hessian import hessian_top, loss_on_segment
    from plogp.spectra.manifold import manifold_capacity
    from plogp.spectra.post_synaptic import psp_entropy
    from plogp.spectra.rank import alpha_req, effective_rank, participation_ratio, rankme, von_neumann_entropy
    from plogp.spectra.spectrum import Spectrum
    from plogp.spectra.streaming import CovarianceAccumulator, FrequentDirections
    from plogp.spectra.tracker import Tracker, TrackerCallback
    from plogp.spectra.training_phases import phases, project, track
    from plogp.spectra.vendi import VendiScore, vendi_interval, vendi_score
    from plogp.trace.hooks import capture

_HOMES = {
    "loss_on_segment": "hessian",
    "CovarianceAccumulator": "streaming",
    "FFNSpectrumCallback": "feed_forward",
    "FrequentDirections": "streaming",
    "Spectrum": "spectrum",
    "Tracker": "tracker",
    "TrackerCallback": "tracker",
    "VendiScore": "vendi",
    "alpha_req": "rank",
    "block_entropy": "blocks",
    "capture": "plogp.trace.hooks",
    "dse": "diffusion",
    "dsmi": "diffusion",
    "effective_rank": "rank",
    "ffn_spectra": "feed_forward",
    "hessian_top": "hessian",
    "manifold_capacity": "manifold",
    "participation_ratio": "rank",
    "phases": "training_phases",
    "project": "training_phases",
    "psp_entropy": "post_synaptic",
    "rankme": "rank",
    "spread": "dispersion",
    "track": "training_phases",
    "vendi_interval": "vendi",
    "vendi_score": "vendi",
    "von_neumann_entropy": "rank",
    "vrm": "dispersion",
}

__all__ = [
    "CovarianceAccumulator",
    "FFNSpectrumCallback",
    "FrequentDirections",
    "Spectrum",
    "Tracker",
    "TrackerCallback",
    "VendiScore",
    "alpha_req",
    "block_entropy",
    "capture",
    "dse",
    "dsmi",
    "effective_rank",
    "ffn_spectra",
    "hessian_top",
    "loss_on_segment",
    "manifold_capacity",
    "participation_ratio",
    "phases",
    "project",
    "psp_entropy",
    "rankme",
    "spread",
    "track",
    "vendi_interval",
    "vendi_score",
    "von_neumann_entropy",
    "vrm",
]

__getattr__ = _loader("plogp.spectra", _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
