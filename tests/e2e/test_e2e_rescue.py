"""A push that GitHub refuses, or cannot take just now, loses no work."""

import base64
import gzip
import re
import subprocess
from pathlib import Path

import pytest
from house import House, Scene
from scripts import finished, job, write

from jobs import work
from jobs.job import Job
from vibecoder.local.model.script import Request, Turn

README = {"README.md": b"# A library\n"}
HELLO = job(("Say hello", [write("hello.txt", "hello\n"), write("tab.txt", "\t@maya\r\n")]))


def git(folder: Path, *words: str, data: bytes | None = None) -> str:
    names = ("-c", "user.name=Maya", "-c", "user.email=maya@example.com")
    done = subprocess.run(
        ["git", *names, *words], cwd=folder, input=data, check=True, capture_output=True
    )
    return done.stdout.decode().strip()


def bare(house: House, scene: Scene) -> Path:
    return house.world.repository(scene.repository).folder


async def planned(house: House) -> tuple[Scene, Job]:
    scene = house.scene(README, script=HELLO)
    return scene, await scene.job(await scene.say("/vibecode plan say hello"))


async def test_a_protected_branch_gets_no_push_and_the_commit_comes_as_a_patch(
    house: House, tmp_path: Path
) -> None:
    scene, plan = await planned(house)
    house.world.protect(scene.repository, plan.branch)

    await scene.say("/vibecode accept")

    it = await scene.job_until(plan.id, "failed")
    assert it.end is not None
    assert "rule of the repository protects the branch" in it.end.summary
    assert "attached as a patch" in it.end.summary
    said = await scene.answer("could not be pushed")
    block = re.search(r"```\n(.*?)\n```", said, re.DOTALL)
    assert block is not None
    mail = gzip.decompress(base64.b64decode(block[1]))
    git(tmp_path, "clone", "-q", str(bare(house, scene)), "clone")
    git(tmp_path / "clone", "am", "-q", "--keep-cr", data=mail)
    assert (tmp_path / "clone" / "hello.txt").read_bytes() == b"hello\n"
    assert (tmp_path / "clone" / "tab.txt").read_bytes() == b"\t@maya\r\n"
    assert git(tmp_path / "clone", "log", "-1", "--format=%s") == "Say hello"
    assert await scene.get("/pulls?state=all") == []
    async with house.api("maya") as phone:
        status = (await phone.get(f"/api/agent/status/{plan.id}")).json()
    assert gzip.decompress(base64.b64decode(status["patch"])) == mail


async def test_where_a_person_moved_our_branch_the_work_goes_to_another(house: House) -> None:
    two = job(("First", [write("a.txt", "a\n")]), ("Second", [write("b.txt", "b\n")]))
    theirs = ""

    def play(request: Request) -> Turn:
        nonlocal theirs
        if "finish_run" in request.tools and request.turns == 3 and not theirs:
            (branch,) = git(
                there, "for-each-ref", "--format=%(refname)", "refs/heads/vibecode"
            ).split()
            theirs = git(there, "commit-tree", f"{branch}^{{tree}}", "-p", branch, "-m", "Mine")
            git(there, "update-ref", branch, theirs)
        return two(request)

    scene = house.scene(README, script=play)
    there = bare(house, scene)

    it = await scene.job(await scene.say("/vibecode do two things"))

    assert it.state == "failed" and it.end is not None
    assert f"{it.branch}-2" in it.end.summary
    assert git(there, "rev-parse", it.branch) == theirs
    assert git(there, "log", "--format=%s", f"main..{it.branch}-2").split("\n") == [
        "Second",
        "First",
    ]


async def test_a_push_that_github_cannot_take_just_now_is_tried_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "AWAY_SECONDS", 0.1)
    scene = house.scene(README, script=_saves_again)
    path = f"{scene.repository}.git/git-receive-pack"
    house.world.faults.add("POST", path, times=4, status=503, headers={"Retry-After": "0"})

    it = await scene.job(await scene.say("/vibecode say hello"))

    assert it.state == "succeeded", it.end
    assert [commit.subject for commit in it.commits] == ["Say hello"]
    assert len(await scene.get("/pulls?state=all")) == 1


def _saves_again(request: Request) -> Turn:
    if "submit_plan" in request.tools or request.turns < 2:
        return HELLO(request)
    saved = any(it.tool == "finish_step" and not it.is_error for it in request.exchanges)
    if saved:
        return finished()
    return Turn(({"type": "tool_use", "name": "finish_step", "input": {"summary": "Say hello"}},))
