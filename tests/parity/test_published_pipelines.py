"""Whole systems from folders as published, against the pipelines of their authors.

Diffusers' own pipelines, run from prompts to waveforms, and the originals' ways, with
noise where they add some. `tests.published.folders` writes the folders without us.
"""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.diffusion.noise import example_keys, example_noise, purpose_key
from diffusion_audio.generation import load
from tests.published.folders import make

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore::FutureWarning")]

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from tests.parity import whole_originals as originals  # noqa: E402
from tests.parity import whole_pipelines as theirs  # noqa: E402

PROMPTS = ("a dog barks loudly", "rain")
STEPS, GUIDANCE, SECONDS = 4, 3.0, 0.32
SOLVER = purpose_key(jax.random.key(0), "solver")
ROWS = jnp.arange(len(PROMPTS))
WIDE = {"block_out_channels": [16, 32, 64]}  # 1 and 2 heads of 32 channels, not 8


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Networks this small are slower on several."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, made = tmp_path_factory.mktemp("published"), {}

    def of(kind, **changes):
        name = f"{kind}{len(changes)}"
        if name not in made:
            made[name] = make(kind, root / name, **changes)
        return made[name]

    return of


@pytest.fixture(scope="module")
def ours():
    return functools.cache(Ours)


def assert_close(ours, reference, bound):
    """Equal to a fraction of the largest value."""
    ours, largest = np.asarray(ours), np.abs(reference).max()
    assert ours.shape == reference.shape
    far = np.abs(ours - reference).max()
    assert far <= bound * largest, f"{far / largest:.2g} of the largest, {largest:.3g}"


def channels_last(z):
    return np.moveaxis(np.asarray(z), -3, -1)


def channels_first(z):
    return np.moveaxis(np.asarray(z), -1, -3).copy()


class Ours:
    """A pipeline of ours, its programs compiled once for all that is asked of it."""

    def __init__(self, place, preset):
        self.pipeline = load(place, preset=preset)
        system = self.pipeline.system
        self.condition = jax.jit(system.condition)
        self.sample = jax.jit(system.sample, static_argnums=2)
        self.decode = jax.jit(system.decode)
        self.eta = self.pipeline.sampling.solver.get("eta")
        self.heads = list(self.pipeline.config["denoiser"]["heads"])

    def start(self):
        """Latents to start from [B, H, W, C], and the noise that our solver adds."""
        shape = self.pipeline.system.latent_shape(round(SECONDS * 16_000))
        z = example_noise(example_keys(jax.random.key(1), ROWS), shape)
        noise = [
            example_noise(example_keys(jax.random.fold_in(SOLVER, i), ROWS), shape)
            for i in range(STEPS)
        ]
        return z, np.stack(noise)

    def prompts(self, negative):
        """Arrays of the prompts, and of what to lead away from."""
        tokenizers = self.pipeline.tokenizers
        none = tokenizers.prompt([negative]) if negative else tokenizers.null()
        return tokenizers.prompt(PROMPTS), none

    def conditions(self, negative):
        """What the denoiser is told of the prompts and of none, computed together."""
        both = jax.tree.map(
            lambda a, b: np.concatenate([a, np.broadcast_to(b, a.shape)]),
            *self.prompts(negative),
        )
        told = self.condition(self.pipeline.params, self.pipeline.frozen, both)
        half = len(PROMPTS)
        first, last = (
            jax.tree.map(operator.itemgetter(s), told)
            for s in (np.s_[:half], np.s_[half:])
        )
        return first, last

    def hear(self, z, negative):
        """Latents of unit scale, mels and waveforms."""
        pipeline = self.pipeline
        found = self.sample(
            pipeline.params,
            pipeline.frozen,
            pipeline.drawing(steps=STEPS, guidance=1.0),
            z,
            *self.prompts(negative),
            jnp.float32(GUIDANCE),
            SOLVER,
            ROWS,
        )
        mel = self.decode(pipeline.frozen, found)
        return found, mel, pipeline.vocode(mel)


def assert_told(condition, reference, null=""):
    """Contexts where they are looked at, and vectors."""
    if condition.vector is not None:
        assert_close(condition.vector, reference[f"{null}vector"], 1e-5)
        return
    if "context" in reference:
        assert_close(condition.contexts[0].tokens, reference[f"{null}context"], 1e-5)
        return
    language, words = condition.contexts
    assert_close(language.tokens, reference[f"{null}language"], 1e-4)
    mask = reference[f"{null}mask"].astype(bool)
    assert np.asarray(words.mask).sum() == mask.sum()
    tokens = np.asarray(words.tokens)[:, : mask.shape[1]]
    assert_close(tokens[mask], reference[f"{null}tokens"][mask], 1e-5)


def compare(ours, reference, negative="", **options):
    z, noise = ours.start()
    if ours.eta:
        options["noise"] = channels_first(noise)
    expected = reference(
        latents=channels_first(z),
        prompts=PROMPTS,
        steps=STEPS,
        guidance=GUIDANCE,
        **options,
    )
    assert np.abs(expected["waveform"]).max() < 0.99  # no bound hides a difference
    asked, none = ours.conditions(negative)
    assert_told(asked, expected)
    assert_told(none, expected, "null_")
    found, mel, wave = ours.hear(z, negative)
    assert_close(found, channels_last(expected["latents"]), 1e-4)
    assert_close(mel, expected["mel"], 1e-4)
    samples = round(SECONDS * 16_000)  # theirs may go on a little
    assert_close(wave[:, :samples], expected["waveform"][:, :samples], 1e-3)


@pytest.mark.parametrize("negative", ["", "techno music"])
def test_audioldm_as_diffusers(folder, ours, negative):
    place = folder("audioldm")
    compare(
        ours(place, "diffusers"),
        lambda **asked: theirs.audioldm(place, negative=negative, **asked),
        negative,
    )


@pytest.mark.parametrize(
    ("kind", "negative"),
    [("audioldm2", ""), ("audioldm2", "a man"), ("audioldm2_large", "")],
)
def test_audioldm2_as_diffusers(folder, ours, kind, negative):
    place = folder(kind)
    compare(
        ours(place, "diffusers"),
        lambda **asked: theirs.audioldm2(place, negative=negative, **asked),
        negative,
    )


def test_audioldm_as_the_original(folder, ours):
    """With the noise of eta 1, and heads that diffusers has not."""
    place = folder("audioldm", unet=WIDE | {"cross_attention_dim": [16, 32, 64]})
    mine = ours(place, "original")
    assert (mine.eta, mine.heads[1:]) == (1.0, [1, 2])
    compare(mine, lambda **asked: originals.original_audioldm(place, **asked))


def test_audioldm2_as_the_original(folder, ours):
    """And zeros for no prompt, beside the end of an empty text."""
    place = folder("audioldm2", unet=WIDE)
    mine = ours(place, "original")
    assert (mine.eta, mine.heads[1:]) == (1.0, [1, 2])
    compare(mine, lambda **asked: originals.original_audioldm2(place, **asked))


def test_auffusion_without_its_adapter_as_diffusers(folder, ours):
    place = folder("auffusion_no_adapter")
    mine = ours(place, "default")
    compare(mine, lambda **asked: theirs.auffusion_no_adapter(place, **asked))


@pytest.mark.parametrize("negative", ["", "a man speaks"])
def test_auffusion_as_its_own_code(folder, ours, negative):
    place = folder("auffusion")
    compare(
        ours(place, "default"),
        lambda **asked: originals.auffusion(place, negative=negative or None, **asked),
        negative,
    )
