"""All 4,875 captions of AudioCaps' test split, by the right values of `standard`.

The clips are those of ``load/audiocaps-test.csv`` in Stability-AI/stable-audio-metrics
fd55536, five captions of each of 975 recordings.
"""

import dataclasses

from diffusion_audio.evaluation.named_protocol import ClipList
from diffusion_audio.evaluation.protocols import standard

CLIPS = ClipList(4875, "455a8e84d0ed", "an audiocap_id, as 103549")

PROTOCOL = dataclasses.replace(
    standard.PROTOCOL,
    about="every caption of AudioCaps' test split, by the metrics of `standard`",
    clips=CLIPS,
    faults=(
        "each recording is in the reference five times, which makes its spread no "
        "wider: compare with numbers of this protocol only",
    ),
)
