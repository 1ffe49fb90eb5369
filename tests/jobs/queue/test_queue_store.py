"""The store over a real server: what is kept, counted once, refused and forgotten."""

import asyncio
import random
import time
from dataclasses import replace

import pytest
from queue_world import (
    ANN,
    REPOSITORY,
    Server,
    approved,
    cancel_asked,
    fence_of,
    field_of,
    finished,
    make_job,
    planned,
    start,
)

from jobs.commands import CancelJob, Issue
from jobs.events import Allowed, Claimed, JobEvent, Noted, Received
from jobs.job import fold
from jobs.queue import store as store_module
from jobs.queue.errors import (
    CommandUnknown,
    Conflict,
    JobUnknown,
    JournalFull,
    LeaseLost,
    StoreFull,
    StoreUnreachable,
)
from jobs.queue.store import Delivery, Store, command_id_of, connect, job_id_of


async def test_a_delivery_is_kept_once_until_settled(store: Store) -> None:
    delivery = Delivery("guid-1", "issue_comment", b'{"\xff": 1}', time.time())
    assert await store.keep_delivery(delivery)
    assert not await store.keep_delivery(delivery)
    assert await store.unparsed(older_than=0) == [delivery]
    assert await store.unparsed(older_than=60) == []
    assert await store.verdict("guid-1") is None
    assert await store.redis.ttl("vc:delivery:guid-1") == -1

    await store.settle_delivery("guid-1", "x" * 5_000)
    assert await store.verdict("guid-1") == "x" * 1_000
    assert await store.unparsed(older_than=0) == []
    assert not await store.keep_delivery(delivery)
    assert await field_of(store, "vc:delivery:guid-1", "body") is None
    assert 0 < await store.redis.ttl("vc:delivery:guid-1") <= 3 * 86_400


async def test_fifty_submits_at_once_make_one_job(store: Store) -> None:
    answers = await asyncio.gather(
        *(store.submit(start("comment-1"), time.time()) for _ in range(50))
    )
    assert sum(answer.new for answer in answers) == 1
    assert {answer.job_id for answer in answers} == {job_id_of("comment-1")}
    assert {answer.busy for answer in answers} == {None}
    assert len(await store.history(job_id_of("comment-1"))) == 1
    assert await store.redis.zcard("arq:queue") == 1
    job = await store.load(job_id_of("comment-1"))
    assert (job.state, job.command) == ("queued", start("comment-1"))


async def test_an_issue_has_one_active_job(store: Store) -> None:
    answers = await asyncio.gather(
        *(store.submit(start(f"comment-{n}"), time.time()) for n in range(20))
    )
    (made,) = [answer for answer in answers if answer.busy is None]
    assert {answer.busy for answer in answers} == {None, made.job_id}
    assert await store.active_on(22, 1) == made.job_id
    # The busy ones are commands all the same, so that somebody tells their people.
    assert len(await store.unsettled()) == 20
    refused = next(answer for answer in answers if answer.busy)
    assert await store.submitted(refused.command_id) == replace(refused, new=False)
    assert isinstance(await store.command(refused.command_id), type(start("x")))

    assert (await store.submit(start("elsewhere", issue=2), time.time())).busy is None
    assert (await store.submit(start("phone-1", issue=None), time.time())).busy is None
    assert (await store.submit(start("phone-2", issue=None), time.time())).busy is None

    assert made.job_id
    await store.append(made.job_id, [finished()])
    assert await store.active_on(22, 1) is None
    assert (await store.submit(start("comment-again"), time.time())).busy is None


async def test_an_installation_has_only_so_many_jobs_open(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MOST_OPEN", 2)
    first = await make_job(store, "one", issue=1)
    waits = await make_job(store, "two", issue=2)
    answer = await store.submit(start("three", issue=3), time.time())
    assert (answer.job_id, answer.busy, answer.no_room) == (None, None, "installation")
    assert (await store.submitted(answer.command_id)).no_room == "installation"
    assert (await store.submit(start("other", issue=3, installation=12), time.time())).job_id
    # A plan that waits for a person takes no room, until it is accepted.
    await store.append(waits, [planned(waits=True)])
    assert await store.waiting(time.time()) == [waits]
    assert (await store.submit(start("four", issue=4), time.time())).job_id
    await store.append(waits, [approved()])
    assert await store.waiting(time.time()) == []
    assert (await store.submit(start("five", issue=5), time.time())).no_room == "installation"
    for ended in (first, waits):
        await store.append(ended, [finished()])
    assert (await store.submit(start("six", issue=6), time.time())).job_id


async def test_a_wish_that_is_refused_may_be_sent_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = start("wish", issue=None)
    monkeypatch.setattr(store_module, "FULL", 0.0)
    refused = await store.submit(wish, time.time())
    assert (refused.job_id, refused.no_room) == (None, "store")
    assert await store.redis.zcard("vc:commands") == 0  # nobody has to be told by a worker
    monkeypatch.undo()
    again = await store.submit(wish, time.time())
    assert again.new and again.job_id


async def test_a_forgotten_job_is_in_no_list_and_soon_gone(store: Store) -> None:
    job_id = await make_job(store, "k", issue=1)
    await store.append(job_id, [finished()])
    assert await store.of_installation(11) == [job_id]
    await store.forget(job_id)
    assert await store.of_installation(11) == []
    assert await store.jobs() == []
    assert (await store.load(job_id)).ended
    for key in ("rec", "events"):
        assert 0 < await store.redis.ttl(f"vc:{key}:{job_id}") <= 3_600


async def test_a_nearly_full_store_takes_no_new_jobs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = (await store.submit(start("running", issue=1), time.time())).job_id
    assert running
    monkeypatch.setattr(store_module, "FULL", 0.0)
    answer = await store.submit(start("one more", issue=2), time.time())
    assert (answer.job_id, answer.busy, answer.no_room) == (None, None, "store")
    assert (await store.submitted(answer.command_id)).no_room == "store"
    # The running ones go on, and people can stop them.
    await store.append(running, [planned(waits=True)])
    stop = CancelJob("stop", ANN, REPOSITORY, job_id=running)
    assert (await store.submit(stop, time.time())).new
    assert await store.unsettled() == [
        command_id_of(key) for key in ("running", "one more", "stop")
    ]


async def test_a_full_store_says_so(store: Store) -> None:
    memory = await store.redis.info("memory")
    await store.redis.config_set("maxmemory", memory["used_memory"] // 2)
    try:
        with pytest.raises(StoreFull):
            await store.keep_delivery(Delivery("g", "issue_comment", b"{}", time.time()))
        with pytest.raises(StoreFull):
            await store.submit(start("k"), time.time())
    finally:
        await store.redis.config_set("maxmemory", memory["maxmemory"])
    assert await store.jobs() == []


async def test_a_command_is_open_until_settled(store: Store) -> None:
    stop = CancelJob("stop-1", ANN, REPOSITORY, issue=Issue(1, "The clock is late"))
    submitted = await store.submit(stop, time.time())
    assert submitted.job_id is None
    assert await store.command(submitted.command_id) == stop
    assert await store.unsettled() == [submitted.command_id]
    assert await store.settled(submitted.command_id) is None
    await store.settle(submitted.command_id, "nothing to stop")
    assert await store.unsettled() == []
    assert await store.settled(submitted.command_id) == "nothing to stop"
    assert not (await store.submit(stop, time.time())).new
    for ask in (store.command, store.submitted):
        with pytest.raises(CommandUnknown):
            await ask(command_id_of("never given"))


async def test_of_racing_decisions_one_is_followed(store: Store) -> None:
    submitted = await store.submit(start("k"), time.time())
    assert submitted.job_id
    _, seen = await store.read(submitted.job_id)

    async def accept() -> bool:
        try:
            await store.append(job_id_of("k"), [approved()], seen=seen)
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*(accept() for _ in range(30)))) == 1
    assert len(await store.history(job_id_of("k"))) == 2


async def test_a_cause_counts_once_and_queues_in_the_same_step(store: Store) -> None:
    job_id = (await store.submit(start("k"), time.time())).job_id
    assert job_id
    _, seen = await store.read(job_id)
    assert not await store.caused(job_id, "c1")
    allowed = Allowed(time.time(), "write")
    first = await store.append(job_id, [allowed], seen=seen, cause="c1", run=True)
    assert await store.caused(job_id, "c1")
    assert await store.append(job_id, [allowed], seen=seen, cause="c1", run=True) == first
    assert len(await store.history(job_id)) == 2
    queued = await store.redis.queued_jobs()
    assert sorted(tuple(entry.args) for entry in queued) == [
        ("run", job_id),
        ("settle", command_id_of("k")),
    ]


async def test_a_stale_token_changes_nothing(store: Store) -> None:
    job_id = (await store.submit(start("k"), time.time())).job_id
    assert job_id
    fence = await fence_of(store, job_id)
    for stale in (fence - 1, fence + 1):
        with pytest.raises(LeaseLost):
            await store.append(job_id, [Claimed(1, "w", stale)], token=stale)
        with pytest.raises(LeaseLost):
            await store.journal_add(job_id, "work", b"x", token=stale)
    await store.append(job_id, [Claimed(1, "w", fence)], token=fence)
    assert [type(event) for _, event in await store.history(job_id)] == [Received, Claimed]
    assert await store.journal(job_id, "work") == []


async def test_who_ends_a_job_may_add_to_it_and_no_other_worker(store: Store) -> None:
    ended_by_worker = (await store.submit(start("a", issue=1), time.time())).job_id
    ended_by_person = (await store.submit(start("b", issue=2), time.time())).job_id
    assert ended_by_worker and ended_by_person
    token = await fence_of(store, ended_by_worker)
    await store.append(ended_by_worker, [finished()], token=token)
    await store.append(ended_by_worker, [Noted(1, "the last word")], token=token)

    token = await fence_of(store, ended_by_person)
    await store.append(ended_by_person, [cancel_asked(), finished()])
    with pytest.raises(LeaseLost):
        await store.append(ended_by_person, [Claimed(1, "w", token)], token=token)


async def test_unknown_jobs_are_told_apart(store: Store) -> None:
    unknown = job_id_of("never")
    assert await store.history(unknown) == []
    assert not await store.wanted(unknown)
    with pytest.raises(JobUnknown):
        await store.load(unknown)
    with pytest.raises(JobUnknown):
        await store.append(unknown, [finished()])
    with pytest.raises(JobUnknown):
        await store.enqueue_run(unknown)
    with pytest.raises(JobUnknown):
        async for _ in store.follow(unknown):
            pass


async def test_only_old_notes_are_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "NOTES_KEPT", 3)
    job_id = (await store.submit(start("k"), time.time())).job_id
    assert job_id
    await store.append(job_id, [planned(waits=False)])
    await store.append(job_id, [Noted(n, str(n)) for n in range(10)])
    events = [event for _, event in await store.history(job_id)]
    assert [type(event) for event in events[:2]] == [Received, type(planned(False))]
    assert [event.text for event in events[2:] if isinstance(event, Noted)] == ["7", "8", "9"]


async def test_who_read_a_job_before_reads_it_as_it_is(
    store: Store, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "NOTES_KEPT", 3)
    job_id = (await store.submit(start("k"), time.time())).job_id or ""
    writer = Store(connect(server.url))
    more: list[JobEvent] = [
        Allowed(1, "write"),
        Claimed(2, "w", 1),
        *(Noted(n, str(n)) for n in range(9)),
        planned(waits=True),
    ]
    for event in more:
        await writer.append(job_id, [event])
        events = await store.history(job_id)
        job = fold(job_id, [event for _, event in events])
        assert await store.read(job_id) == await store.read(job_id) == (job, events[-1][0])
    await store.redis.flushall()
    with pytest.raises(JobUnknown):
        await store.read(job_id)
    await writer.restore(job_id, [Received(0, start("k")), *more[:2]])
    assert (await store.load(job_id)).state == "planning"
    await store.load(job_id)
    await store.redis.flushall()
    await writer.restore(job_id, [Received(0, start("k")), *more])  # before anybody looked
    assert (await store.load(job_id)).state == "awaiting_approval"
    await writer.close()


async def test_followers_see_everything_once_up_to_the_end(store: Store) -> None:
    job_id = (await store.submit(start("k"), time.time())).job_id
    assert job_id
    await store.append(job_id, [Noted(0, "before")])

    async def follow(after: str = "0") -> list[str]:
        return [id_ async for id_, _ in store.follow(job_id, after)]

    followers = [asyncio.create_task(follow()) for _ in range(5)]
    for n in range(20):
        await store.append(job_id, [Noted(n, str(n))])
    await store.append(job_id, [finished()])
    await store.append(job_id, [Noted(0, "after the end")])
    everything = [id_ for id_, _ in await store.history(job_id)][:-1]
    for seen in await asyncio.gather(*followers):
        assert seen == everything
    assert await follow(after=everything[10]) == everything[11:]
    assert await follow(after=everything[-1]) == [(await store.history(job_id))[-1][0]]


async def test_everything_of_an_ended_job_expires(store: Store) -> None:
    job_id = (await store.submit(start("k"), time.time())).job_id
    assert job_id
    token = await fence_of(store, job_id)
    await store.append(job_id, [Noted(0, "note")], token=token)
    await store.journal_add(job_id, "work", b"x", token)
    await store.append(job_id, [finished()], token=token)
    await store.append(job_id, [Noted(0, "note")], token=token)
    await store.journal_add(job_id, "work", b"y", token)
    assert not await store.wanted(job_id)
    keys = [key async for key in store.redis.scan_iter(match=f"*{job_id}*")]
    assert len(keys) == 4
    for key in keys:
        longest = 86_400 if b"journal" in key else 7 * 86_400
        assert 0 < await store.redis.ttl(key) <= longest
    assert await store.redis.zcard("vc:active") == 0


async def test_jobs_are_listed_newest_first(store: Store) -> None:
    now = time.time()
    for n in range(6):
        await store.submit(start(f"k{n}", issue=n, repository=n % 3), now + n)
    ids = [job_id_of(f"k{n}") for n in range(6)]
    assert [job.id for job in await store.jobs()] == ids[::-1]
    assert [job.id for job in await store.jobs(limit=2)] == [ids[5], ids[4]]
    assert [job.id for job in await store.jobs(repository_ids=[0, 1])] == [
        ids[4],
        ids[3],
        ids[1],
        ids[0],
    ]
    assert await store.jobs(repository_ids=[]) == []
    assert len(await store.jobs(actor_id=ANN.id)) == 6
    assert await store.jobs(actor_id=8) == []
    await store.redis.delete(f"vc:events:{ids[3]}")
    assert [job.id for job in await store.jobs(repository_ids=[0])] == [ids[0]]
    assert await store.redis.zcard("vc:jobs:repository:0") == 1


async def test_conversations_are_kept_apart_and_bounded(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = (await store.submit(start("k"), time.time())).job_id
    assert job_id
    token = await fence_of(store, job_id)
    turns = [b"\0 \xff" * n for n in range(5)]
    for turn in turns:
        await store.journal_add(job_id, "plan", turn, token)
        await store.journal_add(job_id, "work", turn, token)
    await store.journal_add(job_id, "work", turns[-1], token)
    assert await store.journal(job_id, "plan") == turns
    assert await store.journal(job_id, "work") == [*turns, turns[-1]]
    monkeypatch.setattr(store_module, "JOURNAL_BYTES", 10)
    with pytest.raises(JournalFull):
        await store.journal_add(job_id, "plan", turns[0], token)


async def test_the_first_of_several_values_stands(store: Store) -> None:
    assert await store.recall("idempotency:1") is None
    answers = await asyncio.gather(
        *(store.remember("idempotency:1", f"job-{n}", seconds=60) for n in range(10))
    )
    assert len(set(answers)) == 1
    assert await store.recall("idempotency:1") == answers[0]


async def test_a_cancellation_is_never_lost_in_a_command(store: Store) -> None:
    async def use(stop: asyncio.Event) -> None:
        while not stop.is_set():
            await store.wanted(job_id_of("k"))

    steps = random.Random(7)
    for _ in range(300):
        stop = asyncio.Event()
        task = asyncio.create_task(use(stop))
        for _ in range(steps.randint(1, 40)):
            await asyncio.sleep(0)
        task.cancel()
        stop.set()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_hosts_are_checked_over_tls_and_passwords_may_hold_anything() -> None:
    options = connect("rediss://u:p%40ss@h/1").connection_pool.connection_kwargs
    assert (options["password"], options["db"]) == ("p@ss", 1)
    assert options["ssl_check_hostname"] is True
    options = connect("rediss://h?ssl_check_hostname=no").connection_pool.connection_kwargs
    assert options["ssl_check_hostname"] is False


def test_addresses_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="must begin with redis://"):
        connect("http://localhost:6379")


async def test_an_absent_server_is_a_sentence_without_its_password() -> None:
    away = Store(connect("redis://:s3cret@127.0.0.1:1/0", retries=1))
    with pytest.raises(StoreUnreachable) as caught:
        await away.ping()
    assert "s3cret" not in str(caught.value)
    await away.close()
