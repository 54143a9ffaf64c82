"""GPT-2 and the projections before it against transformers and diffusers.

The loop that generates is AudioLDM 2's: the whole sequence again for each token, places
counted with their padding.
"""

import jax
import numpy as np
import pytest

from diffusion_audio.models.condition import Context
from diffusion_audio.models.gpt2 import build_gpt2
from diffusion_audio.models.projection import build_projection
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained.gpt2 import (
    GPT2_BASE,
    export_gpt2,
    gpt2_config,
    import_gpt2,
)
from diffusion_audio.pretrained.projection import (
    AUDIOLDM2,
    export_projection,
    import_projection,
    projection_config,
)
from tests.networks import normal
from tests.parity.text_torch import (
    arrays,
    assert_close,
    assert_count,
    assert_exported,
    ids,
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
        "n_positions": 40,
        "n_embd": 24,
        "n_layer": 2,
        "n_head": 3,
    }
    config = transformers.GPT2Config(**(settings | options))
    return config, randomize(transformers.GPT2Model(config))


def their_loop(model, prompt, mask, steps):
    """AudioLDM 2's generation by whole sequences."""
    x, mask = torch.from_numpy(prompt), long(mask)
    with torch.no_grad():
        for _ in range(steps):
            states = model(inputs_embeds=x, attention_mask=mask).last_hidden_state
            x = torch.cat([x, states[:, -1:]], 1)
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
    return x[:, -steps:].numpy()


OPTIONS = [
    {},
    {"n_inner": 50, "n_head": 1, "layer_norm_epsilon": 1e-2},
    {"n_embd": 16, "n_head": 4, "n_layer": 3},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("steps", [1, 8])
def test_the_originals_tokens_with_their_dependence(options, steps):
    config, model = make(**options)
    cfg = gpt2_config(config.to_dict(), "it")
    params = import_gpt2(cfg, arrays(model), "it")
    prompt = normal(3, 11, cfg.width)
    mask = np.ones((3, 11), bool)
    mask[0, 5:10] = False  # a short text's padding, before the token that ends all
    mask[1, 8:10] = False
    network = build_gpt2(cfg)
    ours = run(
        network, params, prompt, mask, method="generate", steps=steps, padding="batch"
    )
    assert_close(ours, their_loop(model, prompt, mask, steps))
    # And each prompt by itself is what the default gives in any batch.
    ours = run(network, params, prompt, mask, method="generate", steps=steps)
    for row, own, kept in zip(ours, prompt, mask, strict=True):
        alone = own[kept][None]
        everything = np.ones(alone.shape[:2], bool)
        assert_close(row, their_loop(model, alone, everything, steps)[0])


@pytest.mark.parametrize("options", OPTIONS)
def test_states_and_names(options):
    config, model = make(**options)
    cfg = gpt2_config(config.to_dict(), "it")
    source = arrays(model)
    params = import_gpt2(cfg, source, "it")
    tokens = ids(0, 31, 2, 9)
    words = params["token_embedding"]["embedding"][tokens]
    with torch.no_grad():
        theirs = model(long(tokens)).last_hidden_state
    assert_close(run(build_gpt2(cfg), params, words), theirs)
    assert_exported(export_gpt2(cfg, params), source)


@pytest.mark.parametrize("positions", [None, 6])
@pytest.mark.parametrize("masked", [False, True])
def test_projections(positions, masked):
    from diffusers.pipelines.audioldm2.modeling_audioldm2 import (
        AudioLDM2ProjectionModel,
    )

    model = AudioLDM2ProjectionModel(
        text_encoder_dim=5,
        text_encoder_1_dim=7,
        langauge_model_dim=12,
        use_learned_position_embedding=None if positions is None else True,
        max_seq_length=positions,
    )
    randomize(model)
    cfg = projection_config(model.config, "it")
    source = arrays(model)
    params = import_projection(cfg, source, "it")
    assert_exported(export_projection(params), source)
    first, second = normal(2, 1, 5), normal(2, 6, 7)
    masks = [np.ones((2, 1), bool), np.arange(6) < np.array([[4], [6]])]
    if not masked:
        masks = [None, None]
    with torch.no_grad():
        theirs = model(
            torch.from_numpy(first),
            torch.from_numpy(second),
            *(None if mask is None else long(mask) for mask in masks),
        )
    ours = jax.jit(build_projection(cfg).apply)(
        params, Context(first, masks[0]), Context(second, masks[1])
    )
    assert_close(ours.tokens, theirs.hidden_states)
    if masked:
        np.testing.assert_array_equal(ours.mask, theirs.attention_mask.numpy() == 1)
    else:
        assert ours.mask is theirs.attention_mask is None


def test_published_sizes():
    from diffusers.pipelines.audioldm2.modeling_audioldm2 import (
        AudioLDM2ProjectionModel,
    )

    config = transformers.GPT2Config()
    assert gpt2_config(config.to_dict(), "it") == GPT2_BASE
    params = abstract_params(build_gpt2(GPT2_BASE))
    assert_count(transformers.GPT2Model, config, params, 124_439_808)
    params = abstract_params(build_projection(AUDIOLDM2))
    assert_count(
        lambda sizes: AudioLDM2ProjectionModel(*sizes),
        (512, 1024, 768),
        params,
        1_184_256,
    )
