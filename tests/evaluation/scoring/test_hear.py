"""Files of many lengths are heard each as if it were alone, by few programs."""

import jax
import numpy as np
import pytest
import soundfile

from diffusion_audio.audio.decoders import here
from diffusion_audio.evaluation.scoring.cache import Cache, content_hash
from diffusion_audio.evaluation.scoring.encoders import OpenEncoder
from diffusion_audio.evaluation.scoring.hear import (
    Listener,
    gather,
    hear,
    program_length,
    windows_of,
)
from diffusion_audio.evaluation.treatment import Treatment
from tests.systems.tiny_encoders import params_of, tiny

LENGTHS = (3000, 3001, 3333, 4000, 2600, 5100, 3999, 2048)


def heard_of(folder, encoder, params):
    """What is heard of noise of each length."""
    rng, paths = np.random.default_rng(0), []
    for i, samples in enumerate(LENGTHS):
        paths.append(folder / f"{i}.wav")
        sound = rng.uniform(-0.5, 0.5, samples).astype(np.float32)
        soundfile.write(paths[-1], sound, encoder.sample_rate, subtype="FLOAT")
    contents = [content_hash(path) for path in paths]
    listener = Listener("it", OpenEncoder(encoder, params, "w"), Treatment())
    with Cache(folder / "cache") as cache:
        files = dict(zip(contents, paths, strict=True))
        assert not hear(cache, listener, files, decode=here, batch_size=3)
        got = gather(cache, listener, contents, folder)
        sounds = [soundfile.read(path, dtype="float32")[0] for path in paths]
        return got, sounds


@pytest.mark.parametrize("name", ["cnn14", "vggish"])
def test_a_clip_is_heard_as_if_alone_and_lengths_share_programs(name, tmp_path):
    encoder, traced = tiny(name), []
    params = params_of(encoder.network)

    def counted(function):
        def count(params, waves, *rest):
            traced.append(waves.shape)
            return function(params, waves, *rest)

        return count if function else None

    counting = encoder._replace(
        encode=counted(encoder.encode), encode_filled=counted(encoder.encode_filled)
    )
    got, sounds = heard_of(tmp_path, counting, params)
    assert len(traced) <= (1 if name == "vggish" else 5)
    for i, sound in enumerate(sounds):
        alone = jax.tree.map(lambda x: x[0], encoder.encode(params, sound[None]))
        mine = got.clips == i
        np.testing.assert_allclose(got.embedding[mine], alone.embedding, atol=1e-5)
        if encoder.classes:
            np.testing.assert_allclose(got.logits[mine], alone.logits, atol=1e-5)


def test_of_very_many_lengths_not_all_programs_are_kept(tmp_path, monkeypatch):
    """The memory of an encoder that takes each length by itself is bounded."""
    from diffusion_audio.evaluation.scoring import hear as module
    from tests.evaluation.scoring.tiny import ENCODER, init

    monkeypatch.setattr(module, "PROGRAMS", 3)
    kept = []

    def encode(params, waves):
        kept.append(waves.shape[1])
        return ENCODER.encode(params, waves)

    params = init(jax.random.key(0))
    opened = OpenEncoder(ENCODER._replace(encode=encode), params, "w")
    batches = module._Batches(Listener("it", opened, Treatment()), 1, None)
    for place, samples in enumerate((800, 801, 802, 800, 803, 800)):
        wave = np.full(samples, 0.01 * place, np.float32)
        [(_, heard)] = batches.add(str(place), [wave])
        expected = ENCODER.encode(params, wave[None]).embedding[0]
        np.testing.assert_allclose(heard.embedding, expected, atol=1e-6)
    assert kept == [800, 801, 802, 803, 800]  # the fourth is one too many


def test_windows_that_follow_each_other():
    encoder, wave = tiny("vggish"), np.arange(2600, dtype=np.float32)
    assert [w[0] for w in windows_of(encoder, wave)] == [0, 840, 1680]
    assert [len(w) for w in windows_of(encoder, wave[:1739])] == [900]
    assert [len(w) for w in windows_of(encoder, wave[:899])] == [899]
    assert [len(w) for w in windows_of(tiny("passt"), wave)] == [2600]


def test_programs_of_an_octave_are_four():
    encoder = tiny("cnn14")
    lengths = {program_length(encoder, n) for n in range(4096, 8192)}
    assert sorted(lengths) == [4096, 5120, 6144, 7168, 8192]
    assert program_length(encoder, 160_000) == 163_840
    assert program_length(encoder, encoder.least - 1) == encoder.least - 1
    assert program_length(tiny("vggish"), 4097) == 4097
