import os
import shutil
from pathlib import Path

import pytest

from diffusion_audio.data.folder import FolderSource
from diffusion_audio.data.inventory import clip_hash
from diffusion_audio.data.open import open_source

TABLE = "file_name,caption,mood\na.wav,one,sad\nb.wav,two,glad\nc.wav,three,sad\n"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Three files that are never decoded here, of 40 kB each."""
    root = tmp_path / "clips"
    root.mkdir()
    for number, name in enumerate("abc"):
        (root / f"{name}.wav").write_bytes(bytes([number]) * 40_000)
    rows = TABLE.replace("\n", ",train\n").replace("mood,train", "mood,split")
    (root / "metadata.csv").write_text(rows, encoding="utf-8")
    return root


def opened(root: Path) -> FolderSource:
    source = open_source(f"folder:{root}", "train")
    assert isinstance(source, FolderSource)
    return source


def test_an_inventory_names_every_clip_and_only_what_changed_differs(
    clips: Path,
) -> None:
    before = opened(clips).inventory()
    assert list(before) == ["a.wav", "b.wav", "c.wav"]
    assert len(set(before.values())) == 3
    path = clips / "b.wav"
    times = path.stat()
    data = bytearray(path.read_bytes())
    data[20_500] ^= 1  # same size, same times
    path.write_bytes(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    table = (clips / "metadata.csv").read_text(encoding="utf-8")
    (clips / "metadata.csv").write_text(table.replace("three", "3"), encoding="utf-8")
    after = opened(clips).inventory()
    assert [n for n in before if before[n] != after[n]] == ["b.wav", "c.wav"]


def test_a_folder_moved_or_copied_is_the_same(clips: Path) -> None:
    before = opened(clips)
    copy = Path(shutil.copytree(clips, clips.parent / "elsewhere"))
    for path in copy.iterdir():
        os.utime(path, (1, 1))
    assert opened(copy).inventory() == before.inventory()
    assert opened(copy).fingerprint() == before.fingerprint()


@pytest.mark.parametrize(
    ("size", "place", "length"),
    [(40_000, at, 1) for at in (0, 10_000, 20_000, 39_999)]
    # 10 s of CD audio: an edit of 0.15 s anywhere is noticed.
    + [(1_764_000, at, 26_000) for at in (0, 300_001, 1_234_567, 1_738_000)],
)
def test_an_edit_anywhere_in_a_clip_is_noticed(
    tmp_path: Path, size: int, place: int, length: int
) -> None:
    path = tmp_path / "a.wav"
    data = bytearray(size)
    path.write_bytes(data)
    before = clip_hash(path, ("x",), {})
    data[place : place + length] = b"\1" * length
    assert len(data) == size
    path.write_bytes(data)
    assert clip_hash(path, ("x",), {}) != before


def test_captions_attributes_and_size_count(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(bytes(40_000))
    hashes = [
        clip_hash(path, ("x",), {}),
        clip_hash(path, ("x", "y"), {}),
        clip_hash(path, ("xy",), {}),
        clip_hash(path, ("x",), {"mood": "sad"}),
    ]
    path.write_bytes(bytes(40_002))
    hashes.append(clip_hash(path, ("x",), {}))
    assert len(set(hashes)) == 5
    assert all(len(value) == 16 for value in hashes)


def test_what_cannot_be_read_has_a_hash(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "dir.wav").mkdir()
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    names = ("gone.wav", "pipe.wav", "dir.wav", "loop.wav", "x" * 5000, "\ud800", "\0")
    hashes = {clip_hash(tmp_path / name, ("x",), {}) for name in names}
    assert hashes == {clip_hash(None, ("x",), {})}
