"""Names and nodes that are no good: each is a fault of one clip, never the end."""

import os
import socket
from pathlib import Path

import pytest

from diffusion_audio.data.listing import Listing, list_folder
from diffusion_audio.data.names import listed, printable
from tests.data.folders import touch, write


def faults(listing: Listing) -> dict[str, str]:
    return {e.name: e.fault.detail for e in listing.entries if e.fault}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A good clip, and a file and a folder outside with links to them."""
    root = touch(tmp_path / "root", "good.wav")
    touch(tmp_path / "outside", "x.wav")
    (root / "link.wav").symlink_to(tmp_path / "outside" / "x.wav")
    (root / "dir").symlink_to(tmp_path / "outside")
    return root


@pytest.mark.parametrize(
    "name", ["../outside/x.wav", "/etc/passwd", "dir/../outside/x.wav", "link.wav"]
)
def test_no_name_and_no_link_of_a_file_leads_out(root: Path, name: str) -> None:
    rows = [{"file_name": n, "caption": "x"} for n in (name, "good.wav")]
    write(root / "metadata.jsonl", *rows)
    [(bad, detail)] = faults(list_folder(root)).items()
    assert bad == name
    assert detail.startswith("leads out of the folder")
    assert detail.endswith("named in " + str(root / "metadata.jsonl") + ", line 1")


@pytest.mark.parametrize("metadata", [False, True])
def test_a_link_to_a_folder_is_followed(root: Path, metadata: bool) -> None:
    (root / "link.wav").unlink()
    if metadata:
        rows = ["dir/x.wav,x", "good.wav,x"]
        write(root / "metadata.csv", "file_name,caption", *rows)
    listing = list_folder(root)
    assert [entry.name for entry in listing.entries] == ["dir/x.wav", "good.wav"]
    assert not faults(listing)
    assert not listing.unused


def test_no_folder_is_entered_twice(tmp_path: Path) -> None:
    root = touch(tmp_path / "root", "sub/a.wav")
    for name, target in (("aloop", "."), ("sub/up", ".."), ("again", "sub")):
        (root / name).symlink_to(target)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "back").symlink_to(root)
    (root / "more").symlink_to(tmp_path / "more")
    listing = list_folder(root)
    assert [entry.name for entry in listing.entries] == ["sub/a.wav"]
    assert listing.unused == [
        "'again', 'aloop', 'more/back' and 1 more: a link to a folder that is read "
        "already"
    ]


def test_a_link_to_a_file_within_is_fine(root: Path) -> None:
    (root / "again.wav").symlink_to("good.wav")
    assert "again.wav" not in faults(list_folder(root))


def test_texts_outside_are_not_read_by_a_link(root: Path, tmp_path: Path) -> None:
    secret = write(tmp_path / "secret", "a secret")
    (root / "good.txt").symlink_to(secret)
    (root / "metadata.csv").symlink_to(secret)
    listing = list_folder(root)
    assert {entry.captions for entry in listing.entries} == {("",)}
    assert listing.unused == [
        "'good.txt', 'metadata.csv': a link to a text outside the folder; copy it here"
    ]


def test_an_odd_node_is_the_fault_of_one_clip(tmp_path: Path, monkeypatch) -> None:
    touch(tmp_path, "good.wav", "dir.wav/inside.wav", "captions.csv/x")
    os.mkfifo(tmp_path / "pipe.wav")
    os.mkfifo(tmp_path / "metadata.csv")
    os.mkfifo(tmp_path / "good.txt")
    monkeypatch.chdir(tmp_path)  # the path of a socket has at most 100 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.wav")
    (tmp_path / "device.wav").symlink_to("/dev/null")
    (tmp_path / "dangling.wav").symlink_to("nowhere")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "null.txt").symlink_to("/dev/null")
    listing = list_folder(tmp_path)
    assert faults(listing) == {
        "dangling.wav": "a link that leads nowhere",
        "device.wav": "a device, not a file",
        "loop.wav": "Too many levels of symbolic links",
        "pipe.wav": "a named pipe, not a file",
        "socket.wav": "a socket, not a file",
    }
    assert len(listing.entries) == 7
    assert listing.unused == [
        "'captions.csv', 'dir.wav': a folder with the name of a file; only what it "
        "holds is read",
        "'loop': a link that leads nowhere",
        "'good.txt', 'metadata.csv', 'null.txt': neither a file nor a folder",
    ]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch) -> None:
    touch(tmp_path, "good.wav", "locked/a.wav")
    scandir = os.scandir

    def guarded(path: Path) -> object:
        if path.name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    listing = list_folder(tmp_path)
    assert [entry.name for entry in listing.entries] == ["good.wav"]
    assert listing.faults == {"locked": ("unreadable", "Permission denied")}


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("gone.wav", "no such file"),
        ("GOOD.wav", "no such file; there is 'good.wav'"),
        ("good", "no such file; there is 'good.wav'"),
        ("no/where.wav", "no such file"),
        ("x" * 5000 + ".wav", "no file can have such a name"),
        ("\0.wav", "no file can have such a name"),
        ("\ud800.wav", "no file can have such a name"),
        ("a/" * 4000 + "b.wav", ""),
        (".", "a folder, not a file"),
        ("good.wav/x.wav", "Not a directory"),
    ],
)
def test_a_bad_name_in_the_metadata_is_one_fault(
    tmp_path: Path, name: str, detail: str
) -> None:
    touch(tmp_path, "good.wav")
    rows = [{"file_name": n, "caption": "x"} for n in (name, "good.wav")]
    write(tmp_path / "metadata.jsonl", *rows)
    listing = list_folder(tmp_path)
    [(bad, found)] = faults(listing).items()
    assert found.startswith(detail)
    bad.encode()  # it can be printed
    assert [e.name for e in listing.entries if not e.fault] == ["good.wav"]


@pytest.mark.parametrize(
    "name",
    [
        " good.wav ",
        "sub\\deep.wav",
        "./good.wav",
        "sub//deep.wav",
        "sub/../good.wav",
        "e\u0301.wav",
        "\u00e9.wav",
        "{root}/sub/deep.wav",
        "{real}/good.wav",
    ],
)
def test_other_spellings_of_a_name_are_found(tmp_path: Path, name: str) -> None:
    real = touch(tmp_path / "real", "good.wav", "sub/deep.wav", "e\u0301.wav")
    root = tmp_path / "root"
    root.symlink_to(real)
    name = name.format(root=root, real=real)
    write(root / "metadata.jsonl", {"file_name": name, "caption": "x"})
    [entry] = list_folder(root).entries
    assert entry.fault is None
    assert entry.path.is_file()
    assert entry.name in ("good.wav", "sub/deep.wav", "e\u0301.wav")


def test_a_name_with_blanks_at_its_ends_is_that_file(tmp_path: Path) -> None:
    touch(tmp_path, " a.wav", "a.wav")
    write(tmp_path / "metadata.jsonl", {"file_name": " a.wav", "caption": "x"})
    assert list_folder(tmp_path).entries[0].name == " a.wav"


def test_a_byte_that_is_not_utf8_is_the_fault_of_one_clip(tmp_path: Path) -> None:
    touch(tmp_path, "good.wav")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/bad\xff.wav")).write_bytes(b"x")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/t\xff.txt")).write_bytes(b"x")
    touch(tmp_path, "new\nline.wav", "\u202eright.wav")
    listing = list_folder(tmp_path)
    assert [entry.name for entry in listing.entries] == [
        "\\u202eright.wav",
        "bad\\xff.wav",
        "good.wav",
        "new\\nline.wav",
    ]
    assert faults(listing) == {"bad\\xff.wav": "its name is not UTF-8 text: rename it"}
    assert listing.unused == ["'t\\xff.txt': no clip of the same name lies beside"]


def test_names_are_shown_as_they_are_or_escaped() -> None:
    assert printable("é میخ\u200cواهم 中.wav") == "é میخ\u200cواهم 中.wav"
    assert printable("a\x1b[31m\udcff\ud800") == "a\\x1b[31m\\xff\\ud800"
    assert listed(["a"]) == "'a'"
    assert listed("abcde") == "'a', 'b', 'c' and 2 more"
    assert len(listed(["x" * 5000])) < 400
