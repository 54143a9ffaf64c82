"""What the golden arrays are of: prompts, settings, and latents to start from."""

from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
PROMPTS = ("a dog barks loudly", "rain")
STEPS, GUIDANCE = 4, 3.0
SAMPLES = 2560
SHAPE = (4, 4, 4)  # [H, W, C]


def latents():
    """Noise to start from, [B, H, W, C]."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((len(PROMPTS), *SHAPE)).astype(np.float32)
