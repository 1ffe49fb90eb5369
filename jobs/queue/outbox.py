"""Who is still to be told of what. An entry is written with the event that it tells of.

An entry first names nobody; `spread` puts one in its place for each who is to be told. What is
taken is lent for a while, so that nothing is lost with whoever took it. It is only gone once it was
told, and so may be told twice where its teller died in between: there is no other way.
"""

from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import cast

from jobs.queue.connection import Scripts, told
from jobs.queue.scripts import PRELUDE
from jobs.queue.store import Store

# All of it goes on where Redis is full: SPREAD because it begins with what takes no memory.
_TAKE = """
if redis.call('EXISTS', 'vc:outbox') == 0 then return {} end
even_when_full()
local lent_ms, most = tonumber(ARGV[1]), ARGV[2]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local due = redis.call('ZRANGE', 'vc:outbox', '-inf', now, 'BYSCORE', 'LIMIT', 0, most)
for _, member in ipairs(due) do redis.call('ZADD', 'vc:outbox', now + lent_ms, member) end
return due
"""

# Only one of several that found out whom to tell says so.
_SPREAD = """
if redis.call('ZREM', 'vc:outbox', ARGV[1]) == 0 then return 0 end
for i = 2, #ARGV do redis.call('ZADD', 'vc:outbox', 'NX', 0, ARGV[1] .. ARGV[i]) end
wake('o')
return 1
"""

_PUT_OFF = """
even_when_full()
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
return redis.call('ZADD', 'vc:outbox', 'XX', now + ARGV[2], ARGV[1])
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody to be told of an event."""

    job_id: str
    event_id: str
    whom: str  # empty: not known yet

    @property
    def at(self) -> float:
        """When the event happened: seconds since the epoch, by Redis's clock."""
        return int(self.event_id.partition("-")[0]) / 1000

    def __str__(self) -> str:
        return f"{self.job_id}|{self.event_id}|{self.whom}"


class Outbox:
    """All that is to be told. Methods raise StoreUnreachable and StoreFull."""

    def __init__(self, store: Store) -> None:
        self._redis = store.redis
        scripts = {
            name: PRELUDE + text
            for name, text in {"take": _TAKE, "spread": _SPREAD, "put_off": _PUT_OFF}.items()
        }
        self._run = Scripts(self._redis, scripts).run

    async def take(self, most: int, seconds: float) -> list[Entry]:
        """What is due, lent for so many seconds."""
        members = await self._run("take", int(seconds * 1000), most)
        return [Entry(*member.decode().split("|", 2)) for member in members]

    async def spread(self, entry: Entry, whom: Iterable[str]) -> None:
        """In place of an entry that names nobody, one for each of these."""
        await self._run("spread", str(entry), *whom)

    async def done(self, entry: Entry) -> None:
        with told():
            await self._redis.zrem("vc:outbox", str(entry))

    async def put_off(self, entry: Entry, seconds: float) -> None:
        await self._run("put_off", str(entry), int(seconds * 1000))

    async def wait(self, seconds: float) -> None:
        """Until there is something new, but no longer than that (at most 3 seconds)."""
        # Longer, and the pool's socket timeout would take silence for a dead peer.
        seconds = cast(int, min(seconds, 3))  # redis-py knows of whole ones only
        waiting = self._redis.blpop(["vc:wake:o"], timeout=seconds)
        with told():
            await cast(Awaitable[object], waiting)
