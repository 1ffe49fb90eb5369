"""A server to kill, what to fill it with, and ways to wait for what comes of that."""

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import cast

from agent.plan import Plan, Step
from jobs.commands import Actor, Comment, Issue, Repository, StartJob
from jobs.events import Approved, CancelAsked, Finished, Planned
from jobs.queue.store import Store, job_id_of
from vibecoder.local import redis

ANN = Actor(7, "ann")
REPOSITORY = Repository(installation_id=11, id=22, name="ann/clock", private=False)
PLAN = Plan("Fix the clock", "It is late.", (Step("fix", "Fix it", "so that it is on time"),))


class Server:
    """The embedded server, which tests may kill and start again."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vcq"))
        self.start()

    def start(self) -> None:
        self.running = redis.start(self.folder, die_with_parent=True)
        self.url = self.running.url

    def kill(self) -> None:
        os.kill(self.running.pid, signal.SIGKILL)
        os.waitpid(self.running.pid, 0)


def start(
    key: str, issue: int | None = 1, installation: int = 11, repository: int = 22
) -> StartJob:
    return StartJob(
        key,
        ANN,
        Repository(installation, repository, "ann/clock", private=False),
        "fix the clock",
        plan_only=False,
        issue=None if issue is None else Issue(issue, "The clock is late"),
        comment=None if issue is None else Comment(7, "https://github.example/comment/7"),
    )


def planned(waits: bool) -> Planned:
    return Planned(time.time(), PLAN, PLAN.digest("a" * 40, Decimal(5)), waits)


def approved() -> Approved:
    return Approved(time.time(), ANN, PLAN.digest("a" * 40, Decimal(5)))


def cancel_asked() -> CancelAsked:
    return CancelAsked(time.time(), ANN)


def finished() -> Finished:
    return Finished(time.time(), "succeeded", "Done.")


async def make_job(
    store: Store,
    key: str,
    issue: int | None = None,
    installation: int = 11,
    repository: int = 22,
) -> str:
    """A job whose command is settled and that waits in the queue for its first run."""
    submitted = await store.submit(start(key, issue, installation, repository), time.time())
    await store.settle(submitted.command_id, "followed")
    await store.enqueue_run(job_id_of(key))
    return job_id_of(key)


async def field_of(store: Store, key: str, field: str) -> bytes | None:
    return await cast("Awaitable[bytes | None]", store.redis.hget(key, field))


async def fence_of(store: Store, id_: str) -> int:
    """The token of the record's last claim."""
    return int(await field_of(store, f"vc:rec:{id_}", "fence") or -1)


async def eventually(
    true: Callable[[], Awaitable[object]], seconds: float = 30, every: float = 0.02
) -> None:
    """Waits for a state that another process brings about; fails when it never comes."""
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110 another process cannot set an event of ours
            await asyncio.sleep(every)
