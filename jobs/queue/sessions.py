"""Who is signed in, in Redis. A token is kept as its hash, what GitHub gave only as it was sealed.

vc:session:<hash>    hash: `person` (GitHub's id), `sealed`; ends 30 days after its last use
vc:session:<hash>:renewing  there while one process asks GitHub for new tokens
vc:sessions:<person> zset of a person's sessions by when they signed in
vc:once:<hash>       what can be taken once, within seconds
"""

from collections.abc import Iterable
from dataclasses import dataclass

from jobs.queue.connection import Scripts, told
from jobs.queue.store import Store

KEPT = 30 * 86_400  # seconds without use
# GitHub keeps this many tokens of a person for one App, and lets the oldest go beyond.
# https://docs.github.com/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
MOST = 10
RENEWING = 30  # seconds after which whoever asked GitHub for new tokens is taken for dead

_OPEN = """
local hash, person, sealed, now, kept, most = unpack(ARGV)
local key, all = 'vc:session:' .. hash, 'vc:sessions:' .. person
redis.call('HSET', key, 'person', person, 'sealed', sealed)
redis.call('EXPIRE', key, kept)
redis.call('ZADD', all, now, hash)
redis.call('EXPIRE', all, kept)
for _, other in ipairs(redis.call('ZRANGE', all, 0, -1)) do
  if redis.call('EXISTS', 'vc:session:' .. other) == 0 then redis.call('ZREM', all, other) end
end
for _, oldest in ipairs(redis.call('ZRANGE', all, 0, -1 - most)) do
  redis.call('DEL', 'vc:session:' .. oldest)
  redis.call('ZREM', all, oldest)
end
return 1
"""

# The time is only written again when an hour of it has gone: reading stays reading.
_LOAD = """
local key, kept = 'vc:session:' .. ARGV[1], tonumber(ARGV[2])
local person, sealed = unpack(redis.call('HMGET', key, 'person', 'sealed'))
if not person then return false end
if redis.call('TTL', key) < kept - 3600 then
  redis.call('EXPIRE', key, kept)
  redis.call('EXPIRE', 'vc:sessions:' .. person, kept)
end
return {person, sealed}
"""

_RENEWED = """
local key, mark, sealed = 'vc:session:' .. ARGV[1], ARGV[2], ARGV[3]
local lock = key .. ':renewing'
if redis.call('GET', lock) ~= mark or redis.call('EXISTS', key) == 0 then return 0 end
redis.call('HSET', key, 'sealed', sealed)
redis.call('DEL', lock)
return 1
"""

_LET_GO = """
local lock = 'vc:session:' .. ARGV[1] .. ':renewing'
if redis.call('GET', lock) == ARGV[2] then redis.call('DEL', lock) end
return 1
"""

_END = """
local key, sealed, mark = 'vc:session:' .. ARGV[1], ARGV[2], ARGV[3]
local renewing = redis.call('GET', key .. ':renewing')
if sealed ~= '' and renewing and renewing ~= mark then return 0 end
local person, standing = unpack(redis.call('HMGET', key, 'person', 'sealed'))
if not person or (sealed ~= '' and standing ~= sealed) then return 0 end
redis.call('DEL', key)
redis.call('ZREM', 'vc:sessions:' .. person, ARGV[1])
return 1
"""

_END_ALL = """
local all, ended = 'vc:sessions:' .. ARGV[1], 0
for _, hash in ipairs(redis.call('ZRANGE', all, 0, -1)) do
  ended = ended + redis.call('DEL', 'vc:session:' .. hash)
end
redis.call('DEL', all)
return ended
"""

_ENDED = """
local ended = {}
for _, hash in ipairs(ARGV) do
  if redis.call('EXISTS', 'vc:session:' .. hash) == 0 then ended[#ended + 1] = hash end
end
return ended
"""

_TAKE = """
local key = 'vc:once:' .. ARGV[1]
local value = redis.call('GET', key)
redis.call('DEL', key)
return value
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A session as it is kept."""

    person: int  # GitHub's id of whoever signed in
    sealed: bytes


class SessionStore:
    """All sessions. Methods raise StoreUnreachable and StoreFull."""

    def __init__(self, store: Store) -> None:
        self._redis = store.redis
        scripts = {"open": _OPEN, "load": _LOAD, "renewed": _RENEWED, "let_go": _LET_GO,
                   "end": _END, "end_all": _END_ALL, "ended": _ENDED, "take": _TAKE}  # fmt: skip
        self._run = Scripts(self._redis, scripts).run

    async def open(self, hash: str, person: int, sealed: bytes, now: float) -> None:
        """Keeps a new session. The person's oldest ends where there are ten already."""
        await self._run("open", hash, person, sealed, now, KEPT, MOST)

    async def load(self, hash: str) -> Kept | None:
        """The session, used just now; None where it ended."""
        found = await self._run("load", hash, KEPT)
        return None if found is None else Kept(int(found[0]), found[1])

    async def begin_renewing(self, hash: str, mark: str) -> bool:
        """False: another one is at it. Ends by itself after 30 seconds."""
        key = f"vc:session:{hash}:renewing"
        with told():
            if await self._redis.set(key, mark, nx=True, ex=RENEWING):
                return True
            # Perhaps it was we, and only the answer got lost.
            return bool(await self._redis.get(key) == mark.encode())

    async def renewed(self, hash: str, mark: str, sealed: bytes) -> bool:
        """Replaces what is sealed. False: the session ended, or another one took over."""
        return bool(await self._run("renewed", hash, mark, sealed))

    async def let_go(self, hash: str, mark: str) -> None:
        """Nothing was renewed, and the next one may try."""
        await self._run("let_go", hash, mark)

    async def end(self, hash: str, sealed: bytes = b"", mark: str = "") -> bool:
        """Ends it. With `sealed` only where that stands, and nobody else renews it just now.

        `mark`: of whoever renews it. False: it was not ended, or had been before.
        """
        return bool(await self._run("end", hash, sealed, mark))

    async def end_all(self, person: int) -> int:
        """Ends all sessions of a person; how many there were."""
        return int(await self._run("end_all", person))

    async def ended(self, hashes: Iterable[str]) -> list[str]:
        """Those of them that have ended; to look counts as no use."""
        return [raw.decode() for raw in await self._run("ended", *hashes)]

    async def keep_once(self, hash: str, value: bytes, seconds: int) -> None:
        """Something that `take_once` gives to the first who asks."""
        with told():
            await self._redis.set(f"vc:once:{hash}", value, ex=seconds)

    async def take_once(self, hash: str) -> bytes | None:
        """None: taken already, too late, or never there."""
        value: bytes | None = await self._run("take", hash)
        return value
