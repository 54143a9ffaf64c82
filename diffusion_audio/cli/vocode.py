"""Turns audio files into log-mels and back through a vocoder (copy synthesis).

IN is a file or a folder of any rate and length, OUT a .wav or .flac file or a folder.
A run is read at its newest step; --model=RUN@best or RUN@STEP is it at another.
What comes out is the best that a model of those mels could sound. A .npy file is a
saved log-mel, as the vocoder's spec has it: [F, T], [T, F] or [1, F, T] floats. Prints
the paths. A bad file of a folder is named and passed over; then the exit code is 1.
"""

import sys

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
    flags.DEFINE_enum(
        "mel_axes",
        None,
        ["ft", "tf"],
        "order of saved mels: ft is bands first (HiFi-GAN's), tf frames first; None "
        "is found from their shape",
        flag_values=values,
    )
    options.overwrite(values)
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

    from diffusion_audio.generation.vocode_files import vocode

    made, passed_over, stopped = 0, 0, True

    def pass_over(error: UserError) -> None:
        nonlocal passed_over
        passed_over += 1
        print(f"diffusion-audio: passed over {error}", file=sys.stderr)

    try:
        for path in vocode(
            values.model,
            *paths,
            mel_axes=values.mel_axes,
            seconds=values.seconds,
            batch_size=values.batch_size,
            overwrite=values.overwrite,
            pass_over=pass_over,
        ):
            made += 1
            print(path, flush=True)
        stopped = False
    finally:
        if passed_over or (stopped and made):
            count = f"{made} files are made, {passed_over} passed over"
            print(f"diffusion-audio: {count}", file=sys.stderr)
    return int(bool(passed_over))
