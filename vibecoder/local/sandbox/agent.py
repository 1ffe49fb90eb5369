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

# ruff: noqa: PTH103, PTH104, PTH108, PTH112, PTH116, PTH118, PTH119, PTH120, PTH123, PTH208
# Paths are plain strings here: PID 1 must start fast, and pathlib alone costs it milliseconds.

import array
import contextlib
import ctypes
import errno
import fcntl
import grp
import json
import os
import pty
import pwd
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
from collections.abc import Callable, Iterator
from typing import Any

Json = dict[str, Any]
Answer = tuple[Json, list[int]]

LARGEST_MESSAGE = 100_000  # bytes; the default socket buffer takes about 200 kB
MOST_ENTRIES = 100_000  # of one directory listing
XATTR_PREFIX = "user.e2b."
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
IN_NONBLOCK, IN_CLOEXEC = os.O_NONBLOCK, os.O_CLOEXEC
IN_MODIFY, IN_ATTRIB, IN_MOVED_FROM, IN_MOVED_TO = 0x2, 0x4, 0x40, 0x80
IN_CREATE, IN_DELETE, IN_ISDIR, IN_IGNORED = 0x100, 0x200, 0x40000000, 0x8000
IN_EVENTS = IN_MODIFY | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE

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
            "open_read": self.open_read,
            "open_write": self.open_write,
            "stat": lambda r: ({"entry": entry(self.path(r))}, []),
            "list": self.list,
            "make_dir": self.make_dir,
            "move": self.move,
            "remove": self.remove,
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

    # Files

    def path(self, request: Json, key: str = "path") -> str:
        """Absolute; "~" and relative paths start at the home folder."""
        text: str = request[key]
        if text == "~" or text.startswith("~/"):
            text = self.home + text[1:]
        return os.path.normpath(os.path.join(self.home, text))

    def open_read(self, request: Json) -> Answer:
        path = self.path(request)
        # O_NONBLOCK: opening a FIFO must not hang. Devices are refused below, after the open.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            os.close(fd)
            raise_not_regular(info, path)
        return {"path": path, "size": info.st_size}, [fd]

    def open_write(self, request: Json) -> Answer:
        path = self.path(request)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        new = not os.path.lexists(path)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        fd = os.open(path, flags, 0o644)
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise_not_regular(info, path)
            if new:
                os.fchmod(fd, 0o644)  # watchers of a new file expect to see this as well
            elif info.st_size:
                os.ftruncate(fd, 0)
            for name, value in request["metadata"].items():
                os.setxattr(fd, XATTR_PREFIX + name, value.encode())
        except BaseException:
            os.close(fd)
            raise
        return {"path": path, "name": os.path.basename(path)}, [fd]

    def list(self, request: Json) -> Answer:
        top = self.path(request)
        found: list[Json] = []
        left = [(top, 1)]
        while left:
            folder, depth = left.pop()
            with os.scandir(folder) as scan:
                for item in scan:
                    if len(found) == MOST_ENTRIES:
                        raise OSError(errno.EOVERFLOW, "", top)
                    try:
                        found.append(entry(item.path))
                    except FileNotFoundError:
                        continue
                    if depth < request["depth"] and item.is_dir(follow_symlinks=False):
                        left.append((item.path, depth + 1))
        found.sort(key=lambda e: str(e["path"]))
        return {"entries": found}, []

    def make_dir(self, request: Json) -> Answer:
        path = self.path(request)
        if os.path.isdir(path):
            raise FileExistsError(errno.EEXIST, "", path)
        os.makedirs(path, exist_ok=True)
        return {"entry": entry(path)}, []

    def move(self, request: Json) -> Answer:
        source, target = self.path(request, "source"), self.path(request, "destination")
        os.lstat(source)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(source, target)
        return {"entry": entry(target)}, []

    def remove(self, request: Json) -> Answer:
        """Gone already is fine, as with rm -rf. Not recursive, so that no depth is too deep."""
        path = self.path(request)
        try:
            info = os.lstat(path)
        except FileNotFoundError:
            return {}, []
        if not stat.S_ISDIR(info.st_mode):
            os.unlink(path)
            return {}, []
        done_read, done_write = os.pipe2(os.O_CLOEXEC)
        try:
            # Nothing is ever written to the pipe: it closes when rm ends.
            remover = subprocess.Popen(  # noqa: S603
                ["/bin/rm", "-rf", "--", path], stdout=done_write, stderr=subprocess.DEVNULL
            )
            remover.returncode = 0  # the main thread reaps it
        finally:
            os.close(done_write)
        with os.fdopen(done_read, "rb") as done:
            done.read()
        if os.path.lexists(path):
            raise PermissionError(errno.EACCES, "", path)
        return {}, []

    # Watching for changes

    def watch(self, request: Json) -> Answer:
        path = self.path(request)
        if not stat.S_ISDIR(os.stat(path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "", path)
        watch = Watch(self, request["watch"], path, request["recursive"])
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


class Watch:
    """Changes below one folder, by inotify, told to the server as they happen."""

    def __init__(self, agent: Agent, number: int, path: str, recursive: bool) -> None:
        self.agent, self.number, self.top, self.recursive = agent, number, path, recursive
        self.fd: int = libc.inotify_init1(IN_CLOEXEC | IN_NONBLOCK)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "", path)
        self.stop_read, self.stop_write = os.pipe2(os.O_CLOEXEC)
        self.folders: dict[int, str] = {}
        self.turn = threading.Lock()
        self.closed = False
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
        if self.recursive and mask & IN_ISDIR and mask & (IN_CREATE | IN_MOVED_TO):
            with contextlib.suppress(OSError):  # gone again already: its removal is told as well
                self.add(path)
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
        self.agent.send(message)


def entry(path: str) -> Json:
    """One EntryInfo of filesystem.proto, in its JSON form."""
    own = os.lstat(path)
    link = stat.S_ISLNK(own.st_mode)
    info = own
    kind = "FILE_TYPE_UNSPECIFIED"
    if link:
        try:
            info = os.stat(path)
        except OSError:
            kind = "FILE_TYPE_SYMLINK"  # leads nowhere
    if stat.S_ISDIR(info.st_mode):
        kind = "FILE_TYPE_DIRECTORY"
    elif stat.S_ISREG(info.st_mode):
        kind = "FILE_TYPE_FILE"
    found: Json = {
        "name": printable(os.path.basename(path)),
        "type": kind,
        "path": printable(path),
        "size": str(own.st_size),
        "mode": stat.S_IMODE(own.st_mode),
        "permissions": stat.filemode(own.st_mode),
        "owner": user_name(own.st_uid),
        "group": group_name(own.st_gid),
        "modifiedTime": timestamp(own.st_mtime_ns),
    }
    if link:
        found["isSymlink"] = True
        found["symlinkTarget"] = printable(os.path.realpath(path))
    else:
        found["metadata"] = metadata(path)
    return found


def metadata(path: str) -> dict[str, str]:
    try:
        names = [name for name in os.listxattr(path) if name.startswith(XATTR_PREFIX)]
        return {
            name.removeprefix(XATTR_PREFIX): os.getxattr(path, name).decode("utf-8", "replace")
            for name in names
        }
    except OSError:
        return {}  # a file system without extended attributes has no metadata


def printable(name: str) -> str:
    """JSON has no bytes that are not UTF-8; such names come back with replacement characters."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def timestamp(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    # Not datetime: importing it costs a start milliseconds, and years past 9999 must not raise.
    days, second = divmod(min(max(seconds, 0), 253_402_300_799), 86_400)
    year, month, day = civil(days)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"{year:04}-{month:02}-{day:02}T{clock}.{rest:09}Z"


def civil(days: int) -> tuple[int, int, int]:
    """Days since 1970 to year, month, day (Howard Hinnant's civil_from_days)."""
    days += 719_468
    era, day_of_era = divmod(days, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return (
        year_of_era + era * 400 + (month <= 2),
        month,
        day_of_year - (153 * shifted + 2) // 5 + 1,
    )


def user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "root"  # what is outside the user namespace shows as nobody


def group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return "root"


def raise_not_regular(info: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(info.st_mode):
        raise IsADirectoryError(errno.EISDIR, "", path)
    raise OSError(errno.EINVAL, "", f"{path} is not a regular file")


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


if __name__ == "__main__":
    main()
