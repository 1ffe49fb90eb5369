"""After Redis lost everything: the open work is found again on GitHub.

Our comments remember their jobs (memo.py), branches hold the commits that came after, and GitHub's
log of deliveries has the requests of which nothing was shown yet. What was nowhere but in Redis,
such as a wish from the phone that had not been begun, is lost.
"""

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from jobs.commands import (
    AcceptPlan,
    AskStatus,
    AskWhy,
    Command,
    EndSessions,
    Explain,
    Forget,
    Ignored,
    Request,
    RetryJob,
    RevisePlan,
    Several,
    StartJob,
    Steer,
)
from jobs.events import JobEvent, StepCommitted
from jobs.expire import DAYS
from jobs.forge.errors import AppRefused, GitHubError, GitHubUnreachable
from jobs.forge.github import GitHub
from jobs.forge.hook import Attempt
from jobs.forge.survey import Ours, Reached, Survey
from jobs.job import Job, fold
from jobs.memo import job_marked, remembered
from jobs.queue.errors import JobUnknown
from jobs.queue.spending import Spending
from jobs.queue.store import Delivery, Store, job_id_of
from jobs.seal import Seal
from jobs.settle import reply_key

log = structlog.get_logger()

# Seconds in which a job's comment was last written. A plan waits for no longer.
LOOK_BACK = (DAYS + 1) * 86_400.0
LOGGED = 3 * 86_400.0  # GitHub's log of deliveries
LOG_PAGES = 200  # of 100: most of it is our own comments being edited
LAST_WORD = 86_400.0  # seconds after its end for which a job's check runs are looked at
SAME_CHARS = 199  # by which words are known again that a comment remembers cut
_REPLY = re.compile(r"<!-- vibecoder:(reply-\d+(?:-\d+)?) -->")


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """What finding the work again takes."""

    store: Store
    github: GitHub
    seal: Seal
    parse: Callable[[Delivery], Command | Ignored]
    spending: Spending
    clock: Callable[[], float] = time.time


async def rebuild_if_lost(it: Rebuilding) -> bool:
    """Whether the store was new, so that everything was looked for. To be repeated until False.

    One worker does so at a time. Raises GitHubError and StoreUnreachable; what was found until then
    stays found.
    """
    if await it.store.marked():
        return False
    mark = await it.store.begin_marking()
    if mark is None:
        return True  # another worker is at it
    try:
        jobs, answered = await _from_comments(it, mark)
        asked = await _from_deliveries(it, mark, answered)
    except _Overtaken:
        return True
    except GitHubError:
        await it.store.end_marking(mark)
        raise
    if not await it.store.mark(mark):
        return True  # emptied once more: what was found is gone
    log.warning("the store was empty: looked on GitHub for open work", jobs=jobs, requests=asked)
    return True


class _Overtaken(Exception):
    """Another worker took this one for dead, or the store was emptied again. Never leaves here."""


async def _go_on(it: Rebuilding, mark: str) -> None:
    if not await it.store.keep_marking(mark):
        raise _Overtaken


async def _from_comments(it: Rebuilding, mark: str) -> tuple[list[str], set[str]]:
    """The ids of open jobs that were found, and the marks of what was answered."""
    survey, now = Survey(it.github), it.clock()
    open_jobs, answered = list[str](), set[str]()
    async for repository in survey.repositories():
        await _go_on(it, mark)
        comments = await survey.comments(repository, now - LOOK_BACK)
        for comment in comments:
            answered.update(_REPLY.findall(comment.body[:100]))
        for memo in _memos(it, repository, comments):
            job, events = memo.job, memo.events
            if job.command.comment is not None:
                answered.add(reply_key(job.command.comment))
            await _go_on(it, mark)
            if not job.ended:
                events = [*events, *await _pushed_since(it, survey, repository, job)]
            if not await it.store.restore(job.id, events):
                continue
            if memo.updated_at // 86_400 == now // 86_400:
                await it.spending.add(job.usd, now)
            if not job.ended:
                open_jobs.append(job.id)
            elif await _last_word_unsaid(survey, repository, job, now):
                await it.store.run_again(job.id)
    return open_jobs, answered


@dataclass(frozen=True, slots=True)
class _Memo:
    """What the comments about one job remember."""

    job: Job
    events: list[JobEvent]
    updated_at: float  # seconds since the epoch


def _memos(it: Rebuilding, repository: Reached, comments: list[Ours]) -> list[_Memo]:
    """One for each job: the issue's comment, or the pull request's where that one knows more."""
    found = dict[str, _Memo]()
    for comment in comments:
        job_id, events = job_marked(comment.body), remembered(comment.body, it.seal)
        if job_id is None or events is None:
            continue
        memo = _Memo(fold(job_id, events), events, comment.updated_at)
        if memo.job.repository.id != repository.id:
            continue  # somebody copied it from elsewhere
        found[job_id] = max(
            found.get(job_id, memo), memo, key=lambda each: (each.job.ended, len(each.events))
        )
    return list(found.values())


async def _last_word_unsaid(survey: Survey, repository: Reached, job: Job, now: float) -> bool:
    """Whether the job's worker was lost between its comment and its check runs."""
    if job.end is None or now - job.end.at > LAST_WORD:
        return False
    for commit in reversed(job.commits):
        if await survey.runs_on(repository, commit.sha, job.id):
            return True
    return False


async def _pushed_since(
    it: Rebuilding, survey: Survey, repository: Reached, job: Job
) -> list[JobEvent]:
    """Steps that are on our branch and not in the comment yet."""
    if job.plan is None:
        return []
    email = (await it.github.bot()).email
    found: list[JobEvent] = []
    commits = {each.sha: each for each in await survey.commits(repository, job.branch)}
    by_parent = {each.parents[0]: each for each in commits.values() if len(each.parents) == 1}
    head, number = job.head_sha, job.steps_done + 1
    while (each := by_parent.get(head)) is not None and number <= len(job.plan.steps):
        if each.email != email or f"\nVibecode-Step: {number}/" not in each.message:
            break
        subject = each.message.partition("\n")[0]
        found.append(StepCommitted(it.clock(), number, each.sha, subject, (), 0, 0, -1))
        head, number = each.sha, number + 1
    return found


async def _from_deliveries(it: Rebuilding, mark: str, answered: set[str]) -> list[str]:
    """Ids of the commands that were handed in again, oldest first."""
    asked = list[str]()
    attempts = await it.github.hook.attempts(it.clock() - LOGGED, LOG_PAGES)
    for attempt in sorted(attempts, key=lambda each: each.at):
        comes = (attempt.event, attempt.action) == ("issue_comment", "created")
        if not comes or not attempt.got_through:
            continue  # what did not get through is asked for by missed.py
        if await it.store.verdict(attempt.guid) is not None:
            continue
        await _go_on(it, mark)
        verdict = "found again, and nothing followed"
        for command in await _asked_for(it, attempt):
            if not await _still_open(it, command, attempt.at, answered):
                continue
            submitted = await it.store.submit(command, it.clock())
            verdict = f"command {submitted.command_id}"
            if submitted.new:
                asked.append(submitted.command_id)
        # Which also keeps a round that is repeated from asking for it again.
        await it.store.settle_delivery(attempt.guid, verdict)
    return asked


async def _asked_for(it: Rebuilding, attempt: Attempt) -> tuple[Request, ...]:
    """The commands in a logged delivery. One that cannot be read must not hold up the others."""
    try:
        payload = await it.github.hook.payload(attempt.id)
    except (GitHubUnreachable, AppRefused):
        raise
    except GitHubError as refusal:
        log.warning("logged delivery unreadable", delivery=attempt.guid, why=str(refusal))
        return ()
    try:
        found = it.parse(
            Delivery(attempt.guid, attempt.event, json.dumps(payload).encode(), attempt.at)
        )
    except Exception:  # a bug of the parser's must not keep all jobs from running
        log.exception("logged delivery unreadable", delivery=attempt.guid)
        return ()
    if isinstance(found, Several):
        return found.commands
    return () if isinstance(found, Ignored | Forget | EndSessions) else (found,)


async def _still_open(it: Rebuilding, command: Request, at: float, answered: set[str]) -> bool:
    """Whether the command is one that nothing followed from as far as GitHub shows."""
    if command.comment is not None and reply_key(command.comment) in answered:
        return False
    if isinstance(command, StartJob):
        return not await it.store.history(job_id_of(command.key))
    if isinstance(command, Explain | AskStatus | AskWhy):
        return True
    if command.issue is None:
        return False
    active = await it.store.active_on(command.repository.id, command.issue.number)
    if isinstance(command, RetryJob) or active is None:
        return isinstance(command, RetryJob) and active is None
    try:
        job = await it.store.load(active)
    except JobUnknown:
        return False
    if at < job.received_at:
        return False  # it was said to an earlier job
    if isinstance(command, RevisePlan | Steer):
        known = {(word.actor.id, word.text[:SAME_CHARS]) for word in job.words}
        if (command.actor.id, command.text[:SAME_CHARS]) in known:
            return False
    if isinstance(command, AcceptPlan | RevisePlan):
        return job.state == "awaiting_approval"
    return not job.ended
