"""Training a HiFi-GAN vocoder: generator and discriminators in one compiled step.

The generator runs once a step: the discriminators learn from its output, then judge
it anew, and the gradient they give goes back through that same run.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from diffusion_audio.aliases import Array, Batch, Key, Metrics, Params
from diffusion_audio.audio.mel import denormalize, log_mel, normalize
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.models.discriminators import build_discriminators
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan
from diffusion_audio.models.vae import VAEConfig, build_vae
from diffusion_audio.nn.conv1d import refresh_spectral, unfold
from diffusion_audio.training import ema
from diffusion_audio.training.gan_losses import (
    adversarial_loss,
    discriminator_loss,
    feature_loss,
)
from diffusion_audio.training.loop import TrainConfig
from diffusion_audio.training.optimizer import OptimizerConfig, make_optimizer
from diffusion_audio.training.segments import check_latents
from diffusion_audio.training.settings import settings
from diffusion_audio.training.task import (
    Evaluation,
    Mean,
    State,
    Task,
    apply_gradients,
    new_state,
)
from diffusion_audio.training.vocoder_checks import (
    adopted,
    check,
    check_heard,
    check_start,
)
from diffusion_audio.training.vocoder_loss import VocoderLossConfig, weighted


def make(config: Mapping[str, Any], tokenizer: object = None) -> Task:
    """The vocoder task of a config.

    Its groups: audio, data, generator, discriminators, loss, optimizer, ema, train; and
    components, where generator and discriminators start from a trained ``vocoder``, or
    the generator hears mels as a trained ``vae`` reconstructs them. Where a batch has a
    ``mel`` [B, T, F] that is what it hears, in training and in evaluations; losses and
    errors compare with the recording all the same.

    Raises:
        UserError: mel bands, rates or segments do not fit the AudioSpec.
    """
    del tokenizer
    spec = AudioSpec.from_config(config["audio"])
    generator_cfg = settings(HiFiGANConfig, config, "generator")
    generator = build_hifigan(generator_cfg)
    discriminators = build_discriminators(config["discriminators"])
    weights = settings(VocoderLossConfig, config, "loss")
    distances = weights.distances(spec)
    train = settings(TrainConfig, config, "train")
    average = settings(ema.EMAConfig, config, "ema")
    optimizer = make_optimizer(
        settings(OptimizerConfig, config, "optimizer"), train.steps
    )
    check(spec, generator_cfg, train, config["data"]["seconds"])
    check_heard(config)
    if weights.judged and not config["discriminators"]:
        raise UserError(
            "there are no discriminators, so config.loss.features and adversarial must "
            "be 0; or give config.discriminators.mpd, msd or mrd"
        )
    parts = config.get("components", {})
    vae = None
    if "vae" in parts:
        vae_cfg = settings(VAEConfig, parts["vae"], "vae")
        vae = build_vae(vae_cfg)
        check_latents(spec, vae_cfg, config["data"]["seconds"])
    if "vocoder" in parts:
        check_start(
            generator_cfg, settings(HiFiGANConfig, parts["vocoder"], "generator")
        )

    def init(key: Key, batch: Batch, frozen: Params | None = None) -> State:
        del batch
        frozen = frozen or {}
        keys = jax.random.split(key, 3)
        params = {
            "generator": generator.init(keys[0]),
            "discriminators": discriminators.init(keys[1]),
        }
        if "vocoder" in frozen:
            params["generator"] = unfold(frozen["vocoder"], params["generator"])
            params["discriminators"] = adopted(
                frozen.get("discriminators", {}), params["discriminators"]
            )
        kept = {}
        if vae is not None:
            kept["vae"] = frozen["vae"] if frozen else vae.init(keys[2])
        opt = {name: optimizer.init(part) for name, part in params.items()}
        start = ema.start(average, {"generator": params["generator"]})
        return new_state(params, opt, start, kept)

    def picture(frozen: Params, batch: Batch) -> Array:
        """The log-mels [B, T, F] that the generator hears."""
        if "mel" in batch:  # saved, as another model predicted them
            return batch["mel"]
        mel = log_mel(spec, batch["audio"])
        if vae is None:
            return mel
        moments = vae.apply(
            frozen["vae"], normalize(spec, mel)[..., None], method="encode"
        )
        rebuilt = vae.apply(frozen["vae"], moments.mean, method="decode")
        return denormalize(spec, rebuilt[..., 0])

    def contest(
        judges: Params, opt: Any, wave: Array, fake: Array, mean: Mean
    ) -> tuple[Params, Any, Array, Metrics]:
        """Updates the discriminators on a fake, and asks them what is wrong with it.

        Returns:
            Their parameters and optimiser state, the gradient of the adversarial and
            feature losses with respect to the fake, and metrics.
        """
        judges = refresh_spectral(judges)

        def deception(judges: Params) -> Array:
            # Real and fake side by side, so that one run hears both and every
            # device keeps its own examples.
            pairs = jnp.stack([wave, fake], axis=1).reshape(-1, wave.shape[1])
            both = discriminators.apply(judges, pairs)
            real_judged, fake_judged = (
                jax.tree.map(lambda x, i=i: x.reshape(-1, 2, *x.shape[1:])[:, i], both)
                for i in (0, 1)
            )
            return discriminator_loss(real_judged, fake_judged)

        loss, grads = jax.value_and_grad(deception)(judges)
        loss, grads = mean((loss, grads))
        judges, opt = apply_gradients(optimizer, grads, opt, judges)

        def shortfall(fake: Array) -> tuple[Array, Metrics]:
            judged = discriminators.apply(judges, fake)
            metrics = {}
            if weights.adversarial:
                metrics["adversarial"] = adversarial_loss(judged)
            if weights.features:
                real_judged = discriminators.apply(judges, wave)
                metrics["features"] = feature_loss(real_judged, judged)
            return weighted(weights, metrics), metrics

        towards_real, metrics = jax.grad(shortfall, has_aux=True)(fake)
        metrics |= {"discriminator": loss, "grad_norm_d": optax.tree.norm(grads)}
        return judges, opt, towards_real, metrics

    def no_contest(
        judges: Params, opt: Any, wave: Array, fake: Array
    ) -> tuple[Params, Any, Array, Metrics]:
        heard = (judges, opt, wave, fake)
        shapes = jax.eval_shape(partial(contest, mean=lambda tree: tree), *heard)[3]
        nothing = {name: jnp.zeros(()) for name in shapes}
        return judges, opt, jnp.zeros_like(fake), nothing

    def step(state: State, batch: Batch, key: Key, mean: Mean) -> tuple[State, Metrics]:
        del key
        wave, params, opt = batch["audio"], state["params"], state["opt"]
        mel = picture(state["frozen"], batch)
        fake, pull = jax.vjp(
            lambda params: generator.apply(params, mel), params["generator"]
        )
        judges, judges_opt = params["discriminators"], opt["discriminators"]
        wanted, metrics = jnp.zeros_like(fake), {}
        if weights.judged:
            heard = (judges, judges_opt, wave, fake)
            judged = partial(contest, mean=mean)
            if weights.discriminator_start:
                started = state["step"] >= weights.discriminator_start
                judges, judges_opt, wanted, metrics = jax.lax.cond(
                    started, judged, no_contest, *heard
                )
            else:
                judges, judges_opt, wanted, metrics = judged(*heard)
        for name, distance in distances.items():
            metrics[name], towards = jax.value_and_grad(distance, argnums=1)(wave, fake)
            wanted = wanted + getattr(weights, name) * towards
        (grads,) = pull(wanted)
        metrics["loss"] = weighted(weights, metrics)
        grads, metrics = mean((grads, metrics))
        metrics["grad_norm"] = optax.tree.norm(grads)
        trained, trained_opt = apply_gradients(
            optimizer, grads, opt["generator"], params["generator"]
        )
        params = {"generator": trained, "discriminators": judges}
        new = {
            "step": state["step"] + 1,
            "params": params,
            "opt": {"generator": trained_opt, "discriminators": judges_opt},
            "ema": ema.update(
                average, state["ema"], {"generator": trained}, state["step"]
            ),
        }
        return state | new, metrics

    @jax.jit
    def vocode(
        params: Params, frozen: Params, batch: Batch
    ) -> tuple[Array, Array, Array]:
        fake = generator.apply(params, picture(frozen, batch))
        return fake, log_mel(spec, batch["audio"]), log_mel(spec, fake)

    def evaluate(state: State, batches: Iterator[Batch], key: Key) -> Evaluation:
        del key
        params = ema.best(state["ema"], state["params"])["generator"]
        errors: list[float] = []
        audio: dict[str, np.ndarray] = {}
        pictures: dict[str, np.ndarray] = {}
        for batch in islice(batches, 4):
            fake, mel, fake_mel = vocode(params, state["frozen"], batch)
            errors.append(float(jnp.mean(jnp.abs(mel - fake_mel))))
            if not audio:
                for i in range(min(4, len(mel))):
                    audio[f"real/{i}"] = np.asarray(batch["audio"][i])
                    audio[f"vocoded/{i}"] = np.asarray(fake[i])
                    pair = np.concatenate([mel[i], fake_mel[i]], axis=0)
                    pictures[f"real_and_vocoded/{i}"] = pair
        return Evaluation({"mel_l1": float(np.mean(errors))}, audio, pictures)

    return Task(init, step, evaluate)
