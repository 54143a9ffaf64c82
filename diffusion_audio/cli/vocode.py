"""Turns audio files into log-mels and back through a vocoder (copy synthesis).

IN is a file or a folder of any rate and length, OUT a .wav or .flac file or a folder.
What comes out is the best that a model of those mels could sound. Prints the paths.
"""

from absl import flags

from diffusion_audio.cli import options
from diffusion_audio.errors import UserError

USAGE = "diffusion-audio vocode IN OUT --model=DIR"


def main(argv: list[str]) -> int:
    """Runs the verb."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "model",
        None,
        "directory of a vocoder's run or of converted weights",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "batch_size", 4, "windows at a time", lower_bound=1, flag_values=values
    )
    flags.DEFINE_float(
        "seconds",
        4.0,
        "length of a window; memory grows with it, the result is the same",
        lower_bound=0.0,
        flag_values=values,
    )
    paths = options.parse(
        values,
        argv,
        usage=USAGE,
        about=__doc__,
        required=("model",),
        positional="IN and OUT",
    )
    if len(paths) != 2:
        raise UserError(f"expected IN and OUT, not {len(paths)} paths; usage: {USAGE}")

    from diffusion_audio.generation.vocode import vocode

    for path in vocode(
        values.model, *paths, seconds=values.seconds, batch_size=values.batch_size
    ):
        print(path, flush=True)
    return 0
