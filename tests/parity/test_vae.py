"""The autoencoder against diffusers' AutoencoderKL."""

import jax
import numpy as np
import pytest

from diffusion_audio.models.vae import VAEConfig, build_vae
from diffusion_audio.nn.functional import abstract_params
from tests.networks import normal
from tests.parity.diffusers_names import from_state_dict

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
def test_encoder_and_decoder(in_channels, channels, latent, blocks, attention):
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
    cfg = VAEConfig(
        in_channels=in_channels,
        channels=channels,
        blocks=blocks,
        latent=latent,
        mid_attention=attention,
        groups=4,
    )
    network = build_vae(cfg)
    params = from_state_dict(abstract_params(network), model.state_dict())
    picture = normal(2, 5 * cfg.factor, 3 * cfg.factor, in_channels)
    moments = jax.jit(lambda p, x: network.apply(p, x, method="encode"))(
        params, picture
    )
    with torch.no_grad():
        dist = model.encode(torch.from_numpy(picture).permute(0, 3, 1, 2)).latent_dist
        rebuilt = model.decode(dist.mean).sample
    assert_close(moments.mean, dist.mean)
    assert_close(moments.log_variance, dist.logvar)
    z = dist.mean.permute(0, 2, 3, 1).numpy()
    decode = jax.jit(lambda p, z: network.apply(p, z, method="decode"))
    assert_close(decode(params, z), rebuilt)
