"""envd's filesystem.Filesystem service: look, make, move, remove, watch.

Source: packages/envd/spec/filesystem/filesystem.proto of e2b-dev/infra.
"""

import asyncio
import contextlib
import errno
import itertools
from collections.abc import AsyncGenerator
from typing import Any

from pydantic import AliasChoices, Field
from starlette.requests import Request
from starlette.responses import Response

from vibecoder.local.sandbox import connect
from vibecoder.local.sandbox.box import Box
from vibecoder.local.sandbox.connect import Code, Message, RpcError
from vibecoder.local.sandbox.errors import BoxGone, Denied
from vibecoder.local.sandbox.handles import Watch

Json = dict[str, Any]
DEEPEST = 100

CODES: dict[int, Code] = {
    errno.ENOENT: "not_found",
    errno.EEXIST: "already_exists",
    errno.EACCES: "permission_denied",
    errno.EPERM: "permission_denied",
    errno.EROFS: "permission_denied",
    errno.ENOSPC: "resource_exhausted",
    errno.EDQUOT: "resource_exhausted",
    errno.EAGAIN: "resource_exhausted",
    errno.EOVERFLOW: "resource_exhausted",
}

_numbers = itertools.count(1)


class PathRequest(Message):
    """Stat, MakeDir, Remove."""

    path: str = ""


class MoveRequest(Message):
    source: str
    destination: str


class ListRequest(PathRequest):
    depth: int = Field(default=1, ge=0)


class WatchRequest(PathRequest):
    recursive: bool = False
    include_entry: bool = Field(default=False, alias="includeEntry")


class WatcherRequest(Message):
    """GetWatcherEvents, RemoveWatcher."""

    watcher: str = Field(validation_alias=AliasChoices("watcherId", "watcher_id"))


async def serve(box: Box, method: str, request: Request) -> Response | None:
    """None for a method that the service does not have."""
    match method:
        case "Stat":
            return await connect.unary(
                request, PathRequest, lambda m: _call(box, "stat", path=box.outside(m.path))
            )
        case "MakeDir":
            return await connect.unary(
                request, PathRequest, lambda m: _call(box, "make_dir", path=box.outside(m.path))
            )
        case "Remove":
            return await connect.unary(
                request, PathRequest, lambda m: _call(box, "remove", path=box.outside(m.path))
            )
        case "Move":
            return await connect.unary(
                request,
                MoveRequest,
                lambda m: _call(
                    box,
                    "move",
                    source=box.outside(m.source),
                    destination=box.outside(m.destination),
                ),
            )
        case "ListDir":
            return await connect.unary(
                request,
                ListRequest,
                lambda m: _call(
                    box, "list", path=box.outside(m.path), depth=min(m.depth or 1, DEEPEST)
                ),
            )
        case "WatchDir":
            limit, interval = connect.seconds(request), connect.keepalive(request)
            return await connect.server_stream(
                request, WatchRequest, lambda m: _watch_dir(box, m, limit, interval)
            )
        case "CreateWatcher":
            return await connect.unary(request, WatchRequest, lambda m: _create_watcher(box, m))
        case "GetWatcherEvents":
            return await connect.unary(request, WatcherRequest, lambda m: _events(box, m))
        case "RemoveWatcher":
            return await connect.unary(request, WatcherRequest, lambda m: _remove_watcher(box, m))
    return None


async def _call(box: Box, op: str, **arguments: Any) -> Json:
    try:
        answer: Json = await box.call(op, **arguments)
    except Denied as error:
        raise RpcError(CODES.get(error.errno, "invalid_argument"), str(error)) from error
    except BoxGone as error:
        raise RpcError("unavailable", str(error)) from error
    return answer


async def _start_watch(box: Box, message: WatchRequest) -> tuple[int, Watch]:
    number, watch = next(_numbers), Watch(message.include_entry)
    box.watches[number] = watch
    try:
        await _call(
            box,
            "watch",
            watch=number,
            path=box.outside(message.path),
            recursive=message.recursive,
        )
    except RpcError:
        del box.watches[number]
        raise
    return number, watch


async def _stop_watch(box: Box, number: int) -> None:
    if box.watches.pop(number, None) is not None:
        with contextlib.suppress(BoxGone, Denied):
            await box.call("unwatch", watch=number)


async def _watch_dir(
    box: Box, message: WatchRequest, limit: float | None, interval: float | None
) -> AsyncGenerator[Json, None]:
    loop = asyncio.get_running_loop()
    deadline = None if limit is None else loop.time() + limit
    number, watch = await _start_watch(box, message)
    try:
        yield {"start": {}}
        while not box.dead.is_set():
            patience = interval
            if deadline is not None:
                left = max(deadline - loop.time(), 0)
                patience = left if patience is None else min(left, patience)
            try:
                await asyncio.wait_for(watch.woken.wait(), patience)
            except TimeoutError:
                if deadline is not None and loop.time() >= deadline:
                    raise RpcError(
                        "deadline_exceeded", "the watch reached its time limit"
                    ) from None
                yield {"keepalive": {}}
                continue
            for event in watch.take():
                yield {"filesystem": event}
        raise connect.gone(box.name)
    finally:
        await _stop_watch(box, number)


async def _create_watcher(box: Box, message: WatchRequest) -> Json:
    number, _ = await _start_watch(box, message)
    return {"watcherId": str(number)}


def _watcher(box: Box, message: WatcherRequest) -> int:
    if not (message.watcher.isdecimal() and int(message.watcher) in box.watches):
        raise RpcError("not_found", f"watcher {message.watcher} not found")
    return int(message.watcher)


async def _events(box: Box, message: WatcherRequest) -> Json:
    number = _watcher(box, message)
    # A call that PID 1 answers after the kernel told it of everything before.
    await _call(box, "drain", watch=number)
    watch = box.watches.get(number)
    return {"events": watch.take() if watch is not None else []}


async def _remove_watcher(box: Box, message: WatcherRequest) -> Json:
    await _stop_watch(box, _watcher(box, message))
    return {}
