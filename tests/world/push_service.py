"""A push service on loopback as RFC 8030 has it, the browsers behind it, and an ntfy server.

Browsers open what they get with their own keys, by the RFCs and not by our code.
"""

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vibecoder.local.serve import serve

T = TypeVar("T")
PATIENCE = 30  # seconds until what never comes fails its test


@dataclass(frozen=True)
class Mood:
    """How the next push to a browser is answered."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    before: Callable[[], None] | None = None  # called before the answer


@dataclass(frozen=True)
class Pushed:
    """A message that a browser opened."""

    headers: dict[str, str]
    said: dict[str, Any]


@dataclass
class Browser:
    """One subscription, from the browser's side."""

    service: "PushService"
    name: str
    application_key: str
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    auth: bytes = b"sixteen bytes it"
    moods: list[Mood] = field(default_factory=list)  # used up one by one; then all goes well
    asked: int = 0  # pushes, however they were answered
    got: list[Pushed] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"{self.service.url}/push/{self.name}"

    @property
    def shown(self) -> dict[str, Pushed]:
        """What stands on the screen: one for each tag."""
        return {pushed.said["notification"]["tag"]: pushed for pushed in self.got}

    def subscription(self) -> dict[str, Any]:
        """As PushSubscription.toJSON() has it."""
        keys = {"p256dh": text(point(self.key.public_key())), "auth": text(self.auth)}
        return {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}

    async def one(self, count: int = 1) -> Pushed:
        """The message with that number, once it is there."""
        await self.service.until(lambda: len(self.got) >= count)
        return self.got[count - 1]

    def open(self, body: bytes) -> dict[str, Any]:
        salt, size, length = body[:16], *struct.unpack("!IB", body[16:21])
        sender, sealed = body[21 : 21 + length], body[21 + length :]
        assert len(sealed) <= size <= 4096
        theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
        info = b"WebPush: info\0" + point(self.key.public_key()) + sender
        secret = HKDF(SHA256(), 32, self.auth, info).derive(self.key.exchange(ec.ECDH(), theirs))
        key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(secret)
        nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(secret)
        opened = AESGCM(key).decrypt(nonce, sealed, None)
        assert opened.endswith(b"\x02")
        said = json.loads(opened[:-1])
        assert isinstance(said, dict)
        return said


@dataclass
class PushService:
    """Takes pushes as RFC 8030 and RFC 8292 want them and hands them to browsers."""

    url: str = ""
    browsers: dict[str, Browser] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=list)  # by ntfy
    tokens: list[str] = field(default_factory=list)  # that came with those
    ntfy_moods: list[Mood] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def place(self) -> str:
        return urlsplit(self.url).netloc

    def browser(self, name: str, application_key: str) -> Browser:
        return self.browsers.setdefault(name, Browser(self, name, application_key))

    async def until(self, condition: Callable[[], T]) -> T:
        async with asyncio.timeout(PATIENCE), self.changed:
            while not (value := condition()):
                await self.changed.wait()
            return value

    async def push(self, request: Request) -> Response:
        browser = self.browsers[request.path_params["name"]]
        body = await request.body()
        async with self.changed:
            browser.asked += 1
            self.changed.notify_all()
        self._verify(request, browser)
        mood = browser.moods.pop(0) if browser.moods else Mood(201)
        if mood.status < 300:
            async with self.changed:
                browser.got.append(Pushed(dict(request.headers), browser.open(body)))
                self.changed.notify_all()
        if mood.before is not None:
            mood.before()
        return Response(None, mood.status, mood.headers)

    def _verify(self, request: Request, browser: Browser) -> None:
        scheme, _, rest = request.headers["authorization"].partition(" ")
        assert scheme == "vapid"
        given = dict(part.strip().split("=", 1) for part in rest.split(","))
        assert given["k"] == browser.application_key
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw(given["k"]))
        jwt.decode(given["t"], key, ["ES256"], audience=self.url)
        assert request.headers["content-encoding"] == "aes128gcm"
        assert 0 < int(request.headers["ttl"]) <= 86_400
        assert len(request.headers["topic"]) <= 32

    async def publish(self, request: Request) -> Response:
        said = await request.json()
        mood = self.ntfy_moods.pop(0) if self.ntfy_moods else Mood(200)
        async with self.changed:
            if mood.status < 300:
                self.told.append(said)
                self.tokens.append(request.headers.get("authorization", ""))
            self.changed.notify_all()
        return JSONResponse({}, mood.status, mood.headers)


@asynccontextmanager
async def push_service() -> AsyncIterator[PushService]:
    service = PushService()
    routes = [
        Route("/push/{name}", service.push, methods=["POST"]),
        Route("/", service.publish, methods=["POST"]),
    ]
    async with serve(Starlette(routes=routes)) as service.url:
        yield service


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw(data: str) -> bytes:
    return base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))
