"""Processes that outlived whoever started them: the kernel's own list, never our records."""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path


def left_running(folder: Path, wanted: Collection[int]) -> list[str]:
    """Those that name the folder and are neither `wanted` nor descend from such a one."""
    found: list[str] = []
    for process in Path("/proc").iterdir():
        # One that ends meanwhile is not left; one of another user is not ours.
        with suppress(OSError):
            if not process.name.isdigit() or _descends(int(process.name), wanted):
                continue
            command = (process / "cmdline").read_bytes()
            if bytes(folder) in command or bytes(folder) in (process / "environ").read_bytes():
                words = command.replace(b"\0", b" ").decode(errors="replace")[:200]
                found.append(f"the process {process.name}: {words}")
    return found


def _descends(pid: int, wanted: Collection[int]) -> bool:
    while pid > 1:
        if pid in wanted:
            return True
        # "pid (name) state ppid": a name may hold spaces and brackets.
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        pid = int(stat.rpartition(")")[2].split()[1])
    return False
