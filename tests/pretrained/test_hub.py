"""Downloads, against a hub on the loopback; no other is asked."""

import dataclasses
import hashlib
import json
import os

import pytest
from huggingface_hub import constants, file_download

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import catalog, hub
from diffusion_audio.pretrained.catalog import find
from diffusion_audio.pretrained.hub import fetch, is_hub_id, located, origin
from tests.pretrained.hub_server import COMMIT, files_of, git_hash

OTHER = "someone/audioldm2-tuned"
MODEL = "cvssp/audioldm2-music"


def content(path: str) -> bytes:
    """Of no model; a file of weights is long enough to be broken off."""
    return path.encode() * (1 if path.endswith((".json", ".txt", ".model")) else 200)


def model(*more: str) -> dict[str, bytes]:
    """All files of a model of the catalog, and others."""
    names = [file.path for file in find(MODEL).files]
    return {path: content(path) for path in (*names, *more)}


@pytest.fixture
def online(server):
    """A hub that holds a model of the catalog."""
    server.hub_id, server.files = MODEL, model()
    return server


@pytest.fixture
def said(monkeypatch):
    lines = []
    monkeypatch.setattr(
        hub.logging, "info", lambda text, *values: lines.append(text % values)
    )
    return lines


def blobs(folder):
    return {path.name for path in (folder.parent.parent / "blobs").iterdir()}


def test_a_model_of_the_catalog_and_nothing_beside(online, said):
    extra = ("README.md", "pipeline.py", "unet/other.json", "vae/model.safetensors")
    online.files = model(*extra, "vae/diffusion_pytorch_model.fp16.safetensors")
    folder = fetch("audioldm2-music")
    assert files_of(folder) == model()
    assert set(online.sent) == set(model())
    digest = hashlib.sha256(content("vae/diffusion_pytorch_model.safetensors"))
    found = origin(folder)
    assert (found["hub"], found["commit"]) == (MODEL, COMMIT)
    assert found["files"].keys() == model().keys()
    assert (
        found["files"]["vae/diffusion_pytorch_model.safetensors"] == digest.hexdigest()
    )
    assert found["files"]["model_index.json"] == git_hash(b"model_index.json")
    assert said == [f"{MODEL}: CC-BY-NC-SA-4.0, non-commercial use only"]


def test_a_second_time_nobody_is_asked_and_nothing_said(online, said):
    folder = fetch(MODEL)
    online.asked.clear()
    said.clear()
    assert fetch(MODEL) == fetch(MODEL, offline=True) == fetch(MODEL, COMMIT) == folder
    assert (online.asked, said) == ([], [])


def test_what_was_cleared_from_the_cache_is_downloaded_again(online):
    folder = fetch(MODEL)
    lost = folder / "unet" / "config.json"
    lost.resolve().unlink()
    online.sent.clear()
    assert files_of(fetch(MODEL)) == model()
    assert online.sent == {"unet/config.json": len(content("unet/config.json"))}


def test_the_commit_that_is_pinned_is_the_one_asked_for(online, monkeypatch):
    pinned = dataclasses.replace(find(MODEL), revision=COMMIT)
    monkeypatch.setattr(catalog, "MODELS", (pinned,))
    fetch(MODEL)
    [asked] = [path for path in online.asked if "/revision/" in path]
    assert asked.endswith(f"/revision/{COMMIT}?blobs=true")
    assert not (hub_folder() / "refs").exists()


def hub_folder():
    [folder] = [p for p in os.scandir(constants.HF_HUB_CACHE) if p.name[0] != "."]
    return hub.Path(folder.path)


def test_a_break_within_a_download_is_gone_over(online):
    path = "unet/diffusion_pytorch_model.safetensors"
    online.broken = {path: [1000, 500]}
    folder = fetch(MODEL)
    assert (folder / path).read_bytes() == content(path)
    assert online.sent[path] == len(content(path))


def test_a_download_that_ends_goes_on_the_next_time(online):
    path = "unet/diffusion_pytorch_model.safetensors"
    size = len(content(path))
    online.broken = {path: [1000] + [0] * 10}
    line = f"{path} broke off after 1000 of {size} bytes"
    with pytest.raises(UserError, match=line):
        fetch(MODEL)
    assert not list((hub_folder() / hub.RECORDS).glob("*"))
    online.broken = {}
    folder = fetch(MODEL)
    assert files_of(folder) == model()
    assert online.sent == {name: len(data) for name, data in model().items()}
    assert not [name for name in blobs(folder) if name.endswith(".part")]


def test_a_part_that_is_longer_than_the_file_is_no_part_of_it(online):
    path = "unet/diffusion_pytorch_model.safetensors"
    digest = hashlib.sha256(content(path)).hexdigest()
    place = hub.Path(constants.HF_HUB_CACHE) / "models--cvssp--audioldm2-music/blobs"
    place.mkdir(parents=True)
    (place / f"{digest}.part").write_bytes(b"x" * len(content(path)) * 2)
    assert (fetch(MODEL) / path).read_bytes() == content(path)


def test_a_server_that_begins_again(online):
    path = "unet/diffusion_pytorch_model.safetensors"
    online.broken = {path: [1000] + [0] * 10}
    with pytest.raises(UserError, match="broke off"):
        fetch(MODEL)
    online.broken, online.ranges = {}, False
    assert (fetch(MODEL) / path).read_bytes() == content(path)


@pytest.mark.parametrize("change", [slice(None, None, -1), slice(3), slice(0)])
@pytest.mark.parametrize(
    "path", ["unet/diffusion_pytorch_model.safetensors", "vae/config.json"]
)
def test_a_file_of_another_hash_is_not_kept(online, path, change):
    online.changed = {path: content(path)[change]}
    with pytest.raises(UserError, match=rf"{path} arrived with \d+ bytes and the hash"):
        fetch(MODEL)
    assert not (hub_folder() / "snapshots" / COMMIT / path).exists()
    assert not list((hub_folder() / "blobs").glob("*.part"))


def test_a_list_without_what_the_catalog_lists(online):
    online.files = {p: d for p, d in model().items() if p[:13] != "text_encoder_"}
    with pytest.raises(UserError, match="has no text_encoder_2, of the files that the"):
        fetch(MODEL)
    del online.files["unet/diffusion_pytorch_model.safetensors"]
    with pytest.raises(UserError, match="has no weights in unet/"):
        fetch(MODEL)
    assert not online.sent


def test_a_file_of_another_hash_than_the_catalog(online, monkeypatch):
    path = "unet/diffusion_pytorch_model.safetensors"
    size, digest = len(content(path)), hashlib.sha256(content(path)).hexdigest()

    def known(**facts):
        files = [
            dataclasses.replace(f, **facts) if f.path == path else f
            for f in find(MODEL).files
        ]
        return (dataclasses.replace(find(MODEL), files=tuple(files)),)

    right, wrong = known(size=size, sha256=digest), known(sha256="0" * 64)
    longer = known(size=size + 1)
    for models in (wrong, longer):
        with monkeypatch.context() as patch:
            patch.setattr(catalog, "MODELS", models)
            with pytest.raises(UserError, match=f"another {path} than the catalog"):
                fetch(MODEL)
    assert not online.sent
    monkeypatch.setattr(catalog, "MODELS", right)
    fetch(MODEL)


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ({"rfilename": "../../.bashrc"}, r"'../../.bashrc', which is no path within"),
        ({"rfilename": "/etc/passwd"}, "no path within it; nothing was downloaded"),
        ({"rfilename": "unet/../../x.json"}, "no path within it"),
        ({"rfilename": "unet\\..\\x.json"}, "no path within it"),
        ({"size": -1}, "with a size of -1"),
        ({"size": 1 << 60}, "with a size of"),
        ({"size": None}, "with a size of None"),
        ({"size": "many"}, "with a size of many"),
        ({"blobId": "../x"}, "without a hash"),
        ({"blobId": None}, "without a hash"),
        ({"lfs": {"size": 1}}, "no list of a model's files"),
    ],
    ids=str,
)
def test_lists_that_are_not_to_be_trusted(online, entry, line, tmp_path):
    ordinary = {"rfilename": "x.json", "size": 1, "blobId": "a" * 40}
    online.listed = [*online.siblings(MODEL), ordinary | entry]
    with pytest.raises(UserError, match=line.replace("\\", "\\\\")):
        fetch(MODEL)
    assert not online.sent
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("answer", [[1], [{"size": 3}], "x"], ids=str)
def test_an_answer_that_is_no_list(online, answer):
    online.listed = answer
    with pytest.raises(UserError, match="is no list of a model's files"):
        fetch(MODEL)


def test_a_model_that_is_in_no_catalog(online, said):
    taken = model()
    online.hub_id = OTHER
    online.files = model("modeling.py", "unet/diffusion_pytorch_model.bin", "run.onnx")
    online.files["safety_checker/model.safetensors"] = b"x"
    assert files_of(fetch(OTHER)) == taken
    assert said == [f"{OTHER}: licence mit"]


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ((404, "RepoNotFound"), "no such folder here, and no such model on the hub"),
        ((401, "RepoNotFound"), "no such model on the hub; if it is private, `hf auth"),
        ((404, "RevisionNotFound"), "on the hub has no revision 'v7'"),
        ((403, "GatedRepo"), "asks to accept its terms first"),
        ((500, ""), "hub cannot be reached. On a machine that reaches it: `hf down"),
    ],
    ids=str,
)
def test_a_hub_that_has_no_such_model(online, status, line):
    online.status = status
    with pytest.raises(UserError, match=line) as caught:
        fetch(OTHER, "v7")
    assert "\n" not in str(caught.value)


def test_without_network_it_says_what_to_fetch_and_where_to_put_it(online):
    revision = "c8e7e189d324425c05c4c2f81214041ef4107983"
    with pytest.raises(UserError) as caught:
        fetch("audioldm2", offline=True)
    assert str(caught.value) == (
        "cvssp/audioldm2 is not here as a folder, nor whole in the cache of downloads, "
        "and the hub cannot be reached. On a machine that reaches it: `hf download "
        f"cvssp/audioldm2 --revision {revision} --include '*.json' --include '*.txt' "
        "--include '*.model' --include '*.safetensors' --local-dir audioldm2`; bring "
        "that folder here and give its path, --model=audioldm2"
    )
    assert online.asked == []


def test_no_network_is_the_same_as_offline(online, monkeypatch, said):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"the hub cannot be reached\. On a"):
        fetch(MODEL)
    assert said[0].startswith("the hub cannot be reached: ")


def test_what_another_program_downloaded_is_used(online, said):
    for name in model():
        file_download.hf_hub_download(MODEL, name)
    folder = fetch(MODEL, offline=True)
    assert files_of(folder) == model()
    assert origin(folder)["files"]["unet/config.json"] == git_hash(b"unet/config.json")
    assert said == [f"{MODEL}: CC-BY-NC-SA-4.0, non-commercial use only"]


def test_what_another_program_left_halfway_is_completed(online):
    for name in model():
        if not name.startswith("vocoder"):
            file_download.hf_hub_download(MODEL, name)
    with pytest.raises(UserError, match="nor whole in the cache"):
        fetch(MODEL, offline=True)
    online.sent.clear()
    assert files_of(fetch(MODEL)) == model()
    assert set(online.sent) == {"vocoder/config.json", "vocoder/model.safetensors"}


def test_other_programs_find_what_was_downloaded_here(online, monkeypatch):
    folder = fetch(MODEL)
    found = file_download.try_to_load_from_cache(MODEL, "vae/config.json")
    assert found == str(folder / "vae" / "config.json")
    from huggingface_hub import scan_cache_dir

    report = scan_cache_dir(constants.HF_HUB_CACHE)
    assert not report.warnings
    assert [repo.repo_id for repo in report.repos] == [MODEL]


@pytest.mark.parametrize("revision", ["../x", "a b", "-x", "x/../../y"])
def test_revisions_that_are_none(online, revision):
    with pytest.raises(UserError, match="expected a branch, a tag or a commit"):
        fetch(MODEL, revision)
    assert online.asked == []


def test_a_folder_that_is_here_goes_first(online, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / MODEL).mkdir(parents=True)
    assert located(MODEL) == hub.Path(MODEL)
    with pytest.raises(UserError, match="is a folder here; leave it out"):
        located(MODEL, "v1")
    with pytest.raises(UserError, match="and run is no id of one; leave it out"):
        located("run", "v1")
    assert located("no/such/run") == hub.Path("no/such/run")
    assert located("audioldm2-music").name == COMMIT
    assert origin(tmp_path / MODEL) is None


@pytest.mark.parametrize("text", ["cvssp/audioldm2", "a/b", "A_1/b.c-d"])
def test_texts_that_are_ids(text):
    assert is_hub_id(text)


@pytest.mark.parametrize(
    "text",
    ["audioldm2", "/a/b", "a/b/c", "~/a", "a/..", "../a", "a/b\n", "a/"],
)
def test_texts_that_are_no_ids(text):
    assert not is_hub_id(text)


def test_a_name_that_is_neither():
    with pytest.raises(UserError, match="unknown model 'audioldm3'; did you mean"):
        fetch("audioldm3")


def test_a_record_is_plain_json(online):
    folder = fetch(MODEL)
    path = folder.parent.parent / hub.RECORDS / f"{COMMIT}.json"
    assert json.loads(path.read_text(encoding="utf-8")) == origin(folder)
    path.write_text("{", encoding="utf-8")
    assert origin(folder) is None
