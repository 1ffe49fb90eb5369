"""envd's process.Process service: start, follow, feed and signal commands.

Source: packages/envd/spec/process/process.proto of e2b-dev/infra.
"""

import asyncio
import base64
import contextlib
import errno
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from vibecoder.local.sandbox import connect
from vibecoder.local.sandbox.box import Box
from vibecoder.local.sandbox.connect import Bytes, Message, RpcError
from vibecoder.local.sandbox.errors import BoxGone, Denied
from vibecoder.local.sandbox.process import Config, End, Gone, Output, Process

Json = dict[str, Any]
SIGNALS: dict[str | int, int] = {
    "SIGNAL_SIGTERM": signal.SIGTERM,
    "SIGNAL_SIGKILL": signal.SIGKILL,
    15: signal.SIGTERM,
    9: signal.SIGKILL,
}


class ProcessConfig(Message):
    cmd: str
    args: tuple[str, ...] = ()
    envs: dict[str, str] = Field(default_factory=dict)
    cwd: str | None = None


class Size(Message):
    cols: int = Field(default=80, ge=0, le=65_535)
    rows: int = Field(default=24, ge=0, le=65_535)


class Pty(Message):
    size: Size = Size()


class StartRequest(Message):
    process: ProcessConfig
    pty: Pty | None = None
    tag: str | None = None
    stdin: bool = True  # absent in old clients, which expect it


class Selector(Message):
    pid: int | None = None
    tag: str | None = None


class SelectRequest(Message):
    """Connect, CloseStdin."""

    process: Selector


class Input(Message):
    stdin: Bytes | None = None
    pty: Bytes | None = None


class InputRequest(SelectRequest):
    input: Input


class SignalRequest(SelectRequest):
    signal: str | int = "SIGNAL_UNSPECIFIED"


class UpdateRequest(SelectRequest):
    pty: Pty | None = None


class InputData(Message):
    input: Input


class InputStream(Message):
    start: SelectRequest | None = None
    data: InputData | None = None
    keepalive: Json | None = None


class Empty(Message):
    """A request without fields."""


async def serve(box: Box, method: str, request: Request) -> Response | None:
    """None for a method that the service does not have."""
    interval = connect.keepalive(request)
    match method:
        case "Start":
            limit = connect.seconds(request)
            return await connect.server_stream(
                request, StartRequest, lambda message: _start(box, message, limit, interval)
            )
        case "Connect":
            limit = connect.seconds(request)
            return await connect.server_stream(
                request, SelectRequest, lambda message: _follow(box, message, limit, interval)
            )
        case "List":
            return await connect.unary(request, Empty, lambda _: _list(box))
        case "SendInput":
            return await connect.unary(request, InputRequest, lambda m: _send_input(box, m))
        case "StreamInput":
            return await connect.client_stream(request, InputStream, lambda m: _stream(box, m))
        case "CloseStdin":
            return await connect.unary(request, SelectRequest, lambda m: _close_stdin(box, m))
        case "SendSignal":
            return await connect.unary(request, SignalRequest, lambda m: _signal(box, m))
        case "Update":
            return await connect.unary(request, UpdateRequest, lambda m: _update(box, m))
    return None


async def _start(
    box: Box, message: StartRequest, limit: float | None, interval: float | None
) -> AsyncGenerator[Json, None]:
    wanted = message.process
    config = Config(wanted.cmd, wanted.args, dict(wanted.envs), wanted.cwd, message.tag)
    pty = (message.pty.size.rows, message.pty.size.cols) if message.pty else None
    try:
        process = await box.spawn(config, stdin=message.stdin, pty=pty)
    except Denied as error:
        raise RpcError(
            "resource_exhausted"
            if error.errno in {errno.EAGAIN, errno.ENOMEM}
            else "invalid_argument",
            str(error),
        ) from error
    except BoxGone as error:
        raise RpcError("unavailable", str(error)) from error
    if limit is not None:
        process.kill_after(limit)
    async with contextlib.aclosing(_events(box, process, None, interval)) as events:
        async for event in events:
            yield event


async def _follow(
    box: Box, message: SelectRequest, limit: float | None, interval: float | None
) -> AsyncGenerator[Json, None]:
    process = _select(box, message.process, ended=True)
    async with contextlib.aclosing(_events(box, process, limit, interval)) as events:
        async for event in events:
            yield event


async def _events(
    box: Box, process: Process, limit: float | None, interval: float | None
) -> AsyncGenerator[Json, None]:
    listener = process.listen()
    loop = asyncio.get_running_loop()
    deadline = None if limit is None else loop.time() + limit
    try:
        yield {"event": {"start": {"pid": process.pid}}}
        while True:
            patience = interval
            if deadline is not None:
                left = max(deadline - loop.time(), 0)
                patience = left if patience is None else min(left, patience)
            try:
                event = await asyncio.wait_for(listener.next(), patience)
            except TimeoutError:
                if deadline is not None and loop.time() >= deadline:
                    raise RpcError(
                        "deadline_exceeded", "the stream reached its time limit"
                    ) from None
                yield {"event": {"keepalive": {}}}
                continue
            match event:
                case Output(stream=stream, data=data):
                    yield {"event": {"data": {stream: base64.b64encode(data).decode()}}}
                case Gone():
                    raise connect.gone(box.name)
                case End(timed_out=True):
                    # Not an end event: clients would take it for an exit by itself.
                    raise RpcError("deadline_exceeded", "the command reached its time limit")
                case End():
                    yield {"event": {"end": _ending(event)}}
                    return
    finally:
        listener.close()


def _ending(end: End) -> Json:
    """In the words of Go's os.ProcessState, which clients show to people."""
    if end.signal is not None:
        words = f"signal: {_signal_words(end.signal)}"
        return {"exitCode": -1, "exited": False, "status": words, "error": words}
    words = f"exit status {end.code}"
    ending: Json = {"exitCode": end.code, "exited": True, "status": words}
    return ending | {"error": words} if end.code else ending


def _signal_words(number: int) -> str:
    return (signal.strsignal(number) or f"signal {number}").lower()


def _select(box: Box, selector: Selector, *, ended: bool = False) -> Process:
    for process in box.processes.values():
        if process.exited.is_set() and not ended:
            continue
        if process.pid == selector.pid or (selector.tag and process.config.tag == selector.tag):
            return process
    what = f"pid {selector.pid}" if selector.pid is not None else f"tag {selector.tag}"
    raise RpcError("not_found", f"process with {what} not found")


async def _list(box: Box) -> Json:
    return {
        "processes": [
            {
                "pid": process.pid,
                "config": {
                    "cmd": process.config.cmd,
                    "args": process.config.args,
                    "envs": process.config.envs,
                    **({"cwd": process.config.cwd} if process.config.cwd else {}),
                },
                **({"tag": process.config.tag} if process.config.tag else {}),
            }
            for process in box.processes.values()
            if not process.exited.is_set()
        ]
    }


async def _send_input(box: Box, message: InputRequest) -> Json:
    await _feed(_select(box, message.process), message.input)
    return {}


async def _feed(process: Process, given: Input) -> None:
    data = given.stdin if given.stdin is not None else given.pty
    if data is None:
        raise RpcError("invalid_argument", "no input was given")
    if not process.takes_input:
        raise RpcError("failed_precondition", "the command's standard input is not open")
    try:
        await process.write(data)
    except BrokenPipeError as error:
        raise RpcError("failed_precondition", "the command no longer reads its input") from error


async def _stream(box: Box, messages: AsyncIterator[InputStream]) -> Json:
    process: Process | None = None
    async for message in messages:
        if message.start is not None:
            process = _select(box, message.start.process)
        elif message.data is not None:
            if process is None:
                raise RpcError("invalid_argument", "the first message must name the process")
            await _feed(process, message.data.input)
    return {}


async def _close_stdin(box: Box, message: SelectRequest) -> Json:
    process = _select(box, message.process)
    process.close_stdin()
    return {}


async def _signal(box: Box, message: SignalRequest) -> Json:
    number = SIGNALS.get(message.signal)
    if number is None:
        raise RpcError("invalid_argument", f"unknown signal {message.signal}")
    process = _select(box, message.process)
    try:
        await box.signal(process.pid, number)
    except Denied as error:
        raise RpcError("not_found", str(error)) from error
    except BoxGone as error:
        raise RpcError("unavailable", str(error)) from error
    return {}


async def _update(box: Box, message: UpdateRequest) -> Json:
    process = _select(box, message.process)
    size = message.pty.size if message.pty else Size()
    if not process.resize(size.rows, size.cols):
        raise RpcError("failed_precondition", "the command has no terminal")
    return {}
