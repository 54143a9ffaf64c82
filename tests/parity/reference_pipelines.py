"""Whole systems in PyTorch, from the same folders, by diffusers' pieces.

Diffusers' own AudioLDM 2 pipeline fails with transformers 5 where it calls GPT-2; its
loop is restated here, as are what the original code does otherwise, and Auffusion's.
"""

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, UNet2DConditionModel
from diffusers.pipelines.audioldm2.modeling_audioldm2 import (
    AudioLDM2ProjectionModel,
    AudioLDM2UNet2DConditionModel,
)
from transformers import (
    AutoTokenizer,
    ClapModel,
    ClapTextModelWithProjection,
    CLIPTextModel,
    GPT2Model,
    SpeechT5HifiGan,
    T5EncoderModel,
)

UNETS = {
    "AudioLDM2UNet2DConditionModel": AudioLDM2UNet2DConditionModel,
    "UNet2DConditionModel": UNet2DConditionModel,
}
SCHEDULERS = {"DDIMScheduler": DDIMScheduler, "PNDMScheduler": PNDMScheduler}
CLASSES = {
    "vae": AutoencoderKL,
    "vocoder": SpeechT5HifiGan,
    "projection_model": AudioLDM2ProjectionModel,
    "language_model": GPT2Model,
    "text_encoder_2": T5EncoderModel,
}


def part(folder, name):
    """A part of a folder as its own class, ready to compute."""
    folder = Path(folder)
    if name == "unet":
        kind = UNETS[_json(folder / "unet/config.json")["_class_name"]]
    elif name == "text_encoder":
        config = _json(folder / "text_encoder/config.json")
        kind = {
            "clap": ClapModel,
            "clap_text_model": ClapTextModelWithProjection,
            "clip_text_model": CLIPTextModel,
        }[config["model_type"]]
    else:
        kind = CLASSES[name]
    model, info = kind.from_pretrained(folder / name, output_loading_info=True)
    assert not info["missing_keys"], info
    assert not info["unexpected_keys"], info
    return model.eval()


def tokens(folder, name, texts, length, **options):
    """Ids and mask of texts, cut and filled up to a length."""
    tokenizer = AutoTokenizer.from_pretrained(Path(folder) / name)
    options = {"padding": "max_length", **options}
    made = tokenizer(
        texts, max_length=length, truncation=True, return_tensors="pt", **options
    )
    return made.input_ids, made.attention_mask


@torch.no_grad()
def audioldm(folder, texts):
    """CLAP's vector of texts, [B, D]; diffusers' AudioLDMPipeline."""
    ids, mask = tokens(folder, "tokenizer", texts, 32)
    made = part(folder, "text_encoder")(ids, attention_mask=mask).text_embeds
    return torch.nn.functional.normalize(made, dim=-1)


@torch.no_grad()
def audioldm2(folder, texts, new, length=None):
    """Tokens of the language of audio, T5's tokens and their mask.

    Args:
        folder: of the system.
        texts: prompts of one batch, on the longest of which all depend.
        new: tokens to make.
        length: to fill T5's tokens up to; the longest text where None.
    """
    ids, mask = tokens(folder, "tokenizer", texts, 32)
    clap = part(folder, "text_encoder")
    vector = clap.get_text_features(ids, attention_mask=mask)
    vector = getattr(vector, "pooler_output", vector)
    padding = "longest" if length is None else "max_length"
    ids, mask = tokens(folder, "tokenizer_2", texts, length or 48, padding=padding)
    words = part(folder, "text_encoder_2")(ids, attention_mask=mask)[0]
    start = part(folder, "projection_model")(
        hidden_states=vector[:, None],
        hidden_states_1=words,
        attention_mask=torch.ones(len(texts), 1, dtype=torch.long),
        attention_mask_1=mask,
    )
    x, allowed = start.hidden_states, start.attention_mask
    language = part(folder, "language_model")
    for _ in range(new):
        states = language(inputs_embeds=x, attention_mask=allowed).last_hidden_state
        x = torch.cat([x, states[:, -1:]], dim=1)
        allowed = torch.cat([allowed, allowed.new_ones(len(texts), 1)], dim=1)
    return x[:, -new:], words, mask


@torch.no_grad()
def clip(folder, texts):
    """CLIP's states of texts, padded and not masked: Stable Diffusion's pipeline."""
    ids, _ = tokens(folder, "tokenizer", texts, 24)
    return part(folder, "text_encoder")(ids).last_hidden_state


@torch.no_grad()
def auffusion(folder, texts):
    """Each text alone, as long as it is; zeros up to the most; then the adapter."""
    folder = Path(folder)
    encoder = CLIPTextModel.from_pretrained(folder / "text_encoder_0").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "text_encoder_0")
    weights = torch.load(folder / "condition_adapter_0/condition_adapter.pt")
    made = []
    for text in texts:
        ids = tokenizer(text, return_tensors="pt").input_ids
        states = encoder(ids).last_hidden_state[:, :24]
        states = torch.nn.functional.pad(states, (0, 0, 0, 24 - states.shape[1]))
        states = states @ weights["proj.weight"].T + weights["proj.bias"]
        width = states.shape[-1:]
        norm = weights["norm.weight"], weights["norm.bias"]
        made.append(torch.nn.functional.layer_norm(states, width, *norm))
    return torch.cat(made)


@torch.no_grad()
def sample(folder, latents, steps, guidance, asked, none, eta=None, unet=None):
    """Latents [B, C, H, W] after all steps, by the folder's own scheduler.

    Args:
        folder: of the system.
        latents: to start from.
        steps: of the scheduler.
        guidance: scale.
        asked: keyword arguments of the UNet for the prompts.
        none: the same for no prompt; asked for apart, so lengths may differ.
        eta: of DDIM; its noise is ``torch.randn`` in its own order.
        unet: in place of the folder's.
    """
    folder = Path(folder)
    config = _json(folder / "scheduler/scheduler_config.json")
    scheduler = SCHEDULERS[config["_class_name"]].from_config(config)
    scheduler.set_timesteps(steps)
    unet = unet or part(folder, "unet")
    x = latents * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, t)
        with_prompt = unet(seen, t, return_dict=False, **asked)[0]
        without = unet(seen, t, return_dict=False, **none)[0]
        guided = without + guidance * (with_prompt - without)
        extra = {} if eta is None else {"eta": eta}
        x = scheduler.step(guided, t, x, **extra).prev_sample
    return x


@torch.no_grad()
def hear(folder, latents, picture=False):
    """Log-mels [B, T, F] and waveforms [B, N] of latents."""
    vae = part(folder, "vae")
    decoded = vae.decode(latents / vae.config.scaling_factor).sample
    if picture:
        image = (decoded / 2 + 0.5).clamp(0, 1)
        low, high = np.log(1e-5), np.log(200)
        mel = torch.flip(image[:, 0], [1]) * (high - low) + low
        mel = mel.transpose(1, 2)
    else:
        mel = decoded[:, 0]
    return mel, part(folder, "vocoder")(mel)


def _json(path):
    return json.loads(path.read_text(encoding="utf-8"))
