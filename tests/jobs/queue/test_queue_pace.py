"""Turns to write: counted over all workers, per installation, by the minute and by the hour."""

import asyncio
import time

import pytest
from queue_world import Server

from jobs.queue.pace import Pace
from jobs.queue.store import Store, connect

FOR_EVER = 1e6  # seconds


async def waits(pace: Pace, count: int, installation: int = 11) -> list[float]:
    return [await pace.turn(installation, FOR_EVER) for _ in range(count)]


def most_within(seconds: float, at: list[float]) -> int:
    return max(sum(start <= each < start + seconds for each in at) for start in at)


async def test_what_github_allows_is_never_passed(store: Store) -> None:
    pace = Pace(store)
    at = [time.time() + await pace.turn(11, FOR_EVER) for _ in range(1_200)]
    assert at[19] - at[0] < 1, "a short job is not slowed down"
    assert most_within(60, at) <= 80
    assert most_within(3_600, at) <= 500
    assert at[490] - at[0] < 3_600, "what is allowed can be used"


async def test_workers_share_their_turns(store: Store, server: Server) -> None:
    other = Store(connect(server.url, retries=3))
    both = await asyncio.gather(waits(Pace(store), 30), waits(Pace(other), 30))
    await other.close()
    assert sum(wait == 0 for wait in both[0] + both[1]) == 20
    assert 38 < max(both[0] + both[1]) <= 40


async def test_installations_do_not_wait_for_each_other(store: Store) -> None:
    pace = Pace(store)
    await waits(pace, 300, installation=11)
    assert await waits(pace, 1, installation=12) == [0.0]


async def test_a_turn_too_far_away_is_not_taken(store: Store) -> None:
    pace = Pace(store)
    await waits(pace, 25)
    refused = [await pace.turn(11, patience=2) for _ in range(50)]
    assert all(wait > 2 for wait in refused)
    assert 5 < await pace.turn(11, FOR_EVER) <= 6


async def test_what_is_left_of_the_hour_can_be_asked(store: Store) -> None:
    pace = Pace(store)
    assert await pace.left(11) == 250
    await waits(pace, 30)
    assert await pace.left(11) == 220
    await waits(pace, 300)
    assert await pace.left(11) == 0


async def test_a_limit_that_github_sets_one_worker_holds_for_all(
    store: Store, server: Server
) -> None:
    other = Store(connect(server.url, retries=3))
    await Pace(store).hold(11, time.time() + 7_000)
    await Pace(store).hold(11, time.time() + 10)  # a shorter one ends no longer one
    assert 6_990 < await Pace(other).turn(11, patience=60) <= 7_000
    assert await Pace(other).turn(12, patience=60) == 0
    await other.close()


async def test_it_is_forgotten_once_it_says_nothing_any_more(store: Store) -> None:
    await waits(Pace(store), 1)
    assert 3_600 < await store.redis.ttl("vc:pace:11") <= 2 * 3_600
    await Pace(store).hold(11, time.time() + 50_000)
    assert 49_000 < await store.redis.ttl("vc:pace:11") <= 50_000


@pytest.mark.parametrize("ago", [0, 5, 60])
async def test_a_limit_that_is_over_holds_nobody(store: Store, ago: float) -> None:
    await Pace(store).hold(11, time.time() - ago)
    assert await Pace(store).turn(11, patience=60) == 0
