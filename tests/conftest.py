"""Strict settings for every test.

Four forced CPU devices, no silent promotion of shapes or types, no network, and (in
pyproject.toml) warnings are errors.
"""

import atexit
import os
import shutil
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
)
os.environ["HF_HUB_OFFLINE"] = "1"
# What one worker has compiled no other needs to, while the tests run.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jax-tests-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], True)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
os.environ["MPLBACKEND"] = "agg"

import hypothesis
import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

# The same examples in each run, and no time limit: the first call compiles.
hypothesis.settings.register_profile("house", derandomize=True, deadline=None)
hypothesis.settings.load_profile("house")


def pytest_ignore_collect(collection_path, config):
    """Leaves tests/parity unread where no test of it is asked for: torch is heavy."""
    if "not parity" in config.option.markexpr and collection_path.name == "parity":
        return True
    return None
