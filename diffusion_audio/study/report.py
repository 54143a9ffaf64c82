"""The report of one text-to-audio model: judged, measured, put on a page."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from diffusion_audio.evaluation.adherence import Adherence, adherence
from diffusion_audio.evaluation.comparison import STAGES, Comparison, compare
from diffusion_audio.evaluation.copies import Copies, copy
from diffusion_audio.evaluation.judge import load_judge
from diffusion_audio.generation import Pipeline, load
from diffusion_audio.generation.batches import BATCH_SIZE
from diffusion_audio.nn.functional import count
from diffusion_audio.outputs import record
from diffusion_audio.progress import ProgressView
from diffusion_audio.runs.session import PROVENANCE
from diffusion_audio.runs.workdir import read_config, write_json
from diffusion_audio.study.evidence import (
    PAGE,
    RESULTS,
    against_griffin_lim,
    copies_table,
    curves,
    made_by,
)
from diffusion_audio.study.page import (
    Clip,
    Column,
    Estimate,
    Example,
    Judgement,
    Report,
    Row,
    Table,
    render,
)
from diffusion_audio.study.run_data import open_run_data

SYSTEMS = {
    "real": ("Real clips", "the judge's ceiling"),
    "rebuilt": ("VAE + vocoder", "what the model could sound"),
    "generated": ("Generated", "by the vocoder"),
    "inverted": ("Generated", "by Griffin-Lim"),
    "untrained": ("Untrained model", "the floor"),
}


def write_report(
    model: str | Path,
    out: str | Path,
    *,
    classifier: str | Path | None = None,
    vocoder: str | Path | None = None,
    data: str | None = None,
    split: str | None = None,
    captions: int = 144,
    examples: int = 12,
    seed: int = 0,
    batch_size: int = BATCH_SIZE,
    command: str | None = None,
) -> Path:
    """Evaluates a diffusion run and writes ``results.json`` and ``report.html``.

    Args:
        model: work directory of the diffusion run.
        out: directory to write to.
        classifier: work directory of the judge's run; without it, nothing is judged.
        vocoder: a vocoder's run or converted weights, in place of the run's own.
        data: source in place of the run's own, for a set that has moved.
        split: of the data set; ``held_out`` for tones, else its evaluation one.
        captions: how many captions to make sounds of.
        examples: how many of them are on the page.
        seed: of generation.
        batch_size: sounds that are made at a time, which memory grows with.
        command: what was typed, for the page; this process's own where None.

    Returns:
        The page.

    Raises:
        UserError: a run is missing or does not fit.
    """
    started = time.monotonic()
    pipeline = load(model, vocoder)
    config = read_config(model)
    if vocoder is not None:
        config.setdefault("components", {})["vocoder"] = {"run": str(vocoder)}
    spec = pipeline.system.spec
    judge = load_judge(classifier, spec) if classifier else None
    name = data or config["data"]["source"]
    if split is None:
        split = "held_out" if name == "tones" else config["data"]["evaluation_split"]
    source = open_run_data(config, split, spec.sample_rate, data)
    pipeline.system.require_vocoder()
    if judge is not None:
        judge.require(source)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    view = ProgressView("evaluate", STAGES * min(captions, len(source)))
    options: Any = {"batch_size": batch_size}
    try:
        sounds = compare(
            pipeline, source, captions, seed, advance=view.advance, **options
        )
    finally:
        view.close()
    copies = copy(spec, pipeline.vocode, sounds.real, seed, **options)
    judged: dict[str, Adherence] = {}
    if judge is not None:
        asked = judge.asked(source, sounds.attributes)
        judged = {
            system: adherence(judge(getattr(sounds, system)), asked, judge.values)
            for system in SYSTEMS
        }
    results = {
        "split": source.name,
        "model": str(model),
        "parts": {name: part["run"] for name, part in config["components"].items()},
        "captions": len(sounds.captions),
        "sampling": config["sampling"],
        "seed": seed,
        "adherence": {system: _shares(table) for system, table in judged.items()},
        "vocoder": {
            system: {name: float(np.mean(v)) for name, v in columns.items()}
            for system, columns in copies.distances.items()
        },
    }
    write_json(out / RESULTS, results)
    record(out / RESULTS, "evaluate")
    runs = _runs(config, model, classifier)
    trained_on = split == config["data"]["train_split"]
    known = "was trained on" if trained_on else "never saw"
    report = Report(
        title=f"Text to audio: what the model makes of captions it {known}",
        summary=_summary(config, pipeline, sounds, judged, copies, known),
        provenance=made_by(runs, command, {"evaluate": time.monotonic() - started}),
        sample_rate=spec.sample_rate,
        headlines=_headlines(judged),
        examples=_examples(sounds, judged, examples),
        tables=tuple(_tables(judged, copies, config, len(sounds.captions))),
        runs=tuple(curves(runs)),
    )
    page = render(report, out / PAGE)
    record(page, "evaluate")
    return page


def _shares(table: Adherence) -> dict[str, Any]:
    rows = table.accuracy | {"all": table.all_right}
    return {name: p._asdict() for name, p in rows.items()}


def _summary(
    config: dict[str, Any],
    pipeline: Pipeline,
    sounds: Comparison,
    judged: dict[str, Adherence],
    copies: Copies,
    known: str,
) -> str:
    sampling = config["sampling"]
    text = (
        f"A latent diffusion model of {count(pipeline.params) / 1e6:.1f} M parameters "
        f"was trained for {config['train']['steps']} steps on "
        f"{config['data']['source']} and asked for {len(sounds.captions)} captions "
        f"of a split it {known} ({sampling['solver']['name'].upper()}, "
        f"{sampling['steps']} steps, guidance {sampling['guidance']:g})."
    )
    if judged:
        worst = min(
            judged["generated"].accuracy.items(), key=lambda item: item[1].value
        )
        text += (
            " A classifier trained on real clips only listened to the waveforms: the "
            f"attribute most often wrong is {worst[0]}, right in "
            f"{100 * worst[1].value:.0f} % of them."
        )
    return f"{text} {against_griffin_lim(copies.distances)}"


def _headlines(judged: dict[str, Adherence]) -> tuple[tuple[str, str], ...]:
    if not judged:
        return ()
    accuracy = judged["generated"].accuracy
    return tuple((f"{100 * p.value:.0f} %", name) for name, p in accuracy.items())


def _examples(
    sounds: Comparison, judged: dict[str, Adherence], number: int
) -> tuple[Example, ...]:
    chosen = np.unique(
        np.linspace(0, len(sounds.captions) - 1, number).round().astype(int)
    )
    shown = {
        "real": "Real",
        "rebuilt": "VAE + vocoder",
        "generated": "Generated",
        "inverted": "Generated, Griffin-Lim",
    }

    def clip(system: str, i: int) -> Clip:
        answers: tuple[Judgement, ...] = ()
        if judged:
            table = judged[system]
            answers = tuple(
                Judgement(name, items[table.asked[i, a]], items[table.heard[i, a]])
                for a, (name, items) in enumerate(table.values.items())
            )
        return Clip(shown[system], getattr(sounds, system)[i], answers)

    return tuple(
        Example(sounds.captions[i], tuple(clip(system, i) for system in shown))
        for i in chosen
    )


def _tables(
    judged: dict[str, Adherence],
    copies: Copies,
    config: dict[str, Any],
    n: int,
) -> list[Table]:
    tables = []
    if judged:
        columns = [
            Column(title, note, bound=system not in ("generated", "inverted"))
            for system, (title, note) in SYSTEMS.items()
        ]
        rows = []
        for name, chance in judged["real"].chance.items():
            cells = [_share(judged[system].accuracy[name]) for system in SYSTEMS]
            rows.append(Row(name, (*cells, Estimate(chance)), "higher"))
        every = [_share(judged[system].all_right) for system in SYSTEMS]
        rows.append(Row("all of them", (*every, None), "higher"))
        tables.append(
            Table(
                "Does the sound have what its caption asks for?",
                (*columns, Column("Chance", "guessing", bound=True)),
                tuple(rows),
                f"Share of {n} captions, 95 % Wilson interval; judged by a classifier "
                "trained on real clips only.",
                percent=True,
            )
        )
    tables.append(copies_table(copies.distances))
    return tables


def _share(p: Any) -> Estimate:
    return Estimate(p.value, p.low, p.high)


def _runs(
    config: dict[str, Any], model: str | Path, classifier: str | Path | None
) -> dict[str, Path]:
    """Work directories of all runs the results rest on, those that were made here."""
    runs = {name: Path(part["run"]) for name, part in config["components"].items()}
    if classifier:
        runs["classifier"] = Path(classifier)
    runs["diffusion"] = Path(model)
    return {n: path for n, path in runs.items() if (path / PROVENANCE).is_file()}
