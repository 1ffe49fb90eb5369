"""The agent at work on one job: what it plans and saves becomes events, commits, a pull request."""

import time
from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import assert_never

from agent import loop
from agent.errors import ContextFull, LimitReached
from agent.loop import Assignment, Limits, Nothing, Word
from agent.plan import Plan
from agent.progress import (
    Answered,
    Keep,
    Message,
    Progress,
    Run,
    Said,
    Spent,
    StepStarted,
    Used,
    Waiting,
    Writing,
)
from jobs.events import (
    Charged,
    CommandRan,
    Finished,
    Heard,
    Noted,
    Planned,
    Revised,
    StepBegan,
)
from jobs.forge.report import Report
from jobs.job import Job
from jobs.journal import pack, unpack
from jobs.prepare import Bench
from jobs.prose import Prose
from jobs.pull import open_pull
from jobs.record import Record, Workshop
from jobs.repoconfig import RepoConfig
from jobs.save import save
from jobs.show import show_last

# The executor's conversations: where one outgrows the model's memory, the next one goes on.
WORK = ("work", "work:2", "work:3")
STILL_HERE = "The work was interrupted and goes on. The files are as they were left."
NEW_SANDBOX = (
    "The sandbox was lost. This is a new one with the same files; what was installed or started in "
    "the old one is gone."
)
GROWN = "The conversation grew too long, so I go on in a new one from what is there."
OUTGROWN = (
    "This is more than the model can keep in mind, even in three conversations one after another. "
    "What was committed is kept. Ask for the rest in smaller pieces."
)
REBUILT = (
    "The sandbox was lost. This is a new one, made from the last commit: what was changed since "
    "then, and what was installed or started, is gone. Do what is missing of this step again."
)


async def plan(
    bench: Bench, assignment: Assignment, limits: Limits, report: Report, kept: bool
) -> Plan | Nothing:
    record, shop = bench.record, bench.record.shop
    history = await _history(record, "plan")
    async with Prose(record) as prose:
        found = await loop.plan(
            shop.model,
            bench.sandbox,
            assignment,
            limits,
            partial(_watch, record, prose),
            history=history,
            keep=_keep(record, "plan"),
            note=STILL_HERE if kept else NEW_SANDBOX if history else "",
            listen=partial(_listen, record),
            heard=record.job.heard,
        )
    if isinstance(found, Nothing):
        return found
    job = await record.listen()  # what it may cost may have been said meanwhile
    waits = (
        job.command.plan_only
        or bench.config.approval == "always"
        or any(not question.default for question in found.questions)
        or job.revision > 0  # whoever sent one back wants to see the next
    )
    usd = ceiling(shop, bench.config, job)
    digest = found.digest(job.base_sha, usd, job.revision)
    planned = Planned(record.now, found, digest, waits, usd)
    if waits:
        # Shown first, for the same reason as an end is.
        await show_last(report, job.apply(planned))
    await record.add(planned)
    return found


async def execute(
    bench: Bench, assignment: Assignment, plan: Plan, limits: Limits, kept: bool
) -> Finished:
    record = bench.record
    await open_pull(record)  # where an earlier worker died between its push and this
    note = STILL_HERE if kept else REBUILT if record.job.step else ""
    report = await _work(bench, assignment, plan, limits, note)
    if report.outcome == "done":
        return record.end("succeeded", report.summary, report.not_done)
    return record.end("failed", report.summary, report.not_done or None)


async def _work(
    bench: Bench, assignment: Assignment, plan: Plan, limits: Limits, note: str
) -> loop.Report:
    record = bench.record
    histories = [await _history(record, name) for name in WORK]
    first = max((at for at, history in enumerate(histories) if history), default=0)
    for name, history in list(zip(WORK, histories, strict=True))[first:]:
        try:
            async with Prose(record) as prose:
                return await loop.work(
                    record.shop.model,
                    bench.sandbox,
                    assignment,
                    plan,
                    # Of what is left now: each conversation has a purse of its own.
                    replace(limits, usd=await _usd_left(record, bench.config)),
                    partial(_watch, record, prose),
                    partial(save, bench, plan),
                    done=record.job.steps_done,
                    history=history,
                    keep=_keep(record, name),
                    note=note,
                    edits=_edits_from(record.job),
                    listen=partial(_listen, record),
                    heard=record.job.heard,
                )
        except ContextFull:
            await record.add(Noted(record.now, GROWN))
            commits = [f"{it.subject} ({', '.join(it.files)})" for it in record.job.commits]
            heard = _words(record.job)[: record.job.heard]
            note = loop.handover(await _history(record, name), commits, heard)
    raise LimitReached(OUTGROWN)


async def _history(record: Record, conversation: str) -> list[Message]:
    return unpack(await record.shop.store.journal(record.job.id, conversation), record.shop.seal)


async def _listen(record: Record) -> list[Word]:
    return _words(await record.listen())


def _words(job: Job) -> list[Word]:
    """What people said; the newest of those that want another plan brings the old one."""
    revised = [number for number, it in enumerate(job.words, 1) if isinstance(it, Revised)]
    return [
        Word(number, it.actor.login, it.text, job.replaced if number in revised[-1:] else None)
        for number, it in enumerate(job.words, 1)
    ]


async def _watch(record: Record, prose: Prose, progress: Progress) -> None:
    now, add = record.now, record.add
    match progress:
        case Writing(text=text, begins=begins):
            prose.write(text, begins)
        case Said(text=text):
            await prose.end(text)
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
            shop = record.shop
            within_the_day(shop, await shop.spending.add(progress.usd, now))
        case Waiting(why=why):
            await add(Noted(now, why))
        case StepStarted(number=number):
            await add(StepBegan(now, number))
        case Answered(words=words, text=text):
            await add(Heard(now, words, text))
        case _:
            assert_never(progress)


def _keep(record: Record, conversation: str) -> Keep:
    async def keep(message: Message) -> None:
        shop = record.shop
        entry = pack(message, shop.seal)
        await shop.store.journal_add(record.job.id, conversation, entry, record.lease.token)

    return keep


def _edits_from(job: Job) -> int:
    """Past all that an earlier worker counted: its runs saw files that may be gone."""
    counted = [*(run.edits for run in job.runs), *(commit.edits for commit in job.commits)]
    return max(counted) + 1 if job.step and counted else 0


def ceiling(shop: Workshop, config: RepoConfig, job: Job) -> Decimal:
    """What the job may cost: as people with write permission said, else as the repository says.

    The operator's ceiling stands above both.
    """
    usd = config.usd if job.usd_wanted is None else job.usd_wanted
    return shop.usd if usd is None else min(shop.usd, usd)


async def limits_of(record: Record, config: RepoConfig) -> Limits:
    """What is left of the job's ceilings; neither a crash nor a wait for people extends them.

    Raises LimitReached where nothing is left of the day's.
    """
    shop, job = record.shop, record.job
    minutes = shop.minutes if config.minutes is None else min(shop.minutes, config.minutes)
    return Limits(
        usd=await _usd_left(record, config),
        left=partial(_usd_left, record, config),
        deadline=time.monotonic() + minutes * 60 - job.worked,
    )


async def _usd_left(record: Record, config: RepoConfig) -> Decimal:
    shop = record.shop
    today = await shop.spending.on(record.now)
    within_the_day(shop, today)
    job = await record.listen()
    usd = ceiling(shop, config, job) - job.usd
    return usd if shop.daily_usd is None else min(usd, shop.daily_usd - today)


def within_the_day(shop: Workshop, spent: Decimal) -> None:
    """Raises LimitReached where all jobs together spent what they may today."""
    if shop.daily_usd is not None and spent >= shop.daily_usd:
        raise LimitReached(
            f"Today's budget of ${shop.daily_usd:.2f} for all jobs is used up. "
            "It begins anew at midnight UTC; whoever runs me can raise it."
        )
