"""The originals' own ways in PyTorch: AudioLDM's, AudioLDM 2's and Auffusion's.

Written out from their code, around the networks of diffusers and transformers. What is
taken and given is that of `tests.parity.whole_pipelines`.
"""

import json

import numpy as np
import pytest

from tests.parity.whole_parts import (
    Encoders,
    arrays,
    clap_vector,
    load,
    part,
    sound_of_images,
    tokenizer_of,
    vocoder_of,
)

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

F = torch.nn.functional
ORIGINAL_T5 = 128  # tokens
ROBERTA_EPSILON = 1e-5  # which transformers' CLAP has as 1e-12


@torch.no_grad()
def original_audioldm2(
    folder, prompts, latents, *, steps, guidance, eta=1.0, noise=None, head_channels=32
):
    """AudioLDM 2 in the way of haoheliu/AudioLDM2, its random drop of CLAP left out.

    Arguments as of `audioldm`; ``steps`` must divide 1000, and ``head_channels`` are
    those of each attention head.
    """
    encoders = Encoders(folder, epsilon=ROBERTA_EPSILON)
    tokens, mask = encoders.t5(prompts, ORIGINAL_T5)
    language = encoders.language(encoders.clap(prompts), tokens, mask)
    end, _ = encoders.t5([""], ORIGINAL_T5)  # one token
    null_tokens = end.repeat(len(prompts), 1, 1)
    found = {
        "tokens": tokens,
        "mask": mask,
        "language": language,
        "null_tokens": null_tokens,
        "null_mask": torch.ones(null_tokens.shape[:2]),
        "null_language": torch.zeros_like(language),
    }
    unet = _original_unet(folder, "unet2", head_channels)

    def predict(x, t, which):
        return unet(
            x,
            t,
            encoder_hidden_states=found[f"{which}language"],
            encoder_hidden_states_1=found[f"{which}tokens"],
            encoder_attention_mask_1=found[f"{which}mask"],
        ).sample

    return arrays(
        found | _original(folder, predict, latents, steps, guidance, eta, noise, unet)
    )


@torch.no_grad()
def original_audioldm(
    folder, prompts, latents, *, steps, guidance, eta=1.0, noise=None, head_channels=32
):
    """AudioLDM in the way of haoheliu/AudioLDM; arguments as `original_audioldm2`."""
    text = load(
        transformers.ClapTextModelWithProjection,
        folder / "text_encoder",
        layer_norm_eps=ROBERTA_EPSILON,
    )
    tokenizer = tokenizer_of(folder / "tokenizer")
    found = {
        "vector": clap_vector(text, tokenizer, prompts),
        "null_vector": clap_vector(text, tokenizer, [""] * len(prompts)),
    }
    unet = _original_unet(folder, "unet", head_channels)

    def predict(x, t, which):
        vector = found[f"{which}vector"]
        return unet(x, t, encoder_hidden_states=None, class_labels=vector).sample

    return arrays(
        found | _original(folder, predict, latents, steps, guidance, eta, noise, unet)
    )


@torch.no_grad()
def auffusion(folder, prompts, latents, *, steps, guidance, negative=None):
    """Auffusion's own pipeline: its adapter, and zeros where there is no prompt."""
    names = json.loads((folder / "condition_config.json").read_text(encoding="utf-8"))
    encoder = folder / names[0]["text_encoder_name"]
    text, tokenizer = load(transformers.CLIPTextModel, encoder), tokenizer_of(encoder)
    weights = folder / names[0]["condition_adapter_name"] / "condition_adapter.pt"
    adapter = torch.load(weights, weights_only=True)
    width = len(adapter["norm.weight"])

    def context(prompt):
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        states = text(ids).last_hidden_state
        filled = F.pad(states, (0, 0, 0, 77 - states.shape[1]))
        joined = F.linear(filled, adapter["proj.weight"], adapter["proj.bias"])
        norm = adapter["norm.weight"], adapter["norm.bias"]
        return F.layer_norm(joined, (width,), *norm)

    asked = torch.cat([context(prompt) for prompt in prompts])
    null = torch.zeros_like(asked)
    if negative is not None:
        null = torch.cat([context(negative)] * len(prompts))
    unet, vae = part(folder, "unet"), part(folder, "vae")
    scheduler = diffusers.PNDMScheduler.from_pretrained(folder / "scheduler")
    scheduler.set_timesteps(steps)
    x, states = torch.tensor(latents) * scheduler.init_noise_sigma, []
    for t in scheduler.timesteps:
        none, some = (unet(x, t, encoder_hidden_states=c).sample for c in (null, asked))
        guided = none + guidance * (some - none)
        x = scheduler.step(guided, t, x).prev_sample
        states.append(x)
    found = {"context": asked, "null_context": null, "latents": x}
    made = vae.decode(x / vae.config.scaling_factor).sample
    image = (made / 2 + 0.5).clamp(0, 1)
    found |= {"steps": torch.stack(states)} | sound_of_images(folder, image)
    return arrays(found)


def _original(folder, predict, latents, steps, guidance, eta, noise, unet):
    """The originals' DDIM, and sound."""
    config = json.loads(
        (folder / "scheduler/scheduler_config.json").read_text(encoding="utf-8")
    )
    ends = np.sqrt([config["beta_start"], config["beta_end"]])
    kept = np.cumprod(1 - np.linspace(*ends, 1000) ** 2)
    x, states = ddim(predict, latents, kept, steps, guidance, eta, noise)
    vae = part(folder, "vae")
    mel = vae.decode(x / vae.config.scaling_factor).sample[:, 0]
    wave = vocoder_of(folder)(mel)
    return {"steps": states, "latents": x, "mel": mel, "waveform": wave}


def ddim(predict, latents, kept, steps, guidance, eta, noise):
    """The originals' DDIM: unconditional and conditional pass apart.

    Args:
        predict: noise of latents, their time, and ``""`` or ``"null_"``.
        latents: to start from, [B, C, H, W].
        kept: what is kept of the signal at each of 1000 times, ``alphas_cumprod``.
        steps: must divide 1000.
        guidance: its scale.
        eta: of the noise that is added.
        noise: that noise, [S, B, C, H, W].

    Returns:
        The last latents, and all of them [S, B, C, H, W].
    """
    times = np.arange(0, 1000, 1000 // steps) + 1
    before = np.append(kept[0], kept[times[:-1]])
    x, states = torch.tensor(latents), []
    for i in reversed(range(len(times))):
        a, past = kept[times[i]], before[i]
        t = torch.tensor(times[i])
        none, some = (predict(x, t, which) for which in ("null_", ""))
        eps = none + guidance * (some - none)
        sigma = eta * np.sqrt((1 - past) / (1 - a) * (1 - a / past))
        x0 = (x - np.sqrt(1 - a) * eps) / np.sqrt(a)
        x = np.sqrt(past) * x0 + np.sqrt(1 - past - sigma**2) * eps
        if eta:
            x = x + sigma * torch.tensor(noise[len(states)])
        states.append(x)
    return x, torch.stack(states)


def _original_unet(folder, kind, head_channels):
    config = json.loads((folder / "unet/config.json").read_text(encoding="utf-8"))
    widths = config["block_out_channels"]
    heads = tuple(max(1, width // head_channels) for width in widths)
    return part(folder, "unet", kind, attention_head_dim=heads)
