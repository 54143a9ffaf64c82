"""What is lost or damaged between two starts: nothing starts over by itself."""

import errno
import json
import shutil
from pathlib import Path

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.runs import manifest
from diffusion_audio.runs.checkpoint import Checkpoints
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.runs.session import sessions
from tests.training.test_loop import run, same


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of 12 steps, of which 8 and 12 are saved."""
    workdir = tmp_path_factory.mktemp("whole") / "run"
    return *run(workdir), workdir


@pytest.fixture
def workdir(whole, tmp_path) -> Path:
    """A copy of it."""
    shutil.copytree(whole[2], tmp_path / "run")
    return tmp_path / "run"


def good(workdir: Path) -> int | None:
    checkpoints = Checkpoints(workdir / "checkpoints")
    try:
        return checkpoints.newest_good()
    finally:
        checkpoints.close()


@pytest.mark.parametrize("left", ["folder", "nothing"])
def test_lost_checkpoints_are_missed(workdir, left):
    before = (workdir / "metrics.jsonl").read_bytes()
    shutil.rmtree(workdir / "checkpoints")
    if left == "folder":
        (workdir / "checkpoints/steps").mkdir(parents=True)
    for _ in range(2):  # the refusal makes nothing that would let the next one pass
        with pytest.raises(UserError, match=r"lost its checkpoints.*step 12 was saved"):
            run(workdir)
    assert (workdir / "metrics.jsonl").read_bytes() == before


def test_metrics_alone_say_that_checkpoints_are_lost(workdir):
    shutil.rmtree(workdir / "checkpoints")
    (workdir / "provenance.json").unlink()
    for _ in range(2):
        with pytest.raises(UserError, match=r"metrics\.jsonl goes to step 12"):
            run(workdir)


def test_allow_fresh_begins_again_and_keeps_what_there_was(whole, workdir):
    before = (workdir / "metrics.jsonl").read_bytes()
    shutil.rmtree(workdir / "checkpoints")
    state, _ = run(workdir, allow_fresh=True)
    assert same(state, whole[0])
    assert (workdir / "metrics.jsonl.1").read_bytes() == before
    assert (workdir / "provenance.json.1").exists()
    (session,) = sessions(workdir)
    assert session["first_step"] == 1


def test_a_fresh_start_that_fails_moves_nothing(workdir):
    shutil.rmtree(workdir / "checkpoints")

    def gone():
        raise UserError("the vae is gone")

    with pytest.raises(UserError, match="the vae is gone"):
        run(workdir, allow_fresh=True, frozen=gone)
    assert not list(workdir.glob("*.1"))
    with pytest.raises(UserError, match="has lost its checkpoints"):
        run(workdir)


def test_what_a_file_browser_leaves_is_no_damage(workdir):
    (workdir / "checkpoints/steps/12/.DS_Store").touch()
    (workdir / "checkpoints/steps/12/params/.nfs0001").touch()
    assert good(workdir) == 12
    (workdir / "checkpoints/steps/12/params/more").touch()
    assert good(workdir) == 8


def test_a_file_that_cannot_be_read_is_damage(workdir, monkeypatch, caplog):
    def broken(path):
        if "12/params" in str(path):
            raise OSError(errno.EIO, "Input/output error")
        return sha256(path)

    sha256 = manifest._sha256
    monkeypatch.setattr(manifest, "_sha256", broken)
    assert good(workdir) == 8
    assert "cannot be read (Input/output error)" in caplog.text


def test_a_run_killed_before_its_first_checkpoint_needs_no_flag(whole, workdir):
    """It has metrics and an empty folder, and no step that was ever saved."""
    shutil.rmtree(workdir / "checkpoints")
    (workdir / "checkpoints/steps").mkdir(parents=True)
    (workdir / "provenance.json").unlink()
    state, _ = run(workdir)
    assert same(state, whole[0])
    assert (workdir / "metrics.jsonl.1").exists()


DAMAGE = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_text(""),
    "no table": lambda path: path.write_text("[1]"),
    "null": lambda path: path.write_text("null"),
    "lists nothing": lambda path: path.write_text("{}"),
    "not UTF-8": lambda path: path.write_bytes(b'{"\xff": 1}'),
    "lists fewer": lambda path: path.write_text(
        json.dumps(dict(list(json.loads(path.read_text()).items())[1:]))
    ),
    "leads out": lambda path: path.write_text(
        json.dumps({"../manifests/8.json": manifest._sha256(path.with_name("8.json"))})
    ),
    "a wrong sum": lambda path: path.write_text(
        json.dumps(json.loads(path.read_text()) | {"12/_CHECKPOINT_METADATA": None})
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_manifest_falls_back_and_its_step_is_kept(workdir, kind, caplog):
    path = workdir / "checkpoints/manifests/12.json"
    DAMAGE[kind](path)
    assert good(workdir) == 8
    assert caplog.text.count("step 12 passed over") == 1
    if kind == "missing":
        files = len(list((workdir / "checkpoints/steps/12").rglob("*")))
        run(workdir)
        aside = workdir / "checkpoints/aside/12/12"
        assert len(list(aside.rglob("*"))) == files
        assert good(workdir) == 12


@pytest.mark.parametrize("name", ["data", "params", "_CHECKPOINT_METADATA"])
def test_a_step_without_one_of_its_parts_is_passed_over(workdir, name):
    path = workdir / "checkpoints/steps/12" / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert good(workdir) == 8


def test_a_step_whose_folder_is_gone_is_missed(workdir, caplog):
    shutil.rmtree(workdir / "checkpoints/steps/12")
    assert good(workdir) == 8
    assert "its files are missing" in caplog.text


def test_all_manifests_lost_is_refused_and_can_be_put_aside(whole, workdir):
    shutil.rmtree(workdir / "checkpoints/manifests")
    with pytest.raises(UserError, match=r"every checkpoint .* --allow_fresh"):
        run(workdir)
    state, _ = run(workdir, allow_fresh=True)
    assert same(state, whole[0])
    assert {p.name for p in (workdir / "checkpoints/aside").iterdir()} == {"8", "12"}


def test_a_save_that_was_cut_off_is_dropped_without_asking(whole, workdir, caplog):
    saving = workdir / "checkpoints/saving"
    (workdir / "checkpoints/steps/12").rename(saving / "12.orbax-checkpoint-tmp")
    (workdir / "checkpoints/manifests/12.json").unlink()
    state, _ = run(workdir)
    assert same(state, whole[0])
    assert "the save of step 12 was cut off" in caplog.text
    assert not list(saving.iterdir())
    assert not (workdir / "checkpoints/aside").exists()


def test_a_sealed_step_killed_before_it_had_its_place_gets_it(workdir):
    (workdir / "checkpoints/steps/12").rename(workdir / "checkpoints/saving/12")
    checkpoints = Checkpoints(workdir / "checkpoints")
    checkpoints.prepare()
    assert checkpoints.newest_good() == 12
    checkpoints.close()


def test_a_reader_makes_nothing(tmp_path):
    assert good(tmp_path / "run") is None
    assert not list(tmp_path.iterdir())


def test_an_unreadable_position_is_one_line(whole, workdir):
    step = workdir / "checkpoints/steps/12"
    (data,) = (p for p in (step / "data").iterdir() if p.name == "metadata")
    for text, line in (("{", "cannot be read"), ("[1]", "has no position")):
        data.write_text(text)
        manifest.write(step, workdir / "checkpoints/manifests/12.json")
        with pytest.raises(UserError, match=f"step 12 in .* {line}"):
            run(workdir)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", '{"sessions": 1}', '{"sessions": [{"first_step": 1}]}', "\0"],
)
def test_a_damaged_provenance_is_one_line_and_stays(workdir, text):
    path = workdir / "provenance.json"
    path.write_text(text)
    with pytest.raises(
        UserError, match=r"provenance\.json is damaged.*or move it away"
    ):
        run(workdir)
    assert path.read_text() == text


def test_an_evaluation_that_was_killed_is_made_up_for(whole, workdir):
    rows = read_metrics(workdir)
    path = workdir / "metrics.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows if r["split"] != "eval"))
    run(workdir)
    assert read_metrics(workdir) == rows
    run(workdir)
    assert read_metrics(workdir) == rows
