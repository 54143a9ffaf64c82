"""Folders that `convert` wrote and somebody uploaded: known, fetched and checked."""

import hashlib
import json

import jax
import numpy as np
import pytest
from huggingface_hub import constants, file_download

from diffusion_audio.errors import UserError
from diffusion_audio.generation.convert import convert
from diffusion_audio.pretrained import system_folder
from diffusion_audio.pretrained.hub import fetch, located, origin
from diffusion_audio.pretrained.published_system import PublishedSystem
from diffusion_audio.pretrained.read_system import read_system
from tests.pretrained.hub_server import files_of

HUB_ID = "someone/tuned"
MANIFEST = "weights.json"
DENOISER = "weights/denoiser.safetensors"


SYSTEM = PublishedSystem(
    config={"data": {"seconds": 1.0}},
    parts={
        "denoiser": lambda: {"a": {"kernel": np.ones((2, 3), np.float32)}},
        "conditioners/text": lambda: {"table": np.arange(4, dtype=np.float32)},
    },
    files={},
    latent_scale=0.5,
    extras={"conditioners/text/clap.json": "{}", "conditioners/text/t5.json": "[]"},
)


@pytest.fixture
def written(tmp_path):
    system_folder.write(tmp_path / "written", SYSTEM)
    return files_of(tmp_path / "written")


@pytest.fixture
def online(server, written, monkeypatch):
    """A hub with a folder of ours, and more in it."""
    server.hub_id = HUB_ID
    server.files = dict(written)
    server.files |= {"README.md": b"x", "model.safetensors": b"x", "notes.json": b"{}"}
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1 << 20)
    return server


def manifest(online, change):
    """Has the hub hold another manifest."""
    listed = json.loads(online.files[MANIFEST])
    change(listed)
    online.files[MANIFEST] = json.dumps(listed).encode()


def test_what_its_manifest_lists_and_nothing_beside(online, written):
    folder = located(HUB_ID)
    assert files_of(folder) == written  # by way of links to blobs
    found = read_system(folder)
    assert (found.config, found.extras) == (SYSTEM.config, SYSTEM.extras)
    assert found.latent_scale == SYSTEM.latent_scale
    for name, part in SYSTEM.parts.items():
        jax.tree.map(np.testing.assert_array_equal, found.parts[name](), part())
    found = origin(folder)["files"]
    assert found.keys() == written.keys()
    assert found[DENOISER] == hashlib.sha256(written[DENOISER]).hexdigest()
    online.asked.clear()
    assert fetch(HUB_ID) == folder
    assert online.asked == []


def test_it_is_a_model_wherever_one_is_asked_for(online, written, tmp_path):
    again = files_of(convert(HUB_ID, tmp_path / "again"))
    assert {name: again[name] for name in written} == written


def test_what_another_program_downloaded_is_used(online, written):
    for name in written:
        if name != DENOISER:
            file_download.hf_hub_download(HUB_ID, name)
    with pytest.raises(UserError, match="nor whole in the cache of downloads"):
        fetch(HUB_ID, offline=True)
    file_download.hf_hub_download(HUB_ID, DENOISER)
    assert files_of(fetch(HUB_ID, offline=True)) == written


def test_a_changed_file_is_refused_before_it_is_downloaded(online):
    online.files[DENOISER] += b"x"
    with pytest.raises(UserError, match=rf"has another {DENOISER} than its weights.js"):
        fetch(HUB_ID)
    assert set(online.sent) == {"config.json", MANIFEST}


def test_a_small_file_that_was_changed_is_refused_when_it_is_read(online):
    config = online.files["config.json"]
    online.files["config.json"] = config.replace(b"\n", b" \n")
    with pytest.raises(UserError, match=r"config\.json is not what was written"):
        read_system(fetch(HUB_ID))


def test_a_listed_file_that_lacks(online):
    del online.files[DENOISER]
    with pytest.raises(UserError, match=rf"lacks {DENOISER}, which its weights\.json"):
        fetch(HUB_ID)


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "weights/../../x", ""])
def test_a_manifest_that_names_what_is_elsewhere(online, name):
    entry = {"path": name, "sha256": "0" * 64}
    manifest(online, lambda listed: listed["parts"].update(denoiser=[entry]))
    with pytest.raises(UserError, match="expected files of the folder"):
        fetch(HUB_ID)
    assert set(online.sent) == {"config.json", MANIFEST}


def test_a_manifest_of_another_form(online):
    manifest(online, lambda listed: listed.update(form=99))
    with pytest.raises(UserError, match=r"weights\.json is of another form \(99"):
        fetch(HUB_ID)
