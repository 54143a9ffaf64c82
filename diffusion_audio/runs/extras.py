"""Text files that belong to a run's weights: tokenizers, the names of classes.

A task says which there are; they lie in the run's folder ``extras``.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from diffusion_audio.errors import UserError
from diffusion_audio.storage import write_whole

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
            UserError: it is not there, or no text.
        """
        path = self._workdir / EXTRAS / name
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
        root = self._workdir / EXTRAS
        for path in sorted(root.rglob("*")):
            if path.is_file():
                yield path.relative_to(root).as_posix()

    def __len__(self) -> int:
        return sum(1 for _ in self)


def write(workdir: Path, files: Mapping[str, str]) -> None:
    """Keeps files in a run, text by path."""
    for name, text in files.items():
        path = workdir / EXTRAS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
