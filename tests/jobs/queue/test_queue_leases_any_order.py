"""Whatever order claims, lapses, renewals, writes and repairs come in: one owner at a time."""

import asyncio
import time
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from queue_world import Server, fence_of, finished, make_job

from jobs.events import Noted
from jobs.queue.errors import LeaseLost
from jobs.queue.store import Store, connect
from jobs.queue.sweep import sweep

WORKERS = ("ann", "bob")
LONG = 60_000  # leases lapse here by deleting the lock, not by waiting


@dataclass
class World:
    """The store, and what each worker believes."""

    store: Store
    job_id: str
    beliefs: dict[str, tuple[str, int]] = field(default_factory=dict)  # worker: entry and token
    granted: list[int] = field(default_factory=list)

    async def entries(self) -> list[str]:
        queued = [raw.decode() for raw in await self.store.redis.zrange("arq:queue", 0, -1)]
        return [entry for entry in queued if entry.startswith(self.job_id)]

    async def owner(self) -> str | None:
        """The worker whose live lock carries the newest token."""
        owners = []
        for key in [key async for key in self.store.redis.scan_iter(match="arq:in-progress:j*")]:
            token, _, worker = (await self.store.redis.get(key)).decode().partition(":")
            if worker and int(token) == await fence_of(self.store, self.job_id):
                owners.append(worker)
        assert len(owners) <= 1
        return owners[0] if owners else None

    async def claim(self, worker: str, which: int) -> None:
        entries = await self.entries()
        if not entries:
            return
        entry = entries[which % len(entries)]
        owner = await self.owner()
        await self.store.redis.set(f"arq:in-progress:{entry}", "1", nx=True, px=LONG)
        answer = await self.store.run("CLAIM", entry, worker, LONG, time.time() * 1000, 5, 5)
        if len(answer) == 1:
            return
        assert owner in (None, worker), "a living owner was robbed"
        if owner == worker:  # the same claim again, as over a broken connection
            assert int(answer[0]) == self.granted[-1]
            return
        self.granted.append(int(answer[0]))
        self.beliefs[worker] = (entry, int(answer[0]))

    async def renew(self, worker: str) -> None:
        if worker not in self.beliefs:
            return
        entry, token = self.beliefs[worker]
        owner = await self.owner()
        (answer,) = await self.store.run(
            "RENEW", worker, LONG, time.time() * 1000, entry, str(token)
        )
        assert answer == 0 or owner in (None, worker)
        if answer:
            assert token == self.granted[-1]
            assert await self.owner() == worker

    async def write(self, worker: str) -> None:
        if worker not in self.beliefs:
            return
        _, token = self.beliefs[worker]
        try:
            await self.store.append(self.job_id, [Noted(0, worker)], token=token)
        except LeaseLost:
            assert token != self.granted[-1]
        else:
            assert token == self.granted[-1]

    async def finish(self, worker: str, outcome: str) -> None:
        if worker not in self.beliefs:
            return
        entry, token = self.beliefs[worker]
        owner = await self.owner()
        done = await self.store.run("FINISH", entry, worker, str(token), outcome, 0)
        assert not done or owner in (None, worker)
        if owner not in (None, worker):
            assert await self.owner() == owner, "a late finish let go of another's lease"

    async def lapse(self) -> None:
        for key in [key async for key in self.store.redis.scan_iter(match="arq:in-progress:*")]:
            await self.store.redis.delete(key)

    async def release(self, worker: str) -> None:
        owner = await self.owner()
        await self.store.run("RELEASE", worker, *await self.entries())
        if owner not in (None, worker):
            assert await self.owner() == owner

    async def lose_the_queue(self) -> None:
        await self.store.redis.delete("arq:queue")


worker = st.sampled_from(WORKERS)
step = st.one_of(
    st.tuples(st.just("claim"), worker, st.integers(0, 2)),
    st.tuples(st.just("renew"), worker),
    st.tuples(st.just("write"), worker),
    st.tuples(st.just("finish"), worker, st.sampled_from(["finish", "again", "refund"])),
    st.tuples(st.sampled_from(["lapse", "lapse", "enqueue", "sweep", "lose_the_queue"])),
    st.tuples(st.just("release"), worker),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(step, min_size=20, max_size=60))
def test_one_owner_at_a_time(server: Server, steps: list[tuple[str, ...]]) -> None:
    asyncio.run(_play(server, steps))


async def _play(server: Server, steps: list[tuple[str, ...]]) -> None:
    store = Store(connect(server.url, retries=0))
    try:
        await store.redis.flushall()
        world = World(store, await make_job(store, "k"))
        for name, *args in steps:
            match name:
                case "enqueue":
                    await store.enqueue_run(world.job_id)
                case "sweep":
                    await sweep(store, None)
                case _:
                    await getattr(world, name)(*args)
        assert world.granted == sorted(set(world.granted))
        await _at_last(world)
    finally:
        await store.close()


async def _at_last(world: World) -> None:
    """Whatever happened, a sweep and a worker bring the job to its end and leave nothing."""
    await world.lapse()
    await sweep(world.store, None)
    claims = len(world.granted)
    for which in range(len(await world.entries()) + 1):
        await world.claim("ann", -which - 1)
        await world.claim("ann", 0)
    assert len(world.granted) == claims + 1
    await world.store.append(world.job_id, [finished()], token=world.granted[-1])
    await world.finish("ann", "finish")
    assert await world.entries() == []
    assert await world.owner() is None
    assert await world.store.redis.zcard("vc:active") == 0
    assert not [key async for key in world.store.redis.scan_iter(match="vc:running:*")]
