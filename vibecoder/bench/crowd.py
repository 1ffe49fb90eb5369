"""`python -m vibecoder.bench.crowd JOBS LAGS`: a worker for so many jobs at a time, watched inside.

It is `vibecoder worker` with more slots. Each 50 ms it appends to the file LAGS when its event loop
woke up and how many seconds late, two numbers a line.
"""

import asyncio
import sys
import time
from pathlib import Path

from vibecoder import settings
from vibecoder.compose.store import WORKER_RETRIES, open_store
from vibecoder.compose.worker import worker
from vibecoder.run import loaded, write_logs

EVERY = 0.05  # seconds


async def watch(lags: Path) -> None:
    """Writes the event loop's lag down until cancelled."""
    with lags.open("w", buffering=1) as out:
        while True:
            due = time.monotonic() + EVERY
            await asyncio.sleep(EVERY)
            out.write(f"{time.time()} {max(0.0, time.monotonic() - due)}\n")


async def run(jobs: int, lags: Path) -> None:
    """Works until SIGTERM."""
    loaded()
    write_logs()
    known = settings.load()
    async with (
        open_store(known, WORKER_RETRIES) as store,
        worker(known, store, concurrency=jobs) as leased,
        asyncio.TaskGroup() as group,
    ):
        watching = group.create_task(watch(lags))
        await leased.async_run()
        watching.cancel()


if __name__ == "__main__":
    asyncio.run(run(int(sys.argv[1]), Path(sys.argv[2])))
