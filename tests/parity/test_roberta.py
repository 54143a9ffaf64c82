"""CLAP's text tower against transformers'."""

import numpy as np
import pytest

from diffusion_audio.models.roberta import build_clap_text
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained.roberta import (
    CLAP_TEXT,
    clap_text_config,
    export_clap_text,
    import_clap_text,
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
        "max_position_embeddings": 15,
        "projection_dim": 12,
    }
    config = transformers.ClapTextConfig(**(settings | options))
    return config, randomize(transformers.ClapTextModelWithProjection(config))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layer_norm_eps": 1e-2, "projection_dim": 20, "type_vocab_size": 2},
        {"hidden_size": 16, "num_attention_heads": 1, "num_hidden_layers": 3},
        {"pad_token_id": 4, "num_attention_heads": 6},
    ],
)
@pytest.mark.parametrize("longest", [1, 10])
def test_the_tower(options, longest):
    config, model = make(**options)
    cfg = clap_text_config(config.to_dict(), "it")
    source = arrays(model)
    params = import_clap_text(cfg, source, "it")
    real = lengths(longest, 1, longest, (longest + 1) // 2)
    tokens = np.where(real, ids(5, 31, 3, longest), cfg.padding).astype(np.int32)
    tokens[1, longest // 2] = cfg.padding if longest > 1 else 5  # in the middle too
    network = build_clap_text(cfg)
    for mask in (None, lengths(longest, 1, 1, longest)):
        given = tokens != cfg.padding if mask is None else mask
        with torch.no_grad():
            theirs = model(
                long(tokens), attention_mask=long(given), output_hidden_states=True
            )
        states = run(network, params, tokens, mask, method="encode")
        assert_close(states, theirs.last_hidden_state)
        unit = torch.nn.functional.normalize(theirs.text_embeds, dim=-1)
        assert_close(run(network, params, tokens, mask), unit)
    buffers = {n for n in source if n.endswith(("position_ids", "token_type_ids"))}
    assert len(buffers) == 2
    left = {name: a for name, a in source.items() if name not in buffers}
    assert_exported(export_clap_text(cfg, params), left)


def test_a_text_tower_within_a_whole_clap():
    text, _ = make()
    audio = transformers.ClapAudioConfig(
        depths=[1, 1],
        num_attention_heads=[1, 2],
        patch_embeds_hidden_size=8,
        num_hidden_layers=2,
        hidden_size=16,
        spec_size=64,
        num_mel_bins=16,
    )
    config = transformers.ClapConfig(
        text_config=text.to_dict(), audio_config=audio.to_dict(), projection_dim=20
    )
    model = randomize(transformers.ClapModel(config))
    cfg = clap_text_config(config.to_dict(), "it")
    assert cfg.projection == 20
    params = import_clap_text(cfg, arrays(model), "it")
    tokens = ids(5, 31, 2, 7)
    with torch.no_grad():
        theirs = model.get_text_features(
            long(tokens), attention_mask=long(tokens != 1)
        ).pooler_output
    assert_close(run(build_clap_text(cfg), params, tokens), theirs)


def test_published_size():
    config = transformers.ClapTextConfig()
    assert clap_text_config(config.to_dict(), "it") == CLAP_TEXT
    params = abstract_params(build_clap_text(CLAP_TEXT))
    make = transformers.ClapTextModelWithProjection
    assert_count(make, config, params, 125_302_016)
