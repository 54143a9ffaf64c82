import contextlib
import os
import sqlite3

import numpy as np
import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.scoring import cache
from diffusion_audio.evaluation.scoring.cache import (
    Cache,
    Entry,
    content_hash,
    space_of,
    stamp,
    with_cache,
)


def test_what_was_kept_is_there_again(tmp_path):
    first = Entry(np.ones((2, 3), np.float32), np.zeros((2, 4), np.float32))
    second = Entry(np.full((1, 3), 7, np.float32), None)
    with Cache(tmp_path / "new" / "folder") as store:
        store.keep("space", "one", first)
        store.keep("space", "two", second)
        assert store.missing("space", {"one", "three"}) == {"three"}
        assert store.missing("other", {"one"}) == {"one"}
    with Cache(tmp_path / "new" / "folder") as store:
        again = list(store.entries("space", ["two", "one"]))
    np.testing.assert_array_equal(again[1].embedding, first.embedding)
    np.testing.assert_array_equal(again[1].logits, first.logits)
    np.testing.assert_array_equal(again[0].embedding, second.embedding)
    assert again[0].logits is None


def test_a_file_that_may_still_change_has_no_stamp(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"x")
    assert stamp(path) == ""
    assert stamp(tmp_path / "nowhere") == ""
    monkeypatch.setattr(cache, "UNSETTLED", -1.0)
    settled = stamp(path)
    assert settled == stamp(path) != ""
    os.utime(path, ns=(1, 1))
    assert stamp(path) != settled


def test_a_content_is_known_as_long_as_its_file_is_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "UNSETTLED", -1.0)
    path = tmp_path / "a"
    path.write_bytes(b"x")
    with Cache(tmp_path) as store:
        assert store.known(path) is None
        store.remember(path, content_hash(path), stamp(path))
        assert store.known(path) == content_hash(path)
        path.write_bytes(b"y")
        assert store.known(path) is None


def test_a_space_is_of_network_weights_treatment_and_code(monkeypatch):
    one = space_of("net", "w", {"a": 1})
    assert one == space_of("net", "w", {"a": 1})
    others = [("other", "w", {"a": 1}), ("net", "v", {"a": 1}), ("net", "w", {"a": 2})]
    assert len({one, *(space_of(*other) for other in others)}) == 4
    monkeypatch.setattr(cache, "code_hash", lambda *modules: "changed")
    assert space_of("net", "w", {"a": 1}) != one


@pytest.mark.parametrize("place", ["embedding", "content"])
def test_a_row_that_was_damaged_is_as_if_not_there(tmp_path, place):
    path = tmp_path / "a"
    path.write_bytes(b"x")
    with Cache(tmp_path) as store:
        store.keep("space", "one", Entry(np.ones((2, 3), np.float32), None))
        store.keep("space", "two", Entry(np.full((1, 3), 7, np.float32), None))
        store.remember(path, "c" * 64, "stamped")
    data = {"embedding": np.float32([7, 7, 7]).tobytes(), "content": b"c" * 64}[place]
    file = tmp_path / "heard.sqlite"
    assert file.read_bytes().count(data) == 1
    file.write_bytes(file.read_bytes().replace(data, bytes([255]) + data[1:]))
    with Cache(tmp_path) as store:
        lost = store.missing("space", {"one", "two"})
        assert lost == ({"two"} if place == "embedding" else set())
        assert store.known(path) is None
        store.keep("space", "two", Entry(np.ones((1, 3), np.float32), None))
        assert store.missing("space", {"one", "two"}) == set()


@pytest.mark.parametrize("damage", ["other", "cut", "tables"])
def test_a_damaged_cache_is_put_aside(tmp_path, damage):
    path = tmp_path / "heard.sqlite"

    def work(store):
        missing = store.missing("space", {"one"})
        store.keep("space", "one", Entry(np.ones((9, 900), np.float32), None))
        return missing

    assert with_cache(tmp_path, work) == {"one"}
    assert with_cache(tmp_path, work) == set()
    if damage == "tables":
        path.unlink()
        with contextlib.closing(sqlite3.connect(path)) as base:
            base.execute("CREATE TABLE heard (other)")
    else:
        whole = path.read_bytes()
        path.write_bytes(whole[:-9000] if damage == "cut" else b"none" + whole[4:])
    before = path.stat().st_ino
    assert with_cache(tmp_path, work) == {"one"}
    assert (tmp_path / "heard.sqlite.damaged").stat().st_ino == before
    assert with_cache(tmp_path, work) == set()


def test_a_new_cache_of_another_program_is_not_put_aside(tmp_path):
    with Cache(tmp_path) as store:
        store.keep("space", "one", Entry(np.ones((1, 3), np.float32), None))

    def work(store):
        if not (tmp_path / "old").exists():  # another finds the damage first
            (tmp_path / "heard.sqlite").rename(tmp_path / "old")
            with Cache(tmp_path) as new:
                new.keep("space", "two", Entry(np.ones((1, 3), np.float32), None))
            raise sqlite3.DatabaseError("database disk image is malformed")
        return store.missing("space", {"one", "two"})

    assert with_cache(tmp_path, work) == {"one"}
    assert not (tmp_path / "heard.sqlite.damaged").exists()


def test_a_cache_that_cannot_be_used_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot be used.*remove it, or give another"):
        with_cache(tmp_path / "file" / "folder", print)

    def work(store):
        raise sqlite3.OperationalError("database is locked")

    with pytest.raises(UserError, match=r"cannot be used \(database is locked"):
        with_cache(tmp_path, work)
