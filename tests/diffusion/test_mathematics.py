"""The document of the mathematics names what exists, and its figures are made."""

import importlib
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion.process import make_process
from diffusion_audio.diffusion.timestep_samplers import TIMESTEP_SAMPLERS
from diffusion_audio.diffusion.weighting import WEIGHTINGS
from docs.make_figures import FIGURES, PROCESSES, denoised

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "mathematics.md").read_text()


def test_every_function_named_exists():
    names = re.findall(r"`([a-z_]+)\.([A-Za-z_0-9]+)`", TEXT)
    assert len(names) > 30
    for module, name in names:
        found = importlib.import_module(f"diffusion_audio.diffusion.{module}")
        assert hasattr(found, name), f"{module}.{name}"


def test_every_option_is_named():
    names = [f"`weighting.{name}`" for name in WEIGHTINGS]
    names += [f"`timestep_samplers.{name}`" for name in TIMESTEP_SAMPLERS]
    assert [name for name in names if name not in TEXT] == []


def test_every_figure_is_there():
    shown = re.findall(r"\(figures/(\w+)\.png\)", TEXT)
    assert set(shown) == set(FIGURES)
    for name in shown:
        data = (DOCS / "figures" / f"{name}.png").read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) < 300_000


@pytest.mark.parametrize("name", ["schedules", "weightings"])
def test_figures_have_a_line_for_each(name):
    lines = {"schedules": PROCESSES, "weightings": WEIGHTINGS}[name]
    for panel in FIGURES[name]().axes:
        assert len(panel.lines) == len(lines)


def test_the_way_back_ends_at_a_clip():
    clips = jax.random.normal(jax.random.key(0), (3, 4, 5))
    start = jax.random.normal(jax.random.key(1), (4, 5))
    path = denoised(make_process("cosine"), clips, start, 20)
    assert path.shape == (21, 4, 5)
    far = jnp.abs(path[-1][None] - clips).max(axis=(1, 2))
    assert np.min(far) < 0.05
