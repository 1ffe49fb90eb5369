"""Places where a fault can strike: each request that a process of the service makes, before and
after it takes effect.

The product has no hooks for this. Its processes reach Redis through a wire of their own (wire.py)
and GitHub, the model and the sandboxes through a gate (gate.py); both know which process knocks,
and hold a request, or its answer, while a trap does its harm.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Literal

Moment = Literal["before", "after"]  # the request takes effect
# "abandon": the request never takes effect, as if its sender had died just before sending it.
Fate = Literal["go on", "abandon"]


@dataclass(frozen=True, slots=True)
class Knock:
    """One request of one process."""

    process: str  # "worker-2"; empty where it is not known
    place: str  # "github", "model", "sandbox", "redis"
    method: str  # an HTTP method, or the name of a script or command of Redis
    path: str  # of the URL, or the command's arguments, cut short

    def __str__(self) -> str:
        return f"{self.process} {self.place} {self.method} {self.path[:100]}"


Act = Callable[[Knock], Coroutine[None, None, Fate]]


@dataclass(slots=True)
class Trap:
    """Springs once, at the `nth` request that fits."""

    fits: Callable[[Knock], bool]
    moment: Moment
    act: Act
    nth: int = 1
    sprung: bool = False
    acting: "asyncio.Future[Fate] | None" = None


@dataclass(slots=True)
class Traps:
    """All that are set, and whoever wants to hear of each request."""

    set: list[Trap] = field(default_factory=list)
    watch: Callable[[Knock, Moment], None] | None = None

    def wanted(self, knock: Knock) -> bool:
        """Whether the answer to this request has to be held back whole."""
        return any(not trap.sprung and trap.fits(knock) for trap in self.set)

    async def spring(self, knock: Knock, moment: Moment) -> Fate:
        if self.watch is not None:
            self.watch(knock, moment)
        fate: Fate = "go on"
        for trap in list(self.set):
            if trap.sprung or trap.moment != moment or not trap.fits(knock):
                continue
            trap.nth -= 1
            if trap.nth == 0:
                trap.sprung = True
                # Shielded: killing who knocked also ends whatever serves the knock.
                trap.acting = asyncio.ensure_future(trap.act(knock))
                if await asyncio.shield(trap.acting) == "abandon":
                    fate = "abandon"
        return fate
