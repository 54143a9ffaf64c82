"""The UNet against diffusers: Stable Diffusion's, AudioLDM's and AudioLDM 2's.

Each is read from a folder that diffusers wrote.
"""

import jax
import numpy as np
import pytest

from diffusion_audio.models.condition import Condition, Context
from diffusion_audio.models.unet import UNetConfig, build_unet
from diffusion_audio.pretrained.unet import export_unet, import_unet
from diffusion_audio.pretrained.unet_config import unet_config, unet_json
from tests.networks import normal, random_params
from tests.parity import folders

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

CHANNELS = (8, 16, 24)
MASKS = [np.arange(7) < np.array([[3], [7]]), np.arange(4) < np.array([[4], [2]])]
SIZES = [(8, 4), (7, 6), (5, 9)]


def ours(folder, model, x, t, condition):
    config, arrays = folders.read(model, folder)
    cfg = unet_config(config, "it")
    params = import_unet(cfg, arrays, "it")
    return jax.jit(build_unet(cfg).apply)(params, x, t, condition)


def theirs(model, x, t, *inputs, **options):
    """Calls a PyTorch UNet, channels first, with arrays as tensors."""
    tensors = [None if a is None else torch.from_numpy(a) for a in inputs]
    options = {name: torch.from_numpy(a) for name, a in options.items()}
    with torch.no_grad():
        out = model(
            torch.from_numpy(x).permute(0, 3, 1, 2),
            torch.from_numpy(t),
            *tensors,
            **options,
        )
    return out.sample.permute(0, 2, 3, 1).numpy()


def assert_close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def settings(down, up, **options):
    return {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 3,
        "block_out_channels": CHANNELS,
        "layers_per_block": 2,
        "down_block_types": down,
        "up_block_types": up,
        "norm_num_groups": 4,
        **options,
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("projection", ["conv", "linear"])
def test_stable_diffusion(tmp_path, size, projection):
    torch.manual_seed(0)
    cross = "CrossAttn{}Block2D"
    model = diffusers.UNet2DConditionModel(
        **settings(
            (cross.format("Down"), cross.format("Down"), "DownBlock2D"),
            ("UpBlock2D", cross.format("Up"), cross.format("Up")),
            cross_attention_dim=6,
            attention_head_dim=4,  # by an old mistake of names: the number of heads
            use_linear_projection=projection == "linear",
        )
    )
    x, t, text = normal(2, *size, 4), np.array([1, 870]), normal(2, 7, 6)
    condition = Condition((Context(text, MASKS[0]),))
    assert_close(
        ours(tmp_path, model, x, t, condition),
        theirs(model, x, t, text, encoder_attention_mask=MASKS[0]),
    )


@pytest.mark.parametrize("scale_shift", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_audioldm_with_its_vector(tmp_path, size, scale_shift):
    torch.manual_seed(0)
    down, up = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
    model = diffusers.UNet2DConditionModel(
        **settings(
            ("DownBlock2D", down, down),
            (up, up, "UpBlock2D"),
            cross_attention_dim=CHANNELS,
            attention_head_dim=8,
            class_embed_type="simple_projection",
            projection_class_embeddings_input_dim=10,
            class_embeddings_concat=True,
            resnet_time_scale_shift="scale_shift" if scale_shift else "default",
        )
    )
    x, t, vector = normal(2, *size, 4), np.array([0, 999]), normal(2, 10)
    assert_close(
        ours(tmp_path, model, x, t, Condition(vector=vector)),
        theirs(model, x, t, None, class_labels=vector),
    )


@pytest.mark.parametrize(
    ("contexts", "depth"), [((None, 6, 5), 1), ((None, 6, 5, None), 2)]
)
@pytest.mark.parametrize("size", SIZES)
def test_audioldm2(tmp_path, size, contexts, depth):
    from diffusers.pipelines.audioldm2.modeling_audioldm2 import (
        AudioLDM2UNet2DConditionModel,
    )

    torch.manual_seed(0)
    down, up = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
    model = AudioLDM2UNet2DConditionModel(
        **settings(
            ("DownBlock2D", down, down),
            (up, up, "UpBlock2D"),
            cross_attention_dim=(contexts,) * 3,
            attention_head_dim=(1, 2, 3),
            transformer_layers_per_block=depth,
        )
    )
    x, t = normal(2, *size, 4), np.array([12, 500])
    first, second = normal(2, 7, 6), normal(2, 4, 5)
    condition = Condition((Context(first, MASKS[0]), Context(second, MASKS[1])))
    assert_close(
        ours(tmp_path, model, x, t, condition),
        theirs(
            model,
            x,
            t,
            first,
            encoder_attention_mask=MASKS[0],
            encoder_hidden_states_1=second,
            encoder_attention_mask_1=MASKS[1],
        ),
    )


def test_what_we_write_runs_in_diffusers():
    from diffusers.pipelines.audioldm2.modeling_audioldm2 import (
        AudioLDM2UNet2DConditionModel,
    )

    cfg = UNetConfig(
        in_channels=4,
        out_channels=3,
        channels=CHANNELS,
        attention=(False, False, True),
        heads=(1, 2, 3),
        contexts=(None, None),
        vector_dim=10,
        groups=4,
    )
    params = random_params(build_unet(cfg))
    model = AudioLDM2UNet2DConditionModel.from_config(unet_json(cfg))
    arrays = export_unet(cfg, params)
    model.load_state_dict({n: torch.from_numpy(a) for n, a in arrays.items()})
    x, t, vector = normal(1, 6, 8, 4), np.array([77]), normal(1, 10)
    assert_close(
        jax.jit(build_unet(cfg).apply)(params, x, t, Condition(vector=vector)),
        theirs(model, x, t, None, class_labels=vector),
    )


def test_original_names_as_diffusers_converts_them():
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    cfg = UNetConfig(
        in_channels=4,
        out_channels=3,
        channels=CHANNELS,
        attention=(True, True, False),
        heads=(4, 4, 4),
        contexts=(6,),
        groups=4,
    )
    params = random_params(build_unet(cfg))
    original = {
        f"model.diffusion_model.{name}": torch.from_numpy(array)
        for name, array in export_unet(cfg, params, "original").items()
    }
    converted = convert_ldm_unet_checkpoint(original, unet_json(cfg))
    expected = export_unet(cfg, params)
    assert converted.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(converted[name].numpy(), array)
