"""stable-audio-metrics on AudioCaps: KL of PaSST and a CLAP score.

Read in Stability-AI/stable-audio-metrics fd55536: ``src/passt_kld.py``,
``src/clap_score.py`` and ``examples/audiocaps.py``.
"""

from diffusion_audio.evaluation.estimators import CaptionCosine, Divergence
from diffusion_audio.evaluation.named_protocol import Metric, NamedProtocol
from diffusion_audio.evaluation.protocols.audiocaps_all import CLIPS
from diffusion_audio.evaluation.treatment import Treatment, Windows

PEAK = -1.0  # dB
_PASST = Treatment(peak=PEAK, windows=Windows(10.0, 5.0, "hop"))
_CLAP = Treatment(
    peak=PEAK, pcm=("clap",), windows=Windows(10.0, 10.0, "whole", "repeat")
)

PROTOCOL = NamedProtocol(
    about="Stable Audio: every caption of AudioCaps' test split, each a generated clip",
    source="Stability-AI/stable-audio-metrics fd55536",
    metrics={
        "KL_PaSST": Metric(
            "KL(generated || reference)",
            "passt_s",
            _PASST,
            Divergence(of="generated", eps=1e-6),
        ),
        "CLAP": Metric(
            "Cosine with the caption",
            "clap_630k_fusion",
            _CLAP,
            CaptionCosine(),
            "higher",
        ),
    },
    clips=CLIPS,
    faults=(
        "its KL goes the other way round than the field's, KL(generated || reference): "
        "reproduced; `standard` has both",
        "of clips up to 1.5 s it pads nothing: here they are padded as all others",
        "what is longer than 10 s CLAP shrinks and crops at random (fusion): here "
        "whole windows are averaged",
        "its Frechet distance takes OpenL3, which is not here",
    ),
)
