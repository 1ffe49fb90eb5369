"""A real server over its unix socket, one for the session; each test finds it empty."""

import shutil
from collections.abc import AsyncIterator, Iterator

import pytest
from queue_world import Server

from jobs.queue.store import Store, connect


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
    mark = await store.begin_marking()
    assert mark is not None and await store.mark(mark)
    yield store
    await store.close()
