"""Repositories and sandboxes that are not as one would wish."""

import os

from house import House, Scene
from scripts import finished, job, nothing, shell, write

from jobs.job import Job

README = {"README.md": b"# A library\n"}
BLOCKED = finished("blocked", "It was refused.")


async def done(house: House, scene: Scene, words: str = "/vibecode do it") -> Job:
    return await scene.job(await scene.say(words))


def refusals(house: House, scene: Scene) -> str:
    """What the model was told when its step was not committed."""
    told = [
        result.text
        for request in house.here.stage.requests
        if scene.repository in request.task
        for result in request.results
        if result.is_error
    ]
    return "\n".join(told)


async def test_a_repository_without_commits(house: House) -> None:
    scene = house.scene({}, script=job(("Begin", [write("a.txt", "a\n")])))

    assert (await done(house, scene)).state == "failed"
    assert "no commit" in await scene.answer("no commit")


async def test_links_out_of_the_repository_lead_nowhere(house: House) -> None:
    files = README | {
        "hosts": (0o120000, b"/etc/hostname"),
        "up": (0o120000, b"../../../etc/passwd"),
    }
    look = shell("cat hosts up; cat /etc/shadow; echo over")
    scene = house.scene(files, script=job(("Look", [look, write("a.txt", "a\n")])))

    it = await done(house, scene)

    assert it.state == "succeeded", it.end
    assert it.commits[0].files == ("a.txt",)


async def test_names_that_are_not_utf8_survive(house: House) -> None:
    files = README | {os.fsdecode(b"caf\xe9.txt"): b"bytes\n"}
    scene = house.scene(files, script=job(("Add", [write("a.txt", "a\n")])))

    it = await done(house, scene)

    assert it.state == "succeeded", it.end
    assert it.commits[0].files == ("a.txt",)


async def test_submodules_are_left_alone(house: House) -> None:
    files = README | {
        ".gitmodules": b'[submodule "lib"]\n\tpath = lib\n\turl = https://example.org/lib.git\n',
        "lib": (0o160000, b"1" * 40),
    }
    scene = house.scene(files, script=job(("Add", [write("a.txt", "a\n")])))

    it = await done(house, scene)

    assert it.state == "succeeded", it.end
    assert it.commits[0].files == ("a.txt",)


async def test_content_for_an_lfs_pointer_is_refused_by_name(house: House) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize 9\n" % (b"a" * 64)
    files = README | {".gitattributes": b"*.bin filter=lfs\n", "model.bin": pointer}
    change = shell("printf 'real content' > model.bin")
    scene = house.scene(files, script=job(("Change it", [change]), end=BLOCKED))

    it = await done(house, scene)

    assert "model.bin" in refusals(house, scene)
    assert it.commits == () and it.state == "failed"


async def test_a_planted_git_folder_is_refused_by_name(house: House) -> None:
    plant = shell("mkdir -p sub/.git/hooks && echo 'echo hi' > sub/.git/hooks/post-checkout")
    scene = house.scene(README, script=job(("Plant", [plant, write("a.txt", "a\n")]), end=BLOCKED))

    it = await done(house, scene)

    assert "sub/.git" in refusals(house, scene)
    assert it.commits == ()


async def test_an_escaping_link_is_refused_by_name(house: House) -> None:
    link = shell("ln -s /etc/passwd leak && ln -s ../../outside up")
    scene = house.scene(README, script=job(("Link", [link]), end=BLOCKED))

    it = await done(house, scene)

    told = refusals(house, scene)
    assert "leak" in told and "up" in told
    assert it.commits == ()


async def test_a_huge_artefact_is_refused_unless_it_is_ignored(house: House) -> None:
    build = shell("mkdir -p build && head -c 200000000 /dev/zero > build/out.bin")
    work = ("Build", [build, write("a.txt", "a\n")])
    refused = house.scene(README, script=job(work, end=BLOCKED))
    ignored = house.scene(README | {".gitignore": b"build/\n"}, script=job(work))

    one, two = await done(house, refused), await done(house, ignored)

    assert "build/out.bin" in refusals(house, refused)
    assert one.commits == ()
    assert two.state == "succeeded", two.end
    assert two.commits[0].files == ("a.txt",)


async def test_workflow_files_are_refused_because_the_app_may_not_push_them(house: House) -> None:
    scene = house.scene(
        README, script=job(("CI", [write(".github/workflows/ci.yml", "on: push\n")]), end=BLOCKED)
    )

    await done(house, scene)

    assert ".github/workflows/ci.yml" in refusals(house, scene)


async def test_a_secret_in_the_change_is_refused(house: House) -> None:
    key = "AKIA" + "Q" * 12 + "EX4M"
    scene = house.scene(
        README, script=job(("Configure", [write("config.ini", f"key={key}\n")]), end=BLOCKED)
    )

    it = await done(house, scene)

    assert "config.ini" in refusals(house, scene)
    assert it.commits == ()


async def test_a_branch_that_somebody_else_made_is_not_written_to(house: House) -> None:
    scene = house.scene(README, script=job(("Add", [write("a.txt", "a\n")])))
    plan = await done(house, scene, "/vibecode plan do it")
    async with house.client("maya") as github:
        made = await github.post(
            f"/repos/{scene.repository}/git/refs",
            json={"ref": f"refs/heads/{plan.branch}", "sha": plan.base_sha},
        )
    assert made.status_code == 201

    await scene.say("/vibecode accept")
    it = await scene.job_until(plan.id, "failed")

    assert it.end is not None and plan.branch in it.end.summary
    branch = await scene.get(f"/git/ref/heads/{plan.branch}")
    assert branch["object"]["sha"] == plan.base_sha


async def test_a_job_that_changes_nothing_opens_no_pull_request_and_says_why(house: House) -> None:
    scene = house.scene(README, script=nothing("The library does that already."))

    it = await done(house, scene)

    assert it.state == "succeeded" and it.pull is None
    assert "does that already" in await scene.answer("already")
    assert await scene.get("/pulls?state=all") == []
