"""One run with several requests and injuries at random; the seed tells which, whom and when."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from redis.exceptions import RedisError

from jobs.events import Claimed, Finished, JobEvent
from jobs.queue.errors import StoreUnreachable
from tests.faults.ground import Asked, Ground
from tests.faults.named import Outcome, over
from tests.faults.processes import Process
from vibecoder.local.github import hooks
from vibecoder.local.model.script import Turn

WRITES = ("/comments", "/reactions", "/pulls", "/check-runs", "git-receive-pack")
READS = ("/collaborators/", "/issues/", "/pulls", "/check-runs", "info/refs", "git-upload-pack")


@dataclass(frozen=True, slots=True)
class Injury:
    """What is to happen, as the seed says."""

    kind: str
    at: float  # seconds after the first request
    whom: float  # 0 to 1: which of those it may hit
    seconds: float  # how long it lasts


Strike = Callable[[Ground, Injury, list[Asked]], Awaitable[str]]  # returns who was hit


async def run(ground: Ground, seed: int, only: str, again: str) -> Outcome:
    """Asks for some jobs, injures what the seed says, waits for the end, judges.

    `only` narrows the injuries down to the kinds whose name holds it.
    """
    random = Random(seed)
    able = {kind: weight for kind, (weight, _) in KINDS.items() if only in kind}
    lease = ground.timers.lease
    calm = 4.0 + 2 * lease  # seconds over which requests and injuries are spread
    starts = sorted(random.uniform(0, calm / 2) for _ in range(random.randint(3, 6)))
    starts[0] = 0.0
    injuries = [
        Injury(
            random.choices(list(able), list(able.values()))[0],
            random.uniform(0, calm),
            random.random(),
            random.uniform(0.1, 2.0) * lease,
        )
        for _ in range(random.randint(4, 10))
    ]
    kinds = sorted({injury.kind for injury in injuries})
    outcome = Outcome(kinds, again, requests=len(starts), struck=len(injuries))
    asked: list[Asked] = []
    hits: list[tuple[Injury, float, str]] = []
    began = time.monotonic()

    async def ask(at: float) -> None:
        await asyncio.sleep(began + at - time.monotonic())
        asked.append(ground.ask())

    async def strike(injury: Injury) -> None:
        await asyncio.sleep(began + injury.at - time.monotonic())
        at = time.time()
        hits.append((injury, at, await KINDS[injury.kind][1](ground, injury, asked)))

    async with asyncio.TaskGroup() as group:
        for start in starts:
            group.create_task(ask(start))
        for injury in injuries:
            group.create_task(strike(injury))
    ground.world.faults.clear()
    await over(ground, asked, outcome, ground.processes.mend)
    for each in asked:
        events = [event for _, event in await ground.store.history(each.job_id)]
        for injury, at, victim in hits:
            if (seconds := recovery(ground, events, at, victim)) is not None:
                outcome.recoveries.append((injury.kind, seconds))
        if (
            isinstance(end := events[-1] if events else None, Finished)
            and end.outcome == "cancelled"
        ):
            stopped = min(ground.stops.get(each.job_id, {}).values(), default=end.at)
            outcome.recoveries.append(("stopped by a person", end.at - stopped))
    return outcome


def recovery(ground: Ground, events: list[JobEvent], at: float, victim: str) -> float | None:
    """Seconds from an injury of the job's owner until the job went on; None: it was not hit."""
    owner = _owner(ground, [event for event in events if event.at <= at])
    if owner is None or victim not in {"redis", owner.name}:
        return None
    later = [event.at - at for event in events if event.at > at]
    return later[0] if later else None


async def _worker(ground: Ground, injury: Injury, asked: list[Asked]) -> Process | None:
    """One that has a job, if there is such a one."""
    able = [each for each in ground.processes.workers if each.alive and not each.frozen]
    busy = await _busy(ground, asked)
    found = [each for each in able if each in busy] or able
    return found[int(injury.whom * len(found))] if found else None


async def _busy(ground: Ground, asked: list[Asked]) -> list[Process]:
    found: list[Process] = []
    try:
        async with asyncio.timeout(0.5):
            for each in asked:
                events = [event for _, event in await ground.store.history(each.job_id)]
                owner = _owner(ground, events)
                if owner is not None:
                    found.append(owner)
    except (TimeoutError, StoreUnreachable):
        return found  # Redis was hit before
    return found


def _owner(ground: Ground, events: list[JobEvent]) -> Process | None:
    """Who has a job, as far as these events tell."""
    claims = [event for event in events if isinstance(event, Claimed)]
    if not claims or any(isinstance(event, Finished) for event in events):
        return None
    return ground.processes.of_pid(int(claims[-1].worker.split("-")[-2]))


async def _kill(process: Process | None, seconds: float) -> str:
    if process is None or not process.alive:
        return ""
    await process.kill()
    await asyncio.sleep(seconds)
    await process.start()
    return process.name


async def kill_worker(ground: Ground, injury: Injury, asked: list[Asked]) -> str:
    return await _kill(await _worker(ground, injury, asked), injury.seconds / 4)


async def kill_web(ground: Ground, injury: Injury, _: list[Asked]) -> str:
    return await _kill(ground.processes.web, injury.seconds / 4)


async def stop_worker(ground: Ground, injury: Injury, asked: list[Asked]) -> str:
    process = await _worker(ground, injury, asked)
    if process is None:
        return ""
    await process.stop()
    await process.start()
    return process.name


async def freeze_worker(ground: Ground, injury: Injury, asked: list[Asked]) -> str:
    process = await _worker(ground, injury, asked)
    if process is None:
        return ""
    process.freeze()
    await asyncio.sleep(injury.seconds)
    process.thaw()
    return process.name


async def cut_worker(ground: Ground, injury: Injury, asked: list[Asked]) -> str:
    process = await _worker(ground, injury, asked)
    if process is None:
        return ""
    process.wire.whole.clear()
    await asyncio.sleep(injury.seconds)
    process.wire.whole.set()
    return process.name


async def kill_redis(ground: Ground, injury: Injury, _: list[Asked]) -> str:
    if not ground.server.up:
        return ""
    ground.server.kill()
    await asyncio.sleep(injury.seconds / 2)
    ground.server.start()
    return "redis"


async def empty_redis(ground: Ground, injury: Injury, _: list[Asked]) -> str:
    """All data is gone, and the server is there as if nothing had happened."""
    if not ground.server.up:
        return ""
    try:
        async with asyncio.timeout(2):
            await ground.store.redis.flushall()
    except (TimeoutError, RedisError):
        return ""  # it is frozen just now
    ground.losses += 1
    return "redis"


async def freeze_redis(ground: Ground, injury: Injury, _: list[Asked]) -> str:
    if not ground.server.up:
        return ""
    pid = ground.server.running.pid
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(injury.seconds / 2)
    if ground.server.up and ground.server.running.pid == pid:
        os.kill(pid, signal.SIGCONT)
    return "redis"


async def fail_github(ground: Ground, injury: Injury, _: list[Asked]) -> str:
    """One of: an error instead of the effect, or after it, a slow answer, one that breaks off."""
    random = Random(injury.whom)
    add = ground.world.faults.add
    match random.randrange(5):
        case 0:
            add("*", random.choice(READS), random.randint(1, 2), status=502)
        case 1:
            add("*", random.choice(WRITES), random.randint(1, 2), status=502, late=True)
        case 2:
            add("*", random.choice(WRITES), status=500)
        case 3:
            add("*", random.choice(WRITES + READS), cut=10)
        case 4:
            add("*", random.choice(WRITES + READS), delay=injury.seconds)
    return "github"


async def limit_github(ground: Ground, injury: Injury, _: list[Asked]) -> str:
    words = '{"message":"You have exceeded a secondary rate limit. Please wait."}'
    path = Random(injury.whom).choice(WRITES)
    ground.world.faults.add("POST", path, status=403, headers={"Retry-After": "1"}, body=words)
    return "github"


async def expire_tokens(ground: Ground, _: Injury, __: list[Asked]) -> str:
    ground.world.expire_tokens()
    return "github"


async def fail_model(ground: Ground, injury: Injury, _: list[Asked]) -> str:
    faults = (Turn(status=529), Turn(status=500), Turn(cut_after_events=2),
              Turn(error_after_events=1))  # fmt: skip
    ground.stage.interrupt(faults[int(injury.whom * len(faults))])
    return "model"


async def kill_sandbox(ground: Ground, injury: Injury, _: list[Asked]) -> str:
    if found := await ground.sandboxes():
        await ground.kill_sandbox(found[int(injury.whom * len(found))])
    return "sandbox"


async def lose_delivery(ground: Ground, injury: Injury, _: list[Asked]) -> str:
    ground.world.faults.add("HOOK", r"issue_comment\.created", drop=True)
    return "delivery"


async def double_delivery(ground: Ground, injury: Injury, asked: list[Asked]) -> str:
    """Under the same GUID, again by hand, and under another GUID."""
    match int(injury.whom * 3):
        case 0:
            ground.world.faults.add("HOOK", r"issue_comment\.created", duplicate=True)
        case 1:
            for each in asked:
                for attempt in ground.deliveries_of(each)[:1]:
                    hooks.redeliver(ground.world, attempt)
        case _:
            for each in asked:
                ground.deliver_twin(each)
    return "delivery"


async def stop_job(ground: Ground, injury: Injury, asked: list[Asked]) -> str:
    """A person changes their mind: the job is to end soon, with the commits that it made."""
    if not asked:
        return ""
    ground.stop(asked[int(injury.whom * len(asked))])
    return "stop"


async def delay_delivery(ground: Ground, injury: Injury, _: list[Asked]) -> str:
    ground.world.faults.add("HOOK", r"issue_comment\.created", delay=injury.seconds)
    return "delivery"


KINDS: dict[str, tuple[float, Strike]] = {
    "worker killed": (5, kill_worker),
    "worker frozen": (3, freeze_worker),
    "worker told to stop": (2, stop_worker),
    "worker cut from Redis": (2, cut_worker),
    "web killed": (2, kill_web),
    "Redis killed": (2, kill_redis),
    "Redis frozen": (1, freeze_redis),
    "Redis emptied": (1, empty_redis),
    "GitHub fails": (4, fail_github),
    "GitHub limits": (1, limit_github),
    "tokens expire": (1, expire_tokens),
    "model fails": (2, fail_model),
    "sandbox killed": (1, kill_sandbox),
    "delivery lost": (1, lose_delivery),
    "delivery doubled": (2, double_delivery),
    "delivery late": (1, delay_delivery),
    "stopped by a person": (1, stop_job),
}
