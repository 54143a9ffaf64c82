"""What of the ledger is computed here, without weights and without data.

``MEASURES`` names the ways; a row of the ledger says which, with its arguments.
"""

import functools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.components import KINDS
from benchmarks.published import CASES, LATENT, Case
from diffusion_audio import recipe as recipes
from diffusion_audio.audio import spec as specs
from diffusion_audio.audio.mel import full_band
from diffusion_audio.audio.stft_distance import multi_resolution_stft
from diffusion_audio.data import tones
from diffusion_audio.diffusion.process import prior_kl
from diffusion_audio.diffusion.schedule import Schedule, make_schedule
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.evaluation.metrics import log_spectral_distance, mel_l1
from diffusion_audio.evaluation.stages import inverted_mels
from diffusion_audio.models.discriminators import (
    MPDConfig,
    MSDConfig,
    build_mpd,
    build_msd,
)
from diffusion_audio.models.hifigan import HiFiGANConfig, build_hifigan, margin
from diffusion_audio.nn.functional import Network, abstract_params, count
from diffusion_audio.pretrained import catalog, published_parts
from diffusion_audio.systems import audio_encoders, vocoders
from diffusion_audio.systems.table import build

ROOT = Path(__file__).parents[2]
NOTHING: dict[str, Any] = {}
CLIP = 10.24  # seconds of audio in a case of `benchmarks.published`

# Beside those cases: UNets that are compared as these are, but for their widths.
MORE = {
    "unet_audioldm_s": published_parts.AUDIOLDM_S_UNET,
    "unet_audioldm_l": published_parts.AUDIOLDM_L_UNET,
    "unet_audioldm2_speech": published_parts.AUDIOLDM2_SPEECH_UNET,
    "unet_audioldm_48k": published_parts.ORIGINAL_48K_UNET,
}


@functools.cache
def parameters(network: str) -> float:
    """Parameters of a network of the published systems."""
    case = _case(network)
    return count(abstract_params(KINDS[case.kind].build(case.cfg)))


def generator_parameters(
    recipe: str, changes: Mapping[str, Any] | None = None
) -> float:
    """Parameters of a recipe's vocoder, weight norm folded in unless changed."""
    return count(abstract_params(build_hifigan(_generator(recipe, changes or {}))))


def discriminator_parameters(kind: str) -> float:
    """Parameters of a published discriminator, weight norm folded in."""
    networks = {"mpd": build_mpd(MPDConfig()), "msd": build_msd(MSDConfig())}
    if kind not in networks:
        raise unknown("discriminator", kind, networks)
    return _folded(networks[kind])


def encoder_parameters(encoder: str) -> float:
    """Parameters of an audio encoder at its published size."""
    network = build(audio_encoders.TABLE, {"name": encoder}, encoder).network
    flat = jax.tree_util.tree_leaves_with_path(abstract_params(network))
    # What batch norm has counted is not trained.
    counted = ("mean", "variance")
    return sum(leaf.size for path, leaf in flat if path[-1].key not in counted)


def model_parameters(model: str) -> float:
    """Parameters of all parts of a published model, as the catalog has them."""
    return catalog.find(model).parameters


def reach(recipe: str) -> float:
    """Seconds of mel to either side that a sample of a recipe's vocoder depends on."""
    config = recipes.load(str(ROOT / recipe))
    spec = specs.AudioSpec.from_config(config.audio)
    return margin(_generator(recipe)) * spec.hop_length / spec.sample_rate


def beta(schedule: Mapping[str, Any], step: int) -> float:
    """Variance that a step of a chain adds."""
    return float(_schedule(schedule).betas[step])


def alpha_end(schedule: Mapping[str, Any]) -> float:
    """Factor on the data at the end of a chain, sqrt(alpha_bar)."""
    return float(np.sqrt(_schedule(schedule).alpha_bars[-1]))


def snr_end(schedule: Mapping[str, Any]) -> float:
    """Ratio of signal to noise at the end of a chain."""
    alpha_bar = _schedule(schedule).alpha_bars[-1]
    return float(alpha_bar / (1 - alpha_bar))


def prior_bits(schedule: Mapping[str, Any], mean_square: float) -> float:
    """Bits a dimension that the end of a chain still knows of data of this power."""
    x0 = jnp.full((1, 1), mean_square**0.5)
    return float(prior_kl(_schedule(schedule), x0)[0]) / float(np.log(2))


def setting(recipe: str, key: str) -> float:
    """A number of a recipe."""
    value: Any = recipes.load(str(ROOT / recipe))
    for name in key.split("."):
        value = value[name]
    return float(value)


@functools.cache
def flops(network: str) -> float:
    """Operations of a network for one clip, a second of audio.

    What XLA counts in the program as an accelerator gets it: the forms for CPUs have
    fewer products (`nn.fast_fir`), or loops whose body is counted once.
    """
    case = _case(network)
    return _operations(case.kind, case.cfg, case.sizes) / CLIP


def generator_flops(recipe: str) -> float:
    """Operations of a recipe's vocoder, a second of audio."""
    spec = specs.AudioSpec.from_config(recipes.load(str(ROOT / recipe)).audio)
    frames = round(CLIP * spec.sample_rate / spec.hop_length)
    sizes = {"batch": 1, "frames": frames}
    seconds = frames * spec.hop_length / spec.sample_rate
    return _operations("vocoder", _generator(recipe), sizes) / seconds


def generation_flops(model: str, unet: str, decoder: str, vocoder: str) -> float:
    """Operations of a whole generation in its authors' way, a second of audio.

    Guidance asks the UNet twice a step; PNDM once more in all. What reads the prompt
    is left out: it runs once.
    """
    sampler = catalog.find(model).sampler
    calls = 2 * (sampler.steps + (sampler.solver == "pndm"))
    each = [flops(network=name) for name in (unet, decoder, vocoder)]
    return calls * each[0] + each[1] + each[2]


def latent_rate(model: str) -> float:
    """Steps of latents a second of audio."""
    found = catalog.find(model)
    [vae] = [part.config for part in found.parts if part.role == "autoencoder"]
    spec = specs.PRESETS[found.audio]
    return spec.sample_rate / spec.hop_length / vae.factor


def quoted(file: str, row: str, column: str, under: str = "") -> float:
    """A number of a table of this repository, which says itself what makes it.

    Args:
        file: Markdown, from the repository's root.
        row: its first cells, as they stand there.
        column: the head of its column.
        under: a heading before it; of the whole file where empty.
    """
    head: list[str] = []
    text = (ROOT / file).read_text(encoding="utf-8")
    if under:
        _, heading, text = text.partition(f"# {under}\n")
        if not heading:
            raise UserError(f"{file}: no heading {under!r}")
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            head = []
        elif not head:
            head = cells
        elif line.startswith(f"| {row} |") and column in head:
            found = re.match(r"-?[\d.,]+(e-?\d+)?", cells[head.index(column)])
            if found:
                return float(found[0].replace(",", ""))
    raise UserError(f"{file}: no table has a row {row!r} and a number in {column!r}")


def studied(experiment: str, system: str, metric: str) -> float:
    """Mean over seeds of an experiment's metric, from its results."""
    path = ROOT / "experiments" / experiment / "results.json"
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
    values = [r["values"][metric] for r in runs if r["system"] == system]
    if not values:
        raise unknown("system", system, {r["system"] for r in runs})
    return float(np.mean(values))


def inverted(audio: str, metric: str, clips: int) -> float:
    """What Griffin-Lim loses of the demo's tones, from their mels.

    Args:
        audio: preset of the mels, at the tones' rate.
        metric: ``mel_l1`` of the full band, ``multi_resolution_stft`` or
            ``log_spectral_distance``.
        clips: how many of the held-out tones, evenly spread.
    """
    spec = specs.PRESETS[audio]
    real, made = _through_griffin_lim(audio, clips)
    compare: dict[str, Callable[[], Any]] = {
        "mel_l1": lambda: mel_l1(full_band(spec), real, made),
        "multi_resolution_stft": lambda: multi_resolution_stft(real, made),
        "log_spectral_distance": lambda: log_spectral_distance(
            real, made, spec.sample_rate
        ),
    }
    if metric not in compare:
        raise unknown("metric", metric, compare)
    return float(np.mean(compare[metric]()))


MEASURES: dict[str, Callable[..., float]] = {
    function.__name__: function
    for function in (
        parameters,
        generator_parameters,
        discriminator_parameters,
        encoder_parameters,
        model_parameters,
        reach,
        beta,
        alpha_end,
        snr_end,
        prior_bits,
        setting,
        flops,
        generator_flops,
        generation_flops,
        latent_rate,
        quoted,
        studied,
        inverted,
    )
}


def measure(compute: Mapping[str, Any]) -> float:
    """The number that a row of the ledger asks for."""
    how = compute["how"]
    if how not in MEASURES:
        raise unknown("measure", how, MEASURES)
    return MEASURES[how](**{k: v for k, v in compute.items() if k != "how"})


def _case(network: str) -> Case:
    if network in MORE:
        return Case("unet", MORE[network].config, LATENT | {"tokens": ()})
    if network not in CASES:
        raise unknown("network", network, [*CASES, *MORE])
    return CASES[network]


def _operations(kind: str, cfg: Any, sizes: Mapping[str, Any]) -> float:
    """Of one example."""
    compared = KINDS[kind]
    network = compared.build(cfg)
    inputs = compared.inputs(cfg, {**sizes, "batch": 1}, np.random.default_rng(0))
    shapes = {n: jax.ShapeDtypeStruct(x.shape, x.dtype) for n, x in inputs.items()}
    with mock.patch.object(jax, "default_backend", return_value="tpu"):
        traced = jax.jit(lambda p, x: compared.ours(network, p, x)).trace(
            abstract_params(network), shapes
        )
    return traced.lower(lowering_platforms=("tpu",)).cost_analysis()["flops"]


def _generator(recipe: str, changes: dict[str, Any] = NOTHING) -> HiFiGANConfig:
    folded = {"vocoder.weight_norm": False}
    config = recipes.override(recipes.load(str(ROOT / recipe)), folded | changes)
    group = config.vocoder.to_dict()
    return vocoders.TABLE[group.pop("name")].config(**group)


@functools.cache
def _through_griffin_lim(audio: str, clips: int) -> tuple[np.ndarray, np.ndarray]:
    """Tones [B, N], and what comes of their mels."""
    planned = tones.plan("held_out")
    kept = [planned[i * len(planned) // clips] for i in range(clips)]
    real = np.stack([tones.synthesize(p.attributes, p.seed) for p in kept])
    made = inverted_mels(specs.PRESETS[audio], real, seed=0)
    return real[:, : made.shape[1]], made  # whole frames


def _folded(network: Network) -> float:
    """Parameters without those that the norms of a kernel add."""
    flat = jax.tree_util.tree_leaves_with_path(abstract_params(network))
    extra = ("g", "spectral_u", "spectral_v")
    return sum(leaf.size for path, leaf in flat if path[-1].key not in extra)


def _schedule(options: Mapping[str, Any]) -> Schedule:
    return make_schedule(**options)
