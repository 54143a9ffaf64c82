"""The runs and sounds that results were made of, whatever today's code computes."""

from pathlib import Path

from diffusion_audio.errors import UserError
from diffusion_audio.runs.workdir import read_json
from diffusion_audio.study import identity
from diffusion_audio.study.identity import NUMBERS
from diffusion_audio.study.plan import Cell, Plan, Training
from diffusion_audio.study.results import RESULTS, Results, require_none, rounded


def recorded_runs(results: Results, plan: Plan, runs: Path) -> dict[str, Path]:
    """The directories whose numbers are those of results.

    Returns:
        By the id of each cell and training run.

    Raises:
        UserError: one is not there, or holds other numbers.
    """
    found: dict[str, Path] = {}
    missing: list[str] = []
    for cell in plan.cells:
        base = runs / cell.directory
        if not any(identity.kept_runs(base)):
            missing.append(cell.name)
            continue
        found[cell.id], marks = _measured(results, cell, base)
        for name, training in cell.parts.items():
            found |= _trained(training, marks[name], runs)
    require_none(missing, plan, runs)
    return found


def _measured(results: Results, cell: Cell, base: Path) -> tuple[Path, dict[str, str]]:
    """Where the numbers of a cell are that the results have, and of which runs."""
    wanted = results.record(cell)["values"]
    for path, kept, _ in identity.kept_runs(base):
        if (path / NUMBERS).is_file():
            values = read_json(path / NUMBERS)["values"]
            if all(rounded(values[name]) == wanted[name] for name in wanted):
                return path, kept["parts"]
    raise UserError(
        f"{RESULTS} has other numbers of {cell.name} than {base}; take it back from "
        "git, or make new results by `diffusion-audio experiment run "
        f"experiments/{results.name}`"
    )


def _trained(training: Training, mark: str, runs: Path) -> dict[str, Path]:
    """The run that computed numbers of a mark, and those that it stands on, by id."""
    base = runs / training.directory
    for path, kept, its in identity.kept_runs(base):
        if its == mark:
            found = {training.id: path}
            for name, part in training.parts.items():
                found |= _trained(part, kept["parts"][name], runs)
            return found
    raise UserError(
        f"{training.name}: the run of the sounds is no more in {base} (mark {mark}); "
        "restore it from a copy"
    )
