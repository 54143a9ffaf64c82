"""Measures a trained run and writes a page to read and listen to.

A run is read at its newest step; RUN@best or RUN@STEP is it at another.

It is an experiment of one system. Of a diffusion run: makes sounds of captions of a
split, stage by stage, and compares the vocoder with Griffin-Lim. Of a vocoder's run:
resynthesizes clips of a split, beside Griffin-Lim. With a classifier of real clips: the
share of clips that have each attribute as captioned, and distances to the real ones.
Writes results.json, as `experiment` does, and report.html; prints the page's path.
"""

from absl import flags

from diffusion_audio.cli import options
from diffusion_audio.errors import UserError

USAGE = "diffusion-audio evaluate --model=RUN_DIR --out=DIR [--classifier=RUN_DIR]"


def main(argv: list[str]) -> int:
    """Runs the verb."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "model", None, "directory of a diffusion or vocoder run", flag_values=values
    )
    flags.DEFINE_string("out", None, "directory of the results", flag_values=values)
    flags.DEFINE_string(
        "classifier",
        None,
        "directory of an attribute classifier's run",
        flag_values=values,
    )
    flags.DEFINE_string(
        "data",
        None,
        "source of clips, such as folder:DIR, where the run's own data set has moved; "
        "None is where it was in training",
        flag_values=values,
    )
    flags.DEFINE_string(
        "split",
        None,
        "of the data; None is held_out where there is such a split, and otherwise what "
        "the run was evaluated on",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "captions",
        144,
        "how many to make sounds of, or clips to resynthesize",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "examples", 12, "how many are on the page", lower_bound=1, flag_values=values
    )
    options.sounds(values)
    options.overwrite(values)
    options.parse(values, argv, usage=USAGE, about=__doc__, required=("model", "out"))

    from diffusion_audio.pretrained.catalog import listed
    from diffusion_audio.pretrained.read_system import is_system
    from diffusion_audio.study.evaluate import evaluate

    if is_system(values.model) or listed(values.model):
        raise UserError(
            f"{values.model} is a whole system and no run: evaluate compares with the "
            "data that a run was trained on. `generate --page` makes its sounds; a run "
            "that starts from it (--config.components.denoiser) can be evaluated"
        )
    page = evaluate(
        values.model,
        values.out,
        classifier=values.classifier,
        vocoder=values.vocoder,
        data=values.data,
        split=values.split,
        captions=values.captions,
        examples=values.examples,
        seed=values.seed,
        batch_size=values.batch_size,
        overwrite=values.overwrite,
    )
    print(page)
    return 0
