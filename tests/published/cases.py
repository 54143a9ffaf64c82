"""What the golden arrays are of: prompts, settings, and latents to start from."""

from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
PROMPTS = ("a dog barks loudly", "rain")
# Of speech: one that is filled up, and one that is cut.
TRANSCRIPTS = (
    "h\u0259l\u02c8o\u028a, w\u02c8\u025c\u02d0ld!",
    "a transcript that is cut at the end",
)
STEPS, GUIDANCE = 4, 3.0
SAMPLES = 2560
SHAPE = (4, 4, 4)  # [H, W, C]


def latents():
    """Noise to start from, [B, H, W, C]."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((len(PROMPTS), *SHAPE)).astype(np.float32)
