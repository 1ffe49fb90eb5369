"""Changes below a folder, by inotify(7), which the standard library does not have."""

# ruff: noqa: PTH118, PTH208
# Paths are plain strings here: PID 1 must start fast, and pathlib alone costs it milliseconds.

import contextlib
import ctypes
import os
import selectors
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

from .files import entry

Json = dict[str, Any]

IN_NONBLOCK, IN_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
IN_MODIFY, IN_ATTRIB, IN_MOVED_FROM, IN_MOVED_TO = 0x2, 0x4, 0x40, 0x80
IN_CREATE, IN_DELETE, IN_ISDIR, IN_IGNORED = 0x100, 0x200, 0x40000000, 0x8000
IN_EVENTS = IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE

libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Changes below one folder, by inotify, told to the server as they happen."""

    def __init__(
        self, send: Callable[[Json], None], number: int, path: str, recursive: bool
    ) -> None:
        self.send, self.number, self.top, self.recursive = send, number, path, recursive
        self.fd: int = libc.inotify_init1(IN_CLOEXEC | IN_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "", path)
        self.stop_read, self.stop_write = os.pipe2(os.O_CLOEXEC)
        self.folders: dict[int, str] = {}
        self.turn = threading.Lock()
        self.closed = False
        self.foretold: set[str] = set()  # told as created before the kernel said so, perhaps twice
        self.add(path)

    def add(self, folder: str) -> None:
        number = libc.inotify_add_watch(self.fd, os.fsencode(folder), IN_EVENTS)
        if number < 0:
            raise OSError(ctypes.get_errno(), "", folder)
        self.folders[number] = folder
        if self.recursive:
            with os.scandir(folder) as scan:
                below = [item.path for item in scan if item.is_dir(follow_symlinks=False)]
            for path in below:
                self.add(path)

    def close(self) -> None:
        os.close(self.stop_write)

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.fd, selectors.EVENT_READ)
            selector.register(self.stop_read, selectors.EVENT_READ)
            while all(key.fd == self.fd for key, _ in selector.select()):
                self.pump()
        with self.turn:
            self.closed = True
            os.close(self.fd)
            os.close(self.stop_read)

    def pump(self) -> None:
        with self.turn:
            while not self.closed:
                try:
                    data = os.read(self.fd, 1 << 16)
                except BlockingIOError:
                    self.foretold.clear()
                    return
                for folder, name, mask in self.parse(data):
                    self.tell(folder, name, mask)

    def parse(self, data: bytes) -> Iterator[tuple[str, str, int]]:
        at = 0
        while at < len(data):
            number, mask, _, length = struct.unpack_from("iIII", data, at)
            name = os.fsdecode(data[at + 16 : at + 16 + length].rstrip(b"\0"))
            at += 16 + length
            if mask & IN_IGNORED:
                self.folders.pop(number, None)
            elif number in self.folders and name:
                yield self.folders[number], name, mask

    def tell(self, folder: str, name: str, mask: int) -> None:
        path = os.path.join(folder, name)
        if path in self.foretold and mask & IN_CREATE:
            self.foretold.discard(path)
            return
        self.send_event(path, mask)
        if self.recursive and mask & IN_ISDIR and mask & (IN_CREATE | IN_MOVED_TO):
            with contextlib.suppress(OSError):  # gone again already: its removal is told as well
                self.add(path)
                for item in os.listdir(path):  # what came before we could watch
                    below = os.path.join(path, item)
                    self.send_event(below, IN_CREATE)
                    self.foretold.add(below)

    def send_event(self, path: str, mask: int) -> None:
        kinds = (
            (IN_CREATE | IN_MOVED_TO, "CREATE"),
            (IN_MODIFY, "WRITE"),
            (IN_ATTRIB, "CHMOD"),
            (IN_DELETE, "REMOVE"),
            (IN_MOVED_FROM, "RENAME"),
        )
        kind = next(kind for bits, kind in kinds if mask & bits)
        message: Json = {
            "watch": self.number,
            "name": os.path.relpath(path, self.top),
            "type": "EVENT_TYPE_" + kind,
        }
        with contextlib.suppress(OSError):  # left out for what no longer exists
            message["entry"] = entry(path)
        self.send(message)
