"""State dicts of the originals' bundles: AudioLDM, AudioLDM 2, 48 kHz and T5 alone.

Each part under the name that the code of haoheliu/AudioLDM and AudioLDM2 gives it, the
chain's constants and the average of the UNet (its names without dots) beside them.
"""

import numpy as np

from tests.published import configs, encoder_configs
from tests.published.arrays import (
    drawn,
    gpt2_arrays,
    laion_arrays,
    projection_arrays,
    t5_arrays,
    unet_arrays,
    vae_arrays,
    vocoder_arrays,
)

ROWS = 32  # of the tables of tokens that begin and end a part
VOCODER_48K = configs.SPEECH_T5_VOCODER | {
    "resblock_dilation_sizes": [[1, 3, 5]] * 4,
    "resblock_kernel_sizes": [3, 7, 11, 15],
    "sampling_rate": 48000,
    "upsample_kernel_sizes": [12, 10, 8, 4, 4],
    "upsample_rates": [6, 5, 4, 2, 2],
}
VAE_48K = configs.AUDIOLDM2_VAE | {
    "block_out_channels": [8, 16, 16, 16],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
}
UNET_48K = configs.AUDIOLDM2_UNET | {
    "class_embed_type": "simple_projection",
    "class_embeddings_concat": True,
    "cross_attention_dim": [[None, None]] * 3,
    "projection_class_embeddings_input_dim": 16,
}
UNET_T5 = configs.AUDIOLDM2_UNET | {"cross_attention_dim": [[None, 24]] * 3}


def _under(prefix, arrays):
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def _common(changed, seed, unet, vae, vocoder, scale):
    """Chain, UNet, its average, autoencoder and vocoder."""
    network = unet_arrays(changed("unet", unet), seed, naming="original")
    average = unet_arrays(changed("unet", unet), seed + 1, naming="original")
    first = vae_arrays(changed("vae", vae), seed, naming="original")
    sound = vocoder_arrays(changed("vocoder", vocoder), seed, transformers=False)
    first |= _under("vocoder", sound)
    return {
        **_chain(),
        "scale_factor": np.asarray(scale, np.float32),
        **_under("model.diffusion_model", network),
        "model_ema.decay": np.asarray(0.9999, np.float32),
        "model_ema.num_updates": np.asarray(600000, np.int32),
        **{
            f"model_ema.diffusion_model{n.replace('.', '')}": a
            for n, a in average.items()
        },
        **_under("first_stage_model", first),
    }


def _chain():
    """The buffers of the forward chain."""
    steps = np.linspace(0.0015**0.5, 0.0195**0.5, 1000) ** 2
    kept = np.cumprod(1 - steps)
    before = np.append(1.0, kept[:-1])
    variance = steps * (1 - before) / (1 - kept)
    arrays = {
        "betas": steps,
        "alphas_cumprod": kept,
        "alphas_cumprod_prev": before,
        "sqrt_alphas_cumprod": kept**0.5,
        "sqrt_one_minus_alphas_cumprod": (1 - kept) ** 0.5,
        "log_one_minus_alphas_cumprod": np.log(1 - kept),
        "sqrt_recip_alphas_cumprod": kept**-0.5,
        "sqrt_recipm1_alphas_cumprod": (1 / kept - 1) ** 0.5,
        "posterior_variance": variance,
        "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
        "posterior_mean_coef1": steps * before**0.5 / (1 - kept),
        "posterior_mean_coef2": (1 - before) * (1 - steps) ** 0.5 / (1 - kept),
        "logvar": np.zeros(1000),
    }
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def _clap(prefix, changed, seed):
    """A conditioner that is a CLAP: its network, and its own mel."""
    arrays = laion_arrays(changed("text_encoder", encoder_configs.CLAP), seed)
    mel = {"spectrogram.window": (16,), "mel_scale.fb": (9, 16)}
    mel = drawn({f"mel_transform.{name}": shape for name, shape in mel.items()}, seed)
    return _under(f"{prefix}.model", arrays) | _under(prefix, mel)


def _t5(prefix, changed, seed):
    config = changed("text_encoder_2", encoder_configs.T5)
    return _under(f"{prefix}.model", t5_arrays(config, seed, tied=True))


def _audioldm(changed, seed):
    """haoheliu/AudioLDM's audioldm-s-full and its like."""
    unet, vae = configs.AUDIOLDM_UNET, configs.AUDIOLDM_VAE
    vocoder, scale = configs.SPEECH_T5_VOCODER, configs.AUDIOLDM_VAE["scaling_factor"]
    common = _common(changed, seed, unet, vae, vocoder, scale)
    return common | _clap("cond_stage_model", changed, seed)


def _audioldm2(changed, seed):
    """haoheliu/audioldm2-full and its like."""
    vae, scale = configs.AUDIOLDM2_VAE, configs.AUDIOLDM2_VAE["scaling_factor"]
    vocoder = configs.SPEECH_T5_VOCODER
    common = _common(changed, seed, configs.AUDIOLDM2_UNET, vae, vocoder, scale)
    joined = projection_arrays(
        changed("projection_model", encoder_configs.PROJECTION), seed
    )
    tables = {}
    for theirs, word in (("start", "sos"), ("end", "eos")):
        name = f"{theirs}_of_sequence_tokens.weight"
        first, second = joined[f"{word}_embed"], joined[f"{word}_embed_1"]
        rows = drawn({name: (ROWS - 2, len(first))}, seed)[name]
        tables[name] = np.concatenate([first[None], second[None], rows])
    for i, theirs in enumerate(("projection", "projection_1")):
        for leaf in ("weight", "bias"):
            name = f"input_sequence_embed_linear.{i}.{leaf}"
            tables[name] = joined[f"{theirs}.{leaf}"]
    language = gpt2_arrays(changed("language_model", encoder_configs.GPT2), seed)
    own, inner = "cond_stage_models.0", "cond_stage_models.0.cond_stage_models"
    seen = {"audiomae.model.cls_token": (1, 1, 16), "audiomae.model.norm.weight": (16,)}
    return {
        **common,
        **_clap("clap", changed, seed),
        **_under(own, tables),
        **_clap(f"{inner}.0", changed, seed),
        **_t5(f"{inner}.1", changed, seed),
        **_under(f"{inner}.2", drawn(seen, seed)),
        **_under(f"{own}.model", language),
        **_t5("cond_stage_models.1", changed, seed),
    }


def _48k(changed, seed):
    """haoheliu/audioldm_48k."""
    scale = configs.AUDIOLDM2_VAE["scaling_factor"]
    common = _common(changed, seed, UNET_48K, VAE_48K, VOCODER_48K, scale)
    clap = _clap("clap", changed, seed)
    return common | clap | _clap("cond_stage_models.0", changed, seed)


def _16k_t5(changed, seed):
    """haoheliu/audioldm_16k_crossattn_t5."""
    vae, scale = configs.AUDIOLDM2_VAE, configs.AUDIOLDM2_VAE["scaling_factor"]
    vocoder = configs.SPEECH_T5_VOCODER
    common = _common(changed, seed, UNET_T5, vae, vocoder, scale)
    clap = _clap("clap", changed, seed)
    return common | clap | _t5("cond_stage_models.0", changed, seed)


BUNDLES = {
    "audioldm": _audioldm,
    "audioldm2": _audioldm2,
    "48k": _48k,
    "t5": _16k_t5,
}
