"""Commands that are stopped at random moments, and what comes of them when run again.

python -m benchmarks.stopped [--signal=KILL] [--times=20] [--only=NAMES] [--seed=0]
    [--processes=1]

Tiny runs and systems, made first. Each command runs once undisturbed; then, in an
empty place again, it is given the signal at a moment drawn from all of its time, and
is run again and again until it was stopped so many times and then comes to its end.
What it leaves must be the same to the bit: a run's parameters, moments, averages and
metrics, files of audio and numbers. SIGTERM and SIGINT must be answered with their exit
code and no traceback. Prints a table; exit code 1 where something is not as promised.
Ten minutes for twenty kills of each task of training on two cores.

Several processes on loopback train together, and one of them, drawn too, gets the
signal; the others must end within the time and with the exit code that
docs/distributed.md states.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from diffusion_audio.cli.streams import print_anything
from diffusion_audio.recipe import REPOSITORY
from diffusion_audio.runs.checkpoint import Checkpoints
from diffusion_audio.runs.metric_log import read_metrics
from diffusion_audio.training.agreement import FAILED, SILENCE
from diffusion_audio.training.together import JOINING
from tests.recipes import folder_of_audio, label, recipe
from tests.study import tiny_experiment

STEPS = 150
CONFIG = """
from tests.recipes import tiny
def get_config():
    config = tiny({task!r}, {source!r}, steps={steps})
    config.train.update(log_every=5, checkpoint_every=10, evaluate_every=50)
    config.parallel.data = -1
    {more}
    return config
"""
MORE = {
    "classifier": "config.data.labels, config.classifier.classes = ('pitch',), (2,)",
    "vae": "",
    "vocoder": "",
    "diffusion": "config.components.update(autoencoder={vae!r}, vocoder={vocoder!r})",
}
SLACK = 15.0  # seconds more than is stated, on a machine with other work
APART = "have not come together"  # of a process that others did not join
# Of what is written as JSON: when it was made, how long it took, by what.
VARIES = ("seconds", "started", "commit", "uncommitted_changes", "command")


class Case(NamedTuple):
    """A command that is stopped.

    Attributes:
        words: after the program's name.
        out: what it writes, made anew for each series.
        digest: of what it has written; raises where that is not whole.
    """

    words: list[str]
    out: Path
    digest: Callable[[Path], str]


class Ended(NamedTuple):
    """How a process ended: its exit code, what it said, seconds since the signal."""

    code: int
    said: str
    seconds: float


def run_digest(workdir: Path) -> str:
    """Of the last state of a run, and of its metrics at the steps that all runs log."""
    checkpoints = Checkpoints(workdir / "checkpoints")
    place = jax.sharding.SingleDeviceSharding(jax.devices()[0])

    def all_of_it(saved: Any) -> Any:
        keys = ("step", "params", "opt", "ema")
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
            {key: saved[key] for key in keys},
        )

    found = checkpoints.read(all_of_it)
    checkpoints.close()
    if found is None or found[0] != STEPS:
        raise ValueError(f"expected step {STEPS}, found {found and found[0]}")
    made = hashlib.sha256()
    for leaf in jax.tree.leaves(found[1]):
        made.update(np.asarray(leaf).tobytes())
    rows = [row for row in read_metrics(workdir) if row["step"] % 5 in (0, 1)]
    steps = Counter((row["step"], row["split"]) for row in rows)
    if len(rows) < STEPS // 5 or max(steps.values()) > 1:
        raise ValueError(f"{len(rows)} rows of metrics, {steps.most_common(1)}")
    rows = [row for row in rows if row["step"] % 5 == 0]
    made.update(json.dumps(rows, sort_keys=True).encode())
    return made.hexdigest()


def files_digest(out: Path) -> str:
    """Of all files; of JSON what does not vary, of pages that they are there."""
    made = hashlib.sha256()
    paths = sorted(path for path in out.rglob("[!.]*") if path.is_file())
    if not paths:
        raise ValueError("nothing is written")
    for path in paths:
        made.update(str(path.relative_to(out)).encode())
        if path.suffix == ".json":
            found = _lasting(json.loads(path.read_text(encoding="utf-8")))
            made.update(json.dumps(found, sort_keys=True).encode())
        elif path.suffix != ".html" and "latents" not in path.parts:
            made.update(path.read_bytes())
    return made.hexdigest()


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _lasting(v) for k, v in value.items() if k not in VARIES}
    return [_lasting(v) for v in value] if isinstance(value, list) else value


def results_digest(runs: Path) -> str:
    """Of the numbers of a tiny experiment, whose runs are in ``runs``."""
    (path,) = (runs.parent / "experiments").glob("*/results.json")
    records = json.loads(path.read_text(encoding="utf-8"))["runs"]
    found = sorted((r["system"], r["seed"], r["run"], r["values"]) for r in records)
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def make_cases(root: Path) -> dict[str, Case]:
    """The commands, in the order in which one needs what another makes."""
    source = folder_of_audio(root / "audio")
    label(root / "audio", recipe("classifier"))
    cases, made = {}, root / "made"
    for task, more in MORE.items():
        config = root / f"{task}.py"
        places = {name: str(made / f"train {name}") for name in MORE}
        text = CONFIG.format(
            task=task, source=source, steps=STEPS, more=more.format(**places)
        )
        config.write_text(text, encoding="utf-8")
        out = root / f"train {task}"
        words = ["train", f"--config={config}", f"--workdir={out}"]
        cases[f"train {task}"] = Case(words, out, run_digest)
    model = made / "train diffusion"

    def writes(verb: str, *words: str) -> Case:
        out = root / verb
        return Case([verb.split()[0], *words, f"--out={out}"], out, files_digest)

    prompts = ["a low tone", "a high tone", "a tone number 3"]
    classifier = f"--classifier={made / 'train classifier'}"
    few = "--captions=16"
    cases["generate"] = writes(
        "generate", f"--model={model}", *prompts, "--steps=40", "--batch_size=1"
    )
    cases["evaluate"] = writes("evaluate", f"--model={model}", classifier, few)
    voice = made / "train vocoder"
    cases["evaluate vocoder"] = writes("evaluate vocoder", f"--model={voice}", few)
    cases["convert"] = writes("convert", str(model))
    out = root / "vocode"
    words = ["vocode", str(root / "audio"), str(out), f"--model={voice}"]
    cases["vocode"] = Case(words, out, files_digest)
    (root / "question").mkdir()
    experiment, out = tiny_experiment.make(root / "question"), root / "question/runs"
    words = ["experiment", "run", str(experiment), f"--runs={out}"]
    cases["experiment"] = Case(words, out, results_digest)
    return cases


def call(
    words: list[str],
    processes: int = 1,
    number: int = 0,
    after: float = 0.0,
    chosen: int = 0,
) -> list[Ended]:
    """Runs a command; the chosen process is signalled after some seconds.

    Args:
        words: of the command.
        processes: that train together.
        number: of the signal; none where 0.
        after: seconds until then.
        chosen: the process that gets it.

    Returns:
        How each ended, the chosen one first.
    """
    together = ["--coordinator", f"localhost:{free_port()}", "--num_processes"]
    together += [str(processes), "--process_id"]
    with contextlib.ExitStack() as stack:
        outputs, running = [], []
        for i in range(processes):
            place = [*together, str(i)] if processes > 1 else []
            outputs.append(stack.enter_context(tempfile.TemporaryFile("w+")))
            running.append(
                subprocess.Popen(
                    [sys.executable, "-m", "diffusion_audio", *words, *place],
                    stdout=outputs[i],
                    stderr=subprocess.STDOUT,
                    env=os.environ | {"JAX_PLATFORMS": "cpu"},
                    cwd=REPOSITORY,
                )
            )
        since = time.monotonic()
        if number:
            try:
                running[chosen].wait(after)
            except subprocess.TimeoutExpired:
                running[chosen].send_signal(number)
            since = time.monotonic()
        took: dict[int, float] = {}
        while len(took) < processes:
            time.sleep(0.05)
            for i, process in enumerate(running):
                if process.poll() is not None:
                    took.setdefault(i, time.monotonic() - since)
        ended = []
        for i, output in enumerate(outputs):
            output.seek(0)
            ended.append(Ended(running[i].returncode, output.read(), took[i]))
    return [ended.pop(chosen), *ended]


def free_port() -> int:
    """One that the first of several processes can listen at."""
    with socket.socket() as server:
        server.bind(("localhost", 0))
        return server.getsockname()[1]


def faults(number: int, ended: list[Ended]) -> Iterator[str]:
    """What is not as promised of processes of which the first was signalled."""
    first, *others = ended
    # Before Python is there, or once all is done, it is the system that answers.
    killed = number == signal.SIGKILL
    codes = {-number} if killed else {128 + number, -number}
    if first.code not in {0, *codes}:
        yield f"exit code {first.code}"
    for other in others:
        apart = APART in other.said
        agreed = FAILED if killed or apart else 128 + number
        if other.code not in {0, agreed}:
            yield f"exit code {other.code} of the other"
        if other.seconds > SLACK + (JOINING if apart else SILENCE):
            yield f"the other ended {other.seconds:.1f} s later"
    if any("Traceback" in each.said for each in ended):
        yield "a traceback"


def series(
    case: Case, number: int, times: int, took: float, rng: random.Random, processes: int
) -> Iterator[str]:
    """Stops a command so many times, then lets it end; yields what is not right."""
    stopped, latest = 0, 0.0
    for _ in range(4 * times):
        if stopped == times:
            break
        after, chosen = rng.uniform(0.0, 1.1 * took), rng.randrange(processes)
        ended = call(case.words, processes, number, after, chosen)
        stopped += ended[0].code != 0
        for fault in faults(number, ended):
            said = "\n".join(each.said for each in ended)
            yield f"{fault}, {chosen} signalled {after:.1f} s after its start: {said}"
        for other in ended[1:]:
            latest = max(latest, 0.0 if APART in other.said else other.seconds)
        if all(each.code == 0 for each in ended):  # another round
            shutil.rmtree(case.out)
    if processes > 1:
        print(f"the others ended at most {latest:.1f} s later", file=sys.stderr)
    for ended_alone in call(case.words, processes):
        if ended_alone.code:
            yield f"exit code {ended_alone.code} when left alone: {ended_alone.said}"


def main() -> int:
    """Runs all series and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--signal", choices=("KILL", "TERM", "INT"), default="KILL")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args()
    print_anything()
    number = getattr(signal, f"SIG{asked.signal}")
    rng, failed = random.Random(asked.seed), False
    print(f"| command | undisturbed | SIG{asked.signal} | the same in the end |")
    print("|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "made").mkdir()
        cases = make_cases(root)
        wanted = asked.only.split(",") if asked.only else list(cases)
        last = max(map([*cases].index, wanted))
        for name, case in [*cases.items()][: last + 1]:
            if name not in wanted and not name.startswith("train"):
                continue
            # Twice where it counts: then what is compiled is kept, as in later rounds.
            count = asked.processes if name in wanted else 1
            for _ in range(2 if name in wanted else 1):
                shutil.rmtree(case.out, ignore_errors=True)
                began = time.monotonic()
                whole = call(case.words, count)
                took = time.monotonic() - began
            if any(each.code for each in whole):
                raise SystemExit(f"{name}: {[each.said for each in whole]}")
            expected = case.digest(case.out)
            case.out.rename(root / "made" / name)
            if name not in wanted:
                continue
            wrong = list(series(case, number, asked.times, took, rng, count))
            try:
                same = case.digest(case.out) == expected
            except (OSError, ValueError) as error:
                wrong.append(str(error))
                same = False
            failed |= bool(wrong) or not same
            said = "yes" if same else "NO"
            print(f"| {name} | {took:.1f} s | {asked.times} | {said} |")
            print(*wrong, sep="\n", end="\n" * bool(wrong), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
