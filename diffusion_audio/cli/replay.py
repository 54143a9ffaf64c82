"""Computes a past step of a run again, and shows what it was made of.

Prints the clips of its batch with what was drawn for each, and its loss and gradient
norm beside those of the run's metrics.jsonl; where one is not finite, which parameters
have gradients that are not. The run is only read: its config.json says
all, and the newest checkpoint before the step, or the start, is where it begins.
"""

from absl import flags

from diffusion_audio.cli import options

USAGE = "diffusion-audio replay --workdir=DIR --step=N [--dump=DIR]"


def main(argv: list[str]) -> int:
    """Runs the verb."""
    values = flags.FlagValues()
    flags.DEFINE_string("workdir", None, "directory of the run", flag_values=values)
    flags.DEFINE_integer(
        "step", None, "which; the first is 1", lower_bound=1, flag_values=values
    )
    flags.DEFINE_string(
        "dump",
        None,
        "folder for the batch and the draws: batch.npz, drawn.npz, step.json, and the "
        "audio as WAV",
        flag_values=values,
    )
    options.overwrite(values)
    required = ("workdir", "step")
    options.parse(values, argv, usage=USAGE, about=__doc__, required=required)

    from diffusion_audio.training import replay, replay_files

    if values.dump is not None:
        replay_files.require_writable(values.dump, overwrite=values.overwrite)
    found = replay.replay(values.workdir, values.step)
    if values.dump is not None:
        replay_files.write(found, values.dump, overwrite=values.overwrite)
    print("\n".join(replay_files.lines(found)))
    return 0
