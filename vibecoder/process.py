"""A program as a process of its own, used once it is ready and ended on leaving."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import httpx

from vibecoder.settings import inherited

START_SECONDS = 60.0
LAST_WORDS = 2_000  # characters


class NotStarted(Exception):
    """The process ended or was not ready in time; the message holds its last words."""


def running(
    verb: str,
    environment: Mapping[str, str],
    folder: Path,
    ready: Callable[[], Awaitable[object]],
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """`vibecoder VERB` with these settings and no others; its log is `folder`/VERB.log.

    Raises NotStarted.
    """
    return program(verb, [sys.executable, "-m", "vibecoder", verb], environment, folder, ready)


@asynccontextmanager
async def program(
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    ready: Callable[[], Awaitable[object]],
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Any command, with this environment and no more than it takes; its log is `folder`/NAME.log.

    Raises NotStarted.
    """
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,  # where no .env lies
            env={**inherited(), **environment},
            stdout=out,
            stderr=out,
        )
    try:
        try:
            async with asyncio.timeout(START_SECONDS):
                while process.returncode is None and not await ready():  # noqa: ASYNC110  # elsewhere
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise NotStarted(
                f"{name} was not ready in {START_SECONDS:.0f} s. {last_words(log)}"
            ) from None
        if process.returncode is not None:
            raise NotStarted(f"{name} did not start. {last_words(log)}")
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def answers(url: str) -> Callable[[], Awaitable[bool]]:
    """Whether the web app at that address says that it is ready."""

    async def ready() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                return (await client.get(f"{url}/readyz")).is_success
            except httpx.TransportError:
                return False  # not listening yet

    return ready


def last_words(log: Path) -> str:
    """The end of a log, for whoever has to find out what went wrong."""
    words = log.read_text(errors="replace")[-LAST_WORDS:].strip()
    return f"The end of {log.name}:\n{words}" if words else "It said nothing."
