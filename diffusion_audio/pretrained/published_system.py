"""A whole published system: its config as a run's, and its parts, each read when asked.

What is common to the layouts in which AudioLDM, AudioLDM 2 and Auffusion are published.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from diffusion_audio.aliases import Params
from diffusion_audio.audio.spec import PRESETS, AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.models.hifigan import HiFiGANConfig
from diffusion_audio.pretrained import config_file, weight_files
from diffusion_audio.pretrained.tokenizer import PublishedTokenizer

Part = Callable[[], Params]


class PublishedSystem(NamedTuple):
    """A system of others.

    Attributes:
        config: groups as a diffusion run's resolved config has them: audio, data,
            conditioners, denoiser, components, schedule, loss, sampling; ``ranker``
            where there is a whole CLAP; ``system``, its name; ``layout``,
            ``"original"`` where it comes from the file of an original's code.
        parts: reads the parameters of a part, NumPy arrays in our trees, by name:
            ``denoiser``, ``autoencoder``, ``vocoder``, ``ranker``,
            ``conditioners/LABEL``.
        files: those that a part is read from, by name.
        latent_scale: what latents are multiplied by before they are noised.
        extras: files of the tokenizers as a run keeps them, text by path.
    """

    config: dict[str, Any]
    parts: Mapping[str, Part]
    files: Mapping[str, tuple[Path, ...]]
    latent_scale: float
    extras: Mapping[str, str]

    def hash(self, part: str) -> str:
        """SHA-256 of the files of a part, or of all those under ``part/``."""
        digest = hashlib.sha256()
        for name, paths in sorted(self.files.items()):
            if name == part or name.startswith(f"{part}/"):
                for path in paths:
                    with path.open("rb") as file:
                        digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A published config.json.

    Raises:
        UserError: it is not there, damaged, or asks for code of its own.
    """
    config = config_file.read(path)
    config_file.refuse_code(config, str(path))
    return config


def weights(folder: Path) -> Path:
    """The file of weights in a folder, or the index of several.

    Raises:
        UserError: there is none, or more than one and no rule.
    """
    return weight_files.choose(folder, folder.name.replace("_", " ")).path


def group(name: str, cfg: Any) -> dict[str, Any]:
    """A group of a config: a part's name and its settings."""
    return {"name": name, **plain(cfg)}


def plain(cfg: Any) -> dict[str, Any]:
    """Settings as plain values."""
    return dataclasses.asdict(cfg)


def audio_spec(preset: str, vocoder: HiFiGANConfig, sample_rate: int) -> AudioSpec:
    """The mels of a system, as its code makes them, in the sizes of its vocoder."""
    spec = PRESETS[preset]
    return dataclasses.replace(
        spec,
        sample_rate=sample_rate,
        hop_length=vocoder.hop_length,
        n_mels=vocoder.n_mels,
        fmax=min(spec.top, sample_rate / 2),
    )


class Words(NamedTuple):
    """Where a tokenizer lies, and the network that it is of.

    Attributes:
        folder: of its files.
        kind: of `PublishedTokenizer`.
        most: tokens that it may be asked for.
        vocabulary: token numbers that the network has an embedding of; None if it has
            as many as the tokenizer needs, whatever that is.
    """

    folder: Path
    kind: str
    most: int
    vocabulary: int | None = None


def tokenizers(label: str, **words: tuple[Any, ...]) -> dict[str, str]:
    """A conditioner's tokenizers as the files that a run keeps.

    Args:
        label: of the conditioner.
        **words: ``Words`` of each, by name.

    Raises:
        UserError: one lacks or is damaged, or is of another network.
    """
    return {
        f"conditioners/{label}/{name}.json": _tokenizer(Words(*where)).to_json()
        for name, where in words.items()
    }


def _tokenizer(words: Words) -> PublishedTokenizer:
    found = PublishedTokenizer.read(words.folder, words.kind, words.most)
    if words.vocabulary is not None and found.size > words.vocabulary:
        raise UserError(
            f"{words.folder} has a tokenizer that numbers {found.size} tokens, and the "
            f"network beside it knows {words.vocabulary}; expected the tokenizer of "
            "that network: take both from one model"
        )
    return found
