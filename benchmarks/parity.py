"""The parity certificate: how far our networks are from diffusers' and transformers'.

python -m benchmarks.parity --out=docs/parity.md [--only=NAMES] [--tiny] [--draws=5]

Small networks of drawn settings, then every network at published size, each with the
same random weights on both sides: theirs in float32, ours in float32 and in bfloat16.
Those of published size are a process each, so one of them is in memory at a time: 14 GB
for the largest. Writes a page; fails where a bound is passed. Needs what `make parity`
installs.
"""

import argparse
import gc
import importlib.metadata
import itertools
import json
import platform
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.published import CASES, Case

DTYPES = ("float32", "bfloat16")
THEIRS = "PyTorch's bfloat16"
# In bfloat16 ours may be so much further from PyTorch's float32 than its own is.
HALF_FACTOR, HALF_LEAST = 4.0, 0.01
SYSTEM_BOUNDS = {"mel": 1e-4, "waveform": 1e-3}  # in float32
PACKAGES = ("jax", "jaxlib", "flax", "numpy", "torch", "diffusers", "transformers")

Errors = dict[str, dict[str, float]]


class Row(NamedTuple):
    """What was compared.

    Attributes:
        section: of the page, one of `SECTIONS`.
        name: of the network or system.
        errors: by compute type, `THEIRS` among them: absolute, relative.
        excess: the largest error over its bound; above 1 it fails.
        note: number of parameters, or the settings of the worst draw.
    """

    section: str
    name: str
    errors: Errors
    excess: float
    note: str


HEAD = """\
# Parity with diffusers and transformers

```sh
python -m benchmarks.parity --out=docs/parity.md   # writes this page
```

Every network of AudioLDM, AudioLDM 2 and Auffusion with the same random weights and
inputs on both sides: diffusers' or transformers' in float32, ours in float32 and in
bfloat16. So are the networks that metrics are measured with, beside their definitions
written out in PyTorch; those named `_wave` are compared from the wave on.

An error is the largest difference of any value of any output from theirs in float32;
relative is that over the largest value of the reference. The last column is PyTorch's
own error in bfloat16. Bounds on the relative error are 1e-4 in float32 (1e-3 for whole
generations) and in bfloat16 four times PyTorch's own, or 0.01 where that is more; the
command fails beyond them.

{versions}; processor: {processor}.
"""
SECTIONS = {
    "published": """
## At published size

`whole_*` are whole generations of 10.24 s, from tokens and noise to mel and waveform in
five steps of guidance (PNDM's are six), the worse of the two counting.

""",
    "small": """
## Small, of drawn settings

The worst of {draws} networks of each kind, whose widths, heads, contexts, depths,
lengths, masks and numbers of tokens are drawn (`benchmarks/drawn.py`) from
`--seed={seed}`; `--draws` and `--seed` try others.

""",
    "systems": """
## Whole systems, small

From text to waveform in diffusers' way: the same prompts, latents and settings, two
prompts at once, five steps of guidance. PyTorch's side is diffusers' own pipelines
(AudioLDM 2's is handed its language of audio: its own call of GPT-2 fails with
transformers 5), and Auffusion's written out. Bounds in float32:
{mel:.0e} for mels, {waveform:.0e} for waveforms.

""",
}


def main() -> None:
    """Measures, writes the page, and fails where a bound is passed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="the page; printed where not given")
    parser.add_argument("--only", help="names, or beginnings of them, with commas")
    parser.add_argument("--tiny", action="store_true", help="no published sizes")
    parser.add_argument("--draws", type=int, default=5, help="of each kind; 0: none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", choices=CASES, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.one:
        print(json.dumps(compared(CASES[words.one], words.seed)))
        return
    starts = tuple(words.only.split(",")) if words.only else ("",)
    parts = [drawn(starts, words.draws, words.seed), generated(starts)]
    parts = parts if words.draws else []
    if not words.tiny:
        parts.append(published(starts, words.seed))
    rows: list[Row] = []
    for row in itertools.chain(*parts):
        rows.append(row)
        say(row)
        if words.out:  # as far as it has come: published sizes take long
            words.out.write_text(page(rows, words), encoding="utf-8")
    if not rows:
        parser.error(f"nothing is called {words.only!r} (known: {', '.join(CASES)})")
    if not words.out:
        print(page(rows, words))
    failed = [
        f"{row.name} ({row.section}, {row.note}): {row.excess:.2g} times"
        for row in rows
        if not row.excess <= 1
    ]
    sys.exit("\n".join(["beyond their bound:", *failed]) if failed else 0)


def drawn(starts: tuple[str, ...], draws: int, seed: int) -> Iterator[Row]:
    """The worst of some draws of each kind."""
    from benchmarks.components import KINDS
    from benchmarks.drawn import DRAWS

    for name, draw in DRAWS.items():
        if not name.startswith(starts):
            continue
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        found = []
        for _ in range(draws):
            case = draw(rng)
            errors, _ = compared(case, seed)
            note = f"{case.cfg} {case.sizes}"
            found.append((errors, KINDS[case.kind], note))
        single, half = (
            max((e for e, *_ in found), key=lambda e: e[dtype]["relative"])
            for dtype in DTYPES
        )
        errors = half | {"float32": single["float32"]}
        excess, note = max((over(e, kind), note) for e, kind, note in found)
        yield Row("small", name, errors, excess, note)


def generated(starts: tuple[str, ...]) -> Iterator[Row]:
    """Whole systems, small."""
    from benchmarks.systems import SYSTEMS, compared_system

    for name in SYSTEMS:
        if not name.startswith(starts):
            continue
        errors = compared_system(name, DTYPES, error)
        for what, bound in SYSTEM_BOUNDS.items():
            of = {dtype: errors[dtype][what] for dtype in DTYPES}
            excess = of["float32"]["relative"] / bound
            yield Row("systems", f"{name}, {what}", of, excess, "")


def published(starts: tuple[str, ...], seed: int) -> Iterator[Row]:
    """Every network of published size, in a process of its own."""
    from benchmarks.components import KINDS

    for name in CASES:
        if not name.startswith(starts) or name.endswith("_cached"):
            continue
        command = [sys.executable, "-m", "benchmarks.parity", f"--one={name}"]
        command.append(f"--seed={seed}")
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        errors, parameters = json.loads(done.stdout.splitlines()[-1])
        excess = over(errors, KINDS[CASES[name].kind])
        yield Row("published", name, errors, excess, f"{parameters:,}")


def over(errors: Errors, kind: Any) -> float:
    """The largest error of a network over its bound."""
    found = [errors["float32"]["relative"] / kind.bound]
    if kind.half:
        bound = max(HALF_FACTOR * errors[THEIRS]["relative"], HALF_LEAST)
        found.append(errors["bfloat16"]["relative"] / bound)
    return max(found)


def say(row: Row) -> None:
    """Progress, to standard error."""
    errors = "  ".join(f"{d} {e['relative']:.1e}" for d, e in row.errors.items())
    print(f"{row.section:<9} {row.name:<26} {errors}", file=sys.stderr, flush=True)


def compared(case: Case, seed: int) -> tuple[Errors, int]:
    """Errors by compute type, and the number of parameters.

    Of a network with several outputs, the worst counts.
    """
    import jax
    import torch

    from benchmarks.components import (
        KINDS,
        arrays_of,
        as_tensors,
        in_bfloat16,
        randomize,
    )
    from diffusion_audio.nn.functional import count
    from diffusion_audio.systems.dtype import placed

    kind, cfg = KINDS[case.kind], case.cfg
    inputs = kind.inputs(cfg, case.sizes, np.random.default_rng(seed))
    model = randomize(kind.model(cfg), seed)
    with torch.inference_mode():
        theirs = tensors(kind.theirs(model, as_tensors(inputs)))
    # Ours are copies: JAX may read NumPy's memory in place.
    params = jax.tree.map(np.array, kind.read(cfg, arrays_of(model)))
    found = {}
    if kind.half:
        with torch.inference_mode():
            halves = {
                name: x.bfloat16() if x.is_floating_point() else x
                for name, x in as_tensors(inputs).items()
            }
            found[THEIRS] = worst(
                tensors(kind.theirs(model.bfloat16(), halves)), theirs
            )
    del model
    gc.collect()
    parameters = count(params)
    for dtype in DTYPES:
        own = cfg if dtype == "float32" else in_bfloat16(cfg)
        network = kind.build(own)
        tree = params
        if dtype == "bfloat16":  # as generate's --dtype has them
            tree = placed(params, dtype="bfloat16")
        call = jax.jit(lambda p, x, n=network: kind.ours(n, p, x))
        ours = [np.asarray(x, np.float32) for x in every(call(tree, inputs))]
        found[dtype] = worst(ours, theirs)
        jax.clear_caches()
    return found, parameters


def worst(ours: list[np.ndarray], theirs: list[np.ndarray]) -> dict[str, float]:
    """The error of that output which has the largest."""
    errors = [error(*pair) for pair in zip(ours, theirs, strict=True)]
    return max(errors, key=lambda row: row["relative"])


def tensors(found: Any) -> list[np.ndarray]:
    """PyTorch's outputs as arrays."""
    return [x.float().numpy().copy() for x in every(found)]


def error(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    """The largest difference, and its share of the reference's largest value."""
    if ours.shape != theirs.shape or not np.isfinite(ours).all():
        sys.exit(f"ours is {ours.shape}, theirs {theirs.shape}, or not finite")
    largest = float(np.abs(theirs).max())
    difference = float(np.abs(ours - theirs).max())
    return {
        "absolute": difference,
        "relative": difference / largest,
    }


def every(found: Any) -> tuple[Any, ...]:
    """One output as one of several."""
    return tuple(found) if isinstance(found, tuple) else (found,)


def page(rows: list[Row], words: argparse.Namespace) -> str:
    """What the certificate says of these rows."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    versions.append(f"Python {platform.python_version()}")
    text = HEAD.format(versions=", ".join(versions), processor=processor())
    for section, head in SECTIONS.items():
        own = [row for row in rows if row.section == section]
        if own:
            text += head.format(draws=words.draws, seed=words.seed, **SYSTEM_BOUNDS)
            text += "\n".join(table(own, section)) + "\n"
    return text


def table(rows: list[Row], section: str) -> list[str]:
    """Lines of a table of errors."""
    heads = ["system" if section == "systems" else "network"]
    heads += ["parameters"] if section == "published" else []
    heads += ["float32, absolute", "relative", "bfloat16, absolute", "relative"]
    heads += [] if section == "systems" else ["PyTorch's"]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for row in rows:
        cells = [row.name] if section == "systems" else [f"`{row.name}`"]
        cells += [row.note] if section == "published" else []
        cells += [
            f"{row.errors[dtype][which]:.1e}"
            for dtype in DTYPES
            for which in ("absolute", "relative")
        ]
        if section != "systems":
            own = row.errors.get(THEIRS)
            cells.append(f"{own['relative']:.1e}" if own else "")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def processor() -> str:
    """Its kind, as the system names it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
