"""An experiment written out: what is trained and what is measured.

Each training run is known by its config. So experiments share what is the same in them:
components, and runs that two of them ask for.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from diffusion_audio import recipe
from diffusion_audio.audio.spec import AudioSpec
from diffusion_audio.errors import UserError
from diffusion_audio.evaluation.measures import ATTRIBUTE_PREFIX
from diffusion_audio.runs.code_hash import json_hash
from diffusion_audio.runs.decisive import UNUSED_IN_TRAINING, decisive
from diffusion_audio.study.spec import Experiment, configs
from diffusion_audio.training import tasks


class Training(NamedTuple):
    """One training run.

    Attributes:
        name: of what, and with which seed.
        config: plain values; ``components`` is empty.
        parts: the runs it stands on, by component.
        id: hash of all that decides its numbers, but for the code.
        probe: the same without the seed: what code computes is probed once for all.
    """

    name: str
    config: dict[str, Any]
    parts: "dict[str, Training]"
    id: str
    probe: str

    @property
    def task(self) -> str:
        """What is trained."""
        return self.config["task"]

    @property
    def steps(self) -> int:
        """Number of updates."""
        return self.config["train"]["steps"]

    @property
    def directory(self) -> str:
        """What the names of its directories begin with."""
        return f"{self.task}-{self.id}"

    def with_parts(self) -> "list[Training]":
        """The runs it stands on, then itself."""
        return [*(p for part in self.parts.values() for p in part.with_parts()), self]


class Cell(NamedTuple):
    """One system trained with one seed, and measured.

    Attributes:
        system: its name.
        seed: of training.
        parts: the runs that its numbers come from: ``run``, which systems that differ
            in sampling share, ``classifier``, and ``vocoder`` where there is one.
        sampling: how its sounds are drawn.
        id: hash of all that decides its numbers, but for the code.
    """

    system: str
    seed: int
    parts: dict[str, Training]
    sampling: dict[str, Any]
    id: str

    @property
    def training(self) -> Training:
        """The run."""
        return self.parts["run"]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.system}, seed {self.seed}"

    @property
    def directory(self) -> str:
        """What the names of its directories begin with; so they are on disks."""
        return f"heard-{self.id}"


class Plan(NamedTuple):
    """All of an experiment.

    Attributes:
        experiment: its spec.
        cells: systems x seeds, the baseline first.
        tools: the runs that all are measured with: ``classifier``, and ``vocoder``
            where one makes waveforms of all.
    """

    experiment: Experiment
    cells: tuple[Cell, ...]
    tools: dict[str, Training]

    @property
    def clips(self) -> int:
        """Sounds of a cell."""
        return self.experiment.prompts * len(self.experiment.sampling_seeds)

    def trainings(self, cells: Iterable[Cell] | None = None) -> list[Training]:
        """Every run that some cells, or all, are made of, each after what it stands on.

        First are those that any cells, even none, are measured with.
        """
        compared = (cell.training for cell in (self.cells if cells is None else cells))
        first: dict[str, Training] = {}
        for training in (*self.tools.values(), *compared):
            for each in training.with_parts():
                first.setdefault(each.id, each)
        return list(first.values())


def make_plan(experiment: Experiment) -> Plan:
    """Writes an experiment out.

    Raises:
        UserError: the spec asks for something impossible.
    """
    tools = {"classifier": _component("classifier", experiment.classifier)}
    _require_labels(experiment, tools["classifier"])
    if experiment.vocoder:
        tools["vocoder"] = _component("vocoder", experiment.vocoder)
    measured_by = {
        "vocoder": "",
        **{name: tool.id for name, tool in tools.items()},
        "split": experiment.split,
        "prompts": experiment.prompts,
        "sampling_seeds": experiment.sampling_seeds,
    }
    cells = []
    for system, config in configs(experiment).items():
        plain = _plain(config)
        sampling = plain.get("sampling", {})
        if ("vocoder" in plain) == ("vocoder" in tools):
            raise UserError(
                f"the experiment's vocoder is {experiment.vocoder!r}, but its systems "
                f'are of task {plain["task"]!r}; give vocoder="" where they are '
                "vocoders, and a recipe where they are not"
            )
        _require_possible(system, plain, tools)
        for seed in experiment.seeds:
            training = _training(f"{system}, seed {seed}", plain | {"seed": seed})
            content = measured_by | {"run": training.id, "sampling": sampling}
            parts = {"run": training} | tools
            cells.append(Cell(system, seed, parts, sampling, json_hash(content)))
    _require_different(cells)
    return Plan(experiment, tuple(cells), tools)


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
        _, _, attribute = metric.partition(ATTRIBUTE_PREFIX)
        if attribute and attribute not in labels:
            raise UserError(
                f"metric {metric}: the classifier {experiment.classifier} learns "
                f"{', '.join(labels)}; take one of these, or leave the metric out"
            )


def _require_possible(
    system: str, config: Mapping[str, Any], tools: Mapping[str, Training]
) -> None:
    """Says now what training or measuring would say hours later."""
    try:
        training = _training(system, config)
        spec = AudioSpec.from_config(config["audio"])
        for other in (*training.parts.values(), *tools.values()):
            theirs = AudioSpec.from_config(other.config["audio"])
            spec.require_same(theirs, mine="the system", theirs=f"the {other.task}")
        later = {
            group: config[group] for group in UNUSED_IN_TRAINING if group in config
        }
        tasks.TABLE[config["task"]].configure(resolved(training) | later)
    except UserError as error:
        raise UserError(f"{system}: {error}") from error


def resolved(training: Training) -> dict[str, Any]:
    """The config as `runs.resolve` will find it once the components are trained."""
    parts = {name: resolved(part) for name, part in training.parts.items()}
    spec = AudioSpec.from_config(training.config["audio"])
    return training.config | {"audio": spec.to_dict(), "components": parts}


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
    if name not in config:
        raise UserError(
            f"{name}: {source} is a recipe of task {config['task']!r}; give one that "
            f"trains a part of this kind (its config has a group {name})"
        )
    return _training(f"{name} ({source})", config)


def _training(name: str, config: Mapping[str, Any]) -> Training:
    sources = config.get("components", {})
    parts = {
        part: _component(part, source) for part, source in sources.items() if source
    }
    plain = dict(config) | {
        group: {} for group in UNUSED_IN_TRAINING if group in config
    }
    if "components" in plain:
        plain["components"] = {}
    content = decisive(plain) | {"parts": {k: part.id for k, part in parts.items()}}
    probe = {key: value for key, value in content.items() if key != "seed"}
    return Training(name, plain, parts, json_hash(content), json_hash(probe))


def _plain(config: Any) -> dict[str, Any]:
    return json.loads(json.dumps(config.to_dict()))
