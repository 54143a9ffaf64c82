"""Published systems from their folders: what is heard, in whose way, and in what form.

Tiny ones of random weights; the originals are beside them in
`tests/parity/test_published_pipelines.py`.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.generation import files, generate, load
from diffusion_audio.generation.convert import convert
from diffusion_audio.nn.functional import count
from diffusion_audio.pretrained.presets import preset
from diffusion_audio.pretrained.read_system import read_system
from diffusion_audio.pretrained.safetensors_file import read
from tests.published import configs
from tests.published.arrays import unet_arrays
from tests.published.folders import make

SETTINGS = {"steps": 2, "duration": 0.32}
PROMPTS = ["a dog barks", "rain"]
KINDS = (
    *("audioldm", "audioldm2", "audioldm2_large"),
    *("auffusion", "auffusion_no_adapter"),
)
SHARED: dict = {}  # pipelines, whose programs are compiled once


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("published")
    return {kind: make(kind, root / kind) for kind in KINDS}


def shared(folders, kind, preset="default"):
    """A pipeline that is loaded once for all tests."""
    if (kind, preset) not in SHARED:
        SHARED[kind, preset] = load(folders[kind], preset=preset)
    return SHARED[kind, preset]


def condition(pipeline, prompt):
    """What the denoiser is told, jitted."""
    conditioned = jax.jit(pipeline.system.condition)
    return conditioned(pipeline.params, pipeline.frozen, prompt)


def listen(pipeline, prompts=PROMPTS, **options):
    return pipeline(prompts, key=jax.random.key(0), **SETTINGS | options)


def plain(config):
    return json.loads(json.dumps(config))


def trees(pipeline):
    """The parameters of a pipeline by the names of a system's parts."""
    every = pipeline.params | pipeline.frozen
    labels = every.pop("conditioners") | pipeline.frozen["conditioners"]
    return every | {f"conditioners/{label}": tree for label, tree in labels.items()}


def same(mine, theirs, tolerance=0.0):
    far = jax.tree.map(lambda a, b: np.abs(np.subtract(a, b)).max(), mine, theirs)
    return max(jax.tree.leaves(far)) <= tolerance


# Every kind in full, and those that show all there is to see in the fast tests.
EVERY = [
    pytest.param(kind, marks=pytest.mark.slow)
    if kind in ("audioldm2_large", "auffusion_no_adapter")
    else kind
    for kind in KINDS
]


# What of their files differs between the systems, as our configs have it.
UNET = {"audioldm": configs.AUDIOLDM_UNET, "audioldm2": configs.AUDIOLDM2_UNET}
HELD = {
    "audioldm": {"contexts": [None], "vector_dim": 16},
    "audioldm2": {"contexts": [None, 16, 24], "vector_dim": None},
    "audioldm2_large": {"contexts": [None, 16, 24, None], "depth": 2},
    "auffusion": {"contexts": [20], "attention": [True, True, False]},
    "auffusion_no_adapter": {"contexts": [16], "attention": [True, True, False]},
}


@pytest.mark.parametrize("kind", EVERY)
def test_a_folder_holds_what_was_published(folders, kind):
    """Settings and weights of its files are those of the pipeline."""
    pipeline = shared(folders, kind)
    config, image = plain(pipeline.config), kind.startswith("auffusion")
    held = HELD[kind] | {"channels": [8, 16, 32], "blocks": 1, "groups": 4}
    assert held.items() <= config["denoiser"].items()
    first = config["components"]["autoencoder"]["autoencoder"]
    assert first["in_channels"] == (3 if image else 1)
    assert (first["channels"], first["latent"]) == ([8, 16, 16], 4)
    vocoder = config["components"]["vocoder"]["vocoder"]
    assert vocoder["rates"] == ([5, 4, 4, 2] if image else [5, 4, 2, 2, 2])
    assert config["loss"] == {"prediction": "epsilon"}
    schedule = {"beta_start": 0.00085, "beta_end": 0.012}
    if not image:
        schedule = {"beta_start": 0.0015, "beta_end": 0.0195}
    assert schedule.items() <= config["schedule"].items()
    vae = configs.AUDIOLDM_VAE if kind == "audioldm" else configs.AUDIOLDM2_VAE
    scale = 0.18215 if image else vae["scaling_factor"]
    assert pipeline.frozen["latent_scale"] == np.float32(scale)
    if kind in UNET:
        array = unet_arrays(UNET[kind])["conv_in.weight"]  # [out, in, H, W]
        kernel = pipeline.params["denoiser"]["conv_in"]["kernel"]  # [H, W, in, out]
        np.testing.assert_array_equal(kernel, array.transpose(2, 3, 1, 0))


@pytest.mark.parametrize(
    "kind", [pytest.param("audioldm2", marks=pytest.mark.slow), "auffusion"]
)
def test_prompts_and_noise_are_heard_and_neighbours_are_not(folders, kind):
    pipeline = shared(folders, kind)
    both = listen(pipeline)
    assert both.shape == (2, 5120)
    assert np.isfinite(both).all()
    assert np.abs(both[0] - both[1]).max() > 1e-4
    np.testing.assert_array_equal(both, listen(pipeline))
    other = listen(pipeline, ["a dog barks", "birds sing by flowing water"])
    np.testing.assert_allclose(other[0], both[0], atol=1e-5 * np.abs(both).max())
    against = listen(pipeline, negative_prompt="techno music")
    assert np.abs(against - both).max() > 1e-4 * np.abs(both).max()


def test_presets_differ_where_the_programs_do(folders):
    """Heads, no prompt, padding, eta, candidates and tokens, each by its own table."""
    pipelines = {
        preset: shared(folders, "audioldm2", preset)
        for preset in ("default", "diffusers", "original")
    }

    def group(preset):
        return pipelines[preset].config["conditioners"]["language_of_audio"]

    heads = {k: p.config["denoiser"]["heads"] for k, p in pipelines.items()}
    assert heads["default"] == heads["diffusers"] == (8, 8, 8)
    assert heads["original"] == [1, 1, 1]  # 32 channels each, and one at least
    assert [group(k)["null"] for k in pipelines] == ["zeros", "generated", "zeros"]
    assert [group(k)["padding"] for k in pipelines] == ["independent", "batch", "batch"]
    etas = [p.sampling.solver["eta"] for p in pipelines.values()]
    assert etas == [0.0, 0.0, 1.0]
    assert [p.candidates for p in pipelines.values()] == [1, 1, 3]
    assert group("original")["clap"]["epsilon"] == 1e-5
    assert group("diffusers")["clap"]["epsilon"] == 1e-12
    with pytest.raises(UserError, match="did you mean 'original'"):
        load(folders["audioldm2"], preset="orginal")


def test_the_published_heads_are_known(folders):
    """Of diffusers' 8 at each level, which no weights were trained with."""
    config = plain(read_system(folders["audioldm2"]).config)
    config["denoiser"] |= {"channels": [128, 256, 384, 640], "heads": [8] * 4}
    heads = {
        k: preset(config, k)["denoiser"]["heads"]
        for k in ("default", "diffusers", "original")
    }
    assert heads["default"] == heads["original"] == [4, 8, 12, 20]
    assert heads["diffusers"] == [8] * 4
    config["denoiser"] |= {"heads": [4, 8, 8, 8]}  # somebody's own
    assert preset(config, "default")["denoiser"]["heads"] == [4, 8, 8, 8]


@pytest.mark.parametrize("preset", ["default", "diffusers"])
def test_no_prompt(folders, preset):
    """Zeros in the place of the language of audio, or what GPT-2 makes of no text."""
    pipeline = shared(folders, "audioldm2", preset)
    first, second = condition(pipeline, pipeline.tokenizers.null()).contexts
    assert (not first.tokens.any()) == (preset == "default")
    assert second.mask.sum() == 1  # the end of an empty text
    made = condition(pipeline, pipeline.tokenizers.prompt([""]))
    assert made.contexts[0].tokens.any()


@pytest.mark.parametrize("preset", ["default", "diffusers"])
def test_a_long_negative_prompt_is_cut_as_diffusers_does(folders, preset):
    tokenizers = shared(folders, "audioldm2", preset).tokenizers
    asked = tokenizers.prompt(["rain"])
    against = tokenizers.negative("techno music with a strong beat", asked)
    masks = [x["language_of_audio"]["t5_mask"].sum() for x in (asked, against)]
    assert (masks[0] == masks[1]) == (preset == "diffusers")


@pytest.mark.parametrize("preset", ["default", "original"])
def test_a_neighbour_changes_a_prompt_only_in_the_originals_way(folders, preset):
    pipeline = shared(folders, "audioldm2", preset)

    def tokens(prompts):
        made = condition(pipeline, pipeline.tokenizers.prompt(prompts))
        return made.contexts[0].tokens[0]

    beside = tokens(["rain", "a dog barks loudly"])
    far = jnp.abs(tokens(["rain", "rain"]) - beside).max()
    assert (far > 1e-2) if preset == "original" else (far < 1e-5)


def test_auffusion_adapts_what_is_said_and_fills_up(folders):
    """Places after the text are the adapter's own; no prompt is zeros after it."""
    pipeline = shared(folders, "auffusion")
    asked, none = (
        condition(pipeline, prompt).contexts[0]
        for prompt in (pipeline.tokenizers.prompt(["rain"]), pipeline.tokenizers.null())
    )
    assert asked.mask is None
    assert not none.tokens.any()
    after = asked.tokens[0, -4:]
    np.testing.assert_allclose(after, jnp.broadcast_to(after[:1], after.shape))
    other = shared(folders, "auffusion_no_adapter")
    assert condition(other, other.tokenizers.null()).contexts[0].tokens.any()


@pytest.mark.slow
def test_candidates_are_ranked_by_clap(folders, tmp_path, monkeypatch):
    pipeline = shared(folders, "audioldm2")
    monkeypatch.setattr(files, "load", lambda *_, **__: pipeline)
    generate("model", PROMPTS, tmp_path, num_candidates=2, **SETTINGS)
    entries = json.loads((tmp_path / "index.json").read_text("utf-8"))["files"]
    assert len(entries) == 4
    for prompt in PROMPTS:
        mine = [entry for entry in entries if entry["prompt"] == prompt]
        best, last = sorted(mine, key=lambda entry: entry["rank"])
        assert (best["rank"], last["rank"]) == (1, 2)
        assert 1 >= best["score"] >= last["score"] >= -1
    monkeypatch.setattr(files, "load", lambda *_, **__: shared(folders, "audioldm"))
    assert len(generate("model", PROMPTS, tmp_path / "b", **SETTINGS)) == 2


def test_a_long_prompt_is_cut_and_that_is_said(folders, caplog):
    pipeline = shared(folders, "auffusion")
    pipeline.tokenizers.prompt(["rain and wind " * 40, "rain"])
    (line,) = [m for m in caplog.messages if "cut" in m]
    assert "1 of 2 prompts cut to the 77 tokens that clip takes" in line


@pytest.mark.parametrize("kind", EVERY)
def test_converted_it_is_the_same(folders, tmp_path, kind):
    ours = convert(folders[kind], tmp_path / "ours")
    theirs = convert(ours, tmp_path / "theirs", layout="diffusers")
    expected = shared(folders, kind)
    for place in (ours, theirs):
        pipeline = load(place)
        assert same(trees(pipeline), trees(expected))
        assert plain(pipeline.config) == plain(expected.config)
        assert pipeline.tokenizers.files() == expected.tokenizers.files()
    for path in sorted(folders[kind].rglob("*.safetensors")):
        if kind == "audioldm" and path.parent.name == "vae":
            continue  # by names of early 2023
        written, published = read(theirs / path.relative_to(folders[kind])), read(path)
        assert written.keys() <= published.keys(), path
        for name, array in written.items():
            kept = published[name].astype(array.dtype)
            np.testing.assert_array_equal(array, kept)


@pytest.mark.slow
def test_converted_to_half_the_size(folders, tmp_path):
    ours = convert(folders["audioldm"], tmp_path / "ours", dtype="bfloat16")
    pipeline, whole = load(ours), shared(folders, "audioldm")
    size = sum(path.stat().st_size for path in (ours / "weights").iterdir())
    assert size < 2.5 * (count(whole.params) + count(whole.frozen))
    kinds = {leaf.dtype for leaf in jax.tree.leaves(pipeline.params) if leaf.ndim > 1}
    assert kinds == {jnp.dtype("bfloat16")}
    assert pipeline.config["denoiser"]["dtype"] == "bfloat16"
    a, b = listen(pipeline), listen(whole)
    assert 0 < np.abs(a - b).max() < 0.2 * np.abs(b).max()
    again = load(folders["audioldm"], dtype="bfloat16")
    assert same(trees(again), trees(pipeline))
    assert plain(again.config) == plain(pipeline.config)


def test_a_changed_file_of_a_converted_folder_is_refused(folders, tmp_path):
    ours = convert(folders["audioldm"], tmp_path / "ours")
    for name in ("weights/denoiser.safetensors", "config.json"):
        content = bytearray((ours / name).read_bytes())
        content[-9] ^= 1
        (ours / name).write_bytes(content)
        with pytest.raises(UserError, match=r"is not what was written.*convert"):
            load(ours)
        content[-9] ^= 1
        (ours / name).write_bytes(content)
    (ours / "weights/vocoder.safetensors").unlink()
    with pytest.raises(UserError, match="is no file"):
        load(ours)
