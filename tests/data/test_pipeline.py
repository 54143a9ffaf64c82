import json
import logging

import numpy as np
import pytest

from diffusion_audio.audio.files import AudioFileError
from diffusion_audio.data import pipeline
from diffusion_audio.data.source import Clip, crop_or_pad
from diffusion_audio.errors import UserError

N = 16


class Numbers:
    """Clip i is the ramp i, i + 0.01, ...; longer than what is asked for."""

    name = "numbers"

    def __init__(self, clips: int, bad: dict[int, str] | None = None):
        self.clips = clips
        self.bad = bad or {}

    def __len__(self) -> int:
        return self.clips

    def __getitem__(self, index: int) -> Clip:
        if index in self.bad:
            raise AudioFileError(self.bad[index], f"{index}.wav", "bad")
        attributes = {"kind": ("even", "odd")[index % 2]}
        wave = index + 0.01 * np.arange(40, dtype=np.float32)
        return {
            "audio": wave,
            "caption": f"clip {index}",
            "attributes": attributes,
            "id": str(index),
        }

    def draw(self, index: int, samples: int, rng: np.random.Generator) -> Clip:
        position = rng.random()
        clip = self[index]
        return clip | {"audio": crop_or_pad(clip["audio"], samples, position)}

    def captions(self) -> list[str]:
        return [f"clip {i}" for i in range(self.clips)]

    def fingerprint(self) -> str:
        return f"numbers:{self.clips}"

    def inventory(self) -> dict[str, str]:
        return {}


def make(source: Numbers | None = None, **changes: object) -> pipeline.Batches:
    settings = {"batch_size": 4, "samples": N, "seed": 7} | changes
    return pipeline.batches(Numbers(10) if source is None else source, **settings)


def take(iterator: pipeline.Batches, count: int) -> list[dict[str, np.ndarray]]:
    return [next(iterator) for _ in range(count)]


def same(one: list[dict], other: list[dict]) -> None:
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def clips_of(batches: list[dict[str, np.ndarray]]) -> list[int]:
    return [int(wave[0]) for batch in batches for wave in batch["audio"]]


def test_shapes_types_and_what_is_asked_for() -> None:
    def inputs(clips: list[Clip]) -> dict[str, np.ndarray]:
        odd = [clip["attributes"]["kind"] == "odd" for clip in clips]
        said = [int(clip["caption"].removeprefix("clip ")) for clip in clips]
        return {"odd": np.array(odd), "said": np.array(said, np.int32)}

    batch = next(make(inputs=inputs))
    assert {k: (v.shape, v.dtype.name) for k, v in batch.items()} == {
        "audio": ((4, N), "float32"),
        "index": ((4,), "int32"),
        "odd": ((4,), "bool"),
        "said": ((4,), "int32"),
    }
    clips = clips_of([batch])
    np.testing.assert_array_equal(batch["said"], clips)
    np.testing.assert_array_equal(batch["odd"], np.array(clips) % 2 == 1)
    assert set(next(make())) == {"audio", "index"}


def test_each_epoch_has_every_clip_in_another_order_and_crop() -> None:
    batches = take(make(), 5)  # two epochs of 10
    clips = clips_of(batches)
    assert sorted(clips[:10]) == sorted(clips[10:]) == list(range(10))
    assert clips[:10] != clips[10:]
    starts = np.concatenate([b["audio"][:, 0] for b in batches]) - clips
    assert len(set(np.round(starts, 2))) > 5


def test_same_seed_same_stream_other_seed_another() -> None:
    same(take(make(), 6), take(make(), 6))
    assert clips_of(take(make(seed=8), 3)) != clips_of(take(make(), 3))


def test_without_shuffle_and_repeat_one_epoch_in_order() -> None:
    batches = list(make(shuffle=False, repeat=False))
    assert clips_of(batches) == list(range(10))
    assert [len(b["audio"]) for b in batches] == [4, 4, 2]
    same(batches, list(make(shuffle=False, repeat=False)))


def test_restored_at_every_step_the_rest_is_the_same() -> None:
    source = Numbers(10, bad={3: "truncated"})
    iterator = make(source)
    states, batches = [json.dumps(iterator.get_state())], []
    for _ in range(8):
        batches += take(iterator, 1)
        states.append(json.dumps(iterator.get_state()))
    for step, state in enumerate(states):
        other = make(source)
        if step % 2:
            next(other)  # a used iterator restores as well as a fresh one
        other.set_state(json.loads(state))
        same(take(other, 8 - step), batches[step:])


class Together:
    """The streams of so many processes, as one."""

    def __init__(self, processes: int, **changes: object) -> None:
        self.parts = [
            make(batch_size=8, process_index=i, process_count=processes, **changes)
            for i in range(processes)
        ]

    def take(self, count: int) -> list[dict[str, np.ndarray]]:
        rows = zip(*(take(part, count) for part in self.parts), strict=True)
        return [
            {name: np.concatenate([row[name] for row in step]) for name in step[0]}
            for step in rows
        ]

    def get_state(self) -> str:
        return json.dumps(self.parts[0].get_state())

    def set_state(self, state: str) -> None:
        for part in self.parts:
            part.set_state(json.loads(state))


BAD = {"source": Numbers(10, {2: "missing", 7: "empty"}), "skip_budget": 0.3}


@pytest.mark.parametrize("changes", [{}, BAD], ids=["good", "bad"])
def test_the_stream_does_not_depend_on_the_number_of_processes(changes) -> None:
    whole = Together(1, **changes).take(8)
    place = Together(1, **changes).get_state()
    for step, processes in enumerate([2, 1, 4, 8, 1, 2, 8, 4]):
        streams = Together(processes, **changes)
        same(streams.take(8), whole)
        streams.set_state(place)  # that another number of them has saved
        same(streams.take(1), whole[step : step + 1])
        place = streams.get_state()


def test_one_epoch_is_shared_to_its_last_clip() -> None:
    parts = [
        list(make(batch_size=4, process_index=i, process_count=2, repeat=False))
        for i in range(2)
    ]
    alone = list(make(repeat=False))
    assert sorted(clips_of(parts[0] + parts[1])) == sorted(clips_of(alone))
    assert clips_of(parts[0])[:2] + clips_of(parts[1])[:2] == clips_of(alone)[:4]


def test_bad_clips_are_counted_skipped_and_change_no_other(caplog) -> None:
    bad = {2: "unreadable", 5: "non-finite", 6: "unreadable"}
    good = clips_with_starts(make(skip_budget=0.3), 5)
    with caplog.at_level(logging.WARNING):
        iterator = make(Numbers(10, bad), skip_budget=0.3)
        left = clips_with_starts(iterator, 3)
    kept = [was for was in good[:12] if int(was) not in bad]
    assert [left[good.index(was)] for was in kept] == kept  # where they were
    assert not {int(c) for c in left} & bad.keys()
    assert iterator.skipped == {"unreadable": 2, "non-finite": 1}
    assert sum("skipping a bad clip" in r.message for r in caplog.records) == 3
    again = make(Numbers(10, bad), skip_budget=0.3)
    assert clips_with_starts(again, 3) == left


def clips_with_starts(iterator: pipeline.Batches, count: int) -> list[float]:
    return [float(w[0]) for b in take(iterator, count) for w in b["audio"]]


def test_one_bad_clip_is_always_allowed_and_counted_once() -> None:
    iterator = make(Numbers(10, {4: "empty"}))
    take(iterator, 12)
    assert iterator.skipped == {"empty": 1}


def test_skipped_clips_are_saved_with_the_place(caplog) -> None:
    bad = {2: "missing", 5: "empty", 7: "missing"}
    iterator = make(Numbers(10, bad), skip_budget=0.3)
    take(iterator, 6)
    state = json.loads(json.dumps(iterator.get_state()))
    caplog.clear()
    again = make(Numbers(10, bad), skip_budget=0.3)
    again.set_state(state)
    assert again.skipped == iterator.skipped == {"missing": 2, "empty": 1}
    take(again, 6)
    assert not caplog.records  # each is told of once
    more = make(Numbers(10, bad | {8: "empty"}), skip_budget=0.3)
    more.set_state(state)
    with pytest.raises(UserError, match="4 of the 10 clips of numbers are bad"):
        take(more, 6)
    mended = make(Numbers(10, {2: "missing"}), skip_budget=0.3)
    mended.set_state(state)
    take(mended, 6)
    assert mended.skipped == {"missing": 1}
    others = make(Numbers(10, {8: "empty"}), skip_budget=0.3, same_clips=False)
    others.set_state(state)  # whose numbers are of clips that are there no more
    take(others, 6)
    assert others.skipped == {"empty": 1}


def test_beyond_the_budget_the_run_stops() -> None:
    iterator = make(Numbers(10, dict.fromkeys(range(4), "missing")), skip_budget=0.3)
    with pytest.raises(UserError, match=r"4 of the 10 clips of numbers are bad.*'miss"):
        take(iterator, 10)


def test_the_budget_is_of_all_processes_that_share_their_notes() -> None:
    def epoch(process: int, bad: dict[int, str], **changes: object):
        options = {"process_index": process, "process_count": 2, "repeat": False}
        source = Numbers(20, bad)
        return make(source, skip_budget=0.15, **options, **changes)

    seen = [clips_of(list(epoch(process, {}))) for process in range(2)]
    assert len(set(seen[0] + seen[1])) == 20
    bad = {int(clip): "empty" for clips in seen for clip in clips[:2]}  # 3 may be
    for process in range(2):  # each alone has met but two of the four
        alone = epoch(process, bad)
        list(alone)
        assert alone.skipped == {"empty": 2}
    notes: dict[str, str] = {}
    list(epoch(0, bad, notes=notes))
    assert len(notes) == 2
    with pytest.raises(UserError, match="4 of the 20 clips of numbers are bad"):
        list(epoch(1, bad, notes=notes))
    mended = epoch(0, {}, notes=notes)
    mended.set_state({"place": mended.get_state()["place"], "skipped": notes.copy()})
    list(mended)
    assert len(mended.skipped) == 1  # what it has not read may still be bad


def test_a_clip_that_could_be_read_after_all_is_bad_for_nobody() -> None:
    notes: dict[str, str] = {}
    source = Numbers(10, {4: "unreadable"})
    stream = make(source, batch_size=2, notes=notes)
    while not notes:
        next(stream)
    source.bad.clear()
    take(stream, 30)
    assert (stream.skipped, notes) == ({}, {})


def test_a_source_without_any_good_clip_ends_in_an_error() -> None:
    iterator = make(Numbers(1, {0: "missing"}), batch_size=1)
    with pytest.raises(UserError, match="every clip of numbers is bad"):
        next(iterator)


def test_a_mistake_that_is_not_a_bad_file_is_not_skipped() -> None:
    class Broken(Numbers):
        def draw(self, index: int, samples: int, rng: np.random.Generator) -> Clip:
            raise UserError("no such column")

    with pytest.raises(UserError, match="no such column"):
        next(make(Broken(4)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": Numbers(0)}, "numbers has no clips"),
        ({"batch_size": 0}, "a batch of 0"),
        ({"batch_size": 6, "process_count": 4}, "6 cannot be shared by 4 processes"),
        ({"seed": -1}, "data seed"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(**changes)


@pytest.mark.parametrize(
    ("length", "position", "expected"),
    [(3, 0.9, [0, 1, 2, 0, 0]), (5, 0.9, range(5)), (9, 0.0, range(5))],
)
def test_fit_pads_and_crops(length: int, position: float, expected: list) -> None:
    np.testing.assert_array_equal(
        crop_or_pad(np.arange(length), 5, position), list(expected)
    )


def test_fit_reaches_the_end_of_the_clip() -> None:
    np.testing.assert_array_equal(crop_or_pad(np.arange(9), 5, 0.999), [4, 5, 6, 7, 8])
