"""A latent diffusion system: conditioners, denoiser, autoencoder, vocoder and process.

Training, generation and evaluation are all made of it. What is trained comes as
``params`` (conditioners, denoiser) and what it stands on as ``frozen`` (autoencoder,
latent_scale, the conditioners that are not trained, and a vocoder where there is one).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from diffusion_audio.aliases import Array, Batch, Key, Params
from diffusion_audio.audio.mel import denormalize, log_mel, normalize
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.diffusion.loss import Objective
from diffusion_audio.diffusion.multidiffusion import Windows, multidiffusion
from diffusion_audio.diffusion.noise import example_noise, purpose_key
from diffusion_audio.diffusion.process import Process, make_process
from diffusion_audio.diffusion.reverse import split_variance
from diffusion_audio.diffusion.sampling import sample
from diffusion_audio.diffusion.solvers import Denoiser as Denoise
from diffusion_audio.diffusion.solvers import Solver
from diffusion_audio.errors import UserError
from diffusion_audio.models.condition import Condition
from diffusion_audio.models.vae import Moments, sample_moments
from diffusion_audio.nn.functional import abstract_params
from diffusion_audio.settings import require_group, settings
from diffusion_audio.systems import autoencoders, denoisers, vocoders
from diffusion_audio.systems.autoencoders import Autoencoder
from diffusion_audio.systems.conditioning import (
    Conditioning,
    Prompt,
    build_conditioning,
)
from diffusion_audio.systems.denoisers import Denoiser
from diffusion_audio.systems.objective import DiffusionLossConfig
from diffusion_audio.systems.sampler import SamplingConfig, guide, make_sampler
from diffusion_audio.systems.table import build as build_part
from diffusion_audio.systems.vocoders import Vocoder

# An address of randomness, the same whatever the denoiser is: earlier results hold.
DENOISER_KEY = "unet"


@dataclasses.dataclass(frozen=True)
class System:
    """The parts of one system. Made by `build`.

    Attributes:
        spec: the mel contract.
        process: how latents become noise.
        objective: what the denoiser was taught to predict.
        conditioning: prompts -> condition.
        denoiser: (latents, its time, condition) -> prediction.
        autoencoder: mel spectrograms <-> latents.
        vocoder: log-mel [B, T, F] -> waveform [B, N], or None.
    """

    spec: AudioSpec
    process: Process
    objective: Objective
    conditioning: Conditioning
    denoiser: Denoiser
    autoencoder: Autoencoder
    vocoder: Vocoder | None

    def init(self, key: Key, purpose: str = "init") -> Params:
        """Fresh parameters of what is trained: ``conditioners`` and ``denoiser``."""
        address = purpose_key(key, f"{purpose} {DENOISER_KEY}")
        labels = self.conditioning.trained
        return {
            "conditioners": self.conditioning.init(key, labels, purpose),
            "denoiser": self.denoiser.network.init(address),
        }

    def init_frozen(self, key: Key) -> Params:
        """Fresh parameters of what is not, where nothing trained takes their place."""
        frozen: Params = {}
        if self.autoencoder.trained:
            frozen["autoencoder"] = self.autoencoder.network.init(key)
        if self.vocoder is not None:
            frozen["vocoder"] = self.vocoder.inference.init(key)
        if labels := self.conditioning.frozen:
            frozen["conditioners"] = self.conditioning.init(key, labels)
        return frozen

    def shapes(self) -> tuple[Params, Params]:
        """Abstract parameters of what is trained, and of what is not."""
        parts = self.conditioning.parts
        params = {
            "conditioners": {
                label: abstract_params(parts[label].network)
                for label in self.conditioning.trained
            },
            "denoiser": abstract_params(self.denoiser.network),
        }
        frozen: Params = {"latent_scale": jax.ShapeDtypeStruct((), jnp.float32)}
        if self.autoencoder.trained:
            frozen["autoencoder"] = abstract_params(self.autoencoder.network)
        if self.vocoder is not None:
            frozen["vocoder"] = abstract_params(self.vocoder.inference)
        if labels := self.conditioning.frozen:
            frozen["conditioners"] = {
                label: abstract_params(parts[label].network) for label in labels
            }
        return params, frozen

    def condition(self, params: Params, frozen: Params, prompt: Prompt) -> Condition:
        """What the denoiser is conditioned on; see `Tokenizers.prompt`."""
        every = frozen.get("conditioners", {}) | params["conditioners"]
        return self.conditioning(every, prompt)

    def predict(self, params: Params, z: Array, t: Array, condition: Any) -> Array:
        """The denoiser's output for latents z [B, H, W, C] at its time t [B]."""
        return self.denoiser.network.apply(params["denoiser"], z, t, condition)

    def require_told(self, prompt: Prompt) -> None:
        """Refuses conditioners that do not tell the denoiser what it takes.

        Nothing is computed, and no parameters are needed.

        Args:
            prompt: arrays [1, ...] of any prompt.

        Raises:
            UserError: a context or the vector is of another width, or there are more or
                fewer.
        """
        shape = (1, *self.latent_shape(self.spec.sample_rate))

        def predicted(params: Params, frozen: Params, prompt: Prompt) -> Array:
            condition = self.condition(params, frozen, prompt)
            time = self.process.time(jnp.zeros(1))
            return self.predict(params, jnp.zeros(shape), time, condition)

        jax.eval_shape(predicted, *self.shapes(), prompt)

    def encode(self, frozen: Params, audio: Array) -> Moments:
        """The autoencoder's posterior of waveforms [B, N], before scaling."""
        mel = normalize(self.spec, log_mel(self.spec, audio))[..., None]
        params = frozen.get("autoencoder", {})
        return self.autoencoder.network.apply(params, mel, method="encode")

    def posterior(self, frozen: Params, batch: Batch) -> Moments:
        """That of a batch's ``audio``; or ``moments``, as a cache has kept it."""
        if "moments" in batch:
            return Moments(*jnp.split(batch["moments"], 2, axis=-1))
        return self.encode(frozen, batch["audio"])

    def latents(self, frozen: Params, batch: Batch, keys: Key) -> Array:
        """Latents of unit scale [B, H, W, C], drawn with a key for each example."""
        moments = self.posterior(frozen, batch)
        noise = example_noise(keys, moments.mean.shape[1:])
        return sample_moments(moments, noise) * frozen["latent_scale"]

    def decode(self, frozen: Params, z: Array) -> Array:
        """Log-mels [B, T, F] of latents of unit scale [B, H, W, C]."""
        z = z / frozen["latent_scale"]
        params = frozen.get("autoencoder", {})
        mel = self.autoencoder.network.apply(params, z, method="decode")
        return denormalize(self.spec, mel[..., 0])

    def vocode(self, frozen: Params, mel: Array) -> Array:
        """Waveforms [B, N] of log-mels [B, T, F].

        Raises:
            UserError: the run was trained without a vocoder.
        """
        return self.require_vocoder().inference.apply(frozen["vocoder"], mel)

    def require_vocoder(self) -> Vocoder:
        """The vocoder, for what is going to need one.

        Raises:
            UserError: there is none.
        """
        if self.vocoder is None:
            raise UserError(
                "this run has no vocoder; train with "
                "--config.components.vocoder=RUN_DIR or give one with --vocoder=RUN_DIR"
            )
        return self.vocoder

    def latent_shape(self, samples: int) -> tuple[int, int, int]:
        """Shape [H, W, C] of the latents whose audio covers ``samples`` samples."""
        frames = -(-samples // self.spec.hop_length)
        return self.autoencoder.latent_shape(frames, self.spec.n_mels)

    def sampler(self, cfg: SamplingConfig) -> Solver:
        """The solver that a config names, for what the denoiser was taught."""
        return make_sampler(cfg, self.process, self.objective)

    def sample(
        self,
        params: Params,
        frozen: Params,
        cfg: SamplingConfig,
        z: Array,
        prompt: Prompt,
        null: Prompt,
        guidance: Array,
        key: Key,
        index: Array,
    ) -> Array:
        """Latents of unit scale for prompts; the conditioners run once.

        Args:
            params: of conditioners and denoiser.
            frozen: of the conditioners that are not trained.
            cfg: all but the guidance scale.
            z: noise to start from [B, H, W, C].
            prompt: arrays [B, ...].
            null: those of no prompt, or of what to lead away from, [1, ...].
            guidance: scalar or [B]; may change without recompilation.
            key: of the solver's own noise.
            index: int32 [B], each example's place in all that is drawn with ``key``.
        """
        both = self.condition(params, frozen, and_null(prompt, null))
        guided = self.guided(params, cfg, both, guidance)
        return sample(self.sampler(cfg), guided, z, key, indices=index)

    def guided(
        self,
        params: Params,
        cfg: SamplingConfig,
        both: Condition,
        guidance: Array,
        windows: Windows | None = None,
    ) -> Denoise:
        """The guided denoiser of B prompts.

        Args:
            params: of the denoiser.
            cfg: all but the guidance scale.
            both: the condition of `and_null`, [2B, ...].
            guidance: scalar or [B].
            windows: of the latents' time axis, that the denoiser sees one at a time;
                None where it sees the whole.
        """

        def denoise(z: Array, t: Array) -> Array:
            output = self.predict(params, z, t, both)
            unused = self.objective.learned_variance and not cfg.learned_variance
            return split_variance(output)[0] if unused else output

        seen: Denoise = denoise
        if windows is not None:
            seen = multidiffusion(denoise, windows, self.autoencoder.time_axis)
        return guide(cfg, self.process, seen, guidance)


def and_null(prompt: Prompt, null: Prompt) -> Prompt:
    """Prompts [B, ...] and as often none [1, ...], as guidance asks: [2B, ...]."""

    def both(given: Array, none: Array) -> Array:
        return jnp.concatenate([given, jnp.broadcast_to(none, given.shape)])

    return jax.tree.map(both, prompt, null)


def build(config: Mapping[str, Any]) -> System:
    """Puts a system together from a resolved config; no parameters yet.

    Groups: audio, conditioners, denoiser, schedule, loss; and components with the
    configs of the runs that an autoencoder and a vocoder come of. Without the first,
    group autoencoder says what takes its place.

    Raises:
        UserError: settings are impossible or do not fit together.
    """
    parts = config.get("components", {})
    autoencoder = build_part(
        autoencoders.TABLE,
        parts.get("autoencoder", config).get("autoencoder"),
        "config.autoencoder",
    )
    if autoencoder.trained and "autoencoder" not in parts:
        raise UserError(
            "config.autoencoder is one that is trained first: give its run with "
            "--config.components.autoencoder=RUN_DIR"
        )
    denoiser = build_part(denoisers.TABLE, config.get("denoiser"), "config.denoiser")
    objective = settings(DiffusionLossConfig, config, "loss").objective()
    process = make_process(**require_group(config, "schedule"))
    objective.check(process)
    _check_channels(denoiser, autoencoder, objective)
    vocoder = None
    if "vocoder" in parts:
        group = parts["vocoder"]["vocoder"]
        vocoder = build_part(vocoders.TABLE, group, "the vocoder's config.vocoder")
    return System(
        spec=AudioSpec.from_config(config["audio"]),
        process=process,
        objective=objective,
        conditioning=build_conditioning(config),
        denoiser=denoiser,
        autoencoder=autoencoder,
        vocoder=vocoder,
    )


def _check_channels(
    denoiser: Denoiser, autoencoder: Autoencoder, objective: Objective
) -> None:
    """Refuses a denoiser that takes or gives other channels than there are."""
    channels = autoencoder.channels
    if denoiser.in_channels != channels:
        raise UserError(
            f"the denoiser takes {denoiser.in_channels} channels but the latents have "
            f"{channels}; set config.denoiser.in_channels and out_channels, or give "
            "another config.components.autoencoder"
        )
    predicted = channels * (2 if objective.learned_variance else 1)
    if denoiser.out_channels != predicted:
        raise UserError(
            f"the denoiser predicts {denoiser.out_channels} channels but the latents "
            f"have {channels} (twice that with a learned variance); set "
            f"config.denoiser.out_channels={predicted}"
        )
