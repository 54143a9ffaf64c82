"""The compute type of a whole system, in its config and in its parameters."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Sharding

from diffusion_audio.aliases import Params
from diffusion_audio.errors import unknown

DTYPES = ("float32", "bfloat16")
GROUPS = ("conditioners", "denoiser", "components", "ranker")


def of_dtype(config: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """A config whose networks all compute in a type.

    Raises:
        UserError: it is none of ``DTYPES``.
    """
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    return {k: _set(v, dtype) if k in GROUPS else v for k, v in config.items()}


def _set(value: Any, dtype: str) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {k: dtype if k == "dtype" else _set(v, dtype) for k, v in value.items()}


def placed(
    params: Params, place: Sharding | None = None, dtype: str | None = None
) -> Params:
    """Parameters on devices, a leaf at a time; the tree that is given is emptied.

    So memory holds a part once, and one leaf of it twice.

    Args:
        params: nested dicts of NumPy arrays.
        place: where they go; the first device where None.
        dtype: of matrices and kernels, while vectors (biases, norms) are float32; as
            they are where None.
    """
    done = {}
    for name in list(params):
        leaf = params.pop(name)
        if isinstance(leaf, dict):
            done[name] = placed(leaf, place, dtype)
            continue
        if dtype is not None:
            leaf = leaf.astype(jnp.dtype(dtype if leaf.ndim > 1 else "float32"))
        done[name] = jax.device_put(leaf, place or jax.local_devices()[0])
        jax.block_until_ready(done[name])
    return done
