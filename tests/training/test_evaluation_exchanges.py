"""An evaluation on several devices exchanges no batch, counted in what is compiled.

Each device makes its own rows, as in a step (test_exchanges); of FSDP each split
parameter is gathered once.
"""

from collections import Counter

import jax
import numpy as np
import pytest

from diffusion_audio import rows
from diffusion_audio.data.tones import ATTRIBUTES
from diffusion_audio.runs.resolve import resolve
from diffusion_audio.training import diffusion_evaluation as evaluation
from diffusion_audio.training import parallel, plan, program
from diffusion_audio.training.parallel import ParallelConfig, make_mesh
from diffusion_audio.training.tasks import classifier, diffusion, vae, vocoder
from tests.recipes import tiny
from tests.tasks import Clips, make_task
from tests.training import toy
from tests.training.test_loop import run

BATCH = 8
SCALARS = 100  # bytes of losses


def configured(name):
    config = tiny(name, "tones")
    if name == "diffusion":
        config.autoencoder.size = 4
        config.denoiser.update(in_channels=16, out_channels=16)
        config.likelihood.bound = True
    return resolve(config)


def of_vae(task, state, batch, key):
    del key
    yield vae.rebuild.lower(task, state["params"], batch["audio"])


def of_vocoder(task, state, batch, key):
    del key
    yield vocoder.vocode.lower(task, state["params"], state["frozen"], batch)


def of_classifier(task, state, batch, key):
    del key
    yield classifier.classify.lower(task, state["params"], batch["audio"])


def of_diffusion(task, state, batch, key):
    params, frozen = state["params"], state["frozen"]
    yield evaluation.mean_loss.lower(task, diffusion.loss, params, state, batch, key)
    yield evaluation.likelihood.lower(task, params, frozen, batch, key)


LOWER = {
    "vae": of_vae,
    "vocoder": of_vocoder,
    "classifier": of_classifier,
    "diffusion": of_diffusion,
}


@pytest.mark.parametrize("cfg", [{"data": 4}, {"data": 1, "fsdp": 4}])
@pytest.mark.parametrize(
    "name",
    ["vae", "vocoder", "classifier", pytest.param("diffusion", marks=pytest.mark.slow)],
)
def test_no_batch_is_sent(name, cfg, monkeypatch):
    monkeypatch.setattr(parallel, "SMALLEST_SPLIT", 64)
    config, mesh = configured(name), make_mesh(ParallelConfig(**cfg))
    task = make_task(config, Clips(attributes=ATTRIBUTES))
    audio = np.zeros((BATCH, round(config["data"]["seconds"] * 16_000)), np.float32)
    first = {each: values[0] for each, values in ATTRIBUTES.items()}
    inputs = task.inputs([{"caption": "a tone", "attributes": first}] * BATCH)
    batch = {"audio": audio, "index": np.zeros(BATCH, np.int32), **inputs}
    batch = plan.abstract_batch(batch, mesh)
    state = plan.abstract_state(task, batch, mesh)
    leaves = jax.tree.leaves((state["params"], state["frozen"]))
    split = [leaf for leaf in leaves if not leaf.sharding.is_fully_replicated]
    assert (split != []) == ("fsdp" in cfg)
    with rows.split_over(mesh):
        settings = task.evaluate.args[0]
        for low in LOWER[name](settings, state, batch, jax.random.key(0)):
            found = Counter()
            for each in program.read(low.compile()).collectives:
                found[each.kind] += each.times * each.bytes
            assert found.pop("all-gather", 0) <= sum(4 * leaf.size for leaf in split)
            assert found.pop("all-reduce", 0) <= SCALARS
            assert not found


def test_the_loop_evaluates_so(tmp_path, monkeypatch):
    meshes = []

    def evaluate(state, batches, key):
        meshes.append(jax.sharding.get_abstract_mesh().shape)
        return found.evaluate(state, batches, key)

    found = toy.task()
    monkeypatch.setattr(toy, "task", lambda parts: found._replace(evaluate=evaluate))
    run(tmp_path, 4, parallel=ParallelConfig(data=4), evaluate_every=4)
    assert meshes == [{"data": 4, "fsdp": 1}]
