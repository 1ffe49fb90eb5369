"""How we reach Redis, and its errors in our words."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from arq.connections import ArqRedis
from redis.asyncio import (
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError
from redis.exceptions import TimeoutError as RedisTimeoutError

from jobs.queue.errors import StoreFull, StoreUnreachable


class _Cancellable(AbstractConnection):
    """A connection in which a cancellation is never lost.

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


class _Unix(_Cancellable, UnixDomainSocketConnection):
    pass


class _Tcp(_Cancellable, Connection):
    pass


class _Tls(_Cancellable, SSLConnection):
    pass


_BY_SCHEME: dict[str, tuple[type[AbstractConnection], dict[str, Any]]] = {
    "unix": (_Unix, {}),  # which refuses the options of TCP
    "redis": (_Tcp, {"socket_keepalive": True}),
    "rediss": (_Tls, {"socket_keepalive": True, "ssl_check_hostname": True}),  # off in redis-py
}


def connect(url: str, *, retries: int = 600) -> ArqRedis:
    """A pool for `redis://`, `rediss://` or `unix://`; no connection is made yet.

    A command is tried again, at most a second apart, `retries` times while Redis is away: minutes
    for a worker, who must outlive a restart; about three times for a front door, who must answer.
    Raises ValueError for another kind of address. Cluster is not supported.
    """
    scheme = urlsplit(url).scheme
    if scheme not in _BY_SCHEME:
        raise ValueError(
            "REDIS_URL must begin with redis://, rediss:// or unix://; "
            f"it begins with {scheme or 'nothing'}://"
        )
    connection_class, options = _BY_SCHEME[scheme]
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


def to_json(data: dict[str, Any]) -> bytes:
    # Never pickle: whoever can write to Redis would own us.
    return json.dumps(data, default=repr).encode()


@contextmanager
def told() -> Iterator[None]:
    """Redis's errors in our words."""
    try:
        yield
    except OutOfMemoryError as error:
        raise StoreFull(
            "There is no room left to keep this; the operator must give Redis more memory."
        ) from error
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise StoreUnreachable("The job store (Redis) does not answer; try again soon.") from error
