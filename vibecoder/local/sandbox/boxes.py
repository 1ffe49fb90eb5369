"""All sandboxes of one server: who they belong to, how long they live, what was left behind."""

import asyncio
import contextlib
import fcntl
import os
import random
import re
import secrets
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import structlog

from vibecoder.local.sandbox import bwrap, disk, limits
from vibecoder.local.sandbox.box import Box, Ground, group_name
from vibecoder.local.sandbox.errors import FolderInUse, KeyReused, LocalSandboxError, StartFailed
from vibecoder.local.sandbox.probe import Isolation
from vibecoder.local.sandbox.removal import remove_folder
from vibecoder.local.sandbox.toolchain import Toolchain, reachable

log = structlog.get_logger()

State = Literal["running", "paused"]
ID = re.compile(r"i[0-9a-f]{20}(\.\d+)?")  # the end: a part of one that was being removed


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client wants of a new sandbox."""

    template: str
    seconds: int  # to live
    metadata: dict[str, str]
    environment: dict[str, str]
    pause_at_end: bool


@dataclass(slots=True)
class Tenancy:
    """A sandbox that exists, running or paused."""

    box: Box
    wish: Wish
    token: str  # X-Access-Token of its envd
    started: datetime
    ends: datetime
    state: State = "running"
    key: str | None = None  # the idempotency key that it was made with
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        return self.box.name


class Boxes:
    """Opened and closed by the app's lifespan; everything else may be called between."""

    def __init__(self, folder: Path, toolchain: Toolchain, isolation: Isolation) -> None:
        self._folder = folder
        self._toolchain = toolchain
        self._kind = isolation.kind
        self._ground: Ground
        self._lock: int | None = None
        self._living: dict[str, Tenancy] = {}
        self._keyed: dict[str, tuple[Wish, asyncio.Task[Tenancy]]] = {}
        self._background: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Takes the folder and removes what a killed server left. Raises FolderInUse."""
        folder = reachable(self._folder) / "boxes"
        folder.mkdir(mode=0o711, exist_ok=True)
        folder.chmod(0o711)
        self._lock = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            self._lock = None
            raise FolderInUse(
                f"Another sandbox server is already using {self._folder}; stop it, or choose "
                "another state folder."
            ) from error
        groups = limits.find() if self._kind != "none" else None
        self._ground = Ground(folder, self._toolchain, self._kind, groups)
        await asyncio.to_thread(self._sweep)
        self._keep(self._guard_disk())

    def _sweep(self) -> None:
        for path in self._ground.folder.iterdir():
            if not ID.fullmatch(path.name):
                continue
            if self._ground.groups is not None and "." not in path.name:
                group = self._ground.groups.named(group_name(path.name))
                for pid in group.pids():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                group.remove()
            remove_folder(path)
        if self._ground.groups is not None:
            self._ground.groups.sweep(limits.GROUP_PREFIX)

    async def _guard_disk(self) -> None:
        while True:
            await asyncio.sleep(disk.INTERVAL)
            if not self._living or not disk.nearly_full(self._ground.folder):
                continue
            sizes = [
                (await asyncio.to_thread(disk.used, tenancy.box.folder), tenancy.id)
                for tenancy in tuple(self._living.values())
            ]
            size, name = max(sizes, default=(0, ""))
            largest = self._living.get(name)
            if largest is not None and size > disk.BLAMELESS:
                log.warning("sandbox killed: it filled the disk", sandbox=name, bytes=size)
                await self.kill(largest)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """In the background, until it is done or the server closes."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        living = tuple(self._living.values())
        for tenancy in living:
            self._dismiss(tenancy)
        await asyncio.gather(*(tenancy.box.kill() for tenancy in living), return_exceptions=True)
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._lock is None:
            return
        if not self._ground.folder.is_relative_to(self._folder.absolute()):
            # Nobody would ever look after what is left of a stand-in (toolchain.reachable).
            with contextlib.suppress(OSError):
                (self._ground.folder / ".lock").unlink()
                self._ground.folder.rmdir()
                self._ground.folder.parent.rmdir()
        os.close(self._lock)
        self._lock = None

    # What clients ask for

    async def create(self, wish: Wish, key: str | None) -> Tenancy:
        """The same sandbox for the same key while it exists. Raises StartFailed, KeyReused."""
        if key is None:
            return await self._create(wish, None)
        if key not in self._keyed:
            self._keyed[key] = (wish, asyncio.ensure_future(self._create(wish, key)))
        first, task = self._keyed[key]
        if first != wish:
            raise KeyReused("This Idempotency-Key was used for a different sandbox.")
        try:
            return await asyncio.shield(task)
        except LocalSandboxError:
            self._keyed.pop(key, None)
            raise

    async def _create(self, wish: Wish, key: str | None) -> Tenancy:
        if disk.nearly_full(self._ground.folder):
            raise StartFailed("The disk is nearly full: no sandbox is started until it is not.")
        name = "i" + secrets.token_hex(10)
        box = await Box.start(name, self._ground, self._free_uid(), self._environment(wish))
        now = datetime.now(UTC)
        tenancy = Tenancy(
            box, wish, secrets.token_hex(32), now, now + timedelta(seconds=wish.seconds), key=key
        )
        self._living[name] = tenancy
        self._arm(tenancy)
        self._keep(self._see_off(tenancy))
        return tenancy

    def _environment(self, wish: Wish) -> dict[str, str]:
        return {"E2B_TEMPLATE_ID": wish.template, **wish.environment}

    def _free_uid(self) -> int | None:
        if os.geteuid() != 0 or self._kind == "none":
            return None
        taken = {tenancy.box.uid for tenancy in self._living.values()}
        while True:
            uid = random.choice(bwrap.host_uids())  # noqa: S311  (distinct, not secret)
            if uid not in taken:
                return uid

    def get(self, name: str) -> Tenancy | None:
        return self._living.get(name)

    def all(self, keep: Callable[[Tenancy], bool]) -> list[Tenancy]:
        return [tenancy for tenancy in self._living.values() if keep(tenancy)]

    async def kill(self, tenancy: Tenancy) -> None:
        self._dismiss(tenancy)
        await tenancy.box.kill()

    def live_for(self, tenancy: Tenancy, seconds: int) -> None:
        """From now on, whatever was left."""
        tenancy.ends = datetime.now(UTC) + timedelta(seconds=seconds)
        self._arm(tenancy)

    async def pause(self, tenancy: Tenancy) -> None:
        tenancy.state = "paused"
        if tenancy.timer is not None:
            tenancy.timer.cancel()
        await tenancy.box.pause()

    async def resume(self, tenancy: Tenancy, seconds: int) -> None:
        await tenancy.box.resume()
        tenancy.state = "running"
        self.live_for(tenancy, seconds)

    # The end

    def _arm(self, tenancy: Tenancy) -> None:
        if tenancy.timer is not None:
            tenancy.timer.cancel()
        left = (tenancy.ends - datetime.now(UTC)).total_seconds()
        loop = asyncio.get_running_loop()
        tenancy.timer = loop.call_later(max(left, 0), self._expire, tenancy)

    def _expire(self, tenancy: Tenancy) -> None:
        if not tenancy.wish.pause_at_end:
            self._dismiss(tenancy)
            return
        self._keep(self.pause(tenancy))

    def _dismiss(self, tenancy: Tenancy) -> None:
        """Gone for clients at once; its processes and folder follow."""
        if self._living.pop(tenancy.id, None) is None:
            return
        if tenancy.timer is not None:
            tenancy.timer.cancel()
        if tenancy.key is not None:
            self._keyed.pop(tenancy.key, None)
        self._keep(tenancy.box.kill())

    async def _see_off(self, tenancy: Tenancy) -> None:
        """A sandbox may also end by itself, for instance when its PID 1 ran out of memory."""
        await tenancy.box.dead.wait()
        self._dismiss(tenancy)
        await tenancy.box.kill()
