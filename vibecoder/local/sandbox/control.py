"""The control plane: E2B's REST API for sandboxes, versions 1 and 2.

Source: spec/openapi.yml of e2b-dev/infra, and what SDK 2.63 sends beyond it (POST /v2/sandboxes,
POST /v2/sandboxes/{id}/connect). Every error is {"code", "message"}, because the SDKs parse nothing
else. Every sandbox is secured: its token comes with the answer, whatever `secure` says.
"""

import base64
import binascii
import hmac
import os
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vibecoder.local.sandbox import limits
from vibecoder.local.sandbox.boxes import Boxes, Tenancy, Wish
from vibecoder.local.sandbox.errors import BoxGone, KeyReused, StartFailed

Json = dict[str, Any]
Endpoint = Callable[[Request], Awaitable[Response]]

ENVD_VERSION = "0.6.7"  # whose behaviour envd.py has; SDKs enable features by it
LONGEST_LIFE = 24 * 3600  # seconds
LIFE_V1, LIFE_V2 = 15, 300  # seconds, where the client names none
PAGE = 100
LARGEST_BODY = 1 << 20  # bytes
DISK_MB = 10_240  # said to clients; the disk is the machine's own
KEY = re.compile(r"[a-z0-9-]{1,255}")


class Body(BaseModel):
    """What clients send beyond these fields is about things that do not exist here."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class NewSandbox(Body):
    template: str = Field(alias="templateID", min_length=1, max_length=255)
    timeout: int | None = Field(default=None, ge=0, le=LONGEST_LIFE)
    metadata: dict[str, str] | None = None
    environment: dict[str, str] | None = Field(default=None, alias="envVars")
    pause: bool | None = Field(default=None, alias="autoPause")


class Timeout(Body):
    timeout: int = Field(ge=0, le=LONGEST_LIFE)


class Connection(Body):
    timeout: int | None = Field(default=None, ge=0, le=LONGEST_LIFE)


class Refresh(Body):
    duration: int = Field(default=LIFE_V1, ge=0, le=3600)


Model = TypeVar("Model", bound=Body)


def routes(boxes: Boxes, api_key: str) -> list[Route]:
    """All paths but envd's."""

    def keyed(endpoint: Endpoint) -> Endpoint:
        async def checked(request: Request) -> Response:
            given = request.headers.get("x-api-key", "")
            if not hmac.compare_digest(given.encode(), api_key.encode()):
                raise HTTPException(401, "Invalid API key: pass the one this server was given.")
            try:
                return await endpoint(request)
            except BoxGone as error:
                raise HTTPException(404, str(error)) from error

        return checked

    def find(request: Request) -> Tenancy:
        name = request.path_params["id"]
        tenancy = boxes.get(name)
        if tenancy is None:
            raise HTTPException(404, f"Sandbox {name} was not found")
        return tenancy

    def creator(default_life: int) -> Endpoint:
        async def create(request: Request) -> Response:
            body = await _read(request, NewSandbox)
            key = request.headers.get("idempotency-key")
            if key is not None and not KEY.fullmatch(key):
                raise HTTPException(400, "Idempotency-Key takes 1 to 255 of a-z, 0-9 and hyphens.")
            wish = Wish(
                template=body.template,
                seconds=default_life if body.timeout is None else body.timeout,
                metadata=body.metadata or {},
                environment=body.environment or {},
                pause_at_end=bool(body.pause),
            )
            try:
                tenancy = await boxes.create(wish, key)
            except StartFailed as error:
                raise HTTPException(500, str(error)) from error
            except KeyReused as error:
                raise HTTPException(409, str(error)) from error
            return JSONResponse(_credentials(tenancy), 201)

        return create

    async def list_running(request: Request) -> Response:
        wanted = _metadata(request)
        found = boxes.all(lambda t: t.state == "running" and _matches(t, wanted))
        return JSONResponse([_described(tenancy) for tenancy in found])

    async def list_all(request: Request) -> Response:
        query = request.query_params
        wanted = _metadata(request)
        states = {s for text in query.getlist("state") for s in text.split(",") if s}
        after = _moment(query.get("startedAfter"))
        template = query.get("template")
        found = boxes.all(
            lambda t: (
                _matches(t, wanted)
                and (not states or t.state in states)
                and (after is None or t.started >= after)
                and (not template or t.wish.template == template)
            )
        )
        backwards = query.get("order", "desc") != "asc"
        found.sort(key=lambda t: (t.started, t.id), reverse=backwards)
        last = _position(query.get("nextToken"))
        if last is not None:
            found = [
                t
                for t in found
                if ((t.started, t.id) < last if backwards else (t.started, t.id) > last)
            ]
        limit = query.get("limit", str(PAGE))
        if not (limit.isdecimal() and 1 <= int(limit) <= PAGE):
            raise HTTPException(400, f"limit must be between 1 and {PAGE}.")
        page, more = found[: int(limit)], found[int(limit) :]
        headers = {"X-Next-Token": _token(page[-1])} if more else {}
        return JSONResponse([_described(tenancy) for tenancy in page], headers=headers)

    async def show(request: Request) -> Response:
        tenancy = find(request)
        return JSONResponse({**_described(tenancy), "envdAccessToken": tenancy.token})

    async def kill(request: Request) -> Response:
        await boxes.kill(find(request))
        return Response(status_code=204)

    async def set_timeout(request: Request) -> Response:
        tenancy = find(request)
        boxes.live_for(tenancy, (await _read(request, Timeout)).timeout)
        return Response(status_code=204)

    async def refresh(request: Request) -> Response:
        tenancy = find(request)
        _lengthen(tenancy, (await _read(request, Refresh)).duration)
        return Response(status_code=204)

    def _lengthen(tenancy: Tenancy, seconds: int) -> None:
        left = (tenancy.ends - datetime.now(UTC)).total_seconds()
        if seconds > left:
            boxes.live_for(tenancy, seconds)

    def connector(default_life: int) -> Endpoint:
        async def connect(request: Request) -> Response:
            tenancy = find(request)
            body = await _read(request, Connection)
            seconds = default_life if body.timeout is None else body.timeout
            if tenancy.state == "running":
                _lengthen(tenancy, seconds)
                return JSONResponse(_credentials(tenancy), 200)
            await boxes.resume(tenancy, seconds)
            return JSONResponse(_credentials(tenancy), 201)

        return connect

    async def resume(request: Request) -> Response:
        tenancy = find(request)
        if tenancy.state == "running":
            raise HTTPException(409, f"Sandbox {tenancy.id} is already running")
        body = await _read(request, Connection)
        await boxes.resume(tenancy, LIFE_V1 if body.timeout is None else body.timeout)
        return JSONResponse(_credentials(tenancy), 201)

    async def pause(request: Request) -> Response:
        tenancy = find(request)
        if tenancy.state == "paused":
            raise HTTPException(409, f"Sandbox {tenancy.id} is already paused")
        await boxes.pause(tenancy)
        return Response(status_code=204)

    async def metrics(request: Request) -> Response:
        tenancy = find(request)
        usage = await tenancy.box.usage()
        now = datetime.now(UTC)
        age = max((now - tenancy.started).total_seconds(), 0.001)
        sample = {
            "timestamp": _text(now),
            "timestampUnix": int(now.timestamp()),
            "cpuCount": os.cpu_count() or 1,
            "cpuUsedPct": round(100 * usage["cpu_seconds"] / age / (os.cpu_count() or 1), 2),
            "memUsed": usage["memory"],
            "memTotal": limits.MEMORY,
            "memCache": 0,
            "diskUsed": usage["disk_used"],
            "diskTotal": usage["disk_total"],
        }
        start, end = request.query_params.get("start"), request.query_params.get("end")
        if (end and end.isdecimal() and int(end) < int(now.timestamp())) or (
            start and start.isdecimal() and int(start) > int(now.timestamp()) + 1
        ):
            return JSONResponse([])  # only the present is measured
        return JSONResponse([sample])

    async def logs(request: Request) -> Response:
        find(request)
        return JSONResponse({"logs": [], "logEntries": []})

    async def nothing(_: Request) -> Response:
        return JSONResponse([])

    async def missing(request: Request) -> Response:
        raise HTTPException(404, f"{request.path_params['id']} was not found")

    async def not_here(request: Request) -> Response:
        find(request)
        raise HTTPException(501, "This local sandbox server cannot do that; E2B's cloud can.")

    table: list[tuple[str, str, Endpoint]] = [
        ("POST", "/sandboxes", creator(LIFE_V1)),
        ("POST", "/v2/sandboxes", creator(LIFE_V2)),
        ("GET", "/sandboxes", list_running),
        ("GET", "/v2/sandboxes", list_all),
        ("GET", "/sandboxes/{id}", show),
        ("DELETE", "/sandboxes/{id}", kill),
        ("POST", "/sandboxes/{id}/timeout", set_timeout),
        ("POST", "/sandboxes/{id}/refreshes", refresh),
        ("POST", "/sandboxes/{id}/connect", connector(LIFE_V1)),
        ("POST", "/v2/sandboxes/{id}/connect", connector(LIFE_V2)),
        ("POST", "/sandboxes/{id}/resume", resume),
        ("POST", "/sandboxes/{id}/pause", pause),
        ("GET", "/sandboxes/{id}/metrics", metrics),
        ("GET", "/sandboxes/{id}/logs", logs),
        ("GET", "/v2/sandboxes/{id}/logs", logs),
        ("GET", "/snapshots", nothing),
        ("GET", "/templates", nothing),
        ("DELETE", "/templates/{id:path}", missing),
        ("POST", "/sandboxes/{id}/snapshots", not_here),
        ("POST", "/sandboxes/{id}/fork", not_here),
        ("PUT", "/sandboxes/{id}/network", not_here),
    ]
    return [Route(path, keyed(endpoint), methods=[method]) for method, path, endpoint in table]


async def _read(request: Request, model: type[Model]) -> Model:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > LARGEST_BODY:
            raise HTTPException(413, "The body is larger than 1 MB.")
    try:
        return model.model_validate_json(bytes(data) or b"{}")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise HTTPException(400, f"{where or 'body'}: {first['msg']}") from error


def _credentials(tenancy: Tenancy) -> Json:
    return {
        "templateID": tenancy.wish.template,
        "sandboxID": tenancy.id,
        "clientID": "local",
        "envdVersion": ENVD_VERSION,
        "envdAccessToken": tenancy.token,
        "domain": None,
    }


def _described(tenancy: Tenancy) -> Json:
    return {
        "templateID": tenancy.wish.template,
        "sandboxID": tenancy.id,
        "clientID": "local",
        "startedAt": _text(tenancy.started),
        "endAt": _text(tenancy.ends),
        "cpuCount": os.cpu_count() or 1,
        "memoryMB": limits.MEMORY >> 20,
        "diskSizeMB": DISK_MB,
        "metadata": tenancy.wish.metadata,
        "state": tenancy.state,
        "envdVersion": ENVD_VERSION,
    }


def _metadata(request: Request) -> dict[str, str]:
    # The SDK quotes keys and values, then the whole, and HTTP once more.
    pairs = parse_qsl(request.query_params.get("metadata", ""), keep_blank_values=True)
    return {unquote(key): unquote(value) for key, value in pairs}


def _matches(tenancy: Tenancy, wanted: dict[str, str]) -> bool:
    return wanted.items() <= tenancy.wish.metadata.items()


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise HTTPException(400, "startedAfter is not a time.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _token(tenancy: Tenancy) -> str:
    return base64.urlsafe_b64encode(f"{_text(tenancy.started)} {tenancy.id}".encode()).decode()


def _position(token: str | None) -> tuple[datetime, str] | None:
    if not token:
        return None
    try:
        moment, _, name = base64.urlsafe_b64decode(token).decode().partition(" ")
        return datetime.fromisoformat(moment), name
    except (binascii.Error, ValueError) as error:
        raise HTTPException(400, "nextToken is not one of ours.") from error
