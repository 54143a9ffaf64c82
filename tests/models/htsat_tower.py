"""One small CLAP audio tower and its input, for the golden array and its test."""

import numpy as np

from diffusion_audio.models.htsat import HTSATConfig, build_htsat
from tests.networks import normal, random_params

# Windows beyond the image (6 patches a side), shifted ones, a merging, crops.
CFG = HTSATConfig(
    width=4,
    depths=(3, 1),
    heads=(1, 2),
    window=5,
    n_mels=10,
    side=40,
    patch=2,
    fusion=True,
    reduction=2,
    embedding=8,
)
NETWORK = build_htsat(CFG)
PARAMS = random_params(NETWORK)
MEL = 3 * normal(3, 131, CFG.n_mels, CFG.inputs)  # of 160 frames: stretched
LONGER = np.array([False, True, False])
