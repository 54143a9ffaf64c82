import subprocess

import pytest

from diffusion_audio.training import workdir


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
