"""Phones that watch a job, over lines that break."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

Event = tuple[str, dict[str, Any]]


async def events(answer: httpx.Response) -> AsyncIterator[Event]:
    """The stream's events with their ids; one that was cut off is none."""
    event_id, data = "", ""
    async for line in answer.aiter_lines():
        if line.startswith("id: "):
            event_id = line.removeprefix("id: ")
        elif line.startswith("data: "):
            data = line.removeprefix("data: ")
        elif line == "" and data:
            yield event_id, json.loads(data)
            data = ""


@dataclass
class Phone:
    """Watches one job until its end, and comes again after every cut."""

    url: Callable[[], str]
    job_id: str
    token: str
    seen: list[Event] = field(default_factory=list)
    came: int = 0  # how often it connected
    more: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def watch(self) -> None:
        while not self.seen or self.seen[-1][1]["type"] != "finished":
            headers = {"Authorization": f"Bearer {self.token}"}
            if self.seen:
                headers["Last-Event-ID"] = self.seen[-1][0]
            try:
                async with (
                    httpx.AsyncClient(base_url=self.url(), timeout=30) as http,
                    http.stream("GET", f"/api/jobs/{self.job_id}/events", headers=headers) as line,
                ):
                    if line.status_code == 200:
                        self.came += 1
                        await self._take(line)
            except httpx.TransportError:
                await asyncio.sleep(0.01)  # a phone would wait for longer

    async def _take(self, line: httpx.Response) -> None:
        async for event in events(line):
            async with self.more:
                self.seen.append(event)
                self.more.notify_all()
            if event[1]["type"] == "finished":
                return

    async def saw(self, count: int) -> None:
        async with self.more:
            await self.more.wait_for(lambda: len(self.seen) >= count)


@dataclass
class Line:
    """A wire in between that breaks after so many bytes of what comes back, each time anew."""

    port: int = 0
    breaks: list[int] = field(default_factory=list)  # bytes until each of the next connections ends
    target: int = 0


@asynccontextmanager
async def line(target: int, breaks: list[int]) -> AsyncIterator[Line]:
    it = Line(breaks=breaks, target=target)
    open_: set[asyncio.StreamWriter] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = it.breaks.pop(0) if it.breaks else 10**9
        try:
            there, back = await asyncio.open_connection("127.0.0.1", it.target)
        except OSError:
            writer.transport.abort()
            return
        open_.update((writer, back))

        async def out() -> None:
            while data := await reader.read(65_536):
                back.write(data)

        sending = asyncio.create_task(out())
        try:
            while left > 0 and (data := await there.read(min(left, 65_536))):
                writer.write(data)
                await writer.drain()
                left -= len(data)
        except OSError:
            pass
        finally:
            sending.cancel()
            for end in (writer, back):
                end.transport.abort()
                open_.discard(end)

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
        for end in list(open_):
            end.transport.abort()
