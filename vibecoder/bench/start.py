"""Pickup: from the 202 for a comment until a worker that idled begins the job (its first Claimed).

`vibecoder web` and `vibecoder worker` as processes of their own. The clock starts when the 202 has
been read; from there on it holds reading and storing the command, asking GitHub what the sender may
do, the reaction on the comment, and two hand-overs through Redis. The way to the 202 is given
apart, over a new connection. One job at a time; the next begins when the last has ended. First each
installation's first job, for which a token must be made, then one for which the token is known.
Jobs find nothing to do.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from jobs.events import Allowed, Claimed, JobEvent
from jobs.queue.store import job_id_of
from vibecoder.bench import door, scripts
from vibecoder.bench.ground import Ground, House, house
from vibecoder.bench.rows import Row, row
from vibecoder.local.github.records import Repository
from vibecoder.local.serve import serve

INSTALLATIONS = 60
WORDS = "/vibecode fix this"


@dataclass(frozen=True, slots=True)
class Start:
    """How long it took, in ms; all but the first from the 202."""

    answered: float  # from the first byte of the delivery to the 202
    stored: float  # the command is recorded and queued
    allowed: float  # its sender may
    begun: float  # a worker has the job


async def measure(ground: Ground) -> list[Row]:
    async with house(ground, "start") as here, here.web() as (_, port), here.worker() as worker:
        here.local.stage.play(scripts.nothing())
        async with mailbox(here) as mail:
            await worker.quiet()
            fresh = await _start(here, mail, port, here.repository("fresh/worker"))
            repositories = [here.repository(f"owner-{n}/repo") for n in range(INSTALLATIONS)]
            first = [await _start(here, mail, port, each) for each in repositories]
            then = [await _start(here, mail, port, each) for each in repositories]
    return [
        row("first job of a fresh worker", "ms", [fresh.begun]),
        *_rows("a token to be made", first),
        *_rows("the token known", then),
    ]


def _rows(what: str, starts: list[Start]) -> list[Row]:
    return [
        row(f"{what}: 202 → the job begins", "ms", [one.begun for one in starts]),
        row(f"{what}: … 202 → command stored", "ms", [one.stored for one in starts]),
        row(f"{what}: … 202 → sender allowed", "ms", [one.allowed for one in starts]),
        row(f"{what}: before that, to the 202", "ms", [one.answered for one in starts]),
    ]


async def _start(
    here: House, mail: asyncio.Queue[bytes], port: int, repository: Repository
) -> Start:
    key = here.comment(repository, here.issue(repository), WORDS)
    request = door.request("/webhook", here.world.webhook_secret, "issue_comment", await mail.get())
    (seconds,) = await door.send(port, [request], 1)
    answered = time.time()
    events = await here.events(job_id_of(key))
    # It answers before it reads; where we saw the answer later than that, we were slow.
    answered = min(answered, events[0].at)

    def until(kind: type[JobEvent]) -> float:
        return (next(e.at for e in events if isinstance(e, kind)) - answered) * 1e3

    return Start(seconds * 1e3, (events[0].at - answered) * 1e3, until(Allowed), until(Claimed))


@asynccontextmanager
async def mailbox(here: House) -> AsyncIterator[asyncio.Queue[bytes]]:
    """The bodies of deliveries that ask for us, kept for us to send, so that we see the 202."""
    bodies: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message.get("more_body", False)
        if json.loads(body).get("comment", {}).get("body") == WORDS:  # our own are there too
            bodies.put_nowait(body)
        await send({"type": "http.response.start", "status": 202, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with serve(take) as url:
        here.world.hook_url = f"{url}/"
        yield bodies
