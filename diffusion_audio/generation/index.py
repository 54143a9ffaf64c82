"""``index.json``: what made the sounds that lie beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffusion_audio.errors import UserError
from diffusion_audio.outputs import record
from diffusion_audio.runs.workdir import read_json, to_json
from diffusion_audio.storage import write_whole

INDEX = "index.json"


def read_index(directory: Path) -> dict[str, Any]:
    """The index of a directory; empty where there is none of this program."""
    try:
        found = read_json(directory / INDEX)
    except (OSError, UserError):
        return {}
    calls = [found, *found.get("earlier", ())] if isinstance(found, dict) else [None]
    return found if all(map(_is_ours, calls)) else {}


def write_index(
    directory: Path,
    made_by: Mapping[str, Any],
    files: Sequence[Mapping[str, Any]],
    *,
    complete: bool,
    before: Mapping[str, Any],
) -> None:
    """Writes an index of exactly what is there.

    Args:
        directory: of the files.
        made_by: what is needed to make them again.
        files: those made now, each with its name as ``file``.
        complete: they are all that were asked for.
        before: the index that this one takes the place of; files that it lists, were
            not made again and are still there go on as ``earlier``.
    """
    made = {entry["file"] for entry in files}
    kept = []
    for call in (*before.get("earlier", ()), before):
        left = [
            entry
            for entry in call.get("files", ())
            if entry["file"] not in made and (directory / entry["file"]).is_file()
        ]
        if left:
            kept.append({k: v for k, v in call.items() if k != "earlier"})
            kept[-1]["files"] = left
    index = {**made_by, "files": list(files), "complete": complete}
    text = to_json(index | ({"earlier": kept} if kept else {})).encode()
    # Noted first: a disk that fills up between leaves nothing that nobody made.
    record(directory / INDEX, "generate", text)
    write_whole(directory / INDEX, text)


def _is_ours(call: Any) -> bool:
    files = call.get("files") if isinstance(call, dict) else None
    return isinstance(files, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("file"), str)
        for entry in files
    )
