"""Commands that are stopped at random moments, and what comes of them when run again.

python -m benchmarks.stopped [--signal=KILL] [--times=20] [--only=NAMES] [--seed=0]

Tiny runs and systems, made first. Each command runs once undisturbed; then, in an
empty place again, it is given the signal at a moment drawn from all of its time, and
is run again and again until it was stopped so many times and then comes to its end.
What it leaves must be the same to the bit: a run's parameters, moments, averages and
metrics, files of audio and numbers. SIGTERM and SIGINT must be answered with their exit
code and no traceback. Prints a table; exit code 1 where something is not as promised.
Ten minutes for twenty kills of each task of training on two cores.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
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
from tests.recipes import folder_of_audio, label, recipe
from tests.study import tiny_experiment

STEPS = 150
CONFIG = """
from tests.recipes import tiny
def get_config():
    config = tiny({task!r}, {source!r}, steps={steps})
    config.train.update(log_every=5, checkpoint_every=10, evaluate_every=50)
    {more}
    return config
"""
MORE = {
    "classifier": "config.data.labels, config.classifier.classes = ('pitch',), (2,)",
    "vae": "",
    "vocoder": "",
    "diffusion": "config.components.update(autoencoder={vae!r}, vocoder={vocoder!r})",
}
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
    """How a process ended: its exit code, what it said, seconds."""

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


def call(words: list[str], number: int = 0, after: float = 0.0) -> Ended:
    """Runs a command, and signals it after some seconds where a number is given."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "diffusion_audio", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
        cwd=REPOSITORY,
    )
    try:
        said, _ = process.communicate(timeout=after if number else None)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        said, _ = process.communicate(timeout=300)
    return Ended(process.returncode, said, time.monotonic() - began)


def series(
    case: Case, number: int, times: int, took: float, rng: random.Random
) -> Iterator[str]:
    """Stops a command so many times, then lets it end; yields what is not right."""
    # Before Python is there, or once all is done, it is the system that answers.
    codes = {-number} if number == signal.SIGKILL else {128 + number, -number}
    stopped = 0
    for _ in range(4 * times):
        if stopped == times:
            break
        after = rng.uniform(0.0, 1.1 * took)
        ended = call(case.words, number, after)
        stopped += ended.code in codes
        if ended.code not in {0, *codes}:
            yield f"exit code {ended.code} {after:.1f} s after its start: {ended.said}"
        if "Traceback" in ended.said:
            yield f"a traceback {after:.1f} s after its start: {ended.said}"
        if ended.code == 0:  # it came to its end; another round
            shutil.rmtree(case.out)
    ended = call(case.words)
    if ended.code:
        yield f"exit code {ended.code} when it was left alone: {ended.said}"


def main() -> int:
    """Runs all series and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--signal", choices=("KILL", "TERM", "INT"), default="KILL")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--only", default="")
    parser.add_argument("--seed", type=int, default=0)
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
        for name, case in cases.items():
            if name not in wanted and not name.startswith("train"):
                continue
            whole = call(case.words)
            if name in wanted:  # now what is compiled is kept, as in its later rounds
                shutil.rmtree(case.out)
                whole = call(case.words)
            if whole.code:
                raise SystemExit(f"{name}: {whole.said}")
            expected = case.digest(case.out)
            case.out.rename(root / "made" / name)
            if name not in wanted:
                continue
            wrong = list(series(case, number, asked.times, whole.seconds, rng))
            try:
                same = case.digest(case.out) == expected
            except (OSError, ValueError) as error:
                wrong.append(str(error))
                same = False
            failed |= bool(wrong) or not same
            said = "yes" if same else "NO"
            print(f"| {name} | {whole.seconds:.1f} s | {asked.times} | {said} |")
            print(*wrong, sep="\n", end="\n" * bool(wrong), flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
