"""The latents of a set, encoded once a run by its frozen VAE."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from diffusion_audio.aliases import Array, Params
from diffusion_audio.errors import UserError
from diffusion_audio.training import same_run
from diffusion_audio.training.latent_diffusion import build


def latent_cache(
    config: Mapping[str, Any],
    directory: Path,
    source: Any,
    *,
    samples: int,
    frozen: Callable[[], Params],
) -> Any:
    """The source with its audio replaced by the VAE's posterior moments.

    Args:
        config: resolved, of a diffusion run.
        directory: of the cache; made where it is not there, and made again where it
            is damaged or of something else.
        source: of clips with audio.
        samples: length N of each clip.
        frozen: loads the VAE; not called where the cache is there.

    Raises:
        UserError: no clip is good, the cache cannot be written, or a link is in its
            place and leads to something else.
    """
    from diffusion_audio.data import latents

    model = build(config)
    vae = config["components"].get("vae", config.get("patches", {}))
    meta = {
        "audio_spec": model.spec.hash,
        "vae": vae.get("hash") or same_run.content_hash(vae),
        "source": source.fingerprint(),
        "samples": samples,
    }
    if directory.exists():
        try:
            return latents.open(directory, source, meta)
        except UserError as error:
            if directory.is_symlink():  # where it leads is not ours
                raise
            logging.warning("%s; they are computed again now", error)
            shutil.rmtree(directory)
    params = frozen()

    @jax.jit
    def encode(audio: Array) -> Array:
        return jnp.concatenate(model.encode(params, audio), axis=-1)

    logging.info("encoding %d clips, once a run, into %s", len(source), directory)
    latents.write(
        directory,
        source,
        lambda audio: np.asarray(encode(audio)),
        meta,
        samples=samples,
    )
    return latents.open(directory, source, meta)
