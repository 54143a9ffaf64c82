"""The pipeline around parts of one line: who gets which noise and which numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.audio.mel import denormalize
from diffusion_audio.diffusion.loss import Objective
from diffusion_audio.errors import UserError
from diffusion_audio.generation.pipeline import Pipeline
from diffusion_audio.systems.sampler import SamplingConfig
from tests.toy_system import FROZEN, NOTHING, PARAMS, SPEC, TOKENIZERS, toy_system

KEY = jax.random.key(3)
PIPELINE = Pipeline(
    system=toy_system(),
    config={},
    params=PARAMS,
    frozen=FROZEN,
    tokenizers=TOKENIZERS,
    sampling=SamplingConfig(steps=2, guidance=1.0),
    seconds=0.256,
    step=1,
)


def level(number):
    """What the toy sounds like for a number."""
    mel = denormalize(SPEC, jnp.float32(3.0 * number / 0.25))
    return 0.5 * float(mel)


def noisy(**changes):
    """A pipeline that gives back half of the noise that it starts from."""
    params = PARAMS | {"denoiser": {"x": jnp.float32(0.5)}}
    return dataclasses.replace(PIPELINE, params=params, **changes)


def test_prompts_become_sounds_in_their_order():
    waves = PIPELINE(["1", "2", "-3"], key=KEY)
    assert waves.shape == (3, 4096)
    for wave, number in zip(waves, (1, 2, -3), strict=True):
        np.testing.assert_allclose(wave, level(number), rtol=1e-4)


def test_guidance_is_the_runs_own_unless_another_is_given():
    strong = dataclasses.replace(
        PIPELINE, sampling=SamplingConfig(steps=2, guidance=3.0)
    )
    own = level(NOTHING + 3 * (1 - NOTHING))
    np.testing.assert_allclose(strong("1", key=KEY)[0], own, rtol=1e-4)
    other = level(NOTHING + 2 * (1 - NOTHING))
    np.testing.assert_allclose(strong("1", key=KEY, guidance=2.0)[0], other, rtol=1e-4)
    led_away = level(4 + 2 * (1 - 4))
    made = strong("1", key=KEY, guidance=2.0, negative_prompt="4")
    np.testing.assert_allclose(made[0], led_away, rtol=1e-4)


def test_noise_belongs_to_key_and_place_whatever_the_batch_size():
    pipeline = noisy()
    made = [pipeline(["0"] * 3, key=KEY, batch_size=size) for size in (1, 2, 3)]
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])
    first, second, _ = made[0]
    assert not np.allclose(first, second)  # candidates of one prompt
    assert not np.allclose(pipeline(["0"] * 3, key=jax.random.key(4)), made[0])


def test_latents_given_are_where_it_starts():
    pipeline = noisy()
    shape = pipeline.system.latent_shape(4096)
    one = pipeline(["0"], key=KEY, latents=jnp.full((1, *shape), 1.0))
    other = pipeline(["0"], key=KEY, latents=jnp.full((1, *shape), -1.0))
    middle = level(0)
    np.testing.assert_allclose(one - middle, -(other - middle), rtol=1e-4)
    assert np.ptp(one) < 1e-4
    assert abs(one[0, 0] - middle) > 0.01
    with pytest.raises(UserError, match="do not fit 1 prompts of 4096 samples"):
        pipeline(["0"], key=KEY, latents=jnp.zeros((2, *shape)))


@pytest.mark.parametrize("seconds", [0.01, 0.1, 0.3])
def test_a_duration_is_met_to_the_sample(seconds):
    waves = PIPELINE("1", key=KEY, duration=seconds)
    assert waves.shape == (1, round(seconds * SPEC.sample_rate))
    np.testing.assert_allclose(waves, level(1), rtol=1e-4)


def test_steps_and_solver_reach_the_sampler():
    pipeline = noisy()
    few, many = (pipeline("0", key=KEY, steps=steps) for steps in (1, 4))
    assert not np.allclose(few, many)
    other = pipeline("0", key=KEY, steps=4, solver="dpmpp_2m")
    assert not np.array_equal(many, other)
    with pytest.raises(UserError, match="did you mean 'unipc'"):
        pipeline("0", key=KEY, solver="unpic")


def test_a_new_scale_of_guidance_compiles_nothing():
    pipeline = noisy()
    pipeline("1", key=KEY, guidance=2.0)
    pipeline("1", key=KEY, guidance=5.0)
    assert pipeline.programs.advance._cache_size() == 1


def test_copies_go_through_the_autoencoder():
    audio = 0.1 * np.random.default_rng(0).standard_normal((2, 4096), np.float32)
    made = PIPELINE.reconstruct(audio)
    system = PIPELINE.system
    mels = system.decode(FROZEN, system.encode(FROZEN, audio).mean * 0.25)
    np.testing.assert_allclose(made, PIPELINE.vocode(mels)[:, :4096], rtol=1e-4)
    assert np.ptp(made) > 0.1


@pytest.mark.parametrize("guidance", [float("nan"), float("inf")])
def test_what_is_no_number_is_refused(guidance):
    with pytest.raises(UserError, match="guidance must be a finite number"):
        PIPELINE("1", key=KEY, guidance=guidance)


def test_a_model_that_breaks_says_so():
    broken = dataclasses.replace(
        PIPELINE, params=PARAMS | {"denoiser": {"x": jnp.float32("nan")}}
    )
    with pytest.raises(UserError, match="output is not finite"):
        broken("1", key=KEY)


def test_a_network_that_also_says_its_variance_is_sampled_without_it():
    system = toy_system(Objective("x0", learned_variance=True))

    def both(params, z, t, told):
        x0 = told.vector[:, :, None, None] + 0 * z
        return jnp.concatenate([x0, jnp.full_like(x0, 0.3)], axis=-1)

    network = system.denoiser.network._replace(apply=both)
    denoiser = system.denoiser._replace(network=network, out_channels=2)
    taught = dataclasses.replace(
        PIPELINE, system=dataclasses.replace(system, denoiser=denoiser)
    )
    np.testing.assert_allclose(taught("2", key=KEY)[0], level(2), rtol=1e-4)
