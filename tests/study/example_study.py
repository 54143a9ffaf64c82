"""A study as an experiment makes it, from made-up numbers and sounds."""

import numpy as np

from diffusion_audio.evaluation.protocol import Protocol
from diffusion_audio.report.content import (
    Clip,
    Curves,
    Example,
    Listen,
    Provenance,
    Published,
)
from diffusion_audio.report.plots import curve
from diffusion_audio.study.experiment_page import report
from diffusion_audio.study.results import Results
from tests.report.example_report import RATE, tone

METRICS = {"adherence": "higher", "adherence/pitch": "higher", "frechet": "lower"}
PLACES = (0.0, 0.001, 0.06, -0.08, 0.01, 0.0)  # of the systems, on every metric


def protocol(metric):
    return Protocol(
        metric=metric,
        definition="made up",
        reference="0123",
        reference_clips=288,
        prompts="4567",
        clips=48,
        sample_rate=RATE,
        seconds=1.024,
        loudness="as generated",
        resampler="none",
        vocoder="89ab",
        embedding="none",
        embedding_weights="",
        sampling_seeds=(0,),
    )


def make_results(systems=("cosine", "linear", "scaled linear"), seeds=3):
    rng = np.random.default_rng(0)
    prompts = rng.normal(0, 0.1, size=48)
    runs = []
    for place, system in zip(PLACES, systems, strict=False):
        for seed in range(seeds):
            values = 0.6 + place + prompts + rng.normal(0, 0.02, 48)
            runs.append(
                {
                    "system": system,
                    "seed": seed,
                    "task": "diffusion",
                    "run": f"{seed:012x}",
                    "heard": f"{seed:012x}",
                    "overrides": {"schedule.name": system},
                    "parts": {"autoencoder": "abcdef012345"},
                    "sampling": {"steps": 50},
                    "config_hash": "0" * 12,
                    "commit": "f" * 40,
                    "uncommitted_changes": "",
                    "device": "2 x cpu",
                    "seconds": {"train": 120.0, "listen": 9.0},
                    "values": {
                        "adherence": values.tolist(),
                        "adherence/pitch": (values > 0.6).astype(float).tolist(),
                        "frechet": [float(10 - 20 * place + rng.normal())],
                    },
                }
            )
    spec = {
        "metrics": METRICS,
        "prompts": 48,
        "sampling_seeds": [0],
        "split": "held_out",
        "base": "configs/diffusion.py:tones",
        "common": {"train.steps": 600},
        "components": {"autoencoder": "configs/vae.py:tones"},
    }
    protocols = {metric: protocol(metric) for metric in METRICS}
    tools = {"classifier": "2" * 12, "vocoder": "3" * 12}
    return Results("schedules", spec, protocols, tools, runs)


def make_study(systems=("cosine", "linear", "scaled linear"), examples=2, caption=None):
    rng = np.random.default_rng(1)
    results = make_results(systems)
    rows = [{"step": i, "split": "train", "loss": 1 / i} for i in range(1, 40)]
    shown = tuple(
        Example(
            caption or f"caption {i}",
            tuple(
                Clip(name, tone(rng, i % 6, i % 4, 4, noise=0.05))
                for name in ("Real", *systems)
            ),
        )
        for i in range(examples)
    )
    return report(
        results,
        caption or "Which noise schedule?",
        (Published(caption or "DDPM", "FID", 3.17, "Ho et al. 2020"),),
        listen=Listen(shown, RATE),
        runs=[Curves("cosine", "40 steps", [("loss, seed 0", curve(rows, "loss"))])],
        provenance=Provenance(
            "diffusion-audio experiment run experiments/schedules",
            "f" * 40,
            "",
            "2 x cpu",
            {"cosine, seed 0": "0" * 12},
            {"jax": "0.10.2"},
            {"train cosine, seed 0": 120.0},
        ),
    )
