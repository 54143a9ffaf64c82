"""Systems in the one file of their original code: AudioLDM's, AudioLDM 2's.

All arrays of a model lie in it under the names of that code, and nothing says what they
are: configs follow from their shapes. AudioLDM's code generates with the moving average
of the denoiser's weights, and AudioLDM 2's with the weights themselves. Tokenizers are
not in it: they lie in folders beside it, or in the cache of downloads.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.audio.clap_mel import ClapMel
from diffusion_audio.errors import UserError
from diffusion_audio.models.hifigan import HiFiGANConfig
from diffusion_audio.models.unet import UNetConfig
from diffusion_audio.models.vae import VAEConfig
from diffusion_audio.nn.conv1d import remove_weight_norm
from diffusion_audio.pretrained import (
    gpt2,
    hifigan,
    htsat,
    hub,
    original_config,
    projection,
    roberta,
    t5,
    unet,
    vae,
)
from diffusion_audio.pretrained.catalog import TOKENIZERS
from diffusion_audio.pretrained.diffusers_system import SECONDS, T5_TOKENS, Common
from diffusion_audio.pretrained.original_bundle import DENOISER, Bundle, find_bundle
from diffusion_audio.pretrained.original_config import Shapes
from diffusion_audio.pretrained.published_system import (
    PublishedSystem,
    audio_spec,
    group,
    plain,
    tokenizers,
)
from diffusion_audio.pretrained.rules import Arrays

AVERAGE = "model_ema."
AUTOENCODER = "first_stage_model."
VAE = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
VOCODER = f"{AUTOENCODER}vocoder."
FIRST, RANKER = "cond_stage_model.model.", "clap.model."  # of AudioLDM, of AudioLDM 2
STAGE = "cond_stage_models."
SCALE = "scale_factor"
TEXT, AUDIO = (
    tuple(f"{t}_{p}." for p in ("branch", "projection")) for t in ("text", "audio")
)
# What a stage of conditioning is, by how a name in it begins.
STAGES = {
    "GPT-2": r"start_of_sequence_tokens\.",
    "CLAP": r"model\.text_branch\.",
    "T5": r"model\.encoder\.block\.",
    "AudioMAE": r"audiomae\.",  # of training
    "phonemes": r"text_encoder\.",
}
TOKENS = 8  # that GPT-2 makes
# Hop of the vocoder -> AudioSpec and sample rate.
SPECS = {160: ("audioldm_16k", 16_000), 480: ("audioldm_48k", 48_000)}
SCHEDULE = {
    "name": "scaled_linear",
    "steps": 1000,
    "zero_terminal_snr": False,
    "beta_start": 0.0015,
    "beta_end": 0.0195,
}
SAMPLING = {
    "solver": {"name": "ddim", "eta": 0.0},
    "spacing": "leading",
    "steps_offset": 1,
    "final": "first",
    "steps": 200,
}


def read_original(place: Path) -> PublishedSystem:
    """A system of a file, or of the folder that has one.

    Raises:
        UserError: there is none or more than one, it is damaged or of another model,
            or the files of a tokenizer lack.
    """
    bundle = find_bundle(place)
    shapes, whose = bundle.shapes, str(bundle.path)
    if shapes.has(re.escape(FIRST)):
        return _of_clap(bundle, FIRST, FIRST, "audioldm", guidance=2.5, averaged=True)
    stages = _stages(shapes)
    match sorted(stages):
        case ["CLAP"]:
            clap = f"{stages['CLAP']}model."
            return _of_clap(bundle, clap, RANKER, "audioldm2", guidance=3.5)
        case ["T5"]:
            return _of_t5(bundle, f"{stages['T5']}model.")
        case ["GPT-2", "T5"]:
            return _of_language(bundle, stages["GPT-2"], f"{stages['T5']}model.")
    raise UserError(
        f"{whose}: its conditioners are {' and '.join(sorted(stages)) or 'not known'}; "
        "expected an AudioLDM or AudioLDM 2 (CLAP, T5, or GPT-2 and T5)"
    )


def _of_clap(
    bundle: Bundle,
    key: str,
    ranker: str,
    system: str,
    guidance: float,
    averaged: bool = False,
) -> PublishedSystem:
    """AudioLDM, and AudioLDM 2's code at 48 kHz: CLAP's vector of a prompt."""
    text = original_config.clap_text(bundle.shapes.under(key))

    def clap() -> Params:
        return roberta.import_clap_text(text, bundle.part(key, TEXT), str(bundle.path))

    extras = _tokenizers(bundle, "clap", clap=(text.max_tokens, text.vocabulary))
    common = _common(bundle, averaged, vector=text.projection)
    part, settings = _ranker(bundle, ranker)
    return common.system(
        {"clap": {"name": "clap", "text": plain(text)}},
        {"conditioners/clap": (clap, bundle.path), "ranker": (part, bundle.path)},
        extras,
        system=system,
        sampling={"guidance": guidance},
        ranker=settings,
    )


def _of_t5(bundle: Bundle, key: str) -> PublishedSystem:
    """AudioLDM with T5's tokens; nothing in it reads a prompt for CLAP to rank by."""
    encoder = original_config.t5(bundle.shapes.under(key))

    def words() -> Params:
        return t5.import_t5(encoder, bundle.part(key), str(bundle.path))

    extras = _tokenizers(bundle, "t5", t5=(T5_TOKENS, encoder.vocabulary))
    return _common(bundle, contexts=(encoder.width,)).system(
        {"t5": {"name": "t5", "encoder": plain(encoder)}},
        {"conditioners/t5": (words, bundle.path)},
        extras,
        system="audioldm2",
        sampling={"guidance": 3.5},
    )


def _of_language(bundle: Bundle, key: str, words_key: str) -> PublishedSystem:
    """AudioLDM 2: what GPT-2 makes of CLAP and T5, and T5."""
    shapes, whose = bundle.shapes.under(key), str(bundle.path)
    inner = {name: f"{key}{k}model." for name, k in _stages(shapes).items()}
    if not {"CLAP", "T5"} <= inner.keys():
        raise UserError(
            f"{whose}: its GPT-2 goes on from {' and '.join(sorted(inner))}; expected "
            "CLAP and T5"
        )
    text = original_config.clap_text(bundle.shapes.under(inner["CLAP"]))
    encoder = original_config.t5(bundle.shapes.under(words_key))
    join = original_config.projection(shapes)
    language = original_config.gpt2(shapes.under("model."))

    def conditioner() -> Params:
        found = bundle.part(words_key)
        _require_same(found, bundle.part(inner["T5"]), words_key, inner["T5"], whose)
        words = t5.import_t5(encoder, found, whose)
        del found
        clap = inner["CLAP"].removeprefix(key)
        tables = ("input_sequence_embed_linear.", *projection.ROWS)
        theirs = bundle.part(key, ("model.", *tables, *(clap + each for each in TEXT)))
        joined = {k: a for k, a in theirs.items() if k.startswith(tables)}
        return {
            "clap": roberta.import_clap_text(text, _under(theirs, clap), whose),
            "t5": words,
            "projection": projection.import_projection(join, joined, whose),
            "gpt2": gpt2.import_gpt2(language, _under(theirs, "model."), whose),
        }

    label = "language_of_audio"
    extras = _tokenizers(
        bundle,
        label,
        clap=(text.max_tokens, text.vocabulary),
        t5=(T5_TOKENS, encoder.vocabulary),
    )
    common = _common(bundle, contexts=(language.width, encoder.width))
    part, ranker = _ranker(bundle, RANKER)
    settings = {
        "clap": plain(text),
        "t5": plain(encoder),
        "projection": plain(join),
        "gpt2": plain(language),
        "tokens": TOKENS,
    }
    return common.system(
        {label: {"name": label, **settings}},
        {
            f"conditioners/{label}": (conditioner, bundle.path),
            "ranker": (part, bundle.path),
        },
        extras,
        system="audioldm2",
        sampling={"guidance": 3.5},
        ranker=ranker,
    )


def _common(
    bundle: Bundle,
    averaged: bool = False,
    contexts: tuple[int, ...] = (),
    vector: int | None = None,
) -> Common:
    """Denoiser, autoencoder and vocoder.

    Args:
        bundle: with these.
        averaged: whether the denoiser's moving average is taken, where there is one.
        contexts: widths of what its conditioners give to attend to.
        vector: width of what they give beside the time.
    """
    shapes, whose = bundle.shapes, str(bundle.path)
    unet_cfg = original_config.unet(shapes.under(DENOISER))
    vae_cfg = original_config.vae(shapes.under(AUTOENCODER))
    vocoder_cfg = original_config.vocoder(shapes.under(VOCODER))
    attended = tuple(width for width in unet_cfg.contexts if width is not None)
    theirs = (attended, unet_cfg.vector_dim, unet_cfg.in_channels)
    mine = (contexts, vector, vae_cfg.latent)
    if theirs != mine:
        raise UserError(
            f"{whose}: its UNet takes contexts of widths {list(attended)}, a vector of "
            f"{unet_cfg.vector_dim} and {unet_cfg.in_channels} channels, and its other "
            f"parts give {list(contexts)}, {vector} and {vae_cfg.latent}; expected "
            "parts of one AudioLDM"
        )
    preset, rate = SPECS[vocoder_cfg.hop_length]
    config = {
        "task": "diffusion",
        "layout": "original",
        "audio": audio_spec(preset, vocoder_cfg, rate).to_dict(),
        "data": {"seconds": SECONDS},
        "denoiser": group("unet", unet_cfg),
        "components": {
            "autoencoder": {"autoencoder": group("vae", vae_cfg)},
            "vocoder": {"vocoder": group("hifigan", vocoder_cfg)},
        },
        "schedule": SCHEDULE,
        "loss": {"prediction": "epsilon"},
        "sampling": SAMPLING,
    }
    parts: dict[str, tuple[Any, ...]] = {
        "denoiser": (lambda: _denoiser(bundle, unet_cfg, averaged), bundle.path),
        "autoencoder": (lambda: _autoencoder(bundle, vae_cfg), bundle.path),
        "vocoder": (lambda: _vocoder(bundle, vocoder_cfg), bundle.path),
    }
    return Common(config, parts, _latent_scale(bundle))


def _denoiser(bundle: Bundle, cfg: UNetConfig, averaged: bool) -> Params:
    if not averaged or not bundle.shapes.has(re.escape(AVERAGE)):
        arrays = bundle.part(DENOISER)
    else:
        # The average of "diffusion_model.a.b" is "diffusion_modelab".
        inner = DENOISER.removeprefix("model.")
        names = {
            f"{inner}{name}".replace(".", ""): name
            for name in bundle.shapes.under(DENOISER).named
        }
        found = bundle.part(AVERAGE)
        arrays = {names[name]: array for name, array in found.items() if name in names}
    return unet.import_unet(cfg, arrays, str(bundle.path), "original")


def _autoencoder(bundle: Bundle, cfg: VAEConfig) -> Params:
    return vae.import_vae(
        cfg, bundle.part(AUTOENCODER, VAE), str(bundle.path), "original"
    )


def _vocoder(bundle: Bundle, cfg: HiFiGANConfig) -> Params:
    arrays = hifigan.canonical(bundle.part(VOCODER))
    return remove_weight_norm(
        hifigan.import_generator(cfg, arrays, str(bundle.path))[1]
    )


def _ranker(bundle: Bundle, key: str) -> tuple[Any, dict[str, Any]]:
    """What reads the whole CLAP under a key, and its settings."""
    shapes, whose = bundle.shapes.under(key), str(bundle.path)
    text, audio = original_config.clap_text(shapes), original_config.clap_audio(shapes)

    def clap() -> Params:
        arrays = bundle.part(key, TEXT + AUDIO)
        return {
            "text": roberta.import_clap_text(text, arrays, whose),
            "audio": htsat.find_clap_audio(audio, arrays, whose).model,
        }

    mel = plain(ClapMel(n_mels=audio.n_mels))
    return clap, {"text": plain(text), "audio": plain(audio), "mel": mel}


def _latent_scale(bundle: Bundle) -> float:
    found = bundle.read(SCALE).get(SCALE)
    if found is None or found.size != 1 or not 0 < float(found.item()) < np.inf:
        raise UserError(
            f"{bundle.path}: expected {SCALE} to be a number above 0, which latents "
            f"are multiplied by, got {'none' if found is None else found.tolist()}"
        )
    return float(found.item())


def _tokenizers(bundle: Bundle, label: str, **sizes: tuple[int, int]) -> dict[str, str]:
    """Those of a conditioner, of a most of tokens and a vocabulary.

    From the folders beside the file, or from the cache of downloads.
    """
    places, lacking, beside = {}, [], bundle.path.parent
    for name in sizes:
        places[name] = beside / TOKENIZERS[name].folder
        if not places[name].is_dir():
            try:
                places[name] = hub.fetch_tokenizer(name, offline=True)
            except UserError:
                lacking.append(hub.tokenizer_by_hand(name, beside))
    if lacking:
        raise UserError(
            f"{bundle.path} holds no tokenizers, as no original does: "
            f"{' and '.join(lacking)}, then try again"
        )
    words = {
        name: (places[name], TOKENIZERS[name].kind, *size)
        for name, size in sizes.items()
    }
    return tokenizers(label, **words)


def _require_same(
    mine: Arrays, theirs: Arrays, key: str, other: str, whose: str
) -> None:
    """Refuses two copies of a frozen encoder that differ; ours has one."""
    same = mine.keys() == theirs.keys() and all(
        np.array_equal(array, theirs[name]) for name, array in mine.items()
    )
    if not same:
        raise UserError(
            f"{whose}: expected one T5, and those under {key} and {other} differ"
        )


def _under(arrays: Arrays, key: str) -> Arrays:
    """Those under a key, without it."""
    return {k.removeprefix(key): a for k, a in arrays.items() if k.startswith(key)}


def _stages(shapes: Shapes) -> dict[str, str]:
    """What conditions, each with the key that it lies under."""
    found = {}
    for name in shapes.named:
        if key := re.match(rf"{re.escape(STAGE)}\d+\.", name):
            for kind, begins in STAGES.items():
                if re.match(begins, name[key.end() :]):
                    found[kind] = key[0]
    return found
