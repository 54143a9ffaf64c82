"""fadtk: Frechet audio distance of any two folders.

Read in microsoft/fadtk ec74b1f: ``fad.py``, ``utils.py`` and ``model_loader.py``.
"""

from diffusion_audio.audio.sinc import Sinc
from diffusion_audio.evaluation.estimators import FrechetDistance, FrechetInfinity
from diffusion_audio.evaluation.named_protocol import Metric, NamedProtocol
from diffusion_audio.evaluation.treatment import Treatment, Windows

RESAMPLER = Sinc(width=64, rolloff=0.9475937167399596, beta=14.769656459379492)
_VGGISH = Treatment(resampler=RESAMPLER, pcm=("file",), least=1.0)
_CLAP = Treatment(
    resampler=RESAMPLER, pcm=("file", "clap"), windows=Windows(10.0, 1.0, "every")
)
_HALF = FrechetDistance(stored="float16")

PROTOCOL = NamedProtocol(
    about="fadtk: any two folders, unpaired",
    source="microsoft/fadtk ec74b1f (MIT)",
    metrics={
        "vggish": Metric("Frechet distance, VGGish", "vggish", _VGGISH, _HALF),
        "vggish-inf": Metric("FAD-inf, VGGish", "vggish", _VGGISH, FrechetInfinity()),
        "clap-laion-audio": Metric("Frechet distance, CLAP", "clap_630k", _CLAP, _HALF),
        "clap-laion-audio-inf": Metric(
            "FAD-inf, CLAP", "clap_630k", _CLAP, FrechetInfinity()
        ),
    },
    faults=(
        "embeddings are kept in float16 and each file's mean is rounded to it: "
        "reproduced",
        "FAD-inf draws windows with repetition and without a seed: reproduced with the "
        "seed 0; `extrapolated` beside each distance is the one without these",
        "a file of a single window makes its value NaN: here it counts as one window",
        "CLAP hears a clip of 10 s ten times, nine of them filled with zeros: "
        "reproduced",
    ),
)
