"""Between one process and Redis: names each command, lets traps hold it up, and can go dead."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from jobs.queue import scripts
from tests.faults.traps import Knock, Traps

SCRIPTS = {
    hashlib.sha1((scripts.PRELUDE + text).encode(), usedforsecurity=False).hexdigest(): name
    for name, text in vars(scripts).items()
    if name.isupper() and name != "PRELUDE"
}
BROKEN = (ConnectionError, asyncio.IncompleteReadError, OSError)


class Wire:
    """A unix socket that leads to another; one for each process of the service."""

    def __init__(self, process: str, upstream: Path, traps: Traps) -> None:
        self.process = process
        self.upstream = upstream
        self.traps = traps
        self.whole = asyncio.Event()  # cleared: nothing passes, and nobody is told so
        self.whole.set()
        self._open: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def laid(self, socket: Path) -> AsyncIterator[str]:
        """Yields the address to give to the process."""
        server = await asyncio.start_unix_server(self._serve, socket)
        try:
            yield f"unix://{socket}"
        finally:
            server.close()
            for task in list(self._open):
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)
            socket.unlink(missing_ok=True)  # noqa: ASYNC240  # a syscall on a local folder

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._connect(reader, writer)
        except asyncio.CancelledError:
            return  # the end of the run; asyncio would report it as an error of the server
        finally:
            self._open.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_unix_connection(self.upstream)
        except OSError:
            writer.close()
            return
        asked: list[Knock] = []  # the client sends one command at a time where traps look
        ways = [
            asyncio.create_task(self._up(reader, up_writer, asked)),
            asyncio.create_task(self._down(up_reader, writer, asked)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.close()
            up_writer.close()

    async def _up(
        self, reader: asyncio.StreamReader, up: asyncio.StreamWriter, asked: list[Knock]
    ) -> None:
        with suppress(*BROKEN):
            while True:
                raw, arguments = await _command(reader)
                await self.whole.wait()
                knock = self._knock(arguments)
                if await self.traps.spring(knock, "before") == "abandon":
                    return
                asked.append(knock)
                up.write(raw)
                await up.drain()

    async def _down(
        self, up: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: list[Knock]
    ) -> None:
        with suppress(*BROKEN):
            while chunk := await up.read(1 << 16):
                await self.whole.wait()
                answered, asked[:] = list(asked), []
                if not chunk.startswith(b"-"):  # such as NOSCRIPT: it had no effect
                    for knock in answered:
                        if await self.traps.spring(knock, "after") == "abandon":
                            return
                writer.write(chunk)
                await writer.drain()

    def _knock(self, arguments: list[bytes]) -> Knock:
        name = arguments[0].decode().upper()
        if name == "EVALSHA":
            name = SCRIPTS.get(arguments[1].decode(), name)
            arguments = arguments[2:]
        path = b" ".join(argument[:20_000] for argument in arguments[1:])
        return Knock(self.process, "redis", name, path.decode(errors="replace"))


async def _command(reader: asyncio.StreamReader) -> tuple[bytes, list[bytes]]:
    """One command as bytes and as arguments. https://valkey.io/topics/protocol/"""
    head = await reader.readuntil(b"\r\n")
    raw, arguments = [head], []
    for _ in range(int(head[1:])):
        size = await reader.readuntil(b"\r\n")
        data = await reader.readexactly(int(size[1:]) + 2)
        raw += [size, data]
        arguments.append(data[:-2])
    return b"".join(raw), arguments
