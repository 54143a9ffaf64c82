"""An experiment written out: what is trained, what is measured, what it costs.

A training run is known by its identity, and lives in a directory of that name. So
experiments share what is the same in them: components, and runs that two of them ask
for.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.study.identity import identity
from diffusion_audio.study.spec import Experiment, configs
from diffusion_audio.training import latent_diffusion, recipe, session
from diffusion_audio.training.same_run import FREE_TO_CHANGE
from diffusion_audio.training.sampler import SamplingConfig
from diffusion_audio.training.settings import settings
from diffusion_audio.training.trained import make_task
from diffusion_audio.training.workdir import read_json

# Groups of a config that training does not depend on.
AFTERWARDS = ("sampling", "listen")
FINISHED = "finished.json"
NUMBERS = "numbers.json"


class Training(NamedTuple):
    """One training run.

    Attributes:
        name: of what, and with which seed.
        config: plain values; ``components`` is empty.
        parts: the runs it stands on, by component.
        id: its identity.
    """

    name: str
    config: dict[str, Any]
    parts: "dict[str, Training]"
    id: str

    @property
    def task(self) -> str:
        """What is trained."""
        return self.config["task"]

    @property
    def steps(self) -> int:
        """Number of updates."""
        return self.config["train"]["steps"]

    def directory(self, runs: Path) -> Path:
        """Its work directory."""
        return runs / f"{self.task}-{self.id}"

    def finished(self, runs: Path) -> bool:
        """Whether it has been trained to its last step."""
        return (self.directory(runs) / FINISHED).is_file()

    def with_parts(self) -> "list[Training]":
        """The runs it stands on, then itself."""
        return [*(p for part in self.parts.values() for p in part.with_parts()), self]


class Cell(NamedTuple):
    """One system trained with one seed, and heard.

    Attributes:
        system: its name.
        seed: of training.
        training: the run; systems that differ in sampling share it.
        sampling: how its sounds are drawn.
        id: identity of its numbers.
    """

    system: str
    seed: int
    training: Training
    sampling: dict[str, Any]
    id: str

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.system}, seed {self.seed}"

    def directory(self, runs: Path) -> Path:
        """Where its numbers and sounds are."""
        return runs / f"heard-{self.id}"

    def measured(self, runs: Path) -> bool:
        """Whether its numbers are there."""
        return (self.directory(runs) / NUMBERS).is_file()


class Plan(NamedTuple):
    """All of an experiment.

    Attributes:
        experiment: what is asked.
        cells: systems x seeds, the baseline first.
        vocoder: the run that all are heard through, or None.
        classifier: the run that judges.
    """

    experiment: Experiment
    cells: tuple[Cell, ...]
    vocoder: Training | None
    classifier: Training

    @property
    def clips(self) -> int:
        """Sounds of a cell."""
        return self.experiment.prompts * len(self.experiment.sampling_seeds)

    def tools(self) -> list[Training]:
        """The runs that all systems are heard with."""
        tools = [self.classifier] + ([self.vocoder] if self.vocoder else [])
        return [run for tool in tools for run in tool.with_parts()]

    def trainings(self) -> list[Training]:
        """Every run, each once and after those it stands on."""
        every = self.tools()
        every += [t for cell in self.cells for t in cell.training.with_parts()]
        first: dict[str, Training] = {}
        for training in every:
            first.setdefault(training.id, training)
        return list(first.values())


def make_plan(experiment: Experiment) -> Plan:
    """Writes an experiment out.

    Raises:
        UserError: the spec asks for something impossible.
    """
    vocoder = None
    if experiment.vocoder:
        vocoder = _component("vocoder", experiment.vocoder)
    classifier = _component("classifier", experiment.classifier)
    _require_labels(experiment, classifier)
    heard_by = {
        "vocoder": vocoder.id if vocoder else "",
        "classifier": classifier.id,
        "split": experiment.split,
        "prompts": experiment.prompts,
        "sampling_seeds": experiment.sampling_seeds,
    }
    cells = []
    for system, config in configs(experiment).items():
        plain = _plain(config)
        sampling = plain.get("sampling", {})
        if (plain["task"] == "vocoder") == bool(vocoder):
            raise UserError(
                f"the experiment's vocoder is {experiment.vocoder!r}, but its systems "
                f'are of task {plain["task"]!r}; give vocoder="" where they are '
                "vocoders, and a recipe where they are not"
            )
        _require_possible(system, plain, classifier, vocoder)
        for seed in experiment.seeds:
            training = _training(f"{system}, seed {seed}", plain | {"seed": seed})
            content = heard_by | {"run": training.id, "sampling": sampling}
            cell = identity(content, "study.measure")
            cells.append(Cell(system, seed, training, sampling, cell))
    _require_different(cells)
    return Plan(experiment, tuple(cells), vocoder, classifier)


def _require_different(cells: Iterable[Cell]) -> None:
    first: dict[str, Cell] = {}
    for cell in cells:
        if (other := first.setdefault(cell.id, cell)) is not cell:
            raise UserError(
                f"{cell.system!r} changes nothing that decides a number, so it is "
                f"{other.system!r}; change its overrides or leave it out"
            )


def _require_labels(experiment: Experiment, classifier: Training) -> None:
    labels = classifier.config["data"]["labels"]
    for metric in experiment.metrics:
        _, _, attribute = metric.partition("adherence/")
        if attribute and attribute not in labels:
            raise UserError(
                f"metric {metric}: the classifier {experiment.classifier} learns "
                f"{', '.join(labels)}; take one of these, or leave the metric out"
            )


def _require_possible(
    system: str,
    config: Mapping[str, Any],
    classifier: Training,
    vocoder: Training | None,
) -> None:
    """Says now what training or listening would say hours later."""
    try:
        training = _training(system, config)
        resolved = _resolved(training)
        if config["task"] == "diffusion":
            sampling = settings(SamplingConfig, config, "sampling")
            latent_diffusion.build(resolved).sampler(sampling)
        else:
            make_task(resolved)
        spec = AudioSpec.from_config(config["audio"])
        for other in filter(None, (*training.parts.values(), classifier, vocoder)):
            theirs = AudioSpec.from_config(other.config["audio"])
            spec.require_same(theirs, mine="the system", theirs=f"the {other.task}")
    except UserError as error:
        raise UserError(f"{system}: {error}") from error


def _resolved(training: Training) -> dict[str, Any]:
    """The config as `trained.resolve` will find it once the components are trained."""
    parts = {name: _resolved(part) for name, part in training.parts.items()}
    spec = AudioSpec.from_config(training.config["audio"])
    return training.config | {"audio": spec.to_dict(), "components": parts}


def seconds(training: Training, runs: Path) -> float | None:
    """What a finished training run took, all its sessions together."""
    path = training.directory(runs) / FINISHED
    if not path.is_file():
        return None
    return session.seconds(read_json(path)["sessions"])


def expected_seconds(plan: Plan, runs: Path) -> tuple[float, list[str]]:
    """Seconds that are left, and the components whose cost nobody knows.

    A run costs what finished runs of its task cost a step, else what the spec says;
    listening to one what it cost where it is done, and nothing before.
    """
    rates: dict[str, list[float]] = {}
    for training in plan.trainings():
        if taken := seconds(training, runs):
            rates.setdefault(training.task, []).append(taken / training.steps)
    total, unknown = 0.0, []
    asked = {cell.training.id for cell in plan.cells}
    for training in plan.trainings():
        if training.finished(runs):
            continue
        if known := rates.get(training.task):
            total += training.steps * sum(known) / len(known)
        elif training.id in asked:
            total += 60 * plan.experiment.minutes
        else:
            unknown.append(training.name)
    heard = [
        cell.directory(runs) / NUMBERS for cell in plan.cells if cell.measured(runs)
    ]
    if heard:
        listening = [read_json(path)["seconds"]["listen"] for path in heard]
        total += (len(plan.cells) - len(heard)) * sum(listening) / len(listening)
    return total, unknown


def shard_of(cells: Iterable[Cell], shard: tuple[int, int]) -> list[Cell]:
    """The cells of part i of n; those that share a run stay together."""
    part, parts = shard
    if not 1 <= part <= parts:
        raise UserError(f"--shard={part}/{parts}: expected i/n with i from 1 to n")
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.training.id, []).append(cell)
    return [
        cell for group in list(groups.values())[part - 1 :: parts] for cell in group
    ]


def _component(name: str, source: str) -> Training:
    config = _plain(recipe.load(source))
    if config["task"] != name:
        raise UserError(
            f"{name}: {source} is a recipe of task {config['task']!r}; give one of "
            f"task {name!r}"
        )
    return _training(f"{name} ({source})", config)


def _training(name: str, config: Mapping[str, Any]) -> Training:
    sources = config.get("components", {})
    parts = {
        part: _component(part, source) for part, source in sources.items() if source
    }
    plain = dict(config) | {group: {} for group in AFTERWARDS if group in config}
    if "components" in plain:
        plain["components"] = {}
    content = _decisive(plain) | {"parts": {k: part.id for k, part in parts.items()}}
    modules = ("training.run", f"training.tasks.{plain['task']}")
    return Training(name, plain, parts, identity(content, *modules))


def _decisive(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without what changes no number."""
    kept = json.loads(json.dumps(config))
    for key in FREE_TO_CHANGE:
        group, _, name = key.partition(".")
        if not name:
            kept.pop(group, None)
        elif name != "steps":
            kept[group].pop(name, None)
    return kept | {"audio": AudioSpec.from_config(config["audio"]).to_dict()}


def _plain(config: Any) -> dict[str, Any]:
    return json.loads(json.dumps(config.to_dict()))
