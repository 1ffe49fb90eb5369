"""Shows a job on GitHub while it is worked on, and says its last word."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from arq.worker import RetryJob

from jobs.forge.errors import ForgeError, GitHubUnreachable
from jobs.forge.report import Report
from jobs.job import Job
from jobs.record import Record

log = structlog.get_logger()


BEAT = 5.0  # seconds; what was too soon to show is shown then, also under a long command


@asynccontextmanager
async def shown(record: Record, report: Report) -> AsyncIterator[None]:
    """Shows the job's progress on GitHub beside the work, so that GitHub's pace is not ours."""
    done = False

    async def show() -> None:
        while not done:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT):
                    await record.changed.wait()
            record.changed.clear()
            try:
                checked = await report.show(record.job)
            except ForgeError as error:
                log.warning("progress not shown", reason=str(error))  # the last word is not lost
                continue
            if checked:
                await record.add(*checked)

    showing = asyncio.create_task(show())
    try:
        yield
    except (asyncio.CancelledError, RetryJob):
        if not record.lease.lost:
            showing.cancel()  # somebody waits for us to let go
        raise
    finally:
        # Else a write in flight is let finish: cut off, it may or may not have happened.
        done = True
        record.changed.set()
        with suppress(asyncio.CancelledError):
            await showing


async def show_last(report: Report, job: Job) -> bool:
    """Says the word that must get through. False: GitHub is away, so it has to be said later."""
    try:
        await report.show(job)
    except GitHubUnreachable as error:
        log.warning("last word has to wait", reason=str(error), job=job.id)
        return False
    except ForgeError as error:
        # Suspended, uninstalled, locked: there is nobody to say it to.
        log.error("last word not shown", reason=str(error), job=job.id)
    return True
