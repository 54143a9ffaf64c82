"""The data set of a run: where it was in training, or where it is now."""

from collections.abc import Mapping
from typing import Any

from diffusion_audio.data.open import open_source, split_names
from diffusion_audio.data.source import Source
from diffusion_audio.errors import UserError

UNSEEN = "held_out"  # combinations of labels that training never had, in some sets


def open_run_data(
    config: Mapping[str, Any],
    sample_rate: int,
    split: str | None,
    *,
    unseen: bool = False,
    moved_to: str | None = None,
) -> tuple[Source, str]:
    """A split of what a run was trained on, and its name.

    Args:
        config: of the run.
        sample_rate: Hz.
        split: of its data set; where None, what the run was evaluated on.
        unseen: where ``split`` is None, take ``UNSEEN`` if the data has it.
        moved_to: the source to take in place of the config's own; None is that.

    Raises:
        UserError: it cannot be opened; what to do where it has moved is said.
    """
    place = moved_to or config["data"]["source"]
    try:
        if split is None:
            there = unseen and UNSEEN in split_names(place)
            split = UNSEEN if there else config["data"]["evaluation_split"]
        return open_source(place, split, sample_rate), split
    except UserError as error:
        if moved_to:
            raise
        raise UserError(
            f"{error}; if the data of this run is elsewhere now, say where: "
            "--data=SOURCE"
        ) from error
