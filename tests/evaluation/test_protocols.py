"""Protocols by name: all of their constants are of their numbers' hashes."""

import dataclasses
import itertools

import pytest

from diffusion_audio.audio.sinc import Sinc
from diffusion_audio.evaluation.named_protocol import NamedProtocol
from diffusion_audio.evaluation.protocol import Protocol, text_hash
from diffusion_audio.evaluation.protocols import TABLE
from diffusion_audio.evaluation.treatment import Windows

NAMES = [name for name in TABLE.names if "tiny" not in name]


def hash_of(metric):
    """Of a number that differs in its constants only."""
    return Protocol(
        metric="m",
        definition="",
        reference="",
        reference_clips=0,
        prompts="",
        clips=0,
        sample_rate=0,
        seconds=0.0,
        loudness="",
        resampler="",
        vocoder="",
        embedding="",
        embedding_weights="",
        sampling_seeds=(),
        settings=metric.settings(),
    ).hash


def other(value):
    """Another value of a constant's kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"not {value}"
    if isinstance(value, Sinc):
        return dataclasses.replace(value, rolloff=0.5)
    if isinstance(value, Windows):
        return dataclasses.replace(value, hop=0.125)
    return {None: 7.0, (): ("file",)}.get(value, ())


def test_the_named_ones_are_there():
    assert set(NAMES) == {
        *("standard", "audioldm", "meanaudio", "tango", "auffusion", "audiocaps_all"),
        *("stable_audio_metrics", "fadtk", "kadtk", "kadtk_as_written"),
    }


@pytest.mark.parametrize("name", NAMES)
def test_each_says_what_it_is(name):
    protocol = TABLE[name]
    assert isinstance(protocol, NamedProtocol)
    assert protocol.about
    assert protocol.source
    for line in (protocol.about, protocol.source, *protocol.faults):
        assert "\n" not in line
    assert len(protocol.encoders) >= 2  # a ranking by one network is its own
    if protocol.clips:
        assert protocol.clips.count > 0
        assert len(protocol.clips.hash) == len(text_hash([]))


@pytest.mark.parametrize("name", NAMES)
def test_any_constant_changes_the_hash(name):
    for metric in TABLE[name].metrics.values():
        for part in ("treatment", "estimator"):
            constants = getattr(metric, part)
            for field in dataclasses.fields(constants):
                value = getattr(constants, field.name)
                changed = dataclasses.replace(constants, **{field.name: other(value)})
                whole = dataclasses.replace(metric, **{part: changed})
                assert hash_of(whole) != hash_of(metric), (name, part, field.name)


def test_lists_of_clips_differ():
    lists = [TABLE[name].clips for name in NAMES if TABLE[name].clips]
    counts = {each.count for each in lists}
    assert counts == {964, 957, 886, 761, 4875}
    for a, b in itertools.combinations(lists, 2):
        assert (a.hash == b.hash) == (a.count == b.count)
