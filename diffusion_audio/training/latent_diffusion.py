"""A latent diffusion model put together: text, UNet, VAE and process as functions.

The training task and the generation pipeline are both made of these. Trained parts
come as ``params`` (text, unet) and what they stand on as ``frozen`` (vae,
latent_scale, and a vocoder where the run has one).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from diffusion_audio.aliases import Array, Key, Params
from diffusion_audio.audio.mel import denormalize, log_mel, normalize
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.diffusion.loss import Objective
from diffusion_audio.diffusion.process import Process, make_process
from diffusion_audio.diffusion.reverse import split_variance
from diffusion_audio.diffusion.sampling import sample
from diffusion_audio.diffusion.solvers import Solver
from diffusion_audio.errors import UserError
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.models.patches import PatchesConfig, build_patches
from diffusion_audio.models.text import TextConfig, build_text
from diffusion_audio.models.unet import UNetConfig, build_unet
from diffusion_audio.models.vae import Moments, VAEConfig, build_vae, sample_moments
from diffusion_audio.nn.functional import Network
from diffusion_audio.training.objective import DiffusionLossConfig
from diffusion_audio.training.sampler import SamplingConfig, guide, make_sampler
from diffusion_audio.training.settings import settings


@dataclasses.dataclass(frozen=True)
class LatentDiffusion:
    """The parts of one model. Made by `build`.

    Attributes:
        spec: the mel contract.
        process: how latents become noise.
        objective: what the UNet was taught to predict.
        text: tokens [B, L] -> condition.
        unet: (latents, its time, condition) -> prediction.
        vae: mel pictures <-> latents; or what cuts them into patches.
        vae_config: of the VAE, or of the patches.
        vocoder: log-mel [B, T, F] -> waveform [B, N], or None.
        vocoder_config: of the vocoder, or None.
    """

    spec: AudioSpec
    process: Process
    objective: Objective
    text: Network
    unet: Network
    vae: Network
    vae_config: VAEConfig | PatchesConfig
    vocoder: Network | None
    vocoder_config: HiFiGANConfig | None

    @property
    def components(self) -> dict[str, Network]:
        """The networks that were trained before, by name."""
        parts = {}
        if isinstance(self.vae_config, VAEConfig):
            parts["vae"] = self.vae
        if self.vocoder is not None:
            parts["vocoder"] = self.vocoder
        return parts

    def predict(self, params: Params, z: Array, t: Array, tokens: Array) -> Array:
        """The UNet's output for latents z [B, H, W, C] at t [B] under tokens [B, L]."""
        condition = self.text.apply(params["text"], tokens)
        return self.unet.apply(params["unet"], z, t, condition)

    def encode(self, frozen: Params, audio: Array) -> Moments:
        """The VAE's posterior of waveforms [B, N], before scaling."""
        mel = normalize(self.spec, log_mel(self.spec, audio))[..., None]
        return self.vae.apply(frozen.get("vae"), mel, method="encode")

    def scale(self, frozen: Params, moments: Moments, noise: Array) -> Array:
        """Draws latents from their posterior and brings them to unit scale."""
        return sample_moments(moments, noise) * frozen["latent_scale"]

    def decode(self, frozen: Params, z: Array) -> Array:
        """Log-mels [B, T, F] of latents of unit scale [B, H, W, C]."""
        z = z / frozen["latent_scale"]
        mel = self.vae.apply(frozen.get("vae"), z, method="decode")
        return denormalize(self.spec, mel[..., 0])

    def vocode(self, frozen: Params, mel: Array) -> Array:
        """Waveforms [B, N] of log-mels [B, T, F].

        Raises:
            UserError: the run was trained without a vocoder.
        """
        return self.require_vocoder().apply(frozen["vocoder"], mel)

    def require_vocoder(self) -> Network:
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
        factor = self.vae_config.factor
        frames = -(-samples // self.spec.hop_length)
        return (
            -(-frames // factor),
            self.spec.n_mels // factor,
            self.vae_config.latent,
        )

    def sampler(self, cfg: SamplingConfig) -> Solver:
        """The solver that a config names, for what the UNet was taught."""
        return make_sampler(cfg, self.process, self.objective)

    def sample(
        self,
        params: Params,
        cfg: SamplingConfig,
        z: Array,
        tokens: Array,
        empty: Array,
        guidance: Array,
        key: Key,
        index: Array,
    ) -> Array:
        """Latents of unit scale for tokens; the text is encoded once.

        Args:
            params: of text and unet.
            cfg: all but the guidance scale.
            z: noise to start from [B, H, W, C].
            tokens: int32 [B, L].
            empty: the tokens of no caption, int32 [L] (or a negative prompt's).
            guidance: scalar or [B]; may change without recompilation.
            key: of the solver's own noise.
            index: int32 [B], each example's place in all that is drawn with ``key``.
        """
        none = jnp.broadcast_to(empty, tokens.shape)
        both = self.text.apply(params["text"], jnp.concatenate([tokens, none]))

        def denoise(z: Array, t: Array) -> Array:
            output = self.unet.apply(params["unet"], z, t, both)
            unasked = self.objective.learned_variance and not cfg.learned_variance
            return split_variance(output)[0] if unasked else output

        guided = guide(cfg, self.process, denoise, guidance)
        return sample(self.sampler(cfg), guided, z, key, indices=index)


def build(config: Mapping[str, Any]) -> LatentDiffusion:
    """Puts a model together from a resolved config; no parameters yet.

    Raises:
        UserError: settings are impossible or do not fit together.
    """
    spec = AudioSpec.from_config(config["audio"])
    parts = config["components"]
    vae_config: VAEConfig | PatchesConfig
    if "vae" in parts:
        vae_config = settings(VAEConfig, parts["vae"], "vae")
        vae = build_vae(vae_config)
    else:
        vae_config = settings(PatchesConfig, config, "patches")
        vae = build_patches(vae_config)
    unet_config = settings(UNetConfig, config, "unet")
    if unet_config.in_channels != vae_config.latent:
        whose = "the VAE's latents" if "vae" in parts else "patches without a VAE"
        raise UserError(
            f"the UNet takes {unet_config.in_channels} channels but {whose} have "
            f"{vae_config.latent}; set config.unet.in_channels and out_channels, or "
            "give config.components.vae"
        )
    process = make_process(**config["schedule"])
    objective = settings(DiffusionLossConfig, config, "loss").objective()
    objective.check(process)
    predicted = vae_config.latent * (2 if objective.learned_variance else 1)
    if unet_config.out_channels != predicted:
        raise UserError(
            f"the UNet predicts {unet_config.out_channels} channels but the VAE's "
            f"latents have {vae_config.latent} (twice that with a learned variance); "
            f"set config.unet.out_channels={predicted}"
        )
    text = dict(config["text"]) | {
        "vocabulary": config["tokenizer"]["size"],
        "max_tokens": config["tokenizer"]["max_tokens"],
    }
    vocoder, vocoder_config = None, None
    if "vocoder" in parts:
        vocoder_config = settings(HiFiGANConfig, parts["vocoder"], "generator")
        vocoder = build_hifigan(vocoder_config)
    return LatentDiffusion(
        spec=spec,
        process=process,
        objective=objective,
        text=build_text(settings(TextConfig, {"text": text}, "text")),
        unet=build_unet(unet_config),
        vae=vae,
        vae_config=vae_config,
        vocoder=vocoder,
        vocoder_config=vocoder_config,
    )
