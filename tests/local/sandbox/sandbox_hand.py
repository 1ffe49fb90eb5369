"""What the sandbox tests share: a server in a thread of its own, and ways to make sandboxes."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2b import AsyncSandbox, Sandbox

from vibecoder.local.sandbox.app import app
from vibecoder.local.sandbox.probe import Isolation
from vibecoder.local.sandbox.toolchain import Toolchain
from vibecoder.local.serve import serve

API_KEY = "e2b_" + "5a" * 20


@dataclass(frozen=True)
class Server:
    url: str
    folder: Path
    loop: asyncio.AbstractEventLoop

    @property
    def options(self) -> dict[str, Any]:
        """For every call of the SDK that makes or finds a sandbox."""
        return {"api_key": API_KEY, "api_url": self.url, "sandbox_url": self.url}


@contextmanager
def running(
    folder: Path, toolchain: Toolchain, isolation: Isolation, **more: Any
) -> Iterator[Server]:
    """In a thread of its own, so that the blocking SDK can be used as well."""
    started: list[Server | BaseException] = []
    up = threading.Event()
    stop = asyncio.Event()

    async def main() -> None:
        made = app(folder, api_key=API_KEY, toolchain=toolchain, isolation=isolation, **more)
        async with serve(made) as url:
            started.append(Server(url, folder, asyncio.get_running_loop()))
            up.set()
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001  (raised again in the test's thread)
            started.append(error)
            up.set()

    thread = threading.Thread(target=run)
    thread.start()
    up.wait()
    first = started[0]
    if isinstance(first, BaseException):
        thread.join()
        raise first
    try:
        yield first
    finally:
        first.loop.call_soon_threadsafe(stop.set)
        thread.join()


def eventually(condition: Callable[[], object], patience: float = 10.0) -> bool:
    """Waits for something that happens in another process."""
    until = time.monotonic() + patience
    tick = threading.Event()
    while not condition():
        if time.monotonic() > until:
            return False
        tick.wait(0.02)
    return True


Maker = Callable[..., Sandbox]


@asynccontextmanager
async def async_sandbox(server: Server) -> AsyncIterator[AsyncSandbox]:
    sandbox = await AsyncSandbox.create(timeout=60, **server.options)
    try:
        yield sandbox
    finally:
        await sandbox.kill()
