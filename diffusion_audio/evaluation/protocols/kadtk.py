"""kadtk as it is coded: the bandwidth is that of the generated clips.

Read in YoonjinXD/kadtk 8bda71d: ``kad.py``, ``emb_loader.py`` and ``model_loader.py``.
"""

from diffusion_audio.evaluation.estimators import KernelDistance
from diffusion_audio.evaluation.named_protocol import Metric, NamedProtocol
from diffusion_audio.evaluation.protocols.fadtk import RESAMPLER
from diffusion_audio.evaluation.treatment import Treatment

HEARD = Treatment(resampler=RESAMPLER, pcm=("file",))
_CODED = KernelDistance("generated", lower=True, scale=100.0, stored="float16")

PROTOCOL = NamedProtocol(
    about="kadtk as coded: any two folders, unpaired",
    source="YoonjinXD/kadtk 8bda71d (MIT)",
    metrics={
        "panns-cnn14-32k": Metric("Kernel distance, PANNs", "cnn14_32k", HEARD, _CODED),
        "panns-cnn14-16k": Metric("Kernel distance, PANNs", "cnn14_16k", HEARD, _CODED),
        "vggish": Metric("Kernel distance, VGGish", "vggish", HEARD, _CODED),
    },
    faults=(
        "its kernel's bandwidth is that of the generated clips, so that the yardstick "
        "changes with the system; paper and README say the reference: reproduced; "
        "`kadtk_as_written` has the reference's",
        "its value is 100 times the discrepancy, the paper's 1000 times: reproduced",
        "its own default network, panns-wavegram-logmel, is not here",
    ),
)
