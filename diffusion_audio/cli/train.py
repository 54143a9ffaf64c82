"""Trains one network, or goes on with a run that was stopped.

The work directory holds the resolved config, checkpoints, metrics.jsonl, TensorBoard
events and where it all came from; its path is printed at the end. Several processes
train together where Slurm, a TPU pod, MASTER_ADDR and its like or flags say so:
docs/distributed.md.
"""

import os

from absl import flags

from diffusion_audio.cli import config, options
from diffusion_audio.training import address

USAGE = "diffusion-audio train --config=FILE.py[:PRESETS] --workdir=DIR"


def main(argv: list[str]) -> int:
    """Runs the verb."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "workdir", None, "directory of the run, made if need be", flag_values=values
    )
    flags.DEFINE_bool(
        "accept_changed_data",
        False,
        "go on though clips are gone, new or changed; the session's record says so",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "allow_fresh",
        False,
        "start over where the checkpoints of a run are lost or damaged; what is left "
        "is kept aside",
        flag_values=values,
    )
    for name, kind, about in (
        ("coordinator", flags.DEFINE_string, "HOST:PORT of the first of several"),
        ("num_processes", flags.DEFINE_integer, "how many processes train together"),
        ("process_id", flags.DEFINE_integer, "which of them this one is, from 0"),
    ):
        kind(name, None, about, flag_values=values)
    rest = config.define(values, argv)
    required = ("config", "workdir")
    options.parse(values, rest, usage=USAGE, about=__doc__, required=required)

    place = address.find(
        os.environ, values.coordinator, values.num_processes, values.process_id
    )

    from diffusion_audio.runs.session import process_started
    from diffusion_audio.systems import processes
    from diffusion_audio.training import run
    from diffusion_audio.training.together import joined

    with joined(place) as stop:
        run.train(
            values.config,
            values.workdir,
            accept_changed_data=values.accept_changed_data,
            allow_fresh=values.allow_fresh,
            started=process_started(),
            stop=stop,
        )
    if processes.is_first():
        print(values.workdir)
    return 0
