"""Servers that answer, and others; downloads that come whole or not at all."""

import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from searchcnn import server
from searchcnn.errors import StoreError
from searchcnn.server import ServerError, check_answer, fetch, is_whole

CONTENT = bytes(range(256)) * 1000
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    release = threading.Event()

    def do_HEAD(self) -> None:
        self.send_error(405)

    def do_GET(self) -> None:
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path != "/unknown":
            self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT[: len(CONTENT) // 2])
        if self.path == "/stall":
            self.release.wait(5)
        elif self.path != "/cut":
            self.wfile.write(CONTENT[len(CONTENT) // 2 :])

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Handler.release.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        Handler.release.set()
        running.shutdown()


@pytest.mark.parametrize("digest", [None, MD5, SHA256])
def test_a_download(url: str, tmp_path: Path, digest: str | None) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch(f"{url}/file", tmp_path / "new" / "file", digest, lambda come, total: seen.append((come, total)))
    assert (tmp_path / "new" / "file").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert sorted(seen) == seen
    assert len(seen) > 2


def test_a_server_that_does_not_say_how_much_it_sends(url: str, tmp_path: Path) -> None:
    seen: list[int | None] = []
    fetch(f"{url}/unknown", tmp_path / "file", progress=lambda _, total: seen.append(total))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert set(seen) == {None}


@pytest.mark.parametrize(
    ("path", "digest", "error"),
    [
        ("missing", None, "/missing: 404 Not Found"),
        ("cut", None, "/cut: it ended after 128000 of 256000 bytes"),
        ("stall", None, "/stall: nothing came for 0.3 s"),
        ("file", MD5[::-1], "/file: what came is damaged, or another file; expected one whose hash is "),
    ],
)
def test_downloads_that_fail_leave_what_was_there(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, digest: str | None, error: str
) -> None:
    monkeypatch.setattr(server, "STALL_SECONDS", 0.3)
    (tmp_path / "file").write_text("old")
    with pytest.raises(ServerError) as raised:
        fetch(f"{url}/{path}", tmp_path / "file", digest)
    assert error in str(raised.value)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"file": "old"}


def test_a_folder_that_is_none(url: str, tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(StoreError, match="cannot be written"):
        fetch(f"{url}/file", tmp_path / "folder" / "file")


def test_any_answer_is_one(url: str) -> None:
    check_answer(f"{url}/file", 5)


@pytest.mark.parametrize("url", ["https://nowhere.invalid/x", "http://127.0.0.1:9/x"])
def test_a_server_out_of_reach_is_found_out_soon(url: str) -> None:
    start = time.monotonic()
    with pytest.raises(ServerError, match=url.partition("//")[2]):
        check_answer(url, 1.0)
    assert time.monotonic() - start < 3


def test_a_name_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: release.wait(5))
    start = time.monotonic()
    with pytest.raises(ServerError, match=r"^no answer from http://host/x within 0.2 s$"):
        check_answer("http://host/x", 0.2)
    release.set()
    assert time.monotonic() - start < 3


@pytest.mark.parametrize(
    ("digest", "expected"), [(None, True), (MD5, True), (SHA256, True), (MD5[::-1], False), (SHA256[::-1], False)]
)
def test_which_file_is_whole(tmp_path: Path, digest: str | None, expected: bool) -> None:
    assert not is_whole(tmp_path / "file", digest)
    (tmp_path / "file").write_bytes(CONTENT)
    assert is_whole(tmp_path / "file", digest) == expected
