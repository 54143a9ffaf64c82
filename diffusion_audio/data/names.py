"""Names of files: as text that can be printed, and as places that may be opened."""

import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from diffusion_audio.errors import shortened

_CONTROLS = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, text direction, half, line end
_JOINERS = "\u200c\u200d"  # invisible, but part of the spelling of some scripts
_LONGEST_PART = 255  # bytes of one part of a path, on every common file system


class Fault(NamedTuple):
    """Why a clip cannot be used, found without opening it.

    Attributes:
        kind: ``"missing"`` or ``"unreadable"``, as of an ``AudioFileError``.
        detail: in words.
    """

    kind: str
    detail: str


class Located(NamedTuple):
    """A file that was named: what it is called below the root, where it is.

    Attributes:
        name: relative to the root, with forward slashes; printable.
        path: where it is, or would be.
        fault: why it may not be opened; ``None`` if it may.
    """

    name: str
    path: Path
    fault: Fault | None


def printable(name: str) -> str:
    """A file's name with escapes for what is not text or would move the cursor."""
    if name.isascii() and name.isprintable():
        return name
    return "".join(map(_escaped, name))


def listed(names: Iterable[str], most: int = 3) -> str:
    """Names in quotes, the first few of them: ``'a', 'b', 'c' and 5 more``."""
    every = [*names]
    text = ", ".join(f"'{shortened(printable(name))}'" for name in every[:most])
    return text + (f" and {len(every) - most} more" if len(every) > most else "")


class Root:
    """A folder whose files are named relative to it.

    A link to a folder is followed, wherever it leads: who links a folder here wants
    what it holds. A name may not lead out by itself (``..``, an absolute path), nor may
    the link of a single file.
    """

    def __init__(self, path: Path):
        self.path = path
        self._path = str(path)
        self._real = os.path.realpath(path)
        self._parents: dict[str, str] = {}
        self._files: dict[str, dict[str, str]] = {}

    def locate(self, name: str, folder: str = "") -> Located:
        r"""The file of a name; other spellings are tried if there is none.

        Those are without blanks around it, with ``\`` as the separator, and with
        accents composed or not, as macOS writes them.

        Args:
            name: relative to ``folder``, or absolute.
            folder: relative to the root.
        """
        for spelling in _spellings(name):
            below = self._below(os.path.join(folder, spelling))
            if below is not None and os.path.lexists(self._at(below)):
                return self._located(below)
        below = self._below(os.path.join(folder, name))
        if below is None:
            detail = (
                f"leads out of the folder {str(self.path)!r}; files are named relative "
                f"to it and lie inside it"
            )
            fault = Fault("unreadable", detail)
            return Located(printable(name), self.path / _SOMEWHERE, fault)
        if not _possible(below):
            fault = Fault("missing", "no file can have such a name")
            return Located(printable(name), self.path / _SOMEWHERE, fault)
        return self._located(below)

    def link_leads_out(self, below: str) -> bool:
        """Whether a file is a link to one that lies outside."""
        path = self._at(below)
        if not os.path.islink(path):
            return False
        homes = (self._real, self._real_parent(below))
        return not any(_is_inside(os.path.realpath(path), home) for home in homes)

    def _at(self, below: str) -> str:
        return os.path.join(self._path, below)

    def _below(self, name: str) -> str | None:
        """A name relative to the root; ``None`` if it leads out."""
        if os.path.isabs(name):
            for home in (os.path.abspath(self.path), self._real):
                if _is_inside(name, home):
                    return self._below(os.path.relpath(name, home))
            return None
        if ".." not in name.split("/"):
            return os.path.normpath(name)
        if not _possible(name):
            return None
        real = os.path.realpath(self._at(name))
        inside = _is_inside(real, self._real)
        return os.path.relpath(real, self._real) if inside else None

    def _located(self, below: str) -> Located:
        return Located(printable(below), self.path / below, self._fault(below))

    def _fault(self, below: str) -> Fault | None:
        path = self._at(below)
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            if os.path.islink(path):
                return Fault("missing", "a link that leads nowhere")
            near = self._near(below)
            hint = f"; there is {near!r}" if near else ""
            return Fault("missing", f"no such file{hint}")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "no file can have such a name"
            return Fault("unreadable", reason)
        if not stat.S_ISREG(mode):
            return Fault("unreadable", f"{_node(mode)}, not a file")
        if self.link_leads_out(below):
            detail = (
                f"leads out of the folder {str(self.path)!r} by a link: copy the "
                f"file, or link the folder that it lies in"
            )
            return Fault("unreadable", detail)
        if not _is_text(below):
            return Fault("unreadable", "its name is not UTF-8 text: rename it")
        return None

    def _near(self, below: str) -> str | None:
        """A file whose name differs in case only, or has a suffix besides."""
        parent, name = os.path.split(below)
        if parent not in self._files:
            known = self._files[parent] = {}
            try:
                names = sorted(os.listdir(self._at(parent)))
            except OSError:
                names = []
            for file in filter(_is_text, names):
                known.setdefault(file.casefold(), file)
                known.setdefault(os.path.splitext(file)[0].casefold(), file)
        return self._files[parent].get(name.casefold())

    def _real_parent(self, below: str) -> str:
        parent = os.path.dirname(below)
        if parent not in self._parents:
            self._parents[parent] = os.path.realpath(self._at(parent))
        return self._parents[parent]


_SOMEWHERE = "?"  # stands for a name that may not be a path; never opened


def _spellings(name: str) -> Iterator[str]:
    if not _possible(name):
        return
    yield name
    tried = {name}
    for other in (name.strip(), name.strip().replace("\\", "/")):
        for form in (None, "NFC", "NFD"):
            spelling = unicodedata.normalize(form, other) if form else other
            if spelling not in tried:
                tried.add(spelling)
                yield spelling


def _possible(name: str) -> bool:
    try:
        parts = os.fsencode(name).split(b"/")
    except UnicodeEncodeError:  # half of a pair, as JSON can write it
        return False
    return b"\0" not in b"".join(parts) and max(map(len, parts)) <= _LONGEST_PART


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_inside(path: str, home: str) -> bool:
    return path.startswith(home.rstrip("/") + "/")


def _node(mode: int) -> str:
    kinds = {
        stat.S_ISDIR: "a folder",
        stat.S_ISFIFO: "a named pipe",
        stat.S_ISSOCK: "a socket",
    }
    for test, text in kinds.items():
        if test(mode):
            return text
    return "a device"


def _escaped(character: str) -> str:
    if character in _JOINERS or unicodedata.category(character) not in _CONTROLS:
        return character
    if "\udc80" <= character <= "\udcff":  # a byte that was not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
