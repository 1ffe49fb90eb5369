"""`python -m vibecoder.bench.bare`: the front door without its store, on PORT.

For the comparison with what keeps nothing. Deliveries are checked, answered and read as always;
what would be written to Redis is dropped.
"""

import asyncio

import uvicorn
from uvicorn.loops.auto import auto_loop_factory

from jobs.commands import About, Command
from jobs.queue.store import Delivery, Store, Submitted
from vibecoder import settings
from vibecoder.compose.store import WEB_RETRIES, open_store
from vibecoder.compose.web import front_door
from vibecoder.run import loaded, write_logs


class Forgetful(Store):
    """Takes everything and keeps nothing."""

    async def keep_delivery(self, delivery: Delivery) -> bool:
        return True

    async def submit(self, command: Command, now: float) -> Submitted:
        return Submitted(command.key, None, new=True, busy=None)

    async def settle_delivery(
        self, guid: str, verdict: str, about: About | None = None, command_id: str = ""
    ) -> None:
        pass


async def run() -> None:
    """Serves until SIGTERM."""
    loaded()
    write_logs()
    known = settings.load()
    async with open_store(known, WEB_RETRIES) as store:
        door = front_door(known, Forgetful(store.redis))
        config = uvicorn.Config(door, port=known.port, log_level="warning", access_log=False)
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(run())
