"""Writes golden/*.npz: what the authors' pipelines make of the tiny published folders.

python -m tests.published.golden    (needs PyTorch, diffusers and transformers)
"""

import functools
import tempfile
from pathlib import Path

import numpy as np

from tests.parity import whole_originals, whole_pipelines
from tests.published.cases import (
    GOLDEN,
    GUIDANCE,
    PROMPTS,
    STEPS,
    TRANSCRIPTS,
    latents,
)
from tests.published.folders import make

PIPELINES = {
    "audioldm": whole_pipelines.audioldm,
    "audioldm2": whole_pipelines.audioldm2,
    "audioldm2_speech": functools.partial(
        whole_pipelines.audioldm2_speech, transcripts=TRANSCRIPTS
    ),
    "auffusion": whole_originals.auffusion,
}
KEPT = {
    "audioldm": ("vector", "null_vector"),
    "audioldm2": ("language", "null_language", "tokens", "null_tokens", "mask"),
    "audioldm2_speech": ("language",),
    "auffusion": ("context",),
}


def main():
    GOLDEN.mkdir(exist_ok=True)
    for kind, conditions in KEPT.items():
        with tempfile.TemporaryDirectory() as root:
            folder = make(kind, Path(root) / kind)
            found = PIPELINES[kind](
                folder,
                PROMPTS,
                np.moveaxis(latents(), -1, 1),
                steps=STEPS,
                guidance=GUIDANCE,
            )
        names = (*conditions, "latents", "mel", "waveform")
        kept = {name: found[name] for name in names}
        np.savez_compressed(GOLDEN / f"{kind}.npz", **kept)


if __name__ == "__main__":
    main()
