"""The data set of a run: where it was in training, or where it is now."""

from collections.abc import Mapping
from typing import Any

from diffusion_audio.data.open import open_source
from diffusion_audio.data.source import Source
from diffusion_audio.errors import UserError


def open_run_data(
    config: Mapping[str, Any], split: str, sample_rate: int, moved_to: str | None
) -> Source:
    """A split of what a run was trained on.

    Args:
        config: of the run.
        split: of its data set.
        sample_rate: Hz.
        moved_to: the source to take in place of the config's own; None is that.

    Raises:
        UserError: it cannot be opened; what to do where it has moved is said.
    """
    try:
        return open_source(moved_to or config["data"]["source"], split, sample_rate)
    except UserError as error:
        if moved_to:
            raise
        raise UserError(
            f"{error}; if the data of this run is elsewhere now, say where: "
            "--data=SOURCE"
        ) from error
