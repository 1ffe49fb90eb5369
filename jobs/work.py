"""One job, told from top to bottom: clone, plan, a commit for each step, pull request, end.

This file only sequences. What a job is stands in job.py, what the agent does in agent/loop.py, what
people see in forge/report.py. Whatever dies on the way, the next owner calls `work` again and goes
on from the job's record.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import structlog
from arq.worker import RetryJob

from agent.errors import (
    AgentError,
    LimitReached,
    SandboxBusy,
    SandboxError,
    SandboxGone,
    SandboxRefused,
)
from agent.loop import Assignment, Nothing
from jobs import repoconfig
from jobs.events import Claimed, Finished, Noted
from jobs.forge.errors import (
    ForgeError,
    GitHubError,
    GitHubUnreachable,
    GitUnreachable,
    NotGranted,
)
from jobs.forge.git import Remote
from jobs.forge.github import Forge
from jobs.forge.report import Report
from jobs.prepare import Bench, assignment_of, clone, clone_folder, held, sandbox_of
from jobs.pull import open_pull
from jobs.queue.errors import Conflict, JournalFull, QueueError, TryLater
from jobs.queue.lease import Lease
from jobs.queue.worker import TRIES
from jobs.record import Record, Workshop
from jobs.repoconfig import RepoConfigError
from jobs.show import show_last, shown
from jobs.steps import execute, limits_of, plan

log = structlog.get_logger()

AWAY_SECONDS = 30.0  # until a job goes on that waits for GitHub, or for room for a sandbox
LAST_WORD_SECONDS = 6 * 3600.0  # after its end, for how long a job's last word is tried again


async def work(shop: Workshop, lease: Lease) -> None:
    """Take the job as far as it goes: to its end, or to the wait for a person.

    Raises LeaseLost where another worker took over, CancelledError where this one shuts down; the
    job then goes on elsewhere. Every other failure ends the job with a sentence.
    """
    record = Record(shop, lease, await shop.store.load(lease.id))
    if record.job.state == "awaiting_approval":
        await _show_what_waits(record)
        return
    if record.job.end is not None:
        # Stopped before it began, or ended while GitHub was away: nothing to do but to say so.
        waits = record.now - record.job.end.at < LAST_WORD_SECONDS
        if not await show_last(await record.report(), record.job) and waits:
            raise TryLater("GitHub is away, and the job's last word is unsaid.", 300)
        return
    structlog.contextvars.bind_contextvars(
        job=lease.id, installation=record.job.repository.installation_id
    )
    log.info("job begins", attempt=lease.attempt, repository=record.job.repository.name)
    await record.add(Claimed(record.now, lease.worker, lease.token))
    end: Finished | None
    report: Report | None = None
    try:
        report = await record.report()
        if lease.cancelled or record.job.cancelled_by is not None:
            # Asked while an earlier worker died: nobody would cancel this task again.
            raise asyncio.CancelledError
        async with _in_time(record), shown(record, report), _hitches_told(record):
            end = await _carry(record, await record.forge(), report)
    except RetryJob:
        raise  # another worker's now
    except asyncio.CancelledError:
        if not lease.cancelled and record.job.cancelled_by is None:
            raise  # this worker shuts down and hands over
        _outlive_cancellation()
        end = await _cancelled(record)
    except LimitReached as error:
        end = record.end("stopped", str(error))
    except SandboxRefused as error:
        end = record.end("failed", str(error))
    except SandboxBusy as error:
        raise TryLater(str(error), AWAY_SECONDS) from error  # bounded as GitHub's being away is
    except SandboxError as error:
        if lease.attempt < TRIES:
            raise  # it is tried again, in a new one where it is gone, from the last commit
        end = record.end("failed", f"The sandbox failed {lease.attempt} times. {error}")
    except JournalFull as error:
        end = record.end("stopped", str(error))
    except (GitUnreachable, GitHubUnreachable) as error:
        # Bounded by the job's own time, which such tries use up.
        await record.add(Noted(record.now, f"GitHub does not answer; I try again soon. {error}"))
        raise TryLater(str(error), AWAY_SECONDS) from error
    except QueueError:
        raise  # nothing can be recorded now, so nothing ends: it is tried again from the record
    except NotGranted as error:
        # Withdrawn meanwhile: the last word is said with what is left.
        report = await record.report()
        end = record.end("failed", str(error))
    except (AgentError, ForgeError, RepoConfigError) as error:
        end = record.end("failed", str(error))
    except Exception as error:
        log.exception("job failed by a bug")
        end = record.end(
            "failed",
            f"Something in me broke ({type(error).__name__}). That is a bug of mine, not of your "
            f"request: the worker's log has it under job {record.job.id}.",
        )
    if end is None:
        return
    end, said = await _end(record, report, end)
    log.info(
        "job ended",
        outcome=end.outcome,
        reason=end.summary,
        usd=str(record.job.usd),
        seconds=round(record.job.worked, 1),
    )
    if not said:
        raise TryLater("GitHub is away, and the job's last word is unsaid.", 60)


async def fail_poisoned(shop: Workshop, lease: Lease) -> None:
    """End a job that took its worker down again and again, instead of trying for ever."""
    record = Record(shop, lease, await shop.store.load(lease.id))
    end = record.end(
        "failed",
        "The worker died three times in a row at this job, so I gave it up. What was committed is "
        "kept; the operator's log tells more.",
    )
    await show_last(await record.report(), record.job.apply(end))
    await record.add(end)


async def _show_what_waits(record: Record) -> None:
    """A plan whose budget changed has another digest to be accepted by."""
    if record.job.budget is None or not record.job.budget.digest:
        return
    try:
        shown = await show_last(await record.report(), record.job)
    except GitHubUnreachable:
        shown = False
    except ForgeError as error:
        log.error("plan not shown", reason=str(error), job=record.job.id)
        return
    if not shown:
        raise TryLater("GitHub is away, and the plan's new digest is unsaid.", 60)


async def _carry(record: Record, forge: Forge, report: Report) -> Finished | None:
    """From clone to end; None where the plan now waits for a person."""
    facts = await forge.facts()
    if facts.archived:
        return record.end("failed", "This repository is archived, so nothing can be pushed to it.")
    with clone_folder(record.shop.folder) as folder:
        remote = Remote(facts.clone_url, forge.remote_token(), forge.token_refused)
        with await clone(record, remote, folder) as checkout:
            config = repoconfig.read(await asyncio.to_thread(checkout.read, repoconfig.PATH))
            sandbox, kept = await sandbox_of(record, checkout)
            async with held(sandbox, record):
                bench = Bench(record, forge, remote, checkout, sandbox, config)
                assignment = await assignment_of(record, forge, checkout)
                return await _plan_and_execute(bench, assignment, report, kept)


async def _plan_and_execute(
    bench: Bench, assignment: Assignment, report: Report, kept: bool
) -> Finished | None:
    record = bench.record
    limits = await limits_of(record, bench.config)
    approved = record.job.plan
    if approved is None:
        found = await plan(bench, assignment, limits, report, kept)
        if isinstance(found, Nothing):
            return record.end("succeeded", found.reason)
        if record.job.state == "awaiting_approval":
            return None
        approved = found
        # Before anything is pushed, so that the comment remembers what the branch is of.
        await show_last(report, record.job)
    return await execute(bench, assignment, approved, limits, kept)


@asynccontextmanager
async def _in_time(record: Record) -> AsyncIterator[None]:
    """The operator's ceiling on time, kept even where nothing below looks at the clock."""
    minutes = record.shop.minutes
    try:
        async with asyncio.timeout(max(0, minutes * 60 - record.job.worked)) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise LimitReached(f"The job's limit of {minutes} minutes was reached.") from None


@asynccontextmanager
async def _hitches_told(record: Record) -> AsyncIterator[None]:
    """One calm line for whoever watches, before the sandbox is tried again."""
    try:
        yield
    except SandboxError as error:
        words = "The sandbox failed; I try it again."
        if isinstance(error, SandboxBusy):
            words = "There is no room for another sandbox right now; I wait for it."
        elif isinstance(error, SandboxGone):
            words = "The sandbox was lost; I go on in a new one."
        ends = isinstance(error, SandboxRefused) or record.lease.attempt >= TRIES
        if record.job.note != words and (not ends or isinstance(error, SandboxBusy)):
            await record.add(Noted(record.now, words))
        raise


async def _end(record: Record, report: Report | None, end: Finished) -> tuple[Finished, bool]:
    """Shows and stores the end, and tells whether it could be shown.

    Shown before it is stored: a worker that dies in between shows it again, never omits it.
    """
    await _pull_opened(record)
    while True:
        seen = await record.read()
        # What was said too late for the agent is not passed over.
        unheard = record.job.words[record.job.heard :]
        late = tuple(f"Said too late to be heard: {word.text}" for word in unheard)
        whole = replace(end, not_done=(*end.not_done, *late))
        said = report is None or await show_last(report, record.job.apply(whole))
        with suppress(Conflict):  # somebody said something meanwhile, which is to be shown as well
            await record.add(whole, seen=seen)
            return whole, said


async def _pull_opened(record: Record) -> None:
    """Also for a job that ended between its first push and its pull request."""
    try:
        await open_pull(record)
    except GitHubError as error:  # the end is said all the same; people can ask for it again
        log.warning("no pull request at the end", why=str(error))


async def _cancelled(record: Record) -> Finished:
    """The end of a job that a person stopped; who it was stands in the job's record."""
    await record.read()
    who = record.job.cancelled_by
    return record.end("cancelled", f"Stopped by {who.login}." if who else "Stopped.")


def _outlive_cancellation() -> None:
    if (task := asyncio.current_task()) is not None:
        task.uncancel()  # else libraries take each later await for cancelled too
