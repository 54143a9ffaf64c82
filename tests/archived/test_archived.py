"""Runs of each format that was released: they are read, and they go on."""

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from diffusion_audio.runs.checkpoint import Checkpoints
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.runs.session import sessions
from diffusion_audio.training import run
from tests.archived.make import config, make_clips, scores

FORMATS = sorted(Path(__file__).parent.glob("format_*"))


@pytest.fixture(params=FORMATS, ids=lambda path: path.name)
def archived(request, tmp_path, monkeypatch) -> Path:
    """A copy of a run, beside its clips."""
    monkeypatch.chdir(tmp_path)
    make_clips(Path("audio"))
    shutil.copytree(request.param, "archived")
    return Path("archived")


def test_it_is_read_as_it_was(archived, caplog):
    expected = json.loads((archived / "expected.json").read_text())
    with caplog.at_level(logging.WARNING):
        np.testing.assert_allclose(
            scores(archived / "run"), expected["scores"], atol=1e-4
        )
        assert [row["step"] for row in read_metrics(archived / "run")] == [1, 2, 2]
        (session,) = sessions(archived / "run")
    assert session["last_step"] == 2
    assert not caplog.records
    checkpoints = Checkpoints(archived / "run" / "checkpoints")
    assert checkpoints.newest_good() == 2
    checkpoints.close()


@pytest.mark.slow
def test_it_goes_on(archived):
    assert run.train(config(3), archived / "run")["step"] == 3
