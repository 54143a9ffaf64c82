"""Folders of files that are listed, never decoded."""

import json
from pathlib import Path


def write(path: Path, *lines: object) -> Path:
    """A text file; what is not text is written as JSON."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


def touch(root: Path, *names: str) -> Path:
    """Files with a few bytes in them."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no audio")
    return root
