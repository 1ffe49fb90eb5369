"""500 phones that watch one job: how far behind the record each of them is

The lag is from the moment before an event is stored until its bytes are at the watcher, whose
500 connections this process holds beside the local GitHub; web and Redis are processes of their
own. A real job tells two to five events a second. "All come again" is what a restart of the web
process makes: from the first connection on until the last watcher has all of the job's events.
"""

import asyncio
import re
import time
from dataclasses import dataclass, field
from functools import partial

from jobs.commands import Actor as Person
from jobs.commands import Repository, StartJob
from jobs.events import Noted
from vibecoder.bench.ground import PERSON, Ground, House, Process, house, until
from vibecoder.bench.rows import Row, row

WATCHERS = 500
SECONDS = 10.0  # for which each rate is kept up
RATES = (5, 20)  # events a second
TEXT = "Reads tests/test_client.py and looks for the place where the retry is counted. " * 2
_AT = re.compile(rb'"at":([0-9.]+)')


@dataclass(eq=False)
class Watcher(asyncio.Protocol):
    """One connection; it keeps when each event came and how late that was."""

    request: bytes
    lags: list[float] = field(default_factory=list)
    events: int = 0
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # TCP makes no other
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        now = time.time()
        for at in _AT.findall(data):
            self.events += 1
            self.lags.append(now - float(at))


async def measure(ground: Ground) -> list[Row]:
    async with house(ground, "watch") as it, it.web() as (web, port):
        job_id, token = await _job(it), it.world.users[PERSON]
        request = (
            f"GET /api/jobs/{job_id}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n"
        ).encode()
        began = time.monotonic()
        watchers = await _connect(port, request, 1)
        rows, told = list[Row](), 1
        for rate in RATES:
            lags, used, told = await _tell(it, web, job_id, watchers, rate, told)
            what = f"{WATCHERS} watchers, {rate} events a second"
            rows.append(row(f"{what}: behind", "ms", [lag * 1_000 for lag in lags]))
            rows.append(row(f"{what}: the web process", "% CPU", [used]))
        _leave(watchers)
        began = time.monotonic()
        watchers = await _connect(port, request, told)
        rows.append(
            row(f"all come again, {told} events each", "ms", [(time.monotonic() - began) * 1_000])
        )
        rows.append(row("the web process then", "MB RSS", [web.memory()[0]]))
        _leave(watchers)
        return rows


async def _job(it: House) -> str:
    repository = it.repository("watched/scene")
    command = StartJob(
        "watched",
        Person(it.world.account(PERSON).id, PERSON),
        Repository(it.world.installation_id, repository.id, repository.full_name, private=False),
        "Fix the flaky retry",
        plan_only=True,
    )
    submitted = await it.store.submit(command, time.time())
    assert submitted.job_id is not None  # noqa: S101  # the store is empty
    return submitted.job_id


async def _connect(port: int, request: bytes, events: int) -> list[Watcher]:
    """All watchers, each with all events so far."""
    loop = asyncio.get_running_loop()
    watchers = [Watcher(request) for _ in range(WATCHERS)]
    for watcher in watchers:
        await loop.create_connection(partial(_same, watcher), "127.0.0.1", port)
    await _caught_up(watchers, events)
    return watchers


def _same(watcher: Watcher) -> Watcher:
    return watcher


async def _caught_up(watchers: list[Watcher], events: int) -> None:
    async def all_have() -> bool:
        return all(watcher.events >= events for watcher in watchers)

    await until(all_have, f"{len(watchers)} watchers to have {events} events")


async def _tell(
    it: House, web: Process, job_id: str, watchers: list[Watcher], rate: int, told: int
) -> tuple[list[float], float, int]:
    """Lags in seconds, the web process's CPU in %, and how many events the job has now."""
    for watcher in watchers:
        watcher.lags.clear()
    began, used = time.monotonic(), web.cpu()
    count = int(rate * SECONDS)
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        await it.store.append(job_id, [Noted(time.time(), TEXT)])
    await _caught_up(watchers, told + count)
    busy = (web.cpu() - used) / (time.monotonic() - began) * 100
    return [lag for watcher in watchers for lag in watcher.lags], busy, told + count


def _leave(watchers: list[Watcher]) -> None:
    for watcher in watchers:
        if watcher.transport is not None:
            watcher.transport.abort()
