"""From prompts to waveforms with a trained run.

pipeline = load("runs/diffusion")
waves = pipeline(["a loud plucked violin at A5"], key=jax.random.key(0))
"""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array, Key, Params
from diffusion_audio.data.tokenizer import Tokenizer
from diffusion_audio.diffusion.noise import example_keys, example_noise
from diffusion_audio.errors import UserError
from diffusion_audio.models.streaming import stream
from diffusion_audio.training import ema, run
from diffusion_audio.training.latent_diffusion import LatentDiffusion, build
from diffusion_audio.training.randomness import purpose_key
from diffusion_audio.training.sampler import SamplingConfig
from diffusion_audio.training.settings import settings

LONGEST_SECONDS = 600.0


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """A trained model that turns captions into audio. Made by `load`.

    Attributes:
        model: the networks and the schedule.
        params: of text encoder and UNet, averaged where the run has an average.
        frozen: VAE, latent scale and vocoder.
        tokenizer: of the captions.
        sampling: the run's own solver, steps and guidance.
        seconds: length of what the run was trained on.
    """

    model: LatentDiffusion
    params: Params
    frozen: Params
    tokenizer: Tokenizer
    sampling: SamplingConfig
    seconds: float

    def __call__(
        self,
        prompts: Sequence[str],
        *,
        key: Key,
        solver: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        duration: float | None = None,
        negative_prompt: str = "",
        latents: Array | None = None,
    ) -> np.ndarray:
        """Waveforms float32 [B, N] at ``model.spec.sample_rate``.

        A prompt at the same position gets the same sound under the same key,
        whatever stands beside it.

        Args:
            prompts: B captions.
            key: of all randomness.
            solver: a name of `diffusion.solvers.SOLVERS`; the run's own where None.
            steps: solver steps; the run's own where None.
            guidance: classifier-free guidance scale; the run's own where None.
            duration: seconds; the length of training clips where None.
            negative_prompt: what guidance leads away from.
            latents: noise to start from [B, H, W, C]; drawn from ``key`` where None.

        Raises:
            UserError: a prompt is too long, a number is impossible, or there is no
                vocoder.
        """
        self.model.require_vocoder()
        mels = self.log_mels(
            prompts,
            key=key,
            solver=solver,
            steps=steps,
            guidance=guidance,
            duration=duration,
            negative_prompt=negative_prompt,
            latents=latents,
        )
        return self.vocode(mels)[:, : self._samples(duration)]

    def log_mels(
        self,
        prompts: Sequence[str],
        *,
        key: Key,
        solver: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        duration: float | None = None,
        negative_prompt: str = "",
        latents: Array | None = None,
    ) -> Array:
        """Log-mels [B, T, F] of prompts; see `__call__`."""
        cfg = self.sampling if solver is None else self.sampling.of_solver(solver)
        if steps is not None:
            cfg = dataclasses.replace(cfg, steps=steps)
        shape = self.model.latent_shape(self._samples(duration))
        if latents is None:
            indices = jnp.arange(len(prompts))
            keys = example_keys(purpose_key(key, "latents"), indices)
            latents = example_noise(keys, shape)
        elif latents.shape != (len(prompts), *shape):
            raise UserError(
                f"latents of shape {latents.shape} do not fit {len(prompts)} prompts "
                f"of {self._samples(duration)} samples; expected shape "
                f"{(len(prompts), *shape)}"
            )
        guidance = cfg.guidance if guidance is None else guidance
        if not np.isfinite(guidance):
            raise UserError(f"guidance must be a finite number, not {guidance}")
        self.model.sampler(cfg)  # refuses what cannot be, before anything compiles
        mels = self._generate(
            self.params,
            self.frozen,
            cfg,
            latents,
            jnp.asarray(self.tokenizer.encode(list(prompts))),
            jnp.asarray(self.tokenizer.encode([negative_prompt])[0]),
            jnp.float32(guidance),
            purpose_key(key, "solver"),
        )
        if not np.isfinite(mels).all():
            raise UserError(
                "the model's output is not finite (NaN or infinity); was its training "
                "stable? Otherwise lower the guidance"
            )
        return mels

    def reconstruct(self, audio: np.ndarray) -> np.ndarray:
        """Waveforms [B, N] through VAE and vocoder: the best the model could sound."""
        mels = self._reconstruct(self.frozen, jnp.asarray(audio))
        return self.vocode(mels)[:, : audio.shape[1]]

    def vocode(self, mels: Array) -> np.ndarray:
        """Waveforms [B, N] of log-mels [B, T, F] by the run's vocoder.

        Long ones are made window by window, so memory does not grow with them.
        """
        vocode = functools.partial(self._vocode, self.frozen)
        if self.model.vocoder_config is None:
            return np.asarray(vocode(mels))  # says how to get one
        pieces = stream(vocode, np.asarray(mels), self.model.vocoder_config)
        return np.concatenate(list(pieces), axis=1)

    @functools.cached_property
    def _generate(self) -> Any:
        def generate(
            params: Params,
            frozen: Params,
            cfg: SamplingConfig,
            z: Array,
            tokens: Array,
            empty: Array,
            guidance: Array,
            key: Key,
        ) -> Array:
            z0 = self.model.sample(params, cfg, z, tokens, empty, guidance, key)
            return self.model.decode(frozen, z0)

        return jax.jit(generate, static_argnums=2)

    @functools.cached_property
    def _reconstruct(self) -> Any:
        def reconstruct(frozen: Params, audio: Array) -> Array:
            moments = self.model.encode(frozen, audio)
            return self.model.decode(frozen, moments.mean * frozen["latent_scale"])

        return jax.jit(reconstruct)

    @functools.cached_property
    def _vocode(self) -> Any:
        return jax.jit(self.model.vocode)

    def _samples(self, duration: float | None) -> int:
        seconds = self.seconds if duration is None else duration
        if not 0 < seconds <= LONGEST_SECONDS:
            raise UserError(
                f"duration must lie above 0 and up to {LONGEST_SECONDS:.0f} s, not "
                f"{seconds}"
            )
        return round(seconds * self.model.spec.sample_rate)


def load(run_dir: str | Path, vocoder: str | Path | None = None) -> Pipeline:
    """The pipeline of a diffusion run.

    Args:
        run_dir: its work directory.
        vocoder: a vocoder's run or converted weights, in place of the run's own.

    Raises:
        UserError: not a diffusion run, nothing saved yet, or another AudioSpec.
    """
    trained = run.read(run_dir)
    config = trained.config
    if config["task"] != "diffusion":
        raise UserError(
            f"{run_dir} is a run of task {config['task']!r}; text to audio needs one "
            "of task 'diffusion'"
        )
    state = trained.state
    frozen = dict(state["frozen"])
    if vocoder is not None:
        part = run.resolve(config | {"components": {"vocoder": str(vocoder)}})
        config["components"]["vocoder"] = part["components"]["vocoder"]
        frozen["vocoder"] = run.load_components(part)["vocoder"]
    return Pipeline(
        model=build(config),
        params=ema.best(state["ema"], state["params"]),
        frozen=frozen,
        tokenizer=trained.tokenizer,
        sampling=settings(SamplingConfig, config, "sampling"),
        seconds=config["data"]["seconds"],
    )
