"""A worker that is killed with news in its hands: the next one brings them."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from push_service import Browser, Mood, PushService, push_service
from queue_world import ANN, Server, eventually, start

from jobs.events import Finished
from jobs.queue.store import Store, job_id_of
from jobs.queue.subscriptions import Subscriptions
from jobs.webpush import Browser as Sealed
from jobs.webpush import Vapid

SECRET = "the secret of these tests"
LEASE = 1.0


@pytest.fixture
async def pushes() -> AsyncIterator[PushService]:
    async with push_service() as pushes:
        yield pushes


@asynccontextmanager
async def worker(server: Server, pushes: PushService) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("queue_worker_process.py")),
        server.url,
        str(LEASE),
        pushes.place,
        SECRET,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    try:
        assert process.stdout
        assert await process.stdout.readline() == b"ready\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def browser(store: Store, pushes: PushService, name: str) -> Browser:
    found = pushes.browser(name, Vapid(SECRET).public)
    keys = found.subscription()["keys"]
    await Subscriptions(store).add(ANN.id, Sealed(found.endpoint, keys["p256dh"], keys["auth"]))
    return found


async def end(store: Store, key: str) -> None:
    await store.submit(start(key, None), time.time())
    await store.append(job_id_of(key), [Finished(time.time(), "succeeded", "Done.")])


async def at_rest(store: Store) -> None:
    async def empty() -> bool:
        return not await store.redis.exists("vc:outbox")

    await eventually(empty)


async def test_an_event_whose_worker_died_at_once_is_told_once(
    server: Server, store: Store, pushes: PushService
) -> None:
    phone = await browser(store, pushes, "phone")
    await end(store, "job")  # and nobody lives who could tell

    async with worker(server, pushes), worker(server, pushes):
        await phone.one()
        await at_rest(store)

    assert phone.asked == 1


async def test_killed_before_the_push_service_took_it(
    server: Server, store: Store, pushes: PushService
) -> None:
    phone = await browser(store, pushes, "phone")
    async with worker(server, pushes) as first:
        phone.moods.append(Mood(503, before=lambda: os.kill(first.pid, signal.SIGKILL)))
        await end(store, "job")
        await first.wait()

        async with worker(server, pushes):
            await phone.one()
            await at_rest(store)

    assert len(phone.got) == 1


async def test_killed_before_it_heard_that_it_was_taken(
    server: Server, store: Store, pushes: PushService
) -> None:
    phone = await browser(store, pushes, "phone")
    async with worker(server, pushes) as first:
        phone.moods.append(Mood(201, before=lambda: os.kill(first.pid, signal.SIGKILL)))
        await end(store, "job")
        await first.wait()

        async with worker(server, pushes):
            await phone.one(2)
            await at_rest(store)

    # It was said twice, which nobody can avoid, and the second takes the first one's place.
    one, two = phone.got
    assert one.said == two.said
    assert one.headers["topic"] == two.headers["topic"] == job_id_of("job")
    assert len(phone.shown) == 1


async def test_told_to_stop_it_tells_what_it_has_in_hand(
    server: Server, store: Store, pushes: PushService
) -> None:
    phone = await browser(store, pushes, "phone")
    async with worker(server, pushes) as first:
        phone.moods.append(Mood(201, before=lambda: os.kill(first.pid, signal.SIGTERM)))
        await end(store, "job")
        await first.wait()
        await at_rest(store)

    assert phone.asked == 1
