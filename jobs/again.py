"""The wish of a job that ended, once more."""

from dataclasses import replace

from jobs.commands import Actor, AskStatus, Repository, RetryJob, SetBudget, StartJob
from jobs.job import Job, Refusal
from jobs.queue.store import Store, job_id_of

NONE = (
    "No job of mine was here within the last days, so there is nothing to try again. Comment "
    "`/vibecode` with what to do."
)
BUSY = "Another job of mine is at work on this issue. Wait for it, or stop it, and try again."


async def newest_on(store: Store, command: RetryJob | SetBudget | AskStatus) -> Job | None:
    """The newest job of the command's issue; never one that a stranger asked for."""
    if command.issue is None:
        return None
    async for job_id in store.on_issue(command.repository.id, command.issue.number):
        job = await store.load(job_id)
        if job.permission:
            return job
    return None


async def wish(store: Store, command: RetryJob) -> StartJob | Refusal:
    """What the job was asked for, asked by who wants it again.

    A job is tried again once: whoever asks twice means the newest try.
    """
    if command.job_id is None:
        found = await newest_on(store, command)
    else:
        found = await store.load(command.job_id)
    if found is None:
        return Refusal(NONE)
    if found.repository.id != command.repository.id:
        return Refusal("That job belongs to another repository.")
    while await store.history(key := job_id_of(f"retry:{found.id}")):
        found = await store.load(key)
    if not found.ended:
        return Refusal(
            f"There is nothing to try again yet: the job is {found.state}. "
            "`/vibecode stop` stops it."
        )
    issue = found.issue
    if issue is not None and await store.active_on(found.repository.id, issue.number):
        return Refusal(BUSY)
    wanted = the_same(found, f"retry:{found.id}", command.actor, command.repository)
    usd = wanted.usd if command.usd is None else command.usd
    return replace(wanted, comment=command.comment, usd=usd)


def the_same(job: Job, key: str, actor: Actor, repository: Repository) -> StartJob:
    """The job's wish, asked again by that person; what people let it cost counts again."""
    return replace(
        job.command,
        key=key,
        actor=actor,
        repository=repository,
        comment=None,
        usd=job.usd_wanted,
    )


def with_budget(command: SetBudget, stopped: Job) -> RetryJob:
    """Another ceiling for a job that stopped at its own means to try again with that."""
    return RetryJob(
        command.key,
        command.actor,
        command.repository,
        command.issue,
        command.comment,
        stopped.id,
        command.usd,
    )
