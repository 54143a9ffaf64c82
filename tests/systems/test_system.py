"""The wiring of a system: what goes in where, by parts of one line each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.audio.mel import denormalize, log_mel, normalize
from diffusion_audio.errors import UserError
from diffusion_audio.models.vae import Moments
from diffusion_audio.settings import Choice
from diffusion_audio.systems.sampler import SamplingConfig
from diffusion_audio.systems.system import build
from tests.recipes import recipe
from tests.toy_system import FROZEN, NOTHING, PARAMS, SPEC, TOKENIZERS, toy_system

KEY = jax.random.key(0)
SYSTEM = toy_system()
INDEX = jnp.arange(2)
Z = jnp.zeros((2, *SYSTEM.latent_shape(4096)))


def sampled(guidance, null=None, **cfg):
    return SYSTEM.sample(
        PARAMS,
        FROZEN,
        SamplingConfig(steps=3, **cfg),
        Z,
        TOKENIZERS.prompt(["2", "5"]),
        null or TOKENIZERS.null(),
        jnp.float32(guidance),
        KEY,
        INDEX,
    )


@pytest.mark.parametrize("guidance", [0.0, 1.0, 3.0])
def test_guidance_leads_from_no_prompt_to_the_prompt(guidance):
    expected = NOTHING + guidance * (np.array([2.0, 5.0]) - NOTHING)
    made = sampled(guidance)
    np.testing.assert_allclose(made[:, 0, 0, 0], expected, rtol=1e-5)
    assert np.ptp(made, axis=(1, 2, 3)).max() < 1e-4


def test_a_negative_prompt_stands_in_the_place_of_none():
    made = sampled(2.0, TOKENIZERS.prompt(["10"]))
    np.testing.assert_allclose(made[:, 0, 0, 0], 10 + 2 * (np.array([2, 5]) - 10.0))


def test_the_interval_of_guidance_reaches_the_denoiser():
    made = sampled(3.0, guidance_interval=(1e8, 1e9))
    np.testing.assert_allclose(made[:, 0, 0, 0], [2, 5], rtol=1e-5)


def test_what_noise_a_solver_adds_depends_on_key_and_place():
    cfg = SamplingConfig(Choice(name="ddim", eta=1.0), steps=3, final="first")

    def noisy(key, index):
        prompt = TOKENIZERS.prompt(["0", "0"])
        guidance = jnp.float32(1)
        return SYSTEM.sample(
            PARAMS, FROZEN, cfg, Z, prompt, TOKENIZERS.null(), guidance, key, index
        )

    made = noisy(KEY, jnp.array([0, 1]))
    assert not np.allclose(made[0], made[1])
    np.testing.assert_array_equal(made[::-1], noisy(KEY, jnp.array([1, 0])))
    assert not np.allclose(made, noisy(jax.random.key(1), jnp.array([0, 1])))


def test_mels_are_normalised_on_the_way_in_and_back_on_the_way_out():
    audio = 0.1 * jax.random.normal(KEY, (1, 4096))
    mel = log_mel(SPEC, audio)
    moments = SYSTEM.encode(FROZEN, audio)
    np.testing.assert_allclose(
        moments.mean[..., 0], normalize(SPEC, mel)[:, ::2] / 3, rtol=1e-5
    )
    z = jnp.full((1, 4, 64, 1), 0.5)
    back = denormalize(SPEC, jnp.full((1, 8, 64), 3 * 0.5 / 0.25))
    np.testing.assert_allclose(SYSTEM.decode(FROZEN, z), back, rtol=1e-5)


def test_latents_are_draws_of_the_posterior_at_unit_scale():
    mean, log_variance = (
        jnp.full((3, 2, 64, 1), 2.0),
        jnp.log(jnp.full((3, 2, 64, 1), 9.0)),
    )
    batch = {"moments": jnp.concatenate([mean, log_variance], axis=-1)}
    moments = SYSTEM.posterior(FROZEN, batch)
    assert isinstance(moments, Moments)
    np.testing.assert_array_equal(moments.log_variance, log_variance)
    z = SYSTEM.latents(FROZEN, batch, jax.random.split(KEY, 3))
    assert abs(float(z.mean()) - 0.25 * 2) < 0.15
    assert abs(float(z.std()) - 0.25 * 3) < 0.15
    assert not np.allclose(z[0], z[1])


def test_shapes_and_fresh_parameters_are_of_the_same_trees():
    params, frozen = SYSTEM.shapes()
    assert jax.tree.structure(params) == jax.tree.structure(SYSTEM.init(KEY))
    fresh = SYSTEM.init_frozen(KEY) | {"latent_scale": jnp.ones(())}
    assert jax.tree.structure(frozen) == jax.tree.structure(fresh)


def test_latents_cover_the_samples():
    assert SYSTEM.latent_shape(1) == (1, 64, 1)
    assert SYSTEM.latent_shape(512) == (1, 64, 1)
    assert SYSTEM.latent_shape(513) == (2, 64, 1)


def test_without_a_vocoder_one_is_asked_for():
    with pytest.raises(UserError, match=r"--vocoder=RUN_DIR"):
        toy_system(vocoder=False).require_vocoder()


@pytest.mark.parametrize(
    ("group", "line"),
    [
        ("denoiser", r"config\.denoiser names no denoiser"),
        ("autoencoder", r"config\.autoencoder names no autoencoder"),
        ("schedule", "no group 'schedule'"),
        ("loss", "no group 'loss'"),
    ],
)
def test_a_group_that_lacks_is_named(group, line):
    config = recipe("diffusion").to_dict()
    config |= {"components": {}, "autoencoder": {"name": "patches", "size": 4}}
    build(config)
    del config["components"], config[group]
    with pytest.raises(UserError, match=line):
        build(config)
