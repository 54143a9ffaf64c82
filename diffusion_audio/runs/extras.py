"""Text files that belong to a run's weights: tokenizers, the names of classes.

A task says which there are; they lie in the run's folder ``extras``.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from diffusion_audio.errors import UserError
from diffusion_audio.runs import side_files

EXTRAS = "extras"


class Extras(Mapping[str, str]):
    """The extras of a run that was saved, by their paths in the folder.

    Args:
        workdir: of the run.
    """

    def __init__(self, workdir: str | Path) -> None:
        self._workdir = Path(workdir)

    def __getitem__(self, name: str) -> str:
        """A file's text.

        Raises:
            UserError: it is not there, or damaged.
        """
        path = self._workdir / EXTRAS / name
        side_files.require(self._workdir, f"{EXTRAS}/{name}")
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise UserError(
                f"{self._workdir} lacks {EXTRAS}/{name}, which its saved steps were "
                "trained with; restore it from a copy, or use another --workdir"
            ) from error
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path} is damaged ({error}); restore it from a copy"
            ) from error

    def __iter__(self) -> Iterator[str]:
        yield from side_files.names(self._workdir, EXTRAS)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def in_run(files: Mapping[str, str]) -> dict[str, str]:
    """Text files by their paths in a run, for `side_files.write`."""
    return {f"{EXTRAS}/{name}": text for name, text in files.items()}
