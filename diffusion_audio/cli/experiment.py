"""Compares variants of a config by training them, and says how sure the answer is.

run      trains and measures what is not there yet, writes results.json and the table
         of README.md; --shard=1/2 does one half, on machines that share --runs;
         --seeds=+2 adds training seeds to an experiment whose answer is open
page     writes one HTML file to read and listen to
compare  prints the table; of several experiments, if their numbers were made alike
explain  says where a number comes from; with --again, makes it again
plan     prints what run would do

On a CPU each process computes on one core, so that numbers do not depend on how many
there are; as many processes as cores, each with its --shard, use all of them.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from diffusion_audio.cli import options
from diffusion_audio.errors import UserError, unknown
from diffusion_audio.outputs import record, require_writable

USAGE = "diffusion-audio experiment run|page|compare|explain|plan experiments/NAME"


def main(argv: list[str]) -> int:
    """Runs the verb."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "runs", "runs/experiments", "where runs are, shared", flag_values=values
    )
    flags.DEFINE_string("shard", "1/1", "part i/n of the runs", flag_values=values)
    flags.DEFINE_string(
        "seeds",
        None,
        "+N: run, or plan, N more training seeds than the experiment has so far; what "
        "is made stays",
        flag_values=values,
    )
    flags.DEFINE_string("out", None, "file of the page", flag_values=values)
    flags.DEFINE_string("metric", None, "to explain; all if None", flag_values=values)
    flags.DEFINE_string("system", None, "to explain; all if None", flag_values=values)
    flags.DEFINE_bool("again", False, "make the number again", flag_values=values)
    options.overwrite(values)
    words = options.parse(
        values, argv, usage=USAGE, about=__doc__, positional="experiment"
    )
    what, *directories = words
    if what not in ACTIONS:
        raise unknown("action", what, ACTIONS)
    # Sums are split between threads, and come out a little otherwise; JAX's CPU client
    # reads how many it may start when it is first used.
    os.environ.setdefault("NPROC", "1")
    if not directories or (len(directories) > 1 and what != "compare"):
        raise UserError(f"expected one experiments/NAME after {what}; usage: {USAGE}")
    return ACTIONS[what]([Path(d) for d in directories], values)


def _plan(directories: list[Path], values: Any) -> int:
    from diffusion_audio.study import dry_run, plan, results, spec

    experiment = spec.load(directories[0])
    experiment = results.extended(directories[0], experiment, _more(values.seeds))
    made = plan.make_plan(experiment)
    print(dry_run.describe(made, directories[0], Path(values.runs)))
    return 0


def _run(directories: list[Path], values: Any) -> int:
    from diffusion_audio.study import (
        dry_run,
        execute,
        identity,
        plan,
        results,
        spec,
        wording,
    )

    (directory,), runs = directories, Path(values.runs)
    experiment = results.extended(directory, spec.load(directory), _more(values.seeds))
    made = plan.make_plan(experiment)
    wording.require_readme(made.experiment.question, directory)
    cells = plan.shard_of(made.cells, _shard(values.shard))
    print(dry_run.describe(made, directory, runs), file=sys.stderr)
    execute.execute(made, cells, runs, directory.name)
    places = [identity.locate(cell, runs) for cell in made.cells]
    if missing := [place for place in places if place.state != "done"]:
        print(f"this shard is done; {len(missing)} runs of others are not yet")
        return 0
    found = results.collect(made, directory, runs)
    wording.write_readme(found, directory)
    print("\n".join(wording.verdicts(found)))
    print(directory / results.RESULTS)
    return 0


def _page(directories: list[Path], values: Any) -> int:
    from diffusion_audio.study import experiment_page, plan, results, spec, wording

    (directory,) = directories
    experiment = results.extended(directory, spec.load(directory))
    found = results.read(directory, experiment)
    runs = Path(values.runs)
    out = Path(values.out or runs / f"{directory.name}.html")
    made = plan.make_plan(experiment)
    own = [directory / name for name in (spec.SPEC, results.RESULTS, wording.README)]
    require_writable([out], inputs=own, overwrite=values.overwrite)
    page = experiment_page.write(made, found, runs, out)
    record(page, "experiment")
    print(page)
    wording.write_readme(found, directory)
    return 0


def _compare(directories: list[Path], values: Any) -> int:
    del values
    from diffusion_audio.study import results, spec, wording

    found = [results.read(d, spec.load(d)) for d in directories]
    if len(found) > 1:
        print(wording.side_by_side(found))
    else:
        print(wording.markdown(found[0]))
    return 0


def _explain(directories: list[Path], values: Any) -> int:
    from diffusion_audio.study import explain, plan, results, spec

    experiment = results.extended(directories[0], spec.load(directories[0]))
    found = results.read(directories[0], experiment)
    metrics = [values.metric] if values.metric else list(found.metrics)
    systems = [values.system] if values.system else found.systems
    for metric in metrics:
        for system in systems:
            print(explain.explain(found, metric, system))
    if values.again:
        made = plan.make_plan(experiment)
        print(explain.again(found, made, Path(values.runs), metrics, systems))
    return 0


ACTIONS: dict[str, Callable[[list[Path], Any], int]] = {
    "run": _run,
    "page": _page,
    "compare": _compare,
    "explain": _explain,
    "plan": _plan,
}


def _more(text: str | None) -> int:
    if text is None:
        return 0
    if not (text.startswith("+") and text[1:].isdigit() and int(text[1:])):
        raise UserError(f"--seeds={text}: expected +N, such as +2, to add N seeds")
    return int(text[1:])


def _shard(text: str) -> tuple[int, int]:
    part, _, parts = text.partition("/")
    if not (part.isdigit() and parts.isdigit()):
        raise UserError(f"--shard={text}: expected i/n, such as 1/2")
    return int(part), int(parts)
