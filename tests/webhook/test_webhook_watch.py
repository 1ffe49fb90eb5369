"""A job's events as they are streamed to whoever watches."""

import asyncio
import os
import random
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn
from webhook_front import Front, front_of
from webhook_people import Town
from webhook_place import WISH, Place, detail
from webhook_story import ends, follows, plans
from webhook_watcher import Event, Phone, events, line

from jobs.commands import Actor
from jobs.events import Charged, CommandRan, JobEvent, Noted, Said
from jobs.job import fold
from jobs.queue.store import Store, connect
from vibecoder.local import redis
from vibecoder.run import _Server
from webhook.app import app
from webhook.shown import View

USD = Decimal("0.25")


@asynccontextmanager
async def watching(
    place: Place, job_id: str, after: str = "", by: str = "maya"
) -> AsyncIterator[AsyncIterator[Event]]:
    """The stream's events with their ids, from after that id on."""
    headers = {"Authorization": f"Bearer {place.world.users[by]}"}
    if after:
        headers["Last-Event-ID"] = after
    path = f"/api/jobs/{job_id}/events"
    async with place.front.http.stream("GET", path, headers=headers, timeout=30) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        yield events(answer)


async def until(stream: AsyncIterator[Event], kind: str) -> list[Event]:
    seen = []
    async for event in stream:
        seen.append(event)
        if event[1]["type"] == kind:
            return seen
    raise AssertionError(f"the stream ended before {kind}")


async def test_a_job_is_watched_from_its_wish_to_its_end(place: Place) -> None:
    job_id = (await place.ask("POST", "/api/plans", WISH)).json()["job_id"]
    async with watching(place, job_id) as stream:
        (received,) = await until(stream, "received")
        assert received[1]["text"] == WISH["text"]
        assert (received[1]["repository"], received[1]["asked_by"]) == ("acme/widget", "maya")
        await plans(place.store, job_id)
        seen = await until(stream, "planned")
        assert seen[-1][1]["plan"]["steps"]
        await ends(place.store, job_id, "failed", "It broke.")
        seen = [received, *seen, *await until(stream, "finished")]
    ids = [event_id for event_id, _ in seen]
    assert ids == sorted(set(ids))
    async with watching(place, job_id, after=ids[0]) as stream:
        assert await until(stream, "finished") == seen[1:]


async def test_nobody_watches_what_is_not_theirs(place: Place) -> None:
    job_id = await place.planned()
    path = f"/api/jobs/{job_id}/events"
    assert "no job" in detail(await place.ask("GET", path, by="sam"), 404)
    detail(await place.ask("GET", path, by="nobody"), 401)
    assert "Last-Event-ID" in detail(
        await place.ask("GET", path, headers={"Last-Event-ID": "x"}), 400
    )
    async with watching(place, job_id, by="rob") as stream:
        await until(stream, "planned")
        assert "vibecoder_watchers 1.0" in (await place.front.http.get("/metrics")).text


async def test_what_only_workers_need_stays_inside(place: Place) -> None:
    job_id = await place.planned()
    await follows(place.store, job_id, Actor(1, "maya"))
    await ends(place.store, job_id, "succeeded", "Done.")
    async with watching(place, job_id) as stream:
        seen = await until(stream, "finished")
    kinds = [event["type"] for _, event in seen]
    assert kinds == [
        "received", "claimed", "cloned", "planned", "approved", "claimed", "step_began",
        "step_committed", "finished",
    ]  # fmt: skip
    assert all(set(event) == {"type", "at"} for _, event in seen if event["type"] == "claimed")
    committed = next(event for _, event in seen if event["type"] == "step_committed")
    assert committed["url"].endswith(f"/acme/widget/commit/{'2' * 40}")


async def test_what_it_cost_is_counted_also_for_who_comes_late(place: Place) -> None:
    job_id = await place.planned()
    for _ in range(3):
        charge = Charged(time.time(), "m", 1, 2, 3, 4, USD)
        await place.store.append(job_id, [charge])
    async with watching(place, job_id) as stream:
        *_, second, _third = [await anext(stream) for _ in range(7)]
    async with watching(place, job_id, after=second[0]) as stream:
        _, last = await anext(stream)
    assert (last["usd"], last["usd_total"]) == (0.25, 0.75)


async def test_a_stream_ends_when_access_does(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.person.REMEMBERED", 0.0)
    monkeypatch.setattr("webhook.watch.RECHECK", 0.01)
    job_id = await place.planned()
    async with watching(place, job_id) as stream:
        await until(stream, "planned")
        place.world.faults.add("GET", "^/repos/", status=502)  # which says nothing about access
        place.world.set_role("acme/widget", "maya", "none")
        assert [event async for event in stream] == []
    detail(await place.ask("GET", f"/api/jobs/{job_id}/events"), 404)


async def test_silence_is_filled_and_a_finished_job_lets_go(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.watch.KEEP_ALIVE", 0.01)
    job_id = await place.planned()
    headers = {"Authorization": f"Bearer {place.world.users['maya']}"}
    path = f"/api/jobs/{job_id}/events"
    async with place.front.http.stream("GET", path, headers=headers) as answer:
        lines = answer.aiter_lines()
        first = await anext(lines)
        assert first.startswith(":") and len(first) > 512
        assert await anext(lines) == "retry: 1000"
        async for text in lines:
            if text == ": keep-alive":
                break
        monkeypatch.setattr("webhook.watch.AFTER_END", 0.0)
        await ends(place.store, job_id, "failed", "It broke.")
        rest = [text async for text in lines]
    assert rest[-3:-1] == ["event: end", "data: {}"]


async def test_head_is_answered_and_streams_nothing(place: Place) -> None:
    job_id = await place.planned()
    answer = await place.ask("HEAD", f"/api/jobs/{job_id}/events")
    assert (answer.status_code, answer.content) == (200, b"")


async def test_the_process_that_is_told_to_stop_ends_its_streams(place: Place) -> None:
    """Else uvicorn waits for them, here for ever."""
    job_id = await place.planned()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        web = app(place.door, place.store)
        server = _Quiet(uvicorn.Config(web, log_level="warning", access_log=False), web.state.leave)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        phone = Phone(lambda: url, job_id, place.world.users["maya"])
        watching = asyncio.create_task(phone.watch())
        await phone.saw(4)
        server.should_exit = True
        await serving
    watching.cancel()
    await asyncio.wait({watching})
    assert phone.came == 1


class _Quiet(_Server):
    """Leaves signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass
class Redis:
    """A server that can be killed and started again."""

    folder: Path
    running: redis.EmbeddedRedis

    def restart(self) -> None:
        self.kill()
        self.start()

    def kill(self) -> None:
        os.kill(self.running.pid, signal.SIGKILL)
        os.waitpid(self.running.pid, 0)

    def start(self) -> None:
        self.running = redis.start(self.folder, die_with_parent=True)


@pytest.fixture
def mortal() -> Iterator[Redis]:
    folder = Path(tempfile.mkdtemp(prefix="vcw"))
    it = Redis(folder, redis.start(folder, die_with_parent=True))
    yield it
    it.running.stop()
    shutil.rmtree(folder)


def something(at: int, rng: random.Random) -> JobEvent:
    """One of what a worker tells most of."""
    return rng.choice(
        [
            Noted(at, f"note {at} " + "é" * rng.randrange(200)),
            Said(at, f"piece {at}\nof prose ", begins=rng.random() < 0.2),
            CommandRan(at, f"r{at}", "pytest", 0, 1.5, "0" * 64, "ok\r\n" * rng.randrange(50), 1),
            Charged(at, "m", 1, 2, 3, 4, USD),
        ]
    )


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_breaks_every_watcher_sees_each_event_once(
    place: Place, mortal: Redis, seed: int
) -> None:
    rng = random.Random(seed)
    store = Store(connect(mortal.running.url, retries=20))
    place = replace(place, front=replace(place.front, store=store))
    async with AsyncExitStack() as one, AsyncExitStack() as other:
        first = await one.enter_async_context(front_of(place.door, store))
        breaks = [rng.randrange(1, 6_000) for _ in range(15)]
        wire = await other.enter_async_context(line(port_of(first), breaks))
        answer = await replace(place, front=first).ask("POST", "/api/plans", WISH)
        job_id, token = answer.json()["job_id"], place.world.users["maya"]
        broken = Phone(lambda: f"http://127.0.0.1:{wire.port}", job_id, token)
        steady, late = (
            Phone(lambda: f"http://127.0.0.1:{wire.target}", job_id, token) for _ in range(2)
        )
        watching = [asyncio.create_task(phone.watch()) for phone in (broken, steady)]
        await plans(store, job_id)
        for at in range(60):
            await store.append(job_id, [something(at, rng) for _ in range(rng.randrange(1, 4))])
        await asyncio.gather(broken.saw(50), steady.saw(50))
        mortal.restart()
        for at in range(60, 90):
            await store.append(job_id, [something(at, rng)])
        watching.append(asyncio.create_task(late.watch()))
        await asyncio.gather(broken.saw(90), late.saw(90))
        second = await other.enter_async_context(front_of(place.door, store))
        wire.target = port_of(second)
        await one.aclose()  # the first process goes, in the middle of all streams
        for at in range(90, 120):
            await store.append(job_id, [something(at, rng)])
        await ends(store, job_id, "succeeded", "Done.")
        await asyncio.gather(*watching)
    told = await record(store, job_id)
    for phone in (broken, steady, late):
        assert [event for _, event in phone.seen] == told
        ids = [event_id for event_id, _ in phone.seen]
        assert ids == sorted(set(ids))
    assert broken.came > 5
    await store.close()


def port_of(front: Front) -> int:
    return urlsplit(front.url).port or 0


async def record(store: Store, job_id: str) -> list[dict[str, object]]:
    """What the store's record shows, read by itself."""
    view, history = View("https://github.com", USD), await store.history(job_id)
    found, so_far = [], list[JobEvent]()
    for _, event in history:
        so_far.append(event)
        shown = view.event(fold(job_id, so_far), event)
        if shown is not None:
            found.append(shown.model_dump(mode="json"))
    return found


async def test_a_long_story_is_told_whole(place: Place) -> None:
    job_id = await place.planned()
    for at in range(50):
        await place.store.append(job_id, [Noted(at * 10 + n, "x" * 1_000) for n in range(10)])
    await ends(place.store, job_id, "succeeded", "Done.")
    async with watching(place, job_id) as stream:
        seen = await until(stream, "finished")
    assert [event["at"] for _, event in seen if event["type"] == "noted"] == list(range(500))


async def test_after_redis_lost_all_the_stream_begins_anew(place: Place) -> None:
    job_id = await place.planned()
    kept = [event for _, event in await place.store.history(job_id)]
    async with watching(place, job_id) as stream:
        *_, (last, planned) = await until(stream, "planned")
        await place.store.redis.flushall()
        await place.store.restore(job_id, kept)
        again = await until(stream, "planned")
    assert [event["type"] for _, event in again] == ["received", "claimed", "cloned", "planned"]
    assert again[-1][1] == planned
    assert all(event_id > last for event_id, _ in again)
    for slept in (last, f"{10**14:015d}-000000"):  # … over it, and by a clock that went ahead
        async with watching(place, job_id, after=slept) as stream:
            assert await until(stream, "planned") == again


async def test_a_signed_in_watcher_sits_out_an_outage_of_redis(
    town: Town, mortal: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the session still stands is asked of Redis, which does not say meanwhile."""
    monkeypatch.setattr("webhook.watch.RECHECK", 0.01)
    monkeypatch.setattr("webhook.watch.UNSURE", 1_000)
    store = Store(connect(mortal.running.url, retries=2))
    async with front_of(town.door, store) as front:
        town.world.callback_urls = (f"{front.url}/auth/github/callback",)
        token = await replace(town, front=front).phone()
        headers = {"Authorization": f"Bearer {token}"}
        answer = await front.http.post("/api/plans", json=WISH, headers=headers)
        job_id = answer.json()["job_id"]
        path = f"/api/jobs/{job_id}/events"
        async with front.http.stream("GET", path, headers=headers) as line:
            stream = events(line)
            await until(stream, "received")
            mortal.kill()
            for _ in range(3):  # by then it was asked for the watcher as well
                assert (await front.http.get("/api/session", headers=headers)).status_code == 503
            mortal.start()
            await plans(store, job_id)
            await until(stream, "planned")
    await store.close()
