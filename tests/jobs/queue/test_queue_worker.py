"""One worker in this process: what it picks, in which order, and what it makes of failures."""

import asyncio
import hashlib
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

import pytest
from arq.jobs import serialize_job
from arq.worker import Worker
from queue_world import (
    ANN,
    REPOSITORY,
    approved,
    cancel_asked,
    eventually,
    field_of,
    finished,
    make_job,
    planned,
    start,
)

from jobs.commands import CancelJob, Ignored
from jobs.events import Claimed, Received
from jobs.queue import worker as worker_module
from jobs.queue.errors import LeaseLost, Newer, TryLater
from jobs.queue.lease import Lease, LeasedWorker
from jobs.queue.store import Delivery, Store, command_id_of, job_id_of
from jobs.queue.sweep import Round, sweep
from jobs.queue.worker import Handlers, make_worker

T = TypeVar("T")


class Work:
    """Handlers that note what they were given; `on_run` and `on_settle` may be replaced."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.runs: asyncio.Queue[Lease] = asyncio.Queue()
        self.settles: asyncio.Queue[str] = asyncio.Queue()
        self.poisons: asyncio.Queue[str] = asyncio.Queue()
        self.given: asyncio.Queue[str] = asyncio.Queue()
        self.on_run: Callable[[Lease], Awaitable[None]] = self.end
        self.on_settle: Callable[[str], Awaitable[None]] = self.follow

    async def end(self, lease: Lease) -> None:
        await self.store.append(lease.id, [finished()], token=lease.token)

    async def follow(self, command_id: str) -> None:
        await self.store.settle(command_id, "followed")

    async def settle(self, lease: Lease) -> None:
        self.settles.put_nowait(lease.id)
        await self.on_settle(lease.id)

    async def run(self, lease: Lease) -> None:
        self.runs.put_nowait(lease)
        await self.on_run(lease)

    async def poisoned(self, lease: Lease) -> None:
        self.poisons.put_nowait(lease.id)
        await self.end(lease)

    async def given_up(self, lease: Lease) -> None:
        self.given.put_nowait(lease.id)


@pytest.fixture
def work(store: Store) -> Work:
    return Work(store)


@asynccontextmanager
async def working(
    work: Work,
    *,
    concurrency: int = 10,
    per_installation: int = 5,
    per_repository: int = 5,
    lease_seconds: float = 5,
    parse: Callable[[Delivery], str | CancelJob] | None = None,
) -> AsyncIterator[LeasedWorker]:
    worker = make_worker(
        work.store,
        Handlers(work.settle, work.run, work.poisoned, work.given_up, parse),
        concurrency=concurrency,
        per_installation=per_installation,
        per_repository=per_repository,
        lease_seconds=lease_seconds,
        sweep_seconds=0.1,
        handle_signals=False,
    )
    task = asyncio.create_task(worker.async_run())
    try:
        yield worker
    finally:
        await worker.close()
        await task


async def soon(answer: Awaitable[T]) -> T:
    return await asyncio.wait_for(answer, 20)


async def test_a_command_and_its_job_come_through(store: Store, work: Work) -> None:
    async def follow(command_id: str) -> None:
        submitted = await store.submitted(command_id)
        assert submitted.job_id
        await store.enqueue_run(submitted.job_id)
        await store.settle(command_id, "followed")

    work.on_settle = follow
    async with working(work):
        await store.submit(start("k"), time.time())
        assert await soon(work.settles.get()) == command_id_of("k")
        lease = await soon(work.runs.get())
        assert (lease.id, lease.attempt, lease.cancelled) == (job_id_of("k"), 1, False)
        await eventually(lambda: entries_are(store, 0))
    assert (await store.load(job_id_of("k"))).state == "succeeded"
    assert [key async for key in store.redis.scan_iter(match="arq:*")] == []


async def test_a_new_entry_wakes_an_idle_worker(store: Store, work: Work) -> None:
    # A worker whose next look at the queue is minutes away.
    async with working(work, lease_seconds=3_000):
        for n in range(3):
            await store.submit(start(f"k{n}"), time.time())
            await soon(work.settles.get())


async def test_a_stop_never_waits_behind_running_jobs(store: Store, work: Work) -> None:
    async def hang(lease: Lease) -> None:
        await asyncio.Event().wait()

    work.on_run = hang
    for n in range(3):
        await make_job(store, f"k{n}")
    async with working(work, concurrency=2):
        first = (await soon(work.runs.get())).id
        await soon(work.runs.get())
        stop = CancelJob("stop", ANN, REPOSITORY, job_id=first)
        await store.submit(stop, time.time())
        await soon(work.settles.get())
        assert work.runs.empty()


async def test_cancel_reaches_the_run_and_is_told_from_a_shutdown(store: Store, work: Work) -> None:
    told: list[bool] = []

    async def hang(lease: Lease) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.append(lease.cancelled)
            if lease.cancelled:
                await work.end(lease)
            raise

    work.on_run = hang
    stopped, handed_over = await make_job(store, "a"), await make_job(store, "b")
    async with working(work):
        leases = [await soon(work.runs.get()) for _ in range(2)]
        assert not any(lease.cancelled for lease in leases)
        await store.append(stopped, [cancel_asked()])
        await eventually(lambda: is_ended(store, stopped))
        await eventually(lambda: entries_are(store, 1))
        assert told == [True]
    assert told == [True, False]
    assert await store.wanted(handed_over)
    assert await entries_are(store, 1)
    assert await field_of(store, f"vc:rec:{handed_over}", "attempts") == b"0"


async def is_ended(store: Store, job_id: str) -> bool:
    return not await store.wanted(job_id)


async def entries_are(store: Store, count: int) -> bool:
    return bool(await store.redis.zcard("arq:queue") == count)


async def test_a_stop_that_was_asked_before_the_claim_is_known_from_the_start(
    store: Store, work: Work
) -> None:
    job_id = await make_job(store, "k")
    await store.append(job_id, [cancel_asked()])
    async with working(work):
        assert (await soon(work.runs.get())).cancelled
        await eventually(lambda: is_ended(store, job_id))


async def test_guard_refuses_once_another_worker_has_the_job(store: Store, work: Work) -> None:
    go, seen = asyncio.Event(), asyncio.Queue[str]()

    async def write_late(lease: Lease) -> None:
        if lease.attempt > 1:
            return await work.end(lease)
        await lease.guard()
        await go.wait()
        lease.until = 0  # as after a long freeze
        try:
            await lease.guard()
        except LeaseLost:
            seen.put_nowait("guard refused")
        try:
            await store.append(lease.id, [Claimed(1, "w", lease.token)], token=lease.token)
        except LeaseLost:
            seen.put_nowait("store refused")
            raise
        return None

    work.on_run = write_late
    job_id = await make_job(store, "k")
    async with working(work, lease_seconds=5):
        lease = await soon(work.runs.get())
        # What another worker's claim leaves behind.
        await store.run("RELEASE", lease._renew.__self__.name, lease.entry)  # type: ignore[attr-defined]
        await store.redis.set(f"arq:in-progress:{lease.entry}", "1", px=300)
        await store.run("CLAIM", lease.entry, "other", 300, time.time() * 1000, 5, 5)
        go.set()
        assert await soon(seen.get()) == "guard refused"
        assert await soon(seen.get()) == "store refused"
        await eventually(lambda: is_ended(store, job_id))
    assert len(await store.history(job_id)) == 2


async def test_one_job_is_never_run_twice_at_a_time(store: Store, work: Work) -> None:
    gate = asyncio.Event()

    async def wait_for_approval(lease: Lease) -> None:
        if (await store.load(lease.id)).approved_by:
            return await work.end(lease)
        await store.append(lease.id, [planned(waits=True)], token=lease.token)
        await gate.wait()
        await lease.guard()
        return None

    work.on_run = wait_for_approval
    job_id = await make_job(store, "k")
    async with working(work):
        first = await soon(work.runs.get())
        await eventually(lambda: events_are(store, job_id, 2))
        # The approval comes while the run that asked for it is still at it.
        await store.append(job_id, [approved()], run=True)
        assert await entries_are(store, 2)
        await store.redis.set(f"arq:in-progress:{job_id}.2.11.22", "1", px=2_000)
        claim = await store.run(
            "CLAIM", f"{job_id}.2.11.22", "other", 2_000, time.time() * 1000, 5, 5
        )
        assert claim == [b"later"]
        assert not first.lost
        gate.set()
        assert (await soon(work.runs.get())).token > first.token
        await eventually(lambda: entries_are(store, 0))
    assert await is_ended(store, job_id)


async def events_are(store: Store, job_id: str, count: int) -> bool:
    return len(await store.history(job_id)) == count


async def test_a_noisy_installation_does_not_delay_the_others(store: Store, work: Work) -> None:
    running: dict[str, int] = {}
    most: dict[str, int] = {}
    gate = asyncio.Event()

    async def hang(lease: Lease) -> None:
        group = lease.entry.split(".")[2]
        running[group] = running.get(group, 0) + 1
        most[group] = max(most.get(group, 0), running[group])
        await gate.wait()
        running[group] -= 1
        await work.end(lease)

    work.on_run = hang
    noisy = [await make_job(store, f"noisy{n}", installation=1) for n in range(30)]
    quiet = [await make_job(store, f"quiet{n}", None, 2 + n, 30 + n) for n in range(4)]
    async with working(work, concurrency=8, per_installation=3):
        first = {(await soon(work.runs.get())).id for _ in range(7)}
        assert first >= set(quiet)
        assert len(first & set(noisy)) == 3
        gate.set()
        for job_id in noisy + quiet:
            await eventually(partial(is_ended, store, job_id))
    assert most["1"] == 3
    assert [key async for key in store.redis.scan_iter(match="vc:running:*")] == []


async def test_a_noisy_repository_leaves_room_for_its_neighbours(store: Store, work: Work) -> None:
    gate = asyncio.Event()

    async def hang(lease: Lease) -> None:
        await gate.wait()
        await work.end(lease)

    work.on_run = hang
    noisy = [await make_job(store, f"noisy{n}") for n in range(6)]
    quiet = [await make_job(store, f"quiet{n}", repository=33) for n in range(2)]
    async with working(work, per_installation=4, per_repository=2):
        first = {(await soon(work.runs.get())).id for _ in range(4)}
        assert first == {*noisy[:2], *quiet}
        gate.set()
        for job_id in noisy + quiet:
            await eventually(partial(is_ended, store, job_id))
    assert [key async for key in store.redis.scan_iter(match="vc:running:*")] == []


async def test_an_emptied_store_runs_no_job_before_it_was_looked_over(
    store: Store, work: Work
) -> None:
    await store.redis.delete("vc:store")
    job_id = await make_job(store, "k")
    command_id = (await store.submit(start("stop"), time.time())).command_id
    async with working(work):
        assert await soon(work.settles.get()) == command_id
        assert work.runs.empty()
        # It was begun before the loss, and waited.
        begun = [Received(1.0, start("k")), planned(waits=True)]
        assert await store.restore(job_id, begun)
        await store.mark(await store.begin_marking())
        await eventually(lambda: queue_is_empty(store))
    assert (await store.load(job_id)).state == "awaiting_approval"
    assert not await store.restore(job_id, begun)


async def queue_is_empty(store: Store) -> bool:
    return not await store.redis.zcard("arq:queue")


async def test_an_entry_of_an_older_version_is_worked_on(store: Store, work: Work) -> None:
    job_id = await make_job(store, "k")
    # Before 0.2 an entry named its installation alone.
    await store.redis.hset(f"vc:rec:{job_id}", mapping={"entry": f"{job_id}.1.11", "group": "11"})
    await store.redis.rename(f"arq:job:{job_id}.1.11.22", f"arq:job:{job_id}.1.11")
    await store.redis.zrem("arq:queue", f"{job_id}.1.11.22")
    await store.redis.zadd("arq:queue", {f"{job_id}.1.11": 1})
    async with working(work):
        assert (await soon(work.runs.get())).entry == f"{job_id}.1.11"
        await eventually(lambda: is_ended(store, job_id))
    assert [key async for key in store.redis.scan_iter(match="vc:running:*")] == []


async def test_what_a_newer_version_wrote_is_left_to_its_workers(store: Store, work: Work) -> None:
    async def read(lease: Lease) -> None:
        await store.load(lease.id)
        await work.end(lease)

    work.on_run = read
    newer, job_id = await make_job(store, "newer"), await make_job(store, "k")
    await store.redis.xadd(f"vc:events:{newer}", {"e": '{"type":"levitated","at":1.0}'})
    async with working(work):
        assert {(await soon(work.runs.get())).id for _ in range(2)} == {newer, job_id}
        await eventually(lambda: is_ended(store, job_id))

        async def given_back() -> bool:
            return await field_of(store, f"vc:rec:{newer}", "holder") == b""

        await eventually(given_back)
    assert await field_of(store, f"vc:rec:{newer}", "attempts") == b"0"
    assert not await is_ended(store, newer)
    with pytest.raises(Newer):
        await store.load(newer)


async def test_a_settled_command_is_settled_again_where_a_late_answer_is_feared(
    store: Store, work: Work
) -> None:
    command_id = (await store.submit(start("k"), time.time())).command_id
    async with working(work):
        assert await soon(work.settles.get()) == command_id
        await eventually(lambda: store.settled(command_id))
        await store.settle_again(command_id)
        assert await soon(work.settles.get()) == command_id
        await eventually(lambda: queue_is_empty(store))
    assert work.settles.empty()


async def test_a_handler_that_raises_is_tried_again_and_then_poisoned(
    store: Store, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "pause", lambda attempt: 0.01)

    async def fail(_: object) -> None:
        raise RuntimeError("no")

    work.on_run = work.on_settle = fail
    job_id = await make_job(store, "k")
    await store.submit(start("c", issue=9), time.time())
    async with working(work):
        assert await soon(work.poisons.get()) == job_id
        assert await soon(work.given.get()) == command_id_of("c")
        await eventually(lambda: entries_are(store, 0))
    assert [work.runs.get_nowait().attempt for _ in range(work.runs.qsize())] == [1, 2, 3]
    assert work.settles.qsize() == 3
    assert await store.settled(command_id_of("c")) == "given up after 3 attempts"


async def test_what_is_put_off_costs_no_attempt(store: Store, work: Work) -> None:
    async def github_is_away(lease: Lease) -> None:
        raise TryLater("GitHub does not answer.", seconds=0.01)

    work.on_run = github_is_away
    job_id = await make_job(store, "k")
    async with working(work, lease_seconds=1):
        for _ in range(6):
            assert (await soon(work.runs.get())).attempt == 1
        work.on_run = work.end
        await eventually(lambda: entries_are(store, 0))
    assert await is_ended(store, job_id)
    assert work.poisons.empty()


async def test_a_stop_does_not_wait_for_a_put_off_job(store: Store, work: Work) -> None:
    async def github_is_away(lease: Lease) -> None:
        if lease.cancelled:
            return await work.end(lease)
        raise TryLater("GitHub does not answer.", seconds=1_000)

    work.on_run = github_is_away
    job_id = await make_job(store, "k")
    async with working(work):
        entry = (await soon(work.runs.get())).entry
        await eventually(lambda: is_deferred(store, entry))
        await store.append(job_id, [cancel_asked()])
        await eventually(lambda: is_ended(store, job_id))


async def test_living_workers_are_known(store: Store, work: Work) -> None:
    async with working(work) as one, working(work) as two:
        await eventually(lambda: workers_are(store, {one.name, two.name}))
    assert await store.workers() == []


async def workers_are(store: Store, names: set[str]) -> bool:
    return set(await store.workers()) == names


async def test_an_ended_job_still_gets_its_last_word(store: Store, work: Work) -> None:
    async def crash_after_the_end(lease: Lease) -> None:
        if not (await store.load(lease.id)).ended:
            await work.end(lease)
            raise LeaseLost("as if the worker had died here")

    work.on_run = crash_after_the_end
    await make_job(store, "k")
    async with working(work):
        assert [(await soon(work.runs.get())).attempt for _ in range(2)] == [1, 2]
        await eventually(lambda: entries_are(store, 0))


async def test_entries_of_another_version_are_left_to_it(store: Store, work: Work) -> None:
    job_id = await make_job(store, "k")
    entry = f"{job_id}.1.11.22"
    for function, kind in (("act_v2", "run"), ("act", "dance")):
        payload = serialize_job(
            function, (kind, job_id), {}, None, 1, serializer=store.redis.job_serializer
        )
        assert payload
        await store.redis.set(f"arq:job:{entry}", payload, px=60_000)
        await store.redis.zadd("arq:queue", {entry: 1})
        async with working(work):
            await eventually(lambda: is_deferred(store, entry))
        assert await field_of(store, f"vc:rec:{job_id}", "attempts") == b"0"
        assert await store.redis.exists(f"arq:job:{entry}")
    assert work.runs.empty()


async def is_deferred(store: Store, entry: str) -> bool:
    score = await store.redis.zscore("arq:queue", entry)
    assert score is not None, "the entry was deleted"
    locked = await store.redis.exists(f"arq:in-progress:{entry}")
    return bool(score > time.time() * 1000 and not locked)


async def test_the_sweep_puts_back_what_a_crash_lost(store: Store) -> None:
    job_id = await make_job(store, "queued")
    command_id = (await store.submit(start("open"), time.time())).command_id
    not_yet_allowed = job_id_of("open")
    waiting = await make_job(store, "waiting")
    await store.append(waiting, [planned(waits=True)])
    ended = await make_job(store, "ended")
    await store.append(ended, [finished()])
    assert await sweep(store, None) == []

    for key in [key async for key in store.redis.scan_iter(match="arq:*")]:
        await store.redis.delete(key)
    assert set(await sweep(store, None)) == {job_id, command_id}
    assert await sweep(store, None) == []
    # Under an id that was never used, because arq remembers by id.
    entries = {raw.decode() for raw in await store.redis.zrange("arq:queue", 0, -1)}
    assert entries == {f"{job_id}.2.11.22", f"{command_id}.2.11.22"}
    assert await store.wanted(not_yet_allowed)

    for key in [key async for key in store.redis.scan_iter(match="arq:job:*")]:
        await store.redis.delete(key)  # the entry is there and its payload is not
    assert set(await sweep(store, None)) == {job_id, command_id}


async def test_an_entry_whose_payload_expired_is_run_all_the_same(store: Store, work: Work) -> None:
    job_id = await make_job(store, "k")
    await store.redis.delete(f"arq:job:{job_id}.1.11.22")
    async with working(work):
        assert (await soon(work.runs.get())).id == job_id
        await eventually(lambda: entries_are(store, 0))


async def test_deliveries_that_nobody_parsed_become_commands(store: Store, work: Work) -> None:
    def parse(delivery: Delivery) -> Ignored | CancelJob:
        match delivery.body:
            case b"stop":
                return CancelJob(delivery.guid, ANN, REPOSITORY, job_id=job_id_of("k"))
            case b"ignore":
                return Ignored("ignored: not for us")
            case _:
                raise TypeError("the parser's own bug")

    long_ago = time.time() - 60
    for guid, body in (("g1", b"broken"), ("g2", b"ignore"), ("g3", b"stop")):
        await store.keep_delivery(Delivery(guid, "issue_comment", body, long_ago))
    await store.keep_delivery(Delivery("g4", "issue_comment", b"stop", time.time() + 60))
    async with working(work, parse=parse):
        assert await soon(work.settles.get()) == command_id_of("g3")
        await eventually(lambda: deliveries_are(store, 1))
    assert await store.verdict("g1") == "unreadable: TypeError"
    assert await store.verdict("g2") == "ignored: not for us"
    assert await store.verdict("g3") == f"command {command_id_of('g3')}"
    assert await store.verdict("g4") is None


async def deliveries_are(store: Store, count: int) -> bool:
    return bool(await store.redis.zcard("vc:deliveries") == count)


async def test_the_sandboxes_of_unwanted_jobs_are_swept(store: Store, work: Work) -> None:
    alive = await make_job(store, "alive")
    ended = await make_job(store, "ended")
    await store.append(ended, [finished()])
    killed: asyncio.Queue[list[str]] = asyncio.Queue()

    async def swept(wanted: Callable[[str], Awaitable[bool]]) -> None:
        boxes = [alive, ended, job_id_of("unknown")]
        killed.put_nowait([box for box in boxes if not await wanted(box)])

    async def hang(lease: Lease) -> None:
        await asyncio.Event().wait()

    rounds = (Round("sandboxes", 60, partial(swept, store.wanted)),)
    handlers = Handlers(work.settle, hang, work.poisoned, work.given_up, rounds=rounds)
    worker = make_worker(store, handlers, handle_signals=False)
    task = asyncio.create_task(worker.async_run())
    assert await soon(killed.get()) == [ended, job_id_of("unknown")]
    await worker.close()
    await task


def test_arq_is_the_one_that_was_measured() -> None:
    """These are no public interface: read what changed before renewing the digest."""
    built_upon = "_poll_iteration start_jobs run_job finish_job finish_failed_job heart_beat"
    methods = [getattr(Worker, name) for name in built_upon.split()]
    source = "".join(inspect.getsource(method) for method in [*methods, serialize_job])
    digest = hashlib.sha256(source.encode()).hexdigest()
    assert digest == "f1dc069dfb9d8313db965a4c54b3155bbca838740a7c3eeca6d45f79ab0914f3"
