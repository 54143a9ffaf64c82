"""Brings a published model into a folder that runs can stand on, or takes ours out.

SOURCE is a whole system (AudioLDM, AudioLDM 2, Auffusion: its folder, or its id on the
hub; or the one file, .pth or .ckpt, of AudioLDM's or AudioLDM 2's original code, with
its tokenizers in folders `tokenizer` and `tokenizer_2` beside it or in the cache of
downloads) or a diffusion run. DIR then serves as --model or --config.components.NAME
and holds everything in safetensors files, with hashes; --layout=diffusers writes it as
diffusers' pipelines read it instead.

Or SOURCE is a vocoder: a file or folder of HiFi-GAN (g_00000000), of transformers'
SpeechT5HifiGan or of Auffusion (vocoder.pt), with its config.json; or the directory of
a vocoder's run.
The generator is found wherever in the file it lies, under any key and wrapper; its
moving average (ema) goes before itself. What was taken, left and assumed is said.
DIR then serves as --vocoder or --config.components.vocoder, and its safetensors files
have the original's names.

Or SOURCE is a network of metrics: PANNs' Cnn14, VGGish, PaSST or CLAP, its published
file or its name; `diffusion-audio models` lists them.

No file is executed: a pickle is read as data or refused.
Prints DIR.
"""

from absl import flags

from diffusion_audio.cli import options
from diffusion_audio.errors import UserError

USAGE = "diffusion-audio convert SOURCE --out=DIR [--dtype=bfloat16]"


def main(argv: list[str]) -> int:
    """Runs the verb."""
    values = flags.FlagValues()
    flags.DEFINE_string("out", None, "folder to write", flag_values=values)
    flags.DEFINE_string(
        "audio",
        None,
        "how its mels are made, where config.json does not say it: a preset and "
        "changes, such as audioldm_16k,fmax=7600, or changes alone, such as log=log10",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "cut",
        None,
        ["start", "end"],
        "where its code cuts the sample that a stage of odd kernel - rate makes too "
        "many: end, if it pads (kernel - rate) // 2 as HiFi-GAN's code; start, if it "
        "pads one more, with an output_padding of 1",
        flag_values=values,
    )
    flags.DEFINE_string(
        "take",
        None,
        "key of the file that the generator lies under, such as generator or "
        "state_dict.ema, where several do; . is under none",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "dtype",
        None,
        ["float32", "bfloat16"],
        "of a system's weights; None is as they are",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "layout",
        None,
        ["ours", "diffusers"],
        "of a system's folder; None is ours",
        flag_values=values,
    )
    flags.DEFINE_string(
        "revision",
        None,
        "commit of what is on the hub; None is the one that was tested",
        flag_values=values,
    )
    options.overwrite(values)
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

    made = convert(
        sources[0],
        values.out,
        values.audio,
        cut=values.cut,
        take=values.take,
        dtype=values.dtype,
        layout=values.layout,
        revision=values.revision,
        overwrite=values.overwrite,
    )
    print(made)
    return 0
