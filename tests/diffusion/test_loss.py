import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion import reverse
from diffusion_audio.diffusion.flow import RectifiedFlow
from diffusion_audio.diffusion.loss import (
    Objective,
    averaged,
    diffusion_loss,
    epsilon_loss,
    example_losses,
)
from diffusion_audio.diffusion.process import q_sample
from diffusion_audio.diffusion.schedule import make_schedule
from diffusion_audio.diffusion.weighting import make_weighting
from diffusion_audio.errors import UserError

S = make_schedule("linear", 100, beta_end=0.2)
B, N, H = 8, 3, 5


def net(params, xt, t, cond, np=jnp):
    """A tiny network, in JAX or in float64 NumPy."""
    time = t[:, None] * params["time"][None]
    return np.tanh(xt @ params["in"] + time + cond) @ params["out"]


def apply(params, xt, t, cond):
    return net(params, xt, t.astype(jnp.float32) / 100, cond)


def inputs(seed=0):
    rng = np.random.default_rng(seed)
    params = {"in": (N, H), "time": (H,), "out": (H, N)}
    params = {name: rng.standard_normal(shape) for name, shape in params.items()}
    x0, eps = rng.standard_normal((2, B, N))
    cond = rng.standard_normal((B, H))
    return params, x0, rng.integers(0, 100, B), eps, cond


def loss64(params, x0, t, eps, cond):
    """The loss written again, in float64 NumPy."""
    alpha_bar = S.alpha_bars[t][:, None]
    xt = np.sqrt(alpha_bar) * x0 + np.sqrt(1 - alpha_bar) * eps
    return np.square(eps - net(params, xt, t / 100, cond, np)).mean()


def finite_differences(params, *rest, h=1e-5):
    grads = {name: np.zeros_like(value) for name, value in params.items()}
    for name, value in params.items():
        for at in np.ndindex(value.shape):
            ends = []
            for sign in (1, -1):
                moved = value.copy()
                moved[at] += sign * h
                ends.append(loss64(params | {name: moved}, *rest))
            grads[name][at] = (ends[0] - ends[1]) / (2 * h)
    return grads


def in_jax(tree):
    return jax.tree.map(
        lambda a: jnp.asarray(a, jnp.float32 if a.dtype == np.float64 else jnp.int32),
        tree,
    )


def grad(params, x0, t, eps, cond):
    loss = functools.partial(epsilon_loss, apply)
    return jax.value_and_grad(loss, has_aux=True)(params, S, x0, t, eps, cond)


def assert_close(a, b, tolerance):
    for name in b:
        np.testing.assert_allclose(a[name], b[name], rtol=tolerance, atol=tolerance)


def test_gradients_of_jit_and_pmap_are_the_finite_differences():
    arguments = inputs()
    truth = finite_differences(*arguments)
    params, *batch = in_jax(arguments)

    (one, _), plain = grad(params, *batch)
    np.testing.assert_allclose(one, loss64(*arguments), rtol=1e-5)
    (jitted, _), compiled = jax.jit(grad)(params, *batch)
    np.testing.assert_allclose(jitted, one, rtol=1e-6)

    def on_one_device(params, *batch):
        return jax.lax.pmean(grad(params, *batch), "devices")

    assert jax.device_count() == 4
    shards = [array.reshape(4, B // 4, *array.shape[1:]) for array in batch]
    mapped = jax.pmap(on_one_device, axis_name="devices", in_axes=(None, 0, 0, 0, 0))
    (pmapped, metrics), averaged = mapped(params, *shards)
    np.testing.assert_allclose(pmapped, np.full(4, one), rtol=1e-6)

    for gradient in (plain, compiled, jax.tree.map(lambda g: g[2], averaged)):
        assert_close(gradient, truth, 1e-4)  # float32 against float64
        assert_close(gradient, plain, 1e-6)
    # Metrics too average over devices to those of the whole batch.
    assert_close(
        jax.tree.map(lambda m: m[0], metrics),
        jax.jit(grad)(*in_jax(arguments))[0][1],
        1e-6,
    )


def test_second_call_does_not_compile():
    traces = []

    @jax.jit
    def step(*arguments):
        traces.append(0)
        return grad(*arguments)

    for seed in (0, 1):
        step(*in_jax(inputs(seed)))
    assert len(traces) == 1


def test_a_perfect_prediction_costs_nothing():
    _, x0, t, eps, _ = in_jax(inputs())
    xt = q_sample(S, x0, t, eps)

    def oracle(params, x, time, cond):
        np.testing.assert_array_equal(x, xt)
        np.testing.assert_array_equal(time, t)
        assert cond == "untouched"
        return eps

    assert epsilon_loss(oracle, {}, S, x0, t, eps, "untouched")[0] == 0
    zero = epsilon_loss(lambda p, x, t, c: 0 * x, {}, S, x0, t, eps)[0]
    np.testing.assert_allclose(zero, np.square(eps).mean(), rtol=1e-6)


def test_quarters_of_the_timesteps():
    x0 = jnp.zeros((4, 2))
    eps = jnp.array([[1.0, 1], [2, 2], [3, 3], [4, 4]])
    t = jnp.array([0, 24, 25, 99])  # two in the first quarter, none in the third
    loss, metrics = epsilon_loss(lambda p, x, t, c: 0 * x, {}, S, x0, t, eps)
    parts = [float(metrics[f"loss_t{i}"]) for i in (1, 2, 3, 4)]
    assert parts == [1 + 4, 9, 0, 16]
    assert np.mean(parts) == loss == metrics["loss"]


def test_low_precision_network_is_scored_in_float32():
    _, x0, t, eps, _ = in_jax(inputs())
    loss, _ = epsilon_loss(lambda p, x, t, c: x.astype(jnp.bfloat16), {}, S, x0, t, eps)
    assert loss.dtype == jnp.float32


def test_prediction_of_another_shape():
    _, x0, t, eps, _ = in_jax(inputs())
    with pytest.raises(UserError, match="check the network's out_channels"):
        epsilon_loss(lambda p, x, t, c: x[:, :1], {}, S, x0, t, eps)


def test_hybrid_loss_moves_the_variance_by_the_bound_alone():
    # Nichol & Dhariwal 2021, eq. 16, with the mean held fixed in the bound.
    _, x0, t, eps, _ = in_jax(inputs())
    said = {"mean": 0.8 * eps, "raw": 0.3 * x0}
    plain, hybrid = Objective(), Objective(learned_variance=True, bound_weight=0.5)

    def loss(said, objective, halves):
        def both(params, xt, t, cond):
            return jnp.concatenate([said[name] for name in halves], axis=-1)

        return diffusion_loss(both, {}, S, x0, t, eps, None, objective)[0]

    simple = jax.grad(loss)(said, plain, ["mean"])
    value, moved = jax.value_and_grad(loss)(said, hybrid, ["mean", "raw"])
    np.testing.assert_allclose(moved["mean"], simple["mean"], rtol=1e-5)
    assert np.abs(moved["raw"]).min() > 0

    output = jnp.concatenate([said["mean"], said["raw"]], axis=-1)
    xt = q_sample(S, x0, t, eps)
    p = reverse.p_reverse(S, "epsilon", output, xt, t, "learned_range")
    bits = reverse.bound_term(S, x0, xt, t, p) / (N * np.log(2))
    expected = loss(said, plain, ["mean"]) + 0.5 * S.steps * bits.mean()
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_objectives_that_cannot_be():
    zero = make_schedule("linear", 10, zero_terminal_snr=True)
    with pytest.raises(UserError, match="did you mean 'epsilon'"):
        Objective("epsilom")
    for process in (zero, RectifiedFlow()):
        Objective("v").check(process)
        with pytest.raises(UserError, match="epsilon does not give"):
            Objective().check(process)
    with pytest.raises(UserError, match="rectified_flow has none"):
        Objective("velocity", learned_variance=True).check(RectifiedFlow())
    odd = Objective(learned_variance=True)
    x = jnp.zeros((2, 3))
    with pytest.raises(UserError, match="twice the channels of the data, got 3"):
        diffusion_loss(lambda *a: x, {}, S, x, jnp.zeros(2, int), x, None, odd)


def test_the_loss_of_a_flow_by_hand():
    """Weighted, by what the paper weighs; the network is told thousandths."""
    _, x0, _, eps, _ = in_jax(inputs())
    t, flow = jnp.linspace(0.2, 0.8, B), RectifiedFlow()
    objective = Objective("velocity", make_weighting("min_snr", gamma=1.5))

    def network(params, xt, time, cond):
        np.testing.assert_allclose(time, 1000 * t, rtol=1e-6)
        return xt + cond[:, None]

    losses = example_losses(network, {}, flow, x0, t, eps, 2 * t, objective)
    u = np.asarray(t, np.float64)[:, None]
    error = eps - x0 - ((1 - u) * x0 + u * eps + 2 * u)
    # x_0 = x_t - t velocity, so an error of the velocity is t times one of x_0.
    weight = np.minimum(((1 - u) / u) ** 2, 1.5) * u**2
    expected = (weight * np.square(error)).mean(1)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)


def test_weights_of_the_examples_count_in_the_mean():
    losses, share = jnp.array([1.0, 2.0, 4.0]), jnp.array([0.1, 0.1, 0.9])
    loss, metrics = averaged(losses, share, jnp.array([3.0, 0.5, 2.0]))
    np.testing.assert_allclose(loss, (3 + 1 + 8) / 3)
    np.testing.assert_allclose(metrics["loss_t1"], 4 * (3 + 1) / 3)
    np.testing.assert_allclose(metrics["loss_t4"], 4 * 8 / 3)
