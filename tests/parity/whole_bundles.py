"""The originals from their own files, in PyTorch: bundle and tokenizers in, sound out.

What is taken and given is that of `tests.parity.whole_pipelines`; the networks are
those of `tests.parity.original_torch`.
"""

import pytest

from tests.parity import original_torch
from tests.parity.original_torch import Names
from tests.parity.whole_originals import ORIGINAL_T5, ddim
from tests.parity.whole_parts import LANGUAGE, arrays, hifigan, tokenizer_of

torch = pytest.importorskip("torch")

# Of the vocoders' code, by the hop that a model has.
VOCODERS = {
    160: {
        "upsample_rates": (5, 4, 2, 2, 2),
        "upsample_kernel_sizes": (16, 16, 8, 4, 4),
        "resblock_kernel_sizes": (3, 7, 11),
        "resblock_dilation_sizes": [(1, 3, 5)] * 3,
    },
    480: {
        "upsample_rates": (6, 5, 4, 2, 2),
        "upsample_kernel_sizes": (12, 10, 8, 4, 4),
        "resblock_kernel_sizes": (3, 7, 11, 15),
        "resblock_dilation_sizes": [(1, 3, 5)] * 4,
    },
}


class Bundle:
    """A file, and the tokenizers beside it."""

    def __init__(self, folder):
        (path,) = (p for p in folder.iterdir() if p.suffix in (".pth", ".ckpt"))
        self.state = Names(torch.load(path, weights_only=True)["state_dict"])
        self.folder = folder

    def under(self, key):
        return self.state.under(key).arrays

    def averages(self):
        """The UNet's, under the names of its arrays, by which it knows them."""
        kept = self.under("model_ema")
        return {
            name: kept[f"diffusion_model{name.replace('.', '')}"]
            for name in self.under("model.diffusion_model")
        }

    def clap(self, key, texts):
        """Vectors [B, D]."""
        tokenizer = tokenizer_of(self.folder / "tokenizer")
        words = tokenizer(
            list(texts), padding="max_length", truncation=True, return_tensors="pt"
        )
        return original_torch.clap(self.under(f"{key}.model"))(words)

    def t5(self, key, texts):
        """Tokens [B, L, D] and mask [B, L], filled up to the longest text."""
        tokenizer = tokenizer_of(self.folder / "tokenizer_2")
        words = tokenizer(
            list(texts),
            padding=True,
            max_length=ORIGINAL_T5,
            truncation=True,
            return_tensors="pt",
        )
        return original_torch.t5(self.under(f"{key}.model"))(words)

    def language(self, key, texts):
        """What GPT-2 goes on with, [B, 8, D]."""
        inner = f"{key}.cond_stage_models"
        vector = self.clap(f"{inner}.0", texts)
        parts = (
            (vector[:, None], torch.ones(len(texts), 1)),
            self.t5(f"{inner}.1", texts),
        )
        return original_torch.language(self.under(key), LANGUAGE)(*parts)


@torch.no_grad()
def audioldm(folder, **asked):
    """haoheliu/AudioLDM: CLAP's vector, and the averages of the UNet's weights."""
    bundle = Bundle(folder)
    told = _of_clap(bundle, "cond_stage_model", asked["prompts"])
    return _run(bundle, told, unet=bundle.averages(), **asked)


@torch.no_grad()
def audioldm_48k(folder, **asked):
    """haoheliu/AudioLDM2 at 48 kHz: CLAP's vector, and the UNet's weights."""
    bundle = Bundle(folder)
    told = _of_clap(bundle, "cond_stage_models.0", asked["prompts"])
    return _run(bundle, told, hop=480, **asked)


@torch.no_grad()
def audioldm_t5(folder, **asked):
    """haoheliu/AudioLDM2 with T5 alone."""
    bundle = Bundle(folder)
    told = _of_t5(bundle, "cond_stage_models.0", asked["prompts"])
    return _run(bundle, told, **asked)


@torch.no_grad()
def audioldm2(folder, *, alone=False, **asked):
    """haoheliu/AudioLDM2: GPT-2's tokens, and T5's.

    With ``alone``, GPT-2 is given each prompt by itself, as if it were the batch.
    """
    bundle, prompts = Bundle(folder), asked["prompts"]
    told = _of_t5(bundle, "cond_stage_models.1", prompts)
    batches = [[prompt] for prompt in prompts] if alone else [prompts]
    language = [bundle.language("cond_stage_models.0", batch) for batch in batches]
    told["language"] = torch.cat(language)
    told["null_language"] = torch.zeros_like(told["language"])
    return _run(bundle, told, **asked)


def _of_clap(bundle, key, prompts):
    return {
        "vector": bundle.clap(key, prompts),
        "null_vector": bundle.clap(key, [""] * len(prompts)),
    }


def _of_t5(bundle, key, prompts):
    tokens, mask = bundle.t5(key, prompts)
    end, _ = bundle.t5(key, [""])  # one token
    null = end.repeat(len(prompts), 1, 1)
    found = {"tokens": tokens, "mask": mask, "null_tokens": null}
    return found | {"null_mask": torch.ones(null.shape[:2])}


def _run(
    bundle,
    told,
    prompts,
    latents,
    *,
    steps,
    guidance,
    eta=1.0,
    noise=None,
    unet=None,
    hop=160,
    head_channels=32,
):
    """Latents, mel and sound of what the UNet is told."""
    unet = unet or bundle.under("model.diffusion_model")

    def predict(x, t, which):
        contexts = []
        if f"{which}language" in told:
            tokens = told[f"{which}language"]
            contexts.append((tokens, torch.ones(tokens.shape[:2])))
        if f"{which}tokens" in told:
            contexts.append((told[f"{which}tokens"], told[f"{which}mask"]))
        vector = told.get(f"{which}vector")
        t = t.expand(len(prompts))
        return original_torch.unet(unet, head_channels, x, t, contexts, vector)

    kept = bundle.state["alphas_cumprod"].numpy()
    x, states = ddim(predict, latents, kept, steps, guidance, eta, noise)
    first = bundle.under("first_stage_model")
    mel = original_torch.decode(first, x / bundle.state["scale_factor"])[:, 0]
    sound = hifigan(VOCODERS[hop], Names(first).under("vocoder").arrays, mel.mT)
    found = {"steps": states, "latents": x, "mel": mel, "waveform": sound}
    return arrays(told | found)
