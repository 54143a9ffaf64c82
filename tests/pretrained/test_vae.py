"""The autoencoder's tables: there and back, by old and new names, out of a file."""

import jax
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.vae import VAEConfig, build_vae
from diffusion_audio.pretrained.vae import export_vae, find_vae, import_vae
from tests.networks import random_params

CFG = VAEConfig(in_channels=1, channels=(4, 6), blocks=1, latent=2, groups=2)
MID = "mid_block.attentions.0"


def assert_same(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


@pytest.fixture(scope="module")
def params():
    return random_params(build_vae(CFG))


@pytest.mark.parametrize("names", ["diffusers", "original"])
def test_there_and_back(params, names):
    arrays = export_vae(CFG, params, names)
    assert len(arrays) == len(jax.tree.leaves(params))
    assert_same(import_vae(CFG, arrays, "it", names), params)


@pytest.mark.parametrize(
    ("diffusers", "original"),
    [
        ("encoder.conv_norm_out.bias", "encoder.norm_out.bias"),
        (
            "encoder.down_blocks.0.downsamplers.0.conv.weight",
            "encoder.down.0.downsample.conv.weight",
        ),
        (
            "encoder.down_blocks.1.resnets.0.conv_shortcut.weight",
            "encoder.down.1.block.0.nin_shortcut.weight",
        ),
        (f"decoder.{MID}.group_norm.weight", "decoder.mid.attn_1.norm.weight"),
        (f"decoder.{MID}.to_q.bias", "decoder.mid.attn_1.q.bias"),
        (f"encoder.{MID}.to_k.bias", "encoder.mid.attn_1.k.bias"),
        ("decoder.mid_block.resnets.1.norm2.bias", "decoder.mid.block_2.norm2.bias"),
        (
            "decoder.up_blocks.0.upsamplers.0.conv.weight",
            "decoder.up.1.upsample.conv.weight",
        ),
        (
            "decoder.up_blocks.1.resnets.1.conv2.weight",
            "decoder.up.0.block.1.conv2.weight",
        ),
        ("post_quant_conv.weight", "post_quant_conv.weight"),
    ],
)
def test_names_of_one_array(params, diffusers, original):
    mine, theirs = export_vae(CFG, params), export_vae(CFG, params, "original")
    np.testing.assert_array_equal(mine[diffusers], theirs[original])


def test_the_originals_attend_by_convolutions_of_one_place(params):
    kernel = export_vae(CFG, params, "original")["encoder.mid.attn_1.proj_out.weight"]
    mine = params["encoder"]["mid_block"]["attentions"]["0"]["attn"]["to_out"]
    assert kernel.shape == (6, 6, 1, 1)
    assert kernel[1, 4, 0, 0] == mine["kernel"][4, 1]


def test_old_words_for_attention_are_read(params):
    arrays = export_vae(CFG, params)
    for new, old in {
        "to_q": "query",
        "to_k": "key",
        "to_v": "value",
        "to_out.0": "proj_attn",
    }.items():
        for half in ("encoder", "decoder"):
            for leaf in ("weight", "bias"):
                array = arrays.pop(f"{half}.{MID}.{new}.{leaf}")
                arrays[f"{half}.{MID}.{old}.{leaf}"] = array
    assert_same(import_vae(CFG, arrays, "it"), params)


def test_an_original_file_of_a_whole_system(params):
    file = {
        f"first_stage_model.{name}": array
        for name, array in export_vae(CFG, params, "original").items()
    }
    file["first_stage_model.vocoder.conv_pre.weight"] = np.zeros(1, np.float32)
    file["first_stage_model.loss.logvar"] = np.zeros(1, np.float32)
    file["model.diffusion_model.out.2.bias"] = np.zeros(1, np.float32)
    file["scale_factor"] = np.float32(0.9)
    found = find_vae(CFG, file, "it")
    assert_same(found.model, params)
    assert f"'first_stage_model' ({len(jax.tree.leaves(params))} arrays)" in str(found)
    assert "left 'first_stage_model.vocoder'" in str(found)


@pytest.mark.parametrize("shape", [(6, 6, 3, 3), (6, 6, 1, 1, 1), (6,)])
def test_attention_of_another_shape_is_refused(params, shape):
    arrays = export_vae(CFG, params, "original")
    arrays["encoder.mid.attn_1.q.weight"] = np.zeros(shape, np.float32)
    with pytest.raises(UserError, match=r"another shape: encoder\.mid\.attn_1\.q"):
        import_vae(CFG, arrays, "it", "original")
