"""Makes audio files from prompts.

MODEL is the directory of a diffusion run (RUN@best or RUN@STEP where its newest step is
not meant), the folder of a published system (AudioLDM, AudioLDM 2, Auffusion), the .pth
or .ckpt of its original code with the tokenizers in folders beside it, or its id on the
hub, such as cvssp/audioldm2; `diffusion-audio models` lists them. Writes one WAV file
for each prompt and candidate, and index.json, which says what made them and, where the
model has a CLAP, how near each candidate is to its prompt; prints the paths. The same
prompt at the same place with the same seed sounds the same. An empty prompt is a sound
of no caption. A prompt that begins with a dash comes after all flags and two dashes:
... --out=DIR -- "-5 dB hum", or from a file. A model of speech takes a transcript too,
what is said: --transcript="Good morning".
"""

from absl import flags

from diffusion_audio.cli import options
from diffusion_audio.errors import UserError

USAGE = 'diffusion-audio generate --model=MODEL "PROMPT" ... --out=DIR'


def main(argv: list[str]) -> int:
    """Runs the verb."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "model",
        None,
        "diffusion run, folder or file of a published system, or an id of the hub",
        flag_values=values,
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
    flags.DEFINE_string(
        "transcript",
        None,
        "what is said in all sounds, of a model of speech",
        flag_values=values,
    )
    flags.DEFINE_string(
        "transcripts",
        None,
        "file of transcripts, one for each prompt: as --prompts, with a column "
        "transcript; may be the same table",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "phonemes",
        False,
        "the transcripts are phonemes already, in the IPA",
        flag_values=values,
    )
    flags.DEFINE_float(
        "duration",
        None,
        "seconds; None is the length that the model was trained on",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "windows",
        "auto",
        ["auto", "always", "never"],
        "whether what is longer than the model was trained on is made in windows that "
        "overlap; auto is from twice that length",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "num_candidates",
        None,
        "sounds for each prompt; None is the model's own number",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_string(
        "prompts",
        None,
        "file of more prompts, after those typed: UTF-8 text with one a line, or .csv, "
        ".tsv, .jsonl with a column prompt or caption",
        flag_values=values,
    )
    flags.DEFINE_string(
        "preset",
        None,
        "in whose way a published system runs: default, diffusers or original",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "dtype",
        None,
        ["float32", "bfloat16"],
        "of weights and computation; None is as they are",
        flag_values=values,
    )
    flags.DEFINE_string(
        "revision",
        None,
        "commit of what is on the hub; None is the one that was tested",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "page",
        False,
        "write index.html too, to listen and look: `diffusion-audio page` of --out",
        flag_values=values,
    )
    options.sounds(values)
    options.overwrite(values)
    prompts = options.parse(
        values,
        argv,
        usage=USAGE,
        about=__doc__,
        required=("model", "out"),
        positional="prompt",
        instead="prompts",
    )

    from diffusion_audio import generation
    from diffusion_audio.generation.prompts import read_prompts, read_transcripts

    prompts = [options.text(prompt) for prompt in prompts]
    if values.prompts:
        prompts += read_prompts(values.prompts)
    transcripts = values.transcript
    if transcripts is not None:
        transcripts = options.text(transcripts)
    if values.transcripts:
        if transcripts is not None:
            raise UserError("give --transcript or --transcripts, not both")
        transcripts = read_transcripts(values.transcripts)
    if values.page:
        from diffusion_audio.generation.gallery import require_page, write_gallery

        require_page(values.out, overwrite=values.overwrite)  # before any work

    paths = generation.generate(
        values.model,
        prompts,
        values.out,
        seed=values.seed,
        solver=values.solver,
        steps=values.steps,
        guidance=values.guidance,
        negative_prompt=options.text(values.negative_prompt),
        transcripts=transcripts,
        phonemes=values.phonemes,
        duration=values.duration,
        num_candidates=values.num_candidates,
        vocoder=values.vocoder,
        batch_size=values.batch_size,
        windows=values.windows,
        preset=values.preset,
        dtype=values.dtype,
        revision=values.revision,
        overwrite=values.overwrite,
    )
    for path in paths:
        print(path)
    if values.page:
        print(write_gallery(values.out, overwrite=values.overwrite))
    return 0
