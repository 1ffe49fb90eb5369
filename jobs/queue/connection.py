"""How we reach Redis, and its errors in our words."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from arq.connections import ArqRedis
from redis.asyncio import (
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobs.queue.errors import StoreFull, StoreUnreachable

_TAKES_NOTHING = ("MISCONF", "NOREPLICAS")  # its disk is full, or too few replicas listen


class _TakesNothing(RedisConnectionError):
    """It answers, and refuses to write."""


class _Steady(AbstractConnection):
    """A connection in which no cancellation is lost, and that is left where nothing is written.

    redis-py sends through `asyncio.wait_for`, which on Python 3.11 swallows a cancellation that
    comes as the sending ends (python/cpython#86296): a Stop, or a worker's shutdown, went unheard.
    """

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        await super().send_packed_command(command, check_health)
        if task and task.cancelling() > before:
            await self.disconnect(nowait=True)  # its answer would be taken for the next one's
            raise asyncio.CancelledError

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Like a server that is away is one that takes no writes: the command is tried again."""
        try:
            return await super().read_response(*args, **options)
        except ResponseError as error:
            if not isinstance(error, ReadOnlyError) and not str(error).startswith(_TAKES_NOTHING):
                raise
            await self.disconnect()  # the primary may be another one by now
            raise _TakesNothing(str(error)) from error


class _Unix(_Steady, UnixDomainSocketConnection):
    pass


class _Tcp(_Steady, Connection):
    pass


class _Tls(_Steady, SSLConnection):
    pass


@dataclass(frozen=True, slots=True)
class _Sentinels:
    """Who knows where the primary is.

    https://redis.io/docs/latest/develop/reference/sentinel-clients/
    """

    name: str  # what they call the primary
    addresses: tuple[tuple[str, int], ...]
    kind: type[Connection]
    options: dict[str, Any] = field(repr=False)  # of the connections to them

    async def primary(self) -> tuple[str, int]:
        """Its host and port now. Raises redis-py's ConnectionError where none of them knows it."""
        told = await asyncio.gather(*(self._ask(*address) for address in self.addresses))
        known = [facts for facts in told if facts]
        if not known:
            raise RedisConnectionError(f"No Sentinel answers that knows a primary {self.name!r}.")
        # One that was cut off may still name an old primary; each failover raises the epoch.
        newest = max(known, key=lambda facts: int(facts[b"config-epoch"]))
        return newest[b"ip"].decode(), int(newest[b"port"])

    async def _ask(self, host: str, port: int) -> dict[bytes, bytes] | None:
        """None: this one is away, or knows of no such primary, and others are asked as well."""
        connection = self.kind(host=host, port=port, **self.options)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's
            await connection.send_command("SENTINEL", "MASTER", self.name)
            answer = await connection.read_response()
        except (RedisError, OSError):
            return None
        finally:
            await connection.disconnect()
        return dict(zip(answer[::2], answer[1::2], strict=True))


class _BySentinel(Connection):
    """A connection to the primary, for which each new one asks anew."""

    def __init__(self, *, sentinels: _Sentinels, **options: Any) -> None:
        super().__init__(**options)
        self._sentinels = sentinels

    async def _connect(self) -> None:
        self.host, self.port = await self._sentinels.primary()
        await super()._connect()  # type: ignore[no-untyped-call]  # redis-py's


class _TcpBySentinel(_BySentinel, _Tcp):
    pass


class _TlsBySentinel(_BySentinel, _Tls):
    pass


_TCP: dict[str, Any] = {"socket_keepalive": True}
_TLS: dict[str, Any] = _TCP | {"ssl_check_hostname": True}  # off in redis-py
_BY_SCHEME: dict[str, tuple[type[AbstractConnection], dict[str, Any]]] = {
    "unix": (_Unix, {}),  # which refuses the options of TCP
    "redis": (_Tcp, _TCP),
    "rediss": (_Tls, _TLS),
    "redis+sentinel": (_TcpBySentinel, _TCP),
    "rediss+sentinel": (_TlsBySentinel, _TLS),
}


def connect(url: str, *, retries: int = 600) -> ArqRedis:
    """A pool for `redis://`, `rediss://` or `unix://`; no connection is made yet.

    Or for the primary that Sentinels name:
    `redis+sentinel://[user:password@]host[:26379],host…/NAME[/DATABASE]`, where TLS (`rediss+…`) is
    spoken with both. `?sentinel_username=…&sentinel_password=…` are for the Sentinels themselves.

    A command is tried again, at most a second apart, `retries` times while Redis is away: minutes
    for a worker, who must outlive a restart; about three times for a front door, who must answer.
    Raises ValueError for another kind of address. Cluster is not supported.
    """
    scheme = urlsplit(url).scheme
    if scheme not in _BY_SCHEME:
        raise ValueError(
            "REDIS_URL must begin with redis://, rediss://, unix://, redis+sentinel:// or "
            f"rediss+sentinel://; it begins with {scheme or 'nothing'}://"
        )
    connection_class, options = _BY_SCHEME[scheme]
    if issubclass(connection_class, _BySentinel):
        url, sentinels = _through_sentinels(url)
        options = options | {"sentinels": sentinels}
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=50,
        timeout=20,
        socket_timeout=5,  # a peer that vanished without a word is noticed
        socket_connect_timeout=3,
        retry=Retry(ExponentialBackoff(cap=1, base=0.05), retries),
        retry_on_error=[RedisConnectionError, RedisTimeoutError, OSError],
        **options,
    )
    pool.connection_class = connection_class
    return ArqRedis(pool, job_serializer=to_json, job_deserializer=json.loads)


def _through_sentinels(url: str) -> tuple[str, _Sentinels]:
    """How to speak with the primary, as an address of its own kind; and whom to ask for it."""
    parts = urlsplit(url)
    scheme = parts.scheme.partition("+")[0]
    login, _, places = parts.netloc.rpartition("@")
    name, _, database = parts.path.strip("/").partition("/")
    try:
        found = [urlsplit(f"//{place}") for place in places.split(",")]
        addresses = tuple((each.hostname or "", each.port or 26379) for each in found)
    except ValueError:
        addresses = ()
    if not addresses or not all(host for host, _ in addresses) or not name:
        # Without what it is: a password with an @ or a / in it would be shown.
        raise ValueError(
            "REDIS_URL for Sentinels must read redis+sentinel://:password@host:26379,host:26379/"
            "NAME, where NAME is what they call the primary; write / and @ in a password as %2F "
            "and %40."
        )
    query = dict(parse_qsl(parts.query))
    own = {
        option: query.pop(f"sentinel_{option}")
        for option in ("username", "password")
        if f"sentinel_{option}" in query
    }
    host, port = addresses[0]
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    plain = f"{scheme}://{login}@{place}/{database or 0}?{urlencode(query)}"
    tls = {key: value for key, value in parse_url(plain).items() if key.startswith("ssl_")}
    kind, options = (_Tls, _TLS) if scheme == "rediss" else (_Tcp, _TCP)
    timeouts = {"socket_timeout": 1, "socket_connect_timeout": 1}  # of several, one answers
    return plain, _Sentinels(name, addresses, kind, options | timeouts | tls | own)


def to_json(data: dict[str, Any]) -> bytes:
    # Never pickle: whoever can write to Redis would own us.
    return json.dumps(data, default=repr).encode()


class Scripts:
    """Lua by name. They find all in ARGV: one server holds all keys, so none has to be declared."""

    def __init__(self, redis: ArqRedis, texts: Mapping[str, str]) -> None:
        self._scripts = {name: redis.register_script(text) for name, text in texts.items()}

    async def run(self, script: str, *args: str | bytes | float) -> Any:
        """The raw answer. Raises StoreUnreachable and StoreFull."""
        with told():
            return await self._scripts[script](args=args)


@contextmanager
def told() -> Iterator[None]:
    """Redis's errors in our words."""
    try:
        yield
    except OutOfMemoryError as error:
        raise StoreFull(
            "There is no room left to keep this; the operator must give Redis more memory."
        ) from error
    except _TakesNothing as error:
        raise StoreUnreachable(
            "The job store (Redis) takes nothing in; the operator finds the reason in its log."
        ) from error
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise StoreUnreachable("The job store (Redis) does not answer; try again soon.") from error
