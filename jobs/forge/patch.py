"""A commit as a mail for `git am`: exact for text and binary files, modes, and links.

Formats: https://git-scm.com/docs/git-format-patch and https://git-scm.com/docs/diff-format.
"""

import base64
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from io import BytesIO

from dulwich.objects import Blob
from dulwich.patch import unified_diff

_LINE = 52  # bytes of a line in a binary patch
# Where a mail's text would end, or another mail begin, before it does.
_ENDS = re.compile(r"(?m)^(?=---|diff |Index: |From )")


@dataclass(frozen=True, slots=True)
class Side:
    """A file before or after."""

    mode: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Changed:
    """One file of a commit; None: not there."""

    path: bytes
    old: Side | None
    new: Side | None


def mail(sha: str, author: bytes, when: int, message: str, changes: Iterable[Changed]) -> bytes:
    """`author`: "Name <address>" as in the commit; `when`: seconds since the epoch.

    To be applied with `git am --keep-cr`, which else would change line ends.
    """
    subject, _, body = message.strip().partition("\n")
    out = BytesIO()
    out.write(f"From {sha} Mon Sep 17 00:00:00 2001\n".encode())
    out.write(b"From: " + author + b"\n")
    out.write(f"Date: {formatdate(when)}\n".encode())
    out.write(f"Subject: [PATCH] {subject}\n".encode())
    out.write(b"MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\n")
    out.write(b"Content-Transfer-Encoding: 8bit\n\n")
    out.write(f"{_ENDS.sub(' ', body.strip())}\n---\n\n".encode())
    for change in changes:
        out.writelines(_file(change))
    out.write(b"-- \ncloud-vibecoder\n")
    return out.getvalue()


def _file(change: Changed) -> Iterator[bytes]:
    old, new = change.old, change.new
    before, after = b"a/" + change.path, b"b/" + change.path
    yield b"diff --git " + _quoted(before) + b" " + _quoted(after) + b"\n"
    if old is None and new is not None:
        yield b"new file mode %o\n" % new.mode
    elif new is None and old is not None:
        yield b"deleted file mode %o\n" % old.mode
    elif old is not None and new is not None and old.mode != new.mode:
        yield b"old mode %o\nnew mode %o\n" % (old.mode, new.mode)
    was, now = old.data if old else b"", new.data if new else b""
    if was == now and old and new:
        return
    yield b"index " + _id(old) + b".." + _id(new) + b"\n"
    if b"\0" in was or b"\0" in now:
        yield b"GIT binary patch\n"
        yield from _literal(now)
        yield from _literal(was)
        return
    hunks = unified_diff(_lines(was), _lines(now))
    for number, line in enumerate(hunks):
        if number == 0:
            yield b"--- " + (_quoted(before) if old else b"/dev/null") + b"\n"
        elif number == 1:
            yield b"+++ " + (_quoted(after) if new else b"/dev/null") + b"\n"
        else:
            yield line


def _lines(data: bytes) -> list[bytes]:
    return [line + b"\n" for line in data.split(b"\n")[:-1]] + (
        [data.rpartition(b"\n")[2]] if data and not data.endswith(b"\n") else []
    )


def _id(side: Side | None) -> bytes:
    return bytes(Blob.from_string(side.data).id) if side else b"0" * 40


def _literal(data: bytes) -> Iterator[bytes]:
    yield b"literal %d\n" % len(data)
    packed = zlib.compress(data)
    for at in range(0, len(packed), _LINE):
        piece = packed[at : at + _LINE]
        size = len(piece)
        # A to Z stand for 1 to 26 bytes, a to z for 27 to 52.
        yield bytes([size + 64 if size <= 26 else size - 26 + 96])
        yield base64.b85encode(piece, pad=True) + b"\n"
    yield b"\n"


def _quoted(path: bytes) -> bytes:
    """As git writes names with odd characters in them."""
    if re.fullmatch(rb'[^\x00-\x1f"\\\x7f-\xff]*', path):
        return path
    escaped = re.sub(rb'[\x00-\x1f"\\\x7f-\xff]', lambda found: b"\\%03o" % ord(found[0]), path)
    return b'"' + escaped + b'"'
