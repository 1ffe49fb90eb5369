"""What a job needs before the agent begins: the repository, a sandbox that holds it, the issue."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shutil import rmtree

import structlog
from arq.worker import RetryJob

from agent.errors import AgentError, SandboxBusy, SandboxError, SandboxGone, SandboxRefused
from agent.loop import Assignment, IssueText
from agent.sandbox import Sandbox
from jobs.events import Cloned, Noted, SandboxReady, StepCommitted
from jobs.forge import render
from jobs.forge.errors import GitHubUnreachable, GitUnreachable, PushRefused
from jobs.forge.git import Checkout, Head, Remote
from jobs.forge.github import Forge
from jobs.forge.remote import remote_head
from jobs.job import Job
from jobs.queue.errors import QueueError, TryLater
from jobs.record import Record
from jobs.repoconfig import RepoConfig

log = structlog.get_logger()

GUIDANCE = ("AGENTS.md", "CLAUDE.md")
GUIDANCE_BYTES = 32_000
KEEP_ALIVE_SECONDS = 120  # of the sandbox's 600


@dataclass(frozen=True, slots=True)
class Bench:
    """One job's things while a worker is at it."""

    record: Record
    forge: Forge
    remote: Remote
    checkout: Checkout
    sandbox: Sandbox
    config: RepoConfig


@contextmanager
def clone_folder(parent: Path) -> Iterator[Path]:
    """A folder for one clone, deleted on leaving, and again where a thread that was at work in it,
    and cannot be cancelled, wrote on for a moment.
    """
    folder, loop = Path(tempfile.mkdtemp(dir=parent)), asyncio.get_running_loop()
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)
        for seconds in (1, 10, 100):
            loop.call_later(seconds, rmtree, folder, True)


async def clone(record: Record, remote: Remote, folder: Path) -> Checkout:
    """The repository at the job's base, or at our last commit where one was pushed before."""
    job, began = record.job, time.monotonic()
    if not job.branch:
        checkout = await _fetch(folder, remote, job.command.base)
        branch = await _free_branch(job, remote)
        await record.add(
            Cloned(
                record.now,
                checkout.branch,
                checkout.base_sha,
                branch,
                checkout.files,
                checkout.bytes,
                time.monotonic() - began,
            ),
            *(Noted(record.now, note) for note in checkout.notes),
        )
        return checkout
    pushed = await asyncio.to_thread(remote_head, remote, job.branch)
    if pushed is None:
        return await _fetch(folder, remote, job.base, job.base_sha)
    checkout = await _fetch(folder, remote, job.branch, pushed)
    if job.commits and pushed == job.head_sha:
        return checkout
    try:
        await _adopt(record, checkout)
    except BaseException:
        checkout.close()
        raise
    return checkout


async def _fetch(
    folder: Path, remote: Remote, branch: str | None, sha: str | None = None
) -> Checkout:
    """In a thread, which cannot be cancelled: it is told to stop."""
    fetching = asyncio.get_running_loop().run_in_executor(
        None, partial(Checkout.fetch, folder, remote, branch, sha=sha)
    )
    try:
        return await asyncio.shield(fetching)
    except asyncio.CancelledError:
        remote.stop.set()

        def tidy(fetched: asyncio.Future[Checkout]) -> None:
            if not fetched.cancelled() and fetched.exception() is None:
                fetched.result().close()

        fetching.add_done_callback(tidy)
        raise


async def _adopt(record: Record, checkout: Checkout) -> None:
    """Take the branch's head for ours where a worker died after its push and before its record.

    Raises PushRefused where somebody else moved the branch.
    """
    job, head = record.job, checkout.head()
    number = job.steps_done + 1
    if not await next_step_of_ours(record, head):
        raise PushRefused(
            "stale",
            f"The branch `{job.branch}` is not as I left it, so I did not write to it. "
            "Delete or rename it, then ask again.",
        )
    subject = head.message.partition("\n")[0]
    await record.add(StepCommitted(record.now, number, checkout.head_sha, subject, (), 0, 0, -1))


async def next_step_of_ours(record: Record, head: Head) -> bool:
    """Whether a commit on our branch is the next step, made by a worker that could not say so."""
    job, bot = record.job, await record.shop.github.bot()
    number = job.steps_done + 1
    return (
        job.plan is not None
        and number <= len(job.plan.steps)
        and head.author.email == bot.email
        and head.parents == (job.head_sha,)
        and f"\nVibecode-Step: {number}/" in head.message
    )


async def _free_branch(job: Job, remote: Remote) -> str:
    """Our branch's name; it holds the job's id, so that only a person's own branch can clash."""
    name = render.branch_name(job)
    for suffix in ("", "-2", "-3"):
        if await asyncio.to_thread(remote_head, remote, name + suffix) is None:
            return name + suffix
    raise PushRefused(
        "stale", f"The branch `{name}` and its successors exist already; delete them and ask again."
    )


async def sandbox_of(record: Record, checkout: Checkout) -> tuple[Sandbox, bool]:
    """A sandbox with the files; True where it is the one that an earlier owner worked in."""
    job, shop, began = record.job, record.shop, time.monotonic()
    if job.sandbox_id:
        try:
            return await shop.sandboxes.connect(job.sandbox_id), True
        except SandboxGone:
            log.info("sandbox gone", sandbox=job.sandbox_id)
        except (SandboxBusy, SandboxRefused):
            raise
        except SandboxError as error:
            if record.lease.attempt == 1:
                raise  # a second look may find it well
            log.warning("sandbox given up", sandbox=job.sandbox_id, reason=str(error))
    sandbox = await shop.sandboxes.create(job.id, str(record.lease.token))
    try:
        with tempfile.TemporaryFile() as tar:
            await asyncio.to_thread(checkout.tar, tar)
            tar.seek(0)
            await sandbox.unpack(tar)
    except BaseException:
        await asyncio.shield(_end(sandbox))  # no record names it yet
        raise
    await record.add(SandboxReady(record.now, sandbox.id, time.monotonic() - began))
    return sandbox, False


@asynccontextmanager
async def held(sandbox: Sandbox, record: Record) -> AsyncIterator[None]:
    """Renews the sandbox's time to live while we work in it, and kills it after.

    Only a hand-over, a pause, and the first fault of its own, which a second look may not find
    again, leave it alive for the next owner; its time to live and the sweep bound that.
    """

    async def renew() -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_SECONDS)
            try:
                await sandbox.keep_alive()
            except AgentError as error:
                log.warning("sandbox not renewed", reason=str(error))  # the next use will tell

    lease, renewal = record.lease, asyncio.create_task(renew())
    handed_over = False
    try:
        yield
    except (RetryJob, TryLater, GitUnreachable, GitHubUnreachable, asyncio.CancelledError):
        handed_over = not lease.cancelled and await _wanted(record)
        raise
    except SandboxError as error:
        handed_over = lease.attempt == 1 and not isinstance(error, SandboxRefused)
        raise
    finally:
        renewal.cancel()
        if not handed_over:
            await asyncio.shield(_end(sandbox))


async def _wanted(record: Record) -> bool:
    """Whether the job goes on; it may have been ended over this worker's head."""
    try:
        return await record.shop.store.wanted(record.job.id)
    except QueueError:
        return True  # the next owner, or the sweep, will know


async def _end(sandbox: Sandbox) -> None:
    try:
        await sandbox.kill()
    except SandboxError as error:
        # What was done in it is done; the sweep, or its time to live, ends it.
        log.warning("sandbox not killed", reason=str(error))


async def assignment_of(record: Record, forge: Forge, checkout: Checkout) -> Assignment:
    job = record.job
    issue = None
    if job.issue is not None:
        facts = await forge.issue(job.issue.number)
        issue = IssueText(facts.title, facts.body, facts.author, facts.comments)
    texts = [await asyncio.to_thread(checkout.read, path, GUIDANCE_BYTES) for path in GUIDANCE]
    guidance = "\n\n".join(text.decode(errors="replace") for text in texts if text)
    return Assignment(job.command.text, job.repository.name, issue, guidance)
