"""The job's draft pull request: found, or made."""

from jobs.events import PullOpened
from jobs.forge import render
from jobs.forge.github import Forge
from jobs.job import Job
from jobs.record import Record


async def open_pull(record: Record) -> None:
    """Sees to it that a job with commits has its pull request, and that its record knows of it."""
    if record.job.commits and record.job.pull is None:
        await record.add(await pull_of(await record.forge(), record.job, record.now))


async def pull_of(forge: Forge, job: Job, now: float) -> PullOpened:
    """The pull request of a job that has pushed something; asking again gives the same one."""
    pull = await forge.pull(
        head=job.branch, base=job.base, title=render.pull_title(job), body=render.pull_body(job)
    )
    return PullOpened(now, pull.number, pull.url)
