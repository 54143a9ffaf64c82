import dataclasses

import pytest

from diffusion_audio.cli import doctor, doctor_machine, doctor_run
from diffusion_audio.cli.finding import Finding, examine
from diffusion_audio.cli.main import main
from tests.recipes import folder_of_audio, tiny

CHECKS = dict(doctor_machine.checks())


@pytest.mark.parametrize("name", CHECKS)
def test_this_machine_is_well(name):
    finding = CHECKS[name]()
    assert finding.state in ("ok", "note"), finding.text
    assert finding.text


def test_a_check_that_raises_is_a_broken_part():
    def check():
        raise OSError("no libsndfile")

    assert examine(check) == ("broken", "OSError: no libsndfile")


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("note", 0), ("broken", 1)])
def test_the_exit_code_says_whether_something_is_broken(
    monkeypatch, capsys, state, code
):
    def checks():
        yield "python", lambda: Finding("ok", "fine")
        yield "disk", lambda: Finding(state, "[tfds] found")

    monkeypatch.setattr(doctor_machine, "checks", checks)
    assert main(["doctor"]) == code
    out, err = capsys.readouterr()
    assert "[tfds] found" in out
    assert state in out
    assert err == ""


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(doctor_machine, "PACKAGES", ("jax", "no-such-package"))
    assert doctor_machine._packages() == ("broken", "not installed: no-such-package")


def test_a_failing_collective_is_broken(monkeypatch):
    monkeypatch.setattr(
        doctor_machine, "COLLECTIVE", "raise SystemExit('no such luck')"
    )
    assert doctor_machine._collective() == ("broken", "no such luck")


def test_a_full_disk_is_broken(monkeypatch):
    @dataclasses.dataclass
    class Usage:
        free: int

    monkeypatch.setattr(doctor_machine.shutil, "disk_usage", lambda path: Usage(2**20))
    assert doctor_machine._disk().state == "broken"


def test_a_preset_that_does_not_parse_is_named(tmp_path):
    package = tmp_path / "neighbours"
    package.mkdir()
    path = package / "vae.py"
    (package / "shared.py").write_text("")
    path.write_text(
        "from ml_collections import ConfigDict\n"
        "from neighbours import shared\n"
        "PRESETS = ('good', 'bad')\n"
        "def get_config(arg):\n"
        "    return ConfigDict({'x': {'good': 1}[arg]})\n"
    )
    finding = doctor_machine._presets(path)
    assert finding.state == "broken"
    assert "vae.py:bad: KeyError: 'bad'" in finding.text
    path.write_text(path.read_text().replace("1}", "1, 'bad': 2}"))
    assert doctor_machine._presets(path) == ("ok", "presets: good, bad")
    assert doctor_machine._presets(package / "shared.py") == (
        "ok",
        "shared by the others",
    )


@pytest.fixture
def config(tmp_path):
    return tiny("vae", folder_of_audio(tmp_path / "clips"))


def found(config, workdir):
    """What the checks find, up to the first that is broken, and the verdict."""
    checks = doctor_run.checks(config, workdir)
    return dict(doctor._until_broken(checks))


def test_a_config_that_trains_here(config, tmp_path):
    config.train.keep = 3
    here = found(config, tmp_path / "not" / "there")
    assert [(name, finding.state) for name, finding in here.items()] == [
        (name, "ok")
        for name in ("config", "data", "memory", "disk", "two steps", "verdict")
    ]
    assert "a batch of 4 on 1 x cpu, 4 each" in here["config"].text
    assert "clips to learn from" in here["data"].text
    assert "M numbers), moments" in here["memory"].text
    assert "4 checkpoints of" in here["disk"].text
    assert str(tmp_path) in here["disk"].text
    assert "s a step, 3 of which take" in here["two steps"].text
    assert here["verdict"].text == "it can be trained here"
    assert [path.name for path in tmp_path.iterdir()] == ["clips"]  # nothing is written


@pytest.mark.parametrize(
    ("change", "last", "text"),
    [
        ({"data.batch_size": 6, "parallel.data": 4}, "config", "6 examples cannot be"),
        ({"data.source": "folder:nowhere"}, "data", "nowhere"),
    ],
)
def test_what_cannot_be_trained_is_said_and_no_more_is_tried(
    config, tmp_path, change, last, text
):
    config.update_from_flattened_dict(change)
    here = found(config, tmp_path)
    assert list(here)[-2:] == [last, "verdict"]
    assert here[last].state == here["verdict"].state == "broken"
    assert text in here[last].text
    assert here["verdict"].text == f"it cannot be trained here: see {last}"


def test_memory_and_disk_that_are_too_small(config, tmp_path, monkeypatch):
    run = doctor_run._Run(tmp_path)
    run.begin(config)
    run.open()
    assert run.memory().state == "ok"
    planned = (run._state, run._step, 0.0)  # not compiled again
    monkeypatch.setattr(doctor_run.trial, "plan", lambda *_: planned)
    whole = doctor_run.program.read(run._step).memory
    for there, state in ((whole - 1, "broken"), (whole + 1, "note"), (2**40, "ok")):
        monkeypatch.setattr(doctor_run, "_memory", lambda _, there=there: there)
        assert run.memory().state == state
    one = doctor_run.state_bytes(run._state)

    @dataclasses.dataclass
    class Usage:
        free: int

    for free, state in ((one - 1, "broken"), (one + 1, "note"), (9 * one, "ok")):
        usage = Usage(free)
        monkeypatch.setattr(doctor_run.shutil, "disk_usage", lambda _, u=usage: u)
        assert run.disk().state == state


@pytest.mark.parametrize(
    ("line", "file", "text"),
    [
        ("0::/jobs/7", "jobs/memory.max", "4096"),
        ("4:memory:/job", "memory/job/memory.limit_in_bytes", "4096"),
    ],
)
def test_the_limit_of_a_job_counts(tmp_path, line, file, text):
    own, root = tmp_path / "own", tmp_path / "groups"
    own.write_text(f"9:name=systemd:/\n{line}\n")
    (root / file).parent.mkdir(parents=True)
    (root / file).write_text(text)
    (root / "memory.max").write_text("max\n")
    assert list(doctor_run._limits(own, root)) == [4096]
    assert list(doctor_run._limits(tmp_path / "none", root)) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(3, "3 seconds"), (150, "2.5 minutes"), (9000, "2.5 hours"), (2e5, "2.3 days")],
)
def test_a_duration_is_said_in_its_own_unit(seconds, text):
    assert doctor_run._duration(seconds) == text
