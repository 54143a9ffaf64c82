"""Every network against the same written out in NumPy: its wiring, whole.

Parameters are random throughout, and those before a norm so small that its epsilon
counts.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.models.condition import Condition, Context
from diffusion_audio.models.discriminators import MRDConfig, build_mrd
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.models.text import TextConfig, build_text
from diffusion_audio.models.unet import UNetConfig, build_unet
from diffusion_audio.models.vae import VAEConfig, build_vae
from diffusion_audio.nn.conv1d import remove_weight_norm
from tests.models import reference
from tests.networks import normal, random_params

SMALL = {"conv_in", "conv1", "conv2", "conv_shortcut", "time_emb_proj", "proj_in"}
SMALL |= {"proj_out", "attn"}  # the second is the VAE's


def params_of(network, small=SMALL):
    """Random, those of ``small`` a few thousandths."""

    def scaled(path, leaf):
        names = {part.key for part in path}
        return leaf * np.float32(4e-3) if names & small else leaf

    return jax.tree_util.tree_map_with_path(scaled, random_params(network))


def same(got, expected):
    scale = np.abs(expected).max()
    assert scale > 0.01
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * scale)


def test_unet():
    """Odd sizes, two levels with other heads, two stacks a place, mask and vector."""
    cfg = UNetConfig(
        in_channels=3,
        out_channels=2,
        channels=(4, 8),
        attention=(True, True),
        heads=(1, 2),
        blocks=1,
        contexts=(None, 6),
        vector_dim=7,
        groups=2,
    )
    net = build_unet(cfg)
    params = params_of(net)
    x, t = normal(2, 5, 3, 3), np.array([3, 900])
    tokens, vector = normal(2, 4, 6), normal(2, 7)
    mask = np.array([[True, False, True, False], [False, True, True, True]])
    condition = Condition((Context(tokens, jnp.asarray(mask)),), vector)
    got = jax.jit(net.apply)(params, x, jnp.asarray(t), condition)
    streams = [None, (tokens, mask)]
    same(got, reference.unet(params, cfg, x, t, streams, vector))


def test_vae():
    cfg = VAEConfig(channels=(4, 8), blocks=2, latent=3, groups=2)
    net = build_vae(cfg)
    params = params_of(net)
    image, z = normal(2, 6, 4, 1), normal(2, 3, 2, 3)
    moments = jax.jit(lambda p, x: net.apply(p, x, method="encode"))(params, image)
    mean, log_variance = reference.vae_encode(params, cfg, image)
    same(moments.mean, mean)
    same(moments.log_variance, log_variance)
    got = jax.jit(lambda p, z: net.apply(p, z, method="decode"))(params, z)
    same(got, reference.vae_decode(params, cfg, z))


def test_text():
    cfg = TextConfig(11, 6, contexts=(5, 3), vector_dim=4, width=8, depth=2, heads=2)
    net = build_text(cfg)
    params = params_of(net, {"token_embedding", "position_embedding"})
    tokens = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9]])
    condition = jax.jit(net.apply)(params, jnp.asarray(tokens))
    contexts, vector = reference.text(params, cfg, tokens)
    for got, expected in zip(condition.contexts, contexts, strict=True):
        same(got.tokens, expected)
    same(condition.vector, vector)


GENERATOR = HiFiGANConfig(
    n_mels=3,
    channels=8,
    rates=(3, 2),
    kernels=(6, 5),  # the first stage has a sample more than its share
    resblock_kernels=(3, 5),
    dilations=((1, 3), (1, 2)),
    weight_norm=False,
    input_shift=-0.5,
)


@pytest.mark.parametrize(
    "options",
    [{}, {"cut": "start"}, {"resblock": "2", "activation": "snake"}],
    ids=["pairs", "cut at the start", "single, snake"],
)
def test_hifigan(options):
    cfg = dataclasses.replace(GENERATOR, **options)
    net = build_hifigan(cfg)
    params = params_of(net, set())
    mel = normal(2, 5, 3)
    got = jax.jit(net.apply)(params, mel)
    same(got, reference.hifigan(params, cfg, mel))


def test_mrd():
    cfg = MRDConfig(windows=(32, 16), channels=3, edges=(0.0, 0.5, 1.0))
    net = build_mrd(cfg)
    params = params_of(net, set())
    wave = normal(2, 64)
    plain = jax.tree.map(np.asarray, remove_weight_norm(params))
    expected = reference.mrd(plain, cfg, wave)
    outputs = jax.jit(net.apply)(params, wave)
    for output, maps in zip(outputs, expected, strict=True):
        for got, theirs in zip(output.features, maps, strict=True):
            same(got, theirs)
