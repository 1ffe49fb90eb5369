"""A finished step becomes a commit, a push and, the first time, the draft pull request."""

import asyncio
import os
import tempfile

from agent.loop import NotSaved, Saved
from agent.plan import Plan, Step
from jobs.events import StepCommitted, StepSkipped
from jobs.forge import render
from jobs.forge.errors import PushRefused
from jobs.forge.git import Person, Refusals
from jobs.forge.remote import remote_head
from jobs.prepare import Bench, next_step_of_ours
from jobs.pull import pull_of
from jobs.queue.errors import TryLater
from jobs.rescue import rescue

STEP_BYTES = 50 << 20  # what one step may bring back from the sandbox


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
    expect = job.commits[-1].sha if job.commits else None
    try:
        await asyncio.to_thread(checkout.push, bench.remote, job.branch, commit, expect=expect)
    except PushRefused as error:
        if error.kind == "secret":
            return NotSaved((str(error),))
        if error.kind == "stale" and await _overtaken(bench):
            raise TryLater("An earlier worker's push of this step came late.", 1) from error
        raise await rescue(bench, commit, error) from error
    await record.add(
        StepCommitted(
            record.now,
            number,
            commit.sha,
            step.title,
            tuple(change.path for change in commit.files),
            sum(change.added for change in commit.files),
            sum(change.deleted for change in commit.files),
            edits,
        )
    )
    await open_pull(bench)
    return Saved(commit.sha, tuple(change.path for change in commit.files))


async def _overtaken(bench: Bench) -> bool:
    """Whether what is on the branch now is this very step, pushed by a worker that was lost.

    Its push may still be under way while this worker begins. The next run adopts it.
    """
    there = await asyncio.to_thread(remote_head, bench.remote, bench.record.job.branch)
    if there is None:
        return False
    await asyncio.to_thread(bench.checkout.bring, bench.remote, there)
    return await next_step_of_ours(bench.record, bench.checkout.about(there))


async def open_pull(bench: Bench) -> None:
    record = bench.record
    if record.job.commits and record.job.pull is None:
        await record.add(await pull_of(bench.forge, record.job, record.now))
