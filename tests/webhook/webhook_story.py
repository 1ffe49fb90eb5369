"""What a worker would tell of a job, for tests that have none."""

import time
from decimal import Decimal

from agent.plan import Plan, Step
from jobs.commands import Actor
from jobs.events import (
    Allowed,
    Approved,
    Claimed,
    Cloned,
    Finished,
    Outcome,
    Planned,
    PullOpened,
    StepBegan,
    StepCommitted,
)
from jobs.queue.store import Store

BASE = "1" * 40
PLAN = Plan(
    title="Retry with jitter",
    summary="Two clients no longer retry in step.",
    steps=(
        Step("jitter", "Add jitter to the retry", "Spread the waits.", ("client.py",), "it passes"),
        Step("test", "Test the spread", "Show that waits differ.", ("test_client.py",)),
    ),
    verification=("pytest -q",),
)
DIGEST = PLAN.digest(BASE, Decimal(5))
BRANCH = "vibecode/7-retry"


async def plans(store: Store, job_id: str) -> None:
    """The worker takes the job up to the plan, which waits."""
    now = time.time()
    await store.append(
        job_id,
        [
            Allowed(now, "write"),
            Claimed(now, "w", 1),
            Cloned(now, "main", BASE, BRANCH, 3, 300, 0.1),
            Planned(now, PLAN, DIGEST, waits=True),
        ],
    )


async def follows(store: Store, job_id: str, actor: Actor) -> None:
    """The worker carries the accepted plan out, up to the first commit."""
    now = time.time()
    await store.append(
        job_id,
        [
            Approved(now, actor, DIGEST),
            Claimed(now, "w", 2),
            StepBegan(now, 1),
            StepCommitted(now, 1, "2" * 40, "Add jitter to the retry", ("client.py",), 3, 1, 2),
        ],
    )


async def opens(store: Store, job_id: str, url: str) -> None:
    """The worker opens the pull request."""
    await store.append(job_id, [PullOpened(time.time(), 8, url)])


async def ends(store: Store, job_id: str, outcome: Outcome, summary: str) -> None:
    """The worker is through."""
    await store.append(job_id, [Finished(time.time(), outcome, summary)])
