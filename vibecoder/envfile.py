"""Env files (`NAME=value` a line), read and changed as the settings read them.

The grammar is python-dotenv's: https://saurabh-kumar.com/python-dotenv/#file-format
"""

import io
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dotenv.parser import Binding, parse_stream

_PLAIN = re.compile(r"[A-Za-z0-9_./+:@-]*")  # needs no quotes
_QUOTABLE = re.compile(r"[^'\"\\$\x00-\x1f]*")  # means the same to all who read env files
_START = re.compile(r"\s*(?:export[^\S\r\n]+)?")


def can_hold(value: str) -> bool:
    """Whether an env file can hold the value, whoever reads it."""
    return _QUOTABLE.fullmatch(value) is not None


def names_set(text: str) -> set[str]:
    """The names that have a value in `text`, in capitals: the settings take them in any case.

    Raises ValueError where a line cannot be read.
    """
    return {binding.key.upper() for binding in _bindings(text) if binding.key and binding.value}


def with_values(text: str, values: Mapping[str, str]) -> str:
    """`text` with these values: in the place of the name's first line, or else at the end.

    All other lines stay as they are. A name whose value is empty is emptied where it is there, and
    not added. Raises ValueError for a value that no env file can hold, and where a line of `text`
    cannot be read.
    """
    left = dict(values)
    out: list[str] = []
    for binding in _bindings(text):
        original, name = binding.original.string, (binding.key or "").upper()
        if name not in values:
            out.append(original)
            continue
        start = _START.match(original)  # blank lines belong to what follows them
        if name in left:
            out.append(f"{start.group() if start else ''}{name}={_quoted(left.pop(name))}\n")
    missing = [f"{name}={_quoted(value)}\n" for name, value in left.items() if value]
    if out and missing and not out[-1].endswith(("\n", "\r")):
        out.append("\n")
    return "".join(out + missing)


def _bindings(text: str) -> list[Binding]:
    found = list(parse_stream(io.StringIO(text)))
    for binding in found:
        # The settings pass over such a line, but an open quote in it may swallow what we write.
        if binding.error:
            original = binding.original.string
            line = binding.original.line + original[: -len(original.lstrip())].count("\n")
            raise ValueError(f"line {line} is neither NAME=value nor a comment")
    return found


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    if not can_hold(value):
        raise ValueError("a value has characters that an env file cannot hold")
    return f"'{value}'"


def write_private(path: Path, text: str, like: os.stat_result) -> None:
    """Writes all or nothing, mode 0600; where root writes, for the owner of `like`.

    Raises OSError.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            if os.geteuid() == 0:
                os.fchown(descriptor, like.st_uid, like.st_gid)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
