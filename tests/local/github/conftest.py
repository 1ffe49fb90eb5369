"""A served world per test, and the clients that look at it."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from json import dumps
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
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


class Client:
    """The API as whoever is named: a person's login, "app" or "installation"."""

    def __init__(self, world: World, http: httpx.AsyncClient) -> None:
        self._world, self._http = world, http
        self._installation = ""

    def jwt(self, **claims: Any) -> str:
        moment = int(time.time())
        standard = {"iat": moment - 60, "exp": moment + 540, "iss": self._world.client_id}
        return jwt.encode(standard | claims, self._world.private_key, algorithm="RS256")

    async def mint(self, **body: Any) -> dict[str, Any]:
        path = f"/app/installations/{self._world.installation_id}/access_tokens"
        answer = await self("POST", path, "app", json=body)
        assert answer.status_code == 201, answer.text
        minted: dict[str, Any] = answer.json()
        return minted

    async def __call__(
        self, method: str, path: str, who: str = "maya", *, json: Any = None, **headers: str
    ) -> httpx.Response:
        """`who` may also be a token itself, or "" for nobody."""
        if who == "app":
            token = self.jwt()
        elif who == "installation":
            self._installation = self._installation or (await self.mint())["token"]
            token = self._installation
        else:
            token = self._world.users.get(who, who)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            given["Authorization"] = f"Bearer {token}"
        content = None if json is None else dumps(json)  # escapes what UTF-8 cannot hold
        return await self._http.request(method, path, content=content, headers=given)


@pytest.fixture(scope="session")
def key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@pytest.fixture
async def world(tmp_path: Path, key: str) -> AsyncIterator[World]:
    made = World(tmp_path / "github", private_key=key)
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
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=world.base_url, timeout=20) as client:
        yield client


@pytest.fixture
async def api(world: World, http: httpx.AsyncClient) -> Client:
    return Client(world, http)
