"""The wish of a job that ended, once more."""

from jobs.commands import AskStatus, RetryJob, SetBudget, StartJob
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
    found = await newest_on(store, command)
    if command.job_id is not None:
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
    first = found.command
    issue = first.issue
    if issue is not None and await store.active_on(found.repository.id, issue.number):
        return Refusal(BUSY)
    return StartJob(
        key=f"retry:{found.id}",
        actor=command.actor,
        repository=command.repository,
        text=first.text,
        plan_only=first.plan_only,
        issue=issue,
        comment=command.comment,
        base=first.base,
        usd=found.usd_wanted if command.usd is None else command.usd,
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
