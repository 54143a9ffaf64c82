import logging
import os
import re
import stat
import subprocess
import sys

import pytest

from diffusion_audio.cli.compiled import PLACE, SHORTEST, keep_compiled
from diffusion_audio.cli.main import main

PROGRAM = """
from diffusion_audio.cli.compiled import keep_compiled
keep_compiled()
import jax
assert jax.config.jax_persistent_cache_min_compile_time_secs == 0.1
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.jit(lambda x: x + 1)(1.0)
"""


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The directory of a user who has named none; it need not exist yet."""
    monkeypatch.setenv(PLACE, "")  # so that what is set later is undone
    monkeypatch.delenv(PLACE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/diffusion_audio/compiled"


def test_the_users_own_directory_is_made_and_named(cache):
    keep_compiled()
    assert os.environ[PLACE] == str(cache)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert list(cache.iterdir()) == []


def test_without_a_cache_directory_it_is_that_of_the_home(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    keep_compiled()
    assert os.environ[PLACE] == str(tmp_path / ".cache/diffusion_audio/compiled")


@pytest.mark.parametrize("named", ["", "/another/place"])
def test_what_the_user_names_is_left(cache, monkeypatch, named):
    monkeypatch.setenv(PLACE, named)
    monkeypatch.setenv(SHORTEST, "7")
    keep_compiled()
    assert (os.environ[PLACE], os.environ[SHORTEST]) == (named, "7")
    assert not cache.exists()


def test_every_verb_has_it(cache, monkeypatch):
    verb = type(sys)("diffusion_audio.cli.doctor")
    verb.main = lambda words: int(os.environ.get(PLACE) != str(cache))
    monkeypatch.setitem(sys.modules, verb.__name__, verb)
    assert main(["doctor"]) == 0


def a_file_is_in_the_way(cache):
    cache.parent.parent.write_text("")


def others_may_write(cache):
    cache.mkdir(parents=True)
    cache.chmod(0o777)


def another_user_has_it(cache):
    cache.mkdir(parents=True)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (a_file_is_in_the_way, "Not a directory|File exists"),
        (others_may_write, "others may write to it"),
        (another_user_has_it, "it is another user's"),
    ],
)
def test_a_place_of_no_use_is_one_warning(cache, monkeypatch, caplog, spoil, why):
    spoil(cache)
    if spoil is another_user_has_it:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
    with caplog.at_level(logging.WARNING):
        keep_compiled()
    (record,) = caplog.records
    assert PLACE not in os.environ
    assert str(cache) in record.getMessage()
    assert re.search(why, record.getMessage())


def test_jax_obeys(cache):
    environment = {k: v for k, v in os.environ.items() if k != SHORTEST}
    subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True)
    assert list(cache.glob("jit_*"))
