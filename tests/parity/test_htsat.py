"""CLAP's audio tower against transformers', over random weights and statistics."""

import jax
import numpy as np
import pytest

from diffusion_audio.models.htsat import build_htsat
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained.htsat import (
    BASE,
    TINY,
    TINY_FUSION,
    clap_audio_config,
    export_clap_audio,
    find_clap_audio,
)
from tests.networks import normal

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def tower(**options):
    settings = {"patch_embeds_hidden_size": 8, "depths": [2, 2], "spec_size": 32}
    settings |= {"num_attention_heads": [2, 4], "num_mel_bins": 8, "window_size": 4}
    settings |= {"projection_dim": 6} | options
    width = settings["patch_embeds_hidden_size"]
    settings["hidden_size"] = width * 2 ** (len(settings["depths"]) - 1)
    return transformers.ClapAudioConfig(**settings)


def randomised(config):
    """A tower none of whose arrays is at zero or one."""
    torch.manual_seed(0)
    model = transformers.ClapAudioModelWithProjection(config).eval()
    with torch.no_grad():
        for name, array in model.named_parameters():
            scale = array[0].numel() ** -0.5 if array.ndim > 1 else 0.2
            array.copy_(torch.randn(array.shape) * scale)
            if array.ndim == 1 and "norm" in name and "weight" in name:
                array.add_(1.0)
        for name, array in model.named_buffers():
            if name.endswith("running_mean"):
                array.copy_(torch.randn(array.shape))
            if name.endswith("running_var"):
                array.copy_(0.5 + torch.rand(array.shape))
    return model


def both(config, frames, longer=None):
    """Embeddings and features of one tower, by us and by transformers."""
    model = randomised(config)
    cfg = clap_audio_config(config.to_dict(), "it")
    arrays = {name: array.numpy() for name, array in model.state_dict().items()}
    params = find_clap_audio(cfg, arrays, "it").model
    exported = export_clap_audio(cfg, params)
    assert exported.keys() == arrays.keys()
    for name in arrays.keys() - {n for n in arrays if n.endswith("_tracked")}:
        np.testing.assert_array_equal(exported[name], arrays[name])
    mel = 3 * normal(2, frames, cfg.n_mels, cfg.inputs)
    flags = None if longer is None else torch.tensor(longer)[:, None]
    with torch.no_grad():
        images = torch.from_numpy(mel.transpose(0, 3, 1, 2))
        features = model.audio_model(images, is_longer=flags).pooler_output
        out = model.audio_projection(features)
    expected = torch.nn.functional.normalize(out, dim=-1), features
    network = build_htsat(cfg)

    @jax.jit
    def ours(params, *inputs):
        features = network.apply(params, *inputs, method="features")
        return network.apply(params, *inputs), features

    flags = None if longer is None else np.array(longer)
    return ours(params, mel, flags), [x.numpy() for x in expected]


def assert_close(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        assert np.ptp(other, axis=0).max() > 1e-2  # the clips differ
        np.testing.assert_allclose(mine, other, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        ({}, 101),
        ({}, 128),
        ({"window_size": 5, "spec_size": 48}, 150),  # windows beyond the image
        ({"num_mel_bins": 7, "spec_size": 32}, 128),  # bands are stretched, too
        (
            {"patch_embeds_hidden_size": 12, "depths": [1, 3, 2], "spec_size": 64}
            | {"num_attention_heads": [1, 2, 6], "num_mel_bins": 16},
            201,
        ),
    ],
    ids=["short", "full", "padded", "bands", "three stages"],
)
def test_tower(options, frames):
    ours, theirs = both(tower(**options), frames)
    assert_close(ours, theirs)


@pytest.mark.parametrize("longer", [[True, True], [False, True], [False, False]])
def test_fusion(longer):
    config = tower(enable_fusion=True, fusion_type="aff_2d", aff_block_r=2)
    ours, theirs = both(config, 101, longer)
    assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("cfg", "options"),
    [
        (TINY, {}),
        (TINY_FUSION, {"enable_fusion": True, "fusion_type": "aff_2d"}),
        (
            BASE,
            {
                "patch_embeds_hidden_size": 128,
                "depths": [2, 2, 12, 2],
                "hidden_size": 1024,
            },
        ),
    ],
    ids=["tiny", "tiny fusion", "base"],
)
def test_published_sizes_have_as_many_parameters(cfg, options):
    config = transformers.ClapAudioConfig(**options)
    with torch.device("meta"):
        model = transformers.ClapAudioModelWithProjection(config)
    assert clap_audio_config(config.to_dict(), "it") == cfg
    expected = {name: tuple(x.shape) for name, x in model.named_parameters()}
    params = abstract_params(build_htsat(cfg))
    zeros = jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), params)
    shapes = {n: a.shape for n, a in export_clap_audio(cfg, zeros).items()}
    assert {name: shapes[name] for name in expected} == expected
    buffers = {name for name, _ in model.named_buffers()}
    assert shapes.keys() == expected.keys() | buffers
