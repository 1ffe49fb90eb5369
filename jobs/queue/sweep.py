"""Repairs, every few seconds, by one worker at a time: what a crash left lying is picked up.

Deliveries that nobody parsed, commands and jobs whose queue entry is gone, sandboxes whose job is.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

from jobs.commands import Command, Ignored, about
from jobs.queue.errors import QueueError
from jobs.queue.store import ENTRY_KEPT_MS, Delivery, Kind, Store, payload

log = structlog.get_logger()

Parse = Callable[[Delivery], Command | Ignored]


@dataclass(frozen=True, slots=True)
class Round:
    """What one of the workers does every so often and what needs others, who may be away."""

    name: str
    seconds: float
    run: Callable[[], Awaitable[object]]


SWEEP_SECONDS = 5.0
PARSE_GRACE = 3.0  # the front door parses at once; only after this is it taken for dead
PARSE_TRIES = 3


async def sweep_for_ever(
    store: Store,
    parse: Parse | None,
    rounds: Sequence[Round] = (),
    *,
    every: float = SWEEP_SECONDS,
) -> None:
    """Sweeps until cancelled. What fails is logged and tried again with the next round."""
    while True:
        try:
            if await _mine(store, "sweep", every):
                await sweep(store, parse)
        except (RedisError, QueueError) as error:
            log.warning("sweep_failed", error=str(error))
        for round_ in rounds:
            await _go(store, round_)
        await asyncio.sleep(every)


async def sweep(store: Store, parse: Parse | None, grace: float = PARSE_GRACE) -> list[str]:
    """One round; returns the ids of jobs and commands that were put back on the queue."""
    if parse is not None:
        for delivery in await store.unparsed(grace):
            await _submit(store, parse, delivery)
    return [
        *await _restore(store, "vc:commands", "settle"),
        *await _restore(store, "vc:active", "run"),
    ]


async def _submit(store: Store, parse: Parse, delivery: Delivery) -> None:
    try:
        parsed = parse(delivery)
    except Exception as error:  # one that breaks the parser must not stop the others
        log.exception("delivery_unreadable", delivery=delivery.guid)
        if await store.count_try(delivery.guid) >= PARSE_TRIES:
            await store.settle_delivery(delivery.guid, f"unreadable: {type(error).__name__}")
        return
    if isinstance(parsed, Ignored):
        await store.settle_delivery(delivery.guid, parsed.reason, about(parsed))
        return
    id_ = (await store.submit(parsed, time.time())).command_id
    await store.settle_delivery(delivery.guid, f"command {id_}", about(parsed), id_)
    log.info("delivery_recovered", delivery=delivery.guid, command=id_)


async def _restore(store: Store, open_set: str, kind: Kind) -> list[str]:
    ids = [raw.decode() for raw in await store.redis.zrange(open_set, 0, -1)]
    restored: list[str] = []
    for at in range(0, len(ids), 500):
        pairs = [part for id_ in ids[at : at + 500] for part in (id_, payload(kind, id_))]
        now_ms = time.time_ns() // 1_000_000
        answer = await store.run("RESTORE", open_set, now_ms, ENTRY_KEPT_MS, *pairs)
        restored += [raw.decode() for raw in answer]
    if restored:
        log.warning("entries_restored", ids=restored)
    return restored


async def _go(store: Store, round_: Round) -> None:
    """What fails is left to the next time."""
    try:
        if await _mine(store, round_.name, round_.seconds):
            await round_.run()
    except (RedisError, QueueError) as error:
        log.warning("round_failed", what=round_.name, error=str(error))
    except Exception:  # nothing here may stop the sweep of the queue
        log.exception("round_failed", what=round_.name)


async def _mine(store: Store, what: str, seconds: float) -> bool:
    """Whether this worker does that round: one worker in each period."""
    px = int(seconds * 900)
    return bool(await store.redis.set(f"vc:turn:{what}", "1", nx=True, px=px))
