"""The data set of a run: where it was in training, or where it is now."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from diffusion_audio.data.open import open_source, split_names
from diffusion_audio.data.source import Source
from diffusion_audio.errors import UserError

UNSEEN = "held_out"  # combinations of labels that training never had, in some sets


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
    with _said_where(moved_to):
        return open_source(moved_to or config["data"]["source"], split, sample_rate)


def unseen_split(config: Mapping[str, Any], moved_to: str | None) -> str:
    """The split that a model of captions is measured on.

    That is ``UNSEEN`` where the data has it, else what the run was evaluated on.

    Args:
        config: of the run.
        moved_to: as of `open_run_data`.

    Raises:
        UserError: as `open_run_data`.
    """
    with _said_where(moved_to):
        names = split_names(moved_to or config["data"]["source"])
    return UNSEEN if UNSEEN in names else config["data"]["evaluation_split"]


@contextmanager
def _said_where(moved_to: str | None) -> Iterator[None]:
    """Says what to do about data that is not where it was in training."""
    try:
        yield
    except UserError as error:
        if moved_to:
            raise
        raise UserError(
            f"{error}; if the data of this run is elsewhere now, say where: "
            "--data=SOURCE"
        ) from error
