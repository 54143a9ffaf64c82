"""Our side of whole pipelines, and what it is compared in with theirs."""

import operator

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.diffusion.noise import example_keys, example_noise, purpose_key
from diffusion_audio.generation import load
from tests.published.cases import TRANSCRIPTS

PROMPTS = ("a dog barks loudly", "rain")
STEPS, GUIDANCE, SECONDS = 4, 3.0, 0.32
SOLVER = purpose_key(jax.random.key(0), "solver")
ROWS = jnp.arange(len(PROMPTS))


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
        self.samples = round(SECONDS * system.spec.sample_rate)

    def start(self):
        """Latents to start from [B, H, W, C], and the noise that our solver adds."""
        shape = self.pipeline.system.latent_shape(self.samples)
        z = example_noise(example_keys(jax.random.key(1), ROWS), shape)
        noise = [
            example_noise(example_keys(jax.random.fold_in(SOLVER, i), ROWS), shape)
            for i in range(STEPS)
        ]
        return z, np.stack(noise)

    def prompts(self, negative):
        """Arrays of the prompts, and of what to lead away from."""
        tokenizers = self.pipeline.tokenizers
        if tokenizers.of_speech:
            asked = tokenizers.spoken(PROMPTS, TRANSCRIPTS, phonemes=True)
        else:
            asked = tokenizers.prompt(PROMPTS)
        if negative:
            return asked, tokenizers.negative(negative, asked)
        return asked, tokenizers.null()

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
    of_speech = "tokens" not in reference
    *language, words = (*condition.contexts, None) if of_speech else condition.contexts
    for context in language:
        assert_close(context.tokens, reference[f"{null}language"], 1e-4)
    if words is None:
        return
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
    heard = np.s_[:, : ours.samples]  # theirs may go on a little
    assert_close(wave[heard], expected["waveform"][heard], 1e-3)
