"""Tiny systems in the layouts of the published ones, written without their programs."""

import json

import safetensors.numpy

from tests.published import configs, encoder_configs, originals, tokenizer_files
from tests.published.arrays import (
    adapter_arrays,
    clap_arrays,
    clap_text_arrays,
    clip_arrays,
    gpt2_arrays,
    phoneme_arrays,
    projection_arrays,
    t5_arrays,
    unet_arrays,
    vae_arrays,
    vocoder_arrays,
)
from tests.published.torch_zip import save

DIFFUSERS = "diffusion_pytorch_model"
# model_index.json as published, without versions.
AUDIOLDM_INDEX = {
    "_class_name": "AudioLDMPipeline",
    "_diffusers_version": "0.15.0.dev0",
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "ClapTextModelWithProjection"],
    "tokenizer": ["transformers", "RobertaTokenizerFast"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "vocoder": ["transformers", "SpeechT5HifiGan"],
}
AUDIOLDM2_INDEX = AUDIOLDM_INDEX | {
    "_class_name": "AudioLDM2Pipeline",
    "_diffusers_version": "0.21.0.dev0",
    "feature_extractor": ["transformers", "ClapFeatureExtractor"],
    "language_model": ["transformers", "GPT2Model"],
    "projection_model": ["audioldm2", "AudioLDM2ProjectionModel"],
    "text_encoder": ["transformers", "ClapModel"],
    "text_encoder_2": ["transformers", "T5EncoderModel"],
    "tokenizer_2": ["transformers", "T5TokenizerFast"],
    "unet": ["audioldm2", "AudioLDM2UNet2DConditionModel"],
}
SPEECH_INDEX = AUDIOLDM2_INDEX | {
    "_diffusers_version": "0.22.0.dev0",
    "text_encoder_2": ["transformers", "VitsModel"],
    "tokenizer_2": ["transformers", "VitsTokenizer"],
}
STABLE_DIFFUSION_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.18.2",
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def make(kind, folder, seed=0, **changes):
    """Writes a system of one of ``KINDS``, and gives the folder.

    Args:
        kind: of the system.
        folder: made if need be.
        seed: of all weights.
        **changes: of the config of a part, by the name of its folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    KINDS[kind](_Folder(folder, seed, changes))
    return folder


class _Folder:
    """What is the same for all parts of a folder."""

    def __init__(self, folder, seed, changes):
        self.folder, self.seed, self.changes = folder, seed, changes

    def part(self, name, config, arrays, file, wrap=(), **options):
        """Writes a part: config.json and weights."""
        config = self.changed(name, config)
        self.json(f"{name}/config.json", config)
        weights = arrays(config, self.seed, **options)
        path = self.folder / name / file
        if path.suffix == ".safetensors":
            safetensors.numpy.save_file(weights, path, {"format": "pt"})
        else:
            save(path, weights, wrap)

    def changed(self, name, config):
        return config | self.changes.get(name, {})

    def json(self, name, value):
        self.text(name, json.dumps(value, indent=2) + "\n")

    def text(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")

    def tokenizer(self, name, files):
        for file, text in files.items():
            self.text(f"{name}/{file}", text)

    def scheduler(self, config):
        config = self.changed("scheduler", config)
        self.json("scheduler/scheduler_config.json", config)


def _audioldm(out):
    """cvssp/audioldm-*: AudioLDM in diffusers' layout of early 2023."""
    out.json("model_index.json", AUDIOLDM_INDEX)
    file = f"{DIFFUSERS}.safetensors"
    out.part("unet", configs.AUDIOLDM_UNET, unet_arrays, file)
    out.part("vae", configs.AUDIOLDM_VAE, vae_arrays, file, naming="old")
    out.part(
        "text_encoder", encoder_configs.CLAP_TEXT, clap_text_arrays, "model.safetensors"
    )
    vocoder = configs.SPEECH_T5_VOCODER
    out.part("vocoder", vocoder, vocoder_arrays, "model.safetensors")
    out.tokenizer("tokenizer", tokenizer_files.roberta())
    out.scheduler(configs.AUDIOLDM_SCHEDULER)


def _audioldm2(out, unet=configs.AUDIOLDM2_UNET):
    """cvssp/audioldm2*."""
    out.json("model_index.json", AUDIOLDM2_INDEX)
    file, model = f"{DIFFUSERS}.safetensors", "model.safetensors"
    out.part("text_encoder_2", encoder_configs.T5, t5_arrays, model)
    out.part("projection_model", encoder_configs.PROJECTION, projection_arrays, file)
    out.part("language_model", encoder_configs.GPT2, gpt2_arrays, model)
    out.tokenizer("tokenizer_2", tokenizer_files.t5())
    _audioldm2_rest(out, unet, file, model)


def _audioldm2_speech(out):
    """anhnct/audioldm2_*: pickles, and phonemes in the place of words."""
    out.json("model_index.json", SPEECH_INDEX)
    file, model = f"{DIFFUSERS}.bin", "pytorch_model.bin"
    projection = encoder_configs.SPEECH_PROJECTION
    out.part("text_encoder_2", encoder_configs.VITS, phoneme_arrays, model)
    out.part("projection_model", projection, projection_arrays, file)
    out.part("language_model", encoder_configs.SPEECH_GPT2, gpt2_arrays, model)
    out.tokenizer("tokenizer_2", tokenizer_files.vits())
    _audioldm2_rest(out, configs.AUDIOLDM2_SPEECH_UNET, file, model)


def _audioldm2_rest(out, unet, file, model):
    out.part("unet", unet, unet_arrays, file)
    out.part("vae", configs.AUDIOLDM2_VAE, vae_arrays, file)
    out.part("text_encoder", encoder_configs.CLAP, clap_arrays, model)
    out.part("vocoder", configs.SPEECH_T5_VOCODER, vocoder_arrays, model)
    out.tokenizer("tokenizer", tokenizer_files.roberta())
    name = "feature_extractor"
    extractor = out.changed(name, encoder_configs.FEATURE_EXTRACTOR)
    out.json(f"{name}/preprocessor_config.json", extractor)
    out.scheduler(configs.AUDIOLDM_SCHEDULER)


def _audioldm2_large(out):
    _audioldm2(out, configs.AUDIOLDM2_LARGE_UNET)


def _auffusion(out):
    """auffusion/auffusion(-full): pickles in a layout of their own."""
    out.json("condition_config.json", encoder_configs.CONDITION)
    out.part("unet", configs.AUFFUSION_UNET, unet_arrays, f"{DIFFUSERS}.bin")
    vae = configs.AUFFUSION_VAE
    out.part("vae", vae, vae_arrays, f"{DIFFUSERS}.bin", naming="old")
    encoder, adapter = (encoder_configs.CONDITION[0][f"{x}_name"] for x in _CONDITION)
    out.part(encoder, encoder_configs.CLIP, clip_arrays, "pytorch_model.bin")
    out.tokenizer(encoder, tokenizer_files.clip())
    out.part(adapter, encoder_configs.ADAPTER, adapter_arrays, "condition_adapter.pt")
    _auffusion_rest(out)


def _auffusion_no_adapter(out):
    """auffusion/auffusion-full-no-adapter: a Stable Diffusion, and a vocoder."""
    out.json("model_index.json", STABLE_DIFFUSION_INDEX)
    unet = configs.AUFFUSION_UNET | {
        "cross_attention_dim": encoder_configs.CLIP["hidden_size"]
    }
    out.part("unet", unet, unet_arrays, f"{DIFFUSERS}.bin")
    vae = configs.AUFFUSION_VAE
    out.part("vae", vae, vae_arrays, f"{DIFFUSERS}.bin", naming="old")
    out.part("text_encoder", encoder_configs.CLIP, clip_arrays, "pytorch_model.bin")
    out.tokenizer("tokenizer", tokenizer_files.clip())
    _auffusion_rest(out)


def _auffusion_rest(out):
    out.part(
        "vocoder",
        configs.AUFFUSION_VOCODER,
        vocoder_arrays,
        "vocoder.pt",
        ("generator",),
        weight_norm=True,
        transformers=False,
    )
    out.scheduler(configs.AUFFUSION_SCHEDULER)


def _original(out, kind, name):
    """A bundle of the originals, and the tokenizers that it lacks."""
    arrays = originals.BUNDLES[kind](out.changed, out.seed)
    save(out.folder / name, arrays, ("state_dict",))
    out.tokenizer("tokenizer", tokenizer_files.roberta())
    if kind in ("audioldm2", "t5"):
        out.tokenizer("tokenizer_2", tokenizer_files.t5())


_CONDITION = ("text_encoder", "condition_adapter")
KINDS = {
    "audioldm": _audioldm,
    "audioldm2": _audioldm2,
    "audioldm2_large": _audioldm2_large,
    "audioldm2_speech": _audioldm2_speech,
    "auffusion": _auffusion,
    "auffusion_no_adapter": _auffusion_no_adapter,
    "original_audioldm": lambda out: _original(out, "audioldm", "audioldm-s-full.ckpt"),
    "original_audioldm2": lambda out: _original(out, "audioldm2", "audioldm2-full.pth"),
    "original_48k": lambda out: _original(out, "48k", "audioldm_48k.pth"),
    "original_t5": lambda out: _original(out, "t5", "audioldm_16k_crossattn_t5.pth"),
}
