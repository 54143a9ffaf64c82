"""The kernel audio distance as its paper writes it.

Chung et al. 2025, arXiv:2502.15602: the bandwidth is the median distance within the
reference, the scale 1000. Clips come to the networks as in `kadtk`.
"""

from diffusion_audio.evaluation.estimators import KernelDistance
from diffusion_audio.evaluation.named_protocol import Metric, NamedProtocol
from diffusion_audio.evaluation.protocols.kadtk import HEARD

_WRITTEN = KernelDistance("reference", scale=1000.0)

PROTOCOL = NamedProtocol(
    about="kernel audio distance as its paper has it: any two folders, unpaired",
    source="Chung et al. 2025, arXiv:2502.15602",
    metrics={
        "panns-cnn14-32k": Metric(
            "Kernel distance, PANNs", "cnn14_32k", HEARD, _WRITTEN
        ),
        "panns-cnn14-16k": Metric(
            "Kernel distance, PANNs", "cnn14_16k", HEARD, _WRITTEN
        ),
        "vggish": Metric("Kernel distance, VGGish", "vggish", HEARD, _WRITTEN),
    },
)
