"""Brings a published vocoder into a folder that runs can stand on, or takes ours out.

SOURCE is a file or folder of HiFi-GAN (g_00000000), of transformers' SpeechT5HifiGan
or of Auffusion (vocoder.pt), with its config.json; or the directory of a vocoder's run.
DIR then serves as --vocoder or --config.components.vocoder, and its safetensors files
have the original's names. No file is executed: a pickle is read as data or refused.
Prints DIR.
"""

from absl import flags

from diffusion_audio.cli import options
from diffusion_audio.errors import UserError

USAGE = "diffusion-audio convert SOURCE --out=DIR [--audio=PRESET]"


def main(argv: list[str]) -> int:
    """Runs the verb."""
    values = flags.FlagValues()
    flags.DEFINE_string("out", None, "folder to write", flag_values=values)
    flags.DEFINE_string(
        "audio",
        None,
        "preset of the mels, such as audioldm_16k; None is what config.json says",
        flag_values=values,
    )
    sources = options.parse(
        values,
        argv,
        usage=USAGE,
        about=__doc__,
        required=("out",),
        positional="SOURCE",
    )
    if len(sources) != 1:
        raise UserError(f"expected one SOURCE, not {len(sources)}; usage: {USAGE}")

    from diffusion_audio.generation.convert import convert

    print(convert(sources[0], values.out, values.audio))
    return 0
