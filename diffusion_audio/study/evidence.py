"""What every report shows: copy synthesis, training curves, how it was made."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.stats import bootstrap

from diffusion_audio.evaluation.copies import GRIFFIN_LIM_ITERATIONS, SYSTEMS
from diffusion_audio.runs import session
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.runs.same_run import content_hash
from diffusion_audio.runs.workdir import provenance, read_config
from diffusion_audio.study.page import Column, Estimate, Provenance, Row, Run, Table

RESULTS, PAGE = "results.json", "report.html"
CURVES = {
    "autoencoder": ("reconstruction", "kl"),
    "vocoder": ("mel", "mel_l1", "discriminator"),
    "conditioners": ("loss",),
    "denoiser": ("loss",),
    "diffusion": ("loss",),
    "classifier": ("loss",),
}
MEASURES = {
    "mel_l1": "mel L1, full band, floor 1e-5 (log units)",
    "mel_l1_input": "mel L1 above the model's own floor",
    "multi_resolution_stft": "multi-resolution STFT",
    "log_spectral_distance": "log-spectral distance (log10 of power)",
    "given_bands": "log-spectral error of the mels' own bands (dB)",
    "top_band": "log-spectral error of the highest band (dB)",
}

Distances = Mapping[str, Mapping[str, np.ndarray]]
"""By system and metric, [n]; see `evaluation.copies.Copies`."""


def copies_table(found: Distances) -> Table:
    """The vocoder beside Griffin-Lim."""
    n = len(found[SYSTEMS[0]]["mel_l1"])
    return Table(
        "Copy synthesis: from a real clip's mel back to a waveform",
        (
            Column("Vocoder", "HiFi-GAN"),
            Column("Griffin-Lim", f"{GRIFFIN_LIM_ITERATIONS} iterations"),
        ),
        tuple(
            Row(title, tuple(_mean(found[s][key]) for s in SYSTEMS), "lower")
            for key, title in MEASURES.items()
        ),
        f"Mean over {n} clips of the split, 95 % bootstrap interval.",
    )


def against_griffin_lim(found: Distances) -> str:
    """One sentence on the errors of both."""
    ours, theirs = (np.mean(found[system]["mel_l1"]) for system in SYSTEMS)
    return (
        f"The vocoder's mel error is {ours:.2f}, that of Griffin-Lim with "
        f"{GRIFFIN_LIM_ITERATIONS} iterations {theirs:.2f}."
    )


def _mean(values: np.ndarray) -> Estimate:
    """Mean with its 95 % percentile bootstrap interval."""
    values = values.astype(np.float64)
    if len(values) < 2 or np.ptp(values) == 0:
        return Estimate(float(values.mean()))
    interval = bootstrap(
        (values,), np.mean, n_resamples=2000, method="percentile", rng=0
    ).confidence_interval
    return Estimate(float(values.mean()), float(interval.low), float(interval.high))


def curves(runs: dict[str, Path]) -> list[Run]:
    """Training curves of runs, by name."""
    found = []
    for name, path in runs.items():
        rows = read_metrics(path)
        present = {key for row in rows for key in row}
        metrics = tuple(key for key in CURVES[name] if key in present)
        steps = max((row["step"] for row in rows), default=0)
        found.append(Run(name, rows, metrics, f"{steps} steps"))
    return found


def made_by(
    runs: dict[str, Path], command: str | None, seconds: dict[str, float]
) -> Provenance:
    """How a report was made: runs by name, the command, seconds by what took them."""
    now = provenance()
    made = {name: session.sessions(path) for name, path in runs.items()}
    made_with = session.origin([*(s for every in made.values() for s in every), now])
    spent = {f"train {name}": session.seconds(every) for name, every in made.items()}
    return Provenance(
        command=command or now["command"],
        commit=made_with["commit"],
        dirty=made_with["uncommitted_changes"],
        device=made_with["device"],
        configs={name: content_hash(read_config(path)) for name, path in runs.items()},
        versions=made_with["versions"],
        seconds=spent | seconds,
    )
