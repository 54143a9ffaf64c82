"""What a vocoder makes of real clips from their mels, beside Griffin-Lim.

python -m benchmarks.resynthesis FOLDER --vocoder=DIR [--vae=DIR] [--split=test]
    [--clips=24] [--seconds=2.048] [--group=package]

FOLDER is a captioned set such as `benchmarks/recorded_set.py` gathers, DIR the run of a
vocoder or converted weights, or the run of a VAE of the same mels. Of each group of the
split some clips are taken, evenly, of those that are long enough; they go through the
vocoder's mels and back, and through the VAE on the way. Prints a Markdown table: means
with 95 % intervals over clips, lower is better; with a VAE a second one, of what its
mels are off by before the vocoder.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from scipy import stats

from diffusion_audio.audio.mel import full_band, log_mel
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.audio.stft_distance import multi_resolution_stft
from diffusion_audio.data.open import open_source
from diffusion_audio.data.source import Source
from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.metrics import log_spectral_distance, mel_l1
from diffusion_audio.evaluation.stages import inverted_mels
from diffusion_audio.generation.vocode import Voice, load_voice
from diffusion_audio.runs.chosen import choose
from diffusion_audio.runs.components import load_autoencoder
from diffusion_audio.runs.workdir import read_config
from diffusion_audio.training.tasks import vae

METRICS = ("mel L1, full band", "multi-resolution STFT", "log-spectral distance")
BATCH = 4
FEWEST = 3  # clips of a group, for an interval

Rebuild = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Log-mels [B, T, F] of waves, and what a VAE makes of them."""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--vocoder", required=True)
    parser.add_argument("--vae")
    parser.add_argument("--split", default="test")
    parser.add_argument("--clips", type=int, default=24, help="of each group")
    parser.add_argument("--seconds", type=float, default=2.048)
    parser.add_argument("--group", default="package", help="column of the table")
    words = parser.parse_args()
    try:
        voice = load_voice(words.vocoder)
        source = open_source(
            f"folder:{words.folder}", words.split, voice.spec.sample_rate
        )
        hop = voice.spec.hop_length
        samples = round(words.seconds * voice.spec.sample_rate / hop) * hop
        rebuild = load_vae(words.vae, voice.spec) if words.vae else None
        groups = chosen(source, words.group, words.clips, samples)
        print("| group | clips | copies by | " + " | ".join(METRICS) + " |")
        print("|---" * (3 + len(METRICS)) + "|")
        rebuilt = []
        for group, waves in groups:
            for name, copies in both(voice, waves, rebuild):
                cells = [interval(x) for x in measured(voice.spec, waves, copies)]
                print("|", " | ".join([group, str(len(waves)), name, *cells]), "|")
            if rebuild:
                mels, made = (
                    batched(lambda x, i=i: rebuild(x)[i], waves) for i in (0, 1)
                )
                off = interval(np.abs(mels - made).mean((1, 2)))
                rebuilt.append(f"| {group} | {len(waves)} | {off} |")
        if rebuilt:
            print(
                "\n| group | clips | log-mels rebuilt by the VAE, L1 |\n|---|---|---|"
            )
            print("\n".join(rebuilt))
    except UserError as error:
        sys.exit(str(error))


def chosen(
    source: Source, column: str, clips: int, samples: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Beginnings [B, samples] of some clips of each value of a column."""
    if column not in source.attributes:
        raise UserError(
            f"no column {column!r} in the set; expected one of "
            f"{', '.join(source.attributes) or 'none: it has no such columns'}"
        )
    members: dict[str, list[int]] = {}
    for i in range(len(source)):
        value = source.describe(i)["attributes"][column]
        members.setdefault(value, []).append(i)
    for group, indices in sorted(members.items()):
        waves: list[np.ndarray] = []
        stride = max(1, len(indices) // (3 * clips))  # some are too short
        for i in indices[::stride]:
            wave = source[i]["audio"]
            if len(wave) >= samples and len(waves) < clips:
                waves.append(wave[:samples])
        if len(waves) >= FEWEST:
            yield group, np.stack(waves)


def load_vae(directory: str, spec: AudioSpec) -> Rebuild:
    """A VAE's run, which must be of the same mels."""
    place, step = choose(directory)
    config = read_config(place) | {"step": step}
    if "autoencoder" not in config:
        raise UserError(f"{place} is of task {config['task']!r}; give a VAE's run")
    task = vae.configure(config)
    task.spec.require_same(spec, "VAE", "vocoder")
    return partial(vae.rebuild, task, {"autoencoder": load_autoencoder(place, config)})


def batched(copy: Callable[[np.ndarray], np.ndarray], waves: np.ndarray) -> np.ndarray:
    """What is made of waves [B, N], some of them at a time."""
    missing = -len(waves) % BATCH  # one shape, one compilation
    padded = np.concatenate([waves, waves[:1].repeat(missing, 0)])
    parts = [copy(padded[i : i + BATCH]) for i in range(0, len(padded), BATCH)]
    return np.concatenate(parts)[: len(waves)]


def both(
    voice: Voice, waves: np.ndarray, rebuild: Rebuild | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """Copies [B, N] by vocoder, VAE and vocoder, and Griffin-Lim, of the same mels."""
    spec, samples = voice.spec, waves.shape[1]
    copies = {"vocoder": lambda x: voice.vocode(log_mel(spec, x))}
    if rebuild:
        copies["VAE and vocoder"] = lambda x: voice.vocode(rebuild(x)[1])
    copies["Griffin-Lim"] = lambda x: inverted_mels(spec, x, seed=0)
    for name, copy in copies.items():
        yield name, batched(copy, waves)[:, :samples]


def measured(spec: AudioSpec, real: np.ndarray, made: np.ndarray) -> list[np.ndarray]:
    """`METRICS` of each clip, each [B]."""
    return [
        np.asarray(mel_l1(full_band(spec), real, made)),
        np.asarray(multi_resolution_stft(real, made)),
        log_spectral_distance(real, made, spec.sample_rate),
    ]


def interval(values: np.ndarray) -> str:
    """A mean and its 95 % interval by Student's t."""
    error = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return f"{values.mean():.3g} ± {error:.2g}"


if __name__ == "__main__":
    main()
