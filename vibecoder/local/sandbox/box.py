"""One sandbox: its folder, its processes, and the conversation with its PID 1."""

import array
import asyncio
import contextlib
import errno
import functools
import json
import os
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from vibecoder.local.sandbox import bwrap, limits
from vibecoder.local.sandbox.bwrap import Kind
from vibecoder.local.sandbox.errors import BoxGone, Denied, StartFailed
from vibecoder.local.sandbox.handles import OpenFile, Watch
from vibecoder.local.sandbox.process import Config, Process, Stream
from vibecoder.local.sandbox.removal import remove_folder
from vibecoder.local.sandbox.toolchain import AGENT, Toolchain

Json = dict[str, Any]
Result = TypeVar("Result")

START_PATIENCE = 15.0  # seconds
EXIT_PATIENCE = 5.0  # seconds, for a killed process to be reaped
KEPT_AFTER_END = 30.0  # seconds that a finished command can still be connected to
LARGEST_ANSWER = 64 << 20  # bytes
MESSAGE = 256 << 10  # bytes; more than the agent sends at once
HOME = "/home/user"


@dataclass(frozen=True, slots=True)
class Ground:
    """What every sandbox of a server stands on."""

    folder: Path
    toolchain: Toolchain
    kind: Kind
    groups: limits.Groups | None


@dataclass(frozen=True, slots=True)
class Call:
    """Something asked of PID 1. `take` runs the moment the answer comes, even when whoever asked
    has gone, so that a started process or an open file is never lost sight of."""

    answered: asyncio.Future[Any]
    take: Callable[[Json, list[int]], Any]


class Box:
    """A running sandbox. Make one with `start`; `kill` ends it and everything in it."""

    def __init__(self, name: str, ground: Ground, uid: int | None) -> None:
        self.name = name
        self.ground = ground
        self.folder = ground.folder / name
        self.uid = uid  # of this machine; None: the server's own
        self.environment: dict[str, str] = {}
        self.processes: dict[int, Process] = {}
        self.watches: dict[int, Watch] = {}
        self.dead = asyncio.Event()
        self._calls: dict[int, Call] = {}
        self._number = 0
        self._ready = asyncio.Event()
        self._group: limits.Group | None = None
        self._pid_1: int | None = None  # a pidfd
        self._end: asyncio.Future[None] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket

    # Its life

    @classmethod
    async def start(
        cls, name: str, ground: Ground, uid: int | None, environment: dict[str, str]
    ) -> "Box":
        """Raises StartFailed, with what bubblewrap said."""
        box = cls(name, ground, uid)
        box.environment = {
            "PATH": ground.toolchain.path,
            "HOME": HOME,
            "USER": "user",
            "LOGNAME": "user",
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            **dict(ground.toolchain.environment),
            "E2B_SANDBOX": "true",
            "E2B_SANDBOX_ID": name,
            **environment,
        }
        box._make_folder()
        if ground.kind == "none":
            box._go_without_walls()
        try:
            await box._launch()
        except BaseException:
            await box.kill()
            raise
        return box

    def _make_folder(self) -> None:
        self.folder.mkdir(mode=0o700)
        for name in ("home", "tmp"):
            (self.folder / name).mkdir(mode=0o700)
        if self.ground.kind != "none":
            unmapped = self.uid if self.ground.kind == "bwrap-root" else None
            bwrap.write_etc(self.folder / "etc", unmapped or bwrap.INSIDE_ID)
        if self.uid is not None:
            for path in (self.folder, self.folder / "home", self.folder / "tmp"):
                os.chown(path, self.uid, self.uid)

    def _go_without_walls(self) -> None:
        host = self.ground.toolchain.folder / "host" / "bin"
        self.environment |= {
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "PATH": f"{host}:/usr/local/bin:/usr/bin:/bin",
        }
        self.environment.pop("LD_LIBRARY_PATH", None)
        # Commands run in a login shell, and this machine's /etc/profile sets PATH anew.
        profile = self.folder / "home" / ".bash_profile"
        profile.write_text(f"export PATH={shlex.quote(self.environment['PATH'])}\n")

    async def _launch(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel = ours
        ours.setblocking(False)
        for side in (ours, theirs):
            side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        info_read, info_write = os.pipe2(os.O_CLOEXEC)
        with os.fdopen(info_read, "rb") as info, tempfile.TemporaryFile() as complaints:
            with theirs, os.fdopen(info_write, "wb"):
                self._child = self._start_child(theirs.fileno(), info_write, complaints)
            self._watch_child(self._child)
            asyncio.get_running_loop().add_reader(ours, self._receive)
            await self._until_ready()
            if not self._ready.is_set() or self.dead.is_set():
                complaints.seek(0)
                said = complaints.read(4096).decode("utf-8", "replace").strip().splitlines()
                raise StartFailed(f"The sandbox did not start: {said[-1] if said else 'no answer'}")
            if self.ground.kind != "none":
                # All of it is there: bwrap writes it before it lets PID 1 run.
                pid: int = json.loads(os.read(info.fileno(), 4096))["child-pid"]
                self._pid_1 = os.pidfd_open(pid)
                self._put_under_limits(self._child.pid, pid)

    def _start_child(
        self, channel: int, info: int, complaints: IO[bytes]
    ) -> "subprocess.Popen[bytes]":
        """In the event loop's own thread: the kernel ties die-with-parent to who forked."""
        command = self._agent_command(channel)
        with contextlib.ExitStack() as stack:
            fds = [channel]
            if self.ground.kind != "none":
                seccomp_fd = bwrap.seccomp_file()
                stack.callback(os.close, seccomp_fd)
                fds += [info, seccomp_fd]
                command = bwrap.arguments(
                    self.ground.kind,
                    shutil.which("bwrap") or "bwrap",
                    self.folder,
                    self.ground.toolchain,
                    command,
                    info_fd=info,
                    seccomp_fd=seccomp_fd,
                )
            drop = self.uid if self.ground.kind == "bwrap" else None
            try:
                return subprocess.Popen(  # noqa: S603  (fixed words, no shell)
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=complaints,
                    env={
                        "PATH": self.environment["PATH"],
                        **dict(self.ground.toolchain.environment),
                    },
                    cwd="/",
                    pass_fds=fds,
                    user=drop,
                    group=drop,
                    extra_groups=[] if drop is not None else None,
                )
            except OSError as error:
                self._channel.close()
                raise StartFailed(f"The sandbox did not start: {error}") from error

    async def _until_ready(self) -> None:
        waiting = {asyncio.ensure_future(event.wait()) for event in (self._ready, self.dead)}
        try:
            await asyncio.wait(waiting, timeout=START_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    def _agent_command(self, fd: int) -> list[str]:
        isolated = self.ground.kind != "none"
        settings = {
            "fd": fd,
            "home": HOME if isolated else str(self.folder / "home"),
            "pid_1": isolated,
            "uid": self.uid if self.ground.kind == "bwrap-root" else None,
            "limits": limits.rlimits(self.ground.groups is not None) if isolated else {},
        }
        python = self.ground.toolchain.python
        agent = AGENT
        if not isolated:
            python = str(self.ground.toolchain.folder / "host" / "bin" / "python")
            agent = str(self.ground.toolchain.folder / "agent")
        start = f"import sys; sys.path.insert(0, {agent!r}); from inside.agent import main; main()"
        return [python, "-I", "-S", "-B", "-c", start, json.dumps(settings)]

    def _put_under_limits(self, *pids: int) -> None:
        """Before anything but PID 1 runs, so that nothing escapes its group."""
        if self.ground.groups is None:
            return
        try:
            self._group = self.ground.groups.make(group_name(self.name))
            for pid in pids:
                self._group.add(pid)
        except OSError as error:
            raise StartFailed(f"The sandbox's limits could not be set: {error}") from error

    def _watch_child(self, child: "subprocess.Popen[bytes]") -> None:
        pidfd = os.pidfd_open(child.pid)
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(pidfd)
            os.close(pidfd)
            child.wait()
            self._die()

        loop.add_reader(pidfd, ended)

    def _die(self) -> None:
        if self.dead.is_set():
            return
        self.dead.set()
        asyncio.get_running_loop().remove_reader(self._channel)
        self._channel.close()
        for call in self._calls.values():
            if not call.answered.done():
                call.answered.set_exception(BoxGone(f"sandbox {self.name} is gone"))
        self._calls.clear()
        for process in self.processes.values():
            process.abandon()
        for watch in self.watches.values():
            watch.woken.set()

    async def kill(self) -> None:
        """Returns when every process is gone and the folder is removed. Safe to call again."""
        if self._end is None:
            self._end = asyncio.ensure_future(self._kill())
        await asyncio.shield(self._end)

    async def _kill(self) -> None:
        if self._child is not None:
            if self._pid_1 is not None:
                # Only PID 1: the kernel ends the rest, and bwrap reaps it and follows. Killing
                # bwrap as well would leave PID 1 to nobody.
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._pid_1, signal.SIGKILL)
                os.close(self._pid_1)
            elif self.ground.kind == "none" and not self.dead.is_set():
                self._channel.shutdown(socket.SHUT_RDWR)  # the agent kills what it started
            else:
                self._child.kill()
            try:
                await asyncio.wait_for(self.dead.wait(), EXIT_PATIENCE)
            except TimeoutError:
                self._child.kill()
                await self.dead.wait()
        await asyncio.to_thread(remove_folder, self.folder)
        if self._group is not None:
            for _ in range(50):
                if self._group.remove():
                    break
                await asyncio.sleep(0.02)  # the last process is counted until it is reaped

    # The conversation

    def _receive(self) -> None:
        while True:
            try:
                data, ancillary, flags, _ = self._channel.recvmsg(MESSAGE, socket.CMSG_LEN(64))
            except BlockingIOError:
                return
            except OSError:
                data, ancillary, flags = b"", [], 0
            fds = array.array("i")
            for level, kind, rights in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(rights[: len(rights) - len(rights) % fds.itemsize])
            for fd in fds:
                os.set_inheritable(fd, False)
            if not data or flags & socket.MSG_TRUNC:
                for fd in fds:
                    os.close(fd)
                # Nothing more can come from PID 1; its end is seen by _watch_child.
                asyncio.get_running_loop().remove_reader(self._channel)
                return
            try:
                self._take(json.loads(data), list(fds))
            except (ValueError, KeyError, TypeError, IndexError):
                # Only somebody who took over PID 1 sends nonsense.
                self._end = self._end or asyncio.ensure_future(self._kill())
                return
            if self.dead.is_set():
                return

    def _take(self, message: Json, fds: list[int]) -> None:
        if message.get("memfd"):
            with os.fdopen(fds.pop(0), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise ValueError("not a memfd")
                message = json.loads(os.pread(file.fileno(), LARGEST_ANSWER, 0))
        if "id" in message:
            call = self._calls.pop(message["id"])
            if "error" in message:
                if not call.answered.done():
                    call.answered.set_exception(Denied(**message["error"]))
                return
            result = call.take(message["ok"], fds)
            if not call.answered.done():
                call.answered.set_result(result)
            elif isinstance(result, OpenFile):
                result.close()
        elif "exit" in message:
            process = self.processes.get(message["exit"])
            if process is not None:
                process.reaped(message["code"], message["signal"])
                self._forget_later(process)
        elif "watch" in message:
            watch = self.watches.get(message.pop("watch"))
            if watch is not None:
                watch.put(message)
        elif "ready" in message:
            self._ready.set()

    def _forget_later(self, process: Process) -> None:
        def forget() -> None:
            if self.processes.get(process.pid) is process and process.ended.is_set():
                del self.processes[process.pid]

        asyncio.get_running_loop().call_later(KEPT_AFTER_END, forget)

    async def call(self, op: str, **arguments: Any) -> Json:
        """Asks PID 1. Raises Denied or BoxGone."""
        return await self.call_for(lambda answer, _: answer, op, **arguments)

    async def call_for(
        self, take: Callable[[Json, list[int]], Result], op: str, **arguments: Any
    ) -> Result:
        """Like `call`, for answers with open files, which `take` makes something of."""
        if self.dead.is_set():
            raise BoxGone(f"sandbox {self.name} is gone")
        self._number += 1
        answered: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        data = json.dumps({"id": self._number, "op": op, **arguments}).encode()
        self._calls[self._number] = Call(answered, take)
        number = self._number
        while True:
            try:
                self._channel.send(data)
                break
            except BlockingIOError:
                await asyncio.sleep(0.005)  # hundreds of calls ahead of a busy PID 1
            except OSError as error:
                del self._calls[number]
                if error.errno == errno.EMSGSIZE:
                    raise Denied(errno.E2BIG, "the command is too long") from error
                raise BoxGone(f"sandbox {self.name} is gone") from error
        return await answered

    # Files

    async def open_read(self, path: str) -> OpenFile:
        """A regular file, wherever `path` leads inside. Raises Denied, BoxGone."""
        return await self.call_for(OpenFile.take, "open_read", path=self.outside(path))

    async def open_write(self, path: str, metadata: dict[str, str]) -> OpenFile:
        """Emptied, or made together with its folders. Raises Denied, BoxGone."""
        return await self.call_for(
            OpenFile.take, "open_write", path=self.outside(path), metadata=metadata
        )

    # Processes

    def outside(self, text: str) -> str:
        """Without isolation there is no /home/user: its name stands for the private folder."""
        if self.ground.kind != "none":
            return text
        return text.replace(HOME, str(self.folder / "home"))

    async def spawn(
        self, config: Config, *, stdin: bool, pty: tuple[int, int] | None = None
    ) -> Process:
        """`pty` is rows and columns. Raises Denied where it cannot be started."""
        environment = self.environment | config.envs

        def take(answer: Json, fds: list[int]) -> Process:
            pid: int = answer["pid"]
            outputs: dict[Stream, int] = {"stdout": fds[0]}
            stdin_fd = fds[2] if stdin and not pty else None
            if pty:
                outputs, stdin_fd = {"pty": fds[0]}, fds[0]
            else:
                outputs["stderr"] = fds[1]
            kill = functools.partial(self.signal, pid, signal.SIGKILL)
            process = Process(pid, config, outputs, stdin_fd, kill)
            self.processes[pid] = process
            return process

        return await self.call_for(
            take,
            "spawn",
            cmd=self.outside(config.cmd),
            args=[self.outside(arg) for arg in config.args],
            cwd=self.outside(config.cwd or ""),
            env={name: self.outside(value) for name, value in environment.items()},
            stdin=stdin,
            pty={"rows": pty[0], "cols": pty[1]} if pty else None,
        )

    async def signal(self, pid: int, number: int) -> None:
        """SIGKILL returns once the process is reaped. Raises Denied (ESRCH) where it has ended."""
        process = self.processes.get(pid)
        if process is None or process.exited.is_set():
            raise Denied(errno.ESRCH, f"process with pid {pid} not found")
        await self.call("signal", pid=pid, signal=number)
        if number == signal.SIGKILL:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.exited.wait(), EXIT_PATIENCE)

    async def pause(self) -> None:
        """Stops every process; the streams to clients end, the processes stay."""
        await self.call("stop")
        for process in self.processes.values():
            process.cut_off()

    async def resume(self) -> None:
        await self.call("continue")

    async def usage(self) -> Json:
        """memory, disk_used, disk_total in bytes; cpu_seconds; processes."""
        answer: Json = await self.call("usage")
        grouped = self._group.memory() if self._group is not None else None
        return answer | ({"memory": grouped} if grouped is not None else {})


def group_name(box: str) -> str:
    return limits.GROUP_PREFIX + box
