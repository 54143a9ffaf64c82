"""Long pieces in windows, a batch on several devices, and steps that are watched."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion.multidiffusion import overlapping
from diffusion_audio.errors import UserError
from diffusion_audio.generation.windows import faded
from diffusion_audio.settings import Choice
from diffusion_audio.systems.devices import everywhere, local_mesh
from diffusion_audio.systems.sampler import SamplingConfig
from tests.generation.test_pipeline import KEY, PIPELINE, noisy
from tests.toy_system import FROZEN, SPEC, toy_system

SECONDS = PIPELINE.seconds  # 8 latent frames of two mel frames
FRAMES = 8


def told_by_all(params, z, t, told):
    """A denoiser whose every place depends on all that it sees."""
    del t
    mean = z.mean(axis=(1, 2, 3), keepdims=True)
    return params["x"] * z + mean + told.vector[:, :, None, None]


def wide(seen=None, **changes):
    """A pipeline with such a denoiser; ``seen`` gets the shapes of its latents."""

    def predict(params, z, t, told):
        if seen is not None:
            seen.append(z.shape)
        return told_by_all(params, z, t, told)

    return noisy(system=with_denoiser(predict), **changes)


def with_denoiser(predict):
    """The toy with another denoiser."""
    system = toy_system()
    network = system.denoiser.network._replace(apply=predict)
    denoiser = system.denoiser._replace(network=network)
    return dataclasses.replace(system, denoiser=denoiser)


@pytest.mark.parametrize(
    ("times", "windows", "size"),
    [
        (None, "auto", FRAMES),
        (0.5, "always", FRAMES // 2),
        (1, "always", FRAMES),
        (1.5, "auto", 12),
        (2, "auto", 16),
        (2.25, "auto", FRAMES),
        (1.5, "always", FRAMES),
        (5, "never", 40),
    ],
)
def test_what_the_model_sees_at_a_time(times, windows, size):
    seconds = None if times is None else times * SECONDS
    assert PIPELINE.window(seconds, windows) == size
    length = FRAMES * (1 if times is None else times)
    assert PIPELINE.windowed(seconds, windows) == (size < length)


def test_windows_are_of_a_kind_that_there_is():
    with pytest.raises(UserError, match="did you mean 'always'"):
        PIPELINE.batches("1", key=KEY, windows="allways")


def test_a_long_piece_is_denoised_at_the_trained_length():
    seen = []
    wave = wide(seen)("1", key=KEY, duration=5 * SECONDS)
    assert wave.shape == (1, round(5 * SECONDS * SPEC.sample_rate))
    assert {shape[1] for shape in seen} == {FRAMES}
    whole = wide()("1", key=KEY, duration=5 * SECONDS, windows="never")
    assert not np.allclose(wave, whole, rtol=1e-3)


def test_a_piece_of_one_window_is_the_whole():
    pipeline = wide()
    plain, always = (
        pipeline("1", key=KEY, windows=windows) for windows in ("never", "always")
    )
    np.testing.assert_array_equal(plain, always)


def test_what_is_local_is_the_same_in_windows():
    """So the noise is, its own and the solver's, whatever the windows."""
    cfg = SamplingConfig(Choice(name="ddim", eta=1.0), steps=3, final="first")
    pipeline = noisy(sampling=dataclasses.replace(cfg, guidance=1.0))
    whole, cut = (
        pipeline(["1", "2"], key=KEY, duration=5 * SECONDS, windows=windows)
        for windows in ("never", "always")
    )
    assert np.ptp(whole) > 0.1
    np.testing.assert_allclose(whole, cut, rtol=1e-4, atol=1e-5)


def test_latents_whose_time_is_their_second_axis():
    system = toy_system()

    def turned(params, x, *, method):
        assert method == "decode"
        return params["size"] * jnp.repeat(x.swapaxes(1, 2), 2, axis=1)

    network = system.autoencoder.network._replace(apply=turned)
    autoencoder = system.autoencoder._replace(network=network, time_axis=2)
    seen = []
    pipeline = wide(seen)
    pipeline = dataclasses.replace(
        pipeline,
        system=dataclasses.replace(pipeline.system, autoencoder=autoencoder),
    )
    wave = pipeline("1", key=KEY, duration=3 * SECONDS)
    assert wave.shape == (1, round(3 * SECONDS * SPEC.sample_rate))
    assert {shape[1:3] for shape in seen} == {(SPEC.n_mels, FRAMES)}


def test_a_long_piece_is_decoded_at_the_trained_length():
    """The decoder looks at all that it gets, as that of a VAE does."""
    system = toy_system()

    def decode(params, x, *, method):
        seen.append(x.shape[1])
        x = x - x.mean(axis=(1, 2), keepdims=True)
        return params["size"] * jnp.repeat(x, 2, axis=1)

    seen = []
    network = system.autoencoder.network._replace(apply=decode)
    autoencoder = system.autoencoder._replace(network=network)
    pipeline = noisy(system=dataclasses.replace(system, autoencoder=autoencoder))
    z = np.random.default_rng(0).standard_normal((1, 20, 64, 1), np.float32)
    made = pipeline._decode(jnp.asarray(z), FRAMES)
    assert seen == [FRAMES]
    windows = overlapping(20, FRAMES, FRAMES // 4)
    expected = faded(
        lambda part: pipeline.system.decode(FROZEN, part), z, windows, axis=1, factor=2
    )
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("devices", [2, 4])
def test_devices_change_no_sound(devices):
    mesh = local_mesh(jax.local_devices()[:devices])
    cfg = SamplingConfig(Choice(name="ddim", eta=1.0), steps=3, final="first")
    one = wide(sampling=dataclasses.replace(cfg, guidance=2.0))
    several = dataclasses.replace(
        one,
        mesh=mesh,
        params=jax.device_put(one.params, everywhere(mesh)),
        frozen=jax.device_put(one.frozen, everywhere(mesh)),
    )
    prompts = [str(i) for i in range(5)]
    for options in ({"batch_size": 3}, {"duration": 3 * SECONDS}):
        alone, together = (p(prompts, key=KEY, **options) for p in (one, several))
        np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-5)
    audio = 0.1 * np.random.default_rng(0).standard_normal((3, 4096), np.float32)
    copies = [pipeline.reconstruct(audio) for pipeline in (one, several)]
    np.testing.assert_allclose(*copies, rtol=1e-4)


def test_each_device_makes_its_share_of_the_rows():
    mesh = local_mesh()
    assert mesh.size == 4
    seen = []
    pipeline = wide(seen, mesh=mesh)
    pipeline = dataclasses.replace(
        pipeline, params=jax.device_put(pipeline.params, everywhere(mesh))
    )
    pipeline(["1"] * 7, key=KEY)
    assert {shape[0] for shape in seen} == {4}  # two of the eight, each asked twice
    text = pipeline.programs.decode.lower(
        FROZEN, jnp.zeros((8, FRAMES, 64, 1))
    ).compile()
    assert "all-gather" not in text.as_text()


def test_steps_are_watched_without_another_program():
    pipeline = wide()
    plain = pipeline(["1", "2", "3"], key=KEY, steps=4, batch_size=2)
    seen = []

    def watch(*told):
        seen.append(told)

    batches = pipeline.batches(
        ["1", "2", "3"], key=KEY, steps=4, batch_size=2, watch=watch
    )
    np.testing.assert_allclose(np.concatenate(list(batches)), plain, rtol=1e-5)
    assert seen == [(step, 4, 2) for step in (0, 1, 2, 3)] * 2
    assert pipeline.programs.advance._cache_size() == 1


def test_in_half_precision_what_is_computed_is_the_same():
    """And compiled once, though it is compiled before it is called."""
    plain = noisy()
    half = dataclasses.replace(
        plain,
        params=plain.params | {"denoiser": {"x": jnp.bfloat16(0.5)}},
        system=with_denoiser(
            lambda params, z, t, told: (
                params["x"].astype(z.dtype) * z + told.vector[:, :, None, None]
            )
        ),
    )
    assert half.half
    assert not plain.half
    waves = [pipeline(["1", "2"], key=KEY) for pipeline in (plain, half)]
    np.testing.assert_allclose(*waves, rtol=1e-5)
    half(["3", "4"], key=KEY)
    assert half.programs.advance.jitted._cache_size() == 1
