"""A worker as a process of its own, to be killed: `queue_worker_process.py URL LEASE_SECONDS`,
and with `… PUSH_HOST SESSION_SECRET` one that tells people.

A job's text says what its run does, a word per step: "work" appends a step, "toil" takes its time
for it, "hang" waits for ever, "die" ends the process at once, "block" stops its event loop for two
leases.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine

from jobs.commands import Actor, Repository
from jobs.events import Claimed, Finished, StepCommitted
from jobs.outward import Outward
from jobs.queue.lease import Lease
from jobs.queue.store import Store, connect
from jobs.queue.worker import Handlers, make_worker
from jobs.tell import Teller, Ways
from jobs.webpush import Vapid

store = Store(connect(sys.argv[1]))
lease_seconds = float(sys.argv[2])


async def settle(lease: Lease) -> None:
    command_id = lease.id
    submitted = await store.submitted(command_id)
    if submitted.job_id:
        await store.enqueue_run(submitted.job_id)
    await store.settle(command_id, "followed")


async def run(lease: Lease) -> None:
    job = await store.load(lease.id)
    if job.ended:
        return
    claimed = Claimed(time.time(), str(os.getpid()), lease.token)
    await store.append(lease.id, [claimed], token=lease.token)
    try:
        for number, word in enumerate(job.command.text.split(), 1):
            if number <= job.steps_done:
                continue
            match word:
                case "toil":
                    await asyncio.sleep(0.1)
                case "hang":
                    await asyncio.Event().wait()
                case "die":
                    os._exit(9)
                case "block":
                    time.sleep(2 * lease_seconds)  # noqa: ASYNC251 that is the point
            await lease.guard()
            step = StepCommitted(time.time(), number, "a" * 40, word, (), 0, 0, 0)
            await store.append(lease.id, [step], token=lease.token)
        await store.append(lease.id, [end("succeeded")], token=lease.token)
    except asyncio.CancelledError:
        if not lease.cancelled:
            raise
        await store.append(lease.id, [end("cancelled")], token=lease.token)


def end(outcome: str) -> Finished:
    return Finished(time.time(), outcome, f"The job {outcome}.")  # type: ignore[arg-type]


async def poisoned(lease: Lease) -> None:
    await store.append(lease.id, [end("failed")], token=lease.token)


async def given_up(lease: Lease) -> None:
    await store.remember(f"given up {lease.id}", "told", 60)


async def sees(repository: Repository, actor: Actor) -> bool:
    return True


def beside() -> list[Callable[[], Coroutine[None, None, None]]]:
    if len(sys.argv) == 3:
        return []
    host, secret = sys.argv[3:]
    ways = Ways(Outward([host]), Vapid(secret), None, None)
    return [Teller(store, ways, sees, lease_seconds=lease_seconds).run]


async def main() -> None:
    worker = make_worker(
        store,
        Handlers(settle, run, poisoned, given_up, beside=beside()),
        lease_seconds=lease_seconds,
        sweep_seconds=0.2,
    )
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await worker.async_run()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main())
