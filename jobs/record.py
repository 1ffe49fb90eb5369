"""What jobs are worked with, and a job's record while one worker owns it."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from agent.model import Model
from agent.sandbox import Sandboxes
from jobs.events import Finished, JobEvent, Outcome
from jobs.forge.errors import NotGranted
from jobs.forge.github import Forge, GitHub
from jobs.forge.report import Report
from jobs.job import Job
from jobs.queue.lease import Lease
from jobs.queue.spending import Spending
from jobs.queue.store import Store
from jobs.seal import Seal


@dataclass(frozen=True, slots=True)
class Workshop:
    """What jobs are worked with; one per worker."""

    store: Store
    github: GitHub
    sandboxes: Sandboxes
    model: Model
    spending: Spending
    usd: Decimal  # the operator's ceiling for one job
    daily_usd: Decimal | None  # … and for all of a day, UTC
    minutes: int
    folder: Path  # for clones; it exists, and is emptied job by job
    public_url: str | None
    seal: Seal
    clock: Callable[[], float] = time.time


class Record:
    """The job as this worker knows it. What is added is stored first, under the lease's token."""

    def __init__(self, shop: Workshop, lease: Lease, job: Job) -> None:
        self.shop = shop
        self.lease = lease
        self.job = job
        self.changed = asyncio.Event()
        self._adding = asyncio.Lock()
        self._steered = ""

    @property
    def now(self) -> float:
        return self.shop.clock()

    async def add(self, *events: JobEvent, seen: str | None = None) -> None:
        """Raises LeaseLost where another worker owns the job by now; Conflict after `seen`."""
        async with self._adding:  # else two could be applied here in another order than there
            await self.shop.store.append(self.job.id, events, token=self.lease.token, seen=seen)
            for event in events:
                self.job = self.job.apply(event)
        self.changed.set()

    async def read(self) -> str:
        """Takes in what others added; the last event's id, for `add(seen=…)`."""
        async with self._adding:
            self.job, seen = await self.shop.store.read(self.job.id)
        return seen

    async def listen(self) -> Job:
        """The job with what people said to it meanwhile."""
        newest = await self.shop.store.steered(self.job.id)
        if newest != self._steered:
            await self.read()
            self._steered = newest
        return self.job

    def end(
        self, outcome: Outcome, summary: str, not_done: tuple[str, ...] | None = None
    ) -> Finished:
        """The end as of now; what remains is read off the plan where nobody says it."""
        left = self._left() if not_done is None and outcome != "succeeded" else not_done or ()
        return Finished(self.now, outcome, summary, left)

    def _left(self) -> tuple[str, ...]:
        plan = self.job.plan
        return tuple(step.title for step in plan.steps[self.job.steps_done :]) if plan else ()

    async def forge(self) -> Forge:
        """The job's repository, reached with a token for it alone; written to under the lease."""
        forge = await self.shop.github.repository(*self.job.repository.key)
        return forge.guarded(self.lease.guard)

    async def report(self) -> Report:
        """What shows the job on GitHub, each write under the lease.

        Raises NotGranted where the App may not even comment.
        """
        try:
            forge = await self.forge()
        except NotGranted:
            forge = await self.shop.github.voice(*self.job.repository.key)
        return Report(forge, self.shop.public_url, self.lease.guard, self.shop.seal)
