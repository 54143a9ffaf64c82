"""Auffusion on AudioCaps: audioldm_eval on a list of its own, and another CLAP.

Read in happylittlecat2333/Auffusion f44233d: ``README.md`` and
``data/test_audiocaps.raw.json``. How clips come to CLAP was not released; transformers'
feature extractor repeats and pads, and the peak is brought to full scale.
"""

from diffusion_audio.evaluation.estimators import CaptionCosine
from diffusion_audio.evaluation.named_protocol import ClipList, Metric, NamedProtocol
from diffusion_audio.evaluation.protocols import audioldm
from diffusion_audio.evaluation.treatment import Treatment, Windows

_CLAP = Treatment(peak=0.0, windows=Windows(10.0, 10.0, "whole", "repeat"))

PROTOCOL = NamedProtocol(
    about="Auffusion: AudioCaps, 761 clips, a caption each",
    source="happylittlecat2333/Auffusion f44233d; haoheliu/audioldm_eval 8dc07ee (MIT)",
    metrics={
        **audioldm.METRICS,
        "CLAP": Metric(
            "Cosine with the caption",
            "clap_htsat_unfused",
            _CLAP,
            CaptionCosine(),
            "higher",
        ),
    },
    clips=ClipList(
        761, "99a2b99fe484", "a stem of the list's audio_path, as YH4qi8Ul6v0_30"
    ),
    order="name",
    faults=(
        *audioldm.FAULTS,
        "transformers crops what is longer than 10 s at random: here whole windows are "
        "averaged",
    ),
)
