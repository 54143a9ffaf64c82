"""Reading a part of a checkpoint: nothing else is read, missed or checked."""

import json
import logging
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec, SingleDeviceSharding

from diffusion_audio.errors import UserError
from diffusion_audio.runs import values
from diffusion_audio.runs.checkpoint import Checkpoints
from diffusion_audio.training.task import new_state
from tests.training.test_loop import same

FIRST, LAST = jax.devices()[0], jax.devices()[-1]


def state_of(seed: int, average: bool = True) -> dict:
    """Two networks, their moments, an average of one, a frozen part."""
    keys = iter(jax.random.split(jax.random.key(seed), 4))
    params = {
        "generator": {"w": jax.random.normal(next(keys), (64, 64)), "b": jnp.zeros(64)},
        "head": {"w": jax.random.normal(next(keys), (4,)).astype(jnp.bfloat16)},
    }
    ema = (
        {"generator": {"w": jax.random.normal(next(keys), (64, 64))}} if average else {}
    )
    frozen = {"vae": {"w": jax.random.normal(next(keys), (2,))}, "scale": jnp.ones(())}
    opt = optax.adam(1e-3).init(params)
    return new_state(params, opt, ema, frozen if average else {})


def wanted(tree, device=FIRST, dtype=None):
    """Shapes on a device."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, dtype or leaf.dtype, sharding=SingleDeviceSharding(device)
        ),
        tree,
    )


def read(directory: Path, like):
    checkpoints = Checkpoints(directory)
    try:
        return checkpoints.read(like if callable(like) else lambda saved: like)
    finally:
        checkpoints.close()


def good(directory: Path) -> int | None:
    checkpoints = Checkpoints(directory)
    try:
        return checkpoints.newest_good()
    finally:
        checkpoints.close()


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """Steps 1 and 2 of a run."""
    directory = tmp_path_factory.mktemp("run") / "checkpoints"
    checkpoints = Checkpoints(directory)
    for step in (1, 2):
        checkpoints.save(step, state_of(step), {"batches": step})
    checkpoints.close()
    return directory


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def flip(item: Path) -> None:
    """Another bit in the middle of the largest file of an item."""
    path = max(item.rglob("*"), key=lambda p: p.stat().st_size if p.is_file() else 0)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_what_is_asked_for_is_read_and_no_file_beside_it(copy):
    state = state_of(2)
    part = {
        "params": {"head": state["params"]["head"]},
        "frozen": {"vae": state["frozen"]["vae"]},
    }
    for other in ("opt", "ema", "step", "data"):
        shutil.rmtree(copy / "steps/2" / other)
    (copy / "steps/2/_CHECKPOINT_METADATA").unlink()
    step, found = read(copy, wanted(part, LAST))
    assert step == 2
    assert same(found, part)
    assert all(leaf.devices() == {LAST} for leaf in jax.tree.leaves(found))
    assert good(copy) == 1  # who trains misses the rest


def test_keys_and_shapes_are_told_without_arrays(saved, monkeypatch):
    def choose(held):
        assert set(held) == {"step", "params", "opt", "ema", "frozen"}
        assert held["ema"] == jax.eval_shape(lambda: state_of(2)["ema"])
        assert held["params"]["head"]["w"].dtype == jnp.bfloat16
        assert held["step"].shape == ()
        return {}

    monkeypatch.delattr(values, "read_array")
    assert read(saved, choose) == (2, {})


def test_empty_keys_are_saved_and_restored(tmp_path, caplog):
    checkpoints = Checkpoints(tmp_path)
    state = state_of(1, average=False)
    checkpoints.save(1, state, {"batches": 5})
    checkpoints.close()
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert read(tmp_path, lambda held: {key: {} for key in ("ema", "frozen")}) == (
        1,
        {"ema": {}, "frozen": {}},
    )
    checkpoints = Checkpoints(tmp_path)
    assert "ema" not in checkpoints.saved(1)
    found, data = checkpoints.restore(1, wanted(state))
    checkpoints.close()
    assert jax.tree.structure(found) == jax.tree.structure(state)
    assert same(found, state)
    assert data == {"batches": 5}


def test_arrays_are_split_cast_and_put_together_again(tmp_path):
    """Saved over two devices, in parts; read over four, in another type."""
    mesh = jax.make_mesh((2, 2), ("a", "b"), devices=jax.devices()[:4])
    value = jnp.arange(32.0).reshape(8, 4)
    checkpoints = Checkpoints(tmp_path)
    split = jax.device_put(value, NamedSharding(mesh, PartitionSpec("a")))
    checkpoints.save(1, {"params": {"w": split}}, {})
    checkpoints.close()
    manifest = json.loads((tmp_path / "manifests/1.json").read_text())
    assert sum("1/params:params.w/" in name for name in manifest) == 1 + 4
    sharding = NamedSharding(mesh, PartitionSpec("a", "b"))
    like = jax.ShapeDtypeStruct((8, 4), jnp.bfloat16, sharding=sharding)
    _, found = read(tmp_path, {"params": {"w": like}})
    assert found["params"]["w"].sharding == sharding
    np.testing.assert_array_equal(found["params"]["w"], value.astype(jnp.bfloat16))


@pytest.mark.parametrize("key", ["params", "ema"])
def test_damage_is_found_in_what_is_read_and_by_who_trains(copy, key, caplog):
    """The flipped bit is in ``params``; an average is read beside it all the same."""
    flip(copy / "steps/2/params")
    step, found = read(copy, wanted({key: state_of(2)[key]}))
    assert step == (1 if key == "params" else 2)
    assert same(found[key], state_of(step)[key])
    assert ("step 2 passed over: 2/params:params." in caplog.text) == (step == 1)
    assert good(copy) == 1


def test_damage_beside_an_array_is_not_looked_for(copy):
    """One array of an item is checked alone, with what describes the item."""
    checkpoints = Checkpoints(copy)
    path = copy / "manifests/2.json"
    sums = json.loads(path.read_text())
    path.write_text(json.dumps(sums | {"2/params:params.head.w/0": "0"}))
    one, all_ = ({"params": state_of(2)["params"]["generator"]}, state_of(2)["params"])
    one = {"params": {"generator": one["params"]}}
    assert checkpoints.read(lambda held: wanted(one))[0] == 2
    assert checkpoints.read(lambda held: wanted({"params": all_}))[0] == 1
    checkpoints.close()


@pytest.mark.parametrize("lost", ["_METADATA", "manifest.ocdbt", "d", "ocdbt"])
def test_an_item_without_one_of_its_parts_is_passed_over(copy, lost, caplog):
    (path,) = (copy / "steps/2/ema").glob(f"{lost}*")
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    step, _ = read(copy, wanted({"ema": state_of(2)["ema"]}))
    assert step == 1
    assert caplog.text.count("passed over") == 1
    assert good(copy) == 1


def test_a_value_that_no_sum_is_for_is_damage(copy, caplog):
    path = copy / "manifests/2.json"
    sums = json.loads(path.read_text())
    del sums["2/ema:ema.generator.w/0.0"]
    path.write_text(json.dumps(sums))
    assert read(copy, wanted({"ema": state_of(2)["ema"]}))[0] == 1
    assert "ema.generator.w/0.0 is not in its manifest" in caplog.text


def test_all_damaged_is_one_line(copy):
    for step in (1, 2):
        flip(copy / f"steps/{step}/ema")
    with pytest.raises(UserError, match=r"every checkpoint in .* \(steps 1, 2\)"):
        read(copy, wanted({"ema": state_of(2)["ema"]}))


def test_mismatches_are_of_what_is_asked_for_alone(saved):
    w = state_of(2)["params"]["head"]["w"]
    for like, line in (
        ({"params": {"head": {"w": w[:3]}}}, r"head/w has shape \(4,\), this .*\(3,"),
        ({"params": {"head": {"w": w, "v": w}}}, "model: params/head/v is missing"),
        ({"gone": {"w": w}}, "model: gone/w is missing in it; use"),
    ):
        with pytest.raises(UserError, match=line):
            read(saved, wanted(like))


def test_a_whole_state_of_other_types_is_another_model(tmp_path):
    state = state_of(0)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.prepare()
        checkpoints.save(1, state, {})
        checkpoints.finish()
        assert same(checkpoints.restore(1, wanted(state))[0], state)
        moments = {"opt": wanted(state["opt"], dtype=jnp.bfloat16)}
        with pytest.raises(UserError, match=r"opt/.* is .*32, this model's bfloat16"):
            checkpoints.restore(1, wanted(state) | moments)


def test_who_trains_gets_no_less_than_was_saved(saved):
    checkpoints = Checkpoints(saved)
    state = state_of(2)
    with pytest.raises(UserError, match="frozen/vae/w is not in this model; use"):
        checkpoints.restore(2, wanted(state | {"frozen": {"scale": jnp.ones(())}}))
    checkpoints.close()


@pytest.mark.parametrize(
    "error",
    [
        jax.errors.JaxRuntimeError("UNKNOWN: Gloo context initialization failed"),
        ValueError("RESOURCE_EXHAUSTED: out of memory"),
    ],
)
def test_what_fails_beside_the_files_is_no_damage(error):
    with pytest.raises(type(error)), values.readable("step 4"):
        raise error


def test_nothing_saved_is_nothing_read(tmp_path):
    assert read(tmp_path / "checkpoints", {}) is None
    assert not list(tmp_path.iterdir())


def test_checkpoints_of_the_first_layout_are_told(copy):
    (copy / "steps/2/params").rename(copy / "steps/2/state")
    for look in (good, lambda directory: read(directory, {})):
        with pytest.raises(UserError, match="is of an earlier version"):
            look(copy)
