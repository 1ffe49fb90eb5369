"""The loopback GitHub as one ASGI app: REST at / and /api/v3, git, pages, sign-in, /_admin."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from vibecoder.local.github import admin, git_http, pages
from vibecoder.local.github.faults import strike
from vibecoder.local.github.problems import NotFound
from vibecoder.local.github.rest import (
    apps,
    archives,
    call,
    checks,
    facts,
    gitdata,
    issues,
    pulls,
    repos,
    reviews,
    statuses,
    tokens,
    users,
)
from vibecoder.local.github.world import World

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

RESOURCES = (
    apps,
    tokens,
    users,
    repos,
    gitdata,
    issues,
    pulls,
    reviews,
    checks,
    statuses,
    archives,
    facts,
)  # importing them declares routes
API_ROOT = "/api/v3"
ADMIN_ROOT = "/_admin"
# First parts of paths that are the API's when there is no /api/v3 before them.
API_WORDS = {
    "app", "app-manifests", "applications", "installation", "meta", "orgs", "rate_limit",
    "repos", "repositories", "search", "user", "users", "zen", "api", "graphql", "_codeload",
}  # fmt: skip


def _endpoint(world: World, rule: call.Rule) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await call.respond(world, rule, request)

    return endpoint


def _breadth(path: str) -> list[int]:
    """Orders routes by how much they match, part by part, so that the first match is the best:
    /issues/comments before /issues/{number}, /commits/{ref:path}/pulls before /commits/{ref:path}.
    """
    parts = path.split("/")
    return [(2 if ":path}" in part else 1) if "{" in part else 0 for part in parts] + [3]


def _rest(world: World) -> Starlette:
    async def missing(request: Request, error: Exception) -> Response:
        return call.dress(request, call.refusal(NotFound()))

    ordered = sorted(call.RULES, key=lambda rule: _breadth(rule.path))
    routes = [Route(rule.path, _endpoint(world, rule), methods=[rule.method]) for rule in ordered]
    return Starlette(routes=routes, exception_handlers={404: missing, 405: missing})


def _from_elsewhere(scope: Scope) -> bool:
    """Whether another site's page sends a form here, where that is not the way of things."""
    if scope["method"] in ("GET", "HEAD") or scope["path"].startswith("/login/oauth/"):
        return False
    if scope["path"].endswith("/settings/apps/new"):
        return False  # manifests come from the page of whoever registers an App
    headers = Headers(scope=scope)
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


class GitHub:
    """Sends each request where it belongs, after the faults that wait for it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rest = _rest(world)
        self._git = git_http.GitHttp(world)
        self._pages = pages.pages(world)
        self._admin = admin.admin(world)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            return
        scope = dict(scope)
        path: str = scope["path"]
        if path == API_ROOT or path.startswith(API_ROOT + "/"):
            path = path.removeprefix(API_ROOT) or "/"
            scope["api_root"] = API_ROOT
            scope["path"] = path
            scope["raw_path"] = path.encode()
        fault = None
        if not path.startswith(ADMIN_ROOT):
            fault = self._world.faults.take(scope["method"], path)
        if fault is None:
            await self._answer(scope, receive, send)
        else:
            await strike(fault, lambda receive, send: self._answer(scope, receive, send),
                         receive, send)  # fmt: skip

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One of the five apps."""
        path: str = scope["path"]
        if git_http.matches(path):
            await self._git(scope, receive, send)
        elif "api_root" in scope or self._is_api(scope):
            await self._rest(scope, receive, send)
        elif _from_elsewhere(scope):
            await PlainTextResponse("Forms of other sites are refused.", 403)(scope, receive, send)
        elif path.startswith(ADMIN_ROOT):
            scope["path"] = path.removeprefix(ADMIN_ROOT) or "/"
            scope["raw_path"] = scope["path"].encode()
            await self._admin(scope, receive, send)
        else:
            await self._pages(scope, receive, send)

    @staticmethod
    def _is_api(scope: Scope) -> bool:
        """Whether a path without /api/v3 is the API's: by its first part, or, where pages have
        the same path, because no HTML is wanted."""
        if scope["path"] == "/" or re.fullmatch(r"/apps/[^/]+", scope["path"]):
            return "text/html" not in Headers(scope=scope).get("accept", "")
        return scope["path"].split("/")[1] in API_WORDS

    async def _live(self, receive: Receive, send: Send) -> None:
        courier: asyncio.Task[None] | None = None
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                courier = asyncio.create_task(self._world.courier.run())
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                if courier is not None:
                    courier.cancel()
                    with suppress(asyncio.CancelledError):
                        await courier
                await send({"type": "lifespan.shutdown.complete"})
                return


def app(world: World) -> GitHub:
    """The app for a world; set `world.base_url` to where it is served."""
    return GitHub(world)
