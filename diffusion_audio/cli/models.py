"""Lists the published models that are known here, or says all of one.

NAME is a model's name or its id on the hub. With it: parts and their parameters, terms,
how its authors sample, its files, and the command that runs it. Or it is the name of a
network that metrics are measured with. Nothing is downloaded.
"""

from typing import TYPE_CHECKING

from absl import flags

from diffusion_audio.cli import options
from diffusion_audio.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from diffusion_audio.pretrained.catalog import Model
    from diffusion_audio.pretrained.metric_catalog import MetricNetwork

USAGE = "diffusion-audio models [NAME]"
WIDTH = 132  # columns, where the output is no terminal


def main(argv: list[str]) -> int:
    """Runs the verb."""
    values = flags.FlagValues()
    names = options.parse(values, argv, usage=USAGE, about=__doc__, positional="[NAME]")
    if len(names) > 1:
        raise UserError(f"expected one NAME, not {len(names)}; usage: {USAGE}")

    from rich.console import Console

    from diffusion_audio.pretrained import metric_catalog
    from diffusion_audio.pretrained.catalog import MODELS, find

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = WIDTH
    if not names:
        console.print(_overview(MODELS))
        console.print(_encoders(metric_catalog.NETWORKS))
        return 0
    if metric_catalog.is_known(names[0]):
        _print(_encoder_facts(metric_catalog.find(names[0])))
        return 0
    model = find(names[0])
    console.print(_parts(model))
    _print(_facts(model))
    return 0


def _print(facts: dict[str, str]) -> None:
    for label, text in facts.items():
        print(f"{label + ':':<10}{text}")


def _encoders(networks: "tuple[MetricNetwork, ...]") -> "Table":
    from rich.table import Table

    table = Table(title="Networks that metrics are measured with")
    table.add_column("name", no_wrap=True)
    table.add_column("what it is")
    table.add_column("licence")
    for network in networks:
        table.add_row(network.name, network.about, network.licence)
    return table


def _encoder_facts(network: "MetricNetwork") -> dict[str, str]:
    from diffusion_audio.pretrained.metric_catalog import FOLDER, HASHES

    files = (*network.files, *network.beside)
    hashes = [f"{file} {HASHES[file]}" for file in files if file in HASHES]
    return {
        "name": network.name,
        "about": network.about,
        "licence": network.licence,
        "files": f"\n{'':<10}".join(files),
        "hashes": f"\n{'':<10}".join(hashes) or "not known",
        "fetch": network.by_hand(FOLDER),
        "run": f"diffusion-audio convert {network.name} --out=DIR",
    }


def _overview(models: "tuple[Model, ...]") -> "Table":
    from rich.table import Table

    from diffusion_audio.audio.spec import PRESETS

    table = Table(title="Published models: `models NAME` says all of one")
    table.add_column("model", no_wrap=True)
    table.add_column("makes")
    for label in ("kHz", "UNet", "in all"):
        table.add_column(label, justify="right", no_wrap=True)
    table.add_column("licence")
    table.add_column("commercial use")
    for model in models:
        unet = next(part for part in model.parts if part.role == "denoiser")
        table.add_row(
            model.hub_id,
            model.about,
            f"{PRESETS[model.audio].sample_rate / 1000:g}",
            f"{unet.parameters / 1e6:.0f} M",
            f"{model.parameters / 1e6:.0f} M",
            model.licence,
            "yes" if model.commercial else "no",
        )
    return table


def _parts(model: "Model") -> "Table":
    from rich.table import Table

    table = Table(title=f"{model.hub_id}: {model.about}")
    table.add_column("part")
    table.add_column("network")
    table.add_column("parameters", justify="right")
    for part in model.parts:
        table.add_row(part.role, part.network, f"{part.parameters:,}")
    table.add_section()
    table.add_row("all", "", f"{model.parameters:,}")
    return table


def _facts(model: "Model") -> dict[str, str]:
    from diffusion_audio.audio.spec import PRESETS
    from diffusion_audio.pretrained.catalog import TOKENIZERS

    spec, sampler = PRESETS[model.audio], model.sampler
    terms = "allowed" if model.commercial else "not allowed"
    facts = {
        "licence": f"{model.licence}; commercial use is {terms}",
        "audio": f"{model.audio}: {spec.sample_rate} Hz, {spec.n_mels} mel bands, "
        f"{model.seconds:g} s",
        "sampler": f"{sampler.solver}, {sampler.steps} steps, guidance "
        f"{sampler.guidance:g}",
        "revision": model.revision or "not pinned: main, as it is at the download",
        "files": f"\n{'':<10}".join(file.path for file in model.files),
    }
    if model.note:
        facts["note"] = model.note
    if model.tokenizers:
        ids = [TOKENIZERS[name].hub_id for name in model.tokenizers]
        facts["words"] = f"tokenizers of {' and '.join(ids)}, which are fetched too"
    said = '--transcript="TEXT" ' if model.of_speech else ""
    command = f"diffusion-audio generate --model={model.hub_id} "
    command += f'"PROMPT" {said}--out=DIR'
    return facts | {"run": command}
