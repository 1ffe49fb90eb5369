"""Forgets what is kept of an installation: ends what runs there, drops its records."""

from contextlib import suppress

import structlog

from jobs.events import Finished
from jobs.queue.errors import JobUnknown
from jobs.queue.store import Store

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


async def forget_job(store: Store, job_id: str, now: float) -> None:
    """The same for one job. Raises JobUnknown."""
    if not (await store.load(job_id)).ended:
        reason = "The App was uninstalled, or its records were purged, so I stopped."
        await store.append(job_id, (Finished(now, "failed", reason),))
    await store.forget(job_id)
