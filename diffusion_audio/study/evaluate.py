"""A trained run evaluated: an experiment of one system, whose variants are its stages.

A text-to-audio model is measured at each stage, from real clips to what it made
untrained; a vocoder by resynthesis of real clips, beside Griffin-Lim.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from diffusion_audio.aliases import Params
from diffusion_audio.audio.decoders import Decode, decoding
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.data.open import open_source, split_names
from diffusion_audio.data.source import Source
from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.attribute_classifier import load_attribute_classifier
from diffusion_audio.evaluation.measures import (
    Reference,
    about,
    draw_reference,
    measure,
    protocols,
)
from diffusion_audio.evaluation.stages import (
    PASSES,
    Waves,
    inverted_mels,
    of_captions,
)
from diffusion_audio.generation import load
from diffusion_audio.generation.batches import BATCH_SIZE, in_batches, joined
from diffusion_audio.generation.vocode import load_voice
from diffusion_audio.nn.functional import count
from diffusion_audio.outputs import record, require_writable
from diffusion_audio.progress import ProgressView
from diffusion_audio.report.page import render
from diffusion_audio.runs import session
from diffusion_audio.runs.chosen import Chosen, choose
from diffusion_audio.runs.same_run import content_hash
from diffusion_audio.runs.session import PROVENANCE
from diffusion_audio.runs.workdir import provenance, read_config, require_part
from diffusion_audio.study.evaluation_page import RESYNTHESIS, STAGES, report
from diffusion_audio.study.measure import Synthesizer, generating, resynthesis
from diffusion_audio.study.results import RESULTS, Results, new_record, write
from diffusion_audio.study.sections import provenance_of, training_curves

PAGE = "report.html"
UNSEEN = "held_out"  # combinations of labels that training never had, in some sets
LONGEST = 4.0  # s, of a clip that a vocoder resynthesizes


class Subject(NamedTuple):
    """What is evaluated.

    Attributes:
        made_by: what makes its sounds.
        step: of the checkpoint that was read.
        made_of: the network that was trained, in words.
        passes: of all clips, until the stages are made.
        stages: ``stages(reference, advance)`` makes them.
    """

    made_by: Synthesizer
    step: int | None
    made_of: str
    passes: int
    stages: Callable[[Reference, Callable[[int], None]], Waves]


def evaluate(
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
    overwrite: bool = False,
) -> Path:
    """Evaluates a run and writes ``results.json`` and ``report.html``.

    Args:
        model: work directory of a diffusion or vocoder run; it, ``classifier`` and
            ``vocoder`` may say of which checkpoint (`runs.chosen`).
        out: directory to write to.
        classifier: work directory of an attribute classifier's run; without it, no
            measure that rests on one.
        vocoder: a vocoder's run or converted weights, in place of a diffusion run's.
        data: source in place of the run's own, for a set that has moved.
        split: of the data set; where None its ``held_out``, if it has one and the run
            is of text to audio, else the run's evaluation split.
        captions: how many to make sounds of, or clips to resynthesize.
        examples: how many of them are on the page.
        seed: of generation, crops and Griffin-Lim.
        batch_size: sounds that are made at a time, which memory grows with.
        overwrite: files that were not made here may be replaced; see `outputs`.

    Returns:
        The page.

    Raises:
        UserError: a run is missing or does not fit.
    """
    started, out = time.monotonic(), Path(out)
    run = choose(model).place
    config = read_config(run)
    # Not by the name of its task, which may be of one's own.
    generates = "denoiser" in config
    if not generates:
        needs = "evaluate needs one that trained a denoiser or"
        require_part(config, run, "vocoder", needs)
    require_writable(
        [out / RESULTS, out / PAGE],
        inputs=[choose(each).place for each in (run, classifier, vocoder) if each],
        overwrite=overwrite,
    )
    if generates:
        subject = _generating(model, vocoder, seed, batch_size)
        if vocoder is not None:
            place, step = choose(vocoder)
            part = {"run": str(place), "step": step}
            config.setdefault("components", {})["vocoder"] = part
    else:
        subject = _vocoder(model, config, vocoder, seed, batch_size)
    spec = subject.made_by.spec
    attributes = load_attribute_classifier(classifier, spec) if classifier else None
    samples = round(subject.made_by.seconds * spec.sample_rate)
    with decoding() as decode:
        source, split = open_run_data(
            config, spec.sample_rate, split, decode, unseen=generates, moved_to=data
        )
        reference = draw_reference(source, captions, samples, attributes, seed)
    if not generates:
        reference = _trimmed(reference, spec)
    out.mkdir(parents=True, exist_ok=True)
    passes = subject.passes * len(reference.captions)
    with closing(ProgressView("evaluate", passes)) as view:
        waves = {"real": reference.audio} | subject.stages(reference, view.advance)
    now = provenance()
    results = _results(subject, reference, waves, config, now, model, split, seed)
    write(results, out / RESULTS)
    record(out / RESULTS, "evaluate")
    runs = _runs(config, run, classifier, "diffusion" if generates else "vocoder")
    page = render(
        report(
            results,
            reference,
            waves,
            config,
            made_of=subject.made_of,
            rate=spec.sample_rate,
            examples=examples,
            runs=training_curves(runs),
            provenance=provenance_of(
                {name: session.sessions(path) for name, path in runs.items()},
                [now],
                command=now["command"],
                configs={n: content_hash(read_config(p)) for n, p in runs.items()},
                seconds={"evaluate": time.monotonic() - started},
            ),
        ),
        out / PAGE,
    )
    record(page, "evaluate")
    return page


def open_run_data(
    config: Mapping[str, Any],
    sample_rate: int,
    split: str | None,
    decode: Decode,
    *,
    unseen: bool = False,
    moved_to: str | None = None,
) -> tuple[Source, str]:
    """A split of what a run was trained on, and its name.

    Args:
        config: of the run.
        sample_rate: Hz.
        split: of its data set; where None, what the run was evaluated on.
        decode: how files are decoded.
        unseen: where ``split`` is None, take ``UNSEEN`` if the data has it.
        moved_to: the source to take in place of the config's own; None is that.

    Raises:
        UserError: it cannot be opened; what to do where it has moved is said.
    """
    place = moved_to or config["data"]["source"]
    try:
        if split is None:
            there = unseen and UNSEEN in split_names(place)
            split = UNSEEN if there else config["data"]["evaluation_split"]
        return open_source(place, split, sample_rate, decode=decode), split
    except UserError as error:
        if moved_to:
            raise
        raise UserError(
            f"{error}; if the data of this run is elsewhere now, say where: "
            "--data=SOURCE"
        ) from error


def _generating(
    model: str | Path, vocoder: str | Path | None, seed: int, batch_size: int
) -> Subject:
    pipeline = load(model, vocoder)
    pipeline.system.require_vocoder()
    return Subject(
        generating(pipeline),
        pipeline.step,
        _made_of("latent diffusion model", pipeline.params),
        PASSES,
        partial(of_captions, pipeline, seed=seed, batch_size=batch_size),
    )


def _vocoder(
    model: str | Path,
    config: Mapping[str, Any],
    vocoder: str | Path | None,
    seed: int,
    batch_size: int,
) -> Subject:
    if vocoder is not None:
        raise UserError(
            f"--vocoder is for diffusion runs, and {model} is a vocoder's; leave it out"
        )
    voice = load_voice(model)
    if "data" not in config:
        raise UserError(
            f"{model} is converted weights, not a run, and knows no data set to be "
            "measured on; `diffusion-audio vocode` resynthesizes files of yours"
        )
    made_by = resynthesis(voice, LONGEST, batch_size)

    def stages(reference: Reference, advance: Callable[[int], None]) -> Waves:
        by_hand = in_batches(
            lambda clips: inverted_mels(voice.spec, clips, seed),
            reference.audio,
            size=batch_size,
        )
        return {
            "vocoder": joined(made_by.sound(reference, seed), advance),
            "griffin_lim": joined(by_hand, advance),
        }

    return Subject(made_by, voice.step, _made_of("HiFi-GAN", voice.params), 2, stages)


def _made_of(kind: str, params: Params) -> str:
    return f"{kind} of {count(params) / 1e6:.1f} M parameters"


def _trimmed(reference: Reference, spec: AudioSpec) -> Reference:
    """Clips no longer than the longest of them, in whole frames."""
    real = reference.audio
    length = max(1, np.flatnonzero(real.any(axis=0)).max(initial=0) + 1)
    whole = -(-length // spec.hop_length) * spec.hop_length
    real = np.pad(real[:, :length], ((0, 0), (0, whole - length)))
    return reference._replace(audio=real)


def _results(
    subject: Subject,
    reference: Reference,
    waves: Waves,
    config: Mapping[str, Any],
    now: Mapping[str, Any],
    model: str | Path,
    split: str,
    seed: int,
) -> Results:
    """All measures of all stages, kept as an experiment's are."""
    made_by = subject.made_by
    found = {
        column.name: measure(reference, waves[stage][None], made_by.spec)
        for stage, column in (STAGES | RESYNTHESIS).items()
        if stage in waves
    }
    names, features = list(found), reference.features
    metrics = {name: about(name).better for name in found[names[0]]}
    how = protocols(
        reference, made_by.spec, vocoder=made_by.vocoder, sampling_seeds=(seed,)
    )
    parts = {
        name: str(Chosen(part["run"], part.get("step")))
        for name, part in config.get("components", {}).items()
    }
    return Results(
        str(model),
        {
            "base": str(model),
            "step": subject.step,
            "baseline": names[0],
            "variants": {name: {} for name in names[1:]},
            "common": {},
            "components": {},
            "metrics": metrics,
            "seeds": [seed],
            "sampling_seeds": [seed],
            "split": split,
            "prompts": len(reference.captions),
        },
        {name: how[name] for name in metrics},
        {"classifier": features.classifier.weights} if features else {},
        [
            new_record(
                config,
                [now],
                {metric: each.tolist() for metric, each in values.items()},
                system=name,
                seed=seed,
                task=config["task"],
                run=content_hash(config),
                heard=reference.fingerprint,
                overrides={},
                parts=parts,
                sampling=config.get("sampling", {}),
                seconds={},
            )
            for name, values in found.items()
        ],
        again=now["command"],
    )


def _runs(
    config: Mapping[str, Any],
    run: Path,
    classifier: str | Path | None,
    trained: str,
) -> dict[str, Path]:
    """Work directories of all runs the results rest on, those that were made here."""
    parts = config.get("components", {})
    runs = {name: Path(part["run"]) for name, part in parts.items()}
    if classifier:
        runs["classifier"] = choose(classifier).place
    runs[trained] = run
    return {n: path for n, path in runs.items() if (path / PROVENANCE).is_file()}
