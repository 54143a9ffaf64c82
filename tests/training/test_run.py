"""What keeps a run from starting is said before its directory is made."""

import contextlib
import types

import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.audio.decoders import here
from diffusion_audio.data.open import open_source
from diffusion_audio.errors import UserError
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.runs.workdir import write_json
from diffusion_audio.training import latent_cache, run
from tests.recipes import folder_of_audio, tiny


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return folder_of_audio(tmp_path_factory.mktemp("set") / "audio")


@pytest.mark.parametrize(
    ("group", "values", "message"),
    [
        ("data", {"batch_size": 0}, "batch_size must be 1 or more, not 0"),
        ("data", {"batch_size": -4}, "batch_size must be 1 or more, not -4"),
        ("data", {"seconds": 0.0}, r"seconds must be a length above 0, not 0\.0"),
        ("data", {"skip_budget": 2.0}, "skip_budget is a share from 0 to 1"),
        ("parallel", {"fsdp": 8}, r"data=1 by fsdp=8 does not fit 4 device"),
        ("parallel", {"fsdp": 0}, r"fsdp=0 does not fit .*parallel\.fsdp=1 takes all"),
        ("parallel", {"data": -1, "fsdp": -1}, "data=-1 by fsdp=-1 does not fit"),
        ("parallel", {"data": -1, "fsdp": 3}, "data=-1 by fsdp=3 does not fit 4"),
        ("train", {"evaluate_every": -5}, "evaluate_every must be 0 or more, not -5"),
        ("optimizer", {"learning_rate": float("nan")}, "above 0, not nan"),
        ("optimizer", {"clip_norm": -1.0}, r"clip_norm must be 0 or more, not -1\.0"),
        ("optimizer", {"warmup_steps": -3}, "warmup_steps must be 0 or more, not -3"),
        ("optimizer", {"b2": 1.0}, r"b2 lies from 0 up to below 1, not 1\.0"),
        (
            "autoencoder",
            {"latent": 0},
            "latent, groups and channels must be 1 or more, got 0",
        ),
        ("parallel", {"data": 3}, "4 examples cannot be split over 3 devices"),
        ("train", {"accumulate": 3}, "4 examples cannot be computed in 3 equal parts"),
        ("train", {"steps": 0}, r"config\.train\.steps must be 1 or more, not 0"),
        ("data", {"evaluation_split": "test"}, "has no split 'test'; it has"),
    ],
)
def test_a_mistake_takes_no_directory(source, tmp_path, group, values, message):
    config = tiny("vae", source)
    config[group].update(values)
    with pytest.raises(UserError, match=message):
        run.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("labels", ("pitch",)),
        ("mels", "some"),
        ("mel_axes", "ft"),
        ("cache_latents", True),
    ],
)
def test_settings_of_another_task_are_not_passed_over(source, tmp_path, setting, value):
    config = tiny("vae", source)
    config.data[setting] = value
    message = rf"config\.data\.{setting} is .*, but this is a vae run: leave it empty"
    with pytest.raises(UserError, match=message):
        run.train(config, tmp_path / "run")


def test_a_run_is_not_written_among_the_clips(source):
    place = source.removeprefix("folder:")
    with pytest.raises(UserError, match="is the folder of the clips"):
        run.train(tiny("vae", source), place)


@pytest.mark.parametrize("changes", [(), ("1 gone",)])
def test_where_clips_have_changed_others_are_bad(
    source, tmp_path, monkeypatch, changes
):
    def compared(workdir, name, splits, **_):
        return run.same_run.Data(name, {}, {}, changes)

    monkeypatch.setattr(run.same_run, "require_same_data", compared)
    made = run.assemble(resolve(tiny("vae", source)), tmp_path, None, here)
    assert made.options["same_clips"] is not bool(changes)


def test_parts_are_of_what_a_device_has_under_pmap(source, tmp_path):
    config = tiny("vae", source)
    config.parallel.update(mode="pmap", data=2)
    config.train.accumulate = 4
    with pytest.raises(UserError, match="2 examples cannot be computed in 4 equal"):
        run.train(config, tmp_path / "run")


@pytest.mark.parametrize(
    ("denoiser", "line"),
    [
        ({"contexts": (24,)}, r"contexts of widths \[24\], got \[16\]"),
        ({"vector_dim": 8}, "vector of width 8, got 16"),
    ],
)
def test_conditioners_of_another_denoiser_take_no_directory(
    source, tmp_path, denoiser, line
):
    """Where parts come from different models, found before their weights are read."""
    config = tiny("diffusion", source)
    config.denoiser.update(in_channels=64, out_channels=64, **denoiser)
    with pytest.raises(UserError, match=line):
        run.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def with_captions(root, captions):
    """A folder of six recordings of which each has a caption."""
    source = folder_of_audio(root)
    rows = [f'clip{i}.wav,"{caption}"' for i, caption in enumerate(captions)]
    (root / "metadata.csv").write_text("\n".join(["file_name,caption", *rows]))
    return source


def test_text_to_audio_without_a_caption_is_refused(tmp_path):
    config = tiny("diffusion", with_captions(tmp_path / "a", [""] * 6))
    config.denoiser.update(in_channels=64, out_channels=64)  # of patches
    with pytest.raises(UserError, match=r"has no captions.*metadata\.csv"):
        run.train(config, tmp_path / "run")


def test_a_run_that_lost_its_tokenizer_does_not_learn_another(tmp_path, source):
    config = tiny("diffusion", source)
    config.denoiser.update(in_channels=64, out_channels=64)  # of patches
    work = tmp_path / "run"
    work.mkdir()
    write_json(work / "config.json", resolve(config))
    (work / "checkpoints" / "steps" / "2").mkdir(parents=True)
    with pytest.raises(UserError, match=r"lacks .*tokenizer\.json, which its saved"):
        run.train(config, work)


def test_a_step_saved_by_another_process_meanwhile_is_noticed(
    tmp_path, source, monkeypatch
):
    """The directory is looked at before it is held: between, one may come and go."""
    work = tmp_path / "run"

    @contextlib.contextmanager
    def alone(workdir):
        (workdir / "checkpoints" / "steps" / "2").mkdir(parents=True)
        yield

    monkeypatch.setattr(run, "alone", alone)
    with pytest.raises(UserError, match="another process has saved a step in"):
        run.train(tiny("vae", source), work)
    assert not (work / "config.json").exists()


def test_latents_of_something_else_are_made_again(tmp_path, caplog):
    config = {
        "audio": {"preset": "tones_16k"},
        "components": {"autoencoder": {"hash": "1"}},
    }
    task = types.SimpleNamespace(
        encode=lambda scale, audio: jnp.repeat(scale * audio[:, None, :, None], 2, -1)
    )
    source = open_source(
        folder_of_audio(tmp_path / "clips", 16_000, 1), "train", 16_000
    )

    def cached(scale, spare=None):
        clips = latent_cache.latent_cache(
            task,
            config,
            tmp_path / "latents",
            source,
            samples=64,
            frozen=lambda: jnp.float32(scale),
            spare=spare,
        )
        return np.stack([clips[i]["moments"] for i in range(len(clips))])

    first = cached(1.0)
    assert np.array_equal(cached(2.0), first)  # read, not made
    config["components"]["autoencoder"]["hash"] = "2"
    assert np.array_equal(cached(2.0), 2 * first)
    assert "autoencoder: '1' != '2'" in caplog.text
    (tmp_path / "latents" / "moments.npy").write_bytes(b"")
    assert np.array_equal(cached(4.0, tmp_path / "spare"), 4 * first)
    assert (tmp_path / "latents" / "moments.npy").read_bytes() == b""
    assert np.array_equal(cached(3.0), 3 * first)
    (tmp_path / "latents").rename(tmp_path / "far")
    (tmp_path / "latents").symlink_to("far")
    config["components"]["autoencoder"]["hash"] = "3"
    with pytest.raises(UserError, match="made from something else"):
        cached(4.0)
