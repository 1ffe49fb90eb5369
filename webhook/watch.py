"""A job's events as they happen, as Server-Sent Events.

    id: <grows, and compares as text>
    data: <JSON of JobEventShown>

Whoever comes again with `Last-Event-ID` (or `?after=`) gets all that came since, each event once.
A stream that begins with `received` begins anew. `event: end` closes one whose job is long over.
Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from jobs.events import JobEvent
from jobs.job import Job
from jobs.queue.errors import JobUnknown, StoreUnreachable
from jobs.queue.fanout import Fanout, Feed, order
from webhook import shown
from webhook.access import JOB_ID, Access, hidden
from webhook.openapi import Operation
from webhook.problems import (
    GitHubFailed,
    Malformed,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Unavailable,
)
from webhook.wire import valid

KEEP_ALIVE = 15.0  # seconds of silence after which a comment shows that we are there
RECHECK = 30.0  # seconds between two looks whether the person may still see it
UNSURE = 10  # looks that may fail because GitHub or Redis is away
AFTER_END = 300.0  # seconds for which a stream stays open that has nothing more to tell
HURRY = 0.3  # seconds in which the last words of a stream must be out when this process goes
# iOS shows nothing before some 500 characters.
_GREETING = b": " + b"." * 1_024 + b"\nretry: 1000\n\n"
_END = b"event: end\ndata: {}\n\n"
_ID = re.compile(r"0|[0-9]{1,19}-[0-9]{1,19}")


class Watch:
    """The operation that streams."""

    def __init__(self, access: Access, view: shown.View) -> None:
        self._access = access
        self._view = view
        self.fanout = Fanout(access.store, self._render)

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation(
                "GET",
                "/api/jobs/{job_id}/events",
                self.events,
                "The job's events as they happen. Resume with `Last-Event-ID` or `?after=`.",
                tells=TypeAdapter(shown.JobEventShown),
                media="text/event-stream",
                query=("after",),
            ),
        )

    async def events(self, request: Request) -> Response:
        caller = await self._access.caller(request)
        job_id = valid(JOB_ID, request.path_params["job_id"], "job_id")
        after = request.headers.get("last-event-id") or request.query_params.get("after") or "0"
        if not _ID.fullmatch(after):
            raise Malformed("Last-Event-ID must be an id of this stream's.")
        try:
            feed = await self.fanout.join(job_id)
        except JobUnknown:
            raise hidden(job_id) from None
        try:
            await self._access.sight_of(caller, feed.job)
            return EventStream(
                self.fanout,
                feed,
                feed.place(after),
                allowed=partial(self._sees, request),
                signed_out=partial(self._access.signed_out, caller),
            )
        except BaseException:
            self.fanout.leave(feed)
            raise

    async def _sees(self, request: Request, job: Job) -> bool:
        try:
            await self._access.sight_of(await self._access.caller(request), job)
        except (NotSignedIn, NotAllowed, NotFound):
            return False
        return True

    def _render(self, event_id: str, job: Job, event: JobEvent) -> bytes | None:
        seen = self._view.event(job, event)
        if seen is None:
            return None
        ms, number = order(event_id)
        return b"id: %015d-%06d\ndata: %s\n\n" % (ms, number, seen.model_dump_json().encode())


class EventStream(Response):
    """A feed from a place on, until the watcher goes, may no longer look, or nothing comes."""

    media_type = "text/event-stream"

    def __init__(
        self,
        fanout: Fanout,
        feed: Feed,
        place: int,
        *,
        allowed: Callable[[Job], Awaitable[bool]],
        signed_out: Callable[[], Awaitable[None]],
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(
            {
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
                "X-Content-Type-Options": "nosniff",
            }
        )
        self._fanout = fanout
        self._feed = feed
        self._place = place
        self._allowed = allowed
        self._signed_out = signed_out
        self._quiet_since = time.monotonic()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            if scope["method"] == "HEAD" or await self._streamed(receive, send):
                # Whoever does not even take this is cut off.
                with suppress(TimeoutError):
                    async with asyncio.timeout(HURRY):
                        await send({"type": "http.response.body", "body": b""})
        finally:
            self._fanout.leave(self._feed)

    async def _streamed(self, receive: Receive, send: Send) -> bool:
        """Whether somebody is still there at the end."""
        streaming = asyncio.create_task(self._stream(send))
        gone = asyncio.create_task(_until_gone(receive))
        tasks = {
            streaming,
            gone,
            asyncio.create_task(self._in_silence(send)),
            asyncio.create_task(self._while_allowed()),
            asyncio.create_task(self._until_signed_out()),
            asyncio.create_task(self._feed.until_over()),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.result()  # raises what it raised
        return gone.cancelled()

    async def _until_signed_out(self) -> None:
        await self._signed_out()

    async def _stream(self, send: Send) -> None:
        await _out(send, _GREETING)
        while True:
            data, self._place = self._feed.since(self._place)
            if data:
                await _out(send, data)
                self._quiet_since = time.monotonic()
            else:
                await self._feed.more(self._place)

    async def _in_silence(self, send: Send) -> None:
        """Shows that we are there; returns when a job has been over for so long."""
        # Beside the stream, because a timer for each wait would cost more than the sending.
        while True:
            quiet = time.monotonic() - self._quiet_since
            if self._feed.job.ended and quiet > AFTER_END:
                await _out(send, _END)
                return
            if quiet < KEEP_ALIVE:
                await asyncio.sleep(KEEP_ALIVE - quiet)
            else:
                await _out(send, b": keep-alive\n\n")
                await asyncio.sleep(KEEP_ALIVE)

    async def _while_allowed(self) -> None:
        unsure = 0
        while unsure < UNSURE:
            await asyncio.sleep(RECHECK)
            try:
                if not await self._allowed(self._feed.job):
                    return
                unsure = 0
            except (Unavailable, GitHubFailed, StoreUnreachable):
                unsure += 1


async def _out(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
