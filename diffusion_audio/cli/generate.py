"""Makes audio files from prompts.

Writes one WAV file for each prompt and candidate, and index.json, which says what made
them; prints the paths. The same prompt at the same place with the same seed sounds the
same.
"""

from absl import flags

from diffusion_audio.cli import options

USAGE = 'diffusion-audio generate --model=RUN_DIR "PROMPT" ... --out=DIR'


def main(argv: list[str]) -> int:
    """Runs the verb."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "model", None, "directory of a diffusion run", flag_values=values
    )
    flags.DEFINE_string("out", None, "directory of the files", flag_values=values)
    flags.DEFINE_string(
        "solver",
        None,
        "such as ddim or unipc; None is the model's own",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "steps",
        None,
        "steps of the solver; None is the model's own number",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_float(
        "guidance",
        None,
        "scale of classifier-free guidance; None is the model's own",
        flag_values=values,
    )
    flags.DEFINE_string(
        "negative_prompt",
        "",
        "what guidance leads away from",
        flag_values=values,
    )
    flags.DEFINE_float(
        "duration",
        None,
        "seconds; None is the length that the model was trained on",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "num_candidates",
        1,
        "sounds for each prompt",
        lower_bound=1,
        flag_values=values,
    )
    options.sounds(values)
    prompts = options.parse(
        values,
        argv,
        usage=USAGE,
        about=__doc__,
        required=("model", "out"),
        positional="prompt",
    )

    from diffusion_audio import generation

    paths = generation.generate(
        values.model,
        prompts,
        values.out,
        seed=values.seed,
        solver=values.solver,
        steps=values.steps,
        guidance=values.guidance,
        negative_prompt=values.negative_prompt,
        duration=values.duration,
        num_candidates=values.num_candidates,
        vocoder=values.vocoder,
        batch_size=values.batch_size,
    )
    for path in paths:
        print(path)
    return 0
