"""The report of one vocoder: clips it never saw, copied and put on a page."""

import time
from pathlib import Path

import numpy as np

from diffusion_audio.data.source import drawn_evenly
from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.copies import SYSTEMS, copy
from diffusion_audio.generation.batches import BATCH_SIZE
from diffusion_audio.generation.vocode import load_voice
from diffusion_audio.nn.functional import count
from diffusion_audio.outputs import record
from diffusion_audio.progress import ProgressView
from diffusion_audio.runs.workdir import read_config, write_json
from diffusion_audio.study.evidence import (
    PAGE,
    RESULTS,
    against_griffin_lim,
    copies_table,
    curves,
    made_by,
)
from diffusion_audio.study.page import Clip, Example, Report, render
from diffusion_audio.study.run_data import open_run_data

LONGEST = 4.0  # s, of a clip that is copied


def write_vocoder_report(
    model: str | Path,
    out: str | Path,
    *,
    data: str | None = None,
    split: str | None = None,
    clips: int = 144,
    examples: int = 12,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    command: str | None = None,
) -> Path:
    """Evaluates a vocoder's run and writes ``results.json`` and ``report.html``.

    Args:
        model: work directory of the run.
        out: directory to write to.
        data: source in place of the run's own, for a set that has moved.
        split: of the data set; its evaluation split where None.
        clips: how many are copied, spread evenly, of ``LONGEST`` seconds at most.
        examples: how many of them are on the page.
        seed: of crops and of Griffin-Lim.
        batch_size: clips at a time, which memory grows with.
        command: what was typed, for the page; this process's own where None.

    Returns:
        The page.

    Raises:
        UserError: the run is missing or no vocoder's.
    """
    started = time.monotonic()
    vocoder, config = load_voice(model), read_config(model)
    if "data" not in config:
        raise UserError(
            f"{model} is converted weights, not a run, and knows no data set to be "
            "measured on; `diffusion-audio vocode` copies files of yours through it"
        )
    spec = vocoder.spec
    name, split = config["data"]["source"], split or config["data"]["evaluation_split"]
    source = open_run_data(config, split, spec.sample_rate, data)
    whole = round(LONGEST * spec.sample_rate)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    heard = drawn_evenly(source, clips, whole, seed)
    real = np.stack([clip["audio"] for clip in heard])
    real = real[:, : max(1, np.flatnonzero(real.any(axis=0)).max(initial=0) + 1)]
    frames = -(-real.shape[1] // spec.hop_length)
    real = np.pad(real, ((0, 0), (0, frames * spec.hop_length - real.shape[1])))
    view = ProgressView("evaluate", len(real))
    try:
        made = copy(
            spec,
            vocoder.vocode,
            real,
            seed,
            batch_size=batch_size,
            advance=view.advance,
        )
    finally:
        view.close()
    means = {
        system: {metric: float(np.mean(v)) for metric, v in found.items()}
        for system, found in made.distances.items()
    }
    write_json(
        out / RESULTS,
        {
            "split": source.name,
            "model": str(model),
            "clips": len(real),
            "seconds": real.shape[1] / spec.sample_rate,
            "seed": seed,
            "vocoder": means,
        },
    )
    record(out / RESULTS, "evaluate")
    runs = {"vocoder": Path(model)}
    known = "was trained on" if split == config["data"]["train_split"] else "never saw"
    titles = dict(zip(SYSTEMS, ("Vocoder", "Griffin-Lim"), strict=True))
    chosen = np.linspace(0, len(real) - 1, min(examples, len(real))).round().astype(int)
    report = Report(
        title=f"Vocoder: copies of clips it {known}",
        summary=(
            f"A HiFi-GAN of {count(vocoder.params) / 1e6:.1f} M parameters was trained "
            f"for {config['train']['steps']} steps on {name} and given the mels of "
            f"{len(real)} clips it {known}. {against_griffin_lim(made.distances)}"
        ),
        provenance=made_by(runs, command, {"evaluate": time.monotonic() - started}),
        sample_rate=spec.sample_rate,
        headlines=(),
        examples=tuple(
            Example(
                heard[i]["caption"] or heard[i]["id"],
                (
                    Clip("Real", real[i]),
                    *(Clip(titles[s], made.waves[s][i]) for s in SYSTEMS),
                ),
            )
            for i in chosen
        ),
        tables=(copies_table(made.distances),),
        runs=tuple(curves(runs)),
    )
    page = render(report, out / PAGE)
    record(page, "evaluate")
    return page
