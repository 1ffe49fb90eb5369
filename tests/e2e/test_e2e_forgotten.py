"""What is let go: jobs of an installation that is gone, plans that nobody accepts."""

import asyncio
import os
import sys
import time

import httpx
from house import House, Scene
from scripts import job, write

from jobs.commands import Forget
from jobs.expire import DAYS, expire_plans
from jobs.forge.github import GitHub
from jobs.forge.tokens import AppSettings
from jobs.queue.store import command_id_of

README = {"README.md": b"# A library\n"}
HELLO = job(("Say hello", [write("hello.txt", "hello\n")]))


def _installation(house: House, scene: Scene) -> int:
    repository = house.world.repository(scene.repository)
    return next(
        it.id for it in house.world.installations.values() if repository.id in it.repository_ids
    )


async def uninstall(house: House, scene: Scene) -> int:
    id = _installation(house, scene)
    async with httpx.AsyncClient(base_url=f"{house.here.github_url}/_admin") as admin:
        (await admin.delete(f"/installations/{id}")).raise_for_status()
    return id


async def test_uninstalling_ends_what_runs_and_drops_what_was_kept(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    plan = await scene.job(await scene.say("/vibecode plan say hello"))
    assert await house.store.redis.exists(f"vc:journal:{plan.id}")

    gone = await uninstall(house, scene)

    await house.verdict(f"uninstalled:{gone}")
    ended = await house.store.load(plan.id)
    assert ended.state == "failed" and "uninstalled" in ended.end.summary  # type: ignore[union-attr]
    assert not await house.store.redis.exists(f"vc:journal:{plan.id}")
    assert await house.store.of_installation(gone) == []
    assert await house.sandboxes() == []


async def purge(house: House, *words: str) -> str:
    """What `vibecoder purge` says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "vibecoder", "purge", *words),
        env={**os.environ, "REDIS_URL": house.here.redis_url, "COLUMNS": "100"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return said.decode()


async def test_an_operator_can_have_an_installation_forgotten(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    plan = await scene.job(await scene.say("/vibecode plan say hello"))
    id = str(_installation(house, scene))
    listed = next(line for line in (await purge(house)).splitlines() if f" {id} " in line)
    assert [cell.strip() for cell in listed.split("│")[1:-1]] == [
        id,
        scene.repository.partition("/")[0],
        "1",
        "1",
    ]

    assert f"1 jobs of installation {id} are forgotten" in await purge(house, id)

    assert (await house.store.load(plan.id)).ended
    assert not await house.store.redis.exists(f"vc:journal:{plan.id}")
    assert id not in await purge(house)
    assert "There is no job j0" in await purge(house, "--job", "j0")


async def test_a_replayed_uninstall_forgets_nothing_while_the_app_is_there(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    plan = await scene.job(await scene.say("/vibecode plan say hello"))
    there = plan.repository.installation_id

    replayed = Forget(f"uninstalled:{there}", plan.command.actor, there)
    await house.store.submit(replayed, time.time() - 3_600)

    assert "still installed" in await house.verdict(f"uninstalled:{there}")
    assert (await house.store.load(plan.id)).state == "awaiting_approval"


async def test_a_plan_that_nobody_accepts_ends_with_a_sentence(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    plan = await scene.job(await scene.say("/vibecode plan say hello"))
    assert plan.id not in await expire_plans(house.store, time.time)

    later = time.time() + DAYS * 86_400 + 60
    assert plan.id in await expire_plans(house.store, lambda: later)

    assert (await scene.job_until(plan.id, "cancelled")).end
    assert await scene.answer("Nobody accepted the plan")


async def test_an_answer_that_came_twice_is_taken_back(house: House) -> None:
    scene = house.scene(README)
    said = await scene.say("/vibecode stop")
    await house.verdict(said.key)
    first = await scene.answer("No job of mine")
    # A worker that had lost the command, and was frozen meanwhile, answers too.
    there = house.world.repository(scene.repository)
    app = AppSettings(
        str(house.world.app_id), house.world.private_key, f"{house.here.github_url}/api/v3"
    )
    async with GitHub(app) as github:
        token = await github.tokens.token(_installation(house, scene), there.id)
    async with httpx.AsyncClient(base_url=app.api_url) as late:
        answer = await late.post(
            f"/repos/{scene.repository}/issues/{scene.issue}/comments",
            json={"body": first},
            headers={"Authorization": f"token {token}"},
        )
        answer.raise_for_status()
    assert len(await scene.answers()) == 2

    await house.store.settle_again(command_id_of(said.key))

    def one_left() -> bool:
        comments = there.issues[scene.issue].comments.values()
        return sum("No job of mine" in it.body for it in comments) == 1

    assert await house.until(one_left)
