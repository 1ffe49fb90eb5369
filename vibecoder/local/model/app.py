"""A Messages API that validates strictly and plays scripts. ASGI, for `vibecoder.local.serve`."""

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from vibecoder.local.model import cache, stream, thinking, validate
from vibecoder.local.model.conversation import Given
from vibecoder.local.model.errors import TYPES, ApiError, error_body, invalid
from vibecoder.local.model.models import MODELS, Model
from vibecoder.local.model.script import Block, NoScript, Request, Stage, Turn

MAX_BODY = 32 * 1024 * 1024
FIRST_VERSION = "2023-06-01"
VERSIONS = {FIRST_VERSION, "2026-10-21"}
SAMPLING = {"temperature": 1.0, "top_p": 1.0, "top_k": 500.0}  # gone from the newer version


def app(stage: Stage) -> Starlette:
    """The API under /v1, playing what is on `stage`."""
    api = _Api(stage)
    return Starlette(
        routes=[
            Route("/v1/messages", api.create, methods=["POST"]),
            Route("/v1/messages/count_tokens", api.count_tokens, methods=["POST"]),
            Route("/v1/models", api.models),
            Route("/v1/models/{id}", api.model),
        ],
        exception_handlers={ApiError: _refuse, 404: _no_route, 405: _no_route},
    )


async def _refuse(request: HttpRequest, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    request_id = _request_id()
    return JSONResponse(
        error.body(request_id), status_code=error.status, headers={"request-id": request_id}
    )


async def _no_route(request: HttpRequest, error: Exception) -> Response:
    return await _refuse(request, ApiError(404, "not_found_error", "Not Found"))


def _request_id() -> str:
    return f"req_{secrets.token_hex(12)}"


class _Api:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._cache = cache.Cache()
        self._given = Given()

    async def create(self, http: HttpRequest) -> Response:
        try:
            request, model, dropped = await self._accept(http)
            turn = self._stage.turn(request)
        except ApiError as error:
            self._stage.refused.append(error.message)
            raise
        except NoScript as error:
            raise invalid(str(error)) from error
        if turn.delay:
            await _pause(http, turn.delay)
        if turn.status != 200:
            return _interrupted(turn)
        message = self._message(request, model, turn)
        if "thinking-binding-controls-2026-08-01" in request.betas:
            message["input_transformations"] = dropped
        headers = {"request-id": _request_id()}
        if not request.body.get("stream"):
            return JSONResponse(_whole(message), headers=headers)
        return StreamingResponse(
            _events(message, turn), media_type="text/event-stream", headers=headers
        )

    async def count_tokens(self, http: HttpRequest) -> Response:
        _, betas = self._authorize(http)
        body = await _body(http)
        validate.check_count(body, betas, self._given)
        return JSONResponse({"input_tokens": cache.count(body)})

    async def models(self, http: HttpRequest) -> Response:
        self._authorize(http)
        data = [model.info() for model in MODELS.values()]
        edges = {"first_id": data[0]["id"], "last_id": data[-1]["id"]}
        return JSONResponse({"data": data, "has_more": False, **edges})

    async def model(self, http: HttpRequest) -> Response:
        self._authorize(http)
        name = http.path_params["id"]
        if name not in MODELS:
            raise ApiError(404, "not_found_error", f"model: {name}")
        return JSONResponse(MODELS[name].info())

    def _authorize(self, http: HttpRequest) -> tuple[str, frozenset[str]]:
        """The key and the betas of a request. Raises ApiError."""
        scheme, _, token = http.headers.get("authorization", "").partition(" ")
        key = http.headers.get("x-api-key") or (token if scheme.lower() == "bearer" else "")
        if not key:
            raise ApiError(401, "authentication_error", "x-api-key header is required")
        if self._stage.keys and key not in self._stage.keys:
            raise ApiError(401, "authentication_error", "invalid x-api-key")
        version = http.headers.get("anthropic-version")
        if version is None:
            raise invalid("anthropic-version: header is required")
        if version not in VERSIONS:
            raise invalid(f'anthropic-version: "{version}" is not a valid version')
        betas = ",".join(http.headers.getlist("anthropic-beta")).split(",")
        return key, frozenset(beta.strip() for beta in betas if beta.strip())

    async def _accept(self, http: HttpRequest) -> tuple[Request, Model, list[dict[str, str]]]:
        """A request that may be answered. Raises ApiError."""
        key, betas = self._authorize(http)
        body = await _body(http)
        if http.headers["anthropic-version"] == FIRST_VERSION:
            _drop_sampling(body)
        model, dropped = validate.check(body, betas, self._given)
        return Request(key, model.id, body, betas), model, dropped

    def _message(self, request: Request, model: Model, turn: Turn) -> dict[str, Any]:
        """The answer as it is without streaming."""
        prefix = thinking.prefix(request.body)
        asked = prefix.digest()
        silent = request.body["max_tokens"] == 0
        content = [] if silent else _signed(request, model, turn, prefix)
        content, spoken = _within(content, request.body["max_tokens"])
        self._given.note(asked, content)
        if turn.stop_reason == "pause_turn":
            self._given.paused.add(prefix.digest())
        calls = any(block["type"] == "tool_use" for block in content)
        stop = turn.stop_reason or ("tool_use" if calls else "end_turn")
        if spoken == request.body["max_tokens"]:
            stop = "max_tokens"
        refusal = {"type": "refusal", "category": turn.refusal, "explanation": None}
        usage = self._cache.account(request.api_key, model.id, request.body)
        return {
            "id": f"msg_{secrets.token_hex(12)}",
            "type": "message",
            "role": "assistant",
            "model": model.id,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
            "stop_details": refusal if stop == "refusal" else None,
            "usage": {
                "input_tokens": usage.input,
                "cache_creation_input_tokens": usage.written,
                "cache_read_input_tokens": usage.read,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": usage.written_5m,
                    "ephemeral_1h_input_tokens": usage.written_1h,
                },
                "output_tokens": spoken,
                "service_tier": "standard",
                "inference_geo": "global",
            },
        }


async def _pause(http: HttpRequest, seconds: float) -> None:
    """So many seconds, or until the client hung up, lest an answer outlive whoever asked."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await http.receive())["type"] != "http.disconnect":
                pass


async def _body(http: HttpRequest) -> dict[str, Any]:
    data = bytearray()
    async for chunk in http.stream():
        data += chunk
        if len(data) > MAX_BODY:
            raise ApiError(413, "request_too_large", "Request exceeds the maximum size")
    try:
        body = json.loads(bytes(data))
    except ValueError as error:
        raise invalid(f"The request body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise invalid("The request body is not a JSON object")
    return body


def _drop_sampling(body: dict[str, Any]) -> None:
    """What clients of the first version may send; it changes nothing in a script."""
    for name, most in SAMPLING.items():
        value = body.pop(name, None)
        if value is None:
            continue
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise invalid(f"{name}: Input should be a valid number")
        if not 0 <= value <= most:
            raise invalid(f"{name}: Input should be from 0 to {most:g}")


def _signed(request: Request, model: Model, turn: Turn, prefix: thinking.Prefix) -> list[Block]:
    """The turn's blocks as they are sent: thinking shown as asked for and signed, ids made.

    They are added to `prefix`, the conversation so far.
    """
    config = request.body.get("thinking") or {}
    thinks = config["type"] in ("adaptive", "enabled") if config else model.thinks_unasked
    shown = config.get("display") in ("summarized", "updates") or (
        config.get("display") is None and not model.bound
    )
    content: list[Block] = []
    for block in turn.blocks:
        before = prefix.digest()
        made = dict(block)
        match block["type"]:
            case "thinking" | "redacted_thinking" if not thinks:
                continue
            case "thinking":
                made["thinking"] = block["thinking"] if shown else ""
                made["signature"] = thinking.sign(model.id, before, made["thinking"])
            case "redacted_thinking":
                made["data"] = thinking.sign(model.id, before, "")
            case "tool_use":
                # The same call in the same place has the same id, as a retried answer should.
                unique = hashlib.sha256(f"{before}{len(content)}".encode()).digest()
                made.setdefault("id", f"toolu_01{base64.b32encode(unique).decode()[:22]}")
            case "text":
                made.setdefault("citations", None)
        content.append(made)
        prefix.add("assistant", made)
    return content


def _within(content: list[Block], most: int) -> tuple[list[Block], int]:
    """What max_tokens leaves of an answer, and its tokens; the last block may be cut off."""
    spoken = 0
    for number, block in enumerate(content):
        spoken += cache.tokens({key: it for key, it in block.items() if key != "signature"})
        if spoken >= most:
            return content[: number + 1], most
    return content, spoken


def _whole(message: dict[str, Any]) -> dict[str, Any]:
    """Without streaming, a call that max_tokens cut off comes without its input."""
    *others, last = message["content"] or [{"type": "nothing"}]
    if message["stop_reason"] != "max_tokens" or last["type"] != "tool_use":
        return message
    return {**message, "content": [*others, {**last, "input": {}}]}


def _interrupted(turn: Turn) -> Response:
    request_id = _request_id()
    headers = {"request-id": request_id}
    if turn.retry_after is not None:
        headers["retry-after"] = f"{turn.retry_after:g}"
    kind = TYPES.get(turn.status, "api_error")
    words = {"overloaded_error": "Overloaded", "rate_limit_error": "Rate limit exceeded"}
    body = error_body(kind, words.get(kind, "Internal server error"), request_id)
    return JSONResponse(body, status_code=turn.status, headers=headers)


async def _events(message: dict[str, Any], turn: Turn) -> AsyncIterator[bytes]:
    unfinished = message["stop_reason"] == "max_tokens"
    for number, event in enumerate(stream.events(message, unfinished)):
        if number == turn.cut_after_events:
            return
        if number == turn.error_after_events:
            error = error_body(turn.error_type, "Overloaded", _request_id())
            yield stream.encode(error)
            return
        yield stream.encode(event)
