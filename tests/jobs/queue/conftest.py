"""A real server over its unix socket, one for the session; each test finds it empty."""

import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from jobs.queue.store import Store, connect
from vibecoder.local import redis


class Server:
    """The embedded server, which tests may kill and start again."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vcq"))
        self.start()

    def start(self) -> None:
        self.running = redis.start(self.folder, die_with_parent=True)
        self.url = self.running.url

    def kill(self) -> None:
        os.kill(self.running.pid, signal.SIGKILL)
        os.waitpid(self.running.pid, 0)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.running.stop()
    shutil.rmtree(server.folder)


@pytest.fixture
async def store(server: Server) -> AsyncIterator[Store]:
    store = Store(connect(server.url, retries=3))
    await store.redis.flushall()
    yield store
    await store.close()
