"""`vibecoder purge`: what is kept of an installation, or of one job, goes at an operator's word."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from jobs.forget import forget, forget_job
from jobs.job import Job
from jobs.queue.errors import JobUnknown, QueueError
from jobs.queue.store import Store
from vibecoder.compose.store import WEB_RETRIES, open_store
from vibecoder.settings import Settings


class PurgeError(Exception):
    """Nothing was purged; the message says why and what to do."""


async def run(
    settings: Settings,
    installation: int | None,
    job: str | None,
    screen: Console,
    clock: Callable[[], float] = time.time,
) -> None:
    """Purges what is named; where nothing is, shows what there is. Raises PurgeError."""
    try:
        async with open_store(settings, WEB_RETRIES) as store:
            if job is not None:
                await forget_job(store, job, clock())
                screen.print(f"Job {job} is forgotten.")
            elif installation is not None:
                count = await forget(store, installation, clock())
                screen.print(f"{count} jobs of installation {installation} are forgotten.")
            else:
                await _show(store, screen)
    except JobUnknown as error:
        raise PurgeError(f"{error} `vibecoder purge` shows what is kept.") from error
    except QueueError as error:
        raise PurgeError(str(error)) from error


async def _show(store: Store, screen: Console) -> None:
    found = await store.installations()
    if not found:
        screen.print("Nothing is kept.")
        return
    table = Table("installation", "account", "jobs", "of them open")
    for id, ids in sorted(found.items()):
        jobs = [job for each in ids if (job := await _job(store, each)) is not None]
        if jobs:
            account = jobs[0].repository.name.partition("/")[0]
            still_open = sum(not job.ended for job in jobs)
            table.add_row(str(id), account, str(len(jobs)), str(still_open))
    screen.print(table)
    screen.print(
        "`vibecoder purge ID` ends an installation's jobs and forgets them; "
        "`--job JOB` does so for one. What stands on GitHub stays."
    )


async def _job(store: Store, job_id: str) -> Job | None:
    try:
        return await store.load(job_id)
    except JobUnknown:  # its time is over
        return None
