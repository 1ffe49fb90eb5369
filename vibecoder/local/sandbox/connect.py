"""The Connect protocol, as far as envd's clients speak it: JSON, unary calls and streams.

Source: connectrpc.com/docs/protocol. No compression and no binary messages: no E2B client sends
them. A streamed message is one byte of flags, four of length (big endian), then JSON; the flag 2
marks the last, which is empty or holds the error.
"""

import asyncio
import base64
import binascii
import json
import struct
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
    model_validator,
)
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

Json = dict[str, Any]
Code = Literal[
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "unimplemented",
    "internal",
    "unavailable",
    "unauthenticated",
]

STATUS: dict[Code, int] = {
    "invalid_argument": 400,
    "deadline_exceeded": 504,
    "not_found": 404,
    "already_exists": 409,
    "permission_denied": 403,
    "resource_exhausted": 429,
    "failed_precondition": 400,
    "unimplemented": 501,
    "internal": 500,
    "unavailable": 503,
    "unauthenticated": 401,
}
LARGEST_MESSAGE = 64 << 20  # bytes
COMPRESSED, LAST = 1, 2

Model = TypeVar("Model", bound="Message")


class RpcError(Exception):
    """What a call ends with instead of an answer."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def json(self) -> Json:
        return {"code": self.code, "message": self.message}


def gone(name: str) -> RpcError:
    """How a stream ends when its sandbox does: clients then ask for its health, and tell their
    callers that it was killed."""
    return RpcError(
        "unavailable", f"the connection to sandbox {name} ended before the stream completed"
    )


class Message(BaseModel):
    """A message of the .proto files in JSON: unknown fields are allowed, null means absent."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: item for key, item in value.items() if item is not None}
        return value

    @classmethod
    def parse(cls: type[Model], data: bytes) -> Model:
        try:
            return cls.model_validate(json.loads(data or b"{}"))
        except (ValueError, RecursionError) as error:
            what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "not JSON"
            raise RpcError("invalid_argument", f"the request cannot be read: {what}") from error


def _from_base64(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value.replace("-", "+").replace("_", "/") + "==")
    except binascii.Error as error:
        raise ValueError("not base64") from error


Bytes = Annotated[bytes, BeforeValidator(_from_base64), PlainSerializer(base64.b64encode)]


def seconds(request: Request) -> float | None:
    """The client's time limit for the call."""
    text = request.headers.get("connect-timeout-ms", "")
    return int(text) / 1000 if text.isdecimal() and len(text) <= 10 and int(text) else None


def keepalive(request: Request) -> float | None:
    """Seconds of quiet after which the client of a stream wants a sign of life."""
    text = request.headers.get("keepalive-ping-interval", "")
    return float(text) if text.isdecimal() and len(text) < 6 and int(text) else None


async def unary(
    request: Request, model: type[Model], answer: Callable[[Model], Awaitable[Json]]
) -> Response:
    try:
        _expect(request, "application/json")
        message = model.parse(await _body(request))
        async with asyncio.timeout(seconds(request)):
            return JSONResponse(await answer(message))
    except RpcError as error:
        return JSONResponse(error.json(), STATUS[error.code])
    except TimeoutError:
        late = RpcError("deadline_exceeded", "the call took longer than its time limit")
        return JSONResponse(late.json(), STATUS[late.code])


async def server_stream(
    request: Request, model: type[Model], answer: Callable[[Model], AsyncGenerator[Json, None]]
) -> Response:
    """`answer` yields messages and may raise RpcError at any time."""
    try:
        _expect(request, "application/connect+json")
        frames = _frames(request)
        try:
            message = model.parse(await anext(frames))
        except StopAsyncIteration:
            raise RpcError("invalid_argument", "the stream holds no message") from None
        async for _ in frames:  # to the end of the body, so that the connection can be kept
            raise RpcError("unimplemented", "this call takes one message")
    except RpcError as error:
        return _stream(_failed(error))
    return _stream(_packed(answer(message)))


async def client_stream(
    request: Request, model: type[Model], answer: Callable[[AsyncIterator[Model]], Awaitable[Json]]
) -> Response:
    """`answer` takes the messages while they come in."""

    async def messages() -> AsyncIterator[Model]:
        async for data in _frames(request):
            yield model.parse(data)

    async def reply() -> AsyncIterator[Json]:
        try:
            async with asyncio.timeout(seconds(request)):
                yield await answer(messages())
        except TimeoutError as error:
            raise RpcError("deadline_exceeded", "the stream outlasted its time limit") from error

    try:
        _expect(request, "application/connect+json")
        done = [message async for message in reply()]
    except RpcError as error:
        return _stream(_failed(error))
    return _stream(_packed(_each(done)))


def _expect(request: Request, content_type: str) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != content_type:
        raise RpcError("unimplemented", f"this server speaks {content_type}, not {given or 'that'}")


async def _body(request: Request) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > LARGEST_MESSAGE:
            raise RpcError("resource_exhausted", "the message is too large")
    return bytes(data)


async def _frames(request: Request) -> AsyncIterator[bytes]:
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            while len(data) >= 5:
                flags, length = struct.unpack_from(">BI", data)
                if length > LARGEST_MESSAGE:
                    raise RpcError("resource_exhausted", "the message is too large")
                if flags & COMPRESSED:
                    raise RpcError("unimplemented", "this server takes no compressed messages")
                if len(data) < 5 + length:
                    break
                message = bytes(data[5 : 5 + length])
                del data[: 5 + length]
                yield message
    except ClientDisconnect:
        return
    if data:
        raise RpcError("invalid_argument", "the stream ended inside a message")


def _frame(flags: int, message: Json) -> bytes:
    data = json.dumps(message, separators=(",", ":")).encode()
    return struct.pack(">BI", flags, len(data)) + data


async def _packed(messages: AsyncIterator[Json]) -> AsyncIterator[bytes]:
    try:
        async for message in messages:
            yield _frame(0, message)
    except RpcError as error:
        yield _frame(LAST, {"error": error.json()})
    else:
        yield _frame(LAST, {})


async def _failed(error: RpcError) -> AsyncIterator[bytes]:
    yield _frame(LAST, {"error": error.json()})


async def _each(messages: list[Json]) -> AsyncIterator[Json]:
    for message in messages:
        yield message


def _stream(frames: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(frames, media_type="application/connect+json")
