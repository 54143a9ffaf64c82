"""The right values: no clip list, no toolkit's fault, two networks side by side."""

from diffusion_audio.evaluation.estimators import (
    CaptionCosine,
    Divergence,
    FrechetDistance,
    InceptionScore,
    KernelDistance,
    NeighbourShare,
)
from diffusion_audio.evaluation.named_protocol import Metric, NamedProtocol
from diffusion_audio.evaluation.treatment import Treatment, Windows

_PANNS = ("cnn14_32k", Treatment(least=1.0))
_VGGISH = ("vggish", Treatment(least=1.0))
_PASST = ("passt_s", Treatment(windows=Windows(10.0, 5.0)))
_CLAP = ("clap_music_speech", Treatment(windows=Windows(10.0, 5.0, fill="repeat")))

PROTOCOL = NamedProtocol(
    about="this program's own: right values, for systems measured by it",
    source="Heusel et al. 2017; Chung et al. 2025; Naeem et al. 2020; Wu et al. 2023",
    metrics={
        "FD_PANNs": Metric("Frechet distance, PANNs", *_PANNS, FrechetDistance()),
        "FD_PaSST": Metric("Frechet distance, PaSST", *_PASST, FrechetDistance()),
        "FAD_VGGish": Metric("Frechet distance, VGGish", *_VGGISH, FrechetDistance()),
        "KAD_PANNs": Metric("Kernel distance, PANNs", *_PANNS, KernelDistance()),
        "KAD_PaSST": Metric("Kernel distance, PaSST", *_PASST, KernelDistance()),
        "KL_PaSST": Metric("KL(reference || generated)", *_PASST, Divergence()),
        "KL_PaSST_reverse": Metric(
            "KL(generated || reference)", *_PASST, Divergence(of="generated")
        ),
        "KL_PANNs": Metric("KL(reference || generated)", *_PANNS, Divergence()),
        "KL_PANNs_classes": Metric(
            "KL of each class, there or not", *_PANNS, Divergence("bernoulli")
        ),
        "IS_PANNs": Metric("Inception score", *_PANNS, InceptionScore(), "higher"),
        "density": Metric(
            "Density (fidelity)", *_PANNS, NeighbourShare("density"), "higher"
        ),
        "coverage": Metric(
            "Coverage (diversity)", *_PANNS, NeighbourShare("coverage"), "higher"
        ),
        "CLAP": Metric("Cosine with the caption", *_CLAP, CaptionCosine(), "higher"),
    },
)
