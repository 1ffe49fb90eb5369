"""Writes in turn with those of all other workers, and what is said where few are left."""

import time
from collections.abc import AsyncIterator, Iterator

import pytest
from forge_jobs import Story
from forge_world import comments_on, commit_in, forge_of, issue_in, settings_of

from jobs.forge.errors import RateLimited
from jobs.forge.github import GitHub
from jobs.forge.report import Report
from jobs.queue.pace import AN_HOURS_HALF, SPREAD_MS, Pace
from jobs.queue.store import Store, connect
from vibecoder.local import redis
from vibecoder.local.github.world import World

BRANCH = "vibecode/12-timestamps-89abcdef"


async def allowed() -> None:
    """The lease is held."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    running = redis.start(tmp_path_factory.mktemp("redis"), die_with_parent=True)
    yield running.url
    running.stop()


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = Store(connect(url, retries=3))
    await store.redis.flushall()
    yield store
    await store.close()


@pytest.fixture
async def worker(world: World, store: Store) -> AsyncIterator[GitHub]:
    async with GitHub(settings_of(world), Pace(store)) as made:
        yield made


async def leave(store: Store, world: World, writes: int) -> None:
    """So many of the installation's hour; less than none: so many are ahead of us."""
    whole = int(time.time() * 1000) + (AN_HOURS_HALF - writes) * SPREAD_MS
    await store.redis.hset(f"vc:pace:{world.installation_id}", "hour", str(whole))


async def test_every_write_takes_a_turn_and_no_read(
    worker: GitHub, world: World, store: Store
) -> None:
    issue, pace = issue_in(world), Pace(store)
    forge = await forge_of(worker, world)
    await forge.issue(issue.number)
    assert await pace.left(world.installation_id) == AN_HOURS_HALF
    await forge.comment(issue.number, "job:j1", "one")
    await forge.comment(issue.number, "job:j1", "two")
    assert await pace.left(world.installation_id) == AN_HOURS_HALF - 2


async def test_where_the_turn_is_far_away_it_is_said_when(
    worker: GitHub, world: World, store: Store
) -> None:
    issue = issue_in(world)
    forge = await forge_of(worker, world)
    await leave(store, world, -10)
    with pytest.raises(RateLimited, match=r"goes on at .* UTC") as caught:
        await forge.comment(issue.number, "job:j1", "one")
    assert 120 < caught.value.until - time.time() < 180
    assert comments_on(world, issue.number) == []


async def test_a_limit_of_one_worker_is_every_workers(
    worker: GitHub, world: World, url: str
) -> None:
    issue = issue_in(world)
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) + 1_000)}
    world.faults.add("POST", "/comments$", status=403, headers=headers)
    with pytest.raises(RateLimited):
        await (await forge_of(worker, world)).comment(issue.number, "job:j1", "one")
    elsewhere = Store(connect(url, retries=3))
    async with GitHub(settings_of(world), Pace(elsewhere)) as other:
        with pytest.raises(RateLimited):
            await (await forge_of(other, world)).comment(issue.number, "job:j1", "one")
    await elsewhere.close()
    assert comments_on(world, issue.number) == []


async def test_where_few_are_left_only_what_people_wait_for_is_said(
    worker: GitHub, world: World, store: Store
) -> None:
    issue, sha = issue_in(world), commit_in(world, BRANCH)
    story = Story(number=issue.number, shas=[sha])
    report = Report(await forge_of(worker, world), None, allowed)
    await leave(store, world, 60)

    def said() -> str:
        (comment,) = comments_on(world, issue.number)
        return comment.body

    await report.show(story.cloned(BRANCH).planned().began(1).job)
    begun = said()
    await report.show(story.committed(1, 1).began(2).job)
    assert said() == begun, "a commit can wait"
    await report.show(story.ended("stopped", "Enough.").job)
    assert "Enough." in said()
