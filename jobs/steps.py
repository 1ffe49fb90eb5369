"""The agent at work on one job: what it plans and saves becomes events, commits, a pull request."""

import asyncio
import os
import tempfile
import time
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import assert_never

from agent import loop
from agent.errors import LimitReached
from agent.loop import Assignment, Limits, Nothing, NotSaved, Saved
from agent.plan import Plan, Step
from agent.progress import Keep, Message, Progress, Run, Said, Spent, StepStarted, Used
from agent.sandbox import Sandbox
from jobs.events import (
    Charged,
    CommandRan,
    Finished,
    Noted,
    Planned,
    StepBegan,
    StepCommitted,
    StepSkipped,
)
from jobs.forge import render
from jobs.forge.errors import PushRefused
from jobs.forge.git import Checkout, Person, Refusals, Remote
from jobs.forge.github import Forge
from jobs.forge.remote import remote_head
from jobs.forge.report import Report
from jobs.prepare import next_step_of_ours
from jobs.pull import pull_of
from jobs.queue.errors import TryLater
from jobs.record import Record, Workshop
from jobs.repoconfig import RepoConfig
from jobs.show import show_last

STEP_BYTES = 50 << 20  # what one step may bring back from the sandbox
NOTE_CHARS = 500  # of the model's words, which may be long thoughts

STILL_HERE = "The worker was lost and another one took over. The files are as they were left."
REBUILT = (
    "An earlier worker was lost, and its sandbox with it. This is a new one, made from the last "
    "commit: what was not committed is gone, and nothing is known of how far the step had come."
)


@dataclass(frozen=True, slots=True)
class Bench:
    """One job's things while a worker is at it."""

    record: Record
    forge: Forge
    remote: Remote
    checkout: Checkout
    sandbox: Sandbox
    config: RepoConfig

    async def plan(
        self, assignment: Assignment, limits: Limits, report: Report, kept: bool
    ) -> Plan | Nothing:
        record, shop = self.record, self.record.shop
        found = await loop.plan(
            shop.model,
            self.sandbox,
            assignment,
            limits,
            self._watch,
            history=await self._history("plan", kept),
            keep=self._keep("plan"),
            note=STILL_HERE if kept else "",
        )
        if isinstance(found, Nothing):
            return found
        job = record.job
        waits = (
            job.command.plan_only
            or self.config.approval == "always"
            or any(not question.default for question in found.questions)
        )
        digest = found.digest(job.base_sha, ceiling(shop, self.config))
        planned = Planned(record.now, found, digest, waits)
        if waits:
            # Shown first, for the same reason as an end is.
            await show_last(report, job.apply(planned))
        await record.add(planned)
        return found

    async def execute(
        self, assignment: Assignment, plan: Plan, limits: Limits, kept: bool
    ) -> Finished:
        record = self.record
        await self._open_pull()  # where an earlier worker died between its push and this
        note = STILL_HERE if kept else REBUILT if record.job.step else ""
        report = await loop.work(
            record.shop.model,
            self.sandbox,
            assignment,
            plan,
            limits,
            self._watch,
            partial(self._save, plan),
            done=record.job.steps_done,
            history=await self._history("work", kept),
            keep=self._keep("work"),
            note=note,
        )
        if report.outcome == "done":
            return record.end("succeeded", report.summary, report.not_done)
        return record.end("failed", report.summary, report.not_done or None)

    async def _save(
        self, plan: Plan, number: int, step: Step, summary: str, edits: int
    ) -> Saved | NotSaved:
        """A finished step becomes a commit on our branch, or the reasons why it cannot."""
        record, checkout = self.record, self.checkout
        job = record.job
        manifest = await self.sandbox.manifest()
        rules = {
            path: await self.sandbox.read(os.fsdecode(path))
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
            await self.sandbox.take(changes.take, tar, STEP_BYTES)
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
            await asyncio.to_thread(checkout.push, self.remote, job.branch, commit, expect=expect)
        except PushRefused as error:
            if error.kind == "secret":
                return NotSaved((str(error),))
            if error.kind == "stale" and await self._overtaken():
                raise TryLater("An earlier worker's push of this step came late.", 1) from error
            raise
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
        await self._open_pull()
        return Saved(commit.sha, tuple(change.path for change in commit.files))

    async def _overtaken(self) -> bool:
        """Whether what is on the branch now is this very step, pushed by a worker that was lost.

        Its push may still be under way while this worker begins. The next run adopts it.
        """
        there = await asyncio.to_thread(remote_head, self.remote, self.record.job.branch)
        if there is None:
            return False
        await asyncio.to_thread(self.checkout.bring, self.remote, there)
        return await next_step_of_ours(self.record, self.checkout.about(there))

    async def _open_pull(self) -> None:
        record = self.record
        if record.job.commits and record.job.pull is None:
            await record.add(await pull_of(self.forge, record.job, record.now))

    async def _watch(self, progress: Progress) -> None:
        now, add = self.record.now, self.record.add
        match progress:
            case Said(text=text):
                await add(Noted(now, text[:NOTE_CHARS]))
            case Used(tool="submit_plan" | "finish_step" | "finish_run"):
                pass  # what follows from it is an event of its own
            case Used(tool=tool, about=about, failed=failed):
                await add(Noted(now, f"{tool} {about}{' ✗' if failed else ''}"))
            case Run():
                await add(
                    CommandRan(
                        now,
                        progress.id,
                        progress.command,
                        progress.exit_code,
                        progress.seconds,
                        progress.output_sha256,
                        progress.output_tail,
                        progress.edits,
                    )
                )
            case Spent():
                await add(
                    Charged(
                        now,
                        progress.model,
                        progress.input_tokens,
                        progress.cache_read_tokens,
                        progress.cache_write_tokens,
                        progress.output_tokens,
                        progress.usd,
                    )
                )
                shop = self.record.shop
                within_the_day(shop, await shop.spending.add(progress.usd, now))
            case StepStarted(number=number):
                await add(StepBegan(now, number))
            case _:
                assert_never(progress)

    def _keep(self, conversation: str) -> Keep:
        async def keep(message: Message) -> None:
            record = self.record
            await record.shop.store.journal_add(
                record.job.id, self._journal(conversation), message, record.lease.token
            )

        return keep

    async def _history(self, conversation: str, kept: bool) -> list[Message]:
        if not kept:
            return []
        return await self.record.shop.store.journal(self.record.job.id, self._journal(conversation))

    def _journal(self, conversation: str) -> str:
        # A conversation speaks of one sandbox's files; with another one it begins anew.
        return f"{conversation}:{self.sandbox.id}"


def ceiling(shop: Workshop, config: RepoConfig) -> Decimal:
    return shop.usd if config.usd is None else min(shop.usd, config.usd)


async def limits_of(record: Record, config: RepoConfig) -> Limits:
    """What is left of the job's ceilings; neither a crash nor a wait for people extends them.

    Raises LimitReached where nothing is left of the day's.
    """
    shop, job = record.shop, record.job
    today = await shop.spending.on(record.now)
    within_the_day(shop, today)
    usd = ceiling(shop, config) - job.usd
    minutes = shop.minutes if config.minutes is None else min(shop.minutes, config.minutes)
    return Limits(
        usd=usd if shop.daily_usd is None else min(usd, shop.daily_usd - today),
        deadline=time.monotonic() + minutes * 60 - job.worked,
    )


def within_the_day(shop: Workshop, spent: Decimal) -> None:
    """Raises LimitReached where all jobs together spent what they may today."""
    if shop.daily_usd is not None and spent >= shop.daily_usd:
        raise LimitReached(
            f"Today's budget of ${shop.daily_usd:.2f} for all jobs is used up. "
            "It begins anew at midnight UTC; whoever runs me can raise it."
        )
