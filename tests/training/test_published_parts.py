"""Training on parts of published systems: read, a step, saved, gone on with, heard."""

import jax
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.generation import load
from diffusion_audio.generation.convert import convert
from diffusion_audio.pretrained.read_system import read_system
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.training import run
from tests.published import configs, encoder_configs
from tests.published.folders import make
from tests.recipes import folder_of_audio, recipe, tiny

SCALE = configs.AUDIOLDM2_VAE["scaling_factor"]
CONTEXTS = (encoder_configs.GPT2["n_embd"], encoder_configs.T5["d_model"])
LATENT = configs.AUDIOLDM2_VAE["latent_channels"]
PARTS = ("autoencoder", "vocoder", "conditioners", "denoiser")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("published")


@pytest.fixture(scope="module")
def source(place):
    return folder_of_audio(place / "audio")


@pytest.fixture(scope="module")
def system(place):
    return make("audioldm2", place / "audioldm2")


def config_of(source, **components):
    config = tiny("diffusion", source, steps=1)
    config.audio.preset, config.audio.n_mels = "audioldm_16k", 16
    config.data.update(seconds=0.64, batch_size=2, cache_latents=False)
    config.listen.prompts = ("rain",)
    config.sampling.steps = 2
    config.optimizer.update(learning_rate=1e-4, warmup_steps=1)
    for name, component in components.items():
        config.components[name] = str(component)
    return config


def same(mine, theirs):
    far = jax.tree.map(
        lambda a, b: float(np.abs(np.subtract(a, b)).max()), mine, theirs
    )
    return max(jax.tree.leaves(far))


@pytest.mark.slow
def test_a_published_system_is_gone_on_with(place, source, system):
    """The denoiser starts from its weights; what is frozen and the scale stay."""
    config = config_of(source, **dict.fromkeys(PARTS, system))
    run.train(config, place / "run")
    trained, published = load(place / "run"), load(system)
    moved = same(trained.params["denoiser"], published.params["denoiser"])
    assert 0 < moved < 3e-4  # a step or what the average has of it, from where it was
    for name in ("conditioners", "autoencoder", "vocoder"):
        assert same(trained.frozen[name], published.frozen[name]) == 0, name
    assert trained.frozen["latent_scale"] == np.float32(SCALE)
    assert trained.tokenizers.files() == published.tokenizers.files()
    options = {"key": jax.random.key(0), "steps": 2, "duration": 0.32, "solver": "ddim"}
    heard = trained(["a dog barks"], **options)
    assert np.isfinite(heard).all()
    assert heard.std() > 0
    config.train.steps = 2
    run.train(config, place / "run")  # goes on
    ours = convert(place / "run", place / "ours")
    np.testing.assert_array_equal(
        load(ours)(["a dog barks"], **options),
        load(place / "run")(["a dog barks"], **options),
    )


@pytest.mark.slow
def test_a_conditioner_is_trained_from_its_published_weights(place, source, system):
    config = config_of(source, conditioners=system, autoencoder=system)
    config.denoiser = recipe("diffusion", "audioldm2").denoiser
    config.denoiser.update(channels=(8, 16), heads=(2, 2), attention=(False, True))
    config.denoiser.update(in_channels=LATENT, out_channels=LATENT, blocks=1)
    config.denoiser.update(contexts=CONTEXTS, groups=4, dtype="float32")
    run.train(config, place / "frozen")
    published = load(system).frozen["conditioners"]
    kept = load(place / "frozen", vocoder=system)
    assert same(kept.frozen["conditioners"], published) == 0
    assert kept.params["conditioners"] == {}


def test_what_a_config_is_resolved_to(source, system):
    """Groups of the system in the place of the recipe's, with a hash of their files."""
    config = config_of(source, **dict.fromkeys(PARTS, system))
    config.denoiser.dtype = "bfloat16"
    resolved = resolve(config)
    made = read_system(system).config
    assert resolved["conditioners"].keys() == made["conditioners"].keys()
    assert list(resolved["denoiser"]["channels"]) == list(made["denoiser"]["channels"])
    assert resolved["denoiser"]["dtype"] == "bfloat16"  # of the recipe
    hashes = {part["hash"] for part in resolved["components"].values()}
    assert len(hashes) == len(PARTS)
    assert resolve(config) == resolved


def test_mistakes(source, system, place):
    config = config_of(source, autoencoder=system)
    config.conditioners = recipe("diffusion", "audioldm").conditioners
    config.denoiser.update(contexts=(), vector_dim=512, attention=(False, False))
    with pytest.raises(UserError, match=r"--config\.components\.conditioners=MODEL"):
        run.train(config, place / "no_weights")
    assert not (place / "no_weights").exists()
    config = config_of(source, autoencoder=system)
    config.audio.n_mels = 32
    with pytest.raises(UserError, match="n_mels"):
        resolve(config)
    vocoder = tiny("vocoder", source)
    vocoder.components.denoiser = str(system)
    with pytest.raises(UserError, match=r"key in config\.components"):
        resolve(vocoder.to_dict())
