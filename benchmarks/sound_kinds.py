"""Networks of images and sounds on both sides: UNet, VAE, vocoder, CLAP audio.

See `benchmarks.components`.
"""

import math
from typing import Any

import numpy as np

from benchmarks.kind import Inputs, Kind, Sizes, normal, ragged, transformer
from diffusion_audio.models.condition import Condition, Context
from diffusion_audio.models.hifigan import build_hifigan
from diffusion_audio.models.htsat import build_htsat
from diffusion_audio.models.unet import build_unet
from diffusion_audio.models.vae import build_vae
from diffusion_audio.nn.functional import Network
from diffusion_audio.pretrained import (
    hifigan,
    hifigan_config,
    htsat,
    unet,
    unet_config,
    vae,
    vae_config,
)

# The UNet: AudioLDM's vector, AudioLDM 2's contexts, Stable Diffusion's.


def _unet_inputs(cfg: Any, sizes: Sizes, rng: np.random.Generator) -> Inputs:
    batch = sizes["batch"]
    found = {"x": normal(rng, batch, sizes["height"], sizes["width"], cfg.in_channels)}
    found["t"] = rng.integers(0, 1000, batch).astype(np.int32)
    widths = [width for width in cfg.contexts if width is not None]
    for i, (width, length) in enumerate(zip(widths, sizes["tokens"], strict=True)):
        found[f"context_{i}"] = normal(rng, batch, length, width)
        if sizes["masked"]:
            found[f"mask_{i}"] = ragged(rng, batch, length)
    if cfg.vector_dim is not None:
        found["vector"] = normal(rng, batch, cfg.vector_dim)
    return found


def _unet_ours(network: Network, params: Any, inputs: Any) -> Any:
    contexts = tuple(
        Context(inputs[f"context_{i}"], inputs.get(f"mask_{i}"))
        for i in range(2)
        if f"context_{i}" in inputs
    )
    condition = Condition(contexts, inputs.get("vector"))
    return network.apply(params, inputs["x"], inputs["t"], condition)


def _unet_model(cfg: Any) -> Any:
    import diffusers
    from diffusers.pipelines.audioldm2.modeling_audioldm2 import (
        AudioLDM2UNet2DConditionModel,
    )

    config = unet_config.unet_json(cfg)
    several = config["_class_name"] == unet_config.AUDIOLDM2
    made = AudioLDM2UNet2DConditionModel if several else diffusers.UNet2DConditionModel
    return made.from_config(config)


def _unet_theirs(model: Any, inputs: Any) -> Any:
    names = {
        "mask_0": "encoder_attention_mask",
        "context_1": "encoder_hidden_states_1",
        "mask_1": "encoder_attention_mask_1",
        "vector": "class_labels",
    }
    options = {theirs: inputs[ours] for ours, theirs in names.items() if ours in inputs}
    x = inputs["x"].permute(0, 3, 1, 2)
    out = model(x, inputs["t"], inputs.get("context_0"), **options)
    return out.sample.permute(0, 2, 3, 1)


# The autoencoder, both ways.


def _vae_model(cfg: Any) -> Any:
    import diffusers

    return diffusers.AutoencoderKL.from_config(vae_config.vae_json(cfg, 1.0))


def _encode_inputs(cfg: Any, sizes: Sizes, rng: np.random.Generator) -> Inputs:
    rows, bands = sizes["height"] * cfg.factor, sizes["width"] * cfg.factor
    return {"x": normal(rng, sizes["batch"], rows, bands, cfg.in_channels)}


def _decode_inputs(cfg: Any, sizes: Sizes, rng: np.random.Generator) -> Inputs:
    shape = sizes["batch"], sizes["height"], sizes["width"], cfg.latent
    return {"x": normal(rng, *shape)}


def _encode_theirs(model: Any, inputs: Any) -> Any:
    found = model.encode(inputs["x"].permute(0, 3, 1, 2)).latent_dist
    return tuple(x.permute(0, 2, 3, 1) for x in (found.mean, found.logvar))


def _decode_theirs(model: Any, inputs: Any) -> Any:
    return model.decode(inputs["x"].permute(0, 3, 1, 2)).sample.permute(0, 2, 3, 1)


def _vae(method: str, inputs: Any, theirs: Any) -> Kind:
    return Kind(
        build_vae,
        inputs,
        lambda network, params, x: network.apply(params, x["x"], method=method),
        _vae_model,
        theirs,
        lambda cfg, arrays: vae.import_vae(cfg, arrays, "it"),
    )


# The vocoder.


def _vocoder_model(cfg: Any) -> Any:
    import transformers

    config = hifigan_config.speech_t5_json(cfg, 16_000)
    return transformers.SpeechT5HifiGan(transformers.SpeechT5HifiGanConfig(**config))


def _vocoder_theirs(model: Any, inputs: Any) -> Any:
    mel = inputs["mel"]
    hop = math.prod(model.config.upsample_rates)
    return model(mel)[:, : mel.shape[1] * hop]  # theirs has a tail after odd stages


# CLAP's audio tower.


def _clap_audio_inputs(cfg: Any, sizes: Sizes, rng: np.random.Generator) -> Inputs:
    return {"mel": 3 * normal(rng, sizes["batch"], sizes["frames"], cfg.n_mels, 1)}


def _clap_audio_theirs(model: Any, inputs: Any) -> Any:
    import torch

    images = inputs["mel"].permute(0, 3, 1, 2)
    features = model.audio_model(images).pooler_output
    return torch.nn.functional.normalize(model.audio_projection(features), dim=-1)


SOUND_KINDS = {
    "unet": Kind(
        build_unet,
        _unet_inputs,
        _unet_ours,
        _unet_model,
        _unet_theirs,
        lambda cfg, arrays: unet.import_unet(cfg, arrays, "it"),
    ),
    "vae_encode": _vae("encode", _encode_inputs, _encode_theirs),
    "vae_decode": _vae("decode", _decode_inputs, _decode_theirs),
    "vocoder": Kind(
        build_hifigan,
        lambda cfg, sizes, rng: {
            "mel": 2 * normal(rng, sizes["batch"], sizes["frames"], cfg.n_mels) - 4
        },
        lambda network, params, inputs: network.apply(params, inputs["mel"]),
        _vocoder_model,
        _vocoder_theirs,
        lambda cfg, arrays: hifigan.find_generator(cfg, arrays, "it").model[1],
    ),
    "clap_audio": Kind(
        build_htsat,
        _clap_audio_inputs,
        lambda network, params, inputs: network.apply(params, inputs["mel"]),
        lambda cfg: transformer(
            "ClapAudioModelWithProjection",
            "ClapAudioConfig",
            htsat.clap_audio_json(cfg),
        ),
        _clap_audio_theirs,
        lambda cfg, arrays: htsat.find_clap_audio(cfg, arrays, "it").model,
    ),
}
