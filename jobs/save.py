"""A finished step becomes a commit, a push and, the first time, the draft pull request."""

import asyncio
import os
import tempfile

from agent.loop import NotSaved, Saved
from agent.plan import Plan, Step
from jobs.events import StepCommitted, StepSkipped
from jobs.forge import render
from jobs.forge.errors import PushRefused
from jobs.forge.git import Commit, Person, Refusals
from jobs.forge.remote import remote_head
from jobs.prepare import Bench, next_step_of_ours
from jobs.pull import open_pull
from jobs.queue.errors import TryLater
from jobs.rescue import rescue

STEP_BYTES = 50 << 20  # what one step may bring back from the sandbox
# Seconds for which a push under way is waited for: a stop takes effect within five, and a worker
# that is told to go hands over within one.
STOP_WAITS, HANDOVER_WAITS = 2.0, 0.5


async def save(
    bench: Bench, plan: Plan, number: int, step: Step, summary: str, edits: int
) -> Saved | NotSaved:
    """A finished step becomes a commit on our branch, or the reasons why it cannot."""
    record, checkout = bench.record, bench.checkout
    job = record.job
    manifest = await bench.sandbox.manifest()
    rules = {
        path: await bench.sandbox.read(os.fsdecode(path))
        for path in await asyncio.to_thread(checkout.changed_rules, manifest)
    }
    changes = await asyncio.to_thread(checkout.compare, manifest, rules)
    if changes.refused:
        return NotSaved(tuple(refused.reason for refused in changes.refused))
    if changes.empty:
        await record.add(StepSkipped(record.now, number, summary))
        return Saved(job.head_sha, ())
    bot = await record.shop.github.bot()
    me = Person(bot.login, bot.email)
    with tempfile.TemporaryFile() as tar:
        await bench.sandbox.take(changes.take, tar, STEP_BYTES)
        tar.seek(0)
        commit = await asyncio.to_thread(
            checkout.commit,
            changes,
            tar,
            message=render.commit_message(
                job, plan, number, summary, record.shop.github.settings.noreply
            ),
            author=me,
            committer=me,
            when=int(record.now),
        )
    if isinstance(commit, Refusals):
        return NotSaved(commit.reasons)
    await record.lease.guard()
    committed = StepCommitted(
        record.now,
        number,
        commit.sha,
        step.title,
        tuple(change.path for change in commit.files),
        sum(change.added for change in commit.files),
        sum(change.deleted for change in commit.files),
        edits,
    )
    try:
        await _landed(bench, commit, committed)
    except PushRefused as error:
        if error.kind == "secret":
            return NotSaved((str(error),))
        if error.kind == "stale" and await _overtaken(bench):
            raise TryLater("An earlier worker's push of this step came late.", 1) from error
        raise await rescue(bench, commit, error) from error
    await open_pull(record)
    return Saved(commit.sha, committed.files)


async def _landed(bench: Bench, commit: Commit, committed: StepCommitted) -> None:
    """Pushes and records. Raises PushRefused.

    A push that is under way cannot be called back, so who stops the job meanwhile waits a little:
    what is on the branch is to stand in the record.
    """
    landing = asyncio.create_task(_land(bench, commit, committed))
    try:
        await asyncio.shield(landing)
    except asyncio.CancelledError:
        stopped = bench.record.lease.cancelled
        await asyncio.wait({landing}, timeout=STOP_WAITS if stopped else HANDOVER_WAITS)
        if not landing.cancel() and not landing.cancelled():
            landing.exception()  # the end is told; that it was refused as well is not
        raise


async def _land(bench: Bench, commit: Commit, committed: StepCommitted) -> None:
    job = bench.record.job
    expect = job.commits[-1].sha if job.commits else None
    push = bench.checkout.push
    await asyncio.to_thread(push, bench.remote, job.branch, commit, expect=expect)
    await bench.record.add(committed)


async def _overtaken(bench: Bench) -> bool:
    """Whether what is on the branch now is this very step, pushed by a worker that was lost.

    Its push may still be under way while this worker begins. The next run adopts it.
    """
    there = await asyncio.to_thread(remote_head, bench.remote, bench.record.job.branch)
    if there is None:
        return False
    await asyncio.to_thread(bench.checkout.bring, bench.remote, there)
    return await next_step_of_ours(bench.record, bench.checkout.about(there))
