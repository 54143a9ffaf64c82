"""Published vocoders found, read, exported and stood on."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import safetensors.numpy

from diffusion_audio.cli.main import main
from diffusion_audio.errors import UserError
from diffusion_audio.models.discriminators import build_discriminators
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.nn.conv1d import remove_weight_norm
from diffusion_audio.pretrained import folder, hifigan, hifigan_config
from diffusion_audio.runs.checkpoint import Checkpoints
from diffusion_audio.runs.components import load_components
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.runs.workdir import CONFIG, write_json
from diffusion_audio.systems import vocoders
from diffusion_audio.systems.table import build
from tests.networks import random_params
from tests.recipes import tiny
from tests.tasks import make_task

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = dict(np.load(GOLDEN / "expected.npz"))
DISCRIMINATORS = {
    "mpd": {"periods": (2, 3), "channels": (2, 4)},
    "msd": {
        "scales": 2,
        "channels": (4, 4),
        "kernels": (5, 3),
        "strides": (1, 2),
        "groups": (1, 2),
    },
}


def assert_same(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


@pytest.mark.parametrize("resblock", ["1", "2"])
@pytest.mark.parametrize("weight_norm", [True, False])
def test_a_generator_there_and_back(resblock, weight_norm):
    cfg = HiFiGANConfig(
        n_mels=4,
        channels=8,
        rates=(4, 2),
        kernels=(8, 3),
        resblock=resblock,
        resblock_kernels=(3, 5),
        dilations=((1, 3), (1,)),
        weight_norm=weight_norm,
    )
    params = random_params(build_hifigan(cfg))
    arrays = hifigan.export_generator(cfg, params)
    shape = (8, 4, 8) if weight_norm else None
    assert arrays.get("ups.0.weight_v", np.zeros(())).shape == (shape or ())
    assert len(arrays) == len(jax.tree.leaves(params))
    found, back = hifigan.import_generator(cfg, arrays, "it")
    assert found == cfg
    assert_same(back, params)


def test_the_gain_of_a_transposed_layer_is_of_its_inputs():
    cfg = hifigan_config.generator_config(
        json.loads((GOLDEN / "config.json").read_text()), ""
    )
    _, params = hifigan.import_generator(cfg, EXPECTED, "golden")
    assert params["upsamplers"]["0"]["g"].shape == (1, 4, 1)
    v, g = EXPECTED["ups.0.weight_v"], EXPECTED["ups.0.weight_g"]
    weight = v * g / np.sqrt((v**2).sum((1, 2), keepdims=True))
    kernel = remove_weight_norm(params)["upsamplers"]["0"]["kernel"]
    np.testing.assert_allclose(kernel, weight.transpose(2, 0, 1), rtol=1e-5)


def test_every_spelling_is_the_same():
    parametrized = {}
    for name, array in EXPECTED.items():
        name = name.replace("weight_g", "parametrizations.weight.original0")
        name = name.replace("weight_v", "parametrizations.weight.original1")
        name = name.replace("convs.1", "convs.1._checkpoint_wrapped_module")
        parametrized[f"_orig_mod.{name.replace('ups.', 'upsampler.')}"] = array
    assert_same(hifigan.canonical(parametrized), EXPECTED)
    with pytest.raises(UserError, match="twice, under two spellings"):
        hifigan.canonical(parametrized | EXPECTED)


def test_discriminators_there_and_back():
    params = random_params(build_discriminators(DISCRIMINATORS))
    arrays = hifigan.export_discriminators(params)
    assert arrays["mpd.discriminators.1.convs.0.weight_v"].shape == (2, 1, 5, 1)
    assert arrays["msd.discriminators.0.convs.1.weight_orig"].shape == (4, 2, 3)
    assert arrays["msd.discriminators.0.convs.1.weight_v"].shape == (6,)
    assert_same(hifigan.import_discriminators(DISCRIMINATORS, arrays, "it"), params)


def test_the_spectral_pair_belongs_to_the_kernel_in_both_layouts():
    """u W v is one number, whatever the order in which W is laid out."""
    params = random_params(build_discriminators({"msd": DISCRIMINATORS["msd"]}))
    theirs = hifigan.export_discriminators(params)
    u, v, kernel = (
        theirs[f"msd.discriminators.0.convs.1.weight_{name}"]
        for name in ("u", "v", "orig")
    )
    ours = params["msd"]["parts"]["0"]["convs"]["1"]
    expected = ours["spectral_v"] @ ours["kernel"].reshape(-1, 4) @ ours["spectral_u"]
    assert u @ kernel.reshape(4, -1) @ v == pytest.approx(expected, rel=1e-5)


def test_discriminators_each_wrapped_by_itself_beside_their_optimisers():
    params = random_params(build_discriminators(DISCRIMINATORS))
    arrays = {
        name.replace("mpd.", "state.mpd.module.").replace("msd.", "state.net_s."): array
        for name, array in hifigan.export_discriminators(params).items()
    }
    beside = {"steps": np.asarray(7), "optim_g.state.0.step": np.asarray(1)}
    found = hifigan.find_discriminators(DISCRIMINATORS, arrays | beside, "it")
    assert_same(found.model, params)
    assert str(found) == (
        "took 'state.mpd.module' (18 arrays) and 'state.net_s' (21 arrays), "
        "left 'steps', 'optim_g'"
    )
    del arrays["state.net_s.discriminators.1.conv_post.bias"]
    with pytest.raises(UserError, match=r"net_s' in it\) lacks discriminators\.1"):
        hifigan.find_discriminators(DISCRIMINATORS, arrays, "it")


@pytest.fixture
def vocoder(tmp_path):
    """A folder as HiFi-GAN leaves it, with an older generator in it."""
    root = tmp_path / "vocoder"
    root.mkdir()
    shutil.copy(GOLDEN / "config.json", root / "config.json")
    shutil.copy(GOLDEN / "stream.pt", root / "g_00000012")
    (root / "g_00000002").write_bytes(b"older, and broken")
    return root


def test_convert_and_back(vocoder, tmp_path, capsys):
    out, again = tmp_path / "ours", tmp_path / "again"
    assert main(["convert", str(vocoder), f"--out={out}"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert_same(safetensors.numpy.load_file(out / folder.GENERATOR), EXPECTED)
    assert main(["convert", str(out), f"--out={again}"]) == 0
    for name in (folder.GENERATOR, folder.CONFIG):
        assert (out / name).read_bytes() == (again / name).read_bytes()


def test_convert_writes_over_nothing_of_others(vocoder, tmp_path, capsys):
    out, finished = tmp_path / "ours", tmp_path / "run"
    (finished / "checkpoints").mkdir(parents=True)
    (finished / "config.json").write_text("{}")
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "config.json").write_text("mine")
    for _ in range(2):  # its own files it makes again
        assert main(["convert", str(vocoder), f"--out={out}"]) == 0
    before = {path: path.read_bytes() for path in vocoder.iterdir()}
    for place, line in (
        (finished, "holds a run"),
        (vocoder, "is read by this command"),
        (notes, "not made by this program; give another place, or --overwrite"),
    ):
        capsys.readouterr()
        assert main(["convert", str(vocoder), f"--out={place}"]) == 2
        assert line in capsys.readouterr().err
    assert main(["convert", str(vocoder), f"--out={vocoder}", "--overwrite"]) == 2
    assert {path: path.read_bytes() for path in vocoder.iterdir()} == before
    assert (finished / "config.json").read_text() == "{}"
    assert main(["convert", str(vocoder), f"--out={notes}", "--overwrite"]) == 0


def test_a_run_stands_on_converted_weights(vocoder, tmp_path):
    out = tmp_path / "ours"
    assert main(["convert", str(vocoder), f"--out={out}"]) == 0
    config = {
        "task": "diffusion",
        "audio": json.loads((out / "config.json").read_text())["audio"],
        "components": {"vocoder": str(out)},
    }
    resolved = resolve(config)
    part = resolved["components"]["vocoder"]
    frozen = load_components(resolved)["vocoder"]
    made = build(vocoders.TABLE, part["vocoder"], "config.vocoder")
    assert made.inference.apply(frozen, np.zeros((1, 3, 4), "f4")).shape == (1, 6)
    config["audio"] = config["audio"] | {"fmin": 20.0}
    with pytest.raises(UserError, match=r"use different audio specs.*fmin"):
        resolve(config)


def test_our_run_for_other_programs_and_back(tmp_path):
    work, out = tmp_path / "run", tmp_path / "out"
    resolved = resolve(tiny("vocoder", "tones"))
    work.mkdir()
    write_json(work / CONFIG, resolved)
    rng = np.random.default_rng(0)
    state = jax.tree.map(
        lambda leaf: rng.uniform(size=leaf.shape).astype(leaf.dtype),
        jax.eval_shape(make_task(resolved).init, jax.random.key(0), {}),
    )
    checkpoints = Checkpoints(work / "checkpoints")
    checkpoints.prepare()
    checkpoints.save(1, state, {})
    checkpoints.close()
    assert main(["convert", str(work), f"--out={out}"]) == 0
    config = json.loads((out / "config.json").read_text())
    _, generator = folder.read_generator(out, config)
    assert_same(generator, state["ema"]["vocoder"])
    discriminators = folder.read_discriminators(out, config)
    assert_same(discriminators, state["params"]["discriminators"])
    for start in (work, out):  # to go on with it takes both, to stand on it the first
        config = tiny("vocoder", "tones")
        config.components.vocoder = str(start)
        resolved = resolve(config)
        task = make_task(resolved)
        begun = task.init(jax.random.key(1), {}, task.components())
        assert_same(begun["params"]["discriminators"], discriminators)
        assert set(load_components(resolved)) == {"vocoder"}


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda root: root.joinpath("config.json").unlink(), "config.json is missing"),
        (lambda root: root.joinpath("config.json").write_text("["), "not valid JSON"),
        (lambda root: root.joinpath("config.json").write_text("[]"), "is no config"),
        (
            lambda root: root.joinpath("g_00000012").unlink(),
            "neither a whole safetensors file nor one of PyTorch",
        ),
        (shutil.rmtree, "no such file or folder"),
        (
            lambda root: [p.unlink() for p in root.glob("g_*")],
            "has no vocoder in it: expected a file such as model.safetensors",
        ),
    ],
)
def test_convert_with_mistakes(vocoder, tmp_path, capsys, spoil, line):
    spoil(vocoder)
    assert main(["convert", str(vocoder), f"--out={tmp_path / 'out'}"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert line in err
