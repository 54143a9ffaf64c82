"""Writes golden/text.npz: what transformers and diffusers make of the tiny cases.

python -m tests.pretrained.make_text_golden    (needs PyTorch and both)
"""

import numpy as np
import torch
import transformers
from diffusers.pipelines.audioldm2.modeling_audioldm2 import AudioLDM2ProjectionModel

from tests.pretrained.text_cases import (
    CONFIGS,
    GOLDEN,
    MASK,
    STEPS,
    TOKENS,
    drawn,
    prompt,
)


def published(name):
    """Names that CLIP's files have and transformers 5 has not."""
    clip = name.startswith(("embeddings.", "encoder.layers.", "final_layer_norm."))
    return f"text_model.{name}" if clip else name


def loaded(model):
    with torch.no_grad():
        shapes = {published(n): tuple(p.shape) for n, p in model.named_parameters()}
        arrays = drawn(shapes)
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(arrays[published(name)]))
    return model.eval()


@torch.no_grad()
def main():
    tokens, mask = torch.from_numpy(TOKENS).long(), torch.from_numpy(MASK).long()
    golden = {}
    for name in ("t5", "t5_relu"):
        config = transformers.T5Config(**CONFIGS[name])
        model = loaded(transformers.T5EncoderModel(config))
        golden[name] = model(tokens, attention_mask=mask).last_hidden_state
    for name in ("clip", "clip_eos"):
        config = transformers.CLIPTextConfig(**CONFIGS[name])
        out = loaded(transformers.CLIPTextModel(config))(tokens)
        golden[name] = out.last_hidden_state
        golden[f"{name}_vector"] = out.pooler_output
    config = transformers.ClapTextConfig(**CONFIGS["clap"])
    model = loaded(transformers.ClapTextModelWithProjection(config))
    vector = model(tokens, attention_mask=mask).text_embeds
    golden["clap"] = torch.nn.functional.normalize(vector, dim=-1)

    projection = loaded(AudioLDM2ProjectionModel(**CONFIGS["projection"]))
    first, second, *masks = map(torch.from_numpy, prompt())
    out = projection(first, second, *(kept.long() for kept in masks))
    golden["projection"] = x = out.hidden_states
    mask = out.attention_mask
    model = loaded(transformers.GPT2Model(transformers.GPT2Config(**CONFIGS["gpt2"])))
    for _ in range(STEPS):
        states = model(inputs_embeds=x, attention_mask=mask).last_hidden_state
        x = torch.cat([x, states[:, -1:]], 1)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
    golden["gpt2"] = x[:, -STEPS:]
    np.savez_compressed(GOLDEN, **{name: a.numpy() for name, a in golden.items()})


if __name__ == "__main__":
    main()
