"""Webhook to job started: until a worker that idled has taken the job up (its first Claimed).

`vibecoder web` and `vibecoder worker` as processes of their own. It begins when the person's
comment exists, and holds the local GitHub's delivery, the 202, reading and storing the command,
asking GitHub what the sender may do, the reaction on the comment, and two hand-overs through Redis.
One job at a time; the next begins when the last has ended. First each installation's first job,
for which a token must be made, then one for which the token is known. Jobs find nothing to do.
"""

import time

from jobs.events import Allowed, Claimed, JobEvent
from jobs.queue.store import job_id_of
from vibecoder.bench import scripts
from vibecoder.bench.ground import Ground, House, house
from vibecoder.bench.rows import Row, row
from vibecoder.local.github.records import Repository

INSTALLATIONS = 25


async def measure(ground: Ground) -> list[Row]:
    async with house(ground, "start") as here, here.web(), here.worker() as worker:
        here.local.stage.play(scripts.nothing())
        await worker.quiet()
        fresh = await _start(here, here.repository("fresh/worker"))
        repositories = [here.repository(f"owner-{n}/repo") for n in range(INSTALLATIONS)]
        first = [await _start(here, repository) for repository in repositories]
        then = [await _start(here, repository) for repository in repositories]
    return [
        row("first job of a fresh worker", "ms", [fresh[-1]]),
        *_rows("a token to be made", first),
        *_rows("the token known", then),
    ]


def _rows(what: str, starts: list[tuple[float, float, float]]) -> list[Row]:
    stored, allowed, claimed = (list(times) for times in zip(*starts, strict=True))
    return [
        row(f"{what}: to the start", "ms", claimed),
        row(f"{what}: … command stored", "ms", stored),
        row(f"{what}: … sender allowed", "ms", allowed),
    ]


async def _start(here: House, repository: Repository) -> tuple[float, float, float]:
    """Milliseconds from the comment until the command is stored, its sender allowed, the start."""
    issue = here.issue(repository)
    began = time.time()
    key = here.comment(repository, issue, "/vibecode fix this")
    events = await here.events(job_id_of(key))

    def until(kind: type[JobEvent]) -> float:
        return (next(e.at for e in events if isinstance(e, kind)) - began) * 1e3

    return (events[0].at - began) * 1e3, until(Allowed), until(Claimed)
