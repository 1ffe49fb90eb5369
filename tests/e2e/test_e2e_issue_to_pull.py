"""A comment on an issue becomes a draft pull request: what GitHub shows afterwards."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from house import BOT, House, Said, Scene

from jobs.forge import proof
from jobs.job import Job
from vibecoder import tasks
from vibecoder.local.model.replay import replay


@dataclass(frozen=True)
class Fixed:
    """The sample's bug, reported in a repository of its own and fixed on request."""

    scene: Scene
    said: Said
    job: Job
    task: tasks.Task
    sources: tasks.Sources


async def fixed(house: House, folder: Path, **repository: Any) -> Fixed:
    task, sources = tasks.sample(folder)
    script = replay(task, sources)
    scene = house.scene(sources.old, task.issue_title, task.issue_body, script, **repository)
    said = await scene.say("/vibecode fix this")
    return Fixed(scene, said, await scene.job(said), task, sources)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def done(house: House, tmp_path_factory: pytest.TempPathFactory) -> Fixed:
    """One finished job, for tests that only look."""
    return await fixed(house, tmp_path_factory.mktemp("sample"))


async def test_the_pull_request_holds_the_real_fix(done: Fixed) -> None:
    scene, job, task = done.scene, done.job, done.task

    assert job.state == "succeeded", job.end
    assert job.pull is not None
    pull = await scene.get(f"/pulls/{job.pull.number}")
    assert pull["draft"] is True
    assert pull["base"]["ref"] == "main"
    assert f"Closes #{scene.issue}" in pull["body"]
    for path in (*task.source_files, *task.test_files):
        raw = await scene.get(
            f"/contents/{path}?ref={pull['head']['sha']}", Accept="application/vnd.github.raw"
        )
        assert raw == (done.sources.new / path).read_text()


async def test_each_step_is_a_commit_of_the_bot_with_the_requester_as_co_author(
    house: House, done: Fixed
) -> None:
    scene, job = done.scene, done.job

    assert job.pull is not None and job.plan is not None
    commits = await scene.get(f"/pulls/{job.pull.number}/commits")
    bot, maya = house.world.account(BOT), house.world.account("maya")
    assert [c["commit"]["message"].splitlines()[0] for c in commits] == [
        step.title for step in job.plan.steps
    ]
    for number, commit in enumerate(commits, start=1):
        assert commit["commit"]["author"]["name"] == BOT
        assert commit["commit"]["author"]["email"] == house.world.noreply(bot)
        trailers = commit["commit"]["message"].splitlines()
        assert f"Vibecode-Step: {number}/2 {job.plan.steps[number - 1].id}" in trailers
        assert f"Co-authored-by: maya <{house.world.noreply(maya)}>" in trailers
    body = (await scene.get(f"/pulls/{job.pull.number}"))["body"]
    assert all(commit["sha"][:7] in body for commit in commits)


async def test_the_test_fails_before_and_passes_after_and_both_are_tied_to_commits(
    done: Fixed,
) -> None:
    scene, job, task = done.scene, done.job, done.task

    runs = [run for run in proof.tests(job) if run.run.command == task.test_command]
    assert [(run.run.exit_code, run.against) for run in runs] == [
        (1, job.commits[0].sha),
        (0, job.commits[1].sha),
    ]
    assert job.pull is not None
    body = (await scene.get(f"/pulls/{job.pull.number}"))["body"]
    assert "Tests" in body and task.test_command.split()[-1] in body.replace("\\", "")


async def test_the_check_run_follows_the_head_and_leaves_the_old_one_neutral(
    house: House, done: Fixed
) -> None:
    scene, job = done.scene, done.job

    first, last = (commit.sha for commit in job.commits)
    (old,) = (await scene.get(f"/commits/{first}/check-runs"))["check_runs"]
    (new,) = (await scene.get(f"/commits/{last}/check-runs"))["check_runs"]
    assert (old["status"], old["conclusion"]) == ("completed", "neutral")
    assert "superseded" in old["output"]["title"].lower()
    assert (new["status"], new["conclusion"]) == ("completed", "success")
    assert new["external_id"] == old["external_id"] == job.id


async def test_one_comment_on_the_issue_tells_how_it_went(done: Fixed) -> None:
    scene, job = done.scene, done.job

    (answer,) = await scene.answers()
    assert job.pull is not None
    assert f"/pull/{job.pull.number}" in answer or f"#{job.pull.number}" in answer
    assert f"vibecoder:job:{job.id}" in answer


async def test_the_comment_is_receipted_with_eyes(done: Fixed) -> None:
    assert await done.scene.reactions(done.said) == ["eyes"]


async def test_a_private_repository_is_fetched_and_pushed_with_its_own_token(
    house: House, tmp_path: Path
) -> None:
    it = await fixed(house, tmp_path, private=True)
    scene, job = it.scene, it.job

    assert job.state == "succeeded", job.end
    repository = house.world.repository(scene.repository)
    pushes = [e for e in house.world.effects if e.verb == "push" and scene.repository in e.target]
    tokens = {token.id: token for token in house.world.tokens.values()}
    assert pushes
    for push in pushes:
        assert push.token_id is not None
        assert tokens[push.token_id].repository_ids == {repository.id}


async def test_work_starts_from_the_default_branch_whatever_its_name(
    house: House, tmp_path: Path
) -> None:
    it = await fixed(house, tmp_path, default_branch="trunk/stable")
    scene, job = it.scene, it.job

    assert job.pull is not None
    assert (await scene.get(f"/pulls/{job.pull.number}"))["base"]["ref"] == "trunk/stable"


async def test_the_sandbox_is_gone_after_success(house: House, done: Fixed) -> None:
    assert done.job.sandbox_id
    assert done.job.sandbox_id not in await house.sandboxes()


async def test_what_it_cost_is_recorded_from_the_price_table(done: Fixed) -> None:
    scene, job = done.scene, done.job

    assert job.usd > 0 and job.output_tokens > 0 and job.cache_read_tokens > 0
    (answer,) = await scene.answers()
    assert "$" in answer


async def test_the_same_comment_delivered_again_makes_no_second_job(
    house: House, done: Fixed
) -> None:
    scene, job = done.scene, done.job
    delivery = next(
        each
        for each in house.world.deliveries.values()
        if each.event == "issue_comment" and each.payload["comment"]["id"] == done.said.id
    )
    answer = await house.deliver("issue_comment", delivery.payload)
    assert answer.status_code == 202

    pulls = await scene.get("/pulls?state=all")
    assert [pull["number"] for pull in pulls] == [job.pull.number if job.pull else 0]
    jobs = await house.store.jobs(repository_ids=[house.world.repository(scene.repository).id])
    assert [each.id for each in jobs] == [job.id]
