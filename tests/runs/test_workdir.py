import subprocess

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.runs import workdir
from diffusion_audio.runs.workdir import read_json, write_json

DAMAGED = [b"", b"[1]", b"null", b"{", b"\xff\xfe", b"[" * 100_000]


@pytest.mark.parametrize("data", DAMAGED)
def test_a_damaged_config_is_one_line(tmp_path, data):
    path = tmp_path / workdir.CONFIG
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"config\.json is (no|not valid)"):
        workdir.read_config(tmp_path)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """One with code, a recipe and a table, which `workdir` takes for its own."""
    names = ("diffusion_audio/training/workdir.py", "configs/a.py", "experiments/t.md")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("1\n")
    person = ("-c", "user.name=A", "-c", "user.email=a@b.c")
    for words in (("init", "-q"), ("add", "."), (*person, "commit", "-qm", "first")):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(workdir, "__file__", str(tmp_path / names[0]))
    return tmp_path


def test_provenance_counts_changes_of_code_and_recipes_only(repository):
    found = workdir.provenance()
    assert len(found["commit"]) == 40
    assert not found["uncommitted_changes"]
    (repository / "experiments/t.md").write_text("2\n")
    assert not workdir.provenance()["uncommitted_changes"]
    (repository / "configs/a.py").write_text("2\n")
    recipe = workdir.provenance()["uncommitted_changes"]
    assert recipe
    (repository / "diffusion_audio/training/workdir.py").write_text("2\n")
    assert workdir.provenance()["uncommitted_changes"] not in ("", recipe)


def test_an_array_of_numbers_is_one_line(tmp_path):
    value = {
        "a": [1, -2.5e-07, None],
        "b": [],
        "c": [[1, 2], [3]],
        "d": ["[\n1\n]", "x"],
    }
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "a.json") == value
    assert '  "a": [1, -2.5e-07, null],\n  "b": [],\n' in text
    assert "    [1, 2],\n    [3]\n" in text
    assert '    "x"\n' in text
