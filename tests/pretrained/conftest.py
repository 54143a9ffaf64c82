"""Systems to spoil, and a world to keep safe from them.

A canary would tell that code of a file ran, a second folder that something outside was
touched.
"""

import shutil
import sys

import pytest
from huggingface_hub import constants, file_download

from diffusion_audio.pretrained import diffusers_folder, system_folder
from diffusion_audio.pretrained.read_system import read_system
from tests.pretrained.hub_server import Hub, serving
from tests.published.folders import make

OPENED = []


def _note(event, arguments):
    if event == "open" and OPENED is not None and isinstance(arguments[0], str):
        OPENED.append(arguments[0])


sys.addaudithook(_note)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """Systems by layout: as published, without pickles, and as `convert` writes it."""
    root, made = (tmp_path_factory.mktemp(name) for name in ("small", "made"))
    make("audioldm2", root / "audioldm2")
    adapted, plain = (
        read_system(make(kind, made / kind))
        for kind in ("auffusion", "auffusion_no_adapter")
    )
    diffusers_folder.write(root / "auffusion", adapted)
    system_folder.write(root / "ours", plain)
    return root


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Where an attack takes place: what lies outside must be left as it is."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text('{"word": "the secret"}')
    shutil.copy2(sys.executable, outside / "secret.safetensors")
    before = {
        p.name: (p.stat().st_size, p.stat().st_mtime_ns) for p in outside.iterdir()
    }
    monkeypatch.chdir(outside)
    OPENED.clear()
    yield tmp_path
    after = {
        p.name: (p.stat().st_size, p.stat().st_mtime_ns) for p in outside.iterdir()
    }
    assert after == before
    assert [path for path in OPENED if "outside" in path] == []
    assert not (tmp_path / "ran").exists(), "the code of a file ran"


@pytest.fixture
def system(world, pristine):
    """Makes a copy of a small system."""

    def copy(layout):
        return shutil.copytree(pristine / layout, world / layout)

    return copy


@pytest.fixture
def server(monkeypatch, tmp_path):
    """Puts a hub in the place of the real one, and an empty cache of downloads."""
    with serving(Hub("nobody/nothing", {})) as server:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE
        template = template.replace(constants.ENDPOINT, server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100)
        monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
        yield server
