import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.classifier import ClassifierConfig, build_classifier
from tests.networks import normal, random_params


def tiny(**options):
    settings = {
        "classes": (2, 3),
        "n_mels": 10,
        "channels": (4, 8),
        "embedding": 6,
        "groups": 2,
    }
    return ClassifierConfig(**(settings | options))


@functools.cache
def network(**options):
    net = build_classifier(tiny(**options))
    embed = jax.jit(functools.partial(net.apply, method="embed"))
    return jax.jit(net.apply), embed, random_params(net)


@pytest.mark.parametrize("frames", [16, 13])
def test_one_head_an_attribute_and_an_embedding_at_any_length(frames):
    apply, embed, params = network()
    mel = normal(4, frames, 10)
    assert [x.shape for x in apply(params, mel)] == [(4, 2), (4, 3)]
    assert embed(params, mel).shape == (4, 6)


def test_lists_are_taken():
    assert tiny(classes=[2, 3], channels=[4, 8]) == tiny()


def test_it_learns_pitch_and_whether_a_burst_is_early():
    """Absolute frequency and absolute time, both lost by a plain global mean."""
    rng = np.random.default_rng(0)
    clips, train = 256, 192
    band, early = rng.integers(0, 3, clips), rng.integers(0, 2, clips)
    mel = rng.normal(0, 0.3, (clips, 48, 10)).astype(np.float32)
    for i in range(clips):
        start = rng.integers(14, 20) + (0 if early[i] else 12)  # far from the edges
        mel[i, start : start + 3, 3 * band[i] + 1] += 3
    net = build_classifier(tiny())

    def loss(params, mel, band, early):
        cross_entropy = optax.softmax_cross_entropy_with_integer_labels
        a, b = net.apply(params, mel)
        return (cross_entropy(a, early) + cross_entropy(b, band)).mean()

    optimizer = optax.adam(3e-2)

    @jax.jit
    def step(params, state):
        gradient = jax.grad(loss)(params, mel[:train], band[:train], early[:train])
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state

    params = random_params(net)
    with jax.numpy_dtype_promotion("standard"):  # optax needs it
        state = jax.jit(optimizer.init)(params)
        for _ in range(60):
            params, state = step(params, state)
    a, b = jax.jit(net.apply)(params, mel[train:])
    assert (np.asarray(a).argmax(-1) == early[train:]).mean() > 0.9
    assert (np.asarray(b).argmax(-1) == band[train:]).mean() > 0.9


def test_bfloat16_is_near_float32():
    (_, single, params), (_, half, _) = network(), network(dtype="bfloat16")
    mel = normal(4, 16, 10)
    exact, near = single(params, mel), half(params, mel)
    assert near.dtype == jnp.float32
    assert 0 < np.abs(near - exact).max() < 0.05 * np.abs(exact).max()


def test_mistakes_are_refused():
    with pytest.raises(UserError, match=r"groups=3, got \(4, 8\)"):
        tiny(groups=3)
    with pytest.raises(UserError, match="unknown dtype"):
        tiny(dtype="half")
    apply, _, params = network()
    with pytest.raises(UserError, match="expected 10 mel bands, got 12"):
        apply(params, normal(1, 16, 12))


def test_the_embedding_is_what_stands_before_silu_and_heads():
    apply, embed, params = network()
    mel = normal(4, 16, 10)
    embedding = embed(params, mel)
    assert embedding.min() < -0.3  # lower than silu ever comes
    x = jax.nn.silu(embedding)
    for i, logits in enumerate(apply(params, mel)):
        head = params["heads"][str(i)]
        expected = x @ head["kernel"] + head["bias"][None]
        np.testing.assert_allclose(logits, expected, atol=1e-5)
