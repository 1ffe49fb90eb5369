"""`vibecoder worker` with other timers, in seconds: LEASE SWEEP SANDBOXES MISSED."""

import asyncio
import sys

from vibecoder import run, settings
from vibecoder.compose.store import WORKER_RETRIES, open_store
from vibecoder.compose.worker import worker


async def main(lease: float, every: float, sandboxes: float, missed: float) -> None:
    run.write_logs()
    given = settings.load()
    async with (
        open_store(given, WORKER_RETRIES) as store,
        worker(
            given,
            store,
            lease_seconds=lease,
            sweep_seconds=every,
            missed_seconds=missed,
            sandboxes_seconds=sandboxes,
        ) as leased,
    ):
        await leased.async_run()


if __name__ == "__main__":
    asyncio.run(main(*map(float, sys.argv[1:])))
