import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from diffusion_audio import recipe as recipes
from diffusion_audio.nn.convolution import LAYOUTS, convolve
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.training.task import Data
from diffusion_audio.training.tasks import vae, vocoder
from tests.networks import normal


def native(x, kernel, strides, padding, dilation):
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        padding,
        rhs_dilation=dilation,
        dimension_numbers=LAYOUTS[x.ndim],
    )


def gradients(way, *window):
    def outputs(x, kernel):
        y, pull = jax.vjp(lambda *at: way(*at, *window), x, kernel)
        return (y, *pull(jnp.sin(y)))

    return outputs


@pytest.mark.parametrize(
    ("places", "taps", "window"),
    [
        ((23,), (5,), ((1,), ((2, 2),), (1,))),
        ((24,), (5,), ((3,), ((2, 2),), (1,))),  # the last place is met by fewer taps
        ((17,), (7,), ((2,), ((0, 5),), (2,))),
        ((11, 16), (3, 4), ((2, 3), ((1, 0), (5, 2)), (3, 1))),
        ((3, 2), (1, 1), ((2, 1), ((0, 0), (0, 0)), (1, 1))),  # some are never met
    ],
)
def test_gradients_are_those_of_jax(places, taps, window):
    """On any stride, padding and dilation, whether or not they divide the places."""
    x, kernel = normal(2, *places, 3), normal(*taps, 3, 4, seed=1)
    ours, theirs = (
        jax.jit(gradients(way, *window))(x, kernel) for way in (convolve, native)
    )
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-6 * np.abs(expected).max())


def test_accelerators_have_gradients_of_jax_itself():
    window = ((2,), ((2, 2),), (1,))
    x, kernel = normal(2, 9, 3), normal(5, 3, 4, seed=1)
    texts = [
        jax.jit(gradients(way, *window))
        .trace(x, kernel)
        .lower(lowering_platforms=("tpu",))
        .as_text()
        for way in (convolve, native)
    ]
    ours, theirs = (sorted(re.findall(r"dim_numbers = \S+", text)) for text in texts)
    assert len(theirs) == 3
    assert ours == theirs


def test_it_is_differentiated_forwards_twice_and_by_examples():
    window = ((1,), ((1, 1),), (1,))
    x, kernel = normal(2, 9, 3), normal(3, 3, 4, seed=1)

    def total(way):
        return lambda x: jnp.sum(jnp.sin(way(x, kernel, *window)))

    for of in (
        lambda f: jax.jvp(f, (x,), (jnp.cos(x),))[1],
        lambda f: jax.hessian(lambda t: f(t * x))(1.0),
        lambda f: jax.vmap(jax.grad(f))(jnp.stack([x, 2 * x])),
    ):
        found, expected = of(total(convolve)), of(total(native))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_cpu_keeps_its_fast_order_of_axes_within_loops():
    """Where XLA leaves another order as it is, which is many times slower."""
    window = ((2,), ((2, 2),), (1,))
    x, kernel = normal(4, 2, 9, 3), normal(5, 3, 4, seed=1)

    def loop(way):
        made = gradients(way, *window)
        return jax.jit(lambda x, kernel: lax.map(lambda part: made(part, kernel), x))

    def orders(way):
        text = loop(way).lower(x, kernel).compile().as_text()
        return set(re.findall(r"dim_labels=(\S+?)[,\s]", text))

    assert orders(convolve) == {"b0f_0io->b0f"}
    assert len(orders(native)) > 1  # else this XLA does it, and convolve is not needed


@pytest.mark.slow
def test_every_convolution_of_training_has_the_fast_order():
    """Of discriminators that start later, and of a batch in parts."""

    def orders(task, batch):
        state = jax.eval_shape(task.init, jax.random.key(1), batch)
        step = jax.jit(task.step).lower(state, batch, jax.random.key(0))
        return set(re.findall(r"dim_labels=(\S+?)[,\s]", step.compile().as_text()))

    def made(recipe, tasks, **changes):
        config = resolve(recipes.override(recipes.load(recipe), changes))
        return tasks.make(tasks.configure(config), Data([], []))

    audio = {"audio": jnp.zeros((2, 4096)), "index": jnp.arange(2)}
    later = made("configs/vocoder.py:tones,stft_discriminator", vocoder)
    assert orders(later, audio) == {"b01f_01io->b01f", "b0f_0io->b0f"}
    in_parts = made("configs/vae.py:tones", vae, **{"train.accumulate": 2})
    assert orders(in_parts, audio) == {"b01f_01io->b01f"}
