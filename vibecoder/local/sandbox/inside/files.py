"""Opening, listing and changing files; every path is resolved by the sandbox's own kernel view."""

# ruff: noqa: PTH103, PTH104, PTH108, PTH112, PTH116, PTH119, PTH120
# Paths are plain strings here: PID 1 must start fast, and pathlib alone costs it milliseconds.

import errno
import grp
import os
import pwd
import stat
import subprocess
from typing import Any

Json = dict[str, Any]
Answer = tuple[Json, list[int]]

MOST_ENTRIES = 100_000  # of one directory listing
XATTR_PREFIX = "user.e2b."


def open_read(path: str) -> Answer:
    # O_NONBLOCK: opening a FIFO must not hang. Devices are refused below, after the open.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise_not_regular(info, path)
    return {"path": path, "size": info.st_size}, [fd]


def open_write(path: str, metadata: dict[str, str]) -> Answer:
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
        for name in os.listxattr(fd):
            if name.startswith(XATTR_PREFIX):
                os.removexattr(fd, name)
        for name, value in metadata.items():
            os.setxattr(fd, XATTR_PREFIX + name, value.encode())
    except BaseException:
        os.close(fd)
        raise
    return {"path": path, "name": os.path.basename(path)}, [fd]


def list_folder(top: str, depth: int) -> Answer:
    found: list[Json] = []
    left = [(top, 1)]
    while left:
        folder, level = left.pop()
        with os.scandir(folder) as scan:
            for item in scan:
                if len(found) == MOST_ENTRIES:
                    raise OSError(errno.EOVERFLOW, "", top)
                try:
                    found.append(entry(item.path))
                except FileNotFoundError:
                    continue
                if level < depth and item.is_dir(follow_symlinks=False):
                    left.append((item.path, level + 1))
    found.sort(key=lambda e: str(e["path"]))
    return {"entries": found}, []


def make_dir(path: str) -> Answer:
    if os.path.isdir(path):
        raise FileExistsError(errno.EEXIST, "", path)
    os.makedirs(path, exist_ok=True)
    return {"entry": entry(path)}, []


def move(source: str, target: str) -> Answer:
    os.lstat(source)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.rename(source, target)
    return {"entry": entry(target)}, []


def remove(path: str) -> Answer:
    """Gone already is fine, as with rm -rf."""
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
