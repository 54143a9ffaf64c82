"""Systems in diffusers' layout: a folder a part, and model_index.json.

AudioLDM's, AudioLDM 2's, and Auffusion's without its adapter, which is a Stable
Diffusion with a vocoder beside it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError, shortened
from diffusion_audio.nn.conv1d import remove_weight_norm
from diffusion_audio.pretrained import (
    clap_mel_config,
    clip_text,
    gpt2,
    hifigan,
    hifigan_config,
    htsat,
    phoneme_tokens,
    phonemes,
    projection,
    roberta,
    t5,
    unet,
    vae,
    weight_files,
)
from diffusion_audio.pretrained.clap_mel_config import MOST_RATE
from diffusion_audio.pretrained.diffusers_config import whole
from diffusion_audio.pretrained.published_system import (
    PublishedSystem,
    audio_spec,
    group,
    plain,
    read_json,
    tokenizers,
    weights,
)
from diffusion_audio.pretrained.scheduler_config import scheduler
from diffusion_audio.pretrained.unet_config import unet_config
from diffusion_audio.pretrained.vae_config import scaling_factor, vae_config

INDEX = "model_index.json"
# Where the classes of an index are: libraries, and diffusers' own pipelines.
LIBRARIES = ("diffusers", "transformers", "audioldm", "audioldm2", "stable_diffusion")
SECONDS = 10.24
T5_TOKENS = 512  # at most: diffusers takes so many, the original fewer
TOKENS = 8  # of AudioLDM 2's language of audio, where its config does not say it
# Of speech, whatever its config says: diffusers' calls give it so.
SPEECH_TOKENS = 512
# Where AudioLDM 2 keeps CLAP, the second encoder, what joins them, and GPT-2.
LANGUAGE = ("text_encoder", "text_encoder_2", "projection_model", "language_model")


def read_diffusers(folder: Path) -> PublishedSystem:
    """A system of a folder with a model_index.json.

    Raises:
        UserError: it is no such system, or a part lacks, is damaged, of another model
            or asks for what ours has not.
    """
    path = folder / INDEX
    index = read_json(path)
    name = index.get("_class_name")
    if not isinstance(name, str) or name not in PIPELINES:
        raise UserError(
            f"{path} is of {shortened(repr(name))}: expected {' or '.join(PIPELINES)}"
        )
    for part, kind in index.items():
        if not part.startswith("_"):
            _require_known(part, kind, str(path))
    return PIPELINES[name](folder)


def _require_known(part: str, kind: Any, whose: str) -> None:
    """Refuses a part whose class is in a file of the folder, which is never run."""
    if kind is None or isinstance(kind, bool | int | float):
        return  # no part: an option of the pipeline
    known = isinstance(kind, list) and len(kind) == 2
    if not known or not (kind[0] is None or kind[0] in LIBRARIES):
        raise UserError(
            f"{whose} has {shortened(repr(kind))} for {shortened(repr(part))}; "
            f"expected a class of {' or '.join(LIBRARIES)}: a folder's code is never "
            "run"
        )


def _audioldm(folder: Path) -> PublishedSystem:
    """AudioLDM (Liu et al. 2023)."""
    common = read_common(folder, "audioldm_16k")
    text = roberta.clap_text_config(*part_json(folder / "text_encoder"))
    file = weights(folder / "text_encoder")

    def clap() -> Params:
        return roberta.import_clap_text(text, weight_files.read(file), str(file))

    return common.system(
        {"clap": {"name": "clap", "text": plain(text)}},
        {"conditioners/clap": (clap, file)},
        tokenizers(
            "clap",
            clap=(folder / "tokenizer", "roberta", text.max_tokens, text.vocabulary),
        ),
        system="audioldm",
        sampling={"steps": 200, "guidance": 2.5},
    )


class Second(NamedTuple):
    """The second encoder of an AudioLDM 2.

    Attributes:
        conditioner: that it is part of.
        name: its own there.
        config: reads its settings.
        weights: reads its parameters.
        tokenizer: the kind of it.
        most: tokens of a text.
    """

    conditioner: str
    name: str
    config: Callable[[Mapping[str, Any], str], Any]
    weights: Callable[[Any, Mapping[str, np.ndarray], str], Params]
    tokenizer: str
    most: int


WORDS = Second("language_of_audio", "t5", t5.t5_config, t5.import_t5, "t5", T5_TOKENS)
SPEECH = Second(
    "language_of_speech",
    "phonemes",
    phonemes.phoneme_config,
    phonemes.import_phonemes,
    "vits",
    phoneme_tokens.MAX_TOKENS,
)


def _audioldm2(folder: Path) -> PublishedSystem:
    """AudioLDM 2 (Liu et al. 2024)."""
    common = read_common(folder, "audioldm_16k")
    clap_json = part_json(folder / "text_encoder")
    text = roberta.clap_text_config(*clap_json)
    words_json, words_path = part_json(folder / "text_encoder_2")
    second = SPEECH if words_json.get("model_type") == "vits" else WORDS
    words = second.config(words_json, words_path)
    join = projection.projection_config(*part_json(folder / "projection_model"))
    language_json, whose = part_json(folder / "language_model")
    language = gpt2.gpt2_config(language_json, whose)
    tokens = whole(language_json, "max_new_tokens", TOKENS, whose)
    if second is SPEECH:
        tokens = SPEECH_TOKENS
    audio = htsat.clap_audio_config(*clap_json)
    mel = clap_mel_config.clap_mel_config(
        *part_json(folder / "feature_extractor", "preprocessor_config.json")
    )
    files = [weights(folder / name) for name in LANGUAGE]

    def conditioner() -> Params:
        sources = ((weight_files.read(file), str(file)) for file in files)
        return {
            "clap": roberta.import_clap_text(text, *next(sources)),
            second.name: second.weights(words, *next(sources)),
            "projection": projection.import_projection(join, *next(sources)),
            "gpt2": gpt2.import_gpt2(language, *next(sources)),
        }

    def clap() -> Params:
        arrays, whose = weight_files.read(files[0]), str(files[0])
        return {
            "text": roberta.import_clap_text(text, arrays, whose),
            "audio": htsat.find_clap_audio(audio, arrays, whose).model,
        }

    label = second.conditioner
    settings = {
        "clap": plain(text),
        second.name: plain(words),
        "projection": plain(join),
        "gpt2": plain(language),
        "tokens": tokens,
    }
    return common.system(
        {label: {"name": label, **settings}},
        {f"conditioners/{label}": (conditioner, *files), "ranker": (clap, files[0])},
        tokenizers(
            label,
            clap=(folder / "tokenizer", "roberta", text.max_tokens, text.vocabulary),
            **{
                second.name: (
                    folder / "tokenizer_2",
                    second.tokenizer,
                    second.most,
                    words.vocabulary,
                )
            },
        ),
        system="audioldm2",
        sampling={"steps": 200, "guidance": 3.5},
        ranker={"text": plain(text), "audio": plain(audio), "mel": plain(mel)},
    )


def _stable_diffusion(folder: Path) -> PublishedSystem:
    """Auffusion without its adapter (Xue et al. 2024)."""
    common = read_common(folder, "auffusion_16k")
    text = clip_text.clip_text_config(*part_json(folder / "text_encoder"))
    file = weights(folder / "text_encoder")

    def clip() -> Params:
        arrays = weight_files.read(file)
        return {"text": clip_text.import_clip_text(text, arrays, str(file))}

    return common.system(
        {"clip": {"name": "clip", "text": plain(text)}},
        {"conditioners/clip": (clip, file)},
        tokenizers(
            "clip",
            clip=(folder / "tokenizer", "clip", text.max_tokens, text.vocabulary),
        ),
        system="auffusion",
        sampling={"steps": 100, "guidance": 7.5},
    )


class Common(NamedTuple):
    """What all systems have: denoiser, autoencoder, vocoder and scheduler.

    Attributes:
        config: the groups of these.
        parts: what reads each, and the files that it reads, by name.
        latent_scale: of the autoencoder.
    """

    config: dict[str, Any]
    parts: dict[str, tuple[Any, ...]]
    latent_scale: float

    def system(
        self,
        conditioners: dict[str, Any],
        parts: Mapping[str, tuple[Any, ...]],
        extras: Mapping[str, str],
        *,
        sampling: Mapping[str, Any],
        **groups: Any,
    ) -> PublishedSystem:
        """The system, with what is its own: conditioners, and how it is sampled."""
        config = self.config | {"conditioners": conditioners, **groups}
        config["sampling"] = config["sampling"] | dict(sampling)
        every = self.parts | dict(parts)
        return PublishedSystem(
            config,
            {name: read for name, (read, *_) in every.items()},
            {name: tuple(files) for name, (_, *files) in every.items()},
            self.latent_scale,
            extras,
        )


def read_common(folder: Path, preset: str) -> Common:
    """Denoiser, autoencoder, vocoder and scheduler of a folder.

    Args:
        folder: with a folder for each.
        preset: of the AudioSpec.
    """
    unet_cfg = unet_config(*part_json(folder / "unet"))
    vae_json, vae_path = part_json(folder / "vae")
    vae_cfg = vae_config(vae_json, vae_path)
    vocoder_json, vocoder_path = part_json(folder / "vocoder")
    vocoder_cfg = hifigan_config.generator_config(vocoder_json, vocoder_path)
    vocoder_cfg = dataclasses.replace(vocoder_cfg, weight_norm=False)
    chain = scheduler(*part_json(folder / "scheduler", "scheduler_config.json"))
    files = {name: weights(folder / name) for name in ("unet", "vae", "vocoder")}

    def read(name: str) -> tuple[Mapping[str, np.ndarray], str]:
        return weight_files.read(files[name]), str(files[name])

    def vocoder() -> Params:
        return remove_weight_norm(
            hifigan.find_generator(vocoder_cfg, *read("vocoder")).model[1]
        )

    # An autoencoder of an image's channels takes a mel as an image.
    kind = "vae" if vae_cfg.in_channels == 1 else "image_vae"
    rate = whole(vocoder_json, "sampling_rate", 16_000, vocoder_path, MOST_RATE)
    config = {
        "task": "diffusion",
        "audio": audio_spec(preset, vocoder_cfg, rate).to_dict(),
        "data": {"seconds": SECONDS},
        "denoiser": group("unet", unet_cfg),
        "components": {
            "autoencoder": {"autoencoder": group(kind, vae_cfg)},
            "vocoder": {"vocoder": group("hifigan", vocoder_cfg)},
        },
        "schedule": chain.schedule,
        "loss": {"prediction": chain.prediction},
        "sampling": chain.sampling,
    }
    parts: dict[str, tuple[Any, ...]] = {
        "denoiser": (lambda: unet.import_unet(unet_cfg, *read("unet")), files["unet"]),
        "autoencoder": (lambda: vae.import_vae(vae_cfg, *read("vae")), files["vae"]),
        "vocoder": (vocoder, files["vocoder"]),
    }
    return Common(config, parts, scaling_factor(vae_json, vae_path))


def part_json(folder: Path, name: str = "config.json") -> tuple[dict[str, Any], str]:
    """A part's config, and what messages call it."""
    path = folder / name
    return read_json(path), str(path)


PIPELINES: dict[str, Callable[[Path], PublishedSystem]] = {
    "AudioLDMPipeline": _audioldm,
    "AudioLDM2Pipeline": _audioldm2,
    "StableDiffusionPipeline": _stable_diffusion,
}
