"""MeanAudio on AudioCaps, by av-benchmark.

Read in hkchengrex/av-benchmark 050a5cd (``extract.py``, ``data/audio_dataset.py``,
``metrics``) and xiquan-li/MeanAudio (``scripts/meanflow/eval_meanflow.sh``, and
``sets/test-audiocaps.tsv`` for the clips).
"""

from diffusion_audio.audio.sinc import Sinc
from diffusion_audio.evaluation.estimators import (
    CaptionCosine,
    Divergence,
    FrechetDistance,
    InceptionScore,
)
from diffusion_audio.evaluation.named_protocol import ClipList, Metric, NamedProtocol
from diffusion_audio.evaluation.treatment import Treatment, Windows

SECONDS = 10.0
_WHOLE = Treatment(centred=True, resampler=Sinc(), seconds=SECONDS)
_ONE = Windows(10.0, 10.0, "first")
_PANNS = ("cnn14_16k", _WHOLE)
_PASST = (
    "passt_s",
    Treatment(centred=True, resampler=Sinc(), seconds=SECONDS, windows=_ONE),
)
_CLAP = Treatment(
    centred=True,
    resampler=Sinc(),
    seconds=SECONDS,
    windows=Windows(10.0, 10.0, "first", "repeat"),
)
_IS = InceptionScore(10)

PROTOCOL = NamedProtocol(
    about="MeanAudio and MMAudio's av-benchmark: AudioCaps, 957 clips of 10 s",
    source="hkchengrex/av-benchmark 050a5cd; xiquan-li/MeanAudio",
    metrics={
        "FD-VGG": Metric(
            "Frechet distance, VGGish", "vggish", _WHOLE, FrechetDistance()
        ),
        "FD-PANN": Metric("Frechet distance, PANNs", *_PANNS, FrechetDistance()),
        "FD-PASST": Metric("Frechet distance, PaSST", *_PASST, FrechetDistance()),
        "KL-PANNS-softmax": Metric(
            "KL(reference || generated), PANNs", *_PANNS, Divergence()
        ),
        "KL-PASST-softmax": Metric(
            "KL(reference || generated), PaSST", *_PASST, Divergence()
        ),
        "ISC-PANNS-mean": Metric("Inception score, PANNs", *_PANNS, _IS, "higher"),
        "ISC-PASST-mean": Metric("Inception score, PaSST", *_PASST, _IS, "higher"),
        "LAION-CLAP-Score": Metric(
            "Cosine with the caption",
            "clap_music_speech",
            _CLAP,
            CaptionCosine(),
            "higher",
        ),
    },
    clips=ClipList(957, "2dbe5847347d", "an id of the list, as Y--0w1YA1Hm4"),
    faults=(
        "a file that cannot be read is replaced by the next one: here it is left out "
        "and named",
        "957 clips are fewer than the 2,048 dimensions of FD-PANN: compare at this "
        "number only",
        "its MS-CLAP score takes a network that is not here",
    ),
)
