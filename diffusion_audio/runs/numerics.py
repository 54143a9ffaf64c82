"""What decides the last bits of numbers, beside code, config and data."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import jax

# Of the environment, which XLA reads; and of JAX.
FLAGS = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")
SETTINGS = (
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_disable_jit",
    "jax_enable_x64",
    "jax_random_seed_offset",
    "jax_softmax_custom_jvp",
    "jax_threefry_gpu_kernel_lowering",
    "jax_threefry_partitionable",
)
# What else of a session's record decides them.
OTHERS = ("packages", "devices", "processor")


def settings_of_numbers() -> dict[str, Any]:
    """The compiler's flags, and the settings of JAX that change numbers."""
    return {
        "flags": {name: os.environ.get(name, "") for name in FLAGS},
        "jax_config": {name: getattr(jax.config, name) for name in SETTINGS},
    }


def changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What decides last bits and differs between two sessions, in words.

    Args:
        then: an earlier session's record. What it does not say does not count.
        now: this one's.

    Returns:
        Empty where nothing does.
    """
    return "; ".join(_changes(then, now))


def _changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for group in ("flags", "jax_config", *OTHERS):
        if group not in then or then[group] == now[group]:
            continue
        if not isinstance(now[group], dict):
            yield f"{group} {then[group]} then, {now[group]} now"
            continue
        for name in sorted(then[group].keys() | now[group].keys()):
            old, new = then[group].get(name), now[group].get(name)
            if old != new:
                yield f"{name} {old!r} then, {new!r} now"
