"""From prompts to waveforms with a trained run.

pipeline = load("runs/diffusion")
waves = pipeline(["a loud plucked violin at A5"], key=jax.random.key(0))
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from diffusion_audio.aliases import Array, Key, Params
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.data.text import as_texts, clean
from diffusion_audio.diffusion.noise import example_keys, example_noise, purpose_key
from diffusion_audio.errors import UserError
from diffusion_audio.generation.batches import (
    BATCH_SIZE,
    in_batches,
    joined,
    require_size,
)
from diffusion_audio.generation.windows import stream
from diffusion_audio.runs.components import load_vocoder
from diffusion_audio.runs.extras import Extras
from diffusion_audio.runs.read import read_weights
from diffusion_audio.runs.resolve import component
from diffusion_audio.runs.workdir import read_config, require_part
from diffusion_audio.settings import settings
from diffusion_audio.systems.conditioning import Tokenizers
from diffusion_audio.systems.sampler import SamplingConfig
from diffusion_audio.systems.system import System, build

LONGEST_SECONDS = 600.0


@dataclasses.dataclass(frozen=True)
class Pipeline:
    """A trained model that turns captions into audio. Made by `load`.

    Attributes:
        system: the parts and the process.
        params: of conditioners and denoiser, averaged where the run has an average.
        frozen: of autoencoder and vocoder, and the latent scale.
        tokenizers: of the prompts.
        sampling: the run's own solver, steps and guidance.
        seconds: length of what the run was trained on.
        step: of the checkpoint that it was read from.
    """

    system: System
    params: Params
    frozen: Params
    tokenizers: Tokenizers
    sampling: SamplingConfig
    seconds: float
    step: int

    def __call__(
        self,
        prompts: str | Sequence[str],
        *,
        key: Key,
        solver: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        duration: float | None = None,
        negative_prompt: str = "",
        latents: Array | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> np.ndarray:
        """Waveforms float32 [B, N] at ``system.spec.sample_rate``.

        A prompt at the same position gets the same sound under the same key,
        whatever stands beside it and whatever the batch size.

        Args:
            prompts: B captions; a string is one.
            key: of all randomness.
            solver: a name of `diffusion.solvers.SOLVERS`; the run's own where None.
            steps: solver steps; the run's own where None.
            guidance: classifier-free guidance scale; the run's own where None.
            duration: seconds; the length of training clips where None.
            negative_prompt: what guidance leads away from.
            latents: noise to start from [B, H, W, C]; drawn from ``key`` where None.
            batch_size: prompts that are computed at a time, which memory grows with.

        Raises:
            UserError: a prompt is too long, a number is impossible, or there is no
                vocoder.
        """
        made = self.batches(
            prompts,
            key=key,
            solver=solver,
            steps=steps,
            guidance=guidance,
            duration=duration,
            negative_prompt=negative_prompt,
            latents=latents,
            batch_size=batch_size,
        )
        return joined(made)

    def batches(
        self,
        prompts: str | Sequence[str],
        hear: Callable[[Array], Any] | None = None,
        *,
        key: Key,
        solver: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        duration: float | None = None,
        negative_prompt: str = "",
        latents: Array | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> Iterator[Any]:
        """The sounds of prompts, batch by batch; for the rest see `__call__`.

        ``hear`` makes of log-mels [b, T, F] what is wanted of them, arrays [b, ...];
        waveforms [b, N] by the model's vocoder where None. What cannot be is refused
        by the call, before the first batch is asked for.
        """
        prompts = as_texts(prompts)
        against = as_texts([negative_prompt], "negative prompt")
        samples = self._samples(duration)
        if hear is None:
            self.system.require_vocoder()

            def hear(mels: Array) -> np.ndarray:
                return self.vocode(mels)[:, :samples]

        cfg = self.drawing(solver, steps, guidance)
        shape = self.system.latent_shape(samples)
        if latents is not None and latents.shape != (len(prompts), *shape):
            raise UserError(
                f"latents of shape {latents.shape} do not fit {len(prompts)} prompts "
                f"of {samples} samples; expected shape "
                f"{(len(prompts), *shape)}"
            )
        if not np.isfinite(cfg.guidance):
            raise UserError(f"guidance must be a finite number, not {cfg.guidance}")
        self.system.sampler(cfg)  # refuses what cannot be, before anything compiles
        require_size(batch_size)
        null = self.tokenizers.null()
        if clean(against[0]):
            null = self.tokenizers.prompt(against)

        def draw(prompt: Any, index: Array, *start: Array) -> Any:
            keys = example_keys(purpose_key(key, "latents"), index)
            (z,) = start or (example_noise(keys, shape),)
            mels = self._generate(
                self.params,
                self.frozen,
                dataclasses.replace(cfg, guidance=1.0),  # traced, not compiled in
                z,
                prompt,
                null,
                jnp.float32(cfg.guidance),
                purpose_key(key, "solver"),
                index,
            )
            if not np.isfinite(mels).all():
                raise UserError(
                    "the model's output is not finite (NaN or infinity); was its "
                    "training stable? Otherwise lower the guidance"
                )
            return hear(mels)

        asked = self.tokenizers.prompt(prompts)
        rows = (asked, np.arange(len(prompts), dtype=np.int32))
        start = () if latents is None else (latents,)
        return in_batches(draw, *rows, *start, size=batch_size)

    def drawing(
        self,
        solver: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> SamplingConfig:
        """How sounds are drawn: the run's own way, but for what is given."""
        cfg = self.sampling if solver is None else self.sampling.of_solver(solver)
        changes = {"steps": steps, "guidance": guidance}
        given: Any = {k: value for k, value in changes.items() if value is not None}
        return dataclasses.replace(cfg, **given)

    def reconstruct(self, audio: np.ndarray) -> np.ndarray:
        """Waveforms [B, N] through VAE and vocoder: the best the model could sound."""
        mels = self._reconstruct(self.frozen, jnp.asarray(audio))
        return self.vocode(mels)[:, : audio.shape[1]]

    def vocode(self, mels: Array) -> np.ndarray:
        """Waveforms [B, N] of log-mels [B, T, F] by the run's vocoder.

        Long ones are made window by window, so memory does not grow with them.
        """
        vocode = functools.partial(self._vocode, self.frozen)
        vocoder = self.system.require_vocoder()
        pieces = stream(
            vocode, np.asarray(mels), hop=vocoder.hop_length, margin=vocoder.margin
        )
        return np.concatenate(list(pieces), axis=1)

    @functools.cached_property
    def _generate(self) -> Any:
        def generate(
            params: Params,
            frozen: Params,
            cfg: SamplingConfig,
            z: Array,
            prompt: Any,
            null: Any,
            guidance: Array,
            key: Key,
            index: Array,
        ) -> Array:
            z0 = self.system.sample(
                params, frozen, cfg, z, prompt, null, guidance, key, index
            )
            return self.system.decode(frozen, z0)

        return jax.jit(generate, static_argnums=2)

    @functools.cached_property
    def _reconstruct(self) -> Any:
        def reconstruct(frozen: Params, audio: Array) -> Array:
            moments = self.system.encode(frozen, audio)
            return self.system.decode(frozen, moments.mean * frozen["latent_scale"])

        return jax.jit(reconstruct)

    @functools.cached_property
    def _vocode(self) -> Any:
        return jax.jit(self.system.vocode)

    def _samples(self, duration: float | None) -> int:
        seconds = self.seconds if duration is None else duration
        if not 0 < seconds <= LONGEST_SECONDS:
            raise UserError(
                f"duration must lie above 0 and up to {LONGEST_SECONDS:.0f} s, not "
                f"{seconds}"
            )
        return round(seconds * self.system.spec.sample_rate)


def load(
    run_dir: str | Path,
    vocoder: str | Path | None = None,
    *,
    device: jax.Device | None = None,
) -> Pipeline:
    """The pipeline of a run that trained text to audio.

    What generation needs is read, and nothing else: averages or parameters, and the
    frozen parts.

    Args:
        run_dir: its work directory.
        vocoder: a vocoder's run or converted weights, in place of the run's own.
        device: where parameters go; the first one where None.

    Raises:
        UserError: not such a run, nothing saved yet, or another AudioSpec.
    """
    config = read_config(run_dir)
    require_part(config, run_dir, "denoiser", "text to audio needs one that trained")
    if vocoder is not None:
        spec = AudioSpec.from_dict(config["audio"])
        part = component("vocoder", str(vocoder), spec, str(run_dir), said="--vocoder")
        config.setdefault("components", {})["vocoder"] = part
    system = build(config)
    params, frozen = system.shapes()
    if vocoder is not None:
        frozen.pop("vocoder")
    weights = read_weights(run_dir, params, frozen, device)
    kept = dict(weights.frozen)
    if vocoder is not None:
        kept["vocoder"] = load_vocoder(vocoder, part, device)
    return Pipeline(
        system=system,
        params=weights.params,
        frozen=kept,
        tokenizers=system.conditioning.read(Extras(run_dir), str(run_dir)),
        sampling=settings(SamplingConfig, config, "sampling"),
        seconds=config["data"]["seconds"],
        step=weights.step,
    )
