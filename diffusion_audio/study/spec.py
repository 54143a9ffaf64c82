"""What an experiment compares: a base config, named changes to it, seeds and metrics.

``experiments/QUESTION/spec.py`` holds one value, ``experiment = Experiment(...)``. A
spec is a program and is run: use those you trust.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from diffusion_audio import recipe
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.evaluation.measures import LEAST_CLIPS, Better, about
from diffusion_audio.report.content import Published

SPEC = "spec.py"
OWN_KEYS = ("seed",)  # what the spec sets by itself
REAL_CLIPS = "Real"  # what the page calls the clips of the set

# Adherence to the caption, distance to the set, soundness of the signal.
METRICS: Mapping[str, Better] = {
    "adherence": "higher",
    "all_right": "higher",
    "adherence/pitch": "higher",
    "kernel": "lower",
    "kl_reference_generated": "lower",
    "mel_l1": "lower",
    "faults": "lower",
}


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A question and all that is needed to answer it.

    Attributes:
        question: in one sentence, for the page's heading.
        base: the recipe of the baseline, ``FILE.py:PRESETS``.
        baseline: what the base is called in tables.
        variants: name -> dotted overrides of the base; the difference is the ablation.
            A change under ``sampling.`` alone needs no training of its own.
        metrics: name -> which direction is better; the first decides. ``METRICS``
            where not given.
        common: dotted overrides of every run, the baseline's too.
        components: name -> recipe of a network that is trained once and stood on,
            such as ``{"autoencoder": "configs/vae.py:tones"}``; a variant may override
            ``components.autoencoder`` by another recipe, or by ``""`` to do without.
        vocoder: recipe of the vocoder of all variants; ``""`` where the variants are
            vocoders themselves, which resynthesize real clips.
        classifier: recipe of the attribute classifier and embedding, trained on real
            clips only.
        seeds: of training; every variant is trained with each.
        split: of the data set, whose captions are prompts and whose clips are the
            reference.
        prompts: how many captions of the split.
        sampling_seeds: sounds of each prompt, one a seed.
        examples: how many prompts are on the page.
        published: numbers to compare with, never mixed with ours.
        minutes: cost of one training run on two CPU cores; runs that have been made
            say better.
    """

    question: str
    base: str
    baseline: str
    variants: Mapping[str, Mapping[str, Any]]
    metrics: Mapping[str, Better] = dataclasses.field(
        default_factory=lambda: dict(METRICS)
    )
    common: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    components: Mapping[str, str] = dataclasses.field(default_factory=dict)
    vocoder: str = "configs/vocoder.py:tones"
    classifier: str = "configs/classifier.py:tones"
    seeds: tuple[int, ...] = (0, 1, 2)
    split: str = "held_out"
    prompts: int = 48
    sampling_seeds: tuple[int, ...] = (0,)
    examples: int = 12
    published: tuple[Published, ...] = ()
    minutes: float = 2.0

    def __post_init__(self) -> None:
        if not self.variants:
            raise UserError("the experiment has no variants; give one or more")
        for name, changes in self.variants.items():
            if not isinstance(changes, Mapping):
                raise UserError(
                    f"variant {name}: expected overrides such as "
                    f'{{"train.steps": 600}}, got {changes!r}'
                )
        if not self.metrics:
            raise UserError("the experiment has no metrics; the first one decides")
        for metric, better in self.metrics.items():
            about(metric)  # refuses one that there is not
            if better not in ("higher", "lower"):
                raise UserError(
                    f"metric {metric}: expected 'higher' or 'lower', got {better!r}"
                )
        for name in (self.baseline, *self.variants):
            if not name or len(name) > 40 or set(name) & set("|<>/\\\n"):
                raise UserError(
                    f"variant {name!r}: expected a name of 1 to 40 characters without "
                    "| < > / \\"
                )
            if name == REAL_CLIPS:
                raise UserError(f"variant {name!r} has the name of the real clips")
        if self.baseline in self.variants:
            raise UserError(f"variant {self.baseline!r} has the name of the baseline")
        for field in ("seeds", "sampling_seeds"):
            seeds = getattr(self, field)
            if not isinstance(seeds, tuple) or not all(type(s) is int for s in seeds):
                raise UserError(
                    f"{field}: expected whole numbers such as (0, 1, 2), got {seeds!r}"
                )
            if len(set(seeds)) != len(seeds):
                raise UserError(f"{field} {seeds} has a seed twice")
        if len(self.seeds) < 2:
            raise UserError(
                f"seeds {self.seeds}: give 2 or more (3 are the least that is useful); "
                "one run has no interval"
            )
        for field in ("prompts", "examples"):
            number = getattr(self, field)
            if type(number) is not int or number < 0:
                raise UserError(f"{field}: expected a whole number, got {number!r}")
        if self.prompts * len(self.sampling_seeds) < LEAST_CLIPS:
            raise UserError(
                f"{self.prompts} prompts x {len(self.sampling_seeds)} sampling seeds: "
                f"give {LEAST_CLIPS} clips or more, for distances between sets, as by "
                f"prompts={LEAST_CLIPS}"
            )

    @property
    def systems(self) -> dict[str, Mapping[str, Any]]:
        """Overrides of every system that is compared, the baseline first."""
        return {self.baseline: {}, **self.variants}


# Words and shape of the page; they may change without a new run.
PAGE_ONLY = ("question", "examples", "published", "minutes")


def describe(experiment: Experiment) -> dict[str, Any]:
    """What decides the numbers of an experiment, as JSON values."""
    plain = dataclasses.asdict(experiment)
    kept = {name: value for name, value in plain.items() if name not in PAGE_ONLY}
    return json.loads(json.dumps(kept | {"decides": next(iter(experiment.metrics))}))


def load(directory: str | Path) -> Experiment:
    """The experiment of ``DIRECTORY/spec.py``.

    Raises:
        UserError: there is none, or the file fails.
    """
    path = Path(directory) / SPEC
    if not path.is_file():
        beside = [
            *Path(directory).parent.glob(f"*/{SPEC}"),
            *Path("experiments").glob(f"*/{SPEC}"),
        ]
        if not beside:
            raise UserError(
                f"there is no {path}; experiments are found from the repository's "
                "root, as in experiments/NAME"
            )
        known = sorted({str(path.parent) for path in beside})
        raise unknown("experiment", str(directory), known)
    try:
        module = recipe.execute(path)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except TypeError as error:  # most often a field that there is not
        fields = ", ".join(field.name for field in dataclasses.fields(Experiment))
        raise UserError(f"{path}: {error} (fields: {fields})") from error
    except Exception as error:  # whatever it is, it is the file's
        raise UserError(f"{path}: {type(error).__name__}: {error}") from error
    found = getattr(module, "experiment", None)
    if not isinstance(found, Experiment):
        raise UserError(f"{path}: expected `experiment = Experiment(...)` in it")
    return found


def configs(experiment: Experiment) -> dict[str, ConfigDict]:
    """The config of every system, seed apart; ``components`` hold recipes.

    Raises:
        UserError: an override does not fit.
    """
    base = recipe.load(experiment.base)
    parts = {f"components.{name}": r for name, r in experiment.components.items()}
    base = _changed(base, {**parts, **experiment.common}, "common")
    return {
        name: _changed(base, changes, f"variant {name}")
        for name, changes in experiment.systems.items()
    }


def _changed(base: ConfigDict, changes: Mapping[str, Any], whose: str) -> ConfigDict:
    for key in OWN_KEYS:
        if key in changes:
            raise UserError(f"{whose}: {key} is set by the experiment's seeds")
    try:
        return recipe.override(base, changes)
    except UserError as error:
        raise UserError(f"{whose}: {error}") from error
