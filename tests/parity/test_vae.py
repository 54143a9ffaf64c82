"""The autoencoder against diffusers' AutoencoderKL, read from a folder it wrote."""

import jax
import numpy as np
import pytest
import safetensors.numpy

from diffusion_audio.models.vae import VAEConfig, build_vae
from diffusion_audio.pretrained.vae import export_vae, import_vae
from diffusion_audio.pretrained.vae_config import scaling_factor, vae_config, vae_json
from tests.networks import normal, random_params
from tests.parity import folders

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")


def assert_close(ours, theirs):
    theirs = theirs.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize(
    ("in_channels", "channels", "latent", "blocks"),
    [(1, (8, 12, 16), 8, 2), (3, (8, 12, 16, 16), 4, 2), (1, (8, 16), 2, 1)],
    ids=["audioldm", "stable-diffusion", "one-block"],
)
@pytest.mark.parametrize("attention", [True, False])
def test_encoder_and_decoder(
    tmp_path, in_channels, channels, latent, blocks, attention
):
    torch.manual_seed(0)
    levels = len(channels)
    model = diffusers.AutoencoderKL(
        in_channels=in_channels,
        out_channels=in_channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=channels,
        layers_per_block=blocks,
        latent_channels=latent,
        norm_num_groups=4,
        mid_block_add_attention=attention,
    )
    config, arrays = folders.read(model, tmp_path)
    cfg = vae_config(config, "it")
    assert scaling_factor(config, "it") == model.config.scaling_factor
    network = build_vae(cfg)
    params = import_vae(cfg, arrays, "it")
    image = normal(2, 5 * cfg.factor, 3 * cfg.factor, in_channels)
    moments = jax.jit(lambda p, x: network.apply(p, x, method="encode"))(params, image)
    with torch.no_grad():
        dist = model.encode(torch.from_numpy(image).permute(0, 3, 1, 2)).latent_dist
        rebuilt = model.decode(dist.mean).sample
    assert_close(moments.mean, dist.mean)
    assert_close(moments.log_variance, dist.logvar)
    z = dist.mean.permute(0, 2, 3, 1).numpy()
    decode = jax.jit(lambda p, z: network.apply(p, z, method="decode"))
    assert_close(decode(params, z), rebuilt)


def test_original_names_as_diffusers_converts_them():
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    cfg = VAEConfig(in_channels=1, channels=(4, 8, 8), latent=2, groups=4)
    params = random_params(build_vae(cfg))
    original = {
        f"first_stage_model.{name}": torch.from_numpy(array)
        for name, array in export_vae(cfg, params, "original").items()
    }
    config = vae_json(cfg, 0.5)
    converted = convert_ldm_vae_checkpoint(original, config)
    expected = export_vae(cfg, params)
    model = diffusers.AutoencoderKL.from_config(config)
    model.load_state_dict({n: torch.from_numpy(a) for n, a in expected.items()})
    assert converted.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(converted[name].numpy(), array)


def test_old_names_of_attention_as_diffusers_reads_them(tmp_path):
    """Diffusers' published autoencoders of 2022 have them; both read the same."""
    torch.manual_seed(0)
    cfg = VAEConfig(in_channels=1, channels=(4, 8), latent=2, groups=4)
    model = diffusers.AutoencoderKL.from_config(vae_json(cfg, 0.5))
    _, new = folders.read(model, tmp_path / "new")
    old = {}
    for name, array in new.items():
        for word, before in (
            ("to_q", "query"),
            ("to_k", "key"),
            ("to_v", "value"),
            ("to_out.0", "proj_attn"),
        ):
            name = name.replace(f"attentions.0.{word}.", f"attentions.0.{before}.")
        old[name] = array
    model.save_pretrained(tmp_path / "old")
    safetensors.numpy.save_file(old, tmp_path / "old" / folders.WEIGHTS)
    again = diffusers.AutoencoderKL.from_pretrained(tmp_path / "old")
    assert len(old.keys() - new.keys()) == 16
    for name, tensor in again.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), new[name])
    jax.tree.map(
        np.testing.assert_array_equal,
        import_vae(cfg, old, "it"),
        import_vae(cfg, new, "it"),
    )
