"""Carries out the model's tool calls in the sandbox and keeps the ledger of what was done."""

import asyncio
import errno
import hashlib
import posixpath
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from agent import edit, syntax, tools
from agent.edit import EditRefused
from agent.errors import SandboxError
from agent.evidence import Ledger
from agent.issue import IssueText, as_json
from agent.progress import Run, Watch
from agent.sandbox import Ran, Sandbox
from agent.syntax import SyntaxProblem
from agent.tools import Input, ToolFailed, clean, ends

OUTPUT_TAIL = 2_000  # characters of a run that outlive the job
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds: (name, kind, size or link target)."""

    entries: list[tuple[str, str, int | str | None]]


@dataclass(frozen=True, slots=True)
class Hits:
    """Matching lines: (path, line number, text), and how many each file has."""

    lines: list[tuple[str, int, str]]
    files: dict[str, int]
    total: int


@dataclass(frozen=True, slots=True)
class Paths:
    """Matching files."""

    paths: list[str]
    total: int


# The sandbox's answers come from a place that strangers' code can reach.
_LISTING = TypeAdapter(Listing)
_HITS = TypeAdapter(Hits)
_PATHS = TypeAdapter(Paths)
_PYTHON = TypeAdapter(dict[str, tuple[int, str] | None])


class Workbench:
    """The tools that look at and change the sandbox; those that end something are the loop's."""

    def __init__(
        self,
        sandbox: Sandbox,
        issue: IssueText | None,
        ledger: Ledger,
        watch: Watch,
        deadline: float,
    ) -> None:
        self.sandbox = sandbox
        self.ledger = ledger
        self.closed = ""  # why files may not be changed any more; empty while they may
        self._issue = issue
        self._watch = watch
        self._deadline = deadline  # time.monotonic()
        # What a file's syntax was before its first edit; None: it was not checked.
        self._before: dict[str, tuple[SyntaxProblem, ...] | None] = {}
        self._broken: set[str] = set()  # files with syntax errors that we made
        self._objected: set[tuple[str, bytes]] = set()  # … and the contents last objected to

    async def use(self, call: Input) -> str:
        """The tool's result for the model. Raises ToolFailed where it was not done."""
        match call:
            case tools.GetIssue():
                if self._issue is None:
                    return "This work belongs to no issue: the task is all there is."
                return as_json(self._issue)
            case tools.ReadFile():
                return await self._read_file(call)
            case tools.ListDirectory():
                return await self._list_directory(call)
            case tools.Grep():
                return await self._grep(call)
            case tools.Glob():
                return await self._glob(call)
            case tools.RunCommand():
                return await self._run_command(call)
            case tools.ValidateSyntax():
                return await self._validate_syntax(call)
            case tools.WriteFile():
                return await self._write_file(call)
            case tools.Edit():
                return await self._edit(call)
            case _:
                raise ToolFailed(f"{call.name} is not available here.")

    async def objection(self) -> str | None:
        """Why the files cannot be committed as they are: syntax errors that were not there.

        What is left exactly as it was objected to is meant so, like a test's broken input.
        """
        still, standing = [], set()
        for path in sorted(self._broken):
            try:
                data = await self.sandbox.read(path)
            except OSError:
                continue  # deleted since
            found = await self._new_problems(path, data)
            if found:
                standing.add((path, hashlib.sha256(data).digest()))
                still.append(_listed(path, found))
            else:
                self._broken.discard(path)
        if not still or standing == self._objected:
            return None
        self._objected = standing
        errors = "\n".join(still)
        return (
            f"Mend these syntax errors first:\n{errors}\nIf a file has to be broken, as input of a "
            "test, say so in the summary and call finish_step again."
        )

    async def _read_file(self, call: tools.ReadFile) -> str:
        data = await self._content(call.path)
        if b"\0" in data[:8192]:
            return f"{call.path} is a binary file of {len(data):,} bytes."
        if not data:
            return f"{call.path} is empty."
        lines = data.decode(errors="replace").removesuffix("\n").split("\n")
        start, end = call.start or 1, min(call.end or len(lines), len(lines))
        if start > len(lines):
            raise ToolFailed(f"{call.path} has only {len(lines)} lines.")
        if end < start:
            raise ToolFailed(f"end {call.end} comes before start {start}.")
        shown: list[str] = []
        room = tools.MAX_CHARACTERS
        for number in range(start, min(end, start + tools.MAX_LINES - 1) + 1):
            text = lines[number - 1].removesuffix("\r")[:2000]
            line = f"{number:6}\t{text}"
            room -= len(line) + 1
            if room < 0 and shown:
                break
            shown.append(line)
        last = start + len(shown) - 1
        if last < end or (last < len(lines) and call.end is None):
            shown.append(f"… lines {start} to {last} of {len(lines)}; use start and end for more.")
        return "\n".join(shown)

    async def _list_directory(self, call: tools.ListDirectory) -> str:
        answer = await self._ask("list", {"path": self.sandbox.resolve(call.path)}, _LISTING)
        lines = []
        for name, kind, more in answer.entries:
            match kind:
                case "folder":
                    lines.append(f"{name}/")
                case "link":
                    lines.append(f"{name} -> {more}")
                case _:
                    lines.append(f"{name}  ({more} bytes)")
        if len(lines) == 1000:
            lines.append("… there may be more")
        return clean("\n".join(lines)) or f"{call.path} is empty."

    async def _grep(self, call: tools.Grep) -> str:
        path = self._relative(call.path or ".")
        answer = await self._ask(
            "grep",
            {
                "pattern": call.pattern,
                "path": path,
                "glob": call.glob,
                "limit": tools.MAX_HITS,
            },
            _HITS,
        )
        lines = [f"{path}:{number}: {text}" for path, number, text in answer.lines]
        if not lines:
            return "No line matches."
        if answer.total > len(lines):
            counts = [f"{path}: {count}" for path, count in answer.files.items()]
            lines += [f"… {answer.total:,} lines match; per file:", *counts[:50]]
        return clean("\n".join(lines))

    async def _glob(self, call: tools.Glob) -> str:
        request = {"pattern": call.pattern, "limit": 2 * tools.MAX_HITS}
        answer = await self._ask("glob", request, _PATHS)
        paths = list(answer.paths)
        if not paths:
            return "No file matches."
        if answer.total > len(paths):
            paths.append(f"… {answer.total:,} files match; narrow the pattern")
        return clean("\n".join(paths))

    async def _run_command(self, call: tools.RunCommand) -> str:
        run_id, edits = self.ledger.next_id(), self.ledger.edits
        seconds = max(0.1, min(call.timeout_seconds, self._deadline - time.monotonic()))
        ran = await self.sandbox.run(call.command, seconds=seconds)
        output = clean(ran.output)
        run = Run(
            id=run_id,
            command=call.command,
            cwd=self.sandbox.root,
            exit_code=ran.exit_code,
            seconds=ran.seconds,
            output_sha256=ran.output_sha256,
            output_tail=output[-OUTPUT_TAIL:],
            edits=edits,
        )
        self.ledger.runs[run_id] = run
        await self._watch(run)
        return _account(run, ran, output, seconds)

    async def _validate_syntax(self, call: tools.ValidateSyntax) -> str:
        lines = []
        for path in call.paths:
            try:
                found = await self._problems(path, await self.sandbox.read(path))
            except OSError as error:
                lines.append(f"{path} {error.strerror}")
                continue
            if found is None:
                lines.append(f"{path}: not checked")
            else:
                lines.append(_listed(path, found) if found else f"{path}: ok")
        return "\n".join(lines)

    async def _write_file(self, call: tools.WriteFile) -> str:
        path = self._writable(call.path)
        try:
            before = await self.sandbox.read(path)
        except FileNotFoundError:
            before = None
        except OSError as error:
            raise ToolFailed(f"{path} {error.strerror}, so it was not written.") from error
        data = _encoded(call.content)
        news = await self._changed(path, before, data)
        done = "Created" if before is None else "Rewrote"
        lines = data.count(b"\n")
        return f"{done} {path}: {lines:,} lines.{news}"

    async def _edit(self, call: tools.Edit) -> str:
        path = self._writable(call.path)
        before = await self._content(path)
        if b"\0" in before[:8192]:
            raise ToolFailed(f"{path} is a binary file. Change it with a command.")
        try:
            # Bytes that are not UTF-8 survive in disguise and come back as they were.
            edited = await asyncio.to_thread(
                edit.replace,
                before.decode("utf-8", "surrogateescape"),
                call.old_string,
                call.new_string,
                every=call.replace_all,
            )
        except EditRefused as refusal:
            raise ToolFailed(clean(str(refusal))) from refusal
        news = await self._changed(path, before, _encoded(edited.text))
        places = f"{len(edited.lines)} places" if len(edited.lines) > 1 else ""
        where = places or f"line {edited.lines[0]}"
        note = f" Note: {edited.note}." if edited.note else ""
        return f"Edited {path} at {where}.{note}{news}"

    async def _changed(self, path: str, before: bytes | None, after: bytes) -> str:
        """Write the file; returns what is wrong with it now and was not before."""
        if path not in self._before:
            self._before[path] = () if before is None else await self._problems(path, before)
        try:
            await self.sandbox.write(path, after)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                self.ledger.edits += 1  # it may be cut off now
                raise ToolFailed(
                    f"{path} was not written as a whole: it {error.strerror}. Delete what is not "
                    "needed, such as build output and caches, then write the file again."
                ) from error
            raise ToolFailed(f"{path} cannot be written: it {error.strerror}.") from error
        self.ledger.edits += 1
        found = await self._new_problems(path, after)
        if not found:
            self._broken.discard(path)
            return ""
        self._broken.add(path)
        return f"\nNEW SYNTAX ERRORS, mend them before finish_step:\n{_listed(path, found)}"

    async def _new_problems(self, path: str, data: bytes) -> tuple[SyntaxProblem, ...]:
        before = self._before[path]
        if before is None:
            return ()
        return syntax.newly(before, await self._problems(path, data) or ())

    async def _problems(self, path: str, data: bytes) -> tuple[SyntaxProblem, ...] | None:
        """Syntax errors of a file whose content, in the sandbox too, is `data`."""
        if not syntax.is_python(path):
            return await asyncio.to_thread(syntax.problems, path, data)
        place = self.sandbox.resolve(path)
        found = (await self._ask("python_syntax", {"paths": [place]}, _PYTHON)).get(place)
        return () if found is None else (SyntaxProblem(*found),)

    async def _content(self, path: str) -> bytes:
        try:
            return await self.sandbox.read(path)
        except FileNotFoundError as error:
            name = posixpath.basename(self.sandbox.resolve(path))
            pattern = "".join(f"[{char}]" if char in "*?[{" else char for char in name)
            found = (await self._ask("glob", {"pattern": pattern, "limit": 5}, _PATHS)).paths
            hint = f" Did you mean {' or '.join(found)}?" if found else ""
            raise ToolFailed(clean(f"{path} does not exist.{hint}")) from error
        except IsADirectoryError as error:
            raise ToolFailed(f"{path} is not a regular file; is it a folder?") from error
        except OSError as error:
            raise ToolFailed(f"{path} {error.strerror}. Try a command instead.") from error

    async def _ask(
        self, verb: str, request: Mapping[str, object], shape: TypeAdapter[Answer]
    ) -> Answer:
        try:
            answer = await self.sandbox.ask(verb, request)
        except ValueError as refusal:
            raise ToolFailed(clean(str(refusal))) from refusal
        try:
            return shape.validate_python(answer)
        except ValidationError as error:
            raise SandboxError("The sandbox gave a garbled answer about its files.") from error

    def _relative(self, path: str) -> str:
        place = self.sandbox.resolve(path)
        return posixpath.relpath(place, self.sandbox.root) if self._is_ours(place) else place

    def _writable(self, path: str) -> str:
        place = self.sandbox.resolve(path)
        if not self._is_ours(place) or place == self.sandbox.root:
            raise ToolFailed(f"{path} is not in the repository. Use commands for other files.")
        if self.closed:
            raise ToolFailed(self.closed)
        return posixpath.relpath(place, self.sandbox.root)

    def _is_ours(self, place: str) -> bool:
        return place == self.sandbox.root or place.startswith(self.sandbox.root + "/")


def _account(run: Run, ran: Ran, output: str, limit: float) -> str:
    if run.exit_code is None:
        header = f"[{run.id}] killed after {ran.seconds:.2f} s (limit {limit:.0f} s)"
        more = "Narrow it down, or raise timeout_seconds (up to 600)."
        return f"{header}\n{ends(output, tools.OUTPUT_ON_FAILURE)}\n{more}"
    header = f"[{run.id}] exit {run.exit_code} in {ran.seconds:.2f} s"
    most = tools.OUTPUT_ON_SUCCESS if run.exit_code == 0 else tools.OUTPUT_ON_FAILURE
    shown = ends(output, most) or "(no output)"
    if len(output) > most and ran.log:
        shown += f"\nAll of the output is in {ran.log}."
    return f"{header}\n{shown}"


def _listed(path: str, found: tuple[SyntaxProblem, ...]) -> str:
    return "\n".join(f"{path}:{problem.line}: {clean(problem.message)}" for problem in found)


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ToolFailed("The text holds half of a character (a lone surrogate).") from error
