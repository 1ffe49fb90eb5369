"""The judge finds nothing wrong with a run without faults, and each thing that is done to it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from jobs.queue.store import Store
from tests.faults.ground import STEPS, Asked, Ground, ground, until
from tests.faults.judge import judge
from tests.faults.named import ended
from tests.faults.processes import SHORT
from tests.faults.script import file_of
from vibecoder.local.github import bare, checks, issues, refs
from vibecoder.local.github.records import Actor, now, stamp


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Ground]:
    async with ground(tmp_path, SHORT, workers=1) as running:
        yield running


async def kinds(here: Ground, asked: Asked) -> set[str]:
    return {fault.kind for fault in await judge(here, [asked])}


async def test_the_judge_sees_what_was_done_to_a_good_run(here: Ground) -> None:
    asked = here.ask()
    assert await until(lambda: ended(here, asked), 60)

    async def clean() -> bool:
        return not await judge(here, [asked])

    assert await until(clean, 10), await judge(here, [asked])

    world, repository = here.world, asked.repository
    bot = Actor(world.app.bot, world.app)
    job = await here.store.load(asked.job_id)

    # a twin of the sticky comment
    sticky = next(c for c in asked.issue.comments.values() if c.author is world.app.bot)
    twin = issues.comment(world, repository, bot, asked.issue, sticky.body)
    assert await kinds(here, asked) == {"doubled"}
    del asked.issue.comments[twin.id]

    # a sentence to somebody who has a job as well
    reply = f"<!-- vibecoder:reply-{asked.comment_id} -->\nI have no room."
    answer = issues.comment(world, repository, bot, asked.issue, reply)
    assert await kinds(here, asked) == {"doubled"}
    del asked.issue.comments[answer.id]

    # an old rendering over the last word
    last, sticky.body = sticky.body, sticky.body.replace("Done", "Working")
    assert await kinds(here, asked) == {"stale"}
    sticky.body = last

    # a second check run on the last commit, and one that never completes
    suite = checks.suite_of(repository, world.app, job.head_sha)
    assert suite is not None
    run = next(iter(suite.runs.values()))
    suite.runs[0] = type(run)(0, suite, run.name, "in_progress", title=run.title)
    assert await kinds(here, asked) == {"doubled", "stale"}
    del suite.runs[0]

    # somebody whom nobody told
    heard, here.topic.heard = here.topic.heard, []
    assert await kinds(here, asked) == {"lost"}
    here.topic.heard = heard

    # a commit of a step that was there already
    person = bare.Person("x", "x@example.com", str(stamp(now())))
    message = f"Again\n\nVibecode-Step: {STEPS}/{STEPS} again\n"
    files = {file_of(9): b"?"}
    sha = bare.commit_files(repository.folder, job.branch, files, message, person, job.head_sha)
    refs.moved(world, repository, bot, f"refs/heads/{job.branch}", job.head_sha, sha)
    assert {"doubled", "stale"} <= await kinds(here, asked)
    bare.set_ref(repository.folder, f"refs/heads/{job.branch}", job.head_sha)

    # a queue entry of no job
    await leave_entry(here.store)
    assert "left" in await kinds(here, asked)


async def leave_entry(store: Store) -> None:
    await asyncio.wait_for(store.redis.zadd("arq:queue", {"jx.1.1": 4e12}), 5)
