"""Parts of published systems in PyTorch, for the pipelines beside this file."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

from diffusers.pipelines.audioldm2 import modeling_audioldm2  # noqa: E402

F = torch.nn.functional
LANGUAGE = 8  # tokens of the language of audio
LOW, HIGH = np.log(1e-5), np.log(200)  # of Auffusion's mel, black and white
DIFFUSERS_CLASSES = {
    "vae": diffusers.AutoencoderKL,
    "unet": diffusers.UNet2DConditionModel,
    "unet2": modeling_audioldm2.AudioLDM2UNet2DConditionModel,
    "projection_model": modeling_audioldm2.AudioLDM2ProjectionModel,
}


class NoisedDDIM(diffusers.DDIMScheduler):
    """DDIM whose noise is given: ``noises``, [S, B, C, H, W]."""

    noises = None

    def step(self, output, timestep, sample, eta=0.0, generator=None):
        del generator  # the pipelines' own, which is not asked
        noise = None
        if self.noises is not None:
            noise, self.noises = self.noises[0], self.noises[1:]
        return super().step(output, timestep, sample, eta, variance_noise=noise)


class Encoders:
    """AudioLDM 2's encoders, and the loop that GPT-2 speaks in."""

    def __init__(self, folder, epsilon=None):
        self.clap_model = load(transformers.ClapModel, folder / "text_encoder")
        if epsilon is not None:
            for module in self.clap_model.text_model.modules():
                if isinstance(module, torch.nn.LayerNorm):
                    module.eps = epsilon
        self.t5_model = load(transformers.T5EncoderModel, folder / "text_encoder_2")
        self.projection = part(folder, "projection_model")
        self.gpt2 = load(transformers.GPT2Model, folder / "language_model")
        self.clap_tokenizer = tokenizer_of(folder / "tokenizer")
        self.t5_tokenizer = tokenizer_of(folder / "tokenizer_2")
        self.most = self.t5_tokenizer.model_max_length

    def clap(self, texts):
        """Vectors [B, D]."""
        words = self.clap_tokenizer(
            list(texts), padding="max_length", truncation=True, return_tensors="pt"
        )
        return self.clap_model.get_text_features(**words).pooler_output

    def t5(self, texts, most, fill=False):
        """Tokens [B, L, D] and mask [B, L]: L is ``most``, or the longest text's."""
        words = self.t5_tokenizer(
            list(texts),
            padding="max_length" if fill else True,
            max_length=most,
            truncation=True,
            return_tensors="pt",
        )
        return self.t5_model(**words).last_hidden_state, words.attention_mask

    def language(self, vector, tokens, mask):
        """GPT-2's tokens [B, 8, D], the whole sequence anew for each."""
        begun = self.projection(
            hidden_states=vector[:, None],
            hidden_states_1=tokens,
            attention_mask=mask.new_ones(len(mask), 1),
            attention_mask_1=mask,
        )
        return spoken(self.gpt2, begun.hidden_states, begun.attention_mask, LANGUAGE)


def spoken(gpt2, x, seen, count):
    """What GPT-2 says after a prompt [B, L, D], the whole sequence anew for each."""
    for _ in range(count):
        states = gpt2(inputs_embeds=x, attention_mask=seen).last_hidden_state
        x = torch.cat([x, states[:, -1:]], 1)
        seen = torch.cat([seen, seen.new_ones(len(seen), 1)], 1)
    return x[:, -count:]


def clap_vector(text, tokenizer, texts):
    words = tokenizer(
        list(texts), padding="max_length", truncation=True, return_tensors="pt"
    )
    return F.normalize(text(**words).text_embeds, dim=-1)


def sound_of_images(folder, images):
    """Mel and waveform of images [B, 3, F, T] from 0 to 1, the first row on top."""
    mel = images[:, 0].flip(1) * (HIGH - LOW) + LOW
    path = folder / "vocoder"
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    weights = torch.load(path / "vocoder.pt", weights_only=True)["generator"]
    return {"mel": mel.mT, "waveform": hifigan(config, weights, mel)}


def hifigan(config, weights, x):
    """HiFi-GAN of [B, F, T], by its code's names, with weight norm or without."""

    def layer(name, how, x, **options):
        kernel = weights.get(f"{name}.weight")
        if kernel is None:
            g, v = (weights[f"{name}.weight_{part}"] for part in "gv")
            kernel = g * v / v.norm(dim=(1, 2), keepdim=True)
        return how(x, kernel, weights[f"{name}.bias"], **options)

    def wide(kernel, dilation=1):
        return {"padding": dilation * (kernel - 1) // 2, "dilation": dilation}

    widths = config["resblock_kernel_sizes"]
    x = layer("conv_pre", F.conv1d, x, padding=3)
    rates = zip(config["upsample_rates"], config["upsample_kernel_sizes"], strict=True)
    for i, (rate, kernel) in enumerate(rates):
        cut = {"stride": rate, "padding": (kernel - rate) // 2}
        x = layer(f"ups.{i}", F.conv_transpose1d, F.leaky_relu(x, 0.1), **cut)
        made = []
        for j, width in enumerate(widths):
            y, name = x, f"resblocks.{i * len(widths) + j}"
            for k, dilation in enumerate(config["resblock_dilation_sizes"][j]):
                z = F.leaky_relu(y, 0.1)
                z = layer(f"{name}.convs1.{k}", F.conv1d, z, **wide(width, dilation))
                z = F.leaky_relu(z, 0.1)
                y = y + layer(f"{name}.convs2.{k}", F.conv1d, z, **wide(width))
            made.append(y)
        x = sum(made) / len(made)
    return torch.tanh(layer("conv_post", F.conv1d, F.leaky_relu(x), padding=3))[:, 0]


def scheduler_of(folder, noise):
    scheduler = NoisedDDIM.from_pretrained(folder / "scheduler")
    scheduler.noises = None if noise is None else torch.tensor(noise)
    return scheduler


def vocoder_of(folder):
    return load(transformers.SpeechT5HifiGan, folder / "vocoder")


def tokenizer_of(folder):
    return transformers.AutoTokenizer.from_pretrained(folder)


def part(folder, name, kind=None, **options):
    return load(DIFFUSERS_CLASSES[kind or name], folder / name, **options)


def load(model, folder, **options):
    return model.from_pretrained(folder, **options).eval()


def arrays(found):
    return {name: np.asarray(a.detach()).copy() for name, a in found.items()}
