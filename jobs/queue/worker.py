"""What a worker does with an entry of the queue: settle a command or run a job.

The work itself is handed in by whoever composes the service.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from arq.worker import Retry, RetryJob, func

from jobs.queue.errors import Newer, StoreFull, StoreUnreachable, TryLater
from jobs.queue.lease import Lease, LeasedWorker
from jobs.queue.store import ENTRY_FUNCTION, Store
from jobs.queue.sweep import SWEEP_SECONDS, Parse, Round, sweep_for_ever

log = structlog.get_logger()

TRIES = 3  # claims without progress, before the job is failed instead
LAST_WORD_TRIES = 20  # with pauses up to five minutes: GitHub may be away for an hour
UNKNOWN_SECONDS = 10.0
STORE_SECONDS = 5.0  # before an entry is taken up again that Redis had no answer or no room for
LEASE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Handlers:
    """What is done with entries. Each may be called again after a crash in its middle.

    A handler that raises is called again, later and later; after three attempts without progress
    `poisoned` or `given_up` is called instead. TryLater puts it off without counting.
    """

    settle: Callable[[Lease], Awaitable[None]]  # follow or refuse the command, then Store.settle it
    # Work on the job, whatever state it is in: an ended one gets its last word said again, one that
    # waits for approval gets nothing. It is cancelled from outside when this worker stops, when the
    # lease is lost, and, with Lease.cancelled, when a person asked to stop: then it ends the job.
    # Where that was asked before it was called, Lease.cancelled is true from the start.
    run: Callable[[Lease], Awaitable[None]]
    poisoned: Callable[[Lease], Awaitable[None]]  # end the job as failed: it kills its workers
    given_up: Callable[[Lease], Awaitable[None]]  # tell the command's person; it is settled after
    parse: Parse | None = None  # deliveries that the front door stored and did not get to parse
    rounds: Sequence[Round] = ()
    beside: Sequence[
        Callable[[], Coroutine[None, None, None]]
    ] = ()  # what each worker does until it ends


def make_worker(
    store: Store,
    handlers: Handlers,
    *,
    concurrency: int = 10,
    per_installation: int = 5,
    per_repository: int = 3,
    lease_seconds: float = LEASE_SECONDS,
    sweep_seconds: float = SWEEP_SECONDS,
    handle_signals: bool = True,
) -> LeasedWorker:
    """A worker for `await worker.async_run()`, made inside the running loop.

    `concurrency`: jobs at a time; commands have slots of their own. `per_installation`,
    `per_repository`: jobs at a time of one of them, over all workers. `lease_seconds`: how long a
    killed worker keeps its jobs.
    """

    async def act(ctx: dict[Any, Any], kind: str, id_: str) -> None:
        lease = worker.leases[ctx["job_id"]]
        if worker.stopping.is_set():
            raise RetryJob
        try:
            await _act(store, handlers, lease, kind, id_)
        except (Retry, RetryJob):
            raise
        except Newer as error:
            log.info("left_to_newer_workers", id=id_, why=str(error))
            lease.counts = False
            raise Retry(defer=UNKNOWN_SECONDS) from error
        except TryLater as error:
            log.info("put_off", id=id_, seconds=error.seconds, why=str(error))
            lease.counts = False
            raise Retry(defer=error.seconds) from error
        except (StoreFull, StoreUnreachable) as error:
            log.warning("put_off", id=id_, seconds=STORE_SECONDS, why=str(error))
            lease.counts = False
            raise Retry(defer=STORE_SECONDS) from error
        except Exception as error:
            log.exception("attempt_failed", id=id_, attempt=lease.attempt)
            raise Retry(defer=pause(lease.attempt)) from error

    async def background() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(
                sweep_for_ever(store, handlers.parse, handlers.rounds, every=sweep_seconds)
            )
            for work in handlers.beside:
                group.create_task(work())

    return (
        worker := LeasedWorker(
            store,
            func(act, name=ENTRY_FUNCTION),
            concurrency=concurrency,
            per_installation=per_installation,
            per_repository=per_repository,
            lease_seconds=lease_seconds,
            handle_signals=handle_signals,
            background=background,
        )
    )


def pause(attempt: int) -> float:
    """Seconds before an entry whose handler raised is tried again."""
    return min(2.0**attempt, 300)


async def _act(store: Store, handlers: Handlers, lease: Lease, kind: str, id_: str) -> None:
    match kind:
        case "settle" if lease.attempt > TRIES:
            await handlers.given_up(lease)
            await store.settle(id_, f"given up after {TRIES} attempts")
        case "settle":
            await handlers.settle(lease)
        case "run" if lease.attempt > TRIES and await store.wanted(id_):
            await handlers.poisoned(lease)
        case "run" if lease.attempt > LAST_WORD_TRIES:
            log.error("last_word_unsaid", job=id_)
        case "run":
            await handlers.run(lease)
        case _:  # of another version; its worker will know
            lease.counts = False
            raise Retry(defer=UNKNOWN_SECONDS)
