"""A hub on the loopback: as much of its protocol as downloads speak."""

import contextlib
import hashlib
import http.server
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

COMMIT = "c0ffee" + "0" * 34
LARGE = (".safetensors", ".bin", ".pt", ".pth")


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@dataclass
class Hub:
    """What the server holds and how it behaves, to be changed by tests.

    Attributes:
        hub_id: of its one model.
        files: content by path.
        beside: files of other models, by id; what follows is not of them.
        listed: siblings of the answer, in place of those of ``files``.
        broken: after how many bytes the sending of a file breaks off, each time.
        changed: what is sent in place of a file.
        ranges: whether it begins where it is asked to.
        status: of every answer, if not 200; with the hub's word for it.
        sent: bytes of each file that went out.
        asked: paths of all requests.
    """

    hub_id: str
    files: dict[str, bytes]
    beside: dict[str, dict[str, bytes]] = field(default_factory=dict)
    listed: list[dict[str, Any]] | None = None
    broken: dict[str, list[int]] = field(default_factory=dict)
    changed: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    status: tuple[int, str] = (200, "")
    sent: Counter[str] = field(default_factory=Counter)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def siblings(self, hub_id: str) -> list[dict[str, Any]]:
        if hub_id == self.hub_id and self.listed is not None:
            return self.listed
        found = []
        for path, data in self.models()[hub_id].items():
            entry = {"rfilename": path, "size": len(data), "blobId": git_hash(data)}
            if path.endswith(LARGE):
                digest = hashlib.sha256(data).hexdigest()
                lfs = {"sha256": digest, "size": len(data), "pointerSize": 134}
                entry |= {"lfs": lfs}
            found.append(entry)
        return found

    def models(self) -> dict[str, dict[str, bytes]]:
        return {self.hub_id: self.files} | self.beside


@contextlib.contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Runs the server while the block does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 16  # headers and body leave together, and quickly

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            path = self.path.partition("/resolve/main/")[2]
            data = hub.files[path]
            digest = git_hash(data)
            if path.endswith(LARGE):
                digest = hashlib.sha256(data).hexdigest()
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{digest}"')
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()

        def do_GET(self) -> None:
            hub.asked.append(self.path)
            code, word = hub.status
            model = re.match(r"(?:/api/models)?/([^/]+/[^/]+)", self.path)
            hub_id = model[1] if model and model[1] in hub.models() else hub.hub_id
            if code != 200:
                self.answer(code, b"", {"X-Error-Code": word})
            elif self.path.startswith(f"/api/models/{hub_id}/revision/"):
                assert self.path.endswith("?blobs=true")  # asks for the hashes
                said = {"id": hub_id, "sha": COMMIT}
                said["siblings"] = hub.siblings(hub_id)
                said["tags"] = ["license:mit"]
                self.answer(200, json.dumps(said).encode(), {})
            elif match := re.fullmatch(
                rf"/{hub_id}/resolve/(?:{COMMIT}|main)/(.+)", self.path
            ):
                if match[1].endswith(LARGE):  # as the real one, from another place
                    self.answer(302, b"", {"Location": f"/large/{match[1]}"})
                else:
                    self.send(match[1], hub.models()[hub_id])
            elif self.path.startswith("/large/"):
                self.send(self.path.removeprefix("/large/"), hub.files)
            else:
                self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})

        def answer(self, code: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def send(self, path: str, files: dict[str, bytes]) -> None:
            data = hub.changed.get(path, files[path])
            match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            match = match if hub.ranges else None
            start = int(match[1]) if match else 0
            self.send_response(206 if match else 200)
            if match:
                total = len(data)
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            body = data[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            left = hub.broken.get(path, [])
            if left:
                body = body[: left.pop(0)]
                self.close_connection = True
            hub.sent[path] += len(body)
            self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
