"""`vibecoder worker` with other timers: service_worker.py LEASE SWEEP SANDBOXES (seconds)."""

import asyncio
import sys
from functools import partial

from jobs.queue import sweep
from jobs.queue.worker import make_worker
from vibecoder import run, settings
from vibecoder.compose import worker

lease, every, sandboxes = map(float, sys.argv[1:])
worker.make_worker = partial(make_worker, lease_seconds=lease, sweep_seconds=every)  # type: ignore[attr-defined]
sweep.SANDBOXES_SECONDS = sandboxes

if __name__ == "__main__":
    asyncio.run(run.worker(settings.load()))
