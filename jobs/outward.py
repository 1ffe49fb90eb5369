"""Requests to addresses that strangers gave us, such as a browser's push service.

Nobody may have this machine call its own network: the host is resolved, each of its addresses must
be a public one, and the connection goes to the address that was looked at, so that a name that
resolves differently a moment later (DNS rebinding) gains nothing. No redirect is followed and no
proxy is used.
"""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import httpcore
import httpx

LONGEST = 2_048  # characters of an address
_SECONDS = 10.0  # for a whole request
_RESOLVERS = 16
_BY_TRANSLATION = ipaddress.ip_network("64:ff9b::/96")  # NAT64: an IPv4 address in an IPv6 one


class NotOutside(Exception):
    """The address is none that we may call; the message says why, without showing it."""


class NoAnswer(Exception):
    """The other side could not be reached, or did not answer in time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is taken of an answer; its body is not read."""

    status: int
    retry_after: str  # the header as it came, empty where there was none


class Outward:
    """`trusted`: "host:port" of servers on the operator's own network, which may speak HTTP too."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._trusted = frozenset(trusted)
        self._pool: httpcore.AsyncConnectionPool | None = None
        self._resolving = asyncio.Semaphore(_RESOLVERS)

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.aclose()

    async def check(self, address: str) -> None:
        """Raises NotOutside where we may not call it, and where nothing can be found by its name.

        What it allows is looked at again with each connection.
        """
        parts = self._parts(address)
        try:
            async with asyncio.timeout(_SECONDS):
                await self._addresses(parts.hostname or "", _port(parts))
        except (OSError, TimeoutError):
            raise NotOutside("its host cannot be found") from None

    async def post(self, address: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Raises NotOutside and NoAnswer."""
        parts = self._parts(address)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        url = httpcore.URL(
            scheme=parts.scheme, host=parts.hostname or "", port=_port(parts), target=target
        )
        sent = {"Host": parts.netloc, "Content-Length": str(len(body))} | dict(headers)
        try:
            async with (
                asyncio.timeout(_SECONDS),
                self._connections().stream(
                    "POST", url, headers=list(sent.items()), content=body
                ) as answer,
            ):
                found = {name.lower(): value for name, value in answer.headers}
                return Answer(answer.status, found.get(b"retry-after", b"").decode("latin-1"))
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.TimeoutException,
            OSError,
            TimeoutError,
        ) as error:
            raise NoAnswer(type(error).__name__) from error

    def _connections(self) -> httpcore.AsyncConnectionPool:
        if self._pool is None:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=httpx.create_ssl_context(),
                network_backend=_Looking(self),
                max_connections=100,
                keepalive_expiry=30,
            )
        return self._pool

    def _parts(self, address: str) -> SplitResult:
        if not 0 < len(address) <= LONGEST:
            raise NotOutside(f"it must have at most {LONGEST} characters")
        if not address.isascii() or not address.isprintable() or set(address) & set(' "<>\\^`{|}'):
            raise NotOutside("it has characters that no address has")
        try:
            parts = urlsplit(address)
            port = _port(parts)
        except ValueError:
            raise NotOutside("it is no address") from None
        if not parts.hostname or parts.scheme not in {"http", "https"}:
            raise NotOutside("it must begin with https://")
        if parts.username is not None or parts.password is not None or "#" in address:
            raise NotOutside("it may hold no name, no password and no fragment")
        if f"{parts.hostname}:{port}" not in self._trusted and (parts.scheme, port) != (
            "https",
            443,
        ):
            raise NotOutside("it must begin with https:// and be on the standard port")
        return parts

    async def _addresses(self, host: str, port: int) -> list[str]:
        """The addresses of the host. Raises NotOutside unless all may be called, OSError."""
        addresses = await self._resolved(host, port)
        if f"{host}:{port}" not in self._trusted and not all(map(public, addresses)):
            raise NotOutside("its host is not on the public internet")
        return addresses

    async def _resolved(self, host: str, port: int) -> list[str]:
        """By threads of its own: a name server can hold each for half a minute.

        In asyncio's, whoever gives us such names would stop git and GitHub's client for that time,
        and the end of the process.
        """
        await self._resolving.acquire()
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[str]] = loop.create_future()

        def resolve() -> None:
            addresses, failed = list[str](), None
            try:
                answer = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                addresses = list(dict.fromkeys(str(entry[4][0]) for entry in answer))
            except (OSError, UnicodeError) as error:
                failed = OSError(str(error))
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(done, addresses, failed)

        def done(addresses: list[str], failed: OSError | None) -> None:
            self._resolving.release()
            if found.done():
                return
            if failed is not None:
                found.set_exception(failed)
            else:
                found.set_result(addresses)

        threading.Thread(target=resolve, daemon=True, name="resolver").start()
        return await found


class _Looking(httpcore.AsyncNetworkBackend):
    """Connects to the address that was looked at."""

    def __init__(self, outward: Outward) -> None:
        self._outward = outward
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        refused: Exception = httpcore.ConnectError("the host has no address")
        for address in await self._outward._addresses(host, port):
            try:
                return await self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                refused = error
        raise refused

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


def public(address: str) -> bool:
    """Whether the IP address is one of the public internet, also what it may stand for inside."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # with a scope, such as fe80::1%eth0
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found in _BY_TRANSLATION:
            return public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
        if found.ipv4_mapped is not None:
            return public(str(found.ipv4_mapped))
        if found.sixtofour or found.teredo or found.is_site_local:  # tunnels of the past
            return False
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)
