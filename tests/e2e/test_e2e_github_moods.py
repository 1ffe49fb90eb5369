"""What people and GitHub do to a repository while a job runs there: a clear end each time."""

import asyncio
import subprocess
from collections.abc import Callable

import pytest
from house import House, Scene
from scripts import job, write

from jobs.job import Job
from vibecoder.local.github import hooks
from vibecoder.local.github.records import Installation, Repository
from vibecoder.local.model.script import Request, Turn

README = {"README.md": b"# A library\n"}
TWO = job(("First", [write("a.txt", "a\n")]), ("Second", [write("b.txt", "b\n")]))
Act = Callable[[Repository], object]


async def meanwhile(house: House, act: Act) -> tuple[Scene, Job]:
    """A job of two steps; `act` happens once its first step is saved and its pull request open."""
    done = False

    def play(request: Request) -> Turn:
        nonlocal done
        if "finish_run" in request.tools and request.turns == 2 and not done:
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


async def test_a_permission_is_withdrawn(house: House) -> None:
    def withdraw(repository: Repository) -> None:
        installation(house, repository).permissions["contents"] = "read"
        house.world.expire_tokens()

    scene, it = await meanwhile(house, withdraw)
    assert it.state == "failed" and it.end is not None
    assert "contents: write" in it.end.summary
    assert "contents: write" in await scene.answer("This did not work")
    runs = (await scene.get(f"/commits/{it.head_sha}/check-runs"))["check_runs"]
    assert [run["conclusion"] for run in runs] == ["failure"]


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
