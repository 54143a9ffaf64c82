"""A loss that is not where it should be is said once, of the recipe itself only."""

import json

import pytest

from configs import expected
from diffusion_audio.errors import UserError
from diffusion_audio.runs.decisive import recipe_hash
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.settings import settings
from diffusion_audio.training.expected import Band
from diffusion_audio.training.loop import TrainConfig
from tests.recipes import recipe

ROWS = ((25, 0.5, 1.0), (50, 0.2, 0.4), (75, 0.1, 0.2))


def resolved(task, preset="tones", **changes):
    config = recipe(task, preset)
    for name, value in changes.items():
        group, _, key = name.partition("__")
        config[group][key] = value
    return json.loads(json.dumps(resolve(config)))


def band(config, rows=ROWS):
    known = {"recipe": recipe_hash(resolved("vae")), "loss": rows}
    return Band(known, config)


def test_what_leaves_the_band_is_said_once(caplog):
    watched = band(resolved("vae"))
    for step, loss in ((25, 0.7), (30, 9.0), (50, float("nan")), (75, 0.2)):
        watched.look(step, loss)
    assert not caplog.text
    watched.look(50, 0.6)
    watched.look(75, 9.0)
    assert caplog.text.count("is not within") == 1
    assert "the loss 0.6 at step 50 is not within 0.2 to 0.4" in caplog.text


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"train__log_every": 7, "train__non_finite": "skip"}, True),
        ({"parallel__data": 1}, True),
        ({"optimizer__learning_rate": 1.0}, False),
        ({"train__steps": 20}, False),
        ({"data__source": "folder:x"}, False),
    ],
)
def test_a_band_is_of_the_recipe_as_it_stands(changes, same, caplog):
    config = resolved("vae", **changes) | {"seed": 3}
    band(config).look(50, 9.0)
    assert ("is not within" in caplog.text) == same


def test_a_component_counts_as_it_was_trained_and_one_to_listen_with_does_not():
    plain = resolved("diffusion")
    vae = resolved("vae") | {"run": "a", "hash": "1"}
    one = recipe_hash(plain | {"components": {"autoencoder": vae}})
    moved = vae | {"run": "b", "hash": "2", "seed": 1}
    listened = {"autoencoder": moved, "vocoder": resolved("vocoder")}
    assert recipe_hash(plain | {"components": listened}) == one
    other = vae | {"loss": vae["loss"] | {"kl_weight": 1.0}}
    assert recipe_hash(plain | {"components": {"autoencoder": other}}) != one
    assert recipe_hash(plain | {"components": {}}) != one


def test_rows_that_are_none():
    with pytest.raises(UserError, match="must be rows of step, lowest and highest"):
        band(resolved("vae"), rows=((1, 2),))


@pytest.mark.parametrize(
    "task", [name.lower() for name in vars(expected) if name.isupper()]
)
def test_a_recipe_ships_the_band_of_what_it_is(task):
    """A recipe that is changed needs another: `benchmarks.loss_bands`."""
    config = resolved(task, "demo")
    if task == "diffusion":  # as the demo trains it
        config["components"] = {"autoencoder": resolved("vae", "demo")}
        config.pop("autoencoder")  # that of the component takes its place
    shipped = config["train"]["expected"]
    assert shipped["recipe"] == recipe_hash(config)
    assert all(low < high and step % 25 == 0 for step, low, high in shipped["loss"])
    train = settings(TrainConfig, config, "train")
    assert len(train.expected["loss"]) >= 3
    # Another recipe in the same file has it too, and takes no notice.
    assert recipe_hash(resolved(task, "demo,smoke")) != shipped["recipe"]
