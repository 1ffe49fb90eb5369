"""Worker processes that are killed, frozen and told to stop: their jobs go on elsewhere, once."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest
from queue_world import Server, cancel_asked, eventually, field_of, start

from jobs.events import Claimed, Finished, StepCommitted
from jobs.queue.store import Store, job_id_of

LEASE = 1.5
Spawn = Callable[[], Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def spawn(server: Server) -> AsyncIterator[Spawn]:
    async with AsyncExitStack() as stack:

        async def end(process: asyncio.subprocess.Process) -> None:
            if process.returncode is None:
                process.kill()
            await process.wait()

        async def spawn() -> asyncio.subprocess.Process:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(Path(__file__).with_name("queue_worker_process.py")),
                server.url,
                str(LEASE),
                stdout=asyncio.subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            )
            stack.push_async_callback(end, process)
            assert process.stdout
            assert await process.stdout.readline() == b"ready\n"
            return process

        yield spawn


async def submit(store: Store, key: str, text: str, issue: int | None = None) -> str:
    command = start(key, issue)
    object.__setattr__(command, "text", text)
    await store.submit(command, time.time())
    return job_id_of(key)


async def claims(store: Store, job_id: str) -> list[Claimed]:
    return [e for _, e in await store.history(job_id) if isinstance(e, Claimed)]


async def assert_told_once(store: Store, job_id: str, outcome: str = "succeeded") -> None:
    """Steps 1..N once each, one end, growing tokens."""
    events = [event for _, event in await store.history(job_id)]
    job = await store.load(job_id)
    steps = [event.number for event in events if isinstance(event, StepCommitted)]
    assert steps == list(range(1, len(steps) + 1))
    assert sum(isinstance(event, Finished) for event in events) == 1
    assert job.state == outcome
    tokens = [claim.token for claim in await claims(store, job_id)]
    assert tokens == sorted(set(tokens))
    if outcome == "succeeded":
        assert len(steps) == len(job.command.text.split())


async def ended(store: Store, *job_ids: str) -> None:
    for job_id in job_ids:

        async def over(job_id: str = job_id) -> bool:
            return not await store.wanted(job_id)

        await eventually(over)


async def at_rest(store: Store) -> None:
    """Nothing is left in any queue, and no lock."""

    async def empty() -> bool:
        locks = [key async for key in store.redis.scan_iter(match="arq:in-progress:*")]
        running = [key async for key in store.redis.scan_iter(match="vc:running:*")]
        return not (locks or running or await store.redis.zcard("arq:queue"))

    await eventually(empty)
    assert await store.unsettled() == []
    assert await store.redis.zcard("vc:active") == 0
    assert [key async for key in store.redis.scan_iter(match="arq:job:*")] == []


async def test_a_killed_workers_job_is_taken_over(store: Store, spawn: Spawn) -> None:
    first = await spawn()
    job_id = await submit(store, "k", "work work hang work")
    await eventually(lambda: steps_are(store, job_id, 2))
    first.kill()
    assert [claim.worker for claim in await claims(store, job_id)] == [str(first.pid)]
    second = await spawn()
    await eventually(lambda: claims_are(store, job_id, 2))
    assert (await claims(store, job_id))[-1].worker == str(second.pid)
    assert (await claims(store, job_id))[1].token > (await claims(store, job_id))[0].token
    await store.append(job_id, [cancel_asked()])
    await ended(store, job_id)
    await assert_told_once(store, job_id, "cancelled")
    await at_rest(store)


async def steps_are(store: Store, job_id: str, count: int) -> bool:
    return len((await store.load(job_id)).commits) == count


async def claims_are(store: Store, job_id: str, count: int) -> bool:
    return len(await claims(store, job_id)) == count


async def test_a_stopped_worker_hands_over_without_costing_a_try(
    store: Store, spawn: Spawn
) -> None:
    job_id = await submit(store, "k", "work hang")
    for n in range(1, 6):
        worker = await spawn()
        await eventually(partial(claims_are, store, job_id, n))
        worker.send_signal(signal.SIGTERM)
        # Well within the lease: had it been left to lapse, this would not be there yet.
        await asyncio.wait_for(worker.wait(), LEASE)
        assert worker.returncode == 0
        assert not await store.redis.exists(f"arq:in-progress:{job_id}.1.11.22")
        assert await field_of(store, f"vc:rec:{job_id}", "attempts") == b"0"
    await spawn()
    await eventually(lambda: claims_are(store, job_id, 6))
    await store.append(job_id, [cancel_asked()])
    await ended(store, job_id)
    await assert_told_once(store, job_id, "cancelled")
    await at_rest(store)


async def test_a_frozen_worker_wakes_up_to_a_lost_lease(store: Store, spawn: Spawn) -> None:
    first = await spawn()
    job_id = await submit(store, "k", "work hang")
    await eventually(lambda: claims_are(store, job_id, 1))
    first.send_signal(signal.SIGSTOP)
    await spawn()
    await eventually(lambda: claims_are(store, job_id, 2))
    first.send_signal(signal.SIGCONT)
    await store.append(job_id, [cancel_asked()])
    await ended(store, job_id)
    await assert_told_once(store, job_id, "cancelled")
    await at_rest(store)
    assert first.returncode is None


async def test_a_worker_that_blocks_itself_goes_on_where_nobody_took_over(
    store: Store, spawn: Spawn
) -> None:
    await spawn()
    job_id = await submit(store, "k", "work block work")
    await ended(store, job_id)
    await assert_told_once(store, job_id)
    assert len(await claims(store, job_id)) == 1
    await at_rest(store)


async def test_a_job_that_kills_its_workers_is_failed(store: Store, spawn: Spawn) -> None:
    job_id = await submit(store, "k", "work die")
    for _ in range(3):
        worker = await spawn()
        assert await asyncio.wait_for(worker.wait(), 20) == 9
    await spawn()
    await ended(store, job_id)
    await assert_told_once(store, job_id, "failed")
    # The first step was progress, so three claims were made after it, and none for the failing.
    assert len(await claims(store, job_id)) == 3
    await at_rest(store)


async def test_nothing_is_lost_or_doubled_when_all_workers_die_again_and_again(
    store: Store, spawn: Spawn
) -> None:
    workers = [await spawn(), await spawn()]
    job_ids = [await submit(store, f"k{n}", "toil " * 6) for n in range(20)]
    for _ in range(3):
        await eventually(partial(some_steps_more, store, await steps(store)))
        workers.pop(0).kill()
        workers.append(await spawn())
    await ended(store, *job_ids)
    for job_id in job_ids:
        await assert_told_once(store, job_id)
    await at_rest(store)


async def steps(store: Store) -> int:
    return sum(len(job.commits) for job in await store.jobs())


async def some_steps_more(store: Store, before: int) -> bool:
    return await steps(store) >= before + 5


@pytest.mark.parametrize("away", [0, 2 * LEASE])
async def test_work_goes_on_after_redis_was_killed(
    store: Store, spawn: Spawn, server: Server, away: float
) -> None:
    first, second = await spawn(), await spawn()
    hanging = await submit(store, "hanging", "work hang")
    await eventually(lambda: claims_are(store, hanging, 1))
    await eventually(lambda: steps_are(store, hanging, 1))
    await store.redis.execute_command("WAITAOF", 1, 0, 2_000)  # type: ignore[no-untyped-call]
    server.kill()
    await asyncio.sleep(away)  # not to wait for something: this is how long nothing answers
    server.start()
    job_id = await submit(store, "next", "work work")
    await ended(store, job_id)
    await assert_told_once(store, job_id)
    assert len(await claims(store, hanging)) == 1
    assert first.returncode is None and second.returncode is None
    await store.append(hanging, [cancel_asked()])
    await ended(store, hanging)
    await assert_told_once(store, hanging, "cancelled")
    await at_rest(store)
