"""Forgets what is kept of an installation, whose jobs end, and of a person, who is signed out."""

from contextlib import suppress

import structlog

from jobs.events import Finished
from jobs.queue.errors import JobUnknown
from jobs.queue.sessions import SessionStore
from jobs.queue.store import Store
from jobs.queue.subscriptions import Subscriptions

log = structlog.get_logger()


async def forget(store: Store, installation_id: int, now: float) -> int:
    """How many jobs were forgotten. To be repeated where it was cut short.

    Conversations go at once; the rest an hour later, so that a worker that has one of the jobs in
    hand finds out that it is over. What stands on GitHub stays.
    """
    ids = await store.of_installation(installation_id)
    for id in ids:
        with suppress(JobUnknown):  # its time was over
            await forget_job(store, id, now)
    log.info("installation forgotten", installation=installation_id, jobs=len(ids))
    return len(ids)


async def forget_person(store: Store, person: int) -> int:
    """Ends their sessions and subscriptions, those too that no session made; how many sessions."""
    await Subscriptions(store).drop_all(person)
    return await SessionStore(store).end_all(person)


async def forget_job(store: Store, job_id: str, now: float) -> None:
    """The same for one job. Raises JobUnknown."""
    if not (await store.load(job_id)).ended:
        reason = "The App was uninstalled, or its records were purged, so I stopped."
        await store.append(job_id, (Finished(now, "failed", reason),))
    await store.forget(job_id)
