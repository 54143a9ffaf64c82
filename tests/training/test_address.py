"""Where the processes of a run are found: flags, torchrun's variables, Slurm."""

import glob

import pytest

from diffusion_audio.errors import UserError
from diffusion_audio.training import address
from diffusion_audio.training.address import Address

RUN = {"MASTER_ADDR": "a", "MASTER_PORT": "1234", "WORLD_SIZE": "4", "RANK": "3"}
LOCAL = RUN | {"LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1"}
SLURM = {
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_NODELIST": "node[001-004]",
    "SLURM_NTASKS": "7",
    "SLURM_PROCID": "6",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "3",
    "SLURM_STEP_TASKS_PER_NODE": "2(x3),1",
}


@pytest.fixture(autouse=True)
def no_tpu(monkeypatch):
    monkeypatch.setattr(glob, "glob", lambda pattern: [])


@pytest.mark.parametrize(
    ("environment", "flags", "expected"),
    [
        ({}, (), None),
        (RUN | SLURM, ("b:5", 2, 0), Address("b:5", 2, 0)),
        (RUN, ("b:5", 1, 0), None),
        (RUN | SLURM, (), Address("a:1234", 4, 3)),
        (RUN | {"WORLD_SIZE": "1"}, (), None),
        ({"MASTER_ADDR": "a", "MASTER_PORT": "1"}, (), None),
        (LOCAL, (), Address("a:1234", 4, 3, devices=(1,))),
        (
            LOCAL | {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"},
            (),
            Address("a:1234", 4, 3, devices=(4, 5, 6, 7)),
        ),
        (LOCAL | {"CUDA_VISIBLE_DEVICES": "5"}, (), Address("a:1234", 4, 3)),
        (SLURM, (), Address(None, 7, 6, method="slurm")),
        (
            SLURM | {"SLURM_NODEID": "1", "SLURM_LOCALID": "1", "SLURM_PROCID": "3"},
            (),
            Address(None, 7, 3, devices=(1,), method="slurm"),
        ),
        (SLURM | {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, (), None),
    ],
)
def test_the_first_that_says_it(environment, flags, expected):
    assert address.find(environment, *flags) == expected


def test_where_there_are_tpus_jax_looks_further(monkeypatch):
    monkeypatch.setattr(glob, "glob", lambda pattern: ["/dev/accel0"])
    assert address.find({}) == Address(method=None)


@pytest.mark.parametrize(
    ("environment", "flags", "message"),
    [
        ({}, ("a:1", 2, None), "give all three, or none"),
        ({}, ("a:1", 2, 2), "one cannot be number 2"),
        ({}, ("a", 2, 1), "found at HOST:PORT, not 'a'"),
        ({}, ("a:99999", 2, 1), "found at HOST:PORT"),
        ({"WORLD_SIZE": "2", "RANK": "0"}, (), "but MASTER_ADDR is not set"),
        (RUN | {"RANK": "x"}, (), "RANK is a number of processes, not 'x'"),
        (RUN | {"RANK": "4"}, (), "one cannot be number 4"),
    ],
)
def test_what_does_not_say_it(environment, flags, message):
    with pytest.raises(UserError, match=message):
        address.find(environment, *flags)
