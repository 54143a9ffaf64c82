"""CLAP's text tower with its tokenizer, from wherever a whole CLAP was published.

That is a folder of transformers' (``laion/clap-htsat-unfused``), or LAION's own one
file (``music_speech_audioset_epoch_15_esc_89.98.pt``), which has no tokenizer: that of
RoBERTa lies in the folder ``tokenizer`` beside it, or among what was downloaded.
"""

import re
from pathlib import Path
from typing import NamedTuple

from diffusion_audio.aliases import Params
from diffusion_audio.errors import UserError
from diffusion_audio.models.roberta import RobertaConfig
from diffusion_audio.pretrained import (
    hub,
    isolated,
    original_config,
    roberta,
    weight_files,
)
from diffusion_audio.pretrained.catalog import TOKENIZERS
from diffusion_audio.pretrained.original_bundle import Bundle
from diffusion_audio.pretrained.published_system import read_json, weights
from diffusion_audio.pretrained.tokenizer import PublishedTokenizer

CONFIG = "config.json"
TEXT = ("text_branch.", "text_projection.")
ROOT = re.compile(r"((?:.*\.)?)text_branch\.")


class ClapText(NamedTuple):
    """A text tower.

    Attributes:
        config: of the network.
        params: its weights.
        tokenizer: of its texts.
    """

    config: RobertaConfig
    params: Params
    tokenizer: PublishedTokenizer


def read_clap_text(place: str | Path) -> ClapText:
    """The text tower of a published CLAP.

    Args:
        place: the folder, or the file.

    Raises:
        UserError: it is neither, or has no text tower or no tokenizer.
    """
    place = Path(place)
    if place.is_file() and (place.parent / CONFIG).is_file():
        place = place.parent  # the file of weights of such a folder
    if (place / CONFIG).is_file():
        config = roberta.clap_text_config(
            read_json(place / CONFIG), str(place / CONFIG)
        )
        file = weights(place)
        arrays = weight_files.read(file)
        params = roberta.import_clap_text(config, arrays, str(file))
        return ClapText(config, params, _tokenizer(place, config))
    if not place.is_file():
        raise UserError(
            f"{place}: expected the file of a CLAP as LAION publishes it, or a folder "
            f"with {CONFIG}, as transformers does"
        )
    shapes = isolated.shapes(place)
    roots = sorted({found[1] for name in shapes if (found := ROOT.match(name))})
    if len(roots) != 1:
        raise UserError(
            f"{place}: expected one text tower (names with text_branch.), found "
            f"{len(roots)}; is it the file of a whole CLAP?"
        )
    whole = original_config.Shapes(shapes, str(place), roots[0])
    config = original_config.clap_text(whole)
    arrays = Bundle(place, roots[0], whole).part("", TEXT)
    params = roberta.import_clap_text(config, arrays, str(place))
    return ClapText(config, params, _tokenizer(_beside(place), config))


def _tokenizer(folder: Path, config: RobertaConfig) -> PublishedTokenizer:
    return PublishedTokenizer.read(folder, TOKENIZERS["clap"].kind, config.max_tokens)


def _beside(place: Path) -> Path:
    """The folder of a file's tokenizer."""
    folder = place.parent / TOKENIZERS["clap"].folder
    if folder.is_dir():
        return folder
    try:
        return hub.fetch_tokenizer("clap", offline=True)
    except UserError as error:
        by_hand = hub.tokenizer_by_hand("clap", place.parent)
        raise UserError(
            f"{place} has no tokenizer, as none of LAION's files does: {by_hand}, then "
            "try again"
        ) from error
