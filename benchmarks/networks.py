"""Every network at published size here and in PyTorch, side by side on this machine.

python -m benchmarks.networks [--only=NAMES] [--repeat=5] [--pause=0.3] [--single]

Random weights, float32, against eager diffusers and transformers. Each side is a
process of its own, so that peak memory is its own; the two take turns, a call each, the
first of each pair changing, so that other work on the machine falls on both. Of each
side the fastest call counts, which other work has disturbed least; beside the ratio of
these stands the median of the pairs' ratios, with the least and the largest. The
first call is ours with an empty compilation cache and again with what it leaves there.
With --single each side has one processor and its own time there counts, which other
work hardly touches: threads that wait for each other, as PyTorch's do, lose far more
than their share of a busy machine. Prints a table of Markdown and one JSON line. Needs
what `make parity` installs.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.published import CASES

SIDES = ("ours", "torch")
HEADS = (
    *("network", "ours", "PyTorch", "ratio of these", "pairs: median, all"),
    *("first call, ours / again / PyTorch", "peak, ours / PyTorch"),
)


def main() -> None:
    """Times every case on both sides, or serves one side of one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="names, or beginnings of them, with commas")
    parser.add_argument("--repeat", type=int, default=5, help="pairs of calls")
    parser.add_argument("--pause", type=float, default=0.3, help="s between calls")
    parser.add_argument("--single", action="store_true", help="a processor a side")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.serve:
        serve(*words.serve, words.single)
        return
    starts = tuple(words.only.split(",")) if words.only else ("",)
    names = [name for name in CASES if name.startswith(starts)]
    if not names:
        parser.error(f"nothing is called {words.only!r} (known: {', '.join(CASES)})")
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print("| " + " | ".join(HEADS) + " |\n" + "|---" * len(HEADS) + "|")
    rows = {}
    for name in names:
        rows[name] = timed(name, words.repeat, words.pause, words.single)
        print(line(name, rows[name]), flush=True)
    print(json.dumps(rows))


def timed(name: str, repeat: int, pause: float, single: bool) -> dict[str, Any]:
    """Seconds of the pairs and of the first calls, peaks, and the load meanwhile."""
    with tempfile.TemporaryDirectory() as cache:
        sides = {side: Side(name, side, cache, single) for side in SIDES}
        first = {side: sides[side].call() for side in SIDES}
        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        for number in range(repeat):
            for side in SIDES if number % 2 else SIDES[::-1]:
                time.sleep(pause)  # PyTorch's threads spin a while after their work
                seconds[side].append(sides[side].call())
        peaks = {side: sides[side].close() for side in SIDES}
        again = Side(name, "ours", cache, single)
        first["again"] = again.call()
        again.close()
    return {
        "seconds": seconds,
        "first": first,
        "peak_mb": peaks,
        "load": os.getloadavg()[0],
    }


class Side:
    """A process that holds one network of one side and calls it when asked."""

    def __init__(self, name: str, side: str, cache: str, single: bool):
        command = [sys.executable, "-m", "benchmarks.networks", "--serve", name, side]
        command += ["--single"] if single else []
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache}
        environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, env=environment, text=True
        )
        self._answer()  # ready

    def call(self) -> float:
        """Seconds of one call."""
        assert self._process.stdin is not None
        self._process.stdin.write("call\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> float:
        """Ends the process; its peak memory in MB."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        peak = self._answer()
        self._process.wait()
        return peak

    def _answer(self) -> float:
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if not said:
            sys.exit("a side ended early; what it said is above")
        return float(said)


def serve(name: str, side: str, single: bool) -> None:
    """Makes a network ready and calls it at each line that comes."""
    clock = time.perf_counter
    if single:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        clock = time.process_time
    run = {"ours": prepare_ours, "torch": prepare_torch}[side](name)
    print(0.0, flush=True)
    for _ in sys.stdin:
        start = clock()
        run()
        print(clock() - start, flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)


def prepare_ours(name: str) -> Any:
    """What is timed of ours."""
    import jax
    import numpy as np

    from benchmarks.components import KINDS
    from diffusion_audio.systems.dtype import placed
    from tests.networks import random_params

    case = CASES[name]
    kind = KINDS[case.kind]
    network = kind.build(case.cfg)
    params = placed(random_params(network))
    inputs = kind.inputs(case.cfg, case.sizes, np.random.default_rng(0))
    call = jax.jit(lambda params, inputs: kind.ours(network, params, inputs))
    return lambda: jax.tree.map(np.asarray, call(params, inputs))


def prepare_torch(name: str) -> Any:
    """What is timed of PyTorch."""
    import numpy as np
    import torch

    from benchmarks.components import KINDS, as_tensors, randomize

    case = CASES[name]
    kind = KINDS[case.kind]
    model = randomize(kind.model(case.cfg))
    inputs = as_tensors(kind.inputs(case.cfg, case.sizes, np.random.default_rng(0)))

    def run() -> Any:
        with torch.inference_mode():
            return kind.theirs(model, inputs)

    return run


def line(name: str, row: dict[str, Any]) -> str:
    """A row of the table."""
    ours, theirs = (row["seconds"][side] for side in SIDES)
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    first, peak = row["first"], row["peak_mb"]
    cells = (
        f"`{name}`",
        f"{min(ours):.3f} s",
        f"{min(theirs):.3f} s",
        f"{min(theirs) / min(ours):.2f}",
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
        f"{first['ours']:.1f} / {first['again']:.1f} / {first['torch']:.1f} s",
        f"{peak['ours']:.0f} / {peak['torch']:.0f} MB",
    )
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
