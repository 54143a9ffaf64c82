"""Arrays of published parts by their published names, drawn at random.

A name, a shape and a seed are all that an array depends on, so a part's weights are the
same in whichever folder they lie. The published names and shapes are those that our
exporters give; that they are right, `tests/parity/test_published_folders.py` asks
diffusers and transformers.
"""

import dataclasses
import functools
import re
import zlib

import jax
import numpy as np

from diffusion_audio.models.adapter import build_adapter
from diffusion_audio.models.clip_text import build_clip_text
from diffusion_audio.models.gpt2 import build_gpt2
from diffusion_audio.models.hifigan import build_hifigan
from diffusion_audio.models.htsat import build_htsat
from diffusion_audio.models.phonemes import build_phonemes
from diffusion_audio.models.projection import build_projection
from diffusion_audio.models.roberta import build_clap_text
from diffusion_audio.models.t5 import build_t5
from diffusion_audio.models.unet import build_unet
from diffusion_audio.models.vae import build_vae
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained import (
    adapter,
    clip_text,
    gpt2,
    hifigan,
    hifigan_config,
    htsat,
    phonemes,
    projection,
    roberta,
    t5,
    unet,
    vae,
)
from diffusion_audio.pretrained.unet_config import unet_config
from diffusion_audio.pretrained.vae_config import vae_config

TRANSPOSED = re.compile(r"^(.*\.)?(ups|upsampler)\.\d+\.weight")
CONV1D = re.compile(r"^h\.\d+\.(attn|mlp)\.")
TABLES = re.compile(
    r"embedding|shared\.weight$|^w[tp]e|bias_table$|attention_bias\.weight$"
    r"|_of_sequence_tokens|^(s|e)os_embed"
)
# Where a value that is large would meet a bound: an image's, a sound's.
QUIET = re.compile(r"decoder\.conv_out\.|conv_(pre|post)\.weight(_v)?$")
OLD_ATTENTION = {
    "to_q": "query",
    "to_k": "key",
    "to_v": "value",
    "to_out.0": "proj_attn",
}


def unet_arrays(config, seed=0, naming="diffusers"):
    """Of a UNet."""
    cfg = unet_config(config, "unet")
    return drawn(_shapes(build_unet, cfg, unet.export_unet, naming), seed)


def vae_arrays(config, seed=0, naming="diffusers"):
    """Of an autoencoder; naming ``"old"`` is diffusers' before 0.15."""
    cfg = vae_config(config, "vae")
    words = "original" if naming == "original" else "diffusers"
    shapes = _shapes(build_vae, cfg, vae.export_vae, words)
    if naming == "old":
        shapes = {_old(name): shape for name, shape in shapes.items()}
    return drawn(shapes, seed)


def vocoder_arrays(config, seed=0, weight_norm=False, transformers=True):
    """Of a generator, as transformers has it or as HiFi-GAN's code does."""
    cfg = hifigan_config.generator_config(config, "vocoder")
    cfg = dataclasses.replace(cfg, weight_norm=weight_norm)
    arrays = drawn(_shapes(build_hifigan, cfg, hifigan.export_generator), seed)
    for name in [name for name in arrays if name.endswith(".weight_g")]:
        v = arrays[f"{name[:-1]}v"]
        axes = tuple(range(1, v.ndim))
        # A gain of its own on each channel, of about 1 times the kernel's length.
        norm = np.sqrt(np.square(v).sum(axes, keepdims=True))
        arrays[name] = (norm * (1 + 0.1 * np.abs(arrays[name]))).astype(np.float32)
        arrays[f"{name[:-1]}v"] = 2 * v
    if not transformers:
        return arrays
    bands = np.zeros(cfg.n_mels, np.float32)
    named = {re.sub(r"^ups\.", "upsampler.", name): a for name, a in arrays.items()}
    return named | {"mean": bands, "scale": bands + 1}


def clap_text_arrays(config, seed=0):
    """Of CLAP's text tower, with the constants that files of 2023 have."""
    cfg = roberta.clap_text_config(config, "text_encoder")
    shapes = _shapes(build_clap_text, cfg, roberta.export_clap_text)
    places = np.arange(cfg.positions)[None]
    return drawn(shapes, seed) | {
        "text_model.embeddings.position_ids": places,
        "text_model.embeddings.token_type_ids": np.zeros_like(places),
    }


def clap_arrays(config, seed=0):
    """Of a whole CLAP."""
    cfg = htsat.clap_audio_config(config, "text_encoder")
    audio = _exported(build_htsat, cfg, htsat.export_clap_audio)
    shapes = {name: a.shape for name, a in audio.items() if a.dtype.kind == "f"}
    constants = {name: a for name, a in audio.items() if a.dtype.kind != "f"}
    scales = {f"logit_scale_{x}": np.float64(np.log(1 / 0.07)) for x in "at"}
    scales = {name: np.asarray(scale) for name, scale in scales.items()}
    return clap_text_arrays(config, seed) | drawn(shapes, seed) | constants | scales


def laion_arrays(config, seed=0):
    """Of a whole CLAP by LAION's names, with what its code keeps and nobody uses."""
    published = clap_arrays(config, seed)
    arrays = {}
    for name, array in published.items():
        if name.startswith("text_"):
            name = name.replace("text_model.", "text_branch.")
            name = name.replace("text_projection.linear1", "text_projection.0")
            arrays[name.replace("text_projection.linear2", "text_projection.2")] = array
    cfg = htsat.clap_audio_config(config, "text_encoder")
    params = htsat.find_clap_audio(cfg, published, "it").model
    arrays |= htsat.export_laion(cfg, params)
    arrays |= {name: a for name, a in published.items() if name[:5] == "logit"}
    width, joint = cfg.width * 2 ** (len(cfg.depths) - 1), cfg.embedding
    unused = {
        "audio_branch.spectrogram_extractor.stft.conv_real.weight": (9, 1, 16),
        "audio_branch.spectrogram_extractor.stft.conv_imag.weight": (9, 1, 16),
        "audio_branch.logmel_extractor.melW": (9, cfg.n_mels),
        "audio_branch.tscam_conv.weight": (5, width, 2, 3),
        "audio_branch.tscam_conv.bias": (5,),
        "audio_branch.head.weight": (5, 5),
        "audio_branch.head.bias": (5,),
    }
    for layer in (
        f"{x}_transform.sequential.{i}" for x in ("text", "audio") for i in (0, 3)
    ):
        unused |= {f"{layer}.weight": (joint, joint), f"{layer}.bias": (joint,)}
    arrays |= drawn(unused, seed)
    arrays["audio_branch.bn0.num_batches_tracked"] = np.zeros((), np.int64)
    for name, array in published.items():
        block = re.match(r".*encoder\.(layers\.\d+\.blocks\.(\d+))\.", name)
        if name.endswith("relative_position_index"):
            ours = f"audio_branch.{block[1]}.attn.relative_position_index"
            arrays[ours] = array
            if int(block[2]) % 2:  # its windows are shifted
                mask = np.zeros((1, *array.shape), np.float32)
                arrays[f"audio_branch.{block[1]}.attn_mask"] = mask
    arrays.pop("text_branch.embeddings.token_type_ids")
    return arrays


def t5_arrays(config, seed=0, tied=False):
    """Of T5's encoder; ``tied``: its tokens under both names, as pickles have them."""
    cfg = t5.t5_config(config, "text_encoder_2")
    arrays = drawn(_shapes(build_t5, cfg, t5.export_t5), seed)
    if tied:
        arrays["encoder.embed_tokens.weight"] = arrays["shared.weight"]
    return arrays


def phoneme_arrays(config, seed=0):
    """Of a VITS: its text encoder, and some of what nothing uses."""
    cfg = phonemes.phoneme_config(config, "text_encoder_2")
    shapes = _shapes(build_phonemes, cfg, phonemes.export_phonemes)
    prior = 2 * config["flow_size"]
    return drawn(
        shapes
        | {
            "text_encoder.project.weight": (prior, cfg.width, 1),
            "text_encoder.project.bias": (prior,),
            "decoder.conv_pre.bias": (config["upsample_initial_channel"],),
        },
        seed,
    )


def gpt2_arrays(config, seed=0):
    """Of GPT-2."""
    cfg = gpt2.gpt2_config(config, "language_model")
    return drawn(_shapes(build_gpt2, cfg, gpt2.export_gpt2), seed)


def projection_arrays(config, seed=0):
    """Of AudioLDM 2's projections."""
    cfg = projection.projection_config(config, "projection_model")
    return drawn(_shapes(build_projection, cfg, _export_projection), seed)


def clip_arrays(config, seed=0):
    """Of CLIP's text tower, with the constant that files of 2022 have."""
    cfg = clip_text.clip_text_config(config, "text_encoder")
    shapes = _shapes(build_clip_text, cfg, clip_text.export_clip_text)
    places = np.arange(cfg.max_tokens)[None]
    return drawn(shapes, seed) | {clip_text.BUFFER: places}


def adapter_arrays(config, seed=0):
    """Of Auffusion's condition adapter."""
    cfg = adapter.adapter_config(config, "condition_adapter_0")
    return drawn(_shapes(build_adapter, cfg, _export_adapter), seed)


def drawn(shapes, seed=0):
    """float32 arrays of these names and shapes, none of which a network dies of."""
    return {name: _draw(name, shape, seed) for name, shape in shapes.items()}


def _draw(name, shape, seed):
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    noise = rng.standard_normal(shape)
    if name.endswith("running_var"):
        array = 1 + 0.1 * np.abs(noise)
    elif TABLES.search(name):
        array = noise
    elif len(shape) < 2:  # norms are about 1
        middle = name.endswith("weight") and len(shape) == 1
        array = middle + 0.1 * noise
    else:
        fan_in = np.prod(shape[1:])
        if TRANSPOSED.match(name) or CONV1D.match(name):
            fan_in = shape[0]
        array = noise / np.sqrt(fan_in)
    if QUIET.search(name):
        array = 0.3 * array
    return array.astype(np.float32)


def _export_projection(cfg, params):
    return projection.export_projection(params)


def _export_adapter(cfg, params):
    return adapter.export_adapter(params)


@functools.lru_cache(maxsize=64)  # a second for a folder
def _exported(build, cfg, export, *words):
    """What is written of a network whose parameters are zeros."""
    params = jax.tree.map(
        lambda leaf: np.zeros(leaf.shape, np.float32), abstract_params(build(cfg))
    )
    return export(cfg, params, *words)


def _shapes(build, cfg, export, *words):
    """Shapes by name in the file of a network."""
    arrays = _exported(build, cfg, export, *words)
    return {name: array.shape for name, array in arrays.items()}


def _old(name):
    found = re.fullmatch(r"(.*attentions\.0\.)(to_q|to_k|to_v|to_out\.0)(\..*)", name)
    return f"{found[1]}{OLD_ATTENTION[found[2]]}{found[3]}" if found else name
