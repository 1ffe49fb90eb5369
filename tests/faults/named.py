"""One run with one injury at one named point."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from shutil import rmtree
from typing import cast

from jobs.events import Claimed
from jobs.queue.errors import JobUnknown
from jobs.queue.store import command_id_of
from tests.faults.ground import Asked, Ground, until
from tests.faults.judge import Fault, clones_of, judge, left_over
from tests.faults.points import Point
from tests.faults.processes import DEFAULT
from tests.faults.traps import Act, Fate, Knock, Trap

PATIENCE = 60.0  # seconds beside what the timers make one wait


@dataclass(slots=True)
class Outcome:
    """How one run went."""

    kinds: list[str]  # of the injuries, the rows of the table
    again: str  # the arguments that make the same run
    requests: int = 0
    struck: int = 0  # injuries that really happened
    recoveries: list[tuple[str, float]] = field(default_factory=list)  # kind, seconds
    faults: list[Fault] = field(default_factory=list)


async def run(ground: Ground, point: Point, injury: str, again: str) -> Outcome:
    """Asks for one job, injures what is at the point, waits for the end, judges."""
    outcome = Outcome([injury], again, requests=1)
    strike = _Strike(ground, injury)
    trap = Trap(
        point.fits,
        "before" if injury in {"kill unsent", "freeze", "overlap", "zombie"} else "after",
        strike,
        point.nth,
    )
    if point.since is None:
        ground.traps.set = [trap]
    else:
        ground.traps.set = [Trap(point.since, "before", _adding(ground, trap))]
    asked = strike.asked = ground.ask()
    await over(ground, [asked], outcome, strike.done)
    outcome.struck = int(trap.sprung)
    if not trap.sprung:
        outcome.faults.append(Fault("failed", str(asked), f"{point.name} was never reached"))
    elif injury != "lost answer":
        seconds = await recovery(ground, asked, strike.at)
        outcome.recoveries += [(injury, each) for each in seconds]
        # Shorter leases than the product's are no promise: this machine may be busy.
        if ground.timers is DEFAULT and max(seconds, default=0) > DEFAULT.takeover:
            words = f"another worker had it only after {max(seconds):.1f} s"
            outcome.faults.append(Fault("failed", str(asked), words))
    return outcome


def _adding(ground: Ground, trap: Trap) -> Act:
    async def act(knock: Knock) -> Fate:
        ground.traps.set.append(trap)
        return "go on"

    return act


class _Strike:
    """What happens when the trap springs."""

    def __init__(self, ground: Ground, injury: str) -> None:
        self.ground = ground
        self.injury = injury
        self.asked: Asked | None = None
        self.at = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._idle = asyncio.Event()  # set while nothing is being done to anybody
        self._idle.set()

    async def done(self) -> None:
        """Returns once whoever was struck is up again."""
        await self._idle.wait()
        await asyncio.gather(*self._tasks)

    async def __call__(self, knock: Knock) -> Fate:
        self._idle.clear()
        try:
            return await self._strike(knock)
        finally:
            self._idle.set()

    async def _strike(self, knock: Knock) -> Fate:
        assert self.asked is not None
        victim = self.ground.processes[knock.process]
        self.at = time.time()
        match self.injury:
            case "kill" | "kill unsent":
                await victim.kill()
                await victim.start()
                return "abandon"
            case "term":
                self._tasks.append(asyncio.create_task(self._stop(knock)))
            case "freeze" | "overlap" | "zombie":
                fence = await _fence(self.ground, self.asked)
                victim.freeze()
                if knock.process == "web":
                    await asyncio.sleep(self.ground.timers.takeover)
                else:
                    await self._superseded(fence)
                victim.thaw()
            case "lost answer":
                return "abandon"
            case "redis":
                self.ground.server.kill()
                self._tasks.append(asyncio.create_task(self._restart_redis()))
        return "go on"

    async def _superseded(self, fence: int) -> None:
        asked = self.asked
        assert asked is not None

        async def taken() -> bool:
            return await _fence(self.ground, asked) > fence

        async def over() -> bool:
            return await ended(self.ground, asked)

        async def amid() -> bool:
            return len(self.ground.stage.requests) > turns or await over()

        await until(taken, PATIENCE)
        turns = len(self.ground.stage.requests)
        if self.injury == "overlap":
            await until(amid, PATIENCE)  # by then it has cloned
        elif self.injury == "zombie":
            await until(over, PATIENCE)

    async def _stop(self, knock: Knock) -> None:
        victim = self.ground.processes[knock.process]
        await victim.stop()
        await victim.start()

    async def _restart_redis(self) -> None:
        await asyncio.sleep(1)
        self.ground.server.start()


async def _fence(ground: Ground, asked: Asked) -> int:
    """How often the command and the job were claimed together."""
    found = 0
    for id_ in (command_id_of(asked.key), asked.job_id):
        key = f"vc:rec:{id_}"
        fence = await cast("asyncio.Future[bytes | None]", ground.store.redis.hget(key, "fence"))
        found += int(fence or 0)
    return found


async def ended(ground: Ground, asked: Asked) -> bool:
    try:
        return (await ground.store.load(asked.job_id)).ended
    except JobUnknown:
        return False


async def over(
    ground: Ground, asked: list[Asked], outcome: Outcome, struck: Callable[[], Awaitable[None]]
) -> None:
    """Waits until all jobs have ended, `struck` returns and everything is at rest, then judges."""
    timers = ground.timers

    async def all_ended() -> bool:
        asked[:] = [await ground.found(each) for each in asked]
        return all([await ended(ground, each) or ground.answered(each) for each in asked])

    done = await until(all_ended, PATIENCE + 4 * timers.takeover + 2 * timers.missed, every=0.2)
    if done:
        await struck()
    outcome.faults += [
        Fault("failed", process.name, f"it ended by itself: {process.last_words()}")
        for process in [ground.processes.web, *ground.processes.workers]
        if not process.alive
    ]
    ground.traps.set.clear()
    await ground.processes.mend()
    if done:
        await _at_rest(ground, 2 * timers.takeover + timers.sandboxes + 10)
        await ground.world.courier.settled()
    outcome.faults += await judge(ground, asked)
    for process in ground.processes.workers:
        for left in clones_of(ground, process):
            rmtree(left)


async def _at_rest(ground: Ground, seconds: float) -> None:
    """Returns once nothing has been left to do for a while, or the time is over."""
    since: float | None = None
    calm = max(1.0, 0.3 * ground.timers.lease)  # a heartbeat, so that who was frozen has woken up

    async def quiet() -> bool:
        nonlocal since
        if await left_over(ground):
            since = None
            return False
        since = since or time.monotonic()
        return time.monotonic() - since > calm

    await until(quiet, seconds, every=0.1)


async def recovery(ground: Ground, asked: Asked, at: float) -> list[float]:
    """Seconds from the injury until another owner had the job, if one had to."""
    events = [event for _, event in await ground.store.history(asked.job_id)]
    claims = [event.at for event in events if isinstance(event, Claimed) and event.at > at]
    return [claims[0] - at] if claims else []
