"""What load balancers, Prometheus and operators are told."""

import time

from webhook_front import Front, commented

from jobs.events import Finished
from jobs.queue.health import Trouble, beat_of


async def gauges(front: Front) -> dict[str, float]:
    page = (await front.http.get("/metrics")).text
    lines = [line.rpartition(" ") for line in page.splitlines() if line[:1] != "#"]
    return {name: float(value) for name, _, value in lines}


async def notes(front: Front) -> list[str]:
    answer = await front.http.get("/readyz")
    assert answer.status_code == 200
    return [note for note in answer.json()["notes"] if "maxmemory" not in note]


async def test_without_a_worker_it_is_ready_and_says_that_work_waits(front: Front) -> None:
    answer = (await front.http.get("/readyz")).json()
    assert (answer["ready"], answer["redis"], answer["workers"]) == (True, True, 0)
    assert "No worker is alive" in (await notes(front))[0]


async def test_the_gauges_follow_the_queue(front: Front) -> None:
    assert (await gauges(front))["vibecoder_jobs_open"] == 0
    await front.deliver(commented(), guid="one")
    await front.settled("one")
    await front.store.redis.set("vc:worker:new", beat_of(None))
    await front.store.redis.set("vc:worker:older-version", "1")
    now = await gauges(front)
    assert now["vibecoder_redis_up"] == now["vibecoder_jobs_open"] == 1
    assert now["vibecoder_workers"] == 2
    assert now['vibecoder_queue_entries{kind="command"}'] == 1
    (command,) = await front.store.unsettled()
    await front.store.redis.zadd("vc:commands", {command: time.time() - 600})
    assert 599 < (await gauges(front))["vibecoder_oldest_command_seconds"] < 700
    assert any("A request has waited for 60" in note for note in await notes(front))
    (job,) = await front.store.jobs()
    assert (await gauges(front))["vibecoder_notifications_waiting"] == 0
    await front.store.append(job.id, [Finished(time.time(), "failed", "It did not work.")])
    assert (await gauges(front))["vibecoder_notifications_waiting"] == 1


async def test_a_workers_trouble_is_told_for_an_hour(front: Front) -> None:
    at = time.time()
    await front.store.mark(await front.store.begin_marking())
    await front.store.redis.set("vc:worker:a", beat_of(Trouble(at - 63, at)))
    await front.store.redis.set("vc:worker:b", beat_of(Trouble(at - 7_300, at - 7_200)))
    (note,) = await notes(front)
    assert note.startswith("A worker was cut off from Redis for 63 s until ")


async def test_an_emptied_store_is_told(front: Front) -> None:
    await front.store.redis.set("vc:worker:a", beat_of(None))
    (note,) = await notes(front)
    assert note.startswith("The store was empty")


async def test_a_full_redis_is_not_ready_and_a_nearly_full_one_says_so(front: Front) -> None:
    redis = front.store.redis
    used = (await redis.info("memory"))["used_memory"]
    try:
        await redis.config_set("maxmemory", int(used * 1.1))
        said = (await front.http.get("/readyz")).json()["notes"]
        assert any("new jobs are refused, running ones go on" in note for note in said)
        await redis.config_set("maxmemory", int(used * 0.5))
        answer = await front.http.get("/readyz")
        assert answer.status_code == 503
        assert "no room left" in answer.json()["notes"][0]
    finally:
        await redis.config_set("maxmemory", 0)
