"""A model found by what fits, in every wrapping that people save it in."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import hifigan, hifigan_config

GOLDEN = Path(__file__).parent / "golden"
RAW = dict(np.load(GOLDEN / "expected.npz"))
EMA = {name: array + np.float32(0.5) for name, array in RAW.items()}
OTHER = {name: array - np.float32(0.5) for name, array in RAW.items()}
CONFIG = json.loads((GOLDEN / "config.json").read_text(encoding="utf-8"))
CFG = hifigan_config.generator_config(CONFIG, "config.json")


def under(key, arrays):
    return {f"{key}.{name}": array for name, array in arrays.items()}


# As adaptive optimisers keep them: by number, or by name in the shape of the weights.
MOMENTS = under("exp_avg", RAW) | under("exp_avg_sq", OTHER)
OPTIMISERS = {
    "optim_g.state.0.step": np.asarray(3),
    "optim_g.state.0.exp_avg": np.ones(3, "f4"),
    **under("optimizer.state", MOMENTS),
    **under("opt_state.mu", RAW),
}
COUNTERS = {"steps": np.asarray(7), "epoch": np.asarray(1), "lr": np.asarray(0.1)}
DISCRIMINATORS = {"mpd.discriminators.0.conv_post.bias": np.ones(1, "f4")}
LIGHTNING = {
    "global_step": np.asarray(7),
    "state_dict.discriminator.0.bias": np.ones(1, "f4"),
    "callbacks.ModelCheckpoint.best_model_score": np.asarray(0.5),
    "optimizer_states.0.state.0.exp_avg": np.ones(3, "f4"),
    "hyper_parameters.lr": np.asarray(0.1),
}


def found(source, take=None):
    result = hifigan.find_generator(CFG, source, "g_1", take)
    cfg, params = result.model
    return str(result), hifigan.export_generator(cfg, params)


def assert_same(arrays, others):
    jax.tree.map(np.testing.assert_array_equal, arrays, others)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (RAW, "took all (15 arrays)"),
        (under("_orig_mod", RAW), "took all (15 arrays)"),
        *(
            (under(key, RAW), f"took '{key}' (15 arrays)")
            for key in (
                *("generator", "module", "model", "G", "net_g", "params", "weights"),
                *("state_dict.model.generator.module", "a.b.c.d", "0"),
            )
        ),
        (under("generator.module._orig_mod", RAW), "took 'generator.module' (15 "),
        (
            under("generator", RAW) | OPTIMISERS | COUNTERS,
            "took 'generator' (15 arrays), left 'optim_g', 'optimizer', 'opt_state', "
            "'steps', 'epoch', 'lr'",
        ),
        (
            RAW | OPTIMISERS | COUNTERS | DISCRIMINATORS,
            "took what is under no key (15 arrays), left 'optim_g', 'optimizer', "
            "'opt_state', 'steps', 'epoch', 'lr', 'mpd'",
        ),
        (
            under("state_dict.generator", RAW) | LIGHTNING,
            "took 'state_dict.generator' (15 arrays), left 'global_step', "
            "'state_dict.discriminator', 'callbacks', 'optimizer_states', "
            "'hyper_parameters'",
        ),
        (
            under("module", RAW) | {"n_averaged": np.asarray(9)},
            "took 'module' (15 arrays), left 'n_averaged'",
        ),
        (under("a", RAW) | under("b", RAW), "took 'a' (15 arrays), left 'b'"),
    ],
)
def test_one_that_fits_is_taken_and_the_rest_is_named(source, said):
    told, arrays = found(source)
    assert told.startswith(said)
    assert "--take" not in told
    assert_same(arrays, RAW)


@pytest.mark.parametrize(
    ("raw", "ema"),
    [
        ("generator", "ema"),
        ("generator", "ema_generator"),
        ("generator", "generator_ema"),
        ("model", "model_ema"),
        ("G", "G_ema"),
        ("params", "params_ema"),
        ("state_dict", "state_dict_ema"),
        ("model", "EMA.shadow"),
        ("online_model", "ema_model.module"),
        ("ema.online_model", "ema.ema_model"),
        ("generator", "generatorEMA"),
        ("generator", "emaGenerator"),
        ("generator", "swa_model"),
        (".", "ema"),
    ],
)
def test_an_average_goes_before_what_it_averages(raw, ema):
    source = (RAW if raw == "." else under(raw, RAW)) | under(ema, EMA)
    source |= {"ema.decay": np.asarray(0.9)} if ema == "ema" else {}
    told, arrays = found(source)
    assert told.startswith(f"took '{ema}' (15 arrays), left ")
    assert told.endswith(f"; --take={raw} takes that instead")
    assert_same(arrays, EMA)
    assert_same(found(source, raw)[1], RAW)
    assert_same(found(source, ema)[1], EMA)


def test_an_average_whose_names_have_lost_their_dots():
    dotless = {name.replace(".", ""): array for name, array in EMA.items()}
    source = under("state_dict.model", RAW) | under("state_dict.model_ema", dotless)
    source |= {"state_dict.model_ema.decay": np.asarray(0.9)}
    assert_same(found(source)[1], EMA)


@pytest.mark.parametrize("word", ["schema", "cinema", "remap", "swarm"])
def test_a_word_that_holds_those_letters_is_no_average(word):
    with pytest.raises(UserError, match="2 of this model that differ"):
        found(under("generator", RAW) | under(word, EMA))


@pytest.mark.parametrize(
    ("source", "take", "message"),
    [
        (
            under("a", RAW) | under("b", EMA),
            None,
            "g_1 has 2 of this model that differ, 'a', 'b'; say which with --take=KEY",
        ),
        (
            under("g", RAW) | under("ema1", EMA) | under("ema2", OTHER),
            None,
            "3 of this model that differ, 'ema1', 'ema2', 'g'",
        ),
        (
            under("generator", RAW),
            "generatr",
            "unknown group of weights in g_1 'generatr'; did you mean 'generator'",
        ),
        ({}, None, "g_1 has no arrays; expected names such as conv_post.bias"),
        (OPTIMISERS, None, "g_1 has optim_g.state.0.step"),
        (under("vae", {"x.bias": RAW["conv_pre.bias"]}), None, "g_1 has vae.x.bias;"),
        (
            under("generator", RAW | {"cond.weight": np.ones(3, "f4")}) | COUNTERS,
            None,
            r"g_1 \('generator' in it\) has what this model has no place for: cond",
        ),
        (RAW | {"cond.weight": np.ones(3, "f4")}, None, "no place for: cond.weight"),
        (  # a network within, that has a few names in common
            under("generator", RAW | {"encoder.conv_pre.bias": np.ones(4, "f4")}),
            None,
            "no place for: encoder.conv_pre.bias",
        ),
        (RAW | {"optics.weight": np.ones(3, "f4")}, None, "no place for: optics"),
        (
            under("generator", {k: v for k, v in RAW.items() if k != "conv_pre.bias"}),
            None,
            r"\('generator' in it\) lacks conv_pre.bias",
        ),
        (
            {name: array.astype("i1") for name, array in RAW.items()},
            None,
            r"has what is no weight: \S+ is of int8, not floating point and 14 more",
        ),
        (
            {name: array * np.float32(np.nan) for name, array in RAW.items()},
            None,
            "values that are no finite float32",
        ),
        (
            {name: array.astype("f8") + 1e300 for name, array in RAW.items()},
            None,
            "values that are no finite float32",
        ),
        (RAW | {"conv_pre.bias": np.zeros((4, 0), "f4")}, None, "another shape"),
    ],
)
def test_what_is_not_clear_or_does_not_fit_is_refused(source, take, message):
    with pytest.raises(UserError, match=message) as refused:
        found(source, take)
    assert "\n" not in str(refused.value)


def test_the_nearest_is_the_one_that_is_explained():
    few = {"conv_pre.bias": RAW["conv_pre.bias"]}
    most = {k: v for k, v in RAW.items() if k != "conv_post.bias"}
    with pytest.raises(UserError, match=r"\('b' in it\) lacks conv_post.bias;"):
        found(under("a", few) | under("b", most))


@pytest.mark.parametrize("kind", ["f2", "f8"])
def test_other_widths_become_float32(kind):
    source = {name: array.astype(kind) for name, array in RAW.items()}
    _, arrays = found(source)
    assert {array.dtype for array in arrays.values()} == {np.dtype("f4")}
    assert_same(arrays, {k: v.astype(kind).astype("f4") for k, v in RAW.items()})


def test_a_hostile_name_is_shown_short_and_printable():
    with pytest.raises(UserError) as refused:
        found({"\x1b[2J\n" + "x" * 999: np.ones(1, "f4")})
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500
