import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion.flow import RectifiedFlow
from diffusion_audio.diffusion.process import make_process, q_sample, snr
from diffusion_audio.diffusion.schedule import make_schedule
from diffusion_audio.errors import UserError


def test_the_straight_line():
    flow = make_process("rectified_flow")
    t = jnp.array([0.0, 0.25, 1.0])
    np.testing.assert_array_equal(flow.alpha(t), [1, 0.75, 0])
    np.testing.assert_array_equal(flow.sigma(t), [0, 0.25, 1])
    x0, eps = jax.random.normal(jax.random.key(0), (2, 3, 4))
    xt = q_sample(flow, x0, t, eps)
    np.testing.assert_array_equal(xt[0], x0[0])
    np.testing.assert_array_equal(xt[2], eps[2])
    np.testing.assert_allclose(xt[1], 0.75 * x0[1] + 0.25 * eps[1], rtol=1e-6)
    assert flow.network_time(t).tolist() == [0, 250, 1000]
    assert flow.pure_noise


def test_log_snr_and_its_inverse():
    flow, t = RectifiedFlow(), jnp.linspace(0.0, 1.0, 41)
    log_snr = flow.log_snr(t)
    assert np.isfinite(log_snr).all()
    expected = np.log(snr(flow, t[1:-1]))
    np.testing.assert_allclose(log_snr[1:-1], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(flow.time_of(np.asarray(log_snr)), t, atol=1e-6)
    levels = flow.levels(np.asarray(log_snr))
    np.testing.assert_allclose(levels, [1 - t, t], atol=1e-6)


@pytest.mark.parametrize("shift", [0.5, 3.0])
def test_time_shift_is_the_shift_of_a_chain(shift):
    u = jnp.linspace(0.05, 0.95, 7)
    plain, moved = RectifiedFlow(), RectifiedFlow(shift)
    drop = plain.log_snr(plain.time(u)) - moved.log_snr(moved.time(u))
    np.testing.assert_allclose(drop, np.full(7, 2 * np.log(shift)), rtol=1e-4)
    np.testing.assert_allclose(moved.share(moved.time(u)), u, rtol=1e-5)
    chains = [make_schedule("cosine", shift=s).log_snrs for s in (1.0, shift)]
    np.testing.assert_allclose((chains[0] - chains[1])[:7], drop, rtol=1e-4)


def test_snr_of_a_chain():
    s, t = make_schedule("linear"), jnp.array([0, 500, 999])
    expected = (s.alpha_bars / (1 - s.alpha_bars))[np.asarray(t)]
    np.testing.assert_allclose(snr(s, t), expected, rtol=1e-5)
    np.testing.assert_allclose(np.exp(s.log_snr(t)), expected, rtol=1e-5)


def test_impossible_processes():
    for options, message in (
        ({"name": "rectified_flow", "steps": 10}, "rectified_flow process 'steps'"),
        ({"name": "rectified_flow", "shift": -1.0}, "shift must be above 0"),
        ({"name": "cosnie"}, "did you mean 'cosine'"),
    ):
        with pytest.raises(UserError, match=message):
            make_process(**options)
