import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion.flow import RectifiedFlow
from diffusion_audio.diffusion.grid import Grid, make_grid, tail, timesteps
from diffusion_audio.diffusion.schedule import make_schedule
from diffusion_audio.errors import UserError

S = make_schedule("scaled_linear")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((1000, 4), [750, 500, 250, 0]),
        ((1000, 4, "leading", 1), [751, 501, 251, 1]),
        ((1000, 4, "leading", 1, False), [801, 601, 401, 201]),
        ((1000, 4, "trailing"), [999, 749, 499, 249]),
        ((1000, 4, "linspace"), [999, 666, 333, 0]),
        ((1000, 4, "linspace", 0, False), [999, 749, 500, 250]),
        ((10, 3), [6, 3, 0]),
        ((10, 3, "trailing"), [9, 6, 2]),
        ((5, 5, "linspace"), [4, 3, 2, 1, 0]),
    ],
)
def test_timesteps(arguments, expected):
    grid = timesteps(*arguments)
    assert grid.tolist() == expected
    assert grid.dtype == np.int32


@pytest.mark.parametrize("final", ["data", "first"])
def test_levels_are_those_of_the_schedule(final):
    grid = make_grid(S, 7, final=final)
    t = jnp.asarray(grid.t)
    np.testing.assert_allclose(grid.alpha[:-1], S.alpha(t), rtol=1e-6)
    np.testing.assert_allclose(grid.sigma[:-1], S.sigma(t), rtol=1e-6)
    last = (1.0, 0.0) if final == "data" else (grid.alpha[-2], grid.sigma[-2])
    assert (grid.alpha[-1], grid.sigma[-1]) == last  # leading ends at timestep 0


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_every_number_of_timesteps_descends(spacing):
    schedule = make_schedule(steps=200)
    for n in range(1, 201):
        grid = make_grid(schedule, n, spacing=spacing)
        assert len(grid.t) == n
        assert np.all(np.diff(grid.ratio) < 0)


def test_karras():
    """Karras et al. 2022, eq. 5, written again."""
    grid = make_grid(S, 5, spacing="karras", rho=7.0)
    alpha_bars = S.alpha_bars[[-1, 0]]
    high, low = np.sqrt((1 - alpha_bars) / alpha_bars) ** (1 / 7)
    expected = [(high + i / 4 * (low - high)) ** 7 for i in range(5)]
    np.testing.assert_allclose(grid.ratio[:-1], expected, rtol=1e-6)
    np.testing.assert_allclose(np.hypot(grid.alpha, grid.sigma), 1, rtol=1e-12)
    # The network is asked where the schedule has these levels.
    t = jnp.asarray(grid.t, jnp.float32)
    np.testing.assert_allclose(-2 * np.log(expected), S.log_snr(t), rtol=1e-4)
    assert not np.issubdtype(grid.t.dtype, np.integer)


def test_logsnr_is_even():
    steps = np.diff(make_grid(S, 9, spacing="logsnr").log_snr[:-1])
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_rectified_flow(shift):
    grid = make_grid(RectifiedFlow(shift), 4, spacing="trailing")
    share = np.array([1.0, 0.75, 0.5, 0.25])
    t = shift * share / (1 + (shift - 1) * share)
    np.testing.assert_allclose(grid.t, 1000 * t)  # what the network is told
    np.testing.assert_allclose(grid.sigma, [*t, 0])
    np.testing.assert_allclose(grid.alpha, [*(1 - t), 1])


def test_levels_between_the_timesteps():
    for process in (S, RectifiedFlow()):
        grid = make_grid(process, 10, spacing="leading", steps_offset=1)
        t, alpha, sigma = grid.locate(grid.ratio[:-1])
        np.testing.assert_allclose(t, grid.t, rtol=1e-4)
        np.testing.assert_allclose(alpha, grid.alpha[:-1], rtol=1e-6)
        np.testing.assert_allclose(sigma, grid.sigma[:-1], rtol=1e-6)


def test_tail():
    grid = make_grid(S, 8)
    last = tail(grid, 3)
    assert last.t.tolist() == grid.t[5:].tolist()
    assert last.alpha.tolist() == grid.alpha[5:].tolist()


@pytest.mark.parametrize(
    ("n", "options", "message"),
    [
        (50, {"spacing": "traling"}, "did you mean 'trailing'"),
        (50, {"final": "frist"}, "did you mean 'first'"),
        (1001, {}, r"integer in 1\.\.1000 .* got 1001"),
        (1000, {"endpoint": False}, r"integer in 1\.\.999"),
        (0, {}, "got 0"),
        (2.5, {}, "got 2.5"),
        (10, {"spacing": "trailing", "steps_offset": 1}, "set it to 0"),
        (10, {"spacing": "karras", "endpoint": False}, "leave it out"),
        (1000, {"steps_offset": 1}, "run from 1 to 1000, outside"),
        (10, {"steps_offset": -1}, "run from -1 to 899, outside"),
    ],
)
def test_impossible_grids(n, options, message):
    with pytest.raises(UserError, match=message):
        make_grid(S, n, **options)


@pytest.mark.parametrize("spacing", ["karras", "logsnr"])
def test_no_end_of_infinite_noise(spacing):
    pure = make_schedule("scaled_linear", zero_terminal_snr=True)
    with pytest.raises(UserError, match="alpha is 0 there: take 'trailing'"):
        make_grid(pure, 10, spacing=spacing)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (([], [1.0], [0.0]), "got shapes"),
        (([1], [1.0, 1.0, 1.0], [0.0]), "got shapes"),
        (([1], [0.5, np.nan], [0.5, 0.0]), "must be finite"),
        (([1], [0.5, -1.0], [0.5, 0.0]), "must not be negative"),
        (([1], [0.5, 0.0], [0.5, 0.0]), "nor both be 0"),
    ],
)
def test_impossible_levels(levels, message):
    with pytest.raises(UserError, match=message):
        Grid(*(np.array(array) for array in levels))
