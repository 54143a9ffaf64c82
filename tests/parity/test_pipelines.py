"""Whole systems against the originals: contexts, latents, mels and waveforms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from diffusion_audio.generation import load
from diffusion_audio.generation.convert import convert
from tests.published.systems import publish

pytestmark = [pytest.mark.parity, pytest.mark.filterwarnings("ignore")]

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("transformers")

from tests.parity import reference_pipelines as theirs  # noqa: E402

PROMPTS = ["a dog barks", "birds sing by the water"]
STEPS, GUIDANCE, SECONDS = 5, 3.5, 0.64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root, made = tmp_path_factory.mktemp("systems"), {}

    def of(kind):
        if kind not in made:
            made[kind] = publish(kind, root / kind)
        return made[kind]

    return of


def close(mine, reference, bound):
    reference = np.asarray(reference)
    far = np.abs(np.asarray(mine) - reference).max()
    assert far <= bound * np.abs(reference).max(), far / np.abs(reference).max()


def noise(pipeline):
    """Latents to start from: ours [B, H, W, C], and theirs."""
    shape = (len(PROMPTS), *pipeline.system.latent_shape(round(SECONDS * 16_000)))
    z = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return z, torch.from_numpy(z).permute(0, 3, 1, 2)


def conditions(pipeline):
    """What the denoiser is told of the prompts, and of none."""
    condition = jax.jit(pipeline.system.condition)
    prompts = pipeline.tokenizers.prompt(PROMPTS), pipeline.tokenizers.null()
    return [condition(pipeline.params, pipeline.frozen, prompt) for prompt in prompts]


def heard(pipeline, z):
    mels = []
    options = {"steps": STEPS, "guidance": GUIDANCE, "duration": SECONDS}
    key = jax.random.key(0)
    made = pipeline.batches(
        PROMPTS, lambda m: mels.append(m) or m, key=key, latents=z, **options
    )
    list(made)
    wave = pipeline(PROMPTS, key=key, latents=jnp.asarray(z), **options)
    return np.concatenate(mels), wave


def compare(pipeline, folder, asked, none, **options):
    z, latents = noise(pipeline)
    picture = options.pop("picture", False)
    final = theirs.sample(folder, latents, STEPS, GUIDANCE, asked, none, **options)
    mel, wave = theirs.hear(folder, final, picture=picture)
    our_mel, our_wave = heard(pipeline, z)
    close(our_mel, mel, 1e-4)
    close(our_wave, wave[:, : our_wave.shape[1]], 1e-3)


@pytest.mark.parametrize("preset", ["default", "diffusers"])
def test_audioldm(folder, preset):
    place = folder("audioldm")
    pipeline = load(place, preset=preset)
    asked, none = conditions(pipeline)
    vectors = theirs.audioldm(place, PROMPTS), theirs.audioldm(place, ["", ""])
    close(asked.vector, vectors[0], 1e-5)
    close(none.vector, vectors[1][:1], 1e-5)
    told = [{"class_labels": v, "encoder_hidden_states": None} for v in vectors]
    compare(pipeline, place, *told)


@pytest.mark.parametrize("kind", ["audioldm2", "audioldm2_large"])
def test_audioldm2_as_diffusers(folder, kind):
    place = folder(kind)
    pipeline = load(place, preset="diffusers")
    asked, none = conditions(pipeline)
    made = theirs.audioldm2(place, PROMPTS, 3)
    length = made[1].shape[1]
    empty = theirs.audioldm2(place, ["", ""], 3, length)
    close(asked.contexts[0].tokens, made[0], 1e-4)
    mask = made[2].bool().numpy()
    close(
        np.asarray(asked.contexts[1].tokens)[:, :length][mask],
        made[1].numpy()[mask],
        1e-5,
    )
    np.testing.assert_array_equal(asked.contexts[1].mask[:, :length], mask)
    # Alone it is of another length, on which GPT-2's tokens depend there.
    assert np.abs(none.contexts[0].tokens - empty[0][:1].numpy()).max() > 1e-3
    compare(pipeline, place, *(_audioldm2(*each) for each in (made, empty)))


def test_audioldm2_as_the_original(folder):
    """Heads by their width, zeros for no prompt, and T5's end of text alone."""
    place = folder("audioldm2")
    pipeline = load(place, preset="original")
    made = theirs.audioldm2(place, PROMPTS, 3)
    _, words, mask = theirs.audioldm2(place, [""] * 2, 3)
    assert words.shape[1] == 1
    empty = torch.zeros_like(made[0]), words, mask
    unet = theirs.part(place, "unet")
    for module in unet.modules():
        if hasattr(module, "to_q"):
            module.heads = max(1, module.to_q.out_features // 32)
            module.scale = (module.to_q.out_features // module.heads) ** -0.5
    told = [_audioldm2(*each) for each in (made, empty)]
    quiet = pipeline.sampling.solver | {"eta": 0.0}  # eta 1 draws noise of its own
    object.__setattr__(
        pipeline.sampling, "solver", type(pipeline.sampling.solver)(quiet)
    )
    compare(pipeline, place, *told, unet=unet)


def test_audioldm2_by_default_is_each_prompt_alone(folder):
    """As the original computes a prompt that is alone in its batch."""
    pipeline = load(folder("audioldm2"))
    asked, none = conditions(pipeline)
    for i, prompt in enumerate(PROMPTS):
        alone = theirs.audioldm2(folder("audioldm2"), [prompt], 3)[0]
        close(asked.contexts[0].tokens[i : i + 1], alone, 1e-4)
    assert not none.contexts[0].tokens.any()


def test_auffusion_without_adapter(folder):
    place = folder("auffusion_plain")
    pipeline = load(place)
    told = [theirs.clip(place, texts) for texts in (PROMPTS, ["", ""])]
    asked, none = conditions(pipeline)
    close(asked.contexts[0].tokens, told[0], 1e-5)
    close(none.contexts[0].tokens, told[1][:1], 1e-5)
    told = [{"encoder_hidden_states": states} for states in told]
    compare(pipeline, place, *told, picture=True)


def test_auffusion(folder, tmp_path):
    """Its conditioner by its own files; the rest by diffusers, from our export."""
    place = folder("auffusion")
    pipeline = load(place)
    made = theirs.auffusion(place, PROMPTS)
    asked = conditions(pipeline)[0]
    close(asked.contexts[0].tokens, made, 1e-5)
    told = [{"encoder_hidden_states": x} for x in (made, torch.zeros_like(made))]
    exported = convert(place, tmp_path / "diffusers", layout="diffusers")
    compare(pipeline, exported, *told, picture=True)


def _audioldm2(language, words, mask):
    return {
        "encoder_hidden_states": language,
        "encoder_hidden_states_1": words,
        "encoder_attention_mask_1": mask,
    }
