"""Auffusion in the layout of its own code (Xue et al. 2024): pickles, and an adapter.

condition_config.json lists its text encoders, of which the published ones have one, a
CLIP with its tokenizer's files beside it, and the adapter of each.
"""

from pathlib import Path

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError, shortened
from diffusion_audio.pretrained import adapter, clip_text, config_file, weight_files
from diffusion_audio.pretrained.diffusers_system import part_json, read_common
from diffusion_audio.pretrained.published_system import (
    PublishedSystem,
    plain,
    tokenizers,
    weights,
)

INDEX = "condition_config.json"


def read_auffusion(folder: Path) -> PublishedSystem:
    """A system of a folder with a condition_config.json.

    Raises:
        UserError: it is no such system, or a part lacks, is damaged, of another model
            or asks for what ours has not.
    """
    common = read_common(folder, "auffusion_16k")
    encoder, conditioner = _folders(folder)
    text = clip_text.clip_text_config(*part_json(encoder))
    adapter_cfg = adapter.adapter_config(*part_json(conditioner))
    files = weights(encoder), weights(conditioner)

    def clip() -> Params:
        arrays, theirs = (weight_files.read(file) for file in files)
        return {
            "text": clip_text.import_clip_text(text, arrays, str(files[0])),
            "adapter": adapter.import_adapter(adapter_cfg, theirs, str(files[1])),
        }

    return common.system(
        {"clip": {"name": "clip", "text": plain(text), "adapter": plain(adapter_cfg)}},
        {"conditioners/clip": (clip, *files)},
        tokenizers("clip", clip=(encoder, "clip", text.max_tokens, text.vocabulary)),
        system="auffusion",
        sampling={"steps": 100, "guidance": 7.5},
    )


def _folders(folder: Path) -> tuple[Path, Path]:
    """Where the text encoder lies, and its adapter."""
    path = folder / INDEX
    try:
        (only,) = config_file.read_value(path)
        names = [only["text_encoder_name"], only["condition_adapter_name"]]
    except UserError:
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path}: expected a list of one text encoder and its adapter "
            f"({' '.join(str(error).split())[:80]})"
        ) from error
    for name in names:
        if not weight_files.is_name(name):
            raise UserError(
                f"{path} names {shortened(repr(name))}; expected folders beside it"
            )
    return folder / names[0], folder / names[1]
