"""How training scales: what a step of published size costs a chip, for up to 4,096.

nice python -m benchmarks.scaling                      # minutes; 3 GB of memory
nice python -m benchmarks.scaling --compile vocoder:v1 # long; adds its exchanges
python -m benchmarks.scaling --tables                  # from scaling.json again

Shapes alone: no weights are made. Of each recipe the step is lowered for one and for
two examples, as an accelerator has it (the forms that `nn/` has for CPUs left out),
for FLOPs and for what the backward pass keeps. What is compiled is for eight forced
devices, data-parallel and with the state split, for its exchanges. Facts go to
scaling.json, and tables from them to docs/scaling.md.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.scaling_model import rewritten
from diffusion_audio.aliases import Batch, Params, State
from diffusion_audio.nn.functional import count
from diffusion_audio.recipe import load
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.training import plan, program
from diffusion_audio.training.parallel import ParallelConfig, make_mesh
from diffusion_audio.training.prompts import Prompts
from diffusion_audio.training.task import Data, Task
from diffusion_audio.training.tasks import diffusion, vocoder

Forward = Callable[[Params, State, Batch], Any]

DEVICES = 8
RECIPES = ("audioldm2", "auffusion", "vocoder:v1")
VAES = {"audioldm2": "audioldm", "auffusion": "auffusion"}
# Tokens that every prompt is padded to, by encoder.
LONGEST = {"audioldm2": {"clap": 512, "t5": 128}, "auffusion": {"clip": 77}}
FACTS = Path(__file__).parent / "scaling.json"
PAGE = Path(__file__).parents[1] / "docs/scaling.md"
# The program is read and never run, so it need not be a fast one.
QUICK = (
    f"--xla_force_host_platform_device_count={DEVICES} "
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1"
)


def main(argv: list[str]) -> int:
    """Measures each recipe in a process of its own, then writes the tables."""
    if argv[:1] == ["--read"]:
        print(json.dumps(lowered(argv[1])))
        return 0
    if argv[:1] == ["--read-compiled"]:
        print(json.dumps(compiled(argv[1])))
        return 0
    every = json.loads(FACTS.read_text(encoding="utf-8")) if FACTS.exists() else {}
    if argv[:1] == ["--compile"]:
        every[argv[1]] |= {"compiled": _apart("--read-compiled", argv[1])}
    elif argv != ["--tables"]:
        for recipe in RECIPES:
            kept = {"compiled": every.get(recipe, {}).get("compiled")}
            every[recipe] = _apart("--read", recipe) | kept
    FACTS.write_text(json.dumps(every, indent=1) + "\n", encoding="utf-8")
    page = rewritten(PAGE.read_text(encoding="utf-8"), every)
    PAGE.write_text(page, encoding="utf-8")
    return 0


def _apart(*words: str) -> dict[str, Any]:
    """What this file says of a recipe in a process of its own."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": QUICK}
    command = [sys.executable, "-m", "benchmarks.scaling", *words]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def lowered(recipe: str) -> dict[str, Any]:
    """What a recipe's step computes and keeps, of its program before compilation."""
    task, dtype, one, forwards = published(recipe)
    flops, kept = [], []
    alone = make_mesh(ParallelConfig(data=1))
    with mock.patch("jax.default_backend", return_value="tpu"):
        for examples in (1, 2):
            batch = plan.abstract_batch(several(one, examples), alone)
            state = plan.abstract_state(task, batch, alone)
            cost = plan.lower_step(task, batch, alone).cost_analysis()
            flops.append(cost["flops"])
            kept.append(sum(residuals(f, state, batch) for f in forwards))
    found = {
        "dtype": dtype,
        "flops_per_example": flops[1] - flops[0],
        "flops_fixed": 2 * flops[0] - flops[1],
        "residuals_per_example": kept[1] - kept[0],
        "trained": count(state["params"]),
        "frozen": count(state["frozen"]),
        "gradient_bytes": plan.held(state["params"]),
        "state_bytes": plan.held(state),
    }
    mesh = make_mesh(ParallelConfig(fsdp=DEVICES))
    batch = plan.abstract_batch(several(one, DEVICES), mesh)
    split = plan.abstract_state(task, batch, mesh)
    return found | {"state_bytes_of_8": plan.held(split)}


def compiled(recipe: str) -> dict[str, Any]:
    """What a recipe's step exchanges over eight devices, an example on each."""
    task, _, one, _ = published(recipe)
    found = {}
    with mock.patch("jax.default_backend", return_value="tpu"):
        for name, fsdp in (("data", 1), ("fsdp", DEVICES)):
            mesh = make_mesh(ParallelConfig(fsdp=fsdp))
            batch = plan.abstract_batch(several(one, DEVICES), mesh)
            read = program.read(plan.lower_step(task, batch, mesh).compile())
            totals: Counter[str] = Counter()
            for each in read.collectives:
                totals[each.kind] += each.times * each.bytes
            found[name] = {
                "bytes": dict(totals),
                "counts": dict(Counter(each.kind for each in read.collectives)),
                "temporaries": read.temporaries,
                "traffic": read.traffic,
                "flops": read.flops,
            }
    return found


def published(recipe: str) -> tuple[Task, str, dict[str, Any], list[Forward]]:
    """A recipe's task, compute type, shapes of an example, and what it differentiates.

    The functions are of (parameters, state, batch).
    """
    if recipe in VAES:
        return _diffusion(recipe)
    config = resolve(load(f"configs/{recipe.replace(':', '.py:')}"))
    task = vocoder.configure(config)
    samples = round(config["data"]["seconds"] * config["audio"]["sample_rate"])
    one = {"audio": _shape((samples,), "float32"), "index": _shape((), "int32")}

    def generated(params: Params, state: State, batch: Batch) -> Any:
        mel = vocoder.input_mels(task, state["frozen"], batch)
        return task.vocoder.network.apply(params["vocoder"], mel)

    def judged(params: Params, state: State, batch: Batch) -> Any:
        pairs = jnp.concatenate([batch["audio"]] * 2)  # real and generated
        return task.discriminators.apply(params["discriminators"], pairs)

    dtype = config["vocoder"]["dtype"]
    return vocoder.make(task, Data([], [])), dtype, one, [generated, judged]


def _diffusion(recipe: str) -> tuple[Task, str, dict[str, Any], list[Forward]]:
    """Latent diffusion with a VAE of its paper and prompts of the longest length."""
    config = resolve(load(f"configs/diffusion.py:{recipe}"))
    vae = resolve(load(f"configs/vae.py:{VAES[recipe]}"))
    config["components"] = {"autoencoder": vae}
    task = diffusion.configure(config)
    tokens: dict[str, Any] = {"given": _shape((), "bool")}
    for name, most in LONGEST[recipe].items():
        tokens[f"{name}_tokens"] = _shape((most,), "int32")
        tokens[f"{name}_mask"] = _shape((most,), "bool")
    prompt = dict.fromkeys(task.system.conditioning.parts, tokens)
    null = jax.tree.map(lambda x: np.zeros((1, *x.shape), x.dtype), prompt)
    task = dataclasses.replace(task, prompts=Prompts(null=null))
    one = {
        "audio": _shape((task.samples,), "float32"),
        "index": _shape((), "int32"),
        "prompt": prompt,
    }

    def loss(params: Params, state: State, batch: Batch) -> Any:
        times = dict.fromkeys(("share", "weight"), batch["audio"][:, 0])
        key = jax.random.key(0)
        return diffusion.loss(task, params, state, batch | times, key)[0]

    made = Task(
        partial(diffusion.init, task),
        partial(diffusion.step, task, diffusion.loss),
        partial(diffusion.evaluate, task, diffusion.loss),
    )
    return made, config["denoiser"]["dtype"], one, [loss]


def several(one: dict[str, Any], examples: int) -> dict[str, Any]:
    """The shapes of a batch of an example's."""
    return jax.tree.map(lambda x: _shape((examples, *x.shape), x.dtype), one)


def residuals(forward: Forward, state: State, batch: Batch) -> int:
    """Bytes that the backward pass needs of the forward one, before any fusion."""

    def kept(params: Params, state: State, batch: Batch) -> Any:
        return jax.vjp(lambda p: forward(p, state, batch), params)[1]

    shapes = jax.eval_shape(kept, state["params"], state, batch)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))


def _shape(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, np.dtype(dtype))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
