"""Networks of text on both sides, and AudioLDM 2's whole conditioner.

See `benchmarks.components`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.kind import Inputs, Kind, Sizes, normal, ragged, transformer
from diffusion_audio.models.adapter import build_adapter
from diffusion_audio.models.clip_text import build_clip_text
from diffusion_audio.models.condition import Context
from diffusion_audio.models.gpt2 import build_gpt2
from diffusion_audio.models.projection import build_projection
from diffusion_audio.models.roberta import build_clap_text
from diffusion_audio.models.t5 import build_t5
from diffusion_audio.nn.functional import Network
from diffusion_audio.pretrained import (
    adapter,
    clip_text,
    gpt2,
    projection,
    roberta,
    t5,
)
from diffusion_audio.systems.conditioners import language_of_audio

NEW_TOKENS = 8  # of AudioLDM 2's GPT-2
KIND_OF = {"clap": "clap_text", "t5": "t5", "projection": "projection", "gpt2": "gpt2"}


def _words(cfg: Any, sizes: Sizes, rng: np.random.Generator) -> Inputs:
    batch, length = sizes["batch"], sizes["tokens"]
    ids = rng.integers(3, cfg.vocabulary - 1, (batch, length)).astype(np.int32)
    mask = ragged(rng, batch, length)
    if hasattr(cfg, "padding"):  # RoBERTa counts places by what is no padding
        ids = np.where(mask, ids, cfg.padding).astype(np.int32)
    return {"ids": ids, "mask": mask}


def _asked(network: Network, params: Any, inputs: Any) -> Any:
    return network.apply(params, inputs["ids"], inputs["mask"])


def _clap_text_theirs(model: Any, inputs: Any) -> Any:
    import torch

    out = model(inputs["ids"], attention_mask=inputs["mask"].long())
    return torch.nn.functional.normalize(out.text_embeds, dim=-1)


def _t5_theirs(model: Any, inputs: Any) -> Any:
    mask = inputs["mask"].long()
    return model(inputs["ids"], attention_mask=mask).last_hidden_state


def _clip_ours(network: Network, params: Any, inputs: Any) -> Any:
    found = _asked(network, params, inputs)
    return found.tokens, found.vector


def _clip_theirs(model: Any, inputs: Any) -> Any:
    out = model(inputs["ids"], attention_mask=inputs["mask"].long())
    return out.last_hidden_state, out.pooler_output


def _gpt2_inputs(cfg: Any, sizes: Sizes, rng: np.random.Generator) -> Inputs:
    batch, length = sizes["batch"], sizes["tokens"]
    mask = ragged(rng, batch, length)
    mask[:, -1] = True  # the token that ends all stands after the padding
    return {"x": normal(rng, batch, length, cfg.width), "mask": mask}


def _gpt2_ours(network: Network, params: Any, inputs: Any) -> Any:
    options = {"method": "generate", "steps": NEW_TOKENS, "padding": "batch"}
    return network.apply(params, inputs["x"], inputs["mask"], **options)


def grown(model: Any, inputs: Any) -> Any:
    """AudioLDM 2's tokens as its code makes them: all of the sequence for each."""
    import torch

    x, mask = inputs["x"], inputs["mask"].long()
    for _ in range(NEW_TOKENS):
        states = model(inputs_embeds=x, attention_mask=mask).last_hidden_state
        x = torch.cat([x, states[:, -1:]], 1)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
    return x[:, -NEW_TOKENS:]


def cached(model: Any, inputs: Any) -> Any:
    """The same with the cache that their code does without."""
    import torch

    x, mask, past, tokens = inputs["x"], inputs["mask"].long(), None, []
    for _ in range(NEW_TOKENS):
        out = model(inputs_embeds=x, attention_mask=mask, past_key_values=past)
        x, past = out.last_hidden_state[:, -1:], out.past_key_values
        tokens.append(x)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
    return torch.cat(tokens, 1)


def _projection_model(cfg: Any) -> Any:
    from diffusers.pipelines.audioldm2.modeling_audioldm2 import (
        AudioLDM2ProjectionModel,
    )

    return AudioLDM2ProjectionModel.from_config(projection.projection_json(cfg))


def _projection_inputs(cfg: Any, sizes: Sizes, rng: np.random.Generator) -> Inputs:
    batch, length = sizes["batch"], sizes["tokens"]
    return {
        "first": normal(rng, batch, 1, cfg.first),
        "second": normal(rng, batch, length, cfg.second),
        "mask": ragged(rng, batch, length),
    }


def _projection_ours(network: Network, params: Any, inputs: Any) -> Any:
    second = Context(inputs["second"], inputs["mask"])
    return network.apply(params, Context(inputs["first"]), second).tokens


def _projection_theirs(model: Any, inputs: Any) -> Any:
    return _joined(model, inputs["first"], inputs["second"], inputs["mask"])[0]


def _joined(model: Any, first: Any, second: Any, mask: Any) -> Any:
    ones = mask.new_ones(len(mask), 1).long()
    found = model(first, second, ones, mask.long())
    return found.hidden_states, found.attention_mask


def _adapter_model(cfg: Any) -> Any:
    import torch

    layers = {
        "proj": torch.nn.Linear(cfg.condition, cfg.context),
        "norm": torch.nn.LayerNorm(cfg.context),
    }
    return torch.nn.ModuleDict(layers)


def _language_build(cfg: Any) -> Network:
    return language_of_audio.build(cfg).network


def _language_parts(cfg: Any) -> dict[str, Any]:
    """The config of each part of the conditioner."""
    return {
        name: config(**getattr(cfg, name))
        for name, (config, _) in language_of_audio.BUILDERS.items()
    }


def _language_inputs(cfg: Any, sizes: Sizes, rng: np.random.Generator) -> Inputs:
    parts, found = _language_parts(cfg), {}
    for name in ("clap", "t5"):
        words = _words(parts[name], sizes | {"tokens": sizes[name]}, rng)
        found |= {f"{name}_tokens": words["ids"], f"{name}_mask": words["mask"]}
    return found | {"given": np.ones(sizes["batch"], bool)}


def _language_ours(network: Network, params: Any, inputs: Any) -> Any:
    spoken, words = network.apply(params, inputs).contexts
    return spoken.tokens, words.tokens


def _language_model(cfg: Any) -> Any:
    import torch

    parts = _language_parts(cfg)
    made = {name: TEXT_KINDS[KIND_OF[name]].model(parts[name]) for name in KIND_OF}
    return torch.nn.ModuleDict(made)


def _language_theirs(model: Any, inputs: Any) -> Any:
    def words(name: str) -> Any:
        return {"ids": inputs[f"{name}_tokens"], "mask": inputs[f"{name}_mask"]}

    vector = _clap_text_theirs(model["clap"], words("clap"))[:, None]
    tokens = _t5_theirs(model["t5"], words("t5"))
    x, mask = _joined(model["projection"], vector, tokens, inputs["t5_mask"])
    return grown(model["gpt2"], {"x": x, "mask": mask}), tokens


def _language_read(cfg: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    parts, found = _language_parts(cfg), {}
    for name in KIND_OF:
        start = f"{name}."
        own = {
            key.removeprefix(start): array
            for key, array in arrays.items()
            if key.startswith(start)
        }
        found[name] = TEXT_KINDS[KIND_OF[name]].read(parts[name], own)
    return found


TEXT_KINDS = {
    "clap_text": Kind(
        build_clap_text,
        _words,
        _asked,
        lambda cfg: transformer(
            "ClapTextModelWithProjection",
            "ClapTextConfig",
            roberta.clap_text_json(cfg),
        ),
        _clap_text_theirs,
        lambda cfg, arrays: roberta.import_clap_text(cfg, arrays, "it"),
    ),
    "t5": Kind(
        build_t5,
        _words,
        _asked,
        lambda cfg: transformer("T5EncoderModel", "T5Config", t5.t5_json(cfg)),
        _t5_theirs,
        lambda cfg, arrays: t5.import_t5(cfg, arrays, "it"),
    ),
    "clip_text": Kind(
        build_clip_text,
        _words,
        _clip_ours,
        lambda cfg: transformer(
            "CLIPTextModel", "CLIPTextConfig", clip_text.clip_text_json(cfg)
        ),
        _clip_theirs,
        lambda cfg, arrays: clip_text.import_clip_text(cfg, arrays, "it"),
    ),
    "gpt2": Kind(
        build_gpt2,
        _gpt2_inputs,
        _gpt2_ours,
        lambda cfg: transformer("GPT2Model", "GPT2Config", gpt2.gpt2_json(cfg)),
        grown,
        lambda cfg, arrays: gpt2.import_gpt2(cfg, arrays, "it"),
    ),
    "projection": Kind(
        build_projection,
        _projection_inputs,
        _projection_ours,
        _projection_model,
        _projection_theirs,
        lambda cfg, arrays: projection.import_projection(cfg, arrays, "it"),
    ),
    "adapter": Kind(
        build_adapter,
        lambda cfg, sizes, rng: {
            "x": normal(rng, sizes["batch"], sizes["tokens"], cfg.condition)
        },
        lambda network, params, inputs: network.apply(params, inputs["x"]),
        _adapter_model,
        lambda model, inputs: model["norm"](model["proj"](inputs["x"])),
        lambda cfg, arrays: adapter.import_adapter(cfg, arrays, "it"),
    ),
    "language_of_audio": Kind(
        _language_build,
        _language_inputs,
        _language_ours,
        _language_model,
        _language_theirs,
        _language_read,
    ),
}
TEXT_KINDS["gpt2_cached"] = TEXT_KINDS["gpt2"]._replace(theirs=cached)
