"""One reader for all who watch: what is wrong with one job is its own matter."""

import asyncio
import time

from queue_world import make_job, planned

from jobs.events import JobEvent, Noted
from jobs.job import Job
from jobs.queue.fanout import Fanout
from jobs.queue.store import Store


async def test_a_job_that_cannot_be_shown_ends_its_own_watching_only(store: Store) -> None:
    odd, good = await make_job(store, "odd"), await make_job(store, "good")

    def render(event_id: str, job: Job, event: JobEvent) -> bytes | None:
        if isinstance(event, Noted) and job.id == odd:
            raise ZeroDivisionError
        return event.type.encode()

    fanout = Fanout(store, render)
    watched, other = await fanout.join(odd), await fanout.join(good)
    _, place = other.since(0)
    async with asyncio.timeout(20):
        await store.append(odd, [Noted(time.time(), "what nobody can show")])
        await watched.until_over()
        await store.append(good, [planned(waits=True)])
        await other.more(place)
    assert other.since(place)[0] == b"planned"
    fanout.leave(watched)
    fanout.leave(other)
    fanout.close()
