"""What is done on a disk of 6 MB that fills up; `test_full_disk` gives it one.

python -m tests.full_disk NAME DIRECTORY ANOTHER
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from diffusion_audio.cli.main import main
from diffusion_audio.data import latent_files
from diffusion_audio.errors import UserError
from diffusion_audio.runs.checkpoint import Checkpoints
from tests.data.test_latents import META, encoding
from tests.generation import test_files
from tests.training import toy
from tests.training.test_damage import Clips
from tests.training.test_loop import run


def fill(place: Path, left: int = 0) -> Path:
    """Takes all space but so many bytes, by a file of another's."""
    other = place / "other"
    with other.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            file.truncate(max(0, file.tell() - left))
    return other


def whole(place: Path, among: str) -> list[str]:
    """Names of the files below a folder; none of them is a part of one."""
    names = [path.name for path in (place / among).rglob("*") if path.is_file()]
    assert not [name for name in names if name.endswith(".tmp")], names
    return sorted(names)


def train(place: Path, here: Path) -> None:
    """Fills up after step 9 and has room again after step 21 of 24."""
    good: list[int | None] = []

    def hook(position: int) -> None:
        if position == 9:
            fill(place)
        if position == 21:
            checkpoints = Checkpoints(place / "run/checkpoints")
            good.append(checkpoints.newest_good())
            checkpoints.close()
            (place / "other").unlink()

    run(place / "run", 24, stream=toy.Stream(hook=hook))
    assert good[0] in (4, 8)  # nothing good is lost for what cannot be saved
    checkpoints = Checkpoints(place / "run/checkpoints")
    assert checkpoints.newest_good() == 24
    checkpoints.close()


def latents(place: Path, here: Path) -> None:
    fill(place, left=4096)
    with pytest.raises(UserError, match=r"cannot write the latents to .*: No space"):
        latent_files.write(place / "latents", encoding(Clips(7)), META)
    assert [path.name for path in place.iterdir()] == ["other"]


def generate(place: Path, here: Path) -> None:
    """There is room for some of the sounds."""
    with pytest.MonkeyPatch.context() as patch:
        model = test_files.stand_in(here, patch)
        fill(place, left=10 * 4096)
        words = ["generate", f"--model={model}", f"--out={place / 'out'}"]
        prompts = [f"rain and wind {i}" for i in range(30)]
        assert main([*words, "--batch_size=2", *prompts]) == 1
        made = [name for name in whole(place, "out") if name.endswith(".wav")]
        assert 0 < len(made) < len(prompts)
        for name in made:
            assert len(soundfile.read(place / "out" / name)[0]) == 50
        (place / "other").unlink()
        assert main([*words, "--batch_size=2", *prompts]) == 0
    found = json.loads((place / "out/index.json").read_text())
    assert len(found["files"]) == len(prompts)
    assert found["complete"]


def numbers(place: Path, here: Path) -> None:
    """What experiments and evaluations keep: whole, or what was there before."""
    from diffusion_audio.runs.workdir import read_json, write_json
    from diffusion_audio.study.execute import _save

    write_json(place / "numbers.json", {"values": [1.0]})
    fill(place)
    with pytest.raises(OSError, match="No space left"):
        write_json(place / "numbers.json", {"values": [0.5] * 9999})
    with pytest.raises(OSError, match="No space left"):
        _save(place / "waves.npy", np.zeros((9, 9999)))
    assert read_json(place / "numbers.json") == {"values": [1.0]}
    assert whole(place, ".") == ["numbers.json", "other"]


def score(place: Path, here: Path) -> None:
    """What was heard is there; what is made of it has no room."""
    from tests.evaluation.scoring.tiny import KEYS, clips, scored

    clips(here / "made", KEYS, samples=(80_000,))
    first = scored(here, cache=place / "cache")
    other = fill(place, left=2 * 4096)
    with pytest.raises((OSError, UserError), match=r"No space left|disk is full"):
        scored(here, cache=place / "cache")
    other.unlink()
    again = scored(here, cache=place / "cache")
    assert again.scores["IS"].value == first.scores["IS"].value
    assert whole(place, "cache") == ["heard.sqlite"]


SCENES = {scene.__name__: scene for scene in (train, latents, generate, numbers, score)}

if __name__ == "__main__":
    SCENES[sys.argv[1]](*map(Path, sys.argv[2:]))
