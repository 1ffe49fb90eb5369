"""Runs inside the sandbox: one shell command, watched over. See inside.py for the company it keeps.

Standard library only, Python 3.8 or newer, started as
`python3 -I -S supervise.py [REQUEST_FILE]`. The request is JSON, from the environment variable
VIBECODER_REQUEST or from the file; the answer is JSON on stdout. A command that cannot be started
ends with exit code 3 and a sentence on stderr.

The output is bounded here, where it arises, and not on its way: a command may write gigabytes.
"""

# It starts for every command, and pathlib takes milliseconds; running commands is the purpose.
# ruff: noqa: PTH103, PTH108, PTH120, PTH123, PTH208, S603

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import selectors
import signal
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

MAX_LOG = 20000000  # bytes of one command's output that are kept on disk
PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    request = os.environ.pop("VIBECODER_REQUEST", "{}")
    if len(sys.argv) > 1:
        with open(sys.argv[1], encoding="utf-8") as file:
            request = file.read()
        os.unlink(sys.argv[1])
    sys.stdout.write(json.dumps(run(json.loads(request))))


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run a shell command; everything that it started has ended when this returns.

    {command, cwd, seconds, log, keep} -> {exit_code, seconds, bytes, sha256, head, tail, logged}
    where head and tail are base64 of at most `keep` bytes each, the tail empty when the head has it
    all. `logged` is false where the log is not whole: the disk may be full.
    """
    command = request["command"]
    kept = Kept(request["log"], request["keep"])  # before the command, which may clear our folder
    script = None
    if (
        len(command.encode("utf-8", "surrogateescape")) > 100000
    ):  # one argument may have 128 KiB at most
        script = request["log"] + ".sh"
        try:
            with open(script, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(command)
        except OSError as error:
            _refuse(error)
    _adopt_orphans()
    started = time.monotonic()
    deadline = started + request["seconds"]
    try:
        process = subprocess.Popen(
            ["/bin/bash", "-o", "pipefail", *([script] if script else ["-c", command])],
            cwd=request["cwd"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        _refuse(error)
    finished = _collect(process, kept, deadline)
    exit_code = process.returncode if finished else None
    if exit_code is not None and exit_code < 0:
        exit_code = 128 - exit_code  # as a shell reports death by a signal
    _end_all()
    return {
        "exit_code": exit_code,
        "seconds": time.monotonic() - started,
        "bytes": kept.bytes,
        "sha256": kept.sha.hexdigest(),
        "head": base64.b64encode(bytes(kept.head)).decode(),
        "tail": base64.b64encode(bytes(kept.tail)).decode(),
        "logged": kept.log is not None,
    }


def _refuse(error: OSError) -> NoReturn:
    sys.stderr.write(f"The command could not be started: {error}.")
    sys.exit(3)


def _adopt_orphans() -> None:
    """Make the command's orphans our children, so that a daemon cannot outlive its command."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return  # a Python without ctypes: what double-forks lives on until the sandbox ends


class Kept:
    """What is remembered of an output: a hash of all, its two ends, and a log file."""

    def __init__(self, log: str, keep: int) -> None:
        self.sha = hashlib.sha256()
        self.bytes = 0
        self.head = bytearray()
        self.tail = bytearray()
        self.keep = keep
        self.log: io.FileIO | None = None
        try:
            os.makedirs(os.path.dirname(log), exist_ok=True)
            self.log = io.FileIO(log, "w")
        except OSError:
            pass  # a full disk: the output's ends are kept all the same

    def add(self, data: bytes) -> None:
        if self.log is not None and self.bytes < MAX_LOG:
            wanted = data[: MAX_LOG - self.bytes]
            try:
                written = self.log.write(wanted)
            except OSError:
                written = 0
            if written != len(wanted):
                self.close()
        self.sha.update(data)
        self.bytes += len(data)
        room = self.keep - len(self.head)
        self.head += data[:room]
        self.tail += data[room:]
        del self.tail[: -self.keep]

    def close(self) -> None:
        """The log is not written any further."""
        if self.log is not None:
            self.log.close()
            self.log = None


def _collect(process: subprocess.Popen[bytes], kept: Kept, deadline: float) -> bool:
    """Read the output until the command ends; False if the deadline came first."""
    assert process.stdout is not None  # noqa: S101  # for the type checker
    pipe = process.stdout.fileno()
    os.set_blocking(pipe, False)
    selector = selectors.DefaultSelector()
    selector.register(pipe, selectors.EVENT_READ)
    is_open = True
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        # A background process may hold the pipe open after the command itself has ended.
        if process.poll() is not None:
            while is_open and _read(pipe, kept):
                if time.monotonic() > deadline:
                    break
            return True
        if not is_open:
            try:
                process.wait(left)
            except subprocess.TimeoutExpired:
                return False
            continue
        if selector.select(min(left, 0.05)):
            while True:
                got = _read(pipe, kept)
                if got is False:
                    selector.unregister(pipe)
                    is_open = False
                if not got or time.monotonic() > deadline:
                    break


def _read(pipe: int, kept: Kept) -> bool | None:
    """True if there was data, None if there is none yet, False at the end."""
    try:
        data = os.read(pipe, 65536)
    except BlockingIOError:
        return None
    if not data:
        return False
    kept.add(data)
    return True


def _end_all() -> None:
    """Kill all descendants: each orphan is handed to us, so the loop ends when none is left."""
    give_up = time.monotonic() + 5
    while time.monotonic() < give_up:
        for pid in _children():
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.002)
        except ChildProcessError:
            return


def _children() -> list[int]:
    me = os.getpid()
    pids: list[int] = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # The command's name may hold spaces and brackets: fields count from the last.
                    parent = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
            if parent == me:
                pids.append(int(name))
    return pids


if __name__ == "__main__":
    main()
