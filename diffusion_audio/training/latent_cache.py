"""The latents of a set, encoded once a run by its frozen VAE."""

import functools
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging

from diffusion_audio.aliases import Params
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.runs import same_run
from diffusion_audio.training.task import Task


def latent_cache(
    task: Task,
    config: Mapping[str, Any],
    directory: Path,
    source: Any,
    *,
    samples: int,
    frozen: Callable[[], Params],
    spare: Path | None = None,
) -> Any:
    """The source with its audio replaced by the VAE's posterior moments.

    Args:
        task: says what is kept of a clip, by its ``encode``.
        config: resolved, of its run.
        directory: of the cache; made where it is not there, and made again where it
            is damaged or of something else.
        source: of clips with audio.
        samples: length N of each clip.
        frozen: loads what encodes; not called where the cache is there and whole.
        spare: where it is made in place of ``directory``, which is only read then.

    Raises:
        UserError: no clip is good, the cache cannot be written, or a link is in its
            place and leads to something else.
    """
    from diffusion_audio.data import latent_files, latents
    from diffusion_audio.data.encoding import Encoding

    assert task.encode is not None
    spec = AudioSpec.from_config(config["audio"])
    parts = config.get("components", {})
    encoder = parts.get("autoencoder", config.get("autoencoder", {}))
    meta = {
        "audio_spec": spec.hash,
        "autoencoder": encoder.get("hash") or same_run.content_hash(encoder),
        "source": source.fingerprint(),
        "samples": samples,
    }
    encode = jax.jit(task.encode)

    def encoding() -> Encoding:
        """Loads what encodes when it is needed, and lets go of it with itself."""
        params = functools.cache(frozen)
        return Encoding(
            source, lambda audio: np.asarray(encode(params(), audio)), samples
        )

    if directory.exists():
        try:
            return latents.open(directory, encoding(), meta)
        except UserError as error:
            if spare is None and directory.is_symlink():  # where it leads is not ours
                raise
            logging.warning("%s; they are computed again now", error)
            if spare is None:
                shutil.rmtree(directory)
    directory = spare or directory
    logging.info("encoding %d clips, once a run, into %s", len(source), directory)
    latent_files.write(directory, encoding(), meta)
    return latents.open(directory, encoding(), meta)
