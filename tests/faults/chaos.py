"""One run with several requests and injuries at random; the seed tells which, whom and when."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from redis.exceptions import RedisError

from jobs.events import Claimed, Finished, JobEvent
from jobs.queue.errors import StoreUnreachable
from tests.faults import phone
from tests.faults.ground import Asked, Ground
from tests.faults.judge import Fault
from tests.faults.named import Outcome, over
from tests.faults.processes import CODE, Process
from vibecoder.local.github import hooks
from vibecoder.local.model.script import Turn, say

WRITES = ("/comments", "/reactions", "/pulls", "/check-runs", "git-receive-pack")
WISHES = 0.25  # how many requests come from the phone
SECOND = 0.3  # how many runs have a second request on an issue
AMID = "amid outages of Redis or of all workers"  # a row for the recoveries that had to wait
_BOOT = 5.0  # seconds after which a new process surely works
READS = ("/collaborators/", "/issues/", "/pulls", "/check-runs", "info/refs", "git-upload-pack")


@dataclass(frozen=True, slots=True)
class Injury:
    """What is to happen, as the seed says."""

    kind: str
    at: float  # seconds after the first request
    whom: float  # 0 to 1: which of those it may hit
    seconds: float  # how long it lasts


@dataclass(frozen=True, slots=True)
class Hit:
    """What did happen. Times are seconds since the epoch."""

    kind: str
    at: float
    until: float
    victim: str  # "worker-2", "redis"; empty: nobody was there


Strike = Callable[[Ground, Injury, list[Asked]], Awaitable[str]]  # returns who was hit


async def run(ground: Ground, seed: int, only: str, again: str) -> Outcome:
    """Asks for some jobs, injures what the seed says, waits for the end, judges.

    `only` narrows the injuries down to the kinds whose name holds it. Where the ground has an older
    version, processes are also replaced by it and by ours, and in the end all of them are ours.
    """
    random = Random(seed)
    all_kinds = KINDS | (DEPLOYMENTS if ground.old else {})
    able = {kind: weight for kind, (weight, _) in all_kinds.items() if only in kind}
    lease = ground.timers.lease
    calm = 4.0 + 2 * lease  # seconds over which requests and injuries are spread
    starts = sorted(random.uniform(0, calm / 2) for _ in range(random.randint(3, 6)))
    starts[0] = 0.0
    wishes = [random.random() < WISHES for _ in starts]
    again_at = random.uniform(calm / 2, calm) if random.random() < SECOND else None
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
    phones: list[asyncio.Task[None]] = []
    hits: list[Hit] = []
    began = time.monotonic()

    async def ask(at: float, *, wish: bool) -> None:
        await asyncio.sleep(began + at - time.monotonic())
        if wish:
            asked.append(ground.wish())
            phones.append(asyncio.create_task(phone.use(ground, asked[-1])))
        else:
            asked.append(ground.ask())

    async def ask_again(at: float) -> None:
        await asyncio.sleep(began + at - time.monotonic())
        if first := next((each for each in reversed(asked) if each.issue), None):
            asked.append(ground.ask_again(first))
            outcome.requests += 1

    async def strike(injury: Injury) -> None:
        await asyncio.sleep(began + injury.at - time.monotonic())
        at = time.time()
        victim = await all_kinds[injury.kind][1](ground, injury, asked)
        hits.append(Hit(injury.kind, at, time.time(), victim))

    async with asyncio.TaskGroup() as group:
        for start, wish in zip(starts, wishes, strict=True):
            group.create_task(ask(start, wish=wish))
        if again_at is not None:
            group.create_task(ask_again(again_at))
        for injury in injuries:
            group.create_task(strike(injury))
    ground.world.faults.clear()
    for process in [ground.processes.web, *ground.processes.workers]:
        if process.code != CODE:
            await process.deploy(CODE)
    await over(ground, asked, outcome, ground.processes.mend)
    for each in phones:
        each.cancel()
        for error in await asyncio.gather(each, return_exceptions=True):
            if isinstance(error, phone.Refused):
                outcome.faults.append(Fault("failed", "the phone", str(error)))
    for each in asked:
        events = [event for _, event in await ground.store.history(each.job_id)]
        for hit in hits:
            if (seconds := recovery(ground, events, hit)) is not None:
                kind = hit.kind if _alone(ground, hit, seconds, hits) else AMID
                outcome.recoveries.append((kind, seconds))
                if kind not in outcome.kinds:
                    outcome.kinds.append(kind)
        if (
            isinstance(end := events[-1] if events else None, Finished)
            and end.outcome == "cancelled"
        ):
            stopped = min(ground.stops.get(each.repository.full_name, {}).values(), default=end.at)
            outcome.recoveries.append(("stopped by a person", end.at - stopped))
    return outcome


def recovery(ground: Ground, events: list[JobEvent], hit: Hit) -> float | None:
    """Seconds from an injury of the job's owner until the job went on; None: it was not hit."""
    owner = _owner(ground, [event for event in events if event.at <= hit.at])
    if owner is None or hit.victim not in {"redis", owner.name}:
        return None
    later = [event.at - hit.at for event in events if event.at > hit.at]
    return later[0] if later else None


def _alone(ground: Ground, hit: Hit, seconds: float, hits: list[Hit]) -> bool:
    """Whether Redis was there, and another worker, from the injury until the job went on."""
    until = hit.at + seconds
    struck = {
        other.victim
        for other in hits
        if other is not hit and other.at < until and other.until + _BOOT > hit.at
    }
    others = {worker.name for worker in ground.processes.workers} - {hit.victim}
    return "redis" not in struck and bool(others - struck)


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


async def fill_redis(ground: Ground, injury: Injury, _: list[Asked]) -> str:
    """It has no memory left, and refuses what would take more."""
    if not ground.server.up:
        return ""
    redis = ground.store.redis
    try:
        async with asyncio.timeout(2):
            used = int((await redis.info("memory"))["used_memory"])
            await redis.config_set("maxmemory", used + 64 * 1024)
    except (TimeoutError, RedisError):
        return ""  # it is frozen just now
    ground.fills += 1
    await asyncio.sleep(injury.seconds / 2)
    while ground.server.up:  # one that was started since then has its memory
        with suppress(RedisError):
            await redis.config_set("maxmemory", 0)
            break
        await asyncio.sleep(0.1)
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
    words = (say("Let me look"),)  # without any, a cut after two events would be a whole answer
    faults = (Turn(status=529), Turn(status=500), Turn(words, cut_after_events=2),
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
    if able := [each for each in asked if each.issue and not each.second]:
        ground.stop(able[int(injury.whom * len(able))])
    return "stop"


async def delay_delivery(ground: Ground, injury: Injury, _: list[Asked]) -> str:
    ground.world.faults.add("HOOK", r"issue_comment\.created", delay=injury.seconds)
    return "delivery"


async def deploy_worker(ground: Ground, injury: Injury, asked: list[Asked]) -> str:
    process = await _worker(ground, injury, asked)
    return await _deploy(ground, process) if process else ""


async def deploy_web(ground: Ground, _: Injury, __: list[Asked]) -> str:
    return await _deploy(ground, ground.processes.web)


async def _deploy(ground: Ground, process: Process) -> str:
    """The version that it is not."""
    assert ground.old is not None
    await process.deploy(ground.old if process.code == CODE else CODE)
    return process.name


DEPLOYMENTS: dict[str, tuple[float, Strike]] = {
    "worker of the other version": (30, deploy_worker),
    "web of the other version": (10, deploy_web),
}
KINDS: dict[str, tuple[float, Strike]] = {
    "worker killed": (5, kill_worker),
    "worker frozen": (3, freeze_worker),
    "worker told to stop": (2, stop_worker),
    "worker cut from Redis": (2, cut_worker),
    "web killed": (2, kill_web),
    "Redis killed": (2, kill_redis),
    "Redis frozen": (1, freeze_redis),
    "Redis emptied": (1, empty_redis),
    "Redis full": (1, fill_redis),
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
