"""What `doctor` checks of a machine: that all of the program's parts work there."""

import functools
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from diffusion_audio.cli.finding import GIB, Check, Finding
from diffusion_audio.errors import UserError

# fmt: off
PACKAGES = (
    "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "ml_collections",
    "tensorflow-datasets", "array_record", "grain", "soundfile", "soxr",
    "tokenizers", "safetensors", "huggingface_hub", "rich", "tensorboardX",
    "matplotlib", "jinja2", "numpy", "scipy",
)
# fmt: on

# In a process of its own: the number of devices is fixed once jax has started.
COLLECTIVE = """
import jax
total = jax.pmap(lambda x: jax.lax.psum(x, "i"), axis_name="i")(jax.numpy.arange(2.0))
assert total.tolist() == [1.0, 1.0], total
"""


def checks() -> Iterator[tuple[str, Check]]:
    """All checks by name, in the order in which they are worth reading."""
    yield "python", _python
    yield "packages", _packages
    yield "devices", _devices
    yield "memory", _memory
    yield "disk", _disk
    yield "jit", _jit
    yield "collective of 2 devices", _collective
    yield "audio files", _audio_files
    yield "resampling", _resampling
    yield "data sets", _data_sets
    yield "TensorFlow", _tensorflow
    for path in sorted(Path("configs").glob("*.py")):
        yield str(path), functools.partial(_presets, path)


def _python() -> Finding:
    text = f"{platform.python_version()} on {platform.platform()}"
    return Finding("ok" if sys.version_info >= (3, 11) else "broken", text)


def _packages() -> Finding:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("broken", f"not installed: {', '.join(missing)}")
    return Finding("ok", ", ".join(found))


def _devices() -> Finding:
    import jax

    devices = jax.devices()
    limits = (device.memory_stats() or {} for device in devices)
    sizes = {stats.get("bytes_limit", 0) for stats in limits} - {0}
    size = ", ".join(f"{size / GIB:.0f} GiB each" for size in sorted(sizes))
    text = f"{len(devices)} x {devices[0].device_kind} ({jax.default_backend()}) {size}"
    return Finding("ok", text.strip())


def _memory() -> Finding:
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    text = f"{size:.0f} GiB, {os.cpu_count()} cores"
    if size < 6:
        return Finding("note", f"{text}; the demo may need up to 6 GiB")
    return Finding("ok", text)


def _disk() -> Finding:
    free = shutil.disk_usage(".").free / GIB
    text = f"{free:.1f} GiB free here"
    if free < 1:
        return Finding("broken", f"{text}: too little for checkpoints")
    return Finding("ok", text) if free >= 10 else Finding("note", f"{text}: not much")


def _jit() -> Finding:
    import jax
    import numpy as np

    started = time.monotonic()
    x = np.arange(64.0, dtype=np.float32).reshape(8, 8)
    product = jax.jit(lambda a, b: a @ b)(x, x.T)
    np.testing.assert_allclose(product, x @ x.T, rtol=1e-2)
    return Finding("ok", f"compiled and right in {time.monotonic() - started:.1f} s")


def _collective() -> Finding:
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    command = [sys.executable, "-c", COLLECTIVE]
    done = subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", timeout=120
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return Finding("broken", lines[-1])
    return Finding("ok", "a sum over 2 forced CPU devices is right")


def _audio_files() -> Finding:
    import numpy as np
    import soundfile

    wave = np.sin(np.arange(1600, dtype=np.float32) / 8)
    with tempfile.TemporaryDirectory() as directory:
        for suffix in ("wav", "flac"):
            path = f"{directory}/sine.{suffix}"
            soundfile.write(path, wave, 16000, subtype="PCM_16")
            back, _ = soundfile.read(path, dtype="float32")
            np.testing.assert_allclose(back, wave, atol=1e-4)
    version = soundfile.__libsndfile_version__
    return Finding("ok", f"WAV and FLAC written and read (libsndfile {version})")


def _resampling() -> Finding:
    import numpy as np
    import soxr

    seconds = np.arange(48000) / 48000
    tone = np.sin(2 * np.pi * 440 * seconds).astype(np.float32)
    middle = slice(4000, 12000)  # away from the edges of the filter
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    resampled = soxr.resample(tone, 48000, 16000, quality="HQ")
    np.testing.assert_allclose(resampled[middle], expected[middle], atol=1e-3)
    return Finding("ok", "48 kHz to 16 kHz is right (soxr HQ)")


def _data_sets() -> Finding:
    import tensorflow_datasets as tfds  # noqa: F401  (that it imports is the check)
    from array_record.python.array_record_module import (
        ArrayRecordReader,
        ArrayRecordWriter,
    )

    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/records"
        writer = ArrayRecordWriter(path, "group_size:1")
        writer.write(b"a record")
        writer.close()
        reader = ArrayRecordReader(path)
        if reader.read([0]) != [b"a record"]:
            return Finding("broken", "ArrayRecord does not return what was written")
        reader.close()
    return Finding("ok", "TFDS imports, ArrayRecord written and read")


def _tensorflow() -> Finding:
    for name in ("tensorflow", "tensorflow-cpu"):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        return Finding("ok", f"{name} {version}, for tfds:NAME sets of audio features")
    return Finding(
        "ok",
        "absent and not needed, but for tfds:NAME sets of audio features: "
        "pip install 'diffusion-audio[tfds]'",
    )


def _presets(path: Path) -> Finding:
    from diffusion_audio import recipe

    module = recipe.execute(path)
    if not hasattr(module, "get_config"):
        return Finding("ok", "shared by the others")
    presets = list(getattr(module, "PRESETS", ()))
    broken = []
    for preset in presets:
        try:
            recipe.load(f"{path}:{preset}")
        except UserError as error:
            broken.append(str(error))
    if broken:
        return Finding("broken", "; ".join(broken))
    return Finding("ok", f"presets: {', '.join(presets)}" if presets else "no presets")
