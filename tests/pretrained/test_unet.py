"""The UNet's tables: there and back, by both namings, out of a file of everything."""

import functools

import jax
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.unet import UNetConfig, build_unet
from diffusion_audio.pretrained.naming import canonical
from diffusion_audio.pretrained.unet import export_unet, find_unet, import_unet
from tests.networks import random_params


def config(**options):
    shape = {"in_channels": 2, "out_channels": 3, "channels": (4, 6), "groups": 2}
    return UNetConfig(**shape, attention=(False, True), heads=(2, 3), **options)


CONFIGS = {
    "stable diffusion": config(contexts=(5,), projection="linear", depth=2, blocks=1),
    "audioldm": config(vector_dim=7, blocks=1),
    "audioldm2": config(contexts=(None, 5, 3)),
}


@functools.cache
def network_params(system, seed=0):
    return random_params(build_unet(CONFIGS[system]), seed)


@functools.cache
def exported(system, names="diffusers"):
    return export_unet(CONFIGS[system], network_params(system), names)


def assert_same(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


@pytest.mark.parametrize("names", ["diffusers", "original"])
@pytest.mark.parametrize("system", CONFIGS)
def test_there_and_back(system, names):
    params, arrays = network_params(system), exported(system, names)
    assert len(arrays) == len(jax.tree.leaves(params))
    assert_same(import_unet(CONFIGS[system], arrays, "it", names), params)


@pytest.mark.parametrize(
    ("system", "diffusers", "original"),
    [
        ("audioldm2", "conv_in.weight", "input_blocks.0.0.weight"),
        ("audioldm2", "time_embedding.linear_2.bias", "time_embed.2.bias"),
        ("audioldm", "class_embedding.weight", "film_emb.weight"),
        ("audioldm2", "conv_norm_out.weight", "out.0.weight"),
        ("audioldm2", "conv_out.bias", "out.2.bias"),
        (
            "audioldm2",
            "down_blocks.0.downsamplers.0.conv.weight",
            "input_blocks.3.0.op.weight",
        ),
        (
            "audioldm2",
            "down_blocks.1.resnets.0.conv_shortcut.weight",
            "input_blocks.4.0.skip_connection.weight",
        ),
        (
            "audioldm2",
            "down_blocks.1.resnets.1.time_emb_proj.weight",
            "input_blocks.5.0.emb_layers.1.weight",
        ),
        (
            "audioldm2",  # site 1, second of three stacks
            "down_blocks.1.attentions.4.transformer_blocks.0.attn2.to_k.weight",
            "input_blocks.5.2.transformer_blocks.0.attn2.to_k.weight",
        ),
        ("audioldm2", "mid_block.attentions.2.norm.bias", "middle_block.3.norm.bias"),
        (
            "audioldm2",
            "mid_block.resnets.1.norm2.weight",
            "middle_block.4.out_layers.0.weight",
        ),
        (
            "audioldm2",  # after the stacks
            "up_blocks.0.upsamplers.0.conv.bias",
            "output_blocks.2.4.conv.bias",
        ),
        (
            "audioldm",
            "up_blocks.0.upsamplers.0.conv.bias",
            "output_blocks.1.2.conv.bias",
        ),
        (
            "audioldm2",
            "up_blocks.1.resnets.2.conv1.weight",
            "output_blocks.5.0.in_layers.2.weight",
        ),
        (
            "stable diffusion",
            "up_blocks.0.attentions.1.transformer_blocks.1.ff.net.0.proj.weight",
            "output_blocks.1.1.transformer_blocks.1.ff.net.0.proj.weight",
        ),
        (
            "stable diffusion",
            "mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0.bias",
            "middle_block.1.transformer_blocks.0.attn1.to_out.0.bias",
        ),
    ],
)
def test_names_of_one_array(system, diffusers, original):
    mine, theirs = exported(system), exported(system, "original")
    np.testing.assert_array_equal(mine[diffusers], theirs[original])


def test_kernels_lie_as_pytorch_has_them():
    arrays = exported("stable diffusion")
    assert arrays["conv_in.weight"].shape == (4, 2, 3, 3)
    assert arrays["mid_block.attentions.0.proj_in.weight"].shape == (6, 6)
    block = "mid_block.attentions.0.transformer_blocks.1"
    assert arrays[f"{block}.attn2.to_k.weight"].shape == (6, 5)
    assert exported("audioldm")["mid_block.attentions.0.proj_in.weight"].ndim == 4


def test_an_original_file_has_its_average_found_by_its_dotless_names():
    raw = network_params("audioldm")
    average = jax.tree.map(lambda x: x + 1, raw)
    cfg = CONFIGS["audioldm"]
    file = {
        f"model.diffusion_model.{name}": array
        for name, array in exported("audioldm", "original").items()
    }
    for name, array in export_unet(cfg, average, "original").items():
        dotless = f"diffusion_model.{name}".replace(".", "")
        file[f"model_ema.{dotless}"] = array
    file["model_ema.decay"] = np.float32(0.9999)
    file["betas"] = np.zeros(3, np.float32)
    file["first_stage_model.encoder.conv_in.weight"] = np.zeros(1, np.float32)
    found = find_unet(cfg, file, "it")
    assert_same(found.model, average)
    assert found.others == ("model.diffusion_model",)
    assert_same(find_unet(cfg, file, "it", take="model").model, raw)


def test_a_diffusers_file_is_found_without_being_told():
    found = find_unet(CONFIGS["audioldm"], exported("audioldm"), "it")
    assert_same(found.model, network_params("audioldm"))


def test_weights_of_another_config_are_refused():
    arrays = dict(exported("audioldm"))
    with pytest.raises(UserError, match=r"place for: class_embedding\.bias"):
        import_unet(config(contexts=(None,), blocks=1), arrays, "file")
    del arrays["conv_in.bias"]
    with pytest.raises(UserError, match=r"file lacks conv_in\.bias"):
        import_unet(CONFIGS["audioldm"], arrays, "file")
    with pytest.raises(UserError, match=r"unknown naming of weights 'keras'"):
        export_unet(CONFIGS["audioldm"], {}, "keras")


def test_two_spellings_of_one_array_are_refused():
    name = "encoder.mid_block.attentions.0"
    both = {f"{name}.query.bias": np.zeros(1), f"{name}.to_q.bias": np.zeros(1)}
    with pytest.raises(UserError, match=r"to_q\.bias twice, under two spellings"):
        canonical(both)
