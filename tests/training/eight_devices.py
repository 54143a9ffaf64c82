"""What a small UNet's step exchanges over eight forced devices; printed as JSON.

Run in a process of its own by test_exchanges: the number of devices is fixed once jax
has started.
"""

import json
import os
import sys
from collections import Counter

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)

import jax
import numpy as np

from diffusion_audio.runs.resolve import resolve
from diffusion_audio.training import plan, program
from diffusion_audio.training.parallel import ParallelConfig, make_mesh
from tests.recipes import tiny
from tests.tasks import make_task

BATCH = 16


def main(fsdp: int) -> None:
    config = tiny("diffusion", "tones")
    config.autoencoder.size = 4
    channels = {"in_channels": 16, "out_channels": 16, "channels": (128,)}
    config.denoiser.update(**channels, attention=(True,), heads=(4,), groups=8)
    task = make_task(resolve(config))
    mesh = make_mesh(ParallelConfig(fsdp=fsdp))
    samples = round(config.data.seconds * 16_000)
    batch = {
        "audio": np.zeros((BATCH, samples), np.float32),
        "index": np.zeros(BATCH, np.int32),
        **task.inputs([{"caption": "a tone"}] * BATCH),
    }
    batch = plan.abstract_batch(batch, mesh)
    state = plan.abstract_state(task, batch, mesh)
    read = program.read(plan.lower_step(task, batch, mesh).compile())
    leaves = jax.tree.leaves(state["params"])
    split = [leaf for leaf in leaves if not leaf.sharding.is_fully_replicated]
    found = {
        "held": plan.held(state),
        "state": sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state)),
        "params": sum(4 * leaf.size for leaf in leaves),
        "split": sum(4 * leaf.size for leaf in split),
        "split_count": len(split),
        "devices": sorted({each.devices for each in read.collectives}),
        "count": Counter(each.kind for each in read.collectives),
        "bytes": Counter(),
    }
    for each in read.collectives:
        found["bytes"][each.kind] += each.times * each.bytes
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]))
