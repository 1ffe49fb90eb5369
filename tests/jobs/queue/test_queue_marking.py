"""One worker at a time looks for what an emptied store lost, and its word counts for that store."""

from jobs.queue.store import Store


async def test_one_worker_at_a_time_looks(store: Store) -> None:
    await store.redis.flushall()
    mark = await store.begin_marking()
    assert mark is not None
    assert await store.begin_marking() is None
    assert await store.keep_marking(mark)
    await store.end_marking(mark)
    assert await store.begin_marking() is not None


async def test_a_worker_that_was_overtaken_ends_nothing_and_marks_nothing(store: Store) -> None:
    await store.redis.flushall()
    first = await store.begin_marking()
    assert first is not None
    await store.redis.flushall()
    second = await store.begin_marking()
    assert second is not None
    assert not await store.keep_marking(first)
    await store.end_marking(first)
    assert not await store.mark(first)
    assert not await store.marked()
    assert await store.mark(second)
    assert await store.mark(second)  # sent again over a connection that broke
    assert await store.marked()
