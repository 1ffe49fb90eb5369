"""Runs inside the sandbox, beside the repository: answers questions about its files.

Standard library only, Python 3.8 or newer, started as
`python3 -I -S inside.py VERB ROOT [REQUEST_FILE]`, where ROOT holds the repository's files. The
request is JSON, from the environment variable VIBECODER_REQUEST or from the file. Answers are JSON
on stdout, except for `manifest` and `take`, which write base64 because a command's output has to
be text on its way out.
A request that cannot be met ends with exit code 3 and a sentence on stderr.

Whoever owns the sandbox can change this file or lie in its place, so the host treats every answer
as a claim by the repository's code: bounded, parsed strictly, and never a reason to trust.
"""

# Paths are bytes here, which pathlib cannot hold; git names blobs by SHA-1.
# ruff: noqa: PTH108, PTH112, PTH113, PTH115, PTH123, S324

from __future__ import annotations

import base64
import json
import os
import re
import signal
import stat
import sys

# What only one verb needs is imported there: this starts for every question, and each of those
# modules takes milliseconds.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

SECONDS = 20  # for a question; the host waits longer
MAX_ENTRIES = 200000  # files in a manifest
SKIPPED = {  # what a search should not wade through; the manifest lists them all the same
    b".git", b".hg", b".svn", b"node_modules", b"__pycache__", b".venv", b"venv", b".tox", b".nox",
    b".mypy_cache", b".pytest_cache", b".ruff_cache", b".eggs", b".gradle", b".idea",
}  # fmt: skip


class Refused(Exception):
    """The request cannot be met; the text is a sentence for the host."""


def _give_up(number: int, frame: object) -> None:
    raise Refused(f"That took more than {SECONDS} seconds. Ask for less, or use a command.")


def main() -> None:
    verb, root, *rest = sys.argv[1:]
    request = os.environ.pop("VIBECODER_REQUEST", "{}")
    if rest:
        with open(rest[0], encoding="utf-8") as file:
            request = file.read()
        os.unlink(rest[0])
    try:
        try:
            os.chdir(root)
        except OSError as error:
            raise Refused(f"{root} cannot be entered: {error.strerror}.") from error
        if verb in {"list", "glob", "grep", "python_syntax"}:
            signal.signal(signal.SIGALRM, _give_up)  # some patterns would take years
            signal.alarm(SECONDS)
        answer = VERBS[verb](json.loads(request))
    except Refused as refusal:
        sys.stderr.write(str(refusal))
        sys.exit(3)
    if answer is not None:
        sys.stdout.write(json.dumps(answer))


def manifest(request: dict[str, Any]) -> None:
    """Each file below the root as `mode sha1-of-blob size TAB path NUL`, sorted by path.

    Symbolic links have mode 120000, the blob of their target and no size. What git could not hold
    is listed as `000000 KIND TAB path NUL`: `git` (a repository of its own, not entered),
    `unreadable`, `fifo`, `socket`, `device`. Out come base64 lines of one zlib stream.
    """
    import zlib

    out = zlib.compressobj(1)
    pending = bytearray()
    for count, (path, mode, name) in enumerate(sorted(_entries())):
        if count >= MAX_ENTRIES:
            raise Refused(f"The sandbox holds more than {MAX_ENTRIES:,} files.")
        pending += out.compress(mode + b" " + name + b"\t" + path + b"\0")
        if len(pending) >= 49152:
            _emit(pending[:49152])
            del pending[:49152]
    pending += out.flush()
    _emit(pending)


def _entries() -> Iterator[tuple[bytes, bytes, bytes]]:
    for path, entry in _walk(b"", set()):
        if entry is None:
            yield path, b"000000", b"unreadable"
            continue
        found = entry.stat(follow_symlinks=False)
        mode = found.st_mode
        if entry.name == b".git":
            yield path, b"000000", b"git"
        elif stat.S_ISLNK(mode):
            yield path, b"120000", _blob(os.readlink(path))
        elif stat.S_ISREG(mode):
            try:
                blob = _blob_of_file(path)
            except OSError:
                yield path, b"000000", b"unreadable"
            else:
                kind = b"100755" if mode & stat.S_IXUSR else b"100644"
                yield path, kind, b"%s %d" % (blob, found.st_size)
        else:
            kind = (
                b"fifo" if stat.S_ISFIFO(mode) else b"socket" if stat.S_ISSOCK(mode) else b"device"
            )
            yield path, b"000000", kind


def _walk(folder: bytes, skipped: set[bytes]) -> Iterator[tuple[bytes, os.DirEntry[bytes] | None]]:
    """(path, entry) of everything below, not through links; entry None: a folder that is closed."""
    try:
        with os.scandir(folder or b".") as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError:
        yield folder, None
        return
    for entry in entries:
        path = folder + b"/" + entry.name if folder else entry.name
        if entry.is_dir(follow_symlinks=False) and entry.name != b".git":
            if entry.name not in skipped:
                yield from _walk(path, skipped)
        elif entry.name not in skipped:
            yield path, entry


def _blob(data: bytes) -> bytes:
    import hashlib

    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest().encode()


def _blob_of_file(path: bytes) -> bytes:
    import hashlib

    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        sha = hashlib.sha1(b"blob %d\0" % size)
        while True:
            block = file.read(1 << 20)
            if not block:
                return sha.hexdigest().encode()
            sha.update(block)


def take(request: dict[str, Any]) -> None:
    """The files {paths: [base64], max_bytes} as a GNU tar in base64 lines, in the order asked."""
    import tarfile

    out = Base64Lines()
    total = 0
    with tarfile.open(
        mode="w|",
        fileobj=out,  # type: ignore[call-overload]  # only write() is used in this mode
        format=tarfile.GNU_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
    ) as tar:
        for encoded in request["paths"]:
            path = base64.b64decode(encoded)
            member = tarfile.TarInfo(path.decode("utf-8", "surrogateescape"))
            try:
                mode = os.lstat(path).st_mode
                if stat.S_ISLNK(mode):
                    member.type = tarfile.SYMTYPE
                    member.linkname = os.readlink(path).decode("utf-8", "surrogateescape")
                    tar.addfile(member)
                    continue
                if not stat.S_ISREG(mode):
                    raise Refused(f"{_shown(path)} is no regular file any more.")
                with open(path, "rb") as file:
                    size = os.fstat(file.fileno()).st_size
                    total += size
                    if total > request["max_bytes"]:
                        raise Refused(
                            f"The files that were asked for exceed {request['max_bytes']:,} bytes"
                            f" (at {_shown(path)})."
                        )
                    member.size = size
                    member.mode = 0o755 if mode & stat.S_IXUSR else 0o644
                    tar.addfile(member, file)  # a file that shrank meanwhile raises OSError
            except OSError as error:
                raise Refused(f"{_shown(path)} could not be read: {error}.") from error
    out.close()


class Base64Lines:
    """A binary sink that prints lines of base64, each decodable on its own."""

    def __init__(self) -> None:
        self.pending = bytearray()

    def write(self, data: bytes) -> int:
        self.pending += data
        whole = len(self.pending) // 49152 * 49152
        if whole:
            _emit(self.pending[:whole])
            del self.pending[:whole]
        return len(data)

    def close(self) -> None:
        _emit(self.pending)


def _emit(data: bytes | bytearray) -> None:
    sys.stdout.write(base64.b64encode(bytes(data)).decode() + "\n")


def _shown(path: bytes) -> str:
    return path.decode("utf-8", "replace")


# Looking around


def listing(request: dict[str, Any]) -> dict[str, Any]:
    """{path} -> {entries: [[name, kind, size or link target]]}, at most 1,000."""
    path = os.fsencode(request["path"])
    entries: list[list[Any]] = []
    try:
        with os.scandir(path) as found:
            for entry in sorted(found, key=lambda entry: entry.name)[:1000]:
                if entry.is_symlink():
                    entries.append([_shown(entry.name), "link", _shown(os.readlink(entry.path))])
                elif entry.is_dir():
                    entries.append([_shown(entry.name), "folder", None])
                else:
                    entries.append([_shown(entry.name), "file", entry.stat().st_size])
    except OSError as error:
        raise Refused(f"{request['path']} cannot be listed: {error.strerror}.") from error
    return {"entries": entries}


def glob(request: dict[str, Any]) -> dict[str, Any]:
    """{pattern, limit} -> {paths, total}."""
    matches = _matcher(request["pattern"])
    paths = [path for path, _ in _walk(b"", SKIPPED) if matches(path)]
    return {"paths": [_shown(path) for path in paths[: request["limit"]]], "total": len(paths)}


def grep(request: dict[str, Any]) -> dict[str, Any]:
    """{pattern, path, glob, limit} -> {lines: [[path, number, text]], files: {path: n}, total}."""
    try:
        pattern = re.compile(request["pattern"].encode("utf-8", "surrogateescape"))
    except re.error as error:
        raise Refused(
            f"That is not a valid regular expression (Python syntax): {error}."
        ) from error
    matches = _matcher(request["glob"]) if request["glob"] else lambda path: True
    start = os.path.normpath(os.fsencode(request["path"]))
    if os.path.isfile(start):
        paths = iter([start])
    elif os.path.isdir(start):
        found = _walk(b"" if start == b"." else start, SKIPPED)
        paths = (path for path, entry in found if entry is not None and entry.is_file())
    else:
        raise Refused(f"{request['path']} does not exist.")
    lines: list[list[Any]] = []
    files: dict[str, int] = {}
    total = 0
    for path in paths:
        if not matches(path):
            continue
        for number, text in _matching_lines(path, pattern):
            total += 1
            files[_shown(path)] = files.get(_shown(path), 0) + 1
            if len(lines) < request["limit"]:
                lines.append([_shown(path), number, text[:400].decode("utf-8", "replace")])
    return {"lines": lines, "files": dict(list(files.items())[:200]), "total": total}


def _matching_lines(path: bytes, pattern: re.Pattern[bytes]) -> Iterator[tuple[int, bytes]]:
    try:
        with open(path, "rb") as file:
            if b"\0" in file.read(8192):
                return
            file.seek(0)
            for number, line in enumerate(file, 1):
                if pattern.search(line):
                    yield number, line.rstrip(b"\r\n")
    except OSError:
        return


def _matcher(pattern: str) -> Callable[[bytes], bool]:
    """A test for paths: `*`, `?`, `[…]`, `{a,b}`, `**`; without a slash it is for the name."""
    text = pattern[2:] if pattern.startswith("./") else pattern
    try:
        compiled = re.compile(_regex(text).encode("utf-8", "surrogateescape"))
    except re.error as error:
        raise Refused(f"That is not a valid glob pattern: {error}.") from error
    if "/" in text:
        return lambda path: compiled.fullmatch(path) is not None
    return lambda path: compiled.fullmatch(path.rpartition(b"/")[2]) is not None


def _regex(pattern: str) -> str:
    out, position, depth = "(?s)", 0, 0
    while position < len(pattern):
        char = pattern[position]
        rest = pattern[position:]
        position += 1
        if rest.startswith("**/"):
            out, position = out + "(?:[^/]+/)*", position + 2
        elif rest.startswith("**"):
            out, position = out + ".*", position + 1
        elif char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "[" and "]" in rest[2:]:
            end = rest.index("]", 2)
            inner = rest[1:end].replace("\\", r"\\")
            out += "[" + ("^" + inner[1:] if inner[0] == "!" else inner) + "]"
            position += end
        elif char == "{" and "}" in rest:
            out, depth = out + "(?:", depth + 1
        elif char == "}" and depth:
            out, depth = out + ")", depth - 1
        elif char == "," and depth:
            out += "|"
        else:
            out += re.escape(char)
    return out


def python_syntax(request: dict[str, Any]) -> dict[str, Any]:
    """{paths} -> {path: [line, message] or null} by this sandbox's own compiler."""
    import warnings

    answer: dict[str, Any] = {}
    warnings.simplefilter("ignore")
    for path in request["paths"]:
        try:
            with open(os.fsencode(path), "rb") as file:
                compile(file.read(), path, "exec", dont_inherit=True)
            answer[path] = None
        except SyntaxError as error:
            answer[path] = [error.lineno or 1, error.msg]
        except OSError as error:
            answer[path] = [1, f"cannot be read: {error.strerror}"]
        except (ValueError, RecursionError, MemoryError, OverflowError) as error:
            answer[path] = [1, f"cannot be compiled: {error or type(error).__name__}"]
    return answer


VERBS: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
    "manifest": manifest,
    "take": take,
    "list": listing,
    "glob": glob,
    "grep": grep,
    "python_syntax": python_syntax,
}

if __name__ == "__main__":
    main()
