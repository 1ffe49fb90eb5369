"""The argument list that makes a sandbox out of bubblewrap (see bwrap(1))."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from vibecoder.local.sandbox import seccomp
from vibecoder.local.sandbox.toolchain import Toolchain

Kind = Literal["bwrap", "bwrap-root", "none"]

INSIDE_ID = 1000  # user and group of everything in a sandbox that has a user namespace
SHM = 256 << 20  # bytes; /dev/shm is memory
HOST_UIDS = 1_900_000_000  # first of 65,536 that systemd's table of ids leaves unused
HOST_UIDS_SMALL = 60_000  # first of 1,000, where a container maps no ids that large


def host_uids() -> range:
    """The users that sandboxes of a server run by root may have, one each."""
    mapped = max(
        int(line.split()[0]) + int(line.split()[2])
        for line in Path("/proc/self/uid_map").read_text().splitlines()
    )
    if mapped > HOST_UIDS + 65_536:
        return range(HOST_UIDS, HOST_UIDS + 65_536)
    return range(HOST_UIDS_SMALL, HOST_UIDS_SMALL + 1_000)


def write_etc(folder: Path, uid: int) -> None:
    """The little of /etc that programs look for; nothing of it tells of this machine."""
    folder.mkdir()
    files = {
        "passwd": f"root:x:0:0:root:/root:/bin/bash\nuser:x:{uid}:{uid}::/home/user:/bin/bash\n",
        "group": f"root:x:0:\nuser:x:{uid}:\n",
        "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
        "resolv.conf": "",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
        "hostname": "sandbox\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)
    folder.chmod(0o755)


def arguments(
    kind: Kind,
    program: str,
    box: Path,
    toolchain: Toolchain,
    command: Sequence[str],
    *,
    info_fd: int,
    seccomp_fd: int,
) -> list[str]:
    """`box` holds home/, tmp/ and etc/. The root folder, /dev and /etc are read-only inside."""
    argv = [program]
    if kind == "bwrap":
        argv += ["--unshare-user", "--uid", str(INSIDE_ID), "--gid", str(INSIDE_ID)]
        argv += ["--cap-drop", "ALL"]
    else:  # the agent gives these two up when it becomes the sandbox's user
        argv += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    argv += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net"]
    argv += ["--unshare-cgroup-try", "--hostname", "sandbox"]
    argv += ["--die-with-parent", "--new-session", "--as-pid-1"]
    # Named, because folders that bwrap makes by itself are closed to others than their owner.
    for folder in ("/etc", "/home", "/opt", "/opt/vibecoder", "/root", "/run", "/var"):
        argv += ["--dir", folder]
    argv += ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/", name)
        if path.is_symlink():
            argv += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            argv += ["--ro-bind", str(path), str(path)]
    for name in ("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ssl/certs"):
        argv += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for name in ("protocols", "services", "mime.types", "localtime"):
        argv += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for file in ("passwd", "group", "hosts", "resolv.conf", "nsswitch.conf", "hostname"):
        argv += ["--ro-bind", str(box / "etc" / file), f"/etc/{file}"]
    for source, target in toolchain.binds:
        argv += ["--ro-bind", source, target]
    argv += ["--proc", "/proc", "--dev", "/dev", "--size", str(SHM), "--tmpfs", "/dev/shm"]  # noqa: S108
    argv += ["--bind", str(box / "home"), "/home/user", "--bind", str(box / "tmp"), "/tmp"]  # noqa: S108
    argv += ["--symlink", "/tmp", "/var/tmp"]  # noqa: S108
    argv += ["--remount-ro", "/dev", "--remount-ro", "/"]
    argv += ["--info-fd", str(info_fd)]
    argv += ["--seccomp", str(seccomp_fd)]
    argv += ["--chdir", "/", "--", *command]
    return argv


def seccomp_file() -> int:
    """An open file with the filter, for bwrap to read; the caller closes it."""
    fd = os.memfd_create("seccomp")
    os.write(fd, seccomp.program(platform.machine()))
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
