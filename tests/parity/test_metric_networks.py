"""The networks of metrics against their definitions in PyTorch, over random weights."""

import dataclasses

import jax
import numpy as np
import pytest

from benchmarks.components import arrays_of, randomize
from diffusion_audio.audio.panns_mel import PANNS_16K, PannsMel
from diffusion_audio.models.cnn14 import Cnn14Config, build_cnn14
from diffusion_audio.models.passt import PasstConfig, build_passt
from diffusion_audio.models.vggish import VGGishConfig, build_vggish
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.pretrained.cnn14 import export_cnn14, find_cnn14
from diffusion_audio.pretrained.passt import export_passt, find_passt
from diffusion_audio.pretrained.vggish import export_vggish, find_vggish
from tests.networks import normal

pytestmark = pytest.mark.parity

torch = pytest.importorskip("torch")

from tests.parity import metric_torch as paper  # noqa: E402

BOUND = 1e-4  # of the largest value


def same(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        other = other.numpy()
        assert np.ptp(other, axis=0).max() > 1e-2 * np.abs(other).max()  # clips differ
        np.testing.assert_allclose(mine, other, atol=BOUND * np.abs(other).max())


def shapes_of(model):
    return {name: tuple(x.shape) for name, x in model.state_dict().items()}


def zeros_of(network):
    return jax.tree.map(
        lambda x: np.broadcast_to(np.float32(0), x.shape), abstract_params(network)
    )


@pytest.mark.parametrize(
    ("widths", "n_mels", "frames"),
    [((4, 8, 12), 10, 37), ((12,), 5, 1), ((8,) * 6, 64, 101)],
)
def test_cnn14(widths, n_mels, frames):
    cfg = Cnn14Config(widths, n_mels, embedding=6, classes=7)
    mel_cfg = PannsMel(8000, 512, 80, n_mels, 50.0, 4000.0)
    model = randomize(paper.Cnn14(widths, n_mels, 6, 7))
    for array in model.parameters():
        if array.ndim == 4:  # rectifiers and norms make clips ever more alike
            array.data.mul_(3)
    arrays = arrays_of(model)
    params = find_cnn14(cfg, mel_cfg, add_front_end(cfg, mel_cfg, arrays), "it").model
    mel = 3 * normal(2, frames, n_mels)
    with torch.no_grad():
        theirs = model(torch.from_numpy(mel))
    same(jax.jit(build_cnn14(cfg).apply)(params, mel), theirs)


VGGISH = VGGishConfig(((4,), (6, 8)), 21, 9, hidden=(10, 12), embedding=5)


@pytest.mark.parametrize("postprocessing", ["none", "pca", "pca_8bit"])
@pytest.mark.parametrize("activation", [False, True])
def test_vggish(activation, postprocessing):
    cfg = dataclasses.replace(
        VGGISH, activation=activation, postprocessing=postprocessing
    )
    sizes = cfg.stages, cfg.frames, cfg.n_mels, cfg.hidden, cfg.embedding
    model = randomize(paper.VGGish(*sizes, activation))
    arrays = arrays_of(model)
    pca = {"pca_eigen_vectors": normal(5, 5), "pca_means": normal(5, 1, seed=1)}
    params = find_vggish(cfg, arrays | pca, "it").model
    mel = 3 * normal(3, cfg.frames, cfg.n_mels)
    with torch.no_grad():
        theirs = model(torch.from_numpy(mel))
        if postprocessing != "none":
            matrix, means = map(torch.from_numpy, pca.values())
            theirs = paper.whitened(theirs, matrix, means, postprocessing == "pca_8bit")
    same([jax.jit(build_vggish(cfg).apply)(params, mel)], [theirs])


def test_vggish_at_published_size():
    cfg = VGGishConfig()
    sizes = cfg.stages, cfg.frames, cfg.n_mels, cfg.hidden, cfg.embedding
    with torch.device("meta"):
        model = paper.VGGish(*sizes)
    assert sum(x.numel() for x in model.parameters()) == 72_141_184
    arrays = export_vggish(cfg, zeros_of(build_vggish(cfg)))
    assert {name: array.shape for name, array in arrays.items()} == shapes_of(model)


PASST = PasstConfig(8, 2, 2, n_mels=12, frames=30, patch=5, stride=3, classes=7)


@pytest.mark.parametrize("frames", [5, 20, 31])
def test_passt(frames):
    model = randomize(paper.Passt(*dataclasses.astuple(PASST)[:-1]))
    params = find_passt(PASST, arrays_of(model), "it").model
    mel = normal(3, frames, 12)
    with torch.no_grad():
        theirs = model(torch.from_numpy(mel))
    same(jax.jit(build_passt(PASST).apply)(params, mel), theirs)


def test_passt_at_published_size():
    cfg = PasstConfig()
    with torch.device("meta"):
        model = paper.Passt(*dataclasses.astuple(cfg)[:-1])
    assert sum(x.numel() for x in model.parameters()) == 86_153_758
    arrays = export_passt(cfg, zeros_of(build_passt(cfg)))
    expected = shapes_of(model)
    unused = {f"head_dist.{leaf}" for leaf in ("weight", "bias")}
    assert {name: array.shape for name, array in arrays.items()} == {
        name: shape for name, shape in expected.items() if name not in unused
    }


def add_front_end(cfg, mel, arrays):
    """As the file has them: under `model`, the front end's constants beside."""
    whole = export_cnn14(cfg, mel, zeros_of(build_cnn14(cfg))) | arrays
    return {f"model.{name}": array for name, array in whole.items()}


def test_cnn14_at_published_size():
    cfg = Cnn14Config()
    with torch.device("meta"):
        model = paper.Cnn14(cfg.widths, cfg.n_mels, cfg.embedding, cfg.classes)
    assert sum(x.numel() for x in model.parameters()) == 80_753_615
    arrays = export_cnn14(cfg, PANNS_16K, zeros_of(build_cnn14(cfg)))
    expected = shapes_of(model)
    assert {name: arrays[name].shape for name in expected} == expected
    rest = sum(arrays[name].size for name in arrays.keys() - expected.keys())
    assert rest == 2 * 257 * 512 + 257 * 64  # what is in the file beside
