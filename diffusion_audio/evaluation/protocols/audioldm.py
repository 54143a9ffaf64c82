"""AudioLDM and AudioLDM 2 on AudioCaps, by audioldm_eval.

Read in haoheliu/audioldm_eval 8dc07ee, CLAP in its branch passt_replace_panns; the clip
list is ``example/AudioCaps/audiocaps_test_nonrepeat_subset_2.json`` of c9e936e.
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

EPS = 1e-6
HEARD = Treatment(channels="first", centred=True, resampler=Sinc(), least=2.0)
_PANNS = ("cnn14_16k", HEARD)
_CLAP = Treatment(
    channels="first",
    centred=True,
    through=32000,
    resampler=Sinc(),
    least=1.0,
    windows=Windows(10.0, 10.0, "whole", "repeat"),
)

METRICS = {
    "FD": Metric("Frechet distance, PANNs", *_PANNS, FrechetDistance()),
    "FAD": Metric("Frechet distance, VGGish", "vggish", HEARD, FrechetDistance()),
    "KL_softmax": Metric("KL(reference || generated)", *_PANNS, Divergence(eps=EPS)),
    "KL_sigmoid": Metric(
        "Half of the KL of each class", *_PANNS, Divergence("half bernoulli", eps=EPS)
    ),
    "IS": Metric("Inception score, 10 splits", *_PANNS, InceptionScore(10), "higher"),
}
FAULTS = (
    "its default network is MERT, of whose states it takes KL and IS: published "
    "numbers are of backbone='cnn14', which is meant here",
    "KL_sigmoid lacks the classes' absence, so it is no divergence and may be below 0: "
    "reproduced; `standard` has the whole one as KL_PANNs_classes",
    "a file that cannot be read is replaced by the next one: here it is left out and "
    "named",
    "964 clips are fewer than the 2,048 dimensions of FD: compare at this number only",
)

PROTOCOL = NamedProtocol(
    about="AudioLDM and AudioLDM 2: AudioCaps, 964 clips, a caption each",
    source="haoheliu/audioldm_eval 8dc07ee (MIT); CLAP of passt_replace_panns",
    metrics={
        **METRICS,
        "CLAP": Metric(
            "Cosine with the caption",
            "clap_music_speech",
            _CLAP,
            CaptionCosine(),
            "higher",
        ),
    },
    clips=ClipList(964, "bfbdf46f7bcc", "a stem of the list's wav, as Y7fmOlUlwoNg"),
    order="name",
    faults=(
        *FAULTS,
        "its CLAP puts the vector of an empty text in the place of one embedding in "
        "ten, drawn without a seed: not reproduced, so a published CLAP score may be "
        "lower than ours",
    ),
)
