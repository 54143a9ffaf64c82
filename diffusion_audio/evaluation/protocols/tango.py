"""TANGO on AudioCaps: audioldm_eval on a list of its own.

Read in declare-lab/tango 34ecd38: ``inference.py`` and
``data/test_audiocaps_subset.json``.
"""

from diffusion_audio.evaluation.named_protocol import ClipList, NamedProtocol
from diffusion_audio.evaluation.protocols import audioldm

PROTOCOL = NamedProtocol(
    about="TANGO: AudioCaps, 886 clips, a caption each",
    source="declare-lab/tango 34ecd38; haoheliu/audioldm_eval 8dc07ee (MIT)",
    metrics=audioldm.METRICS,
    clips=ClipList(
        886, "5a78cfd9ce3e", "a stem of the list's location, as 7fmOlUlwoNg_20"
    ),
    order="name",
    faults=(
        *audioldm.FAULTS,
        "its files are called output_0.wav on, and so sorted as text: give them their "
        "clips' names, as KL needs; the splits of IS then hold other clips",
    ),
)
