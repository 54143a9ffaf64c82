"""Whole published pipelines in PyTorch, with every array on the way.

Diffusers' own; theirs of AudioLDM 2 is handed its language of audio, for the call that
makes it breaks under transformers 5. The originals' are in `whole_originals`.

All take a folder in the layout that `tests.published.folders` writes, prompts, and
latents [B, C, H, W] to start from, and give NumPy arrays by name, as PyTorch lays them:

* ``steps`` [S, B, C, H, W], latents after each evaluation, ``latents`` the last;
* ``mel`` [B, T, F], what the vocoder is handed; ``waveform`` [B, N];
* AudioLDM: ``vector`` and ``null_vector`` [B, D];
* AudioLDM 2: ``language`` [B, 8, D], ``tokens`` [B, L, D] and ``mask`` [B, L] of T5,
  and the same of no prompt after ``null_``; of speech ``language`` [B, 512, D] alone;
* Auffusion: ``context`` and ``null_context`` [B, 77, D].
"""

import numpy as np
import pytest

from tests.parity.whole_parts import (
    Encoders,
    arrays,
    clap_vector,
    load,
    part,
    scheduler_of,
    sound_of_images,
    spoken,
    tokenizer_of,
    vocoder_of,
)

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from diffusers.pipelines.deprecated.audioldm.pipeline_audioldm import (  # noqa: E402
    AudioLDMPipeline,
)


@torch.no_grad()
def audioldm(
    folder, prompts, latents, *, steps, guidance, eta=0.0, noise=None, negative=""
):
    """AudioLDM by diffusers' pipeline.

    Args:
        folder: of the system.
        prompts: B texts.
        latents: noise to start from, [B, C, H, W].
        steps: of DDIM.
        guidance: its scale, above 1.
        eta: of DDIM.
        noise: what is added with eta, [S, B, C, H, W].
        negative: what guidance leads away from.
    """
    text = load(transformers.ClapTextModelWithProjection, folder / "text_encoder")
    tokenizer = tokenizer_of(folder / "tokenizer")
    scheduler = scheduler_of(folder, noise)
    pipeline = AudioLDMPipeline(
        vae=part(folder, "vae"),
        text_encoder=text,
        tokenizer=tokenizer,
        unet=part(folder, "unet"),
        scheduler=scheduler,
        vocoder=vocoder_of(folder),
    )
    against = [negative] * len(prompts)
    found = {
        "vector": clap_vector(text, tokenizer, prompts),
        "null_vector": clap_vector(text, tokenizer, against),
    }
    asked = {"prompt": list(prompts), "negative_prompt": against, "eta": eta}
    return arrays(found | _run(pipeline, latents, steps, guidance, asked))


@torch.no_grad()
def audioldm2(
    folder, prompts, latents, *, steps, guidance, eta=0.0, noise=None, negative=""
):
    """AudioLDM 2 by diffusers' pipeline, but for the language of audio.

    A negative prompt is cut and filled up to the longest prompt's tokens, as there.
    Arguments as of `audioldm`.
    """
    encoders = Encoders(folder)
    tokens, mask = encoders.t5(prompts, encoders.most)
    against = [negative] * len(prompts)
    null_tokens, null_mask = encoders.t5(against, mask.shape[1], fill=True)
    found = {
        "tokens": tokens,
        "mask": mask,
        "language": encoders.language(encoders.clap(prompts), tokens, mask),
        "null_tokens": null_tokens,
        "null_mask": null_mask,
        "null_language": encoders.language(
            encoders.clap(against), null_tokens, null_mask
        ),
    }
    pipeline = diffusers.AudioLDM2Pipeline(
        vae=part(folder, "vae"),
        text_encoder=encoders.clap_model,
        text_encoder_2=encoders.t5_model,
        projection_model=encoders.projection,
        language_model=encoders.gpt2,
        tokenizer=encoders.clap_tokenizer,
        tokenizer_2=encoders.t5_tokenizer,
        feature_extractor=transformers.ClapFeatureExtractor.from_pretrained(
            folder / "feature_extractor"
        ),
        unet=part(folder, "unet", "unet2"),
        scheduler=scheduler_of(folder, noise),
        vocoder=vocoder_of(folder),
    )
    asked = {
        "prompt_embeds": tokens,
        "attention_mask": mask,
        "generated_prompt_embeds": found["language"],
        "negative_prompt_embeds": null_tokens,
        "negative_attention_mask": null_mask,
        "negative_generated_prompt_embeds": found["null_language"],
        "eta": eta,
    }
    return arrays(found | _run(pipeline, latents, steps, guidance, asked))


@torch.no_grad()
def audioldm2_speech(
    folder, prompts, latents, *, transcripts, steps, guidance, negative=""
):
    """AudioLDM 2 of speech by diffusers' pipeline, but for the call of its GPT-2.

    Arguments as of `audioldm`, and ``transcripts``, B texts of phonemes.
    """
    tokenizer = tokenizer_of(folder / "tokenizer_2")
    tokenizer.phonemize = tokenizer.normalize = False  # they are phonemes already
    pipeline = diffusers.AudioLDM2Pipeline(
        vae=part(folder, "vae"),
        text_encoder=load(transformers.ClapModel, folder / "text_encoder"),
        text_encoder_2=load(transformers.VitsModel, folder / "text_encoder_2"),
        projection_model=part(folder, "projection_model"),
        language_model=load(transformers.GPT2Model, folder / "language_model"),
        tokenizer=tokenizer_of(folder / "tokenizer"),
        tokenizer_2=tokenizer,
        feature_extractor=transformers.ClapFeatureExtractor.from_pretrained(
            folder / "feature_extractor"
        ),
        unet=part(folder, "unet", "unet2"),
        scheduler=scheduler_of(folder, None),
        vocoder=vocoder_of(folder),
    )
    told = []

    def speak(x, max_new_tokens, attention_mask):
        told.append(spoken(pipeline.language_model, x, attention_mask, max_new_tokens))
        return told[-1]

    pipeline.generate_language_model = speak
    asked = {
        "prompt": list(prompts),
        "transcription": list(transcripts),
        "negative_prompt": [negative] * len(prompts),
        "max_new_tokens": 512,
    }
    found = _run(pipeline, latents, steps, guidance, asked)
    names = ("language", "null_language")
    return arrays(found | dict(zip(names, told, strict=True)))


@torch.no_grad()
def auffusion_no_adapter(folder, prompts, latents, *, steps, guidance, negative=""):
    """Auffusion without its adapter: diffusers' Stable Diffusion, and its vocoder."""
    text = load(transformers.CLIPTextModel, folder / "text_encoder")
    tokenizer = tokenizer_of(folder / "tokenizer")
    pipeline = diffusers.StableDiffusionPipeline(
        vae=part(folder, "vae"),
        text_encoder=text,
        tokenizer=tokenizer,
        unet=part(folder, "unet"),
        scheduler=diffusers.PNDMScheduler.from_pretrained(folder / "scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    against = [negative] * len(prompts)

    def context(texts):
        filled = {"padding": "max_length", "truncation": True}
        return text(tokenizer(texts, return_tensors="pt", **filled).input_ids)[0]

    found = {"context": context(list(prompts)), "null_context": context(against)}
    states, factor = [], pipeline.vae_scale_factor

    def note(pipeline, i, t, made):
        states.append(made["latents"].clone())
        return made

    made = pipeline(
        list(prompts),
        negative_prompt=against,
        height=latents.shape[2] * factor,
        width=latents.shape[3] * factor,
        num_inference_steps=steps,
        guidance_scale=guidance,
        latents=torch.tensor(latents),
        output_type="pt",
        callback_on_step_end=note,
    ).images
    found |= {"steps": torch.stack(states), "latents": states[-1]}
    return arrays(found | sound_of_images(folder, made))


def _run(pipeline, latents, steps, guidance, asked):
    """What a pipeline of diffusers makes, its mel as the vocoder was handed it."""
    pipeline.set_progress_bar_config(disable=True)
    states, mels = [], []
    handle = pipeline.vocoder.register_forward_pre_hook(
        lambda module, given: mels.append(given[0])
    )
    config = pipeline.vocoder.config
    seconds = latents.shape[2] * pipeline.vae_scale_factor
    seconds *= np.prod(config.upsample_rates) / config.sampling_rate
    wave = pipeline(
        latents=torch.tensor(latents),
        num_inference_steps=steps,
        guidance_scale=guidance,
        audio_length_in_s=float(seconds),
        callback=lambda i, t, x: states.append(x.clone()),
        output_type="pt",
        **asked,
    ).audios
    handle.remove()
    found = {"steps": torch.stack(states), "latents": states[-1]}
    return found | {"mel": mels[0], "waveform": wave}
