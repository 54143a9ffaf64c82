"""CLIP's text tower against transformers'."""

import numpy as np
import pytest
import safetensors.numpy

from diffusion_audio.models.clip_text import build_clip_text
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained.clip_text import (
    VIT_L14,
    clip_text_config,
    export_clip_text,
    import_clip_text,
)
from tests.parity.text_torch import (
    arrays,
    assert_close,
    assert_count,
    assert_exported,
    ids,
    lengths,
    long,
    randomize,
    run,
)

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def make(**options):
    settings = {
        "vocab_size": 31,
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 3,
        "max_position_embeddings": 13,
        "eos_token_id": 2,
        "bos_token_id": 29,
        "pad_token_id": 1,
    }
    config = transformers.CLIPTextConfig(**(settings | options))
    return config, randomize(transformers.CLIPTextModel(config))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hidden_act": "gelu", "eos_token_id": 30, "layer_norm_eps": 1e-3},
        {"hidden_size": 16, "num_attention_heads": 1, "intermediate_size": 64},
        {"eos_token_id": 30, "num_hidden_layers": 3, "num_attention_heads": 6},
    ],
)
@pytest.mark.parametrize("longest", [1, 13])
def test_the_encoder(options, longest, tmp_path):
    config, model = make(**options)
    cfg = clip_text_config(config.to_dict(), "it")
    params = import_clip_text(cfg, arrays(model), "it")
    tokens = ids(0, 30, 3, longest)
    tokens[0, longest // 2 :] = 30  # ends with it and is padded with it, as CLIP's are
    tokens[1, -1] = 30  # and the third has none, where eos is known
    for mask in (None, lengths(longest, longest // 2 + 1, longest, 1)):
        with torch.no_grad():
            theirs = model(
                long(tokens), attention_mask=None if mask is None else long(mask)
            )
        ours = run(build_clip_text(cfg), params, tokens, mask)
        assert_close(ours.tokens, theirs.last_hidden_state)
        assert_close(ours.vector, theirs.pooler_output)
    model.save_pretrained(tmp_path)
    saved = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    exported = export_clip_text(cfg, params)
    assert_exported(exported, {_published(name): a for name, a in saved.items()})
    # And what we write is read by the original.
    safetensors.numpy.save_file(
        exported, tmp_path / "model.safetensors", metadata={"format": "pt"}
    )
    again = transformers.CLIPTextModel.from_pretrained(tmp_path)
    for name, array in arrays(again).items():
        np.testing.assert_array_equal(array, arrays(model)[name])


def _published(name):
    return name if name.startswith("text_model.") else f"text_model.{name}"


def test_a_text_tower_within_a_whole_clip():
    config, _ = make()
    whole = transformers.CLIPConfig(text_config=config.to_dict())
    cfg = clip_text_config(whole.to_dict(), "it")
    assert cfg == clip_text_config(config.to_dict(), "it")


def test_published_size():
    config = transformers.CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_attention_heads=12, eos_token_id=2
    )
    assert clip_text_config(config.to_dict(), "it") == VIT_L14
    params = abstract_params(build_clip_text(VIT_L14))
    assert_count(transformers.CLIPTextModel, config, params, 123_060_480)
