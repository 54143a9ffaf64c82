"""What memory a generation needs on the host beyond the weights.

python -m benchmarks.generation_memory [--system=auffusion] [--dtype=bfloat16]
    [--seconds=10.24] [--steps=2] [--narrow] [--plan]

Writes a folder of a system at published size with random weights, then generates with
it in a new process: the peak of its memory (VmHWM) above what it had with jax imported,
and what of that the bytes of the weights do not explain. With ``--narrow`` the UNet has
an eighth of its widths, for long pieces, whose time would be hours. With ``--plan``
nothing runs: it prints what XLA says that a step of the denoiser needs beyond its
arguments, at full width. Wants a few GB on the disk; the folder is removed. Prints a
line of JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.whole_systems import audioldm2, auffusion, narrow

SYSTEMS = {"auffusion": auffusion, "audioldm2": audioldm2}
TOKENIZERS = {
    "auffusion": {"clip": "clip"},
    "audioldm2": {"clap": "roberta", "t5": "t5"},
}


def main():
    """Makes the folder and measures, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", choices=SYSTEMS, default="auffusion")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--seconds", type=float, default=10.24)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--narrow", action="store_true")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--folder")
    parser.add_argument("--one", choices=("make", "generate"))
    words = parser.parse_args()
    if words.plan:
        print(json.dumps(plan(words)))
    elif words.one == "make":
        make(words)
    elif words.one == "generate":
        print(json.dumps(generate(words)))
    else:
        with tempfile.TemporaryDirectory(dir=words.folder) as folder:
            for one in ("make", "generate"):
                command = [sys.executable, "-m", "benchmarks.generation_memory"]
                command += [*sys.argv[1:], f"--folder={folder}", f"--one={one}"]
                subprocess.run(command, check=True)


def resolved(words):
    """The config of a system at published size, and its tokenizers' files."""
    from diffusion_audio.pretrained.tokenizer import PublishedTokenizer
    from tests.published import tokenizer_files

    config = SYSTEMS[words.system]()
    config = narrow(config) if words.narrow else config
    config["sampling"]["steps"] = words.steps
    ((label, _),) = config["conditioners"].items()
    extras = {}
    for name, kind in TOKENIZERS[words.system].items():
        with tempfile.TemporaryDirectory() as folder:
            for file, text in getattr(tokenizer_files, kind)().items():
                Path(folder, file).write_text(text, encoding="utf-8")
            read = PublishedTokenizer.read(Path(folder), kind)
        extras[f"conditioners/{label}/{name}.json"] = read.to_json()
    return config, extras


def make(words):
    """Writes the folder."""
    from diffusion_audio.pretrained import system_folder
    from diffusion_audio.pretrained.published_system import PublishedSystem
    from diffusion_audio.systems.system import build

    config, extras = resolved(words)
    params, frozen = build(config).shapes()
    shapes = {name: frozen[name] for name in ("autoencoder", "vocoder")}
    shapes |= {"denoiser": params["denoiser"]}
    shapes |= {f"conditioners/{k}": v for k, v in frozen["conditioners"].items()}
    noise = np.random.default_rng(0).standard_normal(2**20, np.float32)

    def draw(path, leaf):
        if jax.tree_util.keystr(path).endswith("['scale']"):
            return np.ones(leaf.shape, np.float32)
        if len(leaf.shape) < 2:
            return np.zeros(leaf.shape, np.float32)
        scale = np.float32(np.prod(leaf.shape[:-1])) ** -0.5
        return np.resize(noise * scale, leaf.shape)

    parts = {
        name: lambda tree=tree: jax.tree_util.tree_map_with_path(draw, tree)
        for name, tree in shapes.items()
    }
    system = PublishedSystem(config, parts, {}, 0.18215, extras)
    system_folder.write(words.folder, system, words.dtype)


def generate(words):
    """Generates, and says what memory that took, in GiB."""
    jax.block_until_ready(jnp.zeros(()))
    bare = memory("VmRSS")
    from diffusion_audio.generation.load import load

    weights = sum(p.stat().st_size for p in Path(words.folder, "weights").iterdir())
    pipeline = load(words.folder, dtype=words.dtype)
    loaded, now = memory("VmHWM"), memory("VmRSS")
    start = time.perf_counter()
    ((wave,),) = pipeline.batches(
        "rain on a tin roof",
        key=jax.random.key(0),
        steps=words.steps,
        duration=words.seconds,
        watch=lambda *told: None,
    )
    took = time.perf_counter() - start
    peak = memory("VmHWM")
    gib = 2**30
    return {
        "system": words.system + (" (narrow)" if words.narrow else ""),
        "dtype": words.dtype,
        "seconds": round(len(wave) / 16_000, 2),
        "steps": words.steps,
        "windowed": pipeline.windowed(words.seconds),
        "weights": round(weights / gib, 3),
        "loaded": round((now - bare) / gib, 3),
        "peak_of_loading": round((loaded - bare) / gib, 3),
        "peak": round((peak - bare) / gib, 3),
        "beyond_weights": round((peak - bare - weights) / gib, 3),
        "took": round(took, 1),
    }


def plan(words):
    """What XLA plans for a step of the denoiser and for the decoder, in GiB."""
    from diffusion_audio.generation.programs import compile_programs
    from diffusion_audio.systems.dtype import of_dtype
    from diffusion_audio.systems.sampler import SamplingConfig
    from diffusion_audio.systems.system import build

    config, _ = resolved(words)
    system = build(of_dtype(config, words.dtype))
    abstract = jax.ShapeDtypeStruct

    def typed(leaf):
        dtype = words.dtype if len(leaf.shape) > 1 else "float32"
        return abstract(leaf.shape, jnp.dtype(dtype))

    params, frozen = jax.tree.map(typed, system.shapes())
    programs = [
        getattr(each, "jitted", each)
        for each in compile_programs(system, None, half=words.dtype == "bfloat16")
    ]
    begin, advance, decode, _, vocode = programs
    whole, trained = (
        system.latent_shape(round(seconds * 16_000))
        for seconds in (words.seconds, 10.24)
    )
    time_axis = system.autoencoder.time_axis - 1
    length, window = whole[time_axis], trained[time_axis]
    size = length if length <= 2 * window else window
    cfg = SamplingConfig(steps=words.steps, guidance=1.0)
    z = abstract((1, *whole), jnp.float32)
    tokens = 77
    prompt = {
        "clip": {
            "clip_tokens": abstract((1, tokens), jnp.int32),
            "clip_mask": abstract((1, tokens), jnp.bool_),
            "given": abstract((1,), jnp.bool_),
        },
        "language_of_audio": {
            "clap_tokens": abstract((1, 512), jnp.int32),
            "clap_mask": abstract((1, 512), jnp.bool_),
            "t5_tokens": abstract((1, 128), jnp.int32),
            "t5_mask": abstract((1, 128), jnp.bool_),
            "given": abstract((1,), jnp.bool_),
        },
    }
    prompt = {label: prompt[label] for label in config["conditioners"]}
    args = (params, frozen, cfg, prompt, prompt, z)
    both, carry = begin.eval_shape(*args)
    scalar = abstract((), jnp.int32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    lowered = {
        "condition": begin.lower(*args),
        "denoise": advance.lower(
            params,
            cfg,
            size,
            abstract((), jnp.float32),
            key,
            scalar,
            scalar,
            both,
            carry,
            abstract((1,), jnp.int32),
        ),
        "decode": decode.lower(
            frozen, abstract((1, *_cut(whole, time_axis, size)), jnp.float32)
        ),
        "vocode": vocode.lower(
            frozen, abstract((1, 2048, config["audio"]["n_mels"]), jnp.float32)
        ),
    }
    found = {"system": words.system, "dtype": words.dtype, "seconds": words.seconds}
    for name, each in lowered.items():
        temporary = each.compile().memory_analysis().temp_size_in_bytes
        found[name] = round(temporary / 2**30, 3)
    return found


def _cut(shape, axis, size):
    return (*shape[:axis], size, *shape[axis + 1 :])


def memory(name):
    """VmRSS (now) or VmHWM (peak) of this process, in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(name)


if __name__ == "__main__":
    main()
