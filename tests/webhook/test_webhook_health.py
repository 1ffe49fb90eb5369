"""What `/readyz` and `/metrics` say of a real Redis in different states."""

import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from webhook_front import Front, commented, front_of

from jobs.queue.spending import Spending
from jobs.queue.store import Delivery, Store, connect
from webhook.app import FrontDoor


@asynccontextmanager
async def configured(store: Store, **settings: Any) -> AsyncIterator[None]:
    """Redis with other settings while the block runs."""
    names = {name: name.replace("_", "-") for name in settings}
    before = {name: (await store.redis.config_get(names[name]))[names[name]] for name in names}
    try:
        for name, value in settings.items():
            await store.redis.config_set(names[name], value)
        yield
    finally:
        for name, value in before.items():
            await store.redis.config_set(names[name], value)


async def gauges(front: Front) -> dict[str, float]:
    page = await front.http.get("/metrics")
    assert page.status_code == 200
    lines = re.findall(r"^(vibecoder_\S+) (\S+)$", page.text, re.MULTILINE)
    return {name: float(value) for name, value in lines}


async def test_all_is_well(front: Front) -> None:
    await front.store.redis.set("vc:worker:one", "1")
    await front.store.mark(await front.store.begin_marking())
    async with configured(front.store, maxmemory=500_000_000):
        answer = await front.http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "redis": True, "workers": 1, "notes": []}


async def test_ready_without_a_worker_and_told_so(front: Front) -> None:
    """What comes is kept, so GitHub must not be sent away."""
    answer = await front.http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["workers"] == 0
    assert "No worker is alive: requests are kept, and nothing is done." in answer.json()["notes"]
    assert any("maxmemory" in note for note in answer.json()["notes"])


async def test_what_an_operator_should_look_at(front: Front) -> None:
    store, long_ago = front.store, time.time() - 1_000
    await store.redis.set("vc:worker:one", "1")
    await store.keep_delivery(Delivery("g", "issue_comment", b"{}", long_ago))
    await store.redis.zadd("vc:commands", {"c1": long_ago})
    used = (await store.redis.info("memory"))["used_memory"]
    async with configured(store, maxmemory=used * 100 // 78, maxmemory_policy="allkeys-lru"):
        answer = await front.http.get("/readyz")
    assert answer.status_code == 200
    lost, unread, unsettled, memory, evicts = answer.json()["notes"]
    assert "until a worker has looked on GitHub" in lost
    assert re.fullmatch(r"A delivery has waited for 100\d s to be read\.", unread)
    assert re.fullmatch(r"A request has waited for 100\d s to be settled\.", unsettled)
    assert re.fullmatch(r"Redis's memory is 7\d% full; beyond 85% new jobs are refused\.", memory)
    assert "noeviction" in evicts


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"maxmemory": 1}, "more memory"),
        ({"min_replicas_to_write": 1}, "takes nothing in"),
    ],
)
async def test_not_ready_where_nothing_can_be_kept(
    front: Front, settings: dict[str, Any], why: str
) -> None:
    async with configured(front.store, **settings):
        answer = await front.http.get("/readyz")
        refused = await front.deliver(commented())
    assert answer.status_code == refused.status_code == 503
    assert answer.json()["ready"] is False
    (note,) = answer.json()["notes"]
    assert why in note
    assert (await front.http.get("/readyz")).status_code == 200
    assert (await front.deliver(commented())).status_code == 202


async def test_metrics_tell_of_the_whole_deployment(front: Front) -> None:
    store = front.store
    await front.deliver(commented(), guid="one")
    await front.settled("one")
    await store.keep_delivery(Delivery("two", "issue_comment", b"{}", time.time() - 50))
    await store.redis.set("vc:worker:one", "1")
    await Spending(store.redis).add(Decimal("1.25"), time.time())
    (job,) = await store.jobs()
    await store.enqueue_run(job.id)
    async with configured(store, maxmemory=500_000_000):
        found = await gauges(front)
    assert 50 <= found.pop("vibecoder_oldest_delivery_seconds") < 60
    assert 0 < found.pop("vibecoder_oldest_command_seconds") < 10
    assert 0 < found.pop("vibecoder_redis_memory_ratio") < 0.1
    assert {name: value for name, value in found.items() if "deliveries" not in name} == {
        "vibecoder_redis_up": 1,
        "vibecoder_workers": 1,
        'vibecoder_queue_entries{kind="command"}': 1,
        'vibecoder_queue_entries{kind="job"}': 1,
        "vibecoder_jobs_open": 1,
        "vibecoder_jobs_awaiting_approval": 0,
        "vibecoder_dollars_today": 1.25,
    }
    assert found['vibecoder_deliveries_total{outcome="start_job"}'] == 1


async def test_metrics_outlive_redis(door: FrontDoor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    away = Store(connect(f"redis://127.0.0.1:{free}", retries=1))
    async with front_of(door, away) as front:
        await front.deliver(commented(), secret="wrong")
        found = await gauges(front)
        answer = await front.http.get("/readyz")
    await away.close()
    assert found["vibecoder_redis_up"] == 0
    assert found['vibecoder_deliveries_total{outcome="refused"}'] == 1
    assert "vibecoder_workers" not in found  # which would not be true
    assert answer.status_code == 503
    assert (answer.json()["redis"], answer.json()["workers"]) == (False, None)
