"""A commit's tree as a tar for the sandbox, and the tar of changed files that comes back.

What comes back is hostile. tarfile's own parser of pax headers is not safe against crafted ones in
Python before 3.11.10 (https://github.com/python/cpython/issues/121285), so only the plain headers
of the GNU format reach it, and no member is ever written to a disk.
"""

import tarfile
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import BinaryIO, cast

from dulwich.object_store import BaseObjectStore
from dulwich.objects import Blob, ObjectID

from jobs.forge import intake
from jobs.forge.errors import RepositoryTooLarge
from jobs.forge.intake import LINK, MAX_FILE, MAX_STEP, PROGRAM, SUBMODULE, Listed, Refused
from jobs.forge.tree import Entry

_PLAIN = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.SYMTYPE})
_LONG = frozenset({tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK})
_HEADERS = 16_384  # bytes of headers and padding that one member may add


def write(
    out: BinaryIO,
    store: BaseObjectStore,
    entries: Mapping[bytes, Entry],
    *,
    when: int,
    max_bytes: int,
    name: str,
) -> None:
    """Streams files, programs, links and (as empty folders) submodules into `out`.

    Raises RepositoryTooLarge in the middle of it; `name` is the repository, for the sentence.
    """
    total = 0
    with tarfile.open(
        fileobj=out,
        mode="w|",
        format=tarfile.GNU_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
        bufsize=1 << 18,
    ) as tar:
        for path, entry in entries.items():
            member = tarfile.TarInfo(_text(path))
            member.mtime = when
            if entry.mode == SUBMODULE:
                member.type, member.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(member)
                continue
            data = store.get_raw(ObjectID(entry.sha))[1]
            total += len(data)
            if total > max_bytes:
                raise RepositoryTooLarge(
                    f"{name} is too large to work on: its files have more than "
                    f"{max_bytes / 1e6:,.0f} MB."
                )
            if entry.mode == LINK:
                member.type, member.mode, member.linkname = tarfile.SYMTYPE, 0o777, _text(data)
                tar.addfile(member)
            else:
                member.mode = 0o755 if entry.mode == PROGRAM else 0o644
                member.size = len(data)
                tar.addfile(member, BytesIO(data))


def read(tar: BinaryIO, listed: Iterable[Listed]) -> tuple[dict[bytes, Blob], list[Refused]]:
    """The blobs of exactly the files listed, each with the content that was listed."""
    wanted = {each.path: each for each in listed}
    blobs: dict[bytes, Blob] = {}
    refused: list[Refused] = []
    total = 0
    source = _Bounded(tar, MAX_STEP + len(wanted) * _HEADERS + (1 << 20))
    try:
        with tarfile.open(
            fileobj=cast(BinaryIO, source),  # only read() is used in this mode
            mode="r|",  # never "r|*", which would unpack a gzip bomb
            tarinfo=_Plain,
            encoding="utf-8",
            errors="surrogateescape",
        ) as opened:
            for member in opened:
                path = member.name.encode("utf-8", "surrogateescape")
                entry = wanted.get(path)
                if entry is None:
                    raise _Odd(f"it sent {intake.show(path)}, which nobody asked for")
                if path in blobs:
                    raise _Odd(f"it sent {intake.show(path)} twice")
                if member.size > MAX_FILE:
                    # No further: tarfile skips a size of exabytes block by block, even at the end.
                    return {}, [*refused, intake.too_large(path, member.size)]
                total += member.size
                if total > MAX_STEP:
                    return {}, [*refused, intake.too_much(total)]
                if member.issym():
                    data = member.linkname.encode("utf-8", "surrogateescape")
                else:
                    file = opened.extractfile(member)
                    data = file.read() if file is not None else b""
                blob = Blob.from_string(data)
                if blob.id != entry.sha or member.issym() != (entry.mode == LINK):
                    refused.append(intake.moved(path))
                    del wanted[path]
                    continue
                blobs[path] = blob
    except OSError:
        raise  # our own disk
    except _Odd as odd:
        return {}, [*refused, intake.broken(str(odd))]
    except Exception as error:  # noqa: BLE001  # whatever a crafted stream sets off is a refusal
        return {}, [*refused, intake.broken(f"its archive is damaged ({type(error).__name__})")]
    refused += [intake.moved(path) for path in wanted if path not in blobs]
    return blobs, refused


class _Odd(Exception):
    """The archive has something that we did not ask for. The text completes a sentence."""


class _Plain(tarfile.TarInfo):
    """A header that refuses every kind of member but files, links and their long names."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Plain":
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or header.type not in _PLAIN | _LONG:
            raise _Odd("it sent something that is neither a file nor a link")
        if header.type in _LONG and header.size > 2 * intake.MAX_PATH:
            raise _Odd("it sent a name that is too long")
        return header


class _Bounded:
    """A stream that ends in a refusal after so many bytes."""

    def __init__(self, source: BinaryIO, most: int) -> None:
        self._source = source
        self._left = most

    def read(self, size: int) -> bytes:
        data = self._source.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise _Odd("it sent more than was asked for")
        return data


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
