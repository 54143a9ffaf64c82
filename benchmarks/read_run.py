"""What it costs to read the averages, or the parameters, of a run: memory and bytes.

python -m benchmarks.read_run [--preset=auffusion] [--folder=DIR]

Saves a state of the preset's UNet with random weights: parameters, both moments of Adam
and averages, so four times the parameters lie on disk. Then reads one of the keys, each
time in a new process: peak of its memory (VmHWM) above what it had (VmRSS) once jax
and the network were there, bytes that it asked the system for (rchar) and that came
from the disk (read_bytes; the files are dropped from the page cache before). What is
read is verified by SHA-256. Wants 17 times the bytes of float32 parameters on disk and
1.4 times in memory for the first part; the folder is removed.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from configs.diffusion import get_config
from diffusion_audio.nn.functional import abstract_params, count
from diffusion_audio.runs.checkpoint import Checkpoints
from diffusion_audio.systems import denoisers
from diffusion_audio.systems.table import build
from diffusion_audio.training.task import new_state

NOISE = 2**24  # random numbers, repeated over the arrays: to draw all takes long
KEYS = ("ema", "params")


def main():
    """Saves, reads and prints a table; or does one of these in this process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="auffusion")
    parser.add_argument("--folder", help="on the disk to measure")
    parser.add_argument("--one", choices=("save", *KEYS))
    words = parser.parse_args()
    if words.one:
        work = save if words.one == "save" else read
        print(json.dumps(work(words.one, words.preset, Path(words.folder))))
        return
    with tempfile.TemporaryDirectory(dir=words.folder) as folder:
        command = [sys.executable, "-m", "benchmarks.read_run"]
        command += [f"--preset={words.preset}", f"--folder={folder}", "--one"]
        for one in ("save", *KEYS):
            done = subprocess.run([*command, one], check=True, capture_output=True)
            print(one, done.stdout.decode().strip(), flush=True)


def shapes(preset):
    """Of the UNet's parameters."""
    config = get_config(preset).to_dict()
    denoiser = build(denoisers.TABLE, config["denoiser"], "config.denoiser")
    return abstract_params(denoiser.network)


@functools.cache
def noise():
    """The random numbers."""
    return np.random.default_rng(0).standard_normal(NOISE, dtype=np.float32)


def value(leaf):
    """Random numbers, the same for the same shape."""
    return np.resize(noise()[: leaf.size], leaf.shape)


def save(_, preset, folder):
    """One checkpoint, whose moments and averages have the numbers of the parameters."""
    params = jax.tree.map(lambda leaf: jnp.asarray(value(leaf)), shapes(preset))
    moments = optax.ScaleByAdamState(jnp.zeros((), jnp.int32), params, params)
    start = time.perf_counter()
    checkpoints = Checkpoints(folder)
    checkpoints.save(1, new_state(params, (moments,), params), {})
    checkpoints.close()
    files = [path for path in (folder / "steps").rglob("*") if path.is_file()]
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return {
        "parameters": count(params),
        "bytes": sum(path.stat().st_size for path in files),
        "seconds": round(time.perf_counter() - start, 1),
        "peak": _status("VmHWM"),
    }


def read(key, preset, folder):
    """One key of the state onto the first device."""
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device),
        shapes(preset),
    )
    wanted = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(like))
    checkpoints = Checkpoints(folder)
    held, asked, came = _status("VmRSS"), _io("rchar"), _io("read_bytes")
    start = time.perf_counter()
    _, found = checkpoints.read(lambda saved: {key: like})
    seconds = time.perf_counter() - start
    peak, asked = _status("VmHWM") - held, _io("rchar") - asked
    came = _io("read_bytes") - came
    checkpoints.close()
    last = jax.tree.leaves(found)[-1]
    np.testing.assert_array_equal(last, value(last))
    return {
        "wanted": wanted,
        "memory": round(peak / wanted, 3),
        "bytes asked for": round(asked / wanted, 3),
        "bytes from disk": round(came / wanted, 3),
        "seconds": round(seconds, 1),
    }


def _status(name):
    """Memory of this process, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def _io(name):
    """Bytes that this process has read."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)[name])


if __name__ == "__main__":
    main()
