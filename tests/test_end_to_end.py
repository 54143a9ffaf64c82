"""Whole runs at tiny sizes on a folder of 44.1 kHz stereo: train, generate, report."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import soundfile

from diffusion_audio.cli.main import main
from diffusion_audio.errors import UserError
from diffusion_audio.generation import generate, load
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.runs.read import read_saved
from diffusion_audio.runs.session import sessions
from diffusion_audio.runs.workdir import read_config
from diffusion_audio.study import results
from diffusion_audio.study.evaluate import evaluate
from diffusion_audio.training import run
from tests.recipes import folder_of_audio, tiny

pytestmark = pytest.mark.slow  # tests/outside does the same in the fast ones, of toys


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Work directories of a tiny VAE, vocoder and diffusion run."""
    root = tmp_path_factory.mktemp("runs")
    source = folder_of_audio(root / "audio")
    for task in ("vae", "vocoder"):
        run.train(tiny(task, source), root / task)
    config = tiny("diffusion", source)
    config.components.autoencoder = str(root / "vae")
    config.components.vocoder = str(root / "vocoder")
    run.train(config, root / "diffusion")
    return root


@pytest.fixture(scope="module")
def loaded(runs):
    return load(runs / "diffusion")


@pytest.fixture
def pipeline(loaded):
    """That of the diffusion run, with nothing compiled yet."""
    return dataclasses.replace(loaded)


def test_a_run_writes_what_it_promises(runs):
    for task in ("vae", "vocoder", "diffusion"):
        made = {path.name for path in (runs / task).iterdir()}
        assert {"config.json", "checkpoints", "metrics.jsonl", "tensorboard"} <= made
        record = json.loads((runs / task / "provenance.json").read_text())
        (session,) = record["sessions"]
        assert session["config_hash"]
        assert session["data"]["fingerprint"].keys() == {"train", "validation"}
        assert {"data", "compile", "step", "evaluate"} <= session["seconds"].keys()
        assert read_metrics(runs / task)[-1]["split"] == "eval"


def test_the_diffusion_run_stands_alone(runs, loaded):
    """Its checkpoint holds VAE, vocoder and latent scale: the other runs may go."""
    assert set(loaded.frozen) == {"autoencoder", "vocoder", "latent_scale"}
    kept = read_saved(runs / "diffusion", "frozen", "autoencoder")
    averaged = read_saved(runs / "vae", "ema", "autoencoder")
    jax.tree.map(np.testing.assert_array_equal, kept, averaged)
    jax.tree.map(np.testing.assert_array_equal, loaded.frozen["autoencoder"], kept)
    components = read_config(runs / "diffusion")["components"]
    assert components["autoencoder"]["autoencoder"]["channels"] == [8]


def test_generated_files(runs, tmp_path, capsys):
    options = {"seed": 1, "steps": 2, "guidance": 2.0, "num_candidates": 2}
    prompts = ["a low tone", "<b>a</b> ../x"]
    paths = generate(runs / "diffusion", prompts, tmp_path / "a", **options)
    assert len(paths) == 4
    waves = [soundfile.read(path)[0] for path in paths]
    assert all(len(wave) == 8192 and np.isfinite(wave).all() for wave in waves)
    index = json.loads((tmp_path / "a" / "index.json").read_text())
    assert [row["prompt"] for row in index["files"]][::2] == prompts
    # All that was not said is in the index, and makes the same files again.
    names = ("seed", "negative_prompt", "duration", "num_candidates", "batch_size")
    asked = {name: index["sampling"][name] for name in ("solver", "steps", "guidance")}
    asked["solver"] = asked["solver"]["name"]
    asked |= {name: index[name] for name in (*names, "vocoder")}
    again = generate(index["model"], prompts, tmp_path / "b", **asked)
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again]
    assert (index["step"], index["duration"]) == (3, 0.512)
    own = load(runs / "diffusion").sampling
    assert index["sampling"] == dataclasses.asdict(own) | {"steps": 2, "guidance": 2.0}
    assert {"commit", "packages", "devices"} <= index.keys()
    assert index["complete"]
    assert capsys.readouterr().err.count("generate 4/4") == 2


def test_other_lengths_and_own_latents(pipeline):
    key = jax.random.key(0)
    for seconds in (0.3, 0.77):
        waves = pipeline(["a tone"], key=key, steps=2, duration=seconds)
        assert waves.shape == (1, round(16_000 * seconds))
        assert np.isfinite(waves).all()
    shape = pipeline.system.latent_shape(8192)
    zeros = jax.numpy.zeros((1, *shape))
    pipeline(["a tone"], key=key, steps=2, latents=zeros)
    with pytest.raises(UserError, match="latents of shape"):
        pipeline(["a tone"], key=key, latents=zeros[:, 1:])


def test_guidance_and_key_compile_nothing_new(pipeline):
    for seed, guidance in ((0, 1.0), (1, 3.0)):
        pipeline(["a tone"], key=jax.random.key(seed), steps=2, guidance=guidance)
    assert pipeline.programs.advance._cache_size() == 1


def test_another_solver_away_from_a_prompt(pipeline):
    plain, away = (
        pipeline(
            ["a tone"],
            key=jax.random.key(0),
            solver="unipc",
            steps=2,
            negative_prompt=negative,
        )
        for negative in ("", "a low tone")
    )
    assert pipeline.programs.advance._cache_size() == 1
    assert plain.shape == (1, 8192)
    assert not np.allclose(plain, away)
    with pytest.raises(UserError, match="did you mean 'unipc'"):
        pipeline(["a tone"], key=jax.random.key(0), solver="unpic")


def test_output_that_is_not_finite(pipeline):
    params = jax.tree.map(lambda p: p * jax.numpy.nan, pipeline.params)
    broken = dataclasses.replace(pipeline, params=params)
    with pytest.raises(UserError, match="is not finite"):
        broken(["a tone"], key=jax.random.key(0), steps=2)


def test_a_prompt_beside_others_sounds_the_same(pipeline):
    key = jax.random.key(5)
    alone = pipeline(["a low tone"], key=key, steps=2)
    beside = pipeline(["a low tone", "a high tone"], key=key, steps=2)
    np.testing.assert_allclose(alone[0], beside[0], atol=1e-4)
    # A string is one prompt; what cannot be seen in it makes no difference.
    typed = pipeline("\ufeffa\u00a0low  to\u00adne\n", key=key, steps=2)
    np.testing.assert_array_equal(typed, alone)


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ([], {}, "no prompt; give at least one"),
        ([3], {}, "expected a prompt as text, got int"),
        (
            "rain",
            {"negative_prompt": ["a", "b"]},
            "a negative prompt as text, got list",
        ),
        ("rain", {"batch_size": 0}, "batch_size must be 1 or more"),
        (["tone " * 2000], {}, "tokens"),
    ],
)
def test_what_cannot_be_is_refused_before_a_batch_is_asked_for(
    pipeline, prompts, options, message
):
    with pytest.raises(UserError, match=message):
        pipeline.batches(prompts, key=jax.random.key(0), **options)


def test_the_batch_size_changes_no_sound(pipeline):
    """Noise of the start and of a stochastic solver goes by prompt, not by batch."""
    prompts = ["a low tone", "a high tone", "a tone"]
    options = {"key": jax.random.key(5), "solver": "ddpm", "steps": 3}
    whole = pipeline(prompts, **options)
    cut = pipeline(prompts, batch_size=2, **options)  # the second is filled up
    sizes = {-(-rows // pipeline.mesh.size) for rows in (3, 2)}  # on each device
    assert pipeline.programs.advance._cache_size() == len(sizes)  # a program a size
    np.testing.assert_allclose(whole, cut, atol=1e-4)
    assert not np.allclose(whole[0], pipeline([prompts[0]] * 3, **options)[2], 0.01)
    with pytest.raises(UserError, match="batch_size must be 1 or more"):
        pipeline(prompts, batch_size=0, **options)


def test_report_of_a_set_without_attributes(runs, tmp_path):
    run.train(tiny("vocoder", f"folder:{runs / 'audio'}", steps=1), tmp_path / "other")
    options = {"captions": 2, "examples": 1, "batch_size": 1}
    options |= {"vocoder": tmp_path / "other", "split": "train"}
    page = evaluate(runs / "diffusion", tmp_path, **options)
    found = results.read(tmp_path)
    assert page.name == "report.html"
    text = page.read_text()
    assert "Griffin-Lim" in text
    assert "captions it was trained on</bdi></h1>" in text
    assert "never saw" not in text
    assert found.systems[0] == "Real clips"
    assert found.systems[-2:] == ["Vocoder", "Griffin-Lim"]
    assert len(found.systems) == 7
    assert "adherence" not in found.metrics  # without a classifier
    assert not found.values("mel_l1_full_band", "Real clips").any()
    assert found.values("mel_l1_full_band", "Generated").all()
    assert found.runs[0]["parts"]["vocoder"] == str(tmp_path / "other")
    assert "Is the signal sound?" in text


def test_a_long_prompt_is_refused(runs, tmp_path):
    with pytest.raises(UserError, match="tokens"):
        generate(runs / "diffusion", ["tone " * 2000], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_config_in_the_same_directory_is_refused(runs):
    source = f"folder:{runs / 'audio'}"
    config = tiny("vae", source)
    config.autoencoder.latent = 8
    with pytest.raises(UserError, match=r"config \(autoencoder.latent: 4 there, 8"):
        run.train(config, runs / "vae")


def test_parts_of_another_audio_spec_are_refused(runs, tmp_path):
    config = tiny("diffusion", f"folder:{runs / 'audio'}")
    config.components.autoencoder = str(runs / "vae")
    config.audio.preset = "audioldm_16k"
    with pytest.raises(UserError, match="hop_length: "):
        run.train(config, tmp_path / "run")


def test_a_run_of_another_task_is_refused(runs, tmp_path):
    config = tiny("diffusion", f"folder:{runs / 'audio'}")
    config.components.autoencoder = str(runs / "vocoder")
    with pytest.raises(UserError, match="a run of task 'vocoder'"):
        run.train(config, tmp_path / "run")
    with pytest.raises(UserError, match="text to audio needs one"):
        load(runs / "vae")
    with pytest.raises(UserError, match="is not a run"):
        load(tmp_path)


def test_the_report_of_a_vocoder(runs, tmp_path, capsys):
    model = f"--model={runs / 'vocoder'}"
    words = ["evaluate", model, f"--out={tmp_path}", "--split=train", "--captions=3"]
    assert main([*words, "--examples=2"]) == 0
    page = (tmp_path / "report.html").read_text()
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    assert "resynthesis of clips it was trained on" in page
    assert page.count("<audio controls") == 2 * 3
    found = results.read(tmp_path)
    assert found.systems == ["Real clips", "Vocoder", "Griffin-Lim"]
    assert found.values("top_band", "Griffin-Lim").shape == (1, 3)
    for system in found.systems[1:]:
        assert (found.values("mel_l1", system) > 0).all()
    assert main([*words, "--data=folder:nowhere"]) == 2  # the page is there, and ours
    assert "data folder 'nowhere'" in capsys.readouterr().err
    (tmp_path / "report.html").write_text("edited")
    assert main(words) == 2
    assert "report.html is there and was changed since" in capsys.readouterr().err
    (tmp_path / "report.html").unlink()
    assert main([*words, "--vocoder=nowhere"]) == 2
    assert "--vocoder is for diffusion runs" in capsys.readouterr().err
    assert main(["evaluate", f"--model={runs / 'vae'}", f"--out={tmp_path / 'a'}"]) == 2
    assert (
        "evaluate needs one that trained a denoiser or a vocoder"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "a").exists()


def test_a_mistake_takes_no_work_directory(runs, tmp_path):
    config = tiny("diffusion", "tones")
    config.denoiser.update(in_channels=64, out_channels=64)  # of patches
    config.sampling.solver.name = "dpmp_2m"
    with pytest.raises(UserError, match="did you mean 'dpmpp_2m'"):
        run.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_goes_on_wherever_its_data_and_parts_lie(tmp_path, caplog):
    """Content decides: a moved set, a deleted VAE, a copied run; not fewer clips."""
    source = folder_of_audio(tmp_path / "audio")
    run.train(tiny("vae", source), tmp_path / "vae")
    config = tiny("diffusion", source)
    config.components.autoencoder = str(tmp_path / "vae")
    run.train(config, tmp_path / "run")
    (tmp_path / "audio").rename(tmp_path / "elsewhere")
    (tmp_path / "vae").rename(tmp_path / "gone")
    (tmp_path / "run").rename(tmp_path / "copy")
    config.data.source = f"folder:{tmp_path / 'elsewhere'}/"
    config.train.steps = 4
    state = run.train(config, tmp_path / "copy")
    assert state["step"] == 4
    first, second = sessions(tmp_path / "copy")
    assert first["data"]["fingerprint"] == second["data"]["fingerprint"]
    assert first["data"]["source"] == source

    (tmp_path / "elsewhere" / "clip0.wav").unlink()
    metadata = tmp_path / "elsewhere" / "metadata.csv"
    rows = metadata.read_text().splitlines()
    metadata.write_text("\n".join(row for row in rows if "clip0" not in row))
    config.train.steps = 5
    with pytest.raises(UserError, match=r"1 gone \(clip0\.wav\)"):
        run.train(config, tmp_path / "copy")
    run.train(config, tmp_path / "copy", accept_changed_data=True)
    *earlier, last = sessions(tmp_path / "copy")
    assert earlier == [first, second]
    assert "1 gone (clip0.wav)" in last["data"]["changes"][0]

    config.train.steps = 6
    config.components.autoencoder = str(tmp_path / "copy")  # the VAE that the run keeps
    assert run.train(config, tmp_path / "copy")["step"] == 6
