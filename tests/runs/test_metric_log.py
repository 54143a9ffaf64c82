"""Metrics: no good row is lost, and no run ends because one cannot be written."""

import errno
import json
import os
import zlib

import numpy as np
import pytest

from diffusion_audio.runs.metric_log import MetricLog, read_metrics
from diffusion_audio.training.task import Evaluation


def row(step, split="train", **values):
    return {"step": step, "split": split, "loss": 0.5, **values}


def line(step, split="train"):
    """A row as earlier versions wrote it."""
    return json.dumps(row(step, split)).encode() + b"\n"


def summed(step):
    """A row as it is written now."""
    text = json.dumps(row(step))[:-1]
    return f'{text}, "crc32": "{zlib.crc32(text.encode()):08x}"}}\n'.encode()


@pytest.mark.parametrize(
    "damaged",
    [
        b'{"step": 2, "spl\n',
        b"\xff\xfe\x00\n",
        b"\0\0\0\0\n",
        b'{"split": "train", "loss": 1}\n',
        b'{"step": "2", "split": "train"}\n',
        b'{"step": 2}\n',
        b"[2]\nnull\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_damaged_line_is_named_and_kept_apart(tmp_path, caplog, damaged):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(line(1) + damaged + line(3) + line(4))
    assert read_metrics(tmp_path) == [row(1), row(3), row(4)]
    assert path.read_bytes() == line(1) + damaged + line(3) + line(4)
    assert f"{path}: line 2" in caplog.text
    log = MetricLog(tmp_path, 16_000, 3)
    log.scalars(5, "train", {"loss": 0.5})
    log.close()
    assert path.read_bytes() == line(1) + line(3) + summed(5)
    assert (tmp_path / "metrics.jsonl.damaged").read_bytes() == damaged


@pytest.mark.parametrize("place", range(0, len(summed(2)) - 1))
def test_each_bit_of_a_row_counts(tmp_path, place):
    data = bytearray(summed(2))
    data[place] ^= 1 << place % 7
    (tmp_path / "metrics.jsonl").write_bytes(summed(1) + data + summed(3))
    rows = read_metrics(tmp_path)
    assert rows[0] == row(1)
    assert rows[-1] == row(3)
    assert len(rows) == 2 or rows[1] == row(2)


def test_a_torn_last_line_is_left_out_and_a_whole_one_is_ended(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    for last, rows in ((line(2)[:-9], [1, 5]), (line(2)[:-1], [1, 2, 5])):
        path.write_bytes(line(1) + last)
        log = MetricLog(tmp_path, 16_000, rows[-2])
        log.scalars(5, "train", {"loss": 0.5})
        log.close()
        assert read_metrics(tmp_path) == [row(step) for step in rows]
    assert not caplog.text
    assert not (tmp_path / "metrics.jsonl.damaged").exists()


def test_rows_that_are_gone_are_said_where_a_run_goes_on(tmp_path, caplog):
    (tmp_path / "metrics.jsonl").write_bytes(summed(1) + summed(4)[:9])
    MetricLog(tmp_path, 16_000, 4).close()
    assert "metrics.jsonl lacks step 4, which is saved" in caplog.text


def test_numbers_are_written_again_as_they_stood(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first = b'{"split": "train",  "step": 1, "loss": 0.10000, "e": NaN}\n'
    path.write_bytes(first + line(9))
    MetricLog(tmp_path, 16_000, 3).close()
    assert path.read_bytes() == first


def test_a_crash_while_rows_are_taken_out_loses_none(tmp_path, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(line(1) + line(9))

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        MetricLog(tmp_path, 16_000, 3)
    assert path.read_bytes() == line(1) + line(9)


class FullFile:
    """Takes a part of each line, as a full disk does, while ``full``."""

    def __init__(self, file):
        self._file, self.full = file, True

    def write(self, data):
        return self._file.write(data[:7] if self.full else data)

    def __getattr__(self, name):
        return getattr(self._file, name)


def test_a_full_disk_costs_rows_and_is_said_once(tmp_path, caplog):
    log = MetricLog(tmp_path, 16_000)
    log.scalars(1, "train", {"loss": 0.5})
    log._file = FullFile(log._file)
    for step in (2, 3):
        log.scalars(step, "train", {"loss": 0.5})
    assert caplog.text.count("cannot write metrics.jsonl") == 1
    log._file.full = False
    log.scalars(4, "train", {"loss": 0.5})
    log.close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == summed(1) + summed(4)


def test_tensorboard_on_a_full_disk_is_survived(tmp_path, caplog, monkeypatch):
    from diffusion_audio.runs import tensorboard

    usual = tensorboard.EventsWriter.write_event

    def full(self, event):
        if event.HasField("summary"):
            raise OSError(errno.ENOSPC, "No space left on device")
        usual(self, event)

    log = MetricLog(tmp_path, 16_000)
    with monkeypatch.context() as patch:
        patch.setattr(tensorboard.EventsWriter, "write_event", full)
        for step in (1, 2):
            log.scalars(step, "train", {"loss": 0.5})
    assert caplog.text.count("cannot write TensorBoard events") == 1
    media = {"wave": np.zeros(8, np.float32)}, {"mel": np.zeros((4, 4), np.float32)}
    log.evaluation(3, Evaluation({"loss": 0.5}, *media))
    log.close()
    assert read_metrics(tmp_path)[-1] == row(3, "eval")
    written = b"".join(p.read_bytes() for p in (tmp_path / "tensorboard").iterdir())
    assert all(name in written for name in (b"eval/loss", b"wave", b"mel"))
    assert b"train/loss" not in written


def test_events_beyond_the_step_gone_on_from_are_hidden(tmp_path):
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    log = MetricLog(tmp_path, 16_000, 4)
    log.scalars(5, "train", {"loss": 0.5})
    log.close()
    (path,) = (tmp_path / "tensorboard").iterdir()
    data, events = path.read_bytes(), []
    while data:
        size = int.from_bytes(data[:8], "little")
        events.append(Event.FromString(data[12 : 12 + size]))
        data = data[16 + size :]
    assert events[0].file_version == "brain.Event:2"
    assert events[1].session_log.status == SessionLog.START
    assert (events[1].step, events[2].step) == (5, 5)


def test_a_number_that_is_not_finite_is_a_row_and_no_event(tmp_path, caplog):
    log = MetricLog(tmp_path, 16_000)
    log.scalars(1, "train", {"loss": float("nan"), "kl": float("inf")})
    log.close()
    (found,) = read_metrics(tmp_path)
    assert np.isnan(found["loss"])
    assert not caplog.records  # tensorboardX warns of each
