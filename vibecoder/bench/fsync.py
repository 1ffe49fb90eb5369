"""What `appendfsync` costs: deliveries stored and jobs queued, with no fsync, every second, always.

The embedded server's binary with an append-only file; the setting is changed in turn on the running
server. A request is what the front door does with a `/vibecode` comment and nothing else: the
delivery of 12 KB is kept, the command submitted, the delivery settled, each of them one script.
Requests come one after another, and 16 at a time: then the server syncs once for several of them.
The client is this process, so its own processor time limits the speed too. What a sync takes is the
disk's matter: the file lies in the temporary folder.
"""

import asyncio
import time
from collections.abc import Iterator
from itertools import count

from jobs.commands import Actor, Comment, Issue, Repository, StartJob
from jobs.queue.store import Delivery, Store
from vibecoder.bench.ground import Ground, empty_store
from vibecoder.bench.rows import Row, row

SETTINGS = ("no", "everysec", "always")
ROUNDS = 6
REQUESTS = 300  # a round
CONCURRENT = 16
BODY = b"x" * 12_000


async def measure(ground: Ground) -> list[Row]:
    rows: list[Row] = []
    async with empty_store(ground, "fsync") as store:
        numbers = count(1)
        for lanes, how in ((1, "one after another"), (CONCURRENT, f"{CONCURRENT} at a time")):
            speed: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
            took: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
            for number in range(ROUNDS + 1):
                for setting in SETTINGS if number % 2 else reversed(SETTINGS):
                    await store.redis.config_set("appendfsync", setting)
                    began = time.perf_counter()
                    seconds = await _enqueue(store, numbers, lanes)
                    if number:  # the first round is a warm-up
                        speed[setting].append(REQUESTS / (time.perf_counter() - began))
                        took[setting] += [one * 1e3 for one in seconds]
            rows += _rows(how, speed, took)
    return rows


def _rows(how: str, speed: dict[str, list[float]], took: dict[str, list[float]]) -> list[Row]:
    everysec = row(f"{how}: everysec, speed", "requests/s", speed["everysec"])
    made = [
        everysec
        if setting == "everysec"
        else row(f"{how}: {setting}, speed", "requests/s", speed[setting], against=everysec)
        for setting in SETTINGS
    ]
    return made + [row(f"{how}: {setting}, each", "ms", took[setting]) for setting in SETTINGS]


async def _enqueue(store: Store, numbers: Iterator[int], lanes: int) -> list[float]:
    """Seconds that each of the requests took."""
    left, took = iter(range(REQUESTS)), list[float]()

    async def lane() -> None:
        for _ in left:
            began = time.perf_counter()
            await _request(store, next(numbers))
            took.append(time.perf_counter() - began)

    async with asyncio.TaskGroup() as group:
        for _ in range(lanes):
            group.create_task(lane())
    return took


async def _request(store: Store, number: int) -> None:
    now = time.time()
    # An installation of its own each time, since one may have no more than so many jobs open.
    command = StartJob(
        key=f"comment:{number}:now",
        actor=Actor(1, "maya"),
        repository=Repository(number, number, f"owner-{number}/repo", private=False),
        text="fix the login page",
        plan_only=False,
        issue=Issue(1, "Something is wrong"),
        comment=Comment(number, f"https://github.com/owner-{number}/repo/issues/1"),
    )
    await store.keep_delivery(Delivery(f"guid-{number}", "issue_comment", BODY, now))
    submitted = await store.submit(command, now)
    await store.settle_delivery(f"guid-{number}", f"start_job {submitted.job_id}")
