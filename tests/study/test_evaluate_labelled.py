"""A folder of recordings with labels gets its table of attributes, by flags alone."""

import numpy as np
import pytest
import soundfile

from diffusion_audio.audio import decoders
from diffusion_audio.cli.main import main
from diffusion_audio.study import results
from diffusion_audio.training import run
from tests.audio.test_decoders import FAULTY
from tests.recipes import recipe, tiny

pytestmark = pytest.mark.slow

KEYWORDS, SPEAKERS = ("no", "stop", "yes"), ("anna", "ben")


@pytest.fixture
def source(tmp_path, monkeypatch):
    """Recordings of a word each, labelled in two columns of metadata.csv.

    The decoder crashes at the last.
    """
    monkeypatch.setattr(decoders, "WORKER", FAULTY)
    folder = tmp_path / "commands"
    folder.mkdir()
    rows = ["file_name,caption,split,keyword,speaker"]
    rng = np.random.default_rng(0)
    for i in range(36):
        keyword, speaker = KEYWORDS[i % 3], SPEAKERS[i % 2]
        hertz = 200 * (1 + i % 3) * (1 + i % 2 / 2)
        wave = 0.2 * np.sin(2 * np.pi * hertz * np.arange(8192) / 16_000)
        wave += 0.01 * rng.normal(size=len(wave))
        name = f"{i}.wav" if i < 35 else "crash.wav"
        soundfile.write(folder / name, wave, 16_000)
        split = "train" if i < 18 else "validation"
        rows.append(f"{name},{speaker} says {keyword},{split},{keyword},{speaker}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return f"folder:{folder}"


def test_attributes_are_those_of_the_columns(source, tmp_path, capsys):
    config = recipe("classifier")
    config.data.update(source=source, seconds=0.512, batch_size=6)
    config.data.labels = ("keyword", "speaker")
    config.classifier.update(classes=(3, 2), channels=(4, 8), embedding=8, groups=2)
    config.train.update(steps=2, log_every=1)
    config.parallel.data = 1
    run.train(config, tmp_path / "classifier")
    run.train(tiny("vocoder", source, steps=1), tmp_path / "vocoder")
    out = tmp_path / "page"
    words = ["evaluate", f"--model={tmp_path / 'vocoder'}", f"--out={out}"]
    assert main([*words, f"--classifier={tmp_path / 'classifier'}"]) == 0
    assert capsys.readouterr().out == f"{out / 'report.html'}\n"
    found = results.read(out)
    assert found.values("adherence/keyword", "Real clips").shape == (1, 17)
    assert found.protocols["kernel"].reference_clips == 17
    text = (out / "report.html").read_text()
    for said in ("Right: keyword", "Right: speaker", "All attributes right", "33.3 %"):
        assert said in text
    assert text.count("<audio controls") == 12 * 3
