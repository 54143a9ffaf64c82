"""Text networks read by published names give what transformers gives."""

import jax
import numpy as np
import pytest

from diffusion_audio.models.clip_text import build_clip_text
from diffusion_audio.models.condition import Context
from diffusion_audio.models.gpt2 import build_gpt2
from diffusion_audio.models.projection import build_projection
from diffusion_audio.models.roberta import build_clap_text
from diffusion_audio.models.t5 import build_t5
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained.clip_text import (
    clip_text_config,
    export_clip_text,
    import_clip_text,
)
from diffusion_audio.pretrained.gpt2 import export_gpt2, gpt2_config, import_gpt2
from diffusion_audio.pretrained.projection import (
    export_projection,
    import_projection,
    projection_config,
)
from diffusion_audio.pretrained.roberta import (
    clap_text_config,
    export_clap_text,
    import_clap_text,
)
from diffusion_audio.pretrained.t5 import export_t5, import_t5, t5_config
from tests.pretrained.text_cases import (
    CONFIGS,
    GOLDEN,
    MASK,
    STEPS,
    TOKENS,
    drawn,
    prompt,
)

EXPECTED = dict(np.load(GOLDEN))


def read(config, build, export, take):
    """A network, and its parameters from arrays of published names."""
    network = build(config)
    zeros = jax.tree.map(lambda a: np.zeros(a.shape), abstract_params(network))
    source = drawn({name: a.shape for name, a in export(config, zeros).items()})
    params = take(config, source, "it")
    back = export(config, params)
    assert back.keys() == source.keys()
    for name, array in source.items():
        np.testing.assert_array_equal(back[name], array)
    return network, params


def assert_golden(ours, name):
    np.testing.assert_allclose(ours, EXPECTED[name], atol=1e-5)


@pytest.mark.parametrize("name", ["t5", "t5_relu"])
def test_t5(name):
    cfg = t5_config(CONFIGS[name], "it")
    network, params = read(cfg, build_t5, export_t5, import_t5)
    assert_golden(jax.jit(network.apply)(params, TOKENS, MASK), name)


@pytest.mark.parametrize("name", ["clip", "clip_eos"])
def test_clip(name):
    cfg = clip_text_config(CONFIGS[name], "it")
    network, params = read(cfg, build_clip_text, export_clip_text, import_clip_text)
    text = jax.jit(network.apply)(params, TOKENS)
    assert_golden(text.tokens, name)
    assert_golden(text.vector, f"{name}_vector")


def test_clap():
    cfg = clap_text_config(CONFIGS["clap"], "it")
    network, params = read(cfg, build_clap_text, export_clap_text, import_clap_text)
    assert_golden(jax.jit(network.apply)(params, TOKENS), "clap")


def test_audioldm2s_sequence_and_its_continuation():
    cfg = projection_config(CONFIGS["projection"], "it")
    network, params = read(
        cfg, build_projection, lambda _, p: export_projection(p), import_projection
    )
    first, second, *masks = prompt()
    sequence = jax.jit(network.apply)(
        params, Context(first, masks[0]), Context(second, masks[1])
    )
    assert_golden(sequence.tokens, "projection")
    assert sequence.mask.tolist() == [[1] * 6 + [0, 0, 1], [1] * 9]
    cfg = gpt2_config(CONFIGS["gpt2"], "it")
    network, params = read(cfg, build_gpt2, export_gpt2, import_gpt2)

    @jax.jit
    def generate(params, x, mask):
        return network.apply(
            params, x, mask, method="generate", steps=STEPS, padding="batch"
        )

    assert_golden(generate(params, *sequence), "gpt2")
