"""A real `git http-backend` behind a threaded server, faults to inject, and a sandbox's part."""

import base64
import hashlib
import http.client
import http.server
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import pytest

from jobs.forge.git import Changes, Checkout, Commit, Person, Refusals, Remote

TOKEN = "ghs_THISISTHETOKENOFTHISTESTANDMUSTNOTLEAK"
ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_DATE": "1700000000 +0000",
}
ANN = Person("Ann", "ann@example.com")
BOT = Person("vibecoder[bot]", "1+vibecoder[bot]@users.noreply.github.com")


def git(*args: str | bytes | Path, cwd: Path | None = None, data: bytes | None = None) -> bytes:
    """Runs the git command line; raises where it fails."""
    return subprocess.run(
        ["git", *args], cwd=cwd, env=ENV, input=data, check=True, capture_output=True
    ).stdout


# A fault answers a request itself and returns True, or leaves it to git and returns False.
Fault = Callable[["_Handler"], bool]


@dataclass
class Server:
    """Bare repositories under `root`, served with basic auth."""

    root: Path
    url: str = ""
    token: str = TOKEN
    faults: list[Fault] = field(default_factory=list)  # one is used up by each request
    requests: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)  # lets hanging faults go

    def create(self, name: str = "o/r") -> Path:
        """A bare, empty repository whose default branch is main."""
        path = self.root / f"{name}.git"
        path.mkdir(parents=True)
        git("init", "-q", "--bare", "-b", "main", path)
        for key, value in {
            "http.receivepack": "true",
            "uploadpack.allowAnySHA1InWant": "true",
            "uploadpack.allowFilter": "true",
            "receive.fsckObjects": "true",
            "receive.shallowUpdate": "false",
        }.items():
            git("config", key, value, cwd=path)
        return path

    def remote(self, name: str = "o/r") -> Remote:
        return Remote(f"{self.url}/{name}.git", lambda: TOKEN)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        world = self.world
        world.requests.append(f"{self.command} {self.path}")
        self.body = self._body()
        if world.faults and world.faults.pop(0)(self):
            return
        want = "Basic " + base64.b64encode(f"x-access-token:{world.token}".encode()).decode()
        if self.headers.get("Authorization") != want:
            self.answer(401, b"Invalid username or token.", "text/plain")
            return
        path, _, query = self.path.partition("?")
        if not (world.root / path.split(".git/")[0].strip("/")).with_suffix(".git").exists():
            self.answer(404, b"Not Found", "text/plain")
            return
        self.answer(*self.backend(path, query))

    def backend(self, path: str, query: str) -> tuple[int, bytes, str]:
        done = subprocess.run(
            ["git", "http-backend"],
            input=self.body,
            capture_output=True,
            check=False,
            env=ENV
            | {
                "GIT_PROJECT_ROOT": str(self.world.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_USER": "x-access-token",
                "REMOTE_ADDR": "127.0.0.1",
            },
        ).stdout
        head, _, body = done.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        status = int(headers.get("Status", "200 OK").split()[0])
        return status, body, headers.get("Content-Type", "text/plain")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status: int, body: bytes, kind: str = "text/plain", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    world = Server(tmp_path / "served")
    handler = type("Handler", (_Handler,), {"world": world})
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    httpd.daemon_threads = True
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    world.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    yield world
    world.stop.set()
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@dataclass
class Files:
    """What a repository or a sandbox holds: path → (mode, content), as git's modes."""

    content: dict[bytes, tuple[int, bytes]]

    @classmethod
    def of(cls, tar: BinaryIO) -> "Files":
        found: dict[bytes, tuple[int, bytes]] = {}
        with tarfile.open(fileobj=tar, errors="surrogateescape", encoding="utf-8") as opened:
            for member in opened:
                path = member.name.encode("utf-8", "surrogateescape")
                if member.issym():
                    found[path] = (0o120000, member.linkname.encode("utf-8", "surrogateescape"))
                elif member.isreg():
                    file = opened.extractfile(member)
                    assert file is not None
                    mode = 0o100755 if member.mode & 0o100 else 0o100644
                    found[path] = (mode, file.read())
        return cls(found)

    def manifest(self) -> bytes:
        return b"".join(
            b"%06o %s\t%s\0" % (mode, data if mode == 0 else blob_sha(data), path)
            for path, (mode, data) in sorted(self.content.items())
        )

    def tar(self, paths: tuple[bytes, ...]) -> BytesIO:
        out = BytesIO()
        with tarfile.open(
            fileobj=out, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape"
        ) as tar:
            for path in paths:
                mode, data = self.content[path]
                member = tarfile.TarInfo(path.decode("utf-8", "surrogateescape"))
                if mode == 0o120000:
                    member.type = tarfile.SYMTYPE
                    member.linkname = data.decode("utf-8", "surrogateescape")
                    tar.addfile(member)
                else:
                    member.size = len(data)
                    member.mode = 0o755 if mode == 0o100755 else 0o644
                    tar.addfile(member, BytesIO(data))
        out.seek(0)
        return out

    def write(self, path: str, data: bytes, mode: int = 0o100644) -> None:
        self.content[path.encode()] = (mode, data)


def blob_sha(data: bytes) -> bytes:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest().encode()  # noqa: S324  # git's name of it


def unpack(checkout: Checkout) -> Files:
    out = BytesIO()
    checkout.tar(out)
    out.seek(0)
    return Files.of(out)


def compare(checkout: Checkout, files: Files) -> Changes:
    manifest = files.manifest()
    rules = {path: files.content[path][1] for path in checkout.changed_rules(manifest)}
    return checkout.compare(manifest, rules)


def save(checkout: Checkout, files: Files, message: str = "Change it") -> Commit | Refusals:
    changes = compare(checkout, files)
    return checkout.commit(
        changes,
        files.tar(changes.take),
        message=message,
        author=BOT,
        committer=BOT,
        when=1700000100,
    )


def seed(bare: Path, files: dict[bytes, tuple[int, bytes]], branch: str = "main") -> str:
    """Commits exactly these entries on a branch by git's own import, without a checkout."""
    ref = f"refs/heads/{branch}".encode()
    lines = [b"commit " + ref, b"committer A <a@example.com> 1700000000 +0000", b"data 4\nseed"]
    if ref + b"\n" in git("for-each-ref", "--format=%(refname)", cwd=bare):
        lines.append(b"from " + ref + b"^0")
    lines.append(b"deleteall")
    for path, (mode, data) in files.items():
        quoted = b'"' + b"".join(b"\\%03o" % byte for byte in path) + b'"'
        if mode == 0o160000:
            lines.append(b"M 160000 %s %s" % (data, quoted))
        else:
            lines.append(b"M %06o inline %s\ndata %d\n%s" % (mode, quoted, len(data), data))
    git("fast-import", "--quiet", cwd=bare, data=b"\n".join(lines) + b"\n")
    return git("rev-parse", ref, cwd=bare).decode().strip()


def ls_tree(bare: Path, rev: str) -> dict[bytes, tuple[int, bytes]]:
    """path → (mode, sha) by git's own word."""
    out = git("ls-tree", "-rz", rev, cwd=bare)
    found = {}
    for line in out.split(b"\0")[:-1]:
        meta, path = line.split(b"\t", 1)
        mode, _, sha = meta.split(b" ")
        found[path] = (int(mode, 8), sha)
    return found


@pytest.fixture
def bare(server: Server) -> Path:
    """The repository o/r with a few plain files on main."""
    path = server.create()
    seed(
        path,
        {
            b"README.md": (0o100644, b"# r\n"),
            b"src/a.py": (0o100644, b"a = 1\nb = 2\n"),
            b"src/run.sh": (0o100755, b"#!/bin/sh\n"),
            b".gitignore": (0o100644, b"build/\n*.pyc\n"),
        },
    )
    return path


@pytest.fixture
def checkout(server: Server, bare: Path, tmp_path: Path) -> Iterator[Checkout]:
    with Checkout.fetch(tmp_path / "job", server.remote(), None) as found:
        yield found


def status(code: int, body: bytes = b"", **headers: str) -> Fault:
    """Answers with this status."""

    def fault(handler: _Handler) -> bool:
        handler.answer(code, body, **headers)
        return True

    return fault


def through(handler: _Handler) -> bool:
    """No fault."""
    return False


def hang(handler: _Handler) -> bool:
    """Never answers."""
    handler.world.stop.wait(30)
    handler.close_connection = True
    return True


def lost(handler: _Handler) -> bool:
    """Does what was asked, and hangs up before the answer."""
    path, _, query = handler.path.partition("?")
    handler.backend(path, query)
    handler.close_connection = True
    return True


def cut(share: float) -> Fault:
    """Sends a part of the answer and hangs up."""

    def fault(handler: _Handler) -> bool:
        path, _, query = handler.path.partition("?")
        code, body, kind = handler.backend(path, query)
        handler.send_response(code)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: int(len(body) * share)])
        handler.close_connection = True
        return True

    return fault


def drip(handler: _Handler) -> bool:
    """Sends a byte now and then, for ever."""
    path, _, query = handler.path.partition("?")
    code, body, kind = handler.backend(path, query)
    handler.send_response(code)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    with suppress(OSError):
        for at in range(len(body)):
            handler.wfile.write(body[at : at + 1])
            if handler.world.stop.wait(0.1):
                break
    handler.close_connection = True
    return True


def garbled(handler: _Handler) -> bool:
    """Flips a byte in the middle of the answer."""
    path, _, query = handler.path.partition("?")
    code, body, kind = handler.backend(path, query)
    middle = len(body) * 3 // 4
    handler.answer(code, body[:middle] + bytes([body[middle] ^ 255]) + body[middle + 1 :], kind)
    return True


class _Proxy(http.server.BaseHTTPRequestHandler):
    """A proxy for plain HTTP: what it passes on, and to whom it was told."""

    passed: list[tuple[str, str | None]]  # the address, who asked

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._pass()

    def do_POST(self) -> None:
        self._pass()

    def _pass(self) -> None:
        self.passed.append((self.path, self.headers.get("Proxy-Authorization")))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        onward = http.client.HTTPConnection(parts.netloc, timeout=10)
        kept = {k: v for k, v in self.headers.items() if k != "Proxy-Authorization"}
        onward.request(self.command, f"{parts.path}?{parts.query}", body, kept)
        answer = onward.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        onward.close()


@contextmanager
def proxy() -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Its address, and what it passes on."""
    passed: list[tuple[str, str | None]] = []
    handler = type("Handler", (_Proxy,), {"passed": passed})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{running.server_port}", passed
    finally:
        running.shutdown()
        running.server_close()
        thread.join()
