"""How the store and the workers are, for whoever watches them."""

import json
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from jobs.queue.connection import told
from jobs.queue.spending import Spending
from jobs.queue.store import FULL, Store

ALERT = 0.7  # of Redis's memory
UNREAD_SECONDS = 60.0  # a worker reads what the front door left within about ten
UNSETTLED_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Trouble:
    """A time in which a worker could not reach Redis, in seconds since the epoch."""

    began: float
    ended: float

    def note(self) -> str:
        until = time.strftime("%H:%M:%S", time.gmtime(self.ended))
        seconds = self.ended - self.began
        return f"A worker was cut off from Redis for {seconds:.0f} s until {until} UTC."


@dataclass(frozen=True, slots=True)
class Health:
    """What Redis says at one moment."""

    workers: int  # that were alive within the last lease
    entries: dict[str, int]  # of the queue, waiting and running, by kind: "command", "job"
    open_jobs: int  # that have not ended
    waiting_jobs: int  # of those, the ones that wait for a person
    oldest_command: float  # seconds since it came and nobody settled it; 0: there is none
    oldest_delivery: float  # the same, of one that nobody read
    untold: int  # notifications that were not taken yet
    memory: float | None  # the part of maxmemory that is used; None: there is no limit
    noeviction: bool
    looked: bool  # False: an empty store, and no worker looked on GitHub yet for what was lost
    usd_today: Decimal  # of this day in UTC
    troubles: tuple[Trouble, ...]  # each living worker's last, of the last hour

    def notes(self) -> list[str]:
        """What an operator should look at, a sentence each; empty when all is well."""
        share = f"{self.memory:.0%}" if self.memory is not None else ""
        found = [
            (self.workers == 0, "No worker is alive: requests are kept, and nothing is done."),
            (
                self.workers > 0 and not self.looked,
                "The store was empty: jobs wait until a worker has looked on GitHub for lost work.",
            ),
            (
                self.oldest_delivery > UNREAD_SECONDS,
                f"A delivery has waited for {self.oldest_delivery:.0f} s to be read.",
            ),
            (
                self.oldest_command > UNSETTLED_SECONDS,
                f"A request has waited for {self.oldest_command:.0f} s to be settled.",
            ),
            (
                self.memory is not None and self.memory > FULL,
                f"Redis's memory is {share} full: new jobs are refused, running ones go on.",
            ),
            (
                self.memory is not None and ALERT < self.memory <= FULL,
                f"Redis's memory is {share} full; beyond {FULL:.0%} new jobs are refused.",
            ),
            (self.memory is None, "Redis has no maxmemory: nothing is refused before it is full."),
            (not self.noeviction, "Redis evicts keys: set maxmemory-policy noeviction."),
        ]
        notes = [sentence for holds, sentence in found if holds]
        return [*notes, *(trouble.note() for trouble in self.troubles)]


async def check_writing(store: Store) -> None:
    """Raises StoreUnreachable or StoreFull where Redis could not keep a delivery now."""
    with told():
        await store.redis.set("vc:memo:ready", "1", ex=60)


async def look(store: Store, now: float | None = None) -> Health:
    """Reads it all. Raises StoreUnreachable."""
    at = time.time() if now is None else now
    workers = await store.workers()
    with told():
        beats = await store.redis.mget([f"vc:worker:{name}" for name in workers]) if workers else []
        memory: dict[str, Any] = await store.redis.info("memory")
        async with store.redis.pipeline(transaction=False) as pipe:
            pipe.zrange("arq:queue", 0, -1)
            pipe.zcard("vc:active")
            pipe.zcard("vc:waiting")
            pipe.zrange("vc:commands", 0, 0, withscores=True)
            pipe.zrange("vc:deliveries", 0, 0, withscores=True)
            pipe.exists("vc:store")
            pipe.zcard("vc:outbox")
            entries, active, waiting, commands, deliveries, looked, untold = await pipe.execute()
    jobs = sum(entry.startswith(b"j") for entry in entries)
    most = int(memory["maxmemory"])
    troubles = [trouble for raw in beats if raw and (trouble := _trouble(raw)) is not None]
    return Health(
        workers=len(workers),
        entries={"command": len(entries) - jobs, "job": jobs},
        open_jobs=active,
        waiting_jobs=waiting,
        oldest_command=_age(commands, at),
        oldest_delivery=_age(deliveries, at),
        untold=untold,
        memory=int(memory["used_memory"]) / most if most else None,
        noeviction=memory["maxmemory_policy"] == "noeviction",
        looked=bool(looked),
        usd_today=await Spending(store.redis).on(at),
        troubles=tuple(it for it in troubles if it.ended > at - 3_600),
    )


def beat_of(trouble: Trouble | None) -> str:
    """What a living worker writes under its name."""
    return json.dumps({"trouble": [trouble.began, trouble.ended] if trouble else None})


def _trouble(raw: bytes) -> Trouble | None:
    beat = json.loads(raw)  # before 0.2 it was "1"
    return Trouble(*beat["trouble"][:2]) if isinstance(beat, dict) and beat.get("trouble") else None


def _age(oldest: list[tuple[bytes, float]], at: float) -> float:
    return max(0.0, at - oldest[0][1]) if oldest else 0.0
