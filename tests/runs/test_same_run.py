import json
import logging

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.runs import components, same_run
from diffusion_audio.runs.workdir import provenance, write_json


class Clips:
    """A source as far as resuming asks it."""

    def __init__(self, **clips):
        self._clips = clips

    def inventory(self):
        return dict(self._clips)

    def fingerprint(self):
        return json.dumps(self._clips, sort_keys=True)


CONFIG = {
    "task": "diffusion",
    "audio": {"sample_rate": 16_000},
    "data": {"source": "folder:a", "seconds": 1.0},
    "train": {"steps": 10},
    "components": {
        "autoencoder": {
            "task": "vae",
            "data": {"source": "x"},
            "run": "runs/vae",
            "hash": "1",
        },
        "vocoder": {"task": "vocoder", "run": "runs/vocoder", "hash": "2"},
    },
}


def changed(**groups):
    config = json.loads(json.dumps(CONFIG))
    for name, values in groups.items():
        config[name] |= values
    return config


def saved(first, last, **more):
    """The record of a session that saved a step."""
    made = provenance([]) | {"first_step": first, "last_step": last, "seconds": {}}
    return made | more


@pytest.fixture
def run(tmp_path):
    """A work directory in which step 5 was saved."""
    write_json(tmp_path / "config.json", CONFIG)
    write_json(tmp_path / "provenance.json", {"sessions": [saved(1, 5)]})
    return tmp_path


def trained_on(workdir, **splits):
    """Puts on record that the run was trained on some clips."""
    data = same_run.Data(
        "folder:a",
        {name: split.fingerprint() for name, split in splits.items()},
        {split.fingerprint(): split.inventory() for split in splits.values()},
    )
    write_json(workdir / "data.json", data.kept())
    session = saved(1, 5, data=data.about())
    write_json(workdir / "provenance.json", {"sessions": [session]})


def compared(workdir, accept_changes=False, **splits):
    return same_run.require_same_data(
        workdir, "folder:b", splits, accept_changes=accept_changes
    )


def test_places_do_not_make_another_run(run):
    vae = {"task": "vae", "run": "elsewhere/vae", "hash": "1", "train": {"steps": 9}}
    parts = CONFIG["components"] | {"autoencoder": vae}
    moved = changed(data={"source": "folder:/b/"}, components=parts)
    same_run.require_same(run, moved)
    assert same_run.content_hash(moved) == same_run.content_hash(CONFIG)


def test_length_may_change(run):
    same_run.require_same(run, changed(train={"steps": 20}))
    same_run.require_same(run, changed(data={"skip_budget": 0.5}))


def test_other_settings_make_another_run(run):
    with pytest.raises(UserError, match=r"data\.seconds: 1\.0 there, 2\.0 here"):
        same_run.require_same(run, changed(data={"seconds": 2.0}))
    other = changed(data={"seconds": 2.0})
    assert same_run.content_hash(other) != same_run.content_hash(CONFIG)


def test_a_setting_that_came_later_is_as_it_was_before():
    old = {"optimizer": {"learning_rate": 0.1}}
    for name, same in [("adamw", True), ("muon", False)]:
        new = {"optimizer": {"learning_rate": 0.1, "name": name}}
        assert (same_run.content(old) == same_run.content(new)) is same
        assert same_run.content(new) == new
    assert same_run.content({"train": {}}) == {"train": {}}


def test_other_weights_at_the_same_place_make_another_run(run):
    vae = CONFIG["components"]["autoencoder"] | {"hash": "9"}
    other = changed(components={"autoencoder": vae})
    with pytest.raises(
        UserError, match=r"autoencoder\.hash: .*components\.autoencoder="
    ) as e:
        same_run.require_same(run, other)
    assert f"--config.components.autoencoder={run} goes on" in str(e.value)


def test_a_directory_with_nothing_saved_takes_any_config(run):
    (run / "provenance.json").unlink()
    same_run.require_same(run, changed(data={"seconds": 2.0}))
    (run / "metrics.jsonl").write_text('{"step": 1, "split": "train"}\n')
    assert same_run.begun(run)  # the folder of checkpoints is lost
    steps = run / "checkpoints" / "steps"
    steps.mkdir(parents=True)
    same_run.require_same(run, changed(data={"seconds": 2.0}))
    (steps / "5").mkdir()  # saved, its record lost
    with pytest.raises(UserError):
        same_run.require_same(run, changed(data={"seconds": 2.0}))


def test_the_same_data_may_lie_elsewhere(run):
    train, held = Clips(a="1", b="2"), Clips(c="3")
    trained_on(run, train=train, held=held)
    data = compared(run, train=train, held=held)
    assert data.changes == ()
    assert data.about()["source"] == "folder:b"


def test_changed_data_are_refused_with_the_difference(run):
    trained_on(run, train=Clips(a="1", b="2", c="3"), held=Clips(d="4"))
    with pytest.raises(UserError) as error:
        compared(run, train=Clips(a="1", b="9", e="5"), held=Clips())
    line = str(error.value)
    assert "split train: 1 gone (c), 1 new (e), 1 changed (b)" in line
    assert "split held" in line
    assert "--accept_changed_data" in line


def test_many_changes_are_counted_and_some_named(run):
    names = {f"clip{i}": "0" for i in range(10)}
    trained_on(run, train=Clips(**names, kept="0"))
    with pytest.raises(UserError, match=r"10 gone \(clip0, clip1, clip2 and 7 more\)"):
        compared(run, train=Clips(kept="0"))


def test_changed_data_taken_on_purpose_are_on_record(run, caplog):
    trained_on(run, train=Clips(a="1", b="2"))
    caplog.set_level(logging.WARNING)
    data = compared(run, accept_changes=True, train=Clips(a="1"))
    assert data.changes == ("split train: 1 gone (b)",)
    assert data.about()["changes"] == data.changes
    assert "going on with changed data" in caplog.text


def test_what_was_accepted_is_what_counts_from_then_on(run):
    trained_on(run, train=Clips(a="1", b="2"))
    data = compared(run, accept_changes=True, train=Clips(a="1"))
    sessions = json.loads((run / "provenance.json").read_text())["sessions"]
    sessions.append(saved(6, 9, data=data.about()))
    write_json(run / "provenance.json", {"sessions": sessions})
    write_json(run / "data.json", data.kept())
    assert compared(run, train=Clips(a="1")).changes == ()
    with pytest.raises(UserError, match=r"1 new \(b\)"):
        compared(run, train=Clips(a="1", b="2"))


def test_what_was_accepted_and_never_saved_does_not_count(run):
    """The session was stopped before its first checkpoint, its inventory written."""
    trained_on(run, train=Clips(a="1", b="2"))
    data = compared(run, accept_changes=True, train=Clips(a="1"))
    write_json(run / "data.json", data.kept())
    assert compared(run, train=Clips(a="1", b="2")).changes == ()
    with pytest.raises(UserError, match=r"train: 1 gone \(b\)"):
        compared(run, train=Clips(a="1"))


def test_without_a_record_of_sessions_the_inventory_decides(run):
    trained_on(run, train=Clips(a="1", b="2"))
    (run / "checkpoints" / "steps" / "5").mkdir(parents=True)
    (run / "provenance.json").unlink()
    assert compared(run, train=Clips(a="1", b="2")).changes == ()
    with pytest.raises(UserError, match=r"train: 1 gone \(b\)"):
        compared(run, train=Clips(a="1"))


def test_a_damaged_record_of_data_is_one_line(run):
    for data in (3, {"fingerprint": 3}):
        write_json(run / "provenance.json", {"sessions": [saved(1, 5, data=data)]})
        with pytest.raises(UserError, match=r"provenance\.json is damaged"):
            compared(run, train=Clips(a="1"))


@pytest.mark.parametrize("damage", ["{", "{}", '{"clips": 3, "fingerprint": [1]}'])
def test_without_the_inventory_the_fingerprint_decides(run, damage):
    trained_on(run, train=Clips(a="1", b="2"))
    (run / "data.json").write_text(damage)
    assert compared(run, train=Clips(a="1", b="2")).changes == ()
    with pytest.raises(UserError, match=r"fingerprint .* then, .* now"):
        compared(run, train=Clips(a="1"))


def test_a_component_that_has_gone_is_taken_from_the_run(run, monkeypatch):
    monkeypatch.chdir(run)
    own = CONFIG["components"]["autoencoder"]
    for gone in ("runs/vae", "runs/vae/", "./runs/vae", f"{run}/runs/vae"):
        assert same_run.own_component(run, "autoencoder", gone) == own
    assert (
        same_run.own_component(run, "autoencoder", f"{run}/.") == own
    )  # the run itself
    (run / "runs/vae").mkdir(parents=True)  # emptied
    assert same_run.own_component(run, "autoencoder", "runs/vae") == own
    with pytest.raises(UserError, match=f"runs/another.*components.autoencoder={run} "):
        same_run.own_component(run, "autoencoder", "runs/another")
    write_json(run / "runs/vae/config.json", {})
    assert (
        same_run.own_component(run, "autoencoder", "runs/vae") is None
    )  # read from there
    assert same_run.own_component(run, "classifier", "runs/c") is None
    assert same_run.own_component(None, "autoencoder", "runs/vae") is None
    (run / "provenance.json").unlink()
    assert same_run.own_component(run, "autoencoder", "runs/another") is None


def test_a_component_is_loaded_only_as_it_was(run, tmp_path, monkeypatch):
    place = tmp_path / "vocoder"
    place.mkdir()
    (place / "generator.safetensors").write_bytes(b"trained on since")
    part = {"task": "vae", "run": str(place), "hash": "1"}
    config = {"task": "diffusion", "components": {"autoencoder": part}}
    with pytest.raises(UserError, match="not the one that this run began with"):
        components.load_components(config)
    monkeypatch.setattr(components, "read_saved", lambda *path: path)
    kept = components.load_components(config, run)
    assert kept == {"autoencoder": (run, "frozen", "autoencoder")}
    part["hash"] = same_run.weights_hash(place)
    monkeypatch.setitem(components._LOADED, "autoencoder", lambda *_: "read")
    assert components.load_components(config, run) == {"autoencoder": "read"}


def test_weights_are_known_by_what_they_hold(tmp_path):
    one, other = tmp_path / "a", tmp_path / "b"
    for directory in (one, other):
        directory.mkdir()
        (directory / "generator.safetensors").write_bytes(b"weights")
    assert same_run.weights_hash(one) == same_run.weights_hash(other)
    (other / "generator.safetensors").write_bytes(b"weight5")
    assert same_run.weights_hash(one) != same_run.weights_hash(other)
    for number, directory in enumerate((tmp_path / "c", tmp_path / "d")):
        manifests = directory / "checkpoints" / "manifests"
        manifests.mkdir(parents=True)
        (manifests / "9.json").write_text(f'{{"9/state": "{number}"}}')
        (manifests / "10.json").write_text('{"10/state": "same"}')
    assert same_run.weights_hash(tmp_path / "c") == same_run.weights_hash(
        tmp_path / "d"
    )
    (tmp_path / "c/checkpoints/manifests/11.json").mkdir()  # damage
    assert same_run.weights_hash(tmp_path / "c") == same_run.weights_hash(
        tmp_path / "d"
    )
    assert same_run.weights_hash(tmp_path) == ""


@pytest.mark.parametrize("name", ["data.json", "metrics.jsonl", "latents"])
def test_a_directory_of_others_is_not_written_into(tmp_path, name):
    (tmp_path / "notes.txt").touch()
    same_run.require_same(tmp_path, CONFIG)  # not in the way
    (tmp_path / name).touch()
    with pytest.raises(UserError, match=f"is not of a run and holds {name}"):
        same_run.require_same(tmp_path, CONFIG)
    with pytest.raises(UserError, match="is a file; expected a directory"):
        same_run.require_same(tmp_path / name, CONFIG)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(UserError, match="a link that leads nowhere"):
        same_run.require_same(tmp_path / "link", CONFIG)


def test_the_checkpoints_of_another_run_are_no_place_for_a_run(run):
    with pytest.raises(UserError, match="lies among the checkpoints of"):
        same_run.require_same(run / "checkpoints" / "new", CONFIG)
    same_run.require_same(run / "new", CONFIG)
