import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.models.condition import Condition, Context
from diffusion_audio.models.unet import UNetConfig, build_unet
from diffusion_audio.nn.functional import abstract_params, count
from tests.networks import normal, random_params


def tiny(**options):
    settings = {
        "in_channels": 3,
        "out_channels": 2,
        "channels": (4, 8),
        "attention": (False, True),
        "heads": (1, 2),
        "blocks": 1,
        "groups": 2,
    }
    return UNetConfig(**(settings | options))


@functools.cache
def network(**options):
    """A tiny network with its parameters, and its apply compiled."""
    net = build_unet(tiny(**(FULL | options)))
    return jax.jit(net.apply), random_params(net)


FULL = {"contexts": (None, 6), "vector_dim": 7}
X, T = normal(2, 6, 4, 3), jnp.asarray([3, 900])
TEXT = Context(normal(2, 5, 6), jnp.asarray([[1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]) > 0)
CONDITION = Condition((TEXT,), normal(2, 7))


def audioldm(base, head_width=32, **options):
    widths = tuple(base * i for i in (1, 2, 3, 5))
    return UNetConfig(
        in_channels=8,
        out_channels=8,
        channels=widths,
        attention=(False, True, True, True),
        heads=tuple(width // head_width for width in widths),
        **options,
    )


SD15 = UNetConfig(
    in_channels=4,
    out_channels=4,
    channels=(320, 640, 1280, 1280),
    attention=(True, True, True, False),
    heads=(8, 8, 8, 8),
    contexts=(768,),
)
slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("cfg", "expected"),
    [
        pytest.param(audioldm(128, vector_dim=512), 185.04, id="audioldm-s"),
        pytest.param(SD15, 859.52, id="sd-1.5", marks=slow),
        pytest.param(
            audioldm(128, contexts=(None, 768, 1024)),
            346.94,
            id="audioldm2",
            marks=slow,
        ),
        pytest.param(
            audioldm(128, contexts=(None, 1024)), 265.53, id="16k-t5", marks=slow
        ),
        pytest.param(
            audioldm(192, vector_dim=512), 415.95, id="audioldm-m", marks=slow
        ),
        pytest.param(
            audioldm(256, 64, vector_dim=512), 739.14, id="audioldm-l", marks=slow
        ),
        pytest.param(
            audioldm(128, contexts=(None, 768, 1024, None), depth=2),
            718.01,
            id="audioldm2-large",
            marks=slow,
        ),
        pytest.param(
            audioldm(128, contexts=(None, 768)), 261.93, id="speech", marks=slow
        ),
    ],
)
def test_published_parameter_counts_in_millions(cfg, expected):
    total = count(abstract_params(build_unet(cfg)))
    assert round(total / 1e6, 2) == expected


@pytest.mark.parametrize("size", [(7, 5), (1, 2)])
def test_any_height_and_width_come_back(size):
    net = build_unet(
        tiny(channels=(4, 8, 8), attention=(False, True, False), heads=(1, 2, 2))
    )
    out = jax.eval_shape(net.apply, abstract_params(net), jnp.zeros((2, *size, 3)), T)
    assert out.shape == (2, *size, 2)


def test_a_new_network_predicts_zero():
    net = build_unet(tiny(contexts=()))
    out = jax.jit(lambda key: net.apply(net.init(key), X, T))(jax.random.key(0))
    assert out.shape == (2, 6, 4, 2)
    np.testing.assert_array_equal(out, 0)


def test_time_is_read_as_integer_or_float():
    apply, params = network()
    out = apply(params, X, T, CONDITION)
    assert np.isfinite(out).all()
    assert not np.allclose(out, apply(params, X, T + 1, CONDITION), atol=1e-4)
    np.testing.assert_array_equal(
        out, apply(params, X, T.astype(jnp.float32), CONDITION)
    )


def test_examples_do_not_mix():
    apply, params = network()
    other = jax.tree.map(lambda x: x[::-1], (X, T, CONDITION))
    np.testing.assert_allclose(
        apply(params, *other)[::-1], apply(params, X, T, CONDITION), atol=1e-5
    )


def test_contexts_are_read_in_order_and_none_looks_at_the_image():
    params = abstract_params(build_unet(tiny(contexts=(None, 6, 5))))
    stacks = params["down_blocks"]["1"]["attentions"]
    inputs = [
        stacks[str(i)]["transformer_blocks"]["0"]["attn2"]["to_k"]["kernel"].shape[0]
        for i in range(3)
    ]
    assert inputs == [8, 6, 5]
    assert len(params["up_blocks"]["0"]["attentions"]) == 3 * 2


def test_every_part_of_the_condition_counts():
    apply, params = network()
    out = apply(params, X, T, CONDITION)
    leaves, tree = jax.tree.flatten(CONDITION)
    for i, leaf in enumerate(leaves):
        other = (
            1.5 * leaf + 1 if leaf.dtype == jnp.float32 else leaf.at[:, 0].set(False)
        )
        changed = tree.unflatten([*leaves[:i], other, *leaves[i + 1 :]])
        assert not np.allclose(out, apply(params, X, T, changed), atol=1e-4)


def test_masked_tokens_have_no_influence_and_no_token_at_all_is_finite():
    apply, params = network()
    out = apply(params, X, T, CONDITION)
    spoilt = TEXT._replace(tokens=jnp.where(TEXT.mask[:, :, None], TEXT.tokens, 1e3))
    other = apply(params, X, T, CONDITION._replace(contexts=(spoilt,)))
    np.testing.assert_array_equal(out, other)
    empty = TEXT._replace(mask=jnp.zeros_like(TEXT.mask))
    other = apply(params, X, T, CONDITION._replace(contexts=(empty,)))
    assert np.isfinite(other).all()


def test_vector_joins_the_time_embedding():
    _, params = network()
    assert params["class_embedding"]["kernel"].shape == (7, 16)
    assert params["mid_block"]["resnets"]["0"]["time_emb_proj"]["kernel"].shape[0] == 32


@pytest.mark.parametrize(
    ("options", "path", "shape"),
    [
        ({"projection": "linear"}, "mid_block/attentions/0/proj_in/kernel", (8, 8)),
        (
            {"depth": 2},
            "mid_block/attentions/0/transformer_blocks/1/norm1/scale",
            (8,),
        ),
        ({"blocks": 2}, "up_blocks/1/resnets/2/conv1/kernel", (3, 3, 8, 4)),
        ({"attention": (True, False)}, "up_blocks/1/attentions/1/norm/bias", (4,)),
    ],
)
def test_shape_options_reach_the_parameters(options, path, shape):
    net = build_unet(tiny(**options))
    params = leaf = abstract_params(net)
    for name in path.split("/"):
        leaf = leaf[name]
    assert leaf.shape == shape
    assert jax.eval_shape(net.apply, params, X, T).shape == (2, 6, 4, 2)


def test_bfloat16_is_near_float32():
    condition = Condition(vector=CONDITION.vector)
    single, params = network(contexts=())
    half, _ = network(contexts=(), dtype="bfloat16")
    exact, near = (f(params, X, T, condition) for f in (single, half))
    assert near.dtype == jnp.float32
    assert 0 < np.linalg.norm(near - exact) < 0.05 * np.linalg.norm(exact)


def test_bfloat16_promotes_nowhere():
    net = build_unet(tiny(**FULL, dtype="bfloat16"))
    out = jax.eval_shape(net.apply, abstract_params(net), X, T, CONDITION)
    assert out.dtype == jnp.float32


def loss_of(**options):
    net = build_unet(tiny(**FULL, **options))
    return lambda params, x: jnp.square(net.apply(params, x, T, CONDITION)).mean()


def kept(loss, params, x):
    """Bytes that the backward pass has of the forward one."""
    residuals = jax.eval_shape(lambda p, x: jax.vjp(loss, p, x)[1], params, x)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(residuals))


def test_remat_keeps_a_block_s_input_in_place_of_all_that_is_in_it():
    """Counted before compilation: XLA for CPUs computes nothing twice, and keeps it."""
    params = abstract_params(build_unet(tiny(**FULL)))
    x = jax.ShapeDtypeStruct((2, 64, 32, 3), jnp.float32)
    every, few = (kept(loss_of(remat=remat), params, x) for remat in (False, True))
    assert few < every / 2


@pytest.mark.slow
def test_remat_gives_the_same_gradient():
    _, params = network()
    once, again = (
        jax.jit(jax.grad(loss_of(remat=r)))(params, X) for r in (False, True)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), once, again
    )


def test_lists_from_json_are_taken():
    cfg = tiny(channels=[4, 8], attention=[False, True], heads=[1, 2], contexts=[None])
    assert cfg == tiny()
    assert hash(cfg) == hash(tiny())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": (1,)}, r"one value of heads for each of the 2 channels"),
        ({"attention": (True,) * 3}, r"one value of attention"),
        ({"groups": 3}, r"got 4 with groups=3"),
        ({"heads": (1, 3)}, r"got 8 with groups=2 and heads=3"),
        ({"channels": (3, 6), "groups": 3}, r"channels\[0\] must be even, got 3"),
        ({"projection": "cnv"}, r"unknown projection 'cnv'; did you mean 'conv'"),
        ({"dtype": "float64"}, r"unknown dtype 'float64'"),
    ],
)
def test_bad_configs_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        tiny(**options)


@pytest.mark.parametrize(
    ("x", "condition", "message"),
    [
        (
            normal(2, 4, 4, 1),
            Condition(),
            r"latents \[B, H, W, 3\], got \[2, 4, 4, 1\]",
        ),
        (X, Condition(), r"contexts of widths \[6\], got \[\]"),
        (X, Condition((Context(normal(2, 5, 4)),)), r"widths \[6\], got \[4\]"),
        (X, Condition((TEXT,), normal(2, 7)), r"vector of width None, got 7"),
    ],
)
def test_bad_inputs_are_refused(x, condition, message):
    net = build_unet(tiny(contexts=(6,)))
    with pytest.raises(UserError, match=message):
        jax.eval_shape(net.apply, abstract_params(net), x, T, condition)
