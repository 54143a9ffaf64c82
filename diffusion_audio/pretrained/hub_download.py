"""Downloads from the hub into its cache: a file at a time, resumed and checked.

The hub's own library forgets what it has of a file when it is stopped; of three
gigabytes that matters. So its request is used, and the file it fills is kept.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusion_audio.errors import UserError, shortened
from diffusion_audio.pretrained.hub_files import SHA256, Remote
from diffusion_audio.progress import ProgressView

MEGABYTE = 10**6


def download(hub_id: str, commit: str, files: Sequence[Remote], cache: Path) -> None:
    """Brings files of a commit into a model's cache, those that are not there yet.

    Args:
        hub_id: of the model.
        commit: of the files.
        files: what to bring.
        cache: folder of the model in the hub's cache, which gets ``blobs`` by hash and
            links to them in ``snapshots/COMMIT``, as every program of the hub has it.

    Raises:
        UserError: a download broke off, or a file has not the hash that it should.
    """
    from huggingface_hub import HfApi, hf_hub_url
    from huggingface_hub.utils import WeakFileLock

    locks = cache.parent / ".locks" / cache.name
    blobs, snapshot = cache / "blobs", cache / "snapshots" / commit
    for folder in (locks, blobs, snapshot):
        folder.mkdir(parents=True, exist_ok=True)
    bar = _Bar(hub_id, sum(file.size for file in files))
    endpoint = HfApi().endpoint
    try:
        for file in files:
            url = hf_hub_url(hub_id, file.path, revision=commit, endpoint=endpoint)
            blob = blobs / file.digest
            with WeakFileLock(locks / f"{file.digest}.lock"):
                if not blob.exists():
                    _fill(blob, file, url, hub_id, bar)
            _link(snapshot / file.path, blob)
            bar.finish(file.size)
    finally:
        bar.close()


class _Bar:
    """All bytes of a download; stands in for tqdm where one file is downloaded."""

    def __init__(self, hub_id: str, total: int):
        self._view = ProgressView(f"{hub_id}, MB", -(-total // MEGABYTE))
        self._total, self._before, self._done, self._shown = total, 0, 0, 0

    def open(self, *, initial: int = 0, **_: Any) -> "_Bar":
        """Begins a file, of which so many bytes are here."""
        self._done = self._before + initial
        return self

    def update(self, size: int) -> None:
        """Counts bytes of the file."""
        self._done += size
        shown = -(-self._done // MEGABYTE)
        if shown != self._shown:
            self._shown = shown
            self._view.update(shown)

    def finish(self, size: int) -> None:
        """Ends a file of so many bytes."""
        self._before += size
        self._done = self._before
        self.update(0)

    def close(self) -> None:
        """Ends the display."""
        self._view.close()

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        pass  # the next file goes on


def _fill(blob: Path, file: Remote, url: str, hub_id: str, bar: _Bar) -> None:
    """Downloads a file, from where an earlier try was broken off, and checks it."""
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    part = blob.with_name(f"{blob.name}.part")
    with part.open("ab") as stream:
        if stream.tell() > file.size:
            stream.seek(0)
            stream.truncate()
        try:
            http_get(
                url,
                stream,
                resume_size=stream.tell(),
                headers=build_hf_headers(),
                expected_size=file.size,
                # Called as a class would be; the hub's type asks for one of tqdm's.
                tqdm_class=bar.open,  # type: ignore[arg-type]
            )
        except HTTPError as error:
            raise UserError(
                f"{hub_id}: the download of {file.path} broke off after "
                f"{stream.tell()} of {file.size} bytes "
                f"({shortened(' '.join(str(error).split()))}); the same command goes "
                "on from there"
            ) from error
        except OSError as error:
            if error.errno is not None:
                raise  # of the disk; the other is of the size
    came = digest(part, len(file.digest))
    if came != file.digest or part.stat().st_size != file.size:
        size = part.stat().st_size
        part.unlink()
        raise UserError(
            f"{hub_id}: {file.path} arrived with {size} bytes and the hash {came}, and "
            f"the hub lists {file.size} and {file.digest}; it was deleted. Try again; "
            "if it stays so, something between here and the hub changes files"
        )
    os.replace(part, blob)


def digest(path: Path, digits: int) -> str:
    """A file's SHA-256, or with fewer digits the SHA-1 that Git gives it."""
    if digits == SHA256:
        kind = hashlib.sha256()
    else:
        kind = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            kind.update(data)
    return kind.hexdigest()


def _link(path: Path, blob: Path) -> None:
    """Makes a file of a commit's folder point to its content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.unlink(missing_ok=True)  # it may point to what is no longer there
        path.symlink_to(os.path.relpath(blob, path.parent))
