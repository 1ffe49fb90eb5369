"""How to turn one file into another with the agent's own tools, so that every byte is right."""

import base64
import hashlib
import json
import re
import shlex
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice

from vibecoder.local.model.script import Block, call

# One argument of a process may hold 128 KiB on Linux (MAX_ARG_STRLEN); the shell adds its own.
CHUNK = 90_000
MAX_LINES = 4_000  # that are compared; longer files are written anew
MAX_EDITS = 15  # in one file; more than that is easier to write anew
MAX_TEXT = 100_000  # characters that the model says; what is longer goes packed


@dataclass(frozen=True, slots=True)
class File:
    """A file as it lies in a release."""

    content: bytes
    executable: bool = False


def calls(path: str, old: File | None, new: File | None) -> list[Block]:
    """Tool calls, to be run in order, that make `old` at `path` into `new`. None: no such file."""
    if new is None:
        return [] if old is None else _remove(path)
    made = [] if old and old.content == new.content else _content(path, old, new.content)
    return [*made, *_mode(path, old, new)]


def rewrite(path: str, old: File | None, new: File | None) -> list[Block]:
    """The same, whatever became of the content of `old`: for when `calls` did not work."""
    if new is None:
        return _remove(path)
    return [*_whole(path, new.content), *_mode(path, old, new)]


def check(wanted: Mapping[str, File | None]) -> Block:
    """A command that prints "differs: PATH" for each file which is not as wanted."""
    hashes = {
        path: hashlib.sha256(file.content).hexdigest()[:16] if file else ""
        for path, file in wanted.items()
    }
    return _run(_python(_CHECK, json.dumps(hashes)))


_CHECK = (
    "import hashlib, json, pathlib, sys\n"
    "for name, wanted in json.loads(sys.argv[1]).items():\n"
    "    p = pathlib.Path(name)\n"
    "    found = hashlib.sha256(p.read_bytes()).hexdigest()[:16] if p.is_file() else ''\n"
    "    if found != wanted: print('differs:', name)"
)


def _remove(path: str) -> list[Block]:
    return [_touch(path), _run(f"rm -f -- {shlex.quote(path)}")]


def _touch(path: str) -> Block:
    """An edit by a tool before a command does the real work.

    Test runs are told apart by the number of such edits, and what only commands change looks the
    same before and after.
    """
    return call("write_file", path=path, content="")


def _whole(path: str, content: bytes) -> list[Block]:
    text = _plain(content)
    if text is None or len(text) > MAX_TEXT:
        return _bytes(path, content)
    return [call("write_file", path=path, content=text)]


def _mode(path: str, old: File | None, new: File) -> list[Block]:
    if new.executable == bool(old and old.executable):
        return []
    return [_run(f"chmod {'+' if new.executable else '-'}x -- {shlex.quote(path)}")]


def _content(path: str, old: File | None, new: bytes) -> list[Block]:
    text = _plain(new)
    before = _plain(old.content) if old else ""
    if text is None or before is None:
        return _whole(path, new)
    replacements = (
        list(islice(_replacements(before, text), MAX_EDITS + 1)) if before and text else []
    )
    size = sum(len(found) + len(put) for found, put in replacements)
    if not replacements or size > min(len(text), MAX_TEXT) or len(replacements) > MAX_EDITS:
        return _whole(path, new)
    return [
        call("edit", path=path, old_string=found, new_string=put) for found, put in replacements
    ]


def _plain(content: bytes) -> str | None:
    """The text of a file that text tools cannot spoil: UTF-8, no byte order mark, no CR, no NUL.

    Tools may keep a file's line endings and encoding as they find them, which is right for people
    and wrong for someone who needs the very bytes.
    """
    if content.startswith(b"\xef\xbb\xbf") or b"\r" in content or b"\0" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def _replacements(old: str, new: str) -> Iterator[tuple[str, str]]:
    """(old_string, new_string) pairs, each unique in the text at the moment that it is applied."""
    before, after = lines(old), lines(new)
    now, shift = before.copy(), 0
    for start, end, new_start, new_end in hunks(before, after):
        put = after[new_start:new_end]
        low, high = start + shift, end + shift
        left, right = low, high
        text = "".join(now)
        while not _unique("".join(now[left:right]), text):
            left, right = max(left - 1, 0), min(right + 1, len(now))
            if (left, right) == (0, len(now)):
                break
        yield (
            "".join(now[left:right]),
            "".join([*now[left:low], *put, *now[high:right]]),
        )
        now[low:high] = put
        shift += len(put) - (end - start)


def lines(text: str) -> list[str]:
    # str.splitlines also splits at form feeds and the like, which no editor calls lines.
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def hunks(before: list[str], after: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """Changed ranges of lines; those with at most four equal lines between them count as one.

    Where a comparison would take long, all that lies between equal ends counts as one change.
    """
    shorter = min(len(before), len(after))
    head = next((n for n in range(shorter) if before[n] != after[n]), shorter)
    shorter -= head
    tail = next((n for n in range(shorter) if before[-1 - n] != after[-1 - n]), shorter)
    left, right = before[head : len(before) - tail], after[head : len(after) - tail]
    if max(len(left), len(right)) > MAX_LINES:
        yield head, head + len(left), head, head + len(right)
        return
    # Without junk the result is finer, and the time grows with the square of equal lines.
    matcher = SequenceMatcher(None, left, right, autojunk=len(left) > 400)
    last: tuple[int, int, int, int] | None = None
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        if tag == "equal":
            continue
        if last is not None and start + head - last[1] <= 4:
            last = (last[0], end + head, last[2], new_end + head)
            continue
        if last is not None:
            yield last
        last = (start + head, end + head, new_start + head, new_end + head)
    if last is not None:
        yield last


def _unique(part: str, text: str) -> bool:
    first = text.find(part) if part.strip() else -1
    return first >= 0 and text.find(part, first + 1) < 0


def _bytes(path: str, content: bytes) -> list[Block]:
    """Commands that write `content`, however large and whatever it is."""
    packed = base64.b64encode(zlib.compress(content, 9)).decode()
    chunks = [packed[start : start + CHUNK] for start in range(0, len(packed), CHUNK)]
    if len(chunks) == 1:
        return [_touch(path), _run(_python(_DECODE.format(source=repr(packed)), path))]
    # Each part is a file of its own, so that a part which is written twice does no harm.
    parts = [f"{path}.part{number}" for number in range(len(chunks))]
    writes = [_run(_python(_PART, part, chunk)) for part, chunk in zip(parts, chunks, strict=True)]
    source = "''.join(pathlib.Path(part).read_text() for part in sys.argv[2:])"
    names = shlex.join(parts)
    return [
        _touch(path),
        *writes,
        _run(f"{_python(_DECODE.format(source=source), path, *parts)} && rm -f -- {names}"),
    ]


_DECODE = (
    "import base64, pathlib, sys, zlib; p = pathlib.Path(sys.argv[1]); "
    "p.parent.mkdir(parents=True, exist_ok=True); "
    "p.write_bytes(zlib.decompress(base64.b64decode({source})))"
)
_PART = (
    "import pathlib, sys; p = pathlib.Path(sys.argv[1]); "
    "p.parent.mkdir(parents=True, exist_ok=True); p.write_text(sys.argv[2])"
)


def _python(code: str, *arguments: str) -> str:
    return shlex.join(["python", "-c", code, *arguments])


def _run(command: str) -> Block:
    return call("run_command", command=command)
