"""The sandbox: where a repository's files are and where its code runs. It alone calls e2b.

https://e2b.dev/docs (SDK 2.63). Nothing secret ever goes in. Everything that comes out is a claim
by code that we do not trust: it is bounded here and judged by whoever asked.
"""

import asyncio
import base64
import binascii
import errno
import hashlib
import io
import itertools
import json
import posixpath
import secrets
import shlex
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from e2b import (
    AsyncCommandHandle,
    AsyncSandbox,
    CommandExitException,
    NotEnoughSpaceException,
    SandboxException,
    SandboxQuery,
    SandboxState,
)

from agent.errors import AgentError, SandboxBusy, SandboxError, SandboxRefused
from agent.faults import about_file, told, told_of_room

HOME = "/home/user"
ROOT = "/home/user/repo"
OURS = "/home/user/.vibecoder"  # beside the repository, so that it never shows up in a diff
SCRIPTS = {
    name: Path(__file__).with_name(name).read_bytes() for name in ("inside.py", "supervise.py")
}
KEEP = 15_000  # bytes of an output's head, and of its tail
MAX_FILE = 20_000_000  # bytes of one file read into memory
MAX_MANIFEST = 64_000_000  # bytes, unpacked
MAX_ANSWER = 8_000_000  # characters of an answer in JSON
UPLOAD_SECONDS = 600  # for all of a repository's files
END_SECONDS = 5  # to end a command or a sandbox: somebody may wait, and the sweep comes later
PAUSES = (1.0, 3.0)  # seconds before making one is tried again
ENVIRONMENT = {
    "CI": "1",
    "NO_COLOR": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "PIP_PROGRESS_BAR": "off",
    "TQDM_DISABLE": "1",
    # What running the tests leaves behind would look like work in the manifest.
    # (pytest's cache brings a .gitignore of its own.)
    "PYTHONDONTWRITEBYTECODE": "1",
}

NO_VARIABLES: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Where sandboxes come from. None: the provider's own address or template."""

    api_key: str
    api_url: str | None
    sandbox_url: str | None
    template: str | None
    seconds: int = 600  # time to live, counted anew by each `keep_alive`


@dataclass(frozen=True, slots=True)
class Ran:
    """One command that ran. All that it started has ended."""

    exit_code: int | None  # None: killed by its time limit, or it ended its own supervisor
    output: str  # stdout and stderr as they came; of a long one its two ends
    output_sha256: str  # over all bytes of the output
    seconds: float
    log: str  # path in the sandbox of the output, up to 20 MB; empty where it could not be kept


class Sandboxes:
    """The sandboxes of one deployment, told from others by `owner` in their metadata."""

    def __init__(self, settings: SandboxSettings, owner: str) -> None:
        self._settings = settings
        self._owner = owner

    async def create(self, job_id: str, attempt: str) -> "Sandbox":
        """A new sandbox without internet. The same job and attempt give the same one.

        Raises SandboxRefused where the key does not allow it, SandboxBusy where there is no room
        now, else SandboxError.
        """
        key = hashlib.sha256(f"{self._owner}\n{job_id}\n{attempt}".encode()).hexdigest()
        for pause in (*PAUSES, None):
            try:
                box = await self._create(job_id, key)
                break
            except (SandboxRefused, SandboxBusy):
                raise
            except SandboxError:
                if pause is None:
                    raise
                await asyncio.sleep(pause)  # the key makes the same request give the same one
        sandbox = Sandbox(box, self._settings.seconds)
        try:
            await sandbox.prepare()
        except BaseException:
            with suppress(SandboxError):  # what went wrong first is what counts
                await asyncio.shield(sandbox.kill())
            raise
        return sandbox

    async def _create(self, job_id: str, key: str) -> AsyncSandbox:
        with told_of_room("could not be created"):
            return await AsyncSandbox.create(
                self._settings.template,
                timeout=self._settings.seconds,
                metadata={"vibecoder_owner": self._owner, "vibecoder_job": job_id},
                idempotency_key=key,
                allow_internet_access=False,
                network={"allow_public_traffic": False},
                **self._connection(),
            )

    async def connect(self, sandbox_id: str) -> "Sandbox":
        """The sandbox as it was left. Raises SandboxGone if there is none any more."""
        with told_of_room("could not be reached"):
            box = await AsyncSandbox.connect(
                sandbox_id, timeout=self._settings.seconds, **self._connection()
            )
        sandbox = Sandbox(box, self._settings.seconds)
        await sandbox.prepare()
        return sandbox

    async def sweep(self, wanted: Callable[[str], Awaitable[bool]]) -> list[str]:
        """Kill this deployment's sandboxes, paused ones too, whose job `wanted` disowns.

        Returns the ids of those that were killed.
        """
        query = SandboxQuery(
            metadata={"vibecoder_owner": self._owner},
            state=[SandboxState.RUNNING, SandboxState.PAUSED],
        )
        killed = []
        with told("could not be listed"):
            pages = AsyncSandbox.list(query=query, **self._connection())
        while pages.has_next:
            with told("could not be listed"):
                page = await pages.next_items()
            for info in page:
                # Checked again: a server that ignores the filter must not cost others theirs.
                if info.metadata.get("vibecoder_owner") != self._owner:
                    continue
                if not await wanted(info.metadata.get("vibecoder_job", "")):
                    with told("could not be ended"):
                        await AsyncSandbox.kill(info.sandbox_id, **self._connection())
                    killed.append(info.sandbox_id)
        return killed

    def _connection(self) -> dict[str, Any]:
        # `debug` False keeps E2B_DEBUG in the environment from turning create and kill into no-ops.
        return {
            "api_key": self._settings.api_key,
            "api_url": self._settings.api_url,
            "sandbox_url": self._settings.sandbox_url,
            "debug": False,
        }


class Sandbox:
    """One running sandbox with a repository's files below `root`."""

    root = ROOT

    def __init__(self, box: AsyncSandbox, seconds: int) -> None:
        self._box = box
        self._seconds = seconds
        self._numbers = itertools.count(1)
        self._mark = secrets.token_hex(3)  # another worker may have left logs that are still cited
        self.id: str = box.sandbox_id

    async def prepare(self) -> None:
        """Put our scripts inside and make the root; harmless if they are there."""
        with told("could not be prepared"):
            await self._put_scripts()
            await self._box.files.make_dir(ROOT)

    async def run(
        self,
        command: str,
        *,
        seconds: float = 120,
        cwd: str | None = None,
        env: Mapping[str, str] = NO_VARIABLES,
    ) -> Ran:
        """Run a bash command, below the root unless `cwd` says otherwise.

        `env` comes on top of variables that make programs behave for machines (ENVIRONMENT).
        """
        log = f"{OURS}/logs/{self._mark}-{next(self._numbers)}.log"
        request = {
            "command": command,
            "cwd": self.resolve(cwd or "."),
            "seconds": seconds,
            "log": log,
            "keep": KEEP,
        }
        nothing = hashlib.sha256().hexdigest()
        try:
            # The supervisor inside keeps the time; ours is for the case that it was killed.
            variables = {**ENVIRONMENT, **env}
            answer = await self._json("run", request, seconds=seconds + 20, env=variables)
        except _NoAnswer:
            said = "The command ended the process that watches over it: its output is lost."
            return Ran(None, said, nothing, 0.0, log)
        except ValueError as refusal:
            return Ran(126, str(refusal), nothing, 0.0, log)  # the shell's code for "cannot run"
        try:
            log = log if answer.get("logged", True) else ""
            return Ran(
                exit_code=_optional_int(answer["exit_code"]),
                output=_joined(answer, log),
                output_sha256=str(answer["sha256"]),
                seconds=float(answer["seconds"]),
                log=log,
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise SandboxError("The sandbox gave a garbled account of a command.") from error

    async def read(self, path: str) -> bytes:
        """A file's content, of at most 20 MB.

        Raises OSError: FileNotFoundError, IsADirectoryError (for whatever is no regular file), and
        with EFBIG where it is larger.
        """
        place = self.resolve(path)
        found = bytearray()
        try:
            with told(f"could not read {path}", passing=(SandboxException, _TooLarge)):
                async with await self._box.files.read(place, format="stream") as stream:
                    async for chunk in stream:
                        found += chunk
                        if len(found) > MAX_FILE:
                            raise _TooLarge
        except _TooLarge as error:
            raise OSError(errno.EFBIG, f"is larger than {MAX_FILE:,} bytes", path) from error
        except SandboxException as error:
            raise about_file(error, path, "could not read") from error
        return bytes(found)

    async def write(self, path: str, data: bytes) -> None:
        """Write a file, with the folders above it. Raises OSError where that cannot be."""
        try:
            with told(f"could not write {path}", passing=(SandboxException,)):
                await self._box.files.write(self.resolve(path), data, use_octet_stream=True)
        except SandboxException as error:
            raise about_file(error, path, "could not write") from error

    async def unpack(self, tar: BinaryIO) -> None:
        """Extract a tar file, streamed from `tar`, into the root."""
        place = f"{OURS}/upload.tar"
        with told("could not take the repository's files"):
            async with asyncio.timeout(UPLOAD_SECONDS):
                await self._box.files.write(place, tar)
            try:
                await self._box.commands.run(
                    f"mkdir -p {ROOT} && tar -xpf {place} --no-same-owner -C {ROOT} && rm {place}",
                    timeout=300,
                )
            except CommandExitException as error:
                why = (error.stderr or "").strip()[-300:]
                raise SandboxError(f"The sandbox could not unpack the files: {why}") from error

    async def manifest(self) -> bytes:
        """What is below the root: b"100644 <sha1 of the git blob> <size>\\tpath\\0" for each file.

        Sorted by path. Symbolic links are 120000 with the blob of their target and no size. What
        git cannot hold is listed as b"000000 <kind>\\tpath\\0", with kind git (a repository of its
        own, not entered), unreadable, fifo, socket or device.
        """
        unpacker = zlib.decompressobj()
        found = bytearray()

        def add(data: bytes) -> None:
            found.extend(unpacker.decompress(data, MAX_MANIFEST + 1 - len(found)))
            if len(found) > MAX_MANIFEST:
                raise SandboxError("The list of the sandbox's files is too long to be read.")

        try:
            await self._stream("manifest", {}, add)
        except zlib.error as error:
            raise SandboxError("The sandbox gave a garbled list of its files.") from error
        if not unpacker.eof:
            raise SandboxError("The sandbox gave an incomplete list of its files.")
        return bytes(found)

    async def take(self, paths: Sequence[bytes], out: BinaryIO, max_bytes: int) -> None:
        """Write exactly these files to `out` as a GNU tar, in this order.

        Raises SandboxError if they exceed `max_bytes` or changed under our hands.
        """
        written = 0
        # Headers of 512 bytes, long names, padding and the end marker come on top of the content.
        most = max_bytes + sum(len(path) + 2560 for path in paths) + 20_480

        def add(data: bytes) -> None:
            nonlocal written
            written += len(data)
            if written > most:
                raise SandboxError(f"The sandbox sent more than the {max_bytes:,} bytes allowed.")
            out.write(data)

        encoded = [base64.b64encode(path).decode() for path in paths]
        await self._stream("take", {"paths": encoded, "max_bytes": max_bytes}, add)

    async def ask(self, verb: str, request: Mapping[str, Any], *, seconds: float = 60) -> Any:
        """What `inside.py` answers to `verb`, parsed from JSON, at most 8 MB.

        Raises ValueError with a sentence where the request cannot be met.
        """
        try:
            return await self._json(verb, request, seconds=seconds, env={})
        except _NoAnswer as error:
            raise SandboxError("The sandbox did not answer a question about its files.") from error

    async def keep_alive(self) -> None:
        """Let it live for its full time from now on."""
        with told("could not be kept alive"):
            await self._box.set_timeout(self._seconds)

    async def kill(self) -> None:
        """End it with everything inside; nothing happens if it is gone already."""
        with told("could not be ended"):
            await self._box.kill(request_timeout=END_SECONDS)

    def resolve(self, path: str) -> str:
        """The absolute, normalised path in the sandbox; relative ones start at the root."""
        return posixpath.normpath(posixpath.join(ROOT, path))

    async def _put_scripts(self) -> None:
        for name, script in SCRIPTS.items():
            await self._box.files.write(f"{OURS}/{name}", script)

    async def _json(
        self, verb: str, request: Mapping[str, Any], *, seconds: float, env: Mapping[str, str]
    ) -> Any:
        answer = io.StringIO()

        def add(text: str) -> None:
            if answer.tell() + len(text) > MAX_ANSWER:
                raise SandboxError("The sandbox's answer is too long to be read.")
            answer.write(text)

        await self._inside(verb, request, add, seconds, env)
        try:
            return json.loads(answer.getvalue())
        except (ValueError, RecursionError) as error:
            raise _NoAnswer from error

    async def _stream(
        self, verb: str, request: Mapping[str, Any], add: Callable[[bytes], None]
    ) -> None:
        rest = ""

        def split(text: str) -> None:
            nonlocal rest
            *lines, rest = (rest + text).split("\n")
            if len(rest) > 200_000:
                raise SandboxError("The sandbox gave a garbled answer.")
            for line in lines:
                add(base64.b64decode(line, validate=True))

        try:
            await self._inside(verb, request, split, 300, {})
        except binascii.Error as error:
            raise SandboxError("The sandbox gave a garbled answer.") from error
        except (ValueError, _NoAnswer) as error:
            raise SandboxError(f"The sandbox could not hand over its files: {error}") from error

    async def _inside(
        self,
        verb: str,
        request: Mapping[str, Any],
        out: Callable[[str], None],
        seconds: float,
        env: Mapping[str, str],
    ) -> None:
        """Run one of our scripts; a ValueError carries its refusal, _NoAnswer says it died."""
        text = json.dumps(request)
        script = "supervise.py" if verb == "run" else f"inside.py {verb} {ROOT}"
        command = f"exec python3 -I -S {OURS}/{script}"
        variables = dict(env)
        if len(text) > 100_000:  # the kernel allows 128 KiB for one variable
            place = f"{OURS}/{self._mark}-{next(self._numbers)}.json"
            try:
                with told("could not be asked", passing=(NotEnoughSpaceException,)):
                    await self._box.files.write(place, text)
            except NotEnoughSpaceException as error:
                raise ValueError(
                    "The sandbox's disk is full: delete what is not needed, or ask for less."
                ) from error
            command += f" {shlex.quote(place)}"
        else:
            variables["VIBECODER_REQUEST"] = text
        problem: list[str] = []
        code = await self._command(command, variables, out, problem, seconds)
        if code not in {0, 3} and "can't open file" in "".join(problem):
            with told("could not be prepared"):
                await self._put_scripts()  # somebody cleaned up
            problem.clear()
            code = await self._command(command, variables, out, problem, seconds)
        said = "".join(problem).strip()[:2000]
        match code:
            case 0:
                return
            case 3:
                raise ValueError(said or "no reason was given")
            case 127:
                raise SandboxError(
                    "The sandbox's template has no python3, which is needed inside: use one that "
                    "has Python 3.8 or newer."
                )
            case _:
                raise _NoAnswer(said[-300:])

    async def _command(
        self,
        command: str,
        env: dict[str, str],
        out: Callable[[str], None],
        problem: list[str],
        seconds: float,
    ) -> int:
        """The exit code. Raises what `out` raises, too."""
        failure: list[Exception] = []
        handle: AsyncCommandHandle[None] | None = None

        async def collect(text: str) -> None:
            # Raising in here would surface as a failed connection: remember it, and end the source.
            if not failure:
                try:
                    out(text)
                except (AgentError, ValueError, zlib.error) as error:
                    failure.append(error)
            if failure and handle is not None:
                await handle.kill()

        def complain(text: str) -> None:
            if len(problem) < 50:
                problem.append(text[:2000])

        with told("could not be asked"):
            handle = await self._box.commands.run(
                command,
                background=True,
                envs=env,
                cwd=HOME,
                on_stdout=collect,
                on_stderr=complain,
                timeout=seconds,
                retain_output=False,
            )
        try:
            with told("could not finish a command", passing=(CommandExitException,)):
                ended = await handle.wait()
        except asyncio.CancelledError:
            with suppress(Exception):  # being cancelled is what counts, and the sandbox may be gone
                async with asyncio.timeout(END_SECONDS):
                    await asyncio.shield(handle.kill())
            raise
        except CommandExitException as error:
            code = error.exit_code
        except SandboxError as error:
            if failure:
                raise failure[0] from error
            raise
        else:
            code = ended.exit_code
        if failure:
            raise failure[0]
        return code


class _TooLarge(Exception):
    """A file is longer than we are willing to read."""


class _NoAnswer(Exception):
    """Our script ended without an answer: something in the sandbox killed it."""


def _joined(answer: Mapping[str, Any], log: str) -> str:
    head = base64.b64decode(answer["head"])[:KEEP]
    tail = base64.b64decode(answer["tail"])[-KEEP:]
    left_out = int(answer["bytes"]) - len(head) - len(tail)
    if left_out <= 0:
        return (head + tail).decode(errors="replace")
    where = f"all of it is in {log}" if log else "it could not be kept: the disk may be full"
    return (
        f"{head.decode(errors='replace')}\n"
        f"… {left_out:,} bytes left out here; {where} …\n"
        f"{tail.decode(errors='replace')}"
    )


def _optional_int(value: object) -> int | None:
    return value if value is None or isinstance(value, int) else int(str(value))
