"""Plans that nobody accepted are not kept waiting for ever."""

from collections.abc import Callable
from contextlib import suppress

from jobs.events import Finished
from jobs.queue.errors import Conflict, JobUnknown
from jobs.queue.store import Store

DAYS = 14


async def expire_plans(store: Store, clock: Callable[[], float]) -> list[str]:
    """Ends the jobs whose plan has waited too long, with a sentence; returns their ids."""
    now, ended = clock(), list[str]()
    for id in await store.waiting(now - DAYS * 86_400):
        with suppress(Conflict, JobUnknown):  # somebody accepted it just now; or it is gone
            job, seen = await store.read(id)
            end = Finished(
                now, "cancelled", f"Nobody accepted the plan within {DAYS} days, so I let it go."
            )
            if job.state == "awaiting_approval":
                await store.append(id, (end,), seen=seen, run=True)
                ended.append(id)
    return ended
