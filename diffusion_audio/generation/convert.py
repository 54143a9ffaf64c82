"""Vocoders from and to the formats of others."""

from pathlib import Path

import jax
import numpy as np

from diffusion_audio.errors import UserError
from diffusion_audio.pretrained import folder, hifigan, published
from diffusion_audio.training import ema
from diffusion_audio.training.trained import read_run
from diffusion_audio.training.workdir import read_config


def convert(source: str | Path, out: str | Path, audio: str | None = None) -> Path:
    """Writes a folder of weights that a run can stand on and others can read.

    Args:
        source: a published vocoder, as `pretrained.published.read` takes it; or a
            vocoder's run, or a folder that this wrote.
        out: the folder; see `pretrained.folder`.
        audio: preset of the AudioSpec, where a published config does not say it.

    Returns:
        ``out``.

    Raises:
        UserError: something lacks, is damaged, hostile or of another model.
    """
    source, out = Path(source), Path(out)
    if folder.is_weights(source):
        config = read_config(source)
        cfg, generator = folder.read_generator(source, config)
        params = {"generator": generator}
        if "discriminators" in config:
            params["discriminators"] = folder.read_discriminators(source, config)
        config["generator"]["weight_norm"] = cfg.weight_norm
    elif (source / "checkpoints").is_dir():
        trained = read_run(source)
        if trained.config["task"] != "vocoder":
            raise UserError(
                f"{source} is a run of task {trained.config['task']!r}; only vocoders "
                "can be converted"
            )
        names = ("task", "audio", "generator")
        config = {name: trained.config[name] for name in names}
        config["origin"] = {"run": str(source)}
        best = ema.best(trained.state["ema"], trained.state["params"])
        params = {"generator": jax.tree.map(np.asarray, best["generator"])}
        judges = trained.state["params"]["discriminators"]
        if judges.keys() <= hifigan.PAPER.keys():  # others have no original names
            config["discriminators"] = trained.config["discriminators"]
            params["discriminators"] = jax.tree.map(np.asarray, judges)
    else:
        config, params = published.read(source, audio)
    if out.resolve() in (source.resolve(), source.resolve().parent):
        raise UserError(f"{out} holds the source itself; give another folder")
    folder.write(out, config, params)
    return out
