"""What people and GitHub do to a repository while a job runs there: a clear end each time."""

import asyncio
import subprocess
from collections.abc import Callable

import pytest
from house import House, Scene
from scripts import job, write

from jobs.job import Job
from jobs.queue.pace import AN_HOURS_HALF, Pace
from vibecoder.local.github import hooks
from vibecoder.local.github.records import Installation, Repository
from vibecoder.local.model.script import Request, Turn

README = {"README.md": b"# A library\n"}
TWO = job(("First", [write("a.txt", "a\n")]), ("Second", [write("b.txt", "b\n")]))
Act = Callable[[Repository], object]


async def meanwhile(house: House, act: Act, turns: int = 2) -> tuple[Scene, Job]:
    """A job of two steps; `act` happens after so many turns of the work.

    After two its first step is saved and its pull request open, after none nothing is pushed.
    """
    done = False

    def play(request: Request) -> Turn:
        nonlocal done
        if "finish_run" in request.tools and request.turns == turns and not done:
            done = True
            act(repository)
        return TWO(request)

    scene = house.scene(README, script=play)
    repository = house.world.repository(scene.repository)
    return scene, await scene.job(await scene.say("/vibecode do two things"))


def installation(house: House, repository: Repository) -> Installation:
    found = house.world.installations.values()
    return next(it for it in found if repository.id in it.repository_ids)


def git(repository: Repository, *words: str) -> str:
    names = ("-c", "user.name=Maya", "-c", "user.email=maya@example.com")
    done = subprocess.run(
        ["git", *names, *words], cwd=repository.folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


async def whole(scene: Scene, it: Job) -> None:
    assert it.state == "succeeded", it.end
    assert [commit.subject for commit in it.commits] == ["First", "Second"]
    assert len(await scene.get("/pulls?state=all")) == 1


async def test_the_base_is_rewritten(house: House) -> None:
    def rewrite(repository: Repository) -> None:
        other = git(repository, "commit-tree", "main^{tree}", "-m", "Another history")
        git(repository, "update-ref", "refs/heads/main", other)

    scene, it = await meanwhile(house, rewrite)
    await whole(scene, it)


def delete_main(repository: Repository) -> None:
    git(repository, "update-ref", "-d", "refs/heads/main")


async def test_the_base_is_deleted(house: House) -> None:
    scene, it = await meanwhile(house, delete_main)
    await whole(scene, it)


async def test_the_base_is_deleted_before_there_is_a_pull_request(house: House) -> None:
    scene, it = await meanwhile(house, delete_main, turns=0)
    assert it.state == "failed" and it.end is not None
    said = await scene.answer("This did not work")
    assert "`main`" in said and "is gone" in said and f"`{it.branch}`" in said
    assert it.end.not_done == ("Second",)
    there = await scene.get(f"/git/ref/heads/{it.branch}")
    assert there["object"]["sha"] == it.head_sha
    runs = (await scene.get(f"/commits/{it.head_sha}/check-runs"))["check_runs"]
    assert [run["conclusion"] for run in runs] == ["failure"]


async def test_the_pull_request_is_closed_by_a_person(house: House) -> None:
    def close(repository: Repository) -> None:
        pull = next(issue for issue in repository.issues.values() if issue.pull is not None)
        pull.state = "closed"

    scene, it = await meanwhile(house, close)
    await whole(scene, it)
    (pull,) = await scene.get("/pulls?state=all")
    assert pull["state"] == "closed"  # what a person closed stays closed


async def test_the_issue_is_locked(house: House) -> None:
    def lock(repository: Repository) -> None:
        repository.issues[1].locked = True

    scene, it = await meanwhile(house, lock)
    await whole(scene, it)
    assert it.pull is not None
    said = await scene.get(f"/issues/{it.pull.number}/comments")
    assert any("### Done" in each["body"] for each in said)


async def test_the_issue_is_deleted(house: House) -> None:
    def delete(repository: Repository) -> None:
        del repository.issues[1]

    scene, it = await meanwhile(house, delete)
    await whole(scene, it)
    assert it.pull is not None
    said = await scene.get(f"/issues/{it.pull.number}/comments")
    assert any("### Done" in each["body"] for each in said)


@pytest.mark.parametrize("private", [False, True])
async def test_the_issue_is_transferred(house: House, private: bool) -> None:
    """GitHub redirects to where it is now, which may be for nobody's eyes, or for all."""
    elsewhere = house.scene(README, private=private)

    def transfer(repository: Repository) -> None:
        del repository.issues[1]
        there = f"{house.here.github_url}/api/v3/repos/{elsewhere.repository}/issues/1"
        here = rf"^/repos/{repository.full_name}/issues/1"
        for path in ("/comments", ""):
            house.world.faults.add(
                "*", f"{here}{path}$", 1000, status=301, headers={"Location": f"{there}{path}"}
            )

    scene, it = await meanwhile(house, transfer)
    house.world.faults.waiting.clear()
    await whole(scene, it)
    assert it.pull is not None
    said = await scene.get(f"/issues/{it.pull.number}/comments")
    assert any("### Done" in each["body"] for each in said)
    assert await elsewhere.answers() == [], "that repository has nothing to do with it"


@pytest.mark.parametrize("permission", ["contents", "checks", "pull_requests"])
async def test_a_permission_is_withdrawn(house: House, permission: str) -> None:
    def withdraw(repository: Repository) -> None:
        installation(house, repository).permissions[permission] = "read"
        house.world.expire_tokens()

    scene, it = await meanwhile(house, withdraw)
    assert it.state == "failed" and it.end is not None
    assert f"{permission}: write" in it.end.summary
    said = await scene.answer("This did not work")
    assert f"{permission}: write" in said.replace("\\", "")
    if permission != "checks":  # whose run nobody can end now
        runs = (await scene.get(f"/commits/{it.head_sha}/check-runs"))["check_runs"]
        assert [run["conclusion"] for run in runs] == ["failure"]


async def test_the_right_to_checks_is_withdrawn_and_tokens_go_on(house: House) -> None:
    def withdraw(repository: Repository) -> None:
        installation(house, repository).permissions["checks"] = "read"

    scene, it = await meanwhile(house, withdraw)
    await whole(scene, it)
    assert "### Done" in await scene.answer("### Done")
    assert it.pull is not None
    said = await scene.get(f"/issues/{it.pull.number}/comments")
    assert any("### Done" in each["body"] for each in said)


@pytest.mark.parametrize("how", ["suspended", "uninstalled"])
async def test_the_app_is_gone(house: House, how: str) -> None:
    def leave(repository: Repository) -> None:
        here = installation(house, repository)
        if how == "suspended":
            house.world.suspend(True, here)
        else:
            del house.world.installations[here.id]
            hooks.installation(house.world, here, "deleted", here.account)

    _, it = await meanwhile(house, leave)
    assert it.state == "failed" and it.end is not None
    assert how in it.end.summary or "not installed" in it.end.summary
    async with asyncio.timeout(20):  # where the job was ended over its worker's head
        while it.sandbox_id in await house.sandboxes():
            pass


async def test_its_writes_are_counted_with_those_of_all_workers(house: House) -> None:
    scene = house.scene(README, script=TWO)
    here = installation(house, house.world.repository(scene.repository))
    await scene.job(await scene.say("/vibecode do two things"))
    assert await Pace(house.store).left(here.id) < AN_HOURS_HALF
