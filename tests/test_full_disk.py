"""Real disks that fill up: no good file is lost, none is half there, and it is said."""

import subprocess
import sys

import pytest

from tests.full_disk import SCENES
from tests.test_layers import ROOT

MOUNT = 'mount -t tmpfs -o size=6m tmpfs "$1" && shift && exec "$@"'


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
def test_a_full_disk(tmp_path, scene):
    disk, here = tmp_path / "disk", tmp_path / "here"
    disk.mkdir()
    here.mkdir()
    alone = ["unshare", "--map-root-user", "--mount"]
    alone += ["sh", "-c", MOUNT, "sh", str(disk)]
    try:
        allowed = subprocess.run([*alone, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    if not allowed:
        pytest.skip("this machine lets nobody have a disk of one's own")
    words = [sys.executable, "-m", "tests.full_disk", scene, str(disk), str(here)]
    done = subprocess.run([*alone, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if scene == "generate":
        assert "diffusion-audio: the disk is full: " in done.stderr
    if scene == "train":
        assert "step 12 could not be saved" in done.stderr
