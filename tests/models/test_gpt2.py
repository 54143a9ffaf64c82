import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.gpt2 import GPT2Config, build_gpt2
from diffusion_audio.nn.functional import abstract_params, count
from diffusion_audio.pretrained.gpt2 import GPT2_BASE
from tests.networks import normal, random_params

STEPS = 5


def tiny(**options):
    settings = {
        "vocabulary": 11,
        "positions": 16,
        "width": 8,
        "depth": 2,
        "heads": 2,
        "hidden": 12,
    }
    return GPT2Config(**(settings | options))


@functools.cache
def network(padding="independent", **options):
    net = build_gpt2(tiny(**options))
    generate = functools.partial(
        net.apply, method="generate", steps=STEPS, padding=padding
    )
    whole = functools.partial(net.apply, padding=padding)
    return jax.jit(generate), whole, random_params(net)


PROMPT = jnp.asarray(normal(2, 6, 8))
# Both end with a real token, as AudioLDM 2's prompts do.
MASK = jnp.asarray([[True, True, True, False, False, True], [True] * 6])


@pytest.mark.parametrize("padding", ["independent", "batch", "all"])
def test_the_cache_changes_nothing(padding):
    generate, whole, params = network(padding)
    tokens = generate(params, PROMPT, MASK)
    assert tokens.shape == (2, STEPS, 8)
    # The whole sequence again for each token, at the places of one length.
    apply = jax.jit(whole)
    x = jnp.pad(PROMPT, ((0, 0), (0, STEPS), (0, 0)))
    mask = jnp.pad(MASK, ((0, 0), (0, STEPS)))
    for place in range(6, 6 + STEPS):
        x = x.at[:, place].set(apply(params, x, mask)[:, place - 1])
        mask = mask.at[:, place].set(True)
    np.testing.assert_allclose(tokens, x[:, 6:], atol=1e-5)
    assert np.abs(tokens[:, 1:] - tokens[:, :-1]).max() > 1e-2


def placed(places, seed):
    """The same four tokens at these of six places, noise between and beside them."""
    x, mask = jnp.asarray(normal(2, 6, 8, seed=seed)), np.ones((2, 6), bool)
    prompt = normal(4, 8, seed=1)
    mask[0], mask[1, seed:] = False, False
    mask[0, places] = True
    return x.at[0, jnp.asarray(places)].set(prompt), jnp.asarray(mask)


LAYOUTS = [[2, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 5], [0, 1, 2, 3]]


def test_a_prompt_goes_on_the_same_whatever_pads_it_and_lies_beside_it():
    generate, _, params = network()
    ways = [generate(params, *placed(p, i))[0] for i, p in enumerate(LAYOUTS, 2)]
    for way in ways[1:]:
        np.testing.assert_allclose(way, ways[0], atol=1e-5)


def test_by_batch_padding_counts():
    generate, _, params = network("batch")
    ways = [generate(params, *placed(p, i))[0] for i, p in enumerate(LAYOUTS[:3], 2)]
    assert all(np.abs(way - ways[0]).max() > 1e-2 for way in ways[1:])


def test_one_step_is_the_last_state():
    net = build_gpt2(tiny(depth=1))
    params = random_params(net)
    generate = functools.partial(net.apply, method="generate", steps=1)
    one = jax.jit(generate)(params, PROMPT, MASK)
    states = jax.jit(net.apply)(params, PROMPT, MASK)
    np.testing.assert_allclose(one[:, 0], states[:, -1], atol=1e-6)


def test_a_published_network_has_as_many_parameters():
    assert count(abstract_params(build_gpt2(GPT2_BASE))) == 124_439_808


def test_bfloat16_is_near_float32():
    (single, _, params), (half, _, _) = (
        network(depth=1, dtype=dtype) for dtype in ("float32", "bfloat16")
    )
    exact, near = single(params, PROMPT, MASK), half(params, PROMPT, MASK)
    assert near.dtype == jnp.float32
    np.testing.assert_allclose(near, exact, atol=0.1 * np.abs(exact).max())
    assert np.abs(near - exact).max() > 1e-4


def test_mistakes_are_refused():
    with pytest.raises(UserError, match="divisible by heads, got 8 and 3"):
        tiny(heads=3)
    with pytest.raises(UserError, match="unknown dtype"):
        tiny(dtype="int8")
    net = build_gpt2(tiny())
    params = random_params(net)
    generate = functools.partial(net.apply, params, PROMPT, method="generate")
    with pytest.raises(UserError, match="at most 16 tokens, got 6 and 11 new ones"):
        generate(steps=11)
    with pytest.raises(UserError, match="steps to be 1 or more, got 0"):
        generate(steps=0)
    with pytest.raises(UserError, match="unknown padding 'batches'; did you mean"):
        generate(steps=1, padding="batches")
