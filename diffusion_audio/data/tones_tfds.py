"""The TFDS builder that stores tones as ArrayRecord files; needs no TensorFlow."""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from diffusion_audio.data import tones


class Tones(tfds.core.GeneratorBasedBuilder):
    """About 3,600 synthesised notes with captions; see ``diffusion_audio.data.tones``.

    The splits are ``train``, ``validation`` and ``held_out``; the last one has only
    combinations of instrument, pitch and envelope that the others never have.
    """

    VERSION = tfds.core.Version(tones.VERSION)
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        "1.0.0": "Six instruments, eight pitches, held-out triples."
    }

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Captioned notes whose attributes can be measured.",
            features=tfds.features.FeaturesDict(
                {
                    "audio": tfds.features.Tensor(shape=(None,), dtype=np.int16),
                    "caption": tfds.features.Text(),
                    "id": tfds.features.Text(),
                    **{name: tfds.features.Text() for name in tones.ATTRIBUTES},
                }
            ),
        )

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterator[tuple[str, dict[str, Any]]]]:
        del dl_manager  # nothing to download
        return {
            split: self._generate_examples(split)
            for split in ("train", "validation", "held_out")
        }

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for clip in tones.plan(split):
            yield (
                clip.name,
                {
                    "audio": tones.quantize(
                        tones.synthesize(clip.attributes, clip.seed)
                    ),
                    "caption": tones.caption(clip.attributes, clip.seed),
                    "id": clip.name,
                    **clip.attributes,
                },
            )
