"""Compiled programs are kept, so that the next command need not compile them again."""

import os
import stat
import tempfile
from pathlib import Path

from absl import logging

PLACE = "JAX_COMPILATION_CACHE_DIR"
SHORTEST = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"


def keep_compiled() -> None:
    """Tells JAX where to keep what it compiles; to be called before it is imported.

    That is the user's cache directory, or what ``JAX_COMPILATION_CACHE_DIR`` names,
    where none is with an empty name. JAX knows a program by what is computed, by its
    own version and by the features of the processor, so machines may share a home.
    A place that cannot be used is said and done without.
    """
    # It holds native code, which whoever reads it runs: so it lies where only this user
    # writes, and never in a folder that is handed on, as those of runs are.
    os.environ.setdefault(SHORTEST, "0.1")
    if PLACE in os.environ:
        return
    place = user_cache() / "compiled"
    if problem := _problem(place):
        logging.warning(
            "what is compiled cannot be kept in %s (%s), so each command compiles "
            "anew; %s=DIR names another place",
            place,
            problem,
            PLACE,
        )
        return
    os.environ[PLACE] = str(place)


def user_cache() -> Path:
    """This program's part of the user's cache, by the XDG base directory rules."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(named if os.path.isabs(named) else os.path.expanduser("~/.cache"))
    return home / "diffusion_audio"


def _problem(place: Path) -> str:
    """Why a directory, made if need be, cannot be used; empty if it can."""
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"\0")
            file.flush()
        found = place.stat()
    except OSError as error:
        return error.strerror or str(error)
    if found.st_uid != os.getuid():
        return "it is another user's"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others may write to it"
    return ""
