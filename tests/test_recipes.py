"""Every preset of every recipe: it loads, and its networks can be built."""

import json

import jax
import pytest

from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.data.settings import DataConfig
from diffusion_audio.data.tones import ATTRIBUTES
from diffusion_audio.errors import UserError
from diffusion_audio.models.unet import UNetConfig, build_unet
from diffusion_audio.models.vae import VAEConfig, build_vae
from diffusion_audio.nn.functional import abstract_params, count
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.settings import settings
from diffusion_audio.systems import system
from diffusion_audio.training import tasks
from tests.recipes import recipe
from tests.tasks import Clips, make_task

PRESETS = [
    (task, preset)
    for task in ("vae", "vocoder", "diffusion", "classifier")
    for preset in __import__(f"configs.{task}", fromlist=["PRESETS"]).PRESETS
]

VAES = {"audioldm": "audioldm", "audioldm2": "audioldm", "auffusion": "auffusion"}
UNETS = {"audioldm": 185.04, "audioldm2": 346.94, "auffusion": 859.52}


@pytest.mark.parametrize(("task", "preset"), PRESETS)
def test_groups_have_only_known_keys(task, preset):
    config = recipe(task, preset).to_dict()
    if preset == "fine_tune":  # of a run that is to be named
        config["components"]["vocoder"] = ""
    resolved = resolve(config)
    assert AudioSpec.from_config(resolved["audio"]).hash
    data = settings(DataConfig, resolved, "data")
    if task == "diffusion":
        vae = VAES.get(preset, "folder" if preset == "folder" else "tones")
        resolved["components"] = {"autoencoder": resolve(recipe("vae", vae))}
        tasks.TABLE[task].configure(resolved)
        return
    made = make_task(resolved, Clips(attributes=ATTRIBUTES))
    samples = round(data.seconds * resolved["audio"]["sample_rate"])
    batch = {"audio": jax.ShapeDtypeStruct((1, samples), "float32")}
    state = jax.eval_shape(made.init, jax.random.key(0), batch)
    assert count(state["params"]) > 0


@pytest.mark.parametrize("preset", UNETS)
def test_published_unets_by_their_recipes(preset):
    config = json.loads(recipe("diffusion", preset).to_json())
    assert config["denoiser"].pop("name") == "unet"
    unet = build_unet(settings(UNetConfig, config, "denoiser"))
    assert round(count(abstract_params(unet)) / 1e6, 2) == UNETS[preset]


def test_published_vae_by_its_recipe():
    config = recipe("vae", "audioldm").to_dict()
    assert config["autoencoder"].pop("name") == "vae"
    vae = build_vae(settings(VAEConfig, config, "autoencoder"))
    assert round(count(abstract_params(vae)) / 1e6, 2) == 55.38


@pytest.mark.slow
@pytest.mark.parametrize("own", ["", ",scratch"])
@pytest.mark.parametrize("preset", UNETS)
def test_paper_size_models_fit_together(preset, own):
    """Conditioners, UNet and VAE of a recipe agree on widths and channels."""
    config = resolve(recipe("diffusion", preset + own))
    config["components"] = {"autoencoder": resolve(recipe("vae", VAES[preset]))}
    model = system.build(config)
    shape = model.latent_shape(round(10.24 * model.spec.sample_rate))
    arrays = {"given": jax.numpy.ones(1, bool), "tokens": jax.numpy.ones((1, 128), int)}
    for name, most in {"clap": 512, "t5": 128, "clip": 77}.items():
        arrays[f"{name}_tokens"] = jax.numpy.ones((1, most), int)
        arrays[f"{name}_mask"] = jax.numpy.ones((1, most), bool)
    prompt = dict.fromkeys(model.conditioning.parts, arrays)

    def predict(key):
        params, frozen = model.init(key), model.init_frozen(key)
        condition = model.condition(params, frozen, prompt)
        z = jax.numpy.zeros((1, *shape))
        return model.predict(params, z, jax.numpy.zeros(1, int), condition)

    assert jax.eval_shape(predict, jax.random.key(0)).shape == (1, *shape)


def test_a_misspelt_key_and_preset_name_the_nearest():
    with pytest.raises(UserError, match="did you mean 'blocks'"):
        settings(VAEConfig, {"vae": {"blcks": 2}}, "vae")
    with pytest.raises(UserError, match="did you mean 'tones'"):
        recipe("vae", "tnes")
    with pytest.raises(UserError, match="did you mean 'vae'"):
        tasks.TABLE["vea"]
