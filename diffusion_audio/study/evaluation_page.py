"""The page of an evaluated run: its stages in numbers and sounds."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from diffusion_audio.data.source import evenly
from diffusion_audio.evaluation.measures import (
    ATTRIBUTE_PREFIX,
    MEASURES,
    Reference,
    about,
)
from diffusion_audio.evaluation.stages import GRIFFIN_LIM_ITERATIONS, Waves
from diffusion_audio.report.content import (
    Attribute,
    Clip,
    Column,
    Curves,
    Estimate,
    Example,
    Listen,
    Measured,
    Provenance,
    Report,
    Table,
    Training,
)
from diffusion_audio.study.results import Results
from diffusion_audio.study.sections import values_row

STAGES = {
    "real": Column("Real clips", "the ceiling", bound=True),
    "rebuilt": Column("VAE + vocoder", "what the model could sound", bound=True),
    "generated": Column("Generated", "by the vocoder"),
    "inverted": Column("Generated, Griffin-Lim", "the same mels"),
    "untrained": Column("Untrained model", "the floor", bound=True),
}
RESYNTHESIS = {
    "vocoder": Column("Vocoder", "from a real clip's mel"),
    "griffin_lim": Column("Griffin-Lim", f"{GRIFFIN_LIM_ITERATIONS} iterations"),
}
NOT_SHOWN = ("untrained",)  # not among the examples
RESYNTHESIS_METRICS = [
    metric
    for metric, kind in MEASURES.items()
    if kind.reference and not kind.by_classifier
]


def report(
    results: Results,
    reference: Reference,
    waves: Waves,
    config: Mapping[str, Any],
    *,
    made_of: str,
    rate: int,
    examples: int,
    runs: list[Curves],
    provenance: Provenance,
) -> Report:
    """What the page shows.

    Args:
        results: a system a stage.
        reference: what they were compared with.
        waves: of the stages.
        config: of the run.
        made_of: the model, in words.
        rate: of the waves, Hz.
        examples: prompts to listen to.
        runs: training curves.
        provenance: where all is from.
    """
    trained_on = results.spec["split"] == config["data"]["train_split"]
    known = "was trained on" if trained_on else "never saw"
    title = f"Vocoder: resynthesis of clips it {known}"
    if "generated" in waves:
        title = f"Text to audio: what the model makes of captions it {known}"
    sounds = Listen(_examples(reference, waves, examples), rate)
    right = {
        metric.removeprefix(ATTRIBUTE_PREFIX): results.summaries(metric)[
            (
                STAGES["generated"] if "generated" in waves else RESYNTHESIS["vocoder"]
            ).name
        ].value
        for metric in results.metrics
        if metric.startswith(ATTRIBUTE_PREFIX)
    }
    return Report(
        title,
        (
            sounds,
            Measured(tuple(_tables(results, reference))),
            Training(tuple(runs)),
            provenance,
        ),
        _summary(config, made_of, results, known, right),
        headlines=tuple((f"{100 * v:.0f} %", name) for name, v in right.items()),
    )


def _summary(
    config: Mapping[str, Any],
    made_of: str,
    results: Results,
    known: str,
    right: Mapping[str, float],
) -> str:
    """What was done and what came of it, in a few sentences."""
    prompts = results.spec["prompts"]
    text = (
        f"A {made_of} was trained for {config['train']['steps']} steps on "
        f"{config['data']['source']} "
    )
    if sampling := config.get("sampling"):
        text += (
            f"and asked for {prompts} captions of a split it {known} "
            f"({sampling['solver']['name'].upper()}, {sampling['steps']} steps, "
            f"guidance {sampling['guidance']:g})."
        )
    else:
        text += f"and given the mels of {prompts} clips it {known}."
    if right:
        worst = min(right, key=lambda name: right[name])
        text += " By a classifier trained on real clips only, "
        if right[worst] == 1:
            text += "every attribute is right in all of them."
        else:
            text += (
                f"the attribute most often wrong is {worst}, right in "
                f"{100 * right[worst]:.1f} % of them."
            )
    error = results.summaries("mel_l1_full_band")
    ours, theirs = (error[column.name].value for column in RESYNTHESIS.values())
    return (
        f"{text} The vocoder's mel error is {ours:.2f}, that of Griffin-Lim with "
        f"{GRIFFIN_LIM_ITERATIONS} iterations {theirs:.2f}."
    )


def _tables(results: Results, reference: Reference) -> list[Table]:
    """Shares, distances between sets, and resynthesis: each of its own stages."""
    stages = [c for c in STAGES.values() if c.name in results.systems]
    vocoders = list(RESYNTHESIS.values())
    if len(stages) == 1:  # of a vocoder: resynthesis is what is measured
        stages += vocoders
    n, features = len(reference.captions), reference.features
    kinds = {metric: about(metric) for metric in results.metrics}
    shares = [m for m, kind in kinds.items() if kind.percent and m != "adherence"]
    shares.sort(key=lambda metric: not metric.startswith(ATTRIBUTE_PREFIX))
    sets = [m for m, kind in kinds.items() if kind.by_classifier and not kind.percent]
    note = f"Share of {n} clips, 95 % interval (Wilson's)."
    if features is None:
        rows = tuple(values_row(results, metric, stages) for metric in shares)
        first = Table("Is the signal sound?", tuple(stages), rows, note, percent=True)
    else:
        chance = {
            f"{ATTRIBUTE_PREFIX}{name}": Estimate(1 / len(values))
            for name, values in features.classifier.values.items()
        }
        first = Table(
            "Does the sound have what its caption asks for?",
            (*stages, Column("Chance", "guessing", bound=True)),
            tuple(values_row(results, m, stages, (chance.get(m),)) for m in shares),
            f"{note} Attributes by a classifier that was trained on real clips only.",
            percent=True,
        )
    found = [first]
    if sets:
        rows = tuple(values_row(results, metric, stages) for metric in sets)
        note = f"Of {n} clips, embedded by the same classifier."
        title = "How far are the sounds from those of the set?"
        found.append(Table(title, tuple(stages), rows, note))
    return [
        *found,
        Table(
            "Resynthesis: from a real clip's mel back to a waveform",
            tuple(vocoders),
            tuple(
                values_row(results, metric, vocoders) for metric in RESYNTHESIS_METRICS
            ),
            f"Mean over {n} clips of the split, 95 % interval (Student's t).",
        ),
    ]


def _examples(reference: Reference, waves: Waves, number: int) -> tuple[Example, ...]:
    """Prompts spread evenly, each at the stages that can be listened to."""
    chosen = evenly(len(reference.captions), number)
    hidden = (*NOT_SHOWN, *RESYNTHESIS) if "generated" in waves else ()
    shown = {
        s: c
        for s, c in (STAGES | RESYNTHESIS).items()
        if s in waves and s not in hidden
    }
    clips: list[list[Clip]] = [[] for _ in chosen]
    for stage, column in shown.items():
        answers = _attributes(reference, waves[stage], chosen)
        for place, i in enumerate(chosen):
            name = "Real" if stage == "real" else column.name
            clips[place].append(Clip(name, waves[stage][i], answers[place]))
    return tuple(
        Example(reference.captions[i], tuple(each))
        for i, each in zip(chosen, clips, strict=True)
    )


def _attributes(
    reference: Reference, waves: np.ndarray, chosen: np.ndarray
) -> list[tuple[Attribute, ...]]:
    """What captions request and what is predicted; empty without a classifier."""
    if reference.features is None:
        return [()] * len(chosen)
    classifier, requested, *_ = reference.features
    predicted = classifier.predicted(waves[chosen])
    return [
        tuple(
            Attribute(name, classes[a], classes[b])
            for (name, classes), a, b in zip(
                classifier.values.items(), *row, strict=True
            )
        )
        for row in zip(requested[chosen], predicted, strict=True)
    ]
