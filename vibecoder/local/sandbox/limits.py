"""How much of the machine one sandbox may use.

Control groups where we may write them (version 1 or 2, found out by trying), resource limits
everywhere. The difference matters: a resource limit is per process, so without a control group
many processes together can still use much memory.
"""

import contextlib
import os
import secrets
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MEMORY = 2 << 30  # bytes of one sandbox
PROCESSES = 512  # of one sandbox, threads included
OPEN_FILES = 8192
LARGEST_FILE = 8 << 30  # bytes
ADDRESS_SPACE = 6 << 30  # bytes of one process where there is no control group

SETTLED = 60.0  # seconds after which an empty control group is nobody's
GROUP_PREFIX = "vibecoder-"

MOUNT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Groups:
    """Where control groups may be made, one folder per controller (version 2 has just one)."""

    version: Literal[1, 2]
    parents: tuple[Path, ...]

    def make(self, name: str) -> "Group":
        """Raises OSError where the kernel refuses."""
        group = self.named(name)
        for folder in group.folders:
            folder.mkdir(exist_ok=True)
            for file, value in (
                ("memory.limit_in_bytes", MEMORY),
                ("memory.max", MEMORY),
                ("pids.max", PROCESSES),
            ):
                if (folder / file).exists():
                    (folder / file).write_text(str(value))
            if (folder / "memory.swap.max").exists():
                (folder / "memory.swap.max").write_text("0")
        return group

    def named(self, name: str) -> "Group":
        """One that may have been made before, for instance by a server that was killed."""
        return Group(tuple(parent / name for parent in self.parents))

    def sweep(self, prefix: str) -> None:
        """Removes what killed servers left: groups without a process, some time after their start
        (before that, one is on its way in)."""
        for parent in self.parents:
            for folder in parent.glob(prefix + "*"):
                with contextlib.suppress(OSError):  # in use, or just removed by somebody else
                    if time.time() - folder.stat().st_mtime > SETTLED:
                        folder.rmdir()


@dataclass(frozen=True, slots=True)
class Group:
    """The control group of one sandbox."""

    folders: tuple[Path, ...]

    def add(self, pid: int) -> None:
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def pids(self) -> list[int]:
        try:
            return [int(line) for line in (self.folders[0] / "cgroup.procs").read_text().split()]
        except OSError:
            return []

    def memory(self) -> int | None:
        """Bytes in use, page cache included."""
        for folder in self.folders:
            for file in ("memory.current", "memory.usage_in_bytes"):
                with contextlib.suppress(OSError):
                    return int((folder / file).read_text())
        return None

    def remove(self) -> bool:
        """False while a dying process still holds it."""
        for folder in self.folders:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return False
        return True


def rlimits(grouped: bool) -> dict[str, int]:
    """By the names of the `resource` module; the agent sets them on itself and thus on all."""
    limits = {
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": OPEN_FILES,
        "RLIMIT_FSIZE": LARGEST_FILE,
    }
    release = tuple(int(part) for part in os.uname().release.split(".")[:2])
    if os.geteuid() == 0 or release >= (5, 14):
        # Before, the kernel counted all processes of the user, those outside as well.
        limits["RLIMIT_NPROC"] = PROCESSES
    return limits if grouped else limits | {"RLIMIT_AS": ADDRESS_SPACE}


def find() -> Groups | None:
    """Where groups can be made, proven by making one and moving a process into it."""
    return next((groups for groups in _candidates() if _works(groups)), None)


def _candidates() -> list[Groups]:
    if os.name != "posix" or not Path("/proc/self/cgroup").exists():
        return []
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            own[controller] = path.lstrip("/")
    found = []
    if (MOUNT / "cgroup.controllers").exists():
        # A group that holds processes cannot hand out controllers (except the root), so the one
        # beside ours is tried too: systemd delegates a user's whole subtree.
        here = MOUNT / own.get("", "")
        found += [Groups(2, (place,)) for place in (here, here.parent) if _hands_out(place)]
    if "memory" in own and "pids" in own:
        for memory, pids in ((own["memory"], own["pids"]), ("", "")):
            parents = (MOUNT / "memory" / memory, MOUNT / "pids" / pids)
            if all(parent.is_dir() for parent in parents):
                found.append(Groups(1, parents))
    return found


def _hands_out(place: Path) -> bool:
    control = place / "cgroup.subtree_control"
    try:
        if {"memory", "pids"} <= set(control.read_text().split()):
            return True
        control.write_text("+memory +pids")
    except OSError:
        return False
    return True


def _works(groups: Groups) -> bool:
    try:
        group = groups.make(GROUP_PREFIX + "probe-" + secrets.token_hex(4))
    except OSError:
        return False
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        try:
            group.add(child.pid)
        except OSError:
            return False
        finally:
            child.kill()
            child.wait()
            group.remove()
    return True
