"""What people see of one job on GitHub, kept true while a worker owns it.

All of it follows from the Job alone: a worker that takes over shows the same again, in the same
comments, pull request and check runs.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import structlog

from jobs.events import Checked
from jobs.forge import proof, render
from jobs.forge.errors import (
    GitHubUnreachable,
    Locked,
    Missing,
    NotGranted,
    ValidationRefused,
)
from jobs.forge.facts import Conclusion, Guard
from jobs.forge.github import Forge
from jobs.forge.pieces import watch_url
from jobs.job import Job
from jobs.memo import memo
from jobs.seal import Seal

CHECK = "vibecode"  # the check run's name, as a branch protection would require it
SOONEST = 5.0  # seconds between two writes of mere progress, at the beginning of a job
LATEST = 120.0  # and late in a long one
LOOK_BACK = 3_600.0  # seconds before the request from which on our comment is looked for

log = structlog.get_logger()


class Report:
    """One job's comments, pull request and check runs.

    Progress is written every few seconds at most, and ever more seldom in a long job, because
    GitHub allows an installation some 500 such writes an hour. A commit is written at once, unless
    few of these are left, and what people wait for always.
    """

    def __init__(
        self, forge: Forge, public_url: str | None, guard: Guard, seal: Seal | None = None
    ) -> None:
        """`seal`: with it our comments remember their jobs, unseen."""
        self._seal = seal
        self._forge = forge.guarded(guard)
        self._public_url = public_url
        self._showing = asyncio.Lock()
        self._state: object = None  # that GitHub shows
        self._turn: object = None  # in the job's life, that GitHub shows
        self._at = -math.inf  # when it was last written to, monotonic
        self._standing: dict[str, object] = {}  # what each place says now
        self._shut: set[str] = set()  # places that took nothing: locked, gone, not granted

    async def show(self, job: Job) -> list[Checked]:
        """Makes GitHub say what `job` says; the check runs that are new, to be recorded.

        To be called after every event, and on a beat: what has not changed is not written again.
        While the job runs, an outage or a rate limit only delays, and the next call catches up. At
        its end they are raised, because nobody would come back.
        """
        async with self._showing:  # else an older rendering could arrive after a newer one
            return await self._show(job)

    async def _show(self, job: Job) -> list[Checked]:
        turn = (job.state, job.digest, job.cancelled_by, job.budget)
        state = (turn, job.commits, job.pull)
        ago = time.monotonic() - self._at
        if state == self._state and ago < self._interval(job):
            return []
        if turn == self._turn and ago < LATEST and await self._forge.scarce():
            return []
        new: list[Checked] = []
        try:
            await self._comment(job)
            await self._describe(job)
            await self._check(job, new)
            self._state, self._turn = state, turn
        except GitHubUnreachable as error:
            if job.ended:
                raise
            log.warning("report_behind", job=job.id, why=str(error))
        self._at = time.monotonic()
        return new

    def _interval(self, job: Job) -> float:
        return min(LATEST, max(SOONEST, (time.time() - job.received_at) / 20))

    async def _comment(self, job: Job) -> None:
        hidden = memo(job, self._seal) if self._seal is not None else ""
        if job.issue is not None:
            text = render.issue_comment(job, self._public_url)
            await self._say(job, job.issue.number, text, hidden=hidden)
        if job.pull is not None:
            text = render.pull_comment(job, self._public_url)
            await self._say(job, job.pull.number, text, hidden=hidden)
        if thread := job.issue or job.pull:
            for n, text in enumerate(render.patch_comments(job), 1):
                await self._say(job, thread.number, text, f"patch:{job.id}:{n}")

    async def _say(self, job: Job, number: int, text: str, key: str = "", hidden: str = "") -> None:
        since = datetime.fromtimestamp(max(0.0, job.received_at - LOOK_BACK), UTC)

        async def write() -> None:
            await self._forge.comment(number, key or f"job:{job.id}", text, since, hidden)

        await self._place(job, f"#{number} {key}", (text, hidden), write)

    async def _describe(self, job: Job) -> None:
        if job.pull is None:
            return
        body, title = render.pull_body(job), render.pull_title(job)

        async def write() -> None:
            await self._forge.pull(head=job.branch, base=job.base, title=title, body=body)

        await self._place(job, "body", body, write)

    async def _check(self, job: Job, new: list[Checked]) -> None:
        """The last commit's run says how it goes; those before it are over, as superseded."""
        for commit in reversed(job.commits):
            if commit.sha == job.head_sha:
                await self._run(job, commit.sha, proof.conclusion(job), render.check(job), new)
            else:
                await self._run(job, commit.sha, "neutral", render.superseded(job, commit), new)

    async def _run(
        self,
        job: Job,
        sha: str,
        verdict: Conclusion | None,
        text: render.CheckText,
        new: list[Checked],
    ) -> None:
        place = f"check {sha}"

        async def write() -> None:
            id = await self._forge.check(
                name=CHECK,
                head_sha=sha,
                external_id=job.id,
                status="in_progress" if verdict is None else "completed",
                conclusion=verdict,
                title=text.title,
                summary=text.summary,
                text=text.text,
                details_url=watch_url(job, self._public_url),
            )
            if place not in self._standing and all(known.head_sha != sha for known in job.checks):
                new.append(Checked(time.time(), id, sha))

        await self._place(job, place, (verdict, text), write)

    async def _place(
        self, job: Job, place: str, content: object, write: Callable[[], Awaitable[None]]
    ) -> None:
        """Writes what is new there. Where GitHub takes nothing, the other places still tell."""
        if self._standing.get(place) == content or (place in self._shut and not job.ended):
            return
        try:
            await write()
        except (Locked, Missing, NotGranted, ValidationRefused) as error:
            log.warning("place_shut", job=job.id, place=place, why=str(error))
            self._shut.add(place)
        else:
            self._standing[place] = content
