"""PID 1 of a sandbox: starts processes and opens files on behalf of the server outside.

Runs under the sandbox's own Python, so: standard library only, nothing of this package. It speaks
over one inherited SOCK_SEQPACKET socket, a JSON object per message; open files travel as file
descriptors (SCM_RIGHTS). Because every path is opened here, symbolic links and ".." can only
lead to what the sandbox itself sees.

Server to agent: {"id", "op", ...}. Agent to server: {"id", "ok": {...}} or
{"id", "error": {"errno", "message"}}, and unasked {"ready": true},
{"exit": pid, "code": n or null, "signal": n or null} and {"watch": id, "name", "type", "entry"}.
A message over 100 kB travels as a memfd: {"memfd": true}.

The end of the socket is the end of PID 1, and with it of everything in the sandbox.
"""

# ruff: noqa: PTH112, PTH116, PTH118, PTH123, PTH208
# Paths are plain strings here: PID 1 must start fast, and pathlib alone costs it milliseconds.

import array
import ctypes
import errno
import fcntl
import json
import os
import pty
import resource
import selectors
import signal
import socket
import stat
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from typing import Any

from . import files
from .watch import Watch

Json = dict[str, Any]
Answer = files.Answer

LARGEST_MESSAGE = 100_000  # bytes; the default socket buffer takes about 200 kB
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36

libc = ctypes.CDLL(None, use_errno=True)


class Agent:
    """The one object: the socket, the settings it was started with, and the watches."""

    def __init__(self, settings: Json) -> None:
        self.home: str = settings["home"]
        self.is_pid_1: bool = settings["pid_1"]
        self.channel = socket.socket(fileno=settings["fd"])
        self.watches: dict[int, Watch] = {}
        self.children: set[int] = set()  # started on request; others are orphans of theirs
        self.operations: dict[str, Callable[[Json], Answer]] = {
            "spawn": self.spawn,
            "signal": self.signal,
            "stop": lambda _: self.signal_all(signal.SIGSTOP),
            "continue": lambda _: self.signal_all(signal.SIGCONT),
            "open_read": lambda r: files.open_read(self.path(r)),
            "open_write": lambda r: files.open_write(self.path(r), r["metadata"]),
            "stat": lambda r: ({"entry": files.entry(self.path(r))}, []),
            "list": lambda r: files.list_folder(self.path(r), r["depth"]),
            "make_dir": lambda r: files.make_dir(self.path(r)),
            "move": lambda r: files.move(self.path(r, "source"), self.path(r, "destination")),
            "remove": lambda r: files.remove(self.path(r)),
            "watch": self.watch,
            "drain": self.drain,
            "unwatch": self.unwatch,
            "usage": self.usage,
        }
        # These may take long, and the others must not wait for them.
        self.slow = {"list", "move", "remove", "usage", "watch"}

    # The conversation

    def send(self, message: Json, fds: list[int] | None = None) -> None:
        data = json.dumps(message).encode()
        fds = fds or []
        if len(data) > LARGEST_MESSAGE:
            memfd = os.memfd_create("message")
            with os.fdopen(os.dup(memfd), "wb") as file:
                file.write(data)
            data, fds = b'{"memfd": true}', [memfd, *fds]
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self.channel.sendmsg([data], rights)
        finally:
            for fd in fds:
                os.close(fd)

    def answer(self, request: Json) -> None:
        try:
            ok, fds = self.operations[request["op"]](request)
            message: Json = {"id": request["id"], "ok": ok}
        except OSError as error:
            number = error.errno or errno.EIO
            text = f"{error.filename or request.get('path', request['op'])}: {os.strerror(number)}"
            fds = []
            message = {"id": request["id"], "error": {"errno": number, "message": text}}
        except (ValueError, RuntimeError, subprocess.SubprocessError) as error:
            # ValueError: a NUL in a path; RuntimeError: no more threads.
            fds = []
            message = {
                "id": request["id"],
                "error": {"errno": errno.EINVAL, "message": str(error)},
            }
        self.send(message, fds)

    def run(self) -> None:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        selector = selectors.DefaultSelector()
        selector.register(self.channel, selectors.EVENT_READ)
        selector.register(wake_read, selectors.EVENT_READ)
        self.send({"ready": True})
        while True:
            for key, _ in selector.select():
                if key.fileobj == wake_read:
                    os.read(wake_read, 4096)
                    continue
                data = self.channel.recv(1 << 20)
                if not data:
                    return
                request = json.loads(data)
                if request["op"] in self.slow:
                    self.answer_aside(request)
                else:
                    self.answer(request)
            self.reap()

    def answer_aside(self, request: Json) -> None:
        try:
            threading.Thread(target=self.answer, args=(request,), daemon=True).start()
        except RuntimeError:  # the sandbox used up its processes
            self.answer(request)

    def reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid not in self.children:
                continue
            self.children.discard(pid)
            code = os.waitstatus_to_exitcode(status)
            self.send(
                {
                    "exit": pid,
                    "code": code if code >= 0 else None,
                    "signal": -code if code < 0 else None,
                }
            )

    # Processes

    def spawn(self, request: Json) -> Answer:
        cwd = self.path({"path": request["cwd"] or self.home})
        if not os.path.isdir(cwd):
            raise FileNotFoundError(errno.ENOENT, "", f"cwd '{cwd}' does not exist")
        if request.get("pty"):
            return self.spawn_pty(request, cwd)
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        keep, drop = [out_read, err_read], [out_write, err_write]
        stdin = subprocess.DEVNULL
        if request["stdin"]:
            stdin, in_write = os.pipe2(os.O_CLOEXEC)
            keep.append(in_write)
            drop.append(stdin)
        try:
            child = subprocess.Popen(  # noqa: S603  (running what it is told is its purpose)
                [request["cmd"], *request["args"]],
                stdin=stdin,
                stdout=out_write,
                stderr=err_write,
                cwd=cwd,
                env=request["env"],
                start_new_session=True,
            )
        except BaseException:
            for fd in keep:
                os.close(fd)
            raise
        finally:
            for fd in drop:
                os.close(fd)
        child.returncode = 0  # reap() waits for it, Popen must not
        self.children.add(child.pid)
        return {"pid": child.pid}, keep

    def spawn_pty(self, request: Json, cwd: str) -> Answer:
        master, slave = pty.openpty()
        size = request["pty"]
        fcntl.ioctl(
            slave, termios.TIOCSWINSZ, struct.pack("HHHH", size["rows"], size["cols"], 0, 0)
        )
        try:
            child = subprocess.Popen(  # noqa: S603  (running what it is told is its purpose)
                [request["cmd"], *request["args"]],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                cwd=cwd,
                env=request["env"],
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        child.returncode = 0
        self.children.add(child.pid)
        return {"pid": child.pid}, [master]

    def signal(self, request: Json) -> Answer:
        """To the whole process group, so that what a shell started ends with the shell."""
        os.killpg(request["pid"], request["signal"])
        return {}, []

    def signal_all(self, number: int) -> Answer:
        for _ in range(3):  # something may fork while we go through the list
            if self.is_pid_1:
                try:
                    os.kill(-1, number)
                except ProcessLookupError:
                    return {}, []
            else:
                for pid in descendants(os.getpid()):
                    try:
                        os.kill(pid, number)
                    except ProcessLookupError:
                        continue
        return {}, []

    def usage(self, _: Json) -> Answer:
        pids = all_pids() if self.is_pid_1 else [os.getpid(), *descendants(os.getpid())]
        pages = 0
        ticks = 0
        for pid in pids:
            try:
                with open(f"/proc/{pid}/statm") as file:
                    pages += int(file.read().split()[1])
                with open(f"/proc/{pid}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
                    ticks += int(fields[11]) + int(fields[12])
            except (OSError, IndexError):
                continue
        disk = os.statvfs(self.home)
        return {
            "memory": pages * resource.getpagesize(),
            "cpu_seconds": ticks / os.sysconf("SC_CLK_TCK"),
            "disk_total": disk.f_blocks * disk.f_frsize,
            "disk_used": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
            "processes": len(pids),
        }, []

    def path(self, request: Json, key: str = "path") -> str:
        """Absolute; "~" and relative paths start at the home folder."""
        text: str = request[key]
        if text == "~" or text.startswith("~/"):
            text = self.home + text[1:]
        return os.path.normpath(os.path.join(self.home, text))

    # Watching for changes

    def watch(self, request: Json) -> Answer:
        path = self.path(request)
        if not stat.S_ISDIR(os.stat(path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "", path)
        watch = Watch(self.send, request["watch"], path, request["recursive"])
        self.watches[request["watch"]] = watch
        threading.Thread(target=watch.run, daemon=True).start()
        return {}, []

    def drain(self, request: Json) -> Answer:
        """Everything the kernel knows by now is sent before this is answered."""
        watch = self.watches.get(request["watch"])
        if watch is not None:
            watch.pump()
        return {}, []

    def unwatch(self, request: Json) -> Answer:
        watch = self.watches.pop(request["watch"], None)
        if watch is not None:
            watch.close()
        return {}, []


def all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def descendants(of: int) -> list[int]:
    found: list[int] = []
    left = [of]
    while left:
        pid = left.pop()
        try:
            with open(f"/proc/{pid}/task/{pid}/children") as file:
                children = [int(word) for word in file.read().split()]
        except OSError:
            continue
        found += children
        left += children
    return found


def main() -> None:
    settings: Json = json.loads(sys.argv[1])
    if settings["uid"] is not None:  # bubblewrap ran as root and without a user namespace
        os.setgroups([])
        os.setresgid(settings["uid"], settings["uid"], settings["uid"])
        os.setresuid(settings["uid"], settings["uid"], settings["uid"])
    # Same user as everything else in here: without this they could trace us or open our files.
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    if not settings["pid_1"]:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for name, value in settings["limits"].items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (value, value))
    os.umask(0o022)
    agent = Agent(settings)
    os.set_inheritable(settings["fd"], False)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    try:
        agent.run()
    finally:
        if not settings["pid_1"]:
            agent.signal_all(signal.SIGKILL)
