"""The TFDS builder that stores tones as ArrayRecord files; needs no TensorFlow."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import soxr
import tensorflow_datasets as tfds

from diffusion_audio.data import tones
from diffusion_audio.data.source import Clip, crop_or_pad
from diffusion_audio.errors import UserError, unknown

_log = logging.getLogger(__name__)


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
        return {split: self._generate_examples(split) for split in tones.SPLITS}

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


class TonesSource:
    """A split of tones, held in memory as int16 (100 MB for training)."""

    def __init__(self, split: str, rows: list[dict[str, Any]], sample_rate: int):
        self.name = f"tones/{split}"
        self.attributes = tones.ATTRIBUTES
        self._waves = np.stack([row["audio"] for row in rows])  # [M, N]
        self._texts = [
            {key: value.decode() for key, value in row.items() if key != "audio"}
            for row in rows
        ]
        self._sample_rate = sample_rate

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, index: int) -> Clip:
        wave = self._waves[index].astype(np.float32) / np.float32(32767)
        if self._sample_rate != tones.SAMPLE_RATE:
            wave = soxr.resample(wave, tones.SAMPLE_RATE, self._sample_rate)
        return {"audio": wave, **self.describe(index)}

    def draw(self, index: int, samples: int, rng: np.random.Generator) -> Clip:
        """The clip cropped or padded to ``samples``."""
        clip = self[index]
        return clip | {"audio": crop_or_pad(clip["audio"], samples, rng.random())}

    def describe(self, index: int, rng: np.random.Generator | None = None) -> Clip:
        """The clip without its audio; a tone has one caption."""
        texts = self._texts[index]
        return {
            "caption": texts["caption"],
            "attributes": {name: texts[name] for name in tones.ATTRIBUTES},
            "id": texts["id"],
        }

    def captions(self) -> list[str]:
        """Every caption."""
        return [texts["caption"] for texts in self._texts]

    def fingerprint(self) -> str:
        """Name and version say it all: the clips are the same bytes everywhere."""
        return f"{self.name}:{tones.VERSION}"

    def inventory(self) -> dict[str, str]:
        """Empty: the fingerprint says all."""
        return {}


def prepare_tones(data_dir: str | Path | None = None) -> Tones:
    """Synthesise the set into ``data_dir`` unless it is there (about 20 s)."""
    builder = Tones(data_dir=data_dir, file_format="array_record")
    if builder.is_prepared():
        return builder
    _log.info("preparing tones in %s (once, about 20 s)", builder.data_dir)
    tfds.disable_progress_bar()
    try:
        # TFDS says what it does on stdout, which belongs to results.
        with contextlib.redirect_stdout(sys.stderr):
            builder.download_and_prepare()
    except OSError as error:
        # Another process may have finished the same bytes first.
        if not Tones(data_dir=data_dir, file_format="array_record").is_prepared():
            raise UserError(
                f"cannot write the tones to {builder.data_dir}: {error}"
            ) from error
        builder = Tones(data_dir=data_dir, file_format="array_record")
    return builder


def open_tones(
    split: str, sample_rate: int, *, data_dir: str | Path | None = None
) -> TonesSource:
    """A split of tones, prepared first if it must be."""
    if split not in tones.SPLITS:
        raise unknown("split of tones", split, tones.SPLITS)
    rows = prepare_tones(data_dir).as_data_source(split)
    return TonesSource(split, [rows[i] for i in range(len(rows))], sample_rate)
