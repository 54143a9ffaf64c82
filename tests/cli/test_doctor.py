import dataclasses

import pytest

from diffusion_audio.cli import doctor
from diffusion_audio.cli.main import main

CHECKS = dict(doctor.checks())


@pytest.mark.parametrize("name", CHECKS)
def test_this_machine_is_well(name):
    finding = CHECKS[name]()
    assert finding.state in ("ok", "note"), finding.text
    assert finding.text


def test_a_check_that_raises_is_a_broken_part():
    def check():
        raise OSError("no libsndfile")

    assert doctor.examine(check) == ("broken", "OSError: no libsndfile")


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("note", 0), ("broken", 1)])
def test_the_exit_code_says_whether_something_is_broken(
    monkeypatch, capsys, state, code
):
    def checks():
        yield "python", lambda: doctor.Finding("ok", "fine")
        yield "disk", lambda: doctor.Finding(state, "[tfds] found")

    monkeypatch.setattr(doctor, "checks", checks)
    assert main(["doctor"]) == code
    out, err = capsys.readouterr()
    assert "[tfds] found" in out
    assert state in out
    assert err == ""


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", ("jax", "no-such-package"))
    assert doctor._packages() == ("broken", "not installed: no-such-package")


def test_a_failing_collective_is_broken(monkeypatch):
    monkeypatch.setattr(doctor, "COLLECTIVE", "raise SystemExit('no such luck')")
    assert doctor._collective() == ("broken", "no such luck")


def test_a_full_disk_is_broken(monkeypatch):
    @dataclasses.dataclass
    class Usage:
        free: int

    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: Usage(2**20))
    assert doctor._disk().state == "broken"


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
    finding = doctor._presets(path)
    assert finding.state == "broken"
    assert "vae.py:bad: KeyError: 'bad'" in finding.text
    path.write_text(path.read_text().replace("1}", "1, 'bad': 2}"))
    assert doctor._presets(path) == ("ok", "presets: good, bad")
    assert doctor._presets(package / "shared.py") == ("ok", "shared by the others")
