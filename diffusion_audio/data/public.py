"""Public TFDS audio sets, with captions made from their labels.

A set whose features are ``tfds.features.Audio`` needs TensorFlow, even to be read:
the extra ``[tfds]``.
"""

import contextlib
import importlib.util
import io
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soxr
import tensorflow_datasets as tfds

from diffusion_audio.audio.files import AudioFileError
from diffusion_audio.data.captions import clean_caption
from diffusion_audio.data.source import Clip, crop_or_pad
from diffusion_audio.errors import UserError, unknown

_NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


class PublicSet(NamedTuple):
    """How one set is read: where its audio is, its rate, Hz, and what to say."""

    audio: str
    sample_rate: int
    caption: Callable[[Mapping[str, str]], str]


def _nsynth(row: Mapping[str, str]) -> str:
    pitch = int(row["pitch"])
    note = f"{_NOTES[pitch % 12]}{pitch // 12 - 1}"
    family = row["instrument/family"].replace("_", " ")
    return f"{row['instrument/source']} {family} playing {note}"


def _ljspeech(row: Mapping[str, str]) -> str:
    return f"a woman reads aloud: {row['text_normalized']}"


def _gtzan(row: Mapping[str, str]) -> str:
    return f"{row['label']} music"


def _speech_commands(row: Mapping[str, str]) -> str:
    special = {"_silence_": "background noise", "_unknown_": "someone says a word"}
    return special.get(row["label"], f"someone says {row['label']}")


PUBLIC: dict[str, PublicSet] = {
    "nsynth": PublicSet("audio", 16_000, _nsynth),
    "ljspeech": PublicSet("speech", 22_050, _ljspeech),
    "gtzan": PublicSet("audio", 22_050, _gtzan),
    "speech_commands": PublicSet("audio", 16_000, _speech_commands),
}


class PublicSource:
    """A split of a prepared TFDS set."""

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str, rate: int):
        self._set = PUBLIC[builder.name]
        features = builder.info.features
        self._rate = rate
        places = _places(builder)
        if split not in places:
            raise unknown(f"split of tfds:{builder.name}", split, places)
        place = places[split]
        self.name = f"tfds:{builder.info.full_name}/{place}"
        self._rows = builder.as_data_source(place)
        # The same rows with their audio left as bytes, for captions.
        self._texts = builder.as_data_source(
            place, decoders={self._set.audio: tfds.decode.SkipDecoding()}
        )
        self.attributes = {
            name: tuple(feature.names)
            for name, feature in _flat(features).items()
            if isinstance(feature, tfds.features.ClassLabel)
        }

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Clip:
        row = self._rows[index]
        wave = np.asarray(row[self._set.audio])
        whole = np.issubdtype(wave.dtype, np.integer)  # 16 bits, in whatever type
        wave = wave.astype(np.float32) / np.float32(32768 if whole else 1)
        clip = self._describe(index, row)
        if not len(wave):
            raise AudioFileError("empty", clip["id"], "holds no samples")
        if not np.isfinite(wave).all():
            raise AudioFileError("non-finite", clip["id"], "holds NaN or infinity")
        if self._set.sample_rate != self._rate:
            wave = soxr.resample(wave, self._set.sample_rate, self._rate)
        return {"audio": wave, **clip}

    def draw(self, index: int, samples: int, rng: np.random.Generator) -> Clip:
        """The clip cropped at a place that ``rng`` chooses, or padded."""
        position = rng.random()
        clip = self[index]
        return clip | {"audio": crop_or_pad(clip["audio"], samples, position)}

    def describe(self, index: int, rng: np.random.Generator | None = None) -> Clip:
        """The clip without its audio, which is not decoded."""
        return self._describe(index, self._texts[index])

    def captions(self) -> list[str]:
        """Every caption."""
        return [self.describe(i)["caption"] for i in range(len(self))]

    def fingerprint(self) -> str:
        """Name, version, split and size of the set."""
        return f"{self.name}:{len(self)}"

    def inventory(self) -> dict[str, str]:
        """Empty: the fingerprint says all."""
        return {}

    def _describe(self, index: int, row: dict[str, Any]) -> Clip:
        texts = {}
        for name, value in _flat(row).items():
            if name in self.attributes:
                texts[name] = self.attributes[name][int(value)]
            elif isinstance(value, bytes):
                texts[name] = value.decode(errors="replace")
        where = f"{self.name}, clip {index}"
        return {
            "caption": clean_caption(self._set.caption(texts), where),
            "attributes": {name: texts[name] for name in self.attributes},
            "id": f"{self.name}:{index}",
        }


def open_public(
    name: str, split: str, sample_rate: int, *, data_dir: str | Path | None = None
) -> PublicSource:
    """A split of a set that ``prepare_public`` prepared.

    A set without a validation split gives up 5 % of its training split for it.

    Args:
        name: of a set in ``PUBLIC``, or ``NAME/CONFIG``.
        split: ``"train"``, ``"validation"``, or another that the set has.
        sample_rate: to resample to, Hz.
        data_dir: where TFDS keeps prepared sets; its own default if None.

    Raises:
        UserError: if the set is not known or not prepared, or TensorFlow is wanted.
    """
    return PublicSource(_prepared(name, data_dir), split, sample_rate)


def prepare_public(name: str, data_dir: str | Path | None = None) -> dict[str, int]:
    """Download a set and store it as ArrayRecord; clips of each split.

    Raises:
        UserError: if the set is not known, or TensorFlow is not installed.
    """
    _known(name)
    if importlib.util.find_spec("tensorflow") is None:
        raise _needs_tensorflow(name)
    builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
    # TFDS says what it does on stdout, which belongs to results.
    with contextlib.redirect_stdout(sys.stderr):
        builder.download_and_prepare()
    return {key: info.num_examples for key, info in builder.info.splits.items()}


def _prepared(name: str, data_dir: str | Path | None) -> tfds.core.DatasetBuilder:
    base, config = _known(name)
    keywords = {} if data_dir is None else {"data_dir": str(data_dir)}
    if config:
        keywords["config"] = config
    try:
        # As its files describe it, whatever version they are: its code is not loaded.
        with contextlib.redirect_stdout(io.StringIO()):  # a banner of TFDS
            return tfds.core.read_only_builder.builder_from_files(base, **keywords)
    except ModuleNotFoundError as error:
        raise _needs_tensorflow(name) from error
    except tfds.core.registered.DatasetNotFoundError as error:
        raise UserError(
            f"tfds:{name} is not prepared in {data_dir or tfds.core.constants.DATA_DIR}"
            f": run `diffusion-audio data prepare tfds:{name}`, or set TFDS_DATA_DIR "
            "to where it is"
        ) from error


def _known(name: str) -> tuple[str, str]:
    base, _, config = name.partition("/")
    if base not in PUBLIC:
        raise unknown("public set", base, PUBLIC)
    return base, config


def _needs_tensorflow(name: str) -> UserError:
    return UserError(
        f"tfds:{name} stores audio in a way that only TensorFlow reads: install "
        f"the extra, `pip install 'diffusion-audio[tfds]'`"
    )


def split_names(name: str, data_dir: str | Path | None = None) -> tuple[str, ...]:
    """The splits of a prepared set; arguments as ``open_public``."""
    return tuple(_places(_prepared(name, data_dir)))


def _places(builder: tfds.core.DatasetBuilder) -> dict[str, str]:
    """What TFDS calls each split; 5 % of training stand in for a missing validation."""
    places = {name: name for name in builder.info.splits}
    if "valid" in places:
        places["validation"] = places.pop("valid")
    elif "validation" not in places:
        places |= {"train": "train[5%:]", "validation": "train[:5%]"}
    return places


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as one level, with "a/b" for what was b within a."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping | tfds.features.FeaturesDict):
            flat |= _flat(value, f"{prefix}{name}/")
        else:
            flat[prefix + name] = value
    return flat
