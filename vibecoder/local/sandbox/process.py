"""A command that runs in a sandbox, as the server sees it: its pipes, its end, its listeners."""

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
import termios
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from vibecoder.local.sandbox.errors import LocalSandboxError

CHUNK = 64 << 10  # bytes read at once
HIGH_WATER = 4 << 20  # bytes a listener may be behind before the command has to wait for it

Stream = Literal["stdout", "stderr", "pty"]


@dataclass(frozen=True, slots=True)
class Config:
    """What was asked for, as `List` gives it back."""

    cmd: str
    args: tuple[str, ...]
    envs: dict[str, str]
    cwd: str | None
    tag: str | None


@dataclass(frozen=True, slots=True)
class Output:
    """A piece of what the command wrote."""

    stream: Stream
    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """How the command ended: by itself, or by a signal."""

    code: int | None
    signal: int | None
    timed_out: bool  # killed by the time limit it was started with


@dataclass(frozen=True, slots=True)
class Gone:
    """The sandbox ended first."""


Event = Output | End | Gone


class Listener:
    """One stream of events to one client. Behind by too much, it makes the command wait."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._events: deque[Event] = deque()
        self._woken = asyncio.Event()
        self.behind = 0  # bytes

    def put(self, event: Event) -> None:
        self._events.append(event)
        if isinstance(event, Output):
            self.behind += len(event.data)
        self._woken.set()

    async def next(self) -> Event:
        while not self._events:
            self._woken.clear()
            await self._woken.wait()
        event = self._events.popleft()
        if isinstance(event, Output):
            self.behind -= len(event.data)
            self._process.resume_reading()
        return event

    def close(self) -> None:
        self._process.listeners.discard(self)
        self._process.resume_reading()


class Process:
    """Reads the command's output whether or not anybody listens: a lost client stops nothing."""

    def __init__(
        self,
        pid: int,
        config: Config,
        outputs: dict[Stream, int],
        stdin: int | None,
        kill: Callable[[], Awaitable[None]],
    ) -> None:
        self.pid = pid
        self.config = config
        self.listeners: set[Listener] = set()
        self.end: End | Gone | None = None
        self.exited = asyncio.Event()  # reaped; output may still come from what it started
        self.ended = asyncio.Event()  # and every copy of its output pipes is closed
        self._outputs = outputs
        self._reading: set[Stream] = set()
        self._stdin = stdin
        self._stdin_turn = asyncio.Lock()
        self._kill = kill
        self._timed_out = False
        self._status: tuple[int | None, int | None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._killing: asyncio.Task[None] | None = None
        for fd in (*outputs.values(), *((stdin,) if stdin is not None else ())):
            os.set_blocking(fd, False)
        self.resume_reading()

    def listen(self) -> Listener:
        listener = Listener(self)
        if self.end is not None:
            listener.put(self.end)
        else:
            self.listeners.add(listener)
        return listener

    def kill_after(self, seconds: float) -> None:
        """The limit belongs to the command and holds even when its client is gone."""
        self._deadline = asyncio.get_running_loop().call_later(seconds, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timed_out = True
        self._killing = asyncio.ensure_future(self._kill_and_tell())

    async def _kill_and_tell(self) -> None:
        if not self.exited.is_set():
            with contextlib.suppress(LocalSandboxError):  # it, or its sandbox, ended meanwhile
                await self._kill()
        # Not only at the end of its output: what it started may hold that open for ever.
        self._tell(End(None, 9, True))

    # Output

    def resume_reading(self) -> None:
        if any(listener.behind > HIGH_WATER for listener in self.listeners):
            return
        for stream in self._outputs.keys() - self._reading:
            self._reading.add(stream)
            asyncio.get_running_loop().add_reader(self._outputs[stream], self._read, stream)

    def _read(self, stream: Stream) -> None:
        fd = self._outputs[stream]
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:  # how a pseudo-terminal says that its other side closed
                raise
            data = b""
        if not data:
            self._close_output(stream)
            self._finish_if_done()
            return
        for listener in self.listeners:
            listener.put(Output(stream, data))
        if any(listener.behind > HIGH_WATER for listener in self.listeners):
            for reading in self._reading:
                asyncio.get_running_loop().remove_reader(self._outputs[reading])
            self._reading.clear()

    def _close_output(self, stream: Stream) -> None:
        fd = self._outputs.pop(stream)
        if stream in self._reading:
            asyncio.get_running_loop().remove_reader(fd)
            self._reading.discard(stream)
        if fd != self._stdin:  # a pseudo-terminal is both
            os.close(fd)

    # Input

    async def write(self, data: bytes) -> None:
        """Returns once the command's pipe took all of it. Raises BrokenPipeError."""
        async with self._stdin_turn:
            left = memoryview(data)
            while left:
                if self._stdin is None:
                    raise BrokenPipeError(errno.EPIPE, "its standard input is closed")
                try:
                    left = left[os.write(self._stdin, left) :]
                except BlockingIOError:
                    await self._writable(self._stdin)

    async def _writable(self, fd: int) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        # A duplicate: close_stdin may close the original meanwhile, and its number be reused.
        copy = os.dup(fd)
        loop.add_writer(copy, ready.set)
        try:
            while not ready.is_set() and self._stdin is not None and self.end is None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ready.wait(), 0.5)
        finally:
            loop.remove_writer(copy)
            os.close(copy)

    @property
    def takes_input(self) -> bool:
        return self._stdin is not None

    def close_stdin(self) -> None:
        if self._stdin is not None:
            if self._stdin not in self._outputs.values():
                os.close(self._stdin)
            self._stdin = None

    def resize(self, rows: int, cols: int) -> bool:
        """False where the command has no terminal."""
        if "pty" not in self._outputs:
            return False
        size = struct.pack("HHHH", rows, cols, 0, 0)
        fcntl.ioctl(self._outputs["pty"], termios.TIOCSWINSZ, size)
        return True

    # The end

    def reaped(self, code: int | None, signal: int | None) -> None:
        self._status = (code, signal)
        self.exited.set()
        self._finish_if_done()

    def abandon(self) -> None:
        """The sandbox is gone: nothing more will come."""
        self.exited.set()
        self._tell(Gone())
        self._close_all()

    def cut_off(self) -> None:
        """Ends the streams to clients, as a pause does; the command stays."""
        for listener in self.listeners:
            listener.put(Gone())
        self.listeners.clear()
        self.resume_reading()

    def _finish_if_done(self) -> None:
        if self._status is not None and not self._outputs:
            self._tell(End(*self._status, self._timed_out))
            self._close_all()

    def _tell(self, end: End | Gone) -> None:
        if self.end is None:
            self.end = end
            for listener in self.listeners:
                listener.put(end)
            self.listeners.clear()

    def _close_all(self) -> None:
        for stream in tuple(self._outputs):
            self._close_output(stream)
        stdin, self._stdin = self._stdin, None
        if stdin is not None:
            os.close(stdin)
        if self._deadline is not None:
            self._deadline.cancel()
        self.ended.set()
