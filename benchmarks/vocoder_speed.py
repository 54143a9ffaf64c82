"""HiFi-GAN here and in PyTorch, side by side on this machine with the same weights.

python -m benchmarks.vocoder_speed [--cases=v1,v3,audioldm_16k,train_v1] [--rounds=3]
    [--repeats=5] [--seconds=10.24]

Inference of a clip's mels with folded weights, in float32, against
transformers' SpeechT5HifiGan (V3, which it has not: the paper's written out in the
parity suite), eager; and one training step of V1, both updates, against the published
one. Every measurement is a process of its own, so that peak memory is its own, ours and
PyTorch's in turns, some rounds of them; of a process the median call counts. Prints a
table and one JSON line. Needs what `make parity` installs.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

SECONDS = 10.24  # of audio at inference: AudioLDM's clip
INFERENCE = ("v1", "v3", "audioldm_16k")
CASES = (*INFERENCE, "train_v1")
SIDES = ("ours", "torch")
BATCH, SEGMENT = 16, 8192


def main():
    """Runs every case on both sides, or one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--one", nargs=2, metavar=("CASE", "SIDE"))
    words = parser.parse_args()
    if words.one:
        case, side = words.one
        print(json.dumps(measure(case, side, words.repeats, words.seconds)))
        return
    results = {}
    for case in words.cases.split(","):
        if case not in CASES:
            parser.error(f"unknown case {case!r} (known: {', '.join(CASES)})")
        for side in SIDES * words.rounds:
            command = [sys.executable, "-m", "benchmarks.vocoder_speed"]
            command += [f"--repeats={words.repeats}", f"--seconds={words.seconds}"]
            command += ["--one", case, side]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows = results.setdefault(case, {}).setdefault(side, [])
            rows.append(json.loads(done.stdout))
        show(case, results[case])
    print(json.dumps(results))


def show(case, sides):
    """A line a side: seconds, speed over real time, first call, memory; the ratios."""
    seconds = {side: [row["seconds"] for row in rows] for side, rows in sides.items()}
    ratios = [a / b for a, b in zip(seconds["torch"], seconds["ours"], strict=True)]
    for side, rows in sides.items():
        typical = statistics.median(seconds[side])
        first = statistics.median(row["first"] for row in rows)
        peak = max(row["peak_mb"] for row in rows)
        print(
            f"{case:<13} {side:<6} {typical:8.3f} s  "
            f"{rows[0]['audio'] / typical:7.2f} x real time  "
            f"first call {first:6.1f} s  peak {peak:6.0f} MB"
        )
    print(
        f"{case:<13} {statistics.median(ratios):.2f} x PyTorch "
        f"({min(ratios):.2f} to {max(ratios):.2f})"
    )


def measure(case, side, repeats, seconds):
    """Seconds of the median call, of the first one, and peak memory of the process."""
    run, audio = (PREPARE[side])(case, seconds)
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "seconds": statistics.median(times[1:]),
        "first": times[0],
        "peak_mb": peak,
        "audio": audio,
        "all": times[1:],
    }


def settings(case):
    """The generator of a recipe, its audio spec and its whole config."""
    from diffusion_audio import recipe
    from diffusion_audio.audio.spec import AudioSpec
    from diffusion_audio.pretrained.folder import generator_config
    from diffusion_audio.runs.resolve import resolve

    config = resolve(recipe.load(f"configs/vocoder.py:{case.removeprefix('train_')}"))
    spec = AudioSpec.from_dict(config["audio"])
    return generator_config(config), spec, config


def inputs(cfg, spec, seconds):
    """Log-mels [1, T, F] of this length and waves [B, N], the same on both sides."""
    import numpy as np

    rng = np.random.default_rng(0)
    frames = round(seconds * spec.sample_rate / spec.hop_length)
    mel = rng.normal(-4, 2, (1, frames, cfg.n_mels)).astype(np.float32)
    wave = (0.1 * rng.standard_normal((BATCH, SEGMENT))).astype(np.float32)
    return mel, wave


def prepare_ours(case, seconds):
    """What is timed of ours, and the seconds of audio in it."""
    import jax
    import numpy as np

    from diffusion_audio.models.hifigan import build_hifigan
    from diffusion_audio.pretrained.hifigan import find_generator
    from diffusion_audio.training.task import Data
    from diffusion_audio.training.tasks import vocoder

    cfg, spec, config = settings(case)
    mel, wave = inputs(cfg, spec, seconds)
    if case in INFERENCE:
        weights = {k: v.numpy() for k, v in reference(cfg).state_dict().items()}
        cfg, params = find_generator(cfg, weights, case).model
        params = jax.device_put(params)
        apply = jax.jit(build_hifigan(cfg).apply)
        return lambda: np.asarray(apply(params, mel)), seconds
    task = vocoder.make(vocoder.configure(config), Data((), ()))
    key = jax.random.key(0)
    state = jax.jit(task.init)(key, {"audio": wave})
    step = jax.jit(task.step, donate_argnums=0)

    def run():
        nonlocal state
        state, metrics = step(state, {"audio": wave}, key)
        return float(metrics["loss"])

    return run, BATCH * SEGMENT / spec.sample_rate


def prepare_torch(case, seconds):
    """What is timed of PyTorch, and the seconds of audio in it."""
    import torch

    from diffusion_audio.models.discriminators import MPDConfig, MSDConfig
    from tests.parity import hifigan_torch as paper

    cfg, spec, _ = settings(case)
    mel, wave = map(torch.from_numpy, inputs(cfg, spec, seconds))
    model = reference(cfg)
    turned = mel.mT if case == "v3" else mel
    if case in INFERENCE:

        def infer():
            with torch.inference_mode():
                return model(turned)

        return infer, seconds
    model.apply_weight_norm()
    discriminators = paper.Discriminators(MPDConfig(), MSDConfig())
    optimizers = paper.adamw(model), paper.adamw(discriminators)
    shape = (spec.sample_rate, spec.n_fft, spec.hop_length, spec.n_mels)

    def compared(wave):
        return paper.log_mel(wave, *shape, spec.sample_rate / 2)

    def train():
        return paper.update(
            lambda mel: model(mel.mT),
            discriminators,
            *optimizers,
            wave,
            lambda wave: paper.log_mel(wave, *shape, spec.top),
            compared,
        )

    return train, BATCH * SEGMENT / spec.sample_rate


def reference(cfg):
    """The generator in PyTorch, without weight norm."""
    import torch
    import transformers

    from tests.parity.hifigan_torch import GeneratorV3

    torch.manual_seed(0)
    if cfg.resblock == "2":
        return GeneratorV3(cfg, lambda module: module).eval()
    return transformers.SpeechT5HifiGan(
        transformers.SpeechT5HifiGanConfig(
            model_in_dim=cfg.n_mels,
            upsample_initial_channel=cfg.channels,
            upsample_rates=list(cfg.rates),
            upsample_kernel_sizes=list(cfg.kernels),
            resblock_kernel_sizes=list(cfg.resblock_kernels),
            resblock_dilation_sizes=[list(d) for d in cfg.dilations],
            normalize_before=False,
        )
    ).eval()


PREPARE = {"ours": prepare_ours, "torch": prepare_torch}

if __name__ == "__main__":
    main()
