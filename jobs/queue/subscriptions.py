"""The browsers that want to be told, by person. One lives no longer than the session that made it.

The session is looked at whenever a subscription is read, so that signing out, or being signed out,
needs to know nothing of this.

    vc:subscription:<id>      hash: `person` (GitHub's id), `session` (empty: none), `browser`
    vc:subscriptions:<person> zset of a person's subscriptions by when they were last made
"""

import hashlib
import time
from dataclasses import dataclass

from pydantic import TypeAdapter

from jobs.queue.connection import Scripts, told
from jobs.queue.store import Store
from jobs.webpush import Browser

# A browser belongs to whoever subscribed it last. -> how many that person has
_ADD = """
local id, person, session, browser, now, most, keep = unpack(ARGV)
local key, all = 'vc:subscription:' .. id, 'vc:subscriptions:' .. person
local before = redis.call('HGET', key, 'person')
if before and before ~= person then redis.call('ZREM', 'vc:subscriptions:' .. before, id) end
redis.call('HSET', key, 'person', person, 'session', session, 'browser', browser)
redis.call('EXPIRE', key, keep)
redis.call('ZADD', all, now, id)
redis.call('EXPIRE', all, keep)
for _, oldest in ipairs(redis.call('ZRANGE', all, 0, -1 - most)) do
  redis.call('DEL', 'vc:subscription:' .. oldest)
  redis.call('ZREM', all, oldest)
end
return redis.call('ZCARD', all)
"""

# -> 1, or 0 where the person has none of that id
_DROP = """
local id, person = ARGV[1], ARGV[2]
if redis.call('HGET', 'vc:subscription:' .. id, 'person') ~= person then return 0 end
redis.call('DEL', 'vc:subscription:' .. id)
redis.call('ZREM', 'vc:subscriptions:' .. person, id)
return 1
"""

# -> {person, browser} | {}
_GET = """
local id = ARGV[1]
local key = 'vc:subscription:' .. id
local person, session, browser = unpack(redis.call('HMGET', key, 'person', 'session', 'browser'))
if not person then return {} end
if session ~= '' and redis.call('EXISTS', 'vc:session:' .. session) == 0 then
  redis.call('DEL', key)
  redis.call('ZREM', 'vc:subscriptions:' .. person, id)
  return {}
end
return {person, browser}
"""

KEPT = 30 * 86_400  # seconds since it was last made; the app makes it again with each start
MOST = 10  # of one person

_BROWSER: TypeAdapter[Browser] = TypeAdapter(Browser)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A person's browser."""

    id: str  # 20 hex digits, of the endpoint
    person: int  # GitHub's id
    browser: Browser


class Subscriptions:
    """All of them. Methods raise StoreUnreachable and StoreFull."""

    def __init__(self, store: Store) -> None:
        self._redis = store.redis
        scripts = {"add": _ADD, "drop": _DROP, "get": _GET}
        self._run = Scripts(self._redis, scripts).run

    async def add(self, person: int, browser: Browser, session: str = "") -> int:
        """Keeps it, from now on as this person's; how many that person has then.

        `session`: with which it ends; empty where there is none. The person's oldest one goes
        where there are ten.
        """
        return int(
            await self._run(
                "add",
                id_of(browser.endpoint),
                person,
                session,
                _BROWSER.dump_json(browser),
                time.time(),
                MOST,
                KEPT,
            )
        )

    async def drop(self, person: int, id_: str) -> bool:
        """False: this person has none of that id."""
        return bool(await self._run("drop", id_, person))

    async def get(self, id_: str) -> Subscription | None:
        """None: it was dropped, or its session ended."""
        found = await self._run("get", id_)
        if not found:
            return None
        return Subscription(id_, int(found[0]), _BROWSER.validate_json(found[1]))

    async def of(self, person: int) -> list[Subscription]:
        """A person's, in the order in which they were made."""
        with told():
            ids = await self._redis.zrange(f"vc:subscriptions:{person}", 0, -1)
        found = [await self.get(raw.decode()) for raw in ids]
        return [each for each in found if each is not None and each.person == person]

    async def drop_all(self, person: int) -> None:
        """Also those that no session made: the person wants nothing more of us."""
        for subscription in await self.of(person):
            await self.drop(person, subscription.id)


def id_of(endpoint: str) -> str:
    return hashlib.sha256(endpoint.encode()).hexdigest()[:20]
