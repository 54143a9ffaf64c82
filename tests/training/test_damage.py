"""Damage to any file of a run: told, or harmless; nothing is silently another one."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from diffusion_audio.data import latent_files, latents
from diffusion_audio.errors import UserError
from diffusion_audio.runs import extras, same_run, side_files
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.runs.session import sessions
from diffusion_audio.runs.workdir import read_config, to_json
from tests.data.test_latents import META, encoding
from tests.data.test_pipeline import Numbers
from tests.training.test_loop import run, same
from tests.training.test_resume import good

CONFIG = {"task": "toy", "audio": {"sample_rate": 16_000}, "data": {}}
EXTRAS = {"labels.json": '{"pitch": ["low", "high"]}'}
STEPS, MORE = 12, 16


class Clips(Numbers):
    """Clips with captions and an inventory."""

    attributes: ClassVar = {}

    def describe(self, index, rng=None):
        return {name: part for name, part in self[index].items() if name != "audio"}

    def inventory(self):
        return {str(i): "0" for i in range(self.clips)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run with all that a run can have, of which steps 8 and 12 are saved."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    run(workdir, STEPS)
    data = same_run.require_same_data(workdir, "clips", {"train": Clips(7)})
    files = {"config.json": to_json(CONFIG), same_run.INVENTORY: to_json(data.kept())}
    side_files.write(workdir, files | extras.in_run(EXTRAS))
    latent_files.write(workdir / "latents", encoding(Clips(7)), META)
    return workdir


def read_all(workdir: Path) -> dict:
    """What readers find in a run, each part alone; an error in its place."""

    readers: dict[str, Callable] = {
        "config": lambda: read_config(workdir),
        "extras": lambda: dict(extras.Extras(workdir)),
        "sessions": lambda: sessions(workdir),
        "metrics": lambda: read_metrics(workdir),
        "data": lambda: same_run._recorded(workdir),
        "checkpoint": lambda: good(workdir),
        "latents": lambda: latents_of(workdir),
    }
    found = {}
    for name, read in readers.items():
        try:
            found[name] = read()
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017
            found[name] = error
        except FileNotFoundError:
            found[name] = None
    return found


def latents_of(workdir: Path) -> list:
    cache = latents.open(workdir / "latents", encoding(Clips(7)), META)
    return [cache[i]["moments"].tolist() for i in range(len(cache))]


def goes_on(workdir: Path) -> dict | UserError:
    """The last state of the run that goes on, or why it does not."""
    try:
        same_run.require_same(workdir, CONFIG)
        same_run.require_same_data(workdir, "clips", {"train": Clips(7)})
        dict(extras.Extras(workdir))
        latents_of(workdir)
        return run(workdir, MORE)[0]
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return error


def flip(path: Path, rng: np.random.Generator) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    path.write_bytes(data)


def cut(path: Path, rng: np.random.Generator) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.integers(len(data))] if data else b"")


def delete(path: Path, rng: np.random.Generator) -> None:
    path.unlink()


def zero(path: Path, rng: np.random.Generator) -> None:
    path.write_bytes(bytes(path.stat().st_size))


DAMAGE = {kind.__name__: kind for kind in (flip, cut, delete, zero)}
# All that is missed when it is gone; the rest are checkpoints, pictures and locks.
EACH = (
    *("config.json", "data.json", "extras/labels.json", "metrics.jsonl"),
    *("provenance.json", "latents/meta.json", "latents/sums.bin"),
    "latents/moments.npy",
)


def files_of(workdir: Path) -> list[str]:
    paths = (path for path in workdir.rglob("*") if path.is_file())
    return sorted(path.relative_to(workdir).as_posix() for path in paths)


def test_what_a_run_has_is_what_is_damaged_here(whole):
    others = {name for name in files_of(whole) if not name.startswith("checkpoints/")}
    others = {name for name in others if not name.startswith("tensorboard/")}
    assert others == {*EACH, "files.json"}


@pytest.fixture(scope="module")
def was(whole) -> dict:
    return read_all(whole)


def require_told(was, workdir, name, kind, rng, caplog):
    """Damages a file of a copy; whoever reads it finds what was there, or is told."""
    DAMAGE[kind](workdir / name, rng)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        found = read_all(workdir)
    other = [part for part, value in found.items() if value != was[part]]
    for part in other:
        rows = was[part]
        if part == "metrics" and found[part] == rows[: len(found[part])]:
            continue  # as a process leaves it that is killed; see `MetricLog`
        told = isinstance(found[part], UserError) or found[part] is None
        assert told or caplog.text, f"{name}: {part} is silently another"
    assert found["checkpoint"] in (8, 12)
    missed = not (workdir / name).exists() and name in EACH
    assert not missed or other or caplog.text, f"{name} is not missed"
    if name.startswith("latents/") and "latents" not in other:
        # A clip is made again from what it was made of.
        assert latents.open(workdir / "latents", encoding(Clips(7)), META)


@pytest.mark.parametrize("kind", DAMAGE)
def test_files_beside_checkpoints_are_read_as_they_were_or_missed(
    whole, was, tmp_path, kind, caplog
):
    rng = np.random.default_rng(sorted(DAMAGE).index(kind))
    for name in EACH:
        workdir = Path(shutil.copytree(whole, tmp_path / "run"))
        require_told(was, workdir, name, kind, rng, caplog)
        shutil.rmtree(workdir)


@pytest.mark.slow
def test_every_file_is_read_as_it_was_or_missed(whole, was, tmp_path, caplog):
    rng = np.random.default_rng(0)
    for name in sorted({*files_of(whole)} - {*EACH}):
        workdir = Path(shutil.copytree(whole, tmp_path / "run"))
        require_told(was, workdir, name, rng.choice(sorted(DAMAGE)), rng, caplog)
        shutil.rmtree(workdir)


@pytest.mark.slow
def test_a_run_goes_on_to_the_same_end_or_says_why_not(whole, tmp_path):
    """A hundred damages: flips, cuts and deletions of every file, at random."""
    workdir = Path(shutil.copytree(whole, tmp_path / "run"))
    state = goes_on(workdir)
    assert not isinstance(state, UserError), state
    shutil.rmtree(workdir)
    rng = np.random.default_rng(0)
    names, refused = files_of(whole), 0
    for count in range(100):
        name = names[count % len(names)]
        workdir = Path(shutil.copytree(whole, tmp_path / "run"))
        DAMAGE[("flip", "cut", "delete")[rng.integers(3)]](workdir / name, rng)
        found = goes_on(workdir)
        if isinstance(found, UserError):
            refused += 1
        else:
            assert same(found, state), name
        shutil.rmtree(workdir)
    assert refused < 50  # most of it is made good


def test_rows_of_metrics_are_whole_lines(whole):
    for text in (whole / "metrics.jsonl").read_text().splitlines():
        assert "crc32" in json.loads(text)


def test_no_token_of_the_environment_is_written_down(tmp_path, monkeypatch):
    secret = "hf_thisisnobodystoken"
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY"):
        monkeypatch.setenv(name, secret)
    run(tmp_path / "run", 4)
    paths = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert paths
    assert not [path for path in paths if secret.encode() in path.read_bytes()]
