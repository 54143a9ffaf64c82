import os

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
        assert store.windows("space", ["two", "one"]) == [1, 2]
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


def test_a_cache_that_is_none_is_said(tmp_path):
    (tmp_path / "heard.sqlite").write_bytes(b"no data base at all" * 99)
    with pytest.raises(UserError, match=r"cannot be used.*remove it, or give another"):
        Cache(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be used"):
        Cache(tmp_path / "file" / "folder")
