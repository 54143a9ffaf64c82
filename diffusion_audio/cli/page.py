"""Writes index.html beside the sounds that `generate` made: a page to listen to.

DIR is what `generate` was given as --out, be it once or several times. The page holds
prompts, players, spectrograms, the settings and, where the model has a CLAP, scores and
ranks of candidates. It is one file, which needs neither a network nor the WAV files.
Prints its path. `generate --page` makes sounds and page in one.
"""

from absl import flags

from diffusion_audio.cli import options
from diffusion_audio.errors import UserError

USAGE = "diffusion-audio page DIR"


def main(argv: list[str]) -> int:
    """Runs the verb."""
    values = flags.FlagValues()
    options.overwrite(values)
    folders = options.parse(values, argv, usage=USAGE, about=__doc__, positional="DIR")
    if len(folders) != 1:
        raise UserError(f"expected one DIR, not {len(folders)}; usage: {USAGE}")

    from diffusion_audio.generation.gallery import write_gallery

    print(write_gallery(folders[0], overwrite=values.overwrite))
    return 0
