"""Captions in a text or JSON file beside each clip: ``a.txt`` or ``a.json``."""

import os
from collections.abc import Iterable
from typing import NamedTuple

from diffusion_audio.data.captions import clean_caption
from diffusion_audio.data.columns import Row, find_columns, read_row, without_blanks
from diffusion_audio.data.metadata import parse_object, read_text
from diffusion_audio.data.names import Root, printable
from diffusion_audio.errors import UserError


class Sidecars(NamedTuple):
    """Which files lie beside a clip.

    Attributes:
        of: the file of each clip that has one, by the name of the clip.
        unused: texts without a clip, and second ones.
    """

    of: dict[str, str]
    unused: list[str]


def pair(audio: Iterable[str], texts: Iterable[str]) -> Sidecars:
    """Find the clip of each text: ``a.wav`` is that of ``a.txt`` and ``a.wav.txt``.

    Args:
        audio: names of clips.
        texts: names of ``.txt`` and ``.json`` files; of two for a clip, the first.
    """
    clips: dict[str, list[str]] = {}
    for name in audio:
        clips.setdefault(os.path.splitext(name)[0], []).append(name)
        clips.setdefault(name, []).append(name)
    of: dict[str, str] = {}
    unused = []
    for text in texts:
        mine = [n for n in clips.get(os.path.splitext(text)[0], ()) if n not in of]
        of |= dict.fromkeys(mine, text)
        if not mine:
            unused.append(text)
    return Sidecars(of, unused)


def read_sidecar(root: Root, name: str, sidecar: str) -> Row | None:
    """The row of a clip that has a file beside it.

    Each line of a text is a caption; a JSON file has fields as a row of metadata has.

    Returns:
        ``None`` if it is a JSON file without a field for captions.

    Raises:
        UserError: if the file cannot be read, or a caption is too long or no text.
    """
    where = printable(str(root.path / sidecar))
    text = read_text(root.path / sidecar)
    if sidecar.lower().endswith(".json"):
        fields = parse_object(where, text)
        try:
            columns = find_columns(fields, where, file_name=False)
        except UserError:
            return None
        return read_row(where, columns._replace(file_name=""), fields)._replace(
            file_name=name
        )
    captions = without_blanks(clean_caption(line, where) for line in text.splitlines())
    return Row(name, captions, {}, None, where)
