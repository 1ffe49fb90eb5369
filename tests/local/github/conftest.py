"""A served world per test, and the clients that look at it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vibecoder.local.github.app import app
from vibecoder.local.github.world import World
from vibecoder.local.serve import serve

REPOSITORY = "acme/widgets"
FILES: dict[str, bytes | tuple[int, bytes]] = {
    "README.md": b"# Widgets\n",
    "src/widget.py": b"def turn():\r\n    return 1\r\n",
    "bin/run": (0o100755, b"#!/bin/sh\necho hi\n"),
    "link": (0o120000, b"README.md"),
}


@dataclass
class Receiver:
    """An endpoint that keeps the webhooks it was sent."""

    url: str = ""
    status: int = 202
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        self.got.append((dict(request.headers), await request.body()))
        return Response(status_code=self.status)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path / "github")
    made.add_repository(REPOSITORY, FILES)
    async with serve(app(made)) as url:
        made.base_url = url
        yield made


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    routes = [Route("/hook", made.take, methods=["POST"])]
    async with serve(Starlette(routes=routes)) as url:
        made.url = f"{url}/hook"
        yield made


@pytest.fixture
async def maya(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """The API as maya, who may write."""
    async with httpx.AsyncClient(
        base_url=world.base_url + "/api/v3",
        headers={"Authorization": f"Bearer {world.users['maya']}"},
    ) as client:
        yield client
