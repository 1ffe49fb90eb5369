"""Settle one command: ask GitHub what its sender may do, decide, answer.

Short and repeatable: a worker that dies on the way leaves the command unsettled, and the next one
does all of it again, with the same result.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal

import structlog

from jobs import again, why
from jobs.commands import (
    AskStatus,
    AskWhy,
    Comment,
    EndSessions,
    Explain,
    Forget,
    OpenPull,
    Request,
    RetryJob,
    RevisePlan,
    SetBudget,
    Several,
    StartJob,
    Steer,
)
from jobs.events import Finished, JobEvent
from jobs.forge import replies
from jobs.forge.errors import ForgeError, GitHubUnreachable, Locked, Missing, NotGranted
from jobs.forge.github import Forge, GitHub
from jobs.forget import forget, forget_person
from jobs.job import Job, JobCommand, Refusal, decide, may_write, not_permitted
from jobs.pull import pull_of
from jobs.queue.errors import Conflict, JobUnknown, TryLater
from jobs.queue.lease import Lease
from jobs.queue.store import MOST_OPEN, NoRoom, Store

log = structlog.get_logger()

NO_ROOM: dict[NoRoom, str] = {
    "store": "I have no room for another job just now: my store is nearly full. The jobs that run "
    "go on; please ask again in an hour, or tell whoever runs me.",
    "installation": f"{MOST_OPEN} jobs of this account are already queued or running, and that is "
    "the most I take on. Please ask again when some of them are through.",
}
JOINED = "joined the job that is there"
REFUSED = "refused: "  # how the verdict on a command begins whose sender was told why
LAG = 300.0  # seconds after which GitHub knows everywhere that an installation is gone
PATIENCE = 3600.0  # seconds that a command waits for GitHub to come back


@dataclass(frozen=True, slots=True)
class Desk:
    """What settling needs."""

    store: Store
    github: GitHub
    usd: Decimal  # the operator's ceiling for one job
    clock: Callable[[], float] = time.time


async def settle(desk: Desk, lease: Lease) -> None:
    """Follow or refuse one stored command, and tell its sender.

    Raises TryLater where GitHub cannot be reached, for as long as a person would still want it, and
    GitHubUnreachable after that.
    """
    command_id = lease.id
    command = await desk.store.command(command_id)
    if isinstance(command, Forget | EndSessions | Several):
        verdict = (
            await _one_by_one(desk, command)
            if isinstance(command, Several)
            else await _let_go(desk, command_id, command)
        )
        log.info("command settled", key=command.key, kind=command.type, verdict=verdict)
        await desk.store.settle(command_id, verdict)
        return
    structlog.contextvars.bind_contextvars(
        command=command_id, installation=command.repository.installation_id
    )
    standing = await desk.store.settled(command_id)
    if standing is not None:
        await _say_again(desk, lease, command, standing)
        return
    try:
        verdict = await _settle(desk, lease, command)
    except GitHubUnreachable as error:
        if desk.clock() - await desk.store.received_at(command_id) > PATIENCE:
            raise
        raise TryLater(str(error), 30) from error
    except NotGranted as error:
        verdict = f"{REFUSED}{error}"
        await _end_unstarted(desk, command_id, command, str(error))
        await _say_with_less(desk, lease, command, str(error))
    except ForgeError as error:
        # Suspended or uninstalled: nothing can be said on GitHub.
        verdict = f"{REFUSED}{error}"
        await _end_unstarted(desk, command_id, command, str(error))
    log.info("command settled", key=command.key, kind=command.type, verdict=verdict)
    await desk.store.settle(command_id, verdict)


async def _one_by_one(desk: Desk, several: Several) -> str:
    """Hands in a comment's commands, each when the one before is settled."""
    for command in several.commands:
        submitted = await desk.store.submit(command, desk.clock())
        if await desk.store.settled(submitted.command_id) is None:
            raise TryLater("The comment's command before is not settled yet.", 1)
    return f"{len(several.commands)} commands, one after another"


async def _let_go(desk: Desk, command_id: str, command: Forget | EndSessions) -> str:
    if isinstance(command, EndSessions):
        return f"ended {await forget_person(desk.store, command.actor.id)} sessions"
    if await desk.github.installed(command.installation_id):
        if desk.clock() - await desk.store.received_at(command_id) < LAG:
            raise TryLater("The installation is still there.", 30)
        return f"{REFUSED}the App is still installed there"
    jobs = await forget(desk.store, command.installation_id, desk.clock())
    desk.github.forget(command.installation_id)
    if command.person_id is not None:
        await forget_person(desk.store, command.person_id)
    return f"forgot {jobs} jobs"


async def give_up(desk: Desk, lease: Lease) -> None:
    """After attempt upon attempt broke: end what the command began, with a sentence."""
    command = await desk.store.command(lease.id)
    if isinstance(command, Forget | EndSessions | Several):
        return
    reason = (
        "I tried this three times and something broke each time; the operator's log tells more."
    )
    await _end_unstarted(desk, lease.id, command, reason)
    forge = await _forge(desk, lease, command)
    if may_write(await forge.permission(command.actor.login)):
        await _refuse(desk, forge, lease.id, command, Refusal(reason))


async def _forge(desk: Desk, lease: Lease, command: Request) -> Forge:
    forge = await desk.github.repository(*command.repository.key)
    return forge.guarded(lease.guard)


async def _say_again(desk: Desk, lease: Lease, command: Request, verdict: str) -> None:
    """After a worker that had lost the command may have answered late: one answer, the right one.

    Finding our comment again deletes its younger twin.
    """
    if command.issue is None or command.comment is None:
        return
    try:
        forge = await _forge(desk, lease, command)
    except NotGranted:
        forge = await desk.github.voice(*command.repository.key)
    number, key = command.issue.number, reply_key(command.comment)
    if isinstance(command, Explain | AskStatus | AskWhy):
        await forge.comment(number, key, await _answer(desk, command))
    elif isinstance(command, StartJob) and verdict == JOINED:
        busy = (await desk.store.submitted(lease.id)).busy
        await _say_joined(desk, forge, command, busy or "")
    elif verdict.startswith(REFUSED):
        await forge.comment(number, key, replies.refusal(verdict.removeprefix(REFUSED)))
    else:
        await forge.withdraw(number, key)


def reply_key(comment: Comment) -> str:
    """The hidden mark of our answer to a comment, or to one of its commands."""
    return f"reply-{comment.id}" if comment.part == 1 else f"reply-{comment.id}-{comment.part}"


async def _answer(desk: Desk, command: Explain | AskStatus | AskWhy) -> str:
    if isinstance(command, Explain):
        return replies.explain(command)
    if isinstance(command, AskWhy) and command.target:
        repository = command.repository.id
        return replies.why(await why.of_target(desk.store, command.target, repository))
    if isinstance(command, AskWhy):
        return replies.why(await why.of_thread(desk.store, command))
    job_id = await desk.store.active_on(command.repository.id, command.issue.number)
    if job_id is None:
        job = await again.newest_on(desk.store, command)
    else:
        job = await desk.store.load(job_id)
    return replies.status(job, desk.clock()) if job is not None else replies.NOTHING_HERE


async def _settle(desk: Desk, lease: Lease, command: Request) -> str:
    command_id, repository = lease.id, command.repository
    forge = await _forge(desk, lease, command)
    permission = await forge.permission(command.actor.login)
    if not may_write(permission):
        stranger = not repository.private and not await forge.collaborates(command.actor.login)
        refusal = not_permitted(command, silent=stranger)
        return await _refuse(desk, forge, command_id, command, refusal)
    if isinstance(command, Explain | AskStatus | AskWhy):
        text = await _answer(desk, command)
        await forge.comment(command.issue.number, reply_key(command.comment), text)
        return "explained" if isinstance(command, Explain) else "answered"
    if command.comment is not None:
        # A comment that was deleted meanwhile, or a locked thread, needs no receipt.
        with suppress(Missing, Locked):
            await forge.react(command.comment.id, "eyes")

    if isinstance(command, SetBudget) and command.usd > desk.usd:
        refusal = Refusal(replies.above_the_ceiling(desk.usd))
        return await _refuse(desk, forge, command_id, command, refusal)
    if isinstance(command, RetryJob):
        return await _retry(desk, forge, command_id, command)

    while True:
        job, seen = await _job_of(desk, command_id, command)
        if job is None:
            return await _without_job(desk, forge, command_id, command, permission)
        if isinstance(command, SetBudget) and job.state == "stopped":
            return await _retry(desk, forge, command_id, again.with_budget(command, job))
        if await desk.store.caused(job.id, command_id):
            return "followed"  # by a worker that died before it could say so
        decision = decide(job, command, permission, desk.clock())
        try:
            if isinstance(decision, Refusal):
                return await _refuse(desk, forge, command_id, command, decision)
            if isinstance(command, OpenPull) and job.pull is None:
                decision = (await pull_of(forge, job, desk.clock()),)
            await _follow(desk, command_id, job, decision, seen)
        except Conflict:
            continue  # something happened to the job meanwhile: decide again
        return "followed"


async def _retry(desk: Desk, forge: Forge, command_id: str, command: RetryJob) -> str:
    """Hands in the wish once more, which is then settled like any other."""
    wish = await again.wish(desk.store, command)
    if isinstance(wish, StartJob):
        submitted = await desk.store.submit(wish, desk.clock())
        if not submitted.busy and not submitted.no_room:
            return f"tried again as {submitted.job_id}"
        if wish.comment is not None:
            return "submitted again"  # and told there why it has to wait
        reason = NO_ROOM[submitted.no_room] if submitted.no_room else again.BUSY
        wish = Refusal(reason)
    return await _refuse(desk, forge, command_id, command, wish)


async def _follow(
    desk: Desk, cause: str, job: Job, events: tuple[JobEvent, ...], seen: str
) -> None:
    if not events:
        return
    after = job
    for event in events:
        after = after.apply(event)
    # A job that ends here still goes to a worker once, which says its last word on GitHub.
    # So does a plan whose digest changed under its budget.
    run = after.state == "queued" or after.ended or after.digest != job.digest
    await desk.store.append(job.id, events, seen=seen, cause=cause, run=run)


async def _refuse(
    desk: Desk, forge: Forge, command_id: str, command: Request, refusal: Refusal
) -> str:
    await _end_unstarted(desk, command_id, command, refusal.reason)
    if refusal.silent:
        return f"refused silently: {refusal.reason}"
    if command.issue is not None and command.comment is not None:
        await forge.comment(
            command.issue.number, reply_key(command.comment), replies.refusal(refusal.reason)
        )
    return f"{REFUSED}{refusal.reason}"


async def _say_with_less(desk: Desk, lease: Lease, command: Request, reason: str) -> None:
    """A missing permission, said with what is granted; else the journal alone tells of it."""
    with suppress(ForgeError):
        voice = (await desk.github.voice(*command.repository.key)).guarded(lease.guard)
        if may_write(await voice.permission(command.actor.login)):
            await _refuse(desk, voice, lease.id, command, Refusal(reason))


async def _job_of(desk: Desk, command_id: str, command: JobCommand) -> tuple[Job | None, str]:
    """The job that the command is about and the id of its last event; None where there is none."""
    job_id = (await desk.store.submitted(command_id)).job_id
    if job_id is None and command.issue is not None and not isinstance(command, StartJob):
        job_id = await desk.store.active_on(command.repository.id, command.issue.number)
    if job_id is None:
        return None, "0"
    try:
        return await desk.store.read(job_id)
    except JobUnknown:
        return None, "0"


async def _without_job(
    desk: Desk, forge: Forge, command_id: str, command: JobCommand, permission: str
) -> str:
    """A command that names no job, or a start that found its issue taken by another job."""
    submitted = await desk.store.submitted(command_id)
    if submitted.no_room:
        refusal = Refusal(NO_ROOM[submitted.no_room])
        return await _refuse(desk, forge, command_id, command, refusal)
    busy = submitted.busy
    if isinstance(command, SetBudget):
        last = await again.newest_on(desk.store, command)
        if last is not None and last.state == "stopped":
            return await _retry(desk, forge, command_id, again.with_budget(command, last))
    if not isinstance(command, StartJob) or busy is None:
        return await _refuse(
            desk, forge, command_id, command, Refusal("No job of mine waits or runs here.")
        )
    while not await desk.store.caused(busy, command_id):
        job, seen = await desk.store.read(busy)
        if job.ended:
            # What took the issue is over by now (a stranger's request, say): this one still counts.
            await desk.store.submit(replace(command, key=f"{command.key}/again"), desk.clock())
            return "submitted again"
        if not job.permission:
            raise TryLater("The request before is not settled, and may be a stranger's.", 1)
        if job.cancelled_by is not None:
            raise TryLater("The job before is being stopped.", 1)
        joining = _joining(job, command)
        decision = decide(job, joining, permission, desk.clock()) if joining else None
        if not isinstance(decision, tuple):
            return await _refuse(
                desk, forge, command_id, command, decision or Refusal(replies.busy(job))
            )
        with suppress(Conflict):  # something happened to the job meanwhile: decide again
            await _follow(desk, command_id, job, decision, seen)
    await _say_joined(desk, forge, command, busy)
    return JOINED


def _joining(job: Job, command: StartJob) -> RevisePlan | Steer | None:
    """What a request means to the job on whose thread it was made; None: it has to wait."""
    more = (command.key, command.actor, command.repository, command.text)
    if job.state == "awaiting_approval":
        return RevisePlan(*more, issue=command.issue, comment=command.comment, job_id=job.id)
    if command.plan_only:
        return None
    return Steer(*more, issue=command.issue, comment=command.comment, job_id=job.id)


async def _say_joined(desk: Desk, forge: Forge, command: StartJob, busy: str) -> None:
    if command.issue is None or command.comment is None:
        return
    job = await desk.store.load(busy)
    for word in reversed(job.words):
        if word.actor.id == command.actor.id and word.text == command.text:
            number, key = command.issue.number, reply_key(command.comment)
            await forge.comment(number, key, replies.joined(job, word))
            return


async def _end_unstarted(desk: Desk, command_id: str, command: Request, reason: str) -> None:
    if isinstance(command, StartJob):
        job, _ = await _job_of(desk, command_id, command)
        if job is not None and not job.ended:
            await desk.store.append(job.id, (Finished(desk.clock(), "failed", reason),))
