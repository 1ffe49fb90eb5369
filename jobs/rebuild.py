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
from decimal import Decimal

import structlog

from jobs.commands import AcceptPlan, CancelJob, Command, Forget, OpenPull, Request, StartJob
from jobs.events import JobEvent, StepCommitted
from jobs.forge.github import GitHub
from jobs.forge.survey import Reached, Survey
from jobs.job import Job, fold
from jobs.memo import job_marked, remembered
from jobs.queue.errors import JobUnknown
from jobs.queue.spending import Spending
from jobs.queue.store import Delivery, Store, job_id_of
from jobs.seal import Seal

log = structlog.get_logger()

LOOK_BACK = 7 * 86_400.0  # seconds in which a job's comment was last written
LOGGED = 3 * 86_400.0  # GitHub's log of deliveries
_REPLY = re.compile(r"<!-- vibecoder:(reply-\d+) -->")


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """What finding the work again takes."""

    store: Store
    github: GitHub
    seal: Seal
    parse: Callable[[Delivery], Command | str]
    spending: Spending
    clock: Callable[[], float] = time.time


async def rebuild_if_lost(it: Rebuilding) -> bool:
    """Whether the store was new, so that everything was looked for. To be repeated until False.

    Raises GitHubError and StoreUnreachable; what was found until then stays found.
    """
    if await it.store.marked():
        return False
    mark = await it.store.begin_marking()
    jobs, answered = await _from_comments(it)
    asked = await _from_deliveries(it, answered)
    if not await it.store.mark(mark):
        return True  # emptied once more: what was found is gone
    log.warning("the store was empty: looked on GitHub for open work", jobs=jobs, requests=asked)
    return True


async def _from_comments(it: Rebuilding) -> tuple[list[str], set[str]]:
    """The ids of open jobs that were found, and the marks of the answers that we gave."""
    survey, now = Survey(it.github), it.clock()
    jobs, answered, spent = list[str](), set[str](), Decimal(0)
    async for repository in survey.repositories():
        for comment in await survey.comments(repository, now - LOOK_BACK):
            answered.update(_REPLY.findall(comment.body[:100]))
            job_id, events = job_marked(comment.body), remembered(comment.body, it.seal)
            if job_id is None or events is None:
                continue
            job = fold(job_id, events)
            if job.repository.id != repository.id:
                continue  # somebody copied it from elsewhere
            if not job.ended:
                events = [*events, *await _pushed_since(it, survey, repository, job)]
            if await it.store.restore(job_id, events) and not job.ended:
                jobs.append(job_id)
            if comment.updated_at // 86_400 == now // 86_400:
                spent += job.usd
    if spent:
        await it.spending.add(spent, now)
    return jobs, answered


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


async def _from_deliveries(it: Rebuilding, answered: set[str]) -> list[str]:
    """Ids of the commands that were handed in again, oldest first."""
    seen, asked = set[str](), list[str]()
    attempts = await it.github.hook.attempts(it.clock() - LOGGED)
    for attempt in sorted(attempts, key=lambda each: each.at):
        if attempt.event != "issue_comment" or not attempt.got_through or attempt.guid in seen:
            continue  # what did not get through is asked for by missed.py
        seen.add(attempt.guid)
        payload = await it.github.hook.payload(attempt.id)
        delivery = Delivery(attempt.guid, attempt.event, json.dumps(payload).encode(), attempt.at)
        command = it.parse(delivery)
        if isinstance(command, str | Forget) or not await _still_open(it, command, attempt.at):
            continue
        if command.comment is not None and f"reply-{command.comment.id}" in answered:
            continue
        if (submitted := await it.store.submit(command, it.clock())).new:
            asked.append(submitted.command_id)
    return asked


async def _still_open(it: Rebuilding, command: Request, at: float) -> bool:
    """Whether the command is one that nothing followed from as far as GitHub shows."""
    if isinstance(command, StartJob):
        return not await it.store.history(job_id_of(command.key))
    if not isinstance(command, AcceptPlan | CancelJob | OpenPull):
        return True
    if command.issue is None:
        return False
    active = await it.store.active_on(command.repository.id, command.issue.number)
    if active is None:
        return False
    try:
        job = await it.store.load(active)
    except JobUnknown:
        return False
    if at < job.received_at:
        return False  # it was said to an earlier job
    return job.state == "awaiting_approval" if isinstance(command, AcceptPlan) else not job.ended
