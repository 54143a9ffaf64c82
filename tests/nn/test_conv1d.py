from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from diffusion_audio.errors import UserError
from diffusion_audio.nn.conv1d import (
    Conv1d,
    TransposedConv1d,
    dilated,
    grouped_conv,
    polyphase,
    refresh_spectral,
    remove_weight_norm,
    transposed_conv,
)
from diffusion_audio.nn.functional import functional


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def transposed_by_definition(x, kernel, stride, pad):
    """Every input adds a scaled kernel to the output."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    y = np.zeros((len(x), (x.shape[1] - 1) * stride + len(kernel), kernel.shape[2]))
    for t in range(x.shape[1]):
        y[:, t * stride : t * stride + len(kernel)] += np.einsum(
            "bc,kcd->bkd", x[:, t], kernel
        )
    return y[:, pad : y.shape[1] - pad]


@pytest.mark.parametrize(
    ("width", "stride"), [(16, 8), (4, 2), (7, 3), (11, 5), (16, 5), (5, 5)]
)
def test_transposed_conv_is_its_definition(width, stride):
    x, kernel = normal(0, 2, 6, 3), normal(1, width, 3, 4)
    pad = (width - stride) // 2
    y = jax.jit(transposed_conv, static_argnums=(2, 3))(x, kernel, stride, pad)
    expected = transposed_by_definition(x, kernel, stride, pad)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    assert y.shape[1] == 6 * stride + (width - stride) % 2


@pytest.mark.parametrize(("width", "stride"), [(7, 3), (16, 5)])
def test_both_forms_of_a_transposed_conv_are_one(width, stride):
    x, kernel = normal(0, 2, 6, 3), normal(1, width, 3, 4)
    pad = (width - stride) // 2

    @partial(jax.jit, static_argnums=0)
    def both(form, x, kernel):
        y, vjp = jax.vjp(partial(form, stride=stride, pad=pad), x, kernel)
        return (y, *vjp(jnp.sin(y)))

    pairs = zip(both(polyphase, x, kernel), both(dilated, x, kernel), strict=True)
    for mine, native in pairs:
        np.testing.assert_allclose(mine, native, atol=3e-5)


@pytest.mark.parametrize(("platform", "native"), [("cpu", 0), ("cuda", 1), ("tpu", 1)])
def test_a_transposed_conv_is_a_sum_of_products_on_cpus_only(platform, native):
    x, kernel = normal(0, 2, 6, 3), normal(1, 5, 3, 4)

    def forwards(x):
        return transposed_conv(x, kernel, 2, 1)

    def backwards(x):
        return jax.grad(lambda x: jnp.sum(forwards(x) ** 2))(x)

    def convolutions(function):
        traced = jax.jit(function).trace(x)
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        return text.count("stablehlo.convolution")

    assert convolutions(forwards) == native
    assert convolutions(backwards) == 2 * native


@pytest.mark.parametrize("platform", ["cpu", "cuda"])
def test_gradients_of_groups_are_in_phases_on_cpus_only(platform):
    x, kernel = normal(0, 2, 12, 8), normal(1, 5, 4, 16)
    gradient = jax.grad(lambda kernel: jnp.sum(grouped_conv(x, kernel, 2, 2) ** 2))
    traced = jax.jit(gradient).trace(kernel)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert ("batch_group_count = 2" in text) == (platform == "cuda")


@pytest.mark.parametrize(
    ("length", "width", "stride", "groups"),
    [(37, 5, 1, 2), (37, 5, 2, 4), (40, 7, 4, 2), (38, 3, 4, 2), (12, 41, 4, 4)],
)
def test_grouped_conv_and_its_gradients_are_those_of_xla(length, width, stride, groups):
    x, kernel = normal(0, 2, length, 8), normal(1, width, 8 // groups, 16)

    def native(x, kernel):
        return lax.conv_general_dilated(
            x,
            kernel,
            (stride,),
            [(width // 2, width // 2)],
            dimension_numbers=("NHC", "HIO", "NHC"),
            feature_group_count=groups,
        )

    def ours(x, kernel):
        return grouped_conv(x, kernel, stride, groups)

    @jax.jit
    def both(x, kernel, dy):
        results = []
        for function in (ours, native):
            y, vjp = jax.vjp(function, x, kernel)
            results.append((y, *vjp(dy)))
        return results

    dy = normal(2, 2, -(-length // stride), 16)
    for got, expected in zip(*both(x, kernel, dy), strict=True):
        np.testing.assert_allclose(got, expected, atol=3e-5)


@pytest.mark.parametrize("length", [16, 17, 18])
def test_a_strided_conv_rounds_its_length_up(length):
    network = functional(lambda rngs: Conv1d((1, 2), 5, stride=3, rngs=rngs))
    y = network.apply(
        jax.jit(network.init)(jax.random.key(0)), jnp.ones((1, length, 1))
    )
    assert y.shape == (1, -(-length // 3), 2)


@pytest.mark.parametrize("kind", [Conv1d, TransposedConv1d])
def test_weight_norm_starts_as_the_plain_layer_and_folds_into_it(kind):
    more = {"stride": 2} if kind is TransposedConv1d else {}
    networks = {
        norm: functional(
            lambda rngs, n=norm: kind((3, 4), 5, norm=n, rngs=rngs, **more)
        )
        for norm in ("none", "weight")
    }
    plain = jax.jit(networks["none"].init)(jax.random.key(0))
    params = jax.jit(networks["weight"].init)(jax.random.key(0))
    assert params["g"].shape == ((1, 3, 1) if more else (1, 1, 4))
    jax.tree.map(np.testing.assert_array_equal, params["v"], plain["kernel"])
    np.testing.assert_allclose(
        remove_weight_norm(params)["kernel"], plain["kernel"], rtol=1e-6
    )

    # In training g is the norm, whatever the length of v.
    trained = params | {"g": 2.0 * params["g"], "v": 7.0 * params["v"]}
    x = normal(3, 1, 9, 3)
    np.testing.assert_allclose(
        networks["weight"].apply(trained, x),
        networks["none"].apply(remove_weight_norm(trained), x),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        remove_weight_norm(trained)["kernel"], 2 * plain["kernel"], rtol=1e-5
    )


def test_initial_values_are_uniform_in_pytorchs_bounds():
    conv = functional(lambda rngs: Conv1d((8, 64), 5, groups=2, rngs=rngs))
    up = functional(lambda rngs: TransposedConv1d((64, 8), 4, stride=2, rngs=rngs))
    for network, fan_in in ((conv, 4 * 5), (up, 8 * 4)):
        params = jax.jit(network.init)(jax.random.key(0))
        bound = fan_in**-0.5
        for leaf in params.values():
            assert 0.9 * bound < float(jnp.abs(leaf).max()) <= bound
        assert float(jnp.std(params["kernel"])) == pytest.approx(bound / 3**0.5, 0.05)


def test_spectral_norm_finds_the_first_singular_value_and_gives_u_v_no_gradient():
    network = functional(lambda rngs: Conv1d((4, 6), 3, norm="spectral", rngs=rngs))
    params = jax.jit(network.init)(jax.random.key(0))
    refresh = jax.jit(refresh_spectral)
    for _ in range(200):
        params = refresh({"layer": params})["layer"]
    x = normal(1, 2, 9, 4)
    sigma = np.linalg.norm(np.asarray(params["kernel"]).reshape(12, 6), ord=2)
    plain = functional(lambda rngs: Conv1d((4, 6), 3, rngs=rngs))
    expected = plain.apply(
        {"kernel": params["kernel"] / sigma, "bias": params["bias"]}, x
    )
    np.testing.assert_allclose(network.apply(params, x), expected, atol=1e-5)

    grads = jax.grad(lambda p: jnp.sum(network.apply(p, x) ** 2))(params)
    assert not grads["spectral_u"].any()
    assert not grads["spectral_v"].any()
    assert grads["kernel"].any()


def test_refreshed_u_v_do_not_depend_on_the_length_of_u_nor_on_v():
    network = functional(lambda rngs: Conv1d((4, 6), 3, norm="spectral", rngs=rngs))
    params = jax.jit(network.init)(jax.random.key(0))
    moved = params | {"spectral_u": 3.0 * params["spectral_u"]}
    moved |= {"spectral_v": 0.1 * params["spectral_v"]}
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        refresh_spectral(params),
        refresh_spectral(moved),
    )


def test_unknown_norm_is_named():
    with pytest.raises(UserError, match=r"unknown normalisation 'wieght'.*'weight'"):
        functional(lambda rngs: Conv1d((1, 1), 3, norm="wieght", rngs=rngs))
