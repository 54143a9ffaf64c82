"""What lies in a folder at any depth, sorted by what it may be to a set of clips."""

import os
import re
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from diffusion_audio.audio.files import SUFFIXES
from diffusion_audio.audio.headers import begins_as_sound
from diffusion_audio.data.names import Fault, Root, listed, printable
from diffusion_audio.errors import UserError

# Recordings that libsndfile does not decode, or not within what is safe.
FOREIGN = {
    *(".m4a", ".m4b", ".mp4", ".aac", ".wma", ".webm", ".mka", ".mkv", ".mov", ".avi"),
    *(".amr", ".ape", ".wv", ".ac3", ".dts", ".dsf", ".tta", ".mpc", ".ra", ".3gp"),
    *(".mp2", ".shn", ".gsm", ".voc", ".sph", ".raw", ".pcm", ".spx", ".mid", ".midi"),
    *(".nist", ".paf", ".avr", ".8svx", ".sd2", ".m4r", ".flv", ".sf"),
} - {*SUFFIXES}
# What captions are kept in; those that can be read are `metadata.FORMS` and texts.
TABLES = {
    *(".csv", ".tsv", ".psv", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow"),
    *(".xlsx", ".xls", ".ods", ".yaml", ".yml", ".srt", ".vtt", ".lrc", ".lab"),
    *(".textgrid", ".text", ".caption", ".captions", ".cap", ".prompt", ".tags"),
    *(".scp", ".trn", ".ctm"),
}
# Words that name such files too, whatever suffix they have, but of programs.
TABLE_WORDS = {
    *("metadata", "caption", "captions", "prompts", "labels", "annotations"),
    *("transcript", "transcripts", "transcription", "transcriptions"),
}
PROGRAMS = {".py", ".ipynb", ".sh", ".html", ".log"}
PACKED = {".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"}


class Tree(NamedTuple):
    """The files of a folder, by names relative to it, sorted.

    Attributes:
        audio: those with one of the suffixes, whatever they turn out to be.
        texts: ``.txt`` files.
        tables: files that may hold captions of many clips.
        faults: folders that cannot be read.
        unused: what is left out already here, one line for each kind of it.
    """

    audio: list[str]
    texts: list[str]
    tables: list[str]
    faults: dict[str, Fault]
    unused: list[str]


def walk(root: Root, suffixes: tuple[str, ...] = SUFFIXES) -> Tree:
    """Every file of a folder and of the folders in it, links to folders among them.

    No folder is entered twice, by whatever links. Hidden files and folders are left
    out; the audio files among them are listed as unused.

    Args:
        root: the folder.
        suffixes: of what is to be taken for audio.

    Raises:
        UserError: if the folder itself cannot be read.
    """
    found: dict[str, list[str]] = {}
    faults: dict[str, Fault] = {}
    seen: set[tuple[int, int]] = set()
    waiting = deque([""])
    links = found.setdefault("link", [])
    while waiting or links:
        # Folders proper before links, so that a folder goes by its own name.
        folder = waiting.popleft() if waiting else links.pop(0)
        try:
            status = os.stat(root.path / folder)
            if (status.st_dev, status.st_ino) in seen:
                found.setdefault("twice", []).append(folder)
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(root.path / folder) as listing:
                nodes = sorted(listing, key=lambda node: node.name)
        except OSError as error:
            if not folder:
                raise UserError(
                    f"cannot read the folder {printable(str(root.path))!r}: "
                    f"{error.strerror}"
                ) from error
            faults[printable(folder)] = Fault("unreadable", error.strerror or "")
            continue
        for node in nodes:
            name = os.path.join(folder, node.name)
            if node.is_dir(follow_symlinks=False) and not _is_hidden(node.name):
                waiting.append(name)
            found.setdefault(_kind(root, name, node, suffixes), []).append(name)
    unused = [
        f"{listed(sorted(found[kind]))}: {reason}"
        for kind, reason in _UNUSED.items()
        if found.get(kind)
    ]
    audio, texts, tables = (
        sorted(found.get(k, ())) for k in ("audio", "text", "table")
    )
    return Tree(audio, texts, tables, faults, unused)


_UNUSED = {
    "foreign": "of a format that cannot be decoded here; convert to FLAC or WAV",
    "misnamed": "audio by its first bytes; give it its suffix, such as .wav",
    "packed": "packed; what is in it is read once it is unpacked",
    "hidden": "hidden, or of macOS's own",
    "folder": "a folder with the name of a file; only what it holds is read",
    "twice": "a link to a folder that is read already",
    "broken": "a link that leads nowhere",
    "outside": "a link to a text outside the folder; copy it here",
    "node": "neither a file nor a folder",
}


def _kind(
    root: Root, name: str, node: os.DirEntry[str], suffixes: tuple[str, ...]
) -> str:
    """What a node is to a set of clips: why it is unused, or its use, or ""."""
    suffix = os.path.splitext(node.name)[1].lower()
    if _is_hidden(node.name):
        missed = (
            suffix in suffixes
            or _may_be_table(node.name)
            or _holds_audio(root.path / name, suffixes)
        )
        return "hidden" if missed else ""
    if node.is_dir(follow_symlinks=False):
        return "folder" if suffix in {*suffixes, *TABLES, ".txt"} else ""
    if _is(node, os.DirEntry.is_dir):
        return "link"
    if suffix in suffixes:
        return "audio"  # a broken link or a pipe too: it is named as a bad clip
    if not _is(node, os.DirEntry.is_file):
        return "node" if os.path.exists(root.path / name) else "broken"
    if suffix in FOREIGN:
        return "foreign"
    if suffix in PACKED:
        return "packed"
    if suffix != ".txt" and suffix not in TABLES and not _may_be_table(node.name):
        return "misnamed" if _begins_as_sound(root.path / name) else ""
    if root.link_leads_out(name):
        return "outside"
    return "text" if suffix == ".txt" else "table"


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _may_be_table(name: str) -> bool:
    if name.startswith("._"):  # macOS's own of a file that is there
        return False
    stem, suffix = os.path.splitext(name.lower().lstrip("."))
    words = re.split("[^a-z]+", stem)
    return suffix not in PROGRAMS and not TABLE_WORDS.isdisjoint(words)


def _begins_as_sound(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # it may be a pipe by now
    except OSError:
        return False
    try:
        return begins_as_sound(os.read(file, 16))
    except OSError:
        return False
    finally:
        os.close(file)


def _holds_audio(folder: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether audio lies right in a hidden folder: only tools keep theirs deeper."""
    if folder.name == "__MACOSX":
        return True
    try:
        return any(name.lower().endswith(suffixes) for name in os.listdir(folder))
    except OSError:
        return False


def _is(node: os.DirEntry[str], test: Callable[[os.DirEntry[str]], bool]) -> bool:
    try:
        return test(node)
    except OSError:  # a loop of links
        return False
