"""Where the loss of a recipe goes with several seeds: the bands that recipes ship.

Train a recipe with three seeds or more (--config.seed=1 --config.train.log_every=5),
each in a directory of its own and to any step, then, for all the runs of all recipes,

    python -m benchmarks.loss_bands DIR ... > configs/expected.py

A band is of the logarithm of the loss: the mean over the seeds, plus and minus a tenth
and five standard deviations, of neighbouring rows too.
"""

import json
import math
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffusion_audio.errors import UserError
from diffusion_audio.runs.decisive import recipe_hash
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.runs.workdir import read_config

SEEDS = 3  # at least
NEIGHBOURS = 4  # rows before and after
WIDTH = 5.0  # standard deviations
MARGIN = 0.1  # of the logarithm: other processors, versions
EVERY = 25  # steps: the rows that a run has unless its log_every is changed
ROWS = 12  # of a band, at most

HEAD = '"""Where the losses of recipes go; made by `benchmarks.loss_bands`."""\n'

Row = tuple[int, float, float]


def band(curves: list[Mapping[int, float]]) -> list[Row]:
    """Step, lowest and highest loss, of the losses of several seeds by step."""
    steps = sorted(set(curves[0]).intersection(*curves[1:]))
    places = [place for place, step in enumerate(steps) if step % EVERY == 0]
    if len(curves) < SEEDS or not places:
        raise UserError(
            f"a band is of {SEEDS} seeds or more that went to step {EVERY} or further; "
            f"these are {len(curves)}, to step {max(steps, default=0)}"
        )
    logs = np.log([[curve[step] for step in steps] for curve in curves])
    chosen = np.linspace(0, len(places) - 1, min(ROWS, len(places))).round().astype(int)
    rows = []
    for place in np.array(places)[chosen]:
        near = logs[:, max(0, place - NEIGHBOURS) : place + NEIGHBOURS + 1]
        middle = float(logs[:, place].mean())
        # About the course of the rows, which in itself is no deviation.
        spread = float(np.sqrt(np.square(near - near.mean(axis=0)).mean()))
        spread *= math.sqrt(len(curves) / (len(curves) - 1))
        reach = WIDTH * spread + MARGIN
        low, high = math.exp(middle - reach), math.exp(middle + reach)
        rows.append((steps[place], float(f"{low:.3g}"), float(f"{high:.3g}")))
    return rows


def bands(runs: Iterable[Path]) -> dict[str, tuple[str, list[Row]]]:
    """Of each task: hash of its recipe, and the band of its runs."""
    found: dict[str, dict[int, Mapping[int, float]]] = {}
    recipes: dict[str, str] = {}
    for run in runs:
        config: dict[str, Any] = read_config(run)
        task, recipe = config["task"], recipe_hash(config)
        if recipes.setdefault(task, recipe) != recipe:
            raise UserError(f"{run} is of another recipe than the {task} before it")
        curve = {r["step"]: r["loss"] for r in read_metrics(run) if "loss" in r}
        found.setdefault(task, {})[config["seed"]] = curve
    return {
        task: (recipes[task], band(list(curves.values())))
        for task, curves in sorted(found.items())
    }


def module(found: Mapping[str, tuple[str, list[Row]]]) -> str:
    """The text of ``configs/expected.py``."""
    parts = [HEAD]
    for task, (recipe, rows) in found.items():
        lines = "".join(f"        {row},\n" for row in rows)
        parts.append(
            f"{task.upper()} = {{\n"
            f'    "recipe": {json.dumps(recipe)},\n'
            f'    "loss": (\n{lines}    ),\n}}\n'
        )
    return "\n".join(parts)


if __name__ == "__main__":
    print(module(bands(map(Path, sys.argv[1:]))), end="")
