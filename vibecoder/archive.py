"""Unpacks a source archive without trusting it."""

import io
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

MAX_FILES = 20_000
MAX_BYTES = 200 * 1024 * 1024


class Unsafe(Exception):
    """The archive is broken, too large, or names files outside of itself."""


def unpack(data: bytes, file_name: str, folder: Path) -> None:
    """Writes the regular files of a tar (gz, bz2, xz) or zip under `folder`, which must not exist.

    The one folder that sdists have at their top is dropped. Links, devices and empty folders are
    left out; of the modes only the executable bit is kept. Raises Unsafe.
    """
    members = _zip(data) if file_name.endswith(".zip") else _tar(data)
    folder.mkdir(parents=True)
    total = 0
    try:
        for count, (name, content, executable) in enumerate(members, start=1):
            total += len(content)
            if count > MAX_FILES or total > MAX_BYTES:
                raise Unsafe(f"it holds more than {MAX_FILES:,} files or {MAX_BYTES:,} bytes.")
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
                raise Unsafe(f"it names a file outside of itself: {name!r}.")
            if len(path.parts) < 2:
                continue
            target = folder.joinpath(*path.parts[1:])
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(0o755 if executable else 0o644)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        raise Unsafe(f"it is broken ({error}).") from error


def _tar(data: bytes) -> Iterator[tuple[str, bytes, bool]]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as tar:
        for member in tar:
            if member.size > MAX_BYTES:
                raise Unsafe(f"{member.name!r} alone is larger than {MAX_BYTES:,} bytes.")
            content = tar.extractfile(member) if member.isreg() else None
            if content is not None:
                yield member.name, content.read(), bool(member.mode & 0o100)


def _zip(data: bytes) -> Iterator[tuple[str, bytes, bool]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            if info.is_dir() or (mode & 0o170000) not in (0, 0o100000):
                continue
            if info.file_size > MAX_BYTES:
                raise Unsafe(f"{info.filename!r} alone is larger than {MAX_BYTES:,} bytes.")
            yield info.filename, archive.read(info), bool(mode & 0o100)
