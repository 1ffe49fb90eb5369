"""What the server holds of the inside of a sandbox: open files and watches."""

import asyncio
import os
import stat
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file that PID 1 opened. Its owner closes it."""

    path: str  # absolute, inside
    fd: int
    size: int  # bytes, when it was opened

    @staticmethod
    def take(answer: Json, fds: list[int]) -> "OpenFile":
        info = os.fstat(fds[0])
        if not stat.S_ISREG(info.st_mode):
            os.close(fds[0])
            raise ValueError("not a regular file")
        return OpenFile(answer["path"], fds[0], info.st_size)

    def close(self) -> None:
        os.close(self.fd)


class Watch:
    """Changes below a folder, kept until they are asked for."""

    MOST = 10_000  # events kept; a client that never asks loses the oldest

    def __init__(self, include_entry: bool) -> None:
        self.include_entry = include_entry
        self.events: list[Json] = []
        self.woken = asyncio.Event()

    def put(self, event: Json) -> None:
        if not self.include_entry:
            event.pop("entry", None)
        if len(self.events) == self.MOST:
            del self.events[0]
        self.events.append(event)
        self.woken.set()

    def take(self) -> list[Json]:
        events, self.events = self.events, []
        self.woken.clear()
        return events
