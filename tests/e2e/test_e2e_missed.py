"""Deliveries that GitHub could not hand over are found in its log; each job still runs, once."""

from pathlib import Path

from house import House, house
from scripts import job, write

README = {"README.md": b"# A library\n"}
HELLO = job(("Say hello", [write("hello.txt", "hello\n")]))
OFTEN = {"sweep_seconds": 0.2, "missed_seconds": 0.5}


def _attempts(home: House) -> int:
    return sum(each.event == "issue_comment" for each in home.world.deliveries.values())


async def test_a_dropped_delivery_is_asked_for_again_and_runs_once(tmp_path: Path) -> None:
    async with house(tmp_path, OFTEN) as home:
        scene = home.scene(README, script=HELLO)
        home.world.faults.add("HOOK", "issue_comment.created", 1, drop=True)

        done = await scene.job(await scene.say("/vibecode say hello"))

        assert done.state == "succeeded", done.end
        identity = home.world.repository(scene.repository).id
        assert len(await home.store.jobs(repository_ids=[identity])) == 1
        assert len(await scene.get("/pulls?state=all")) == 1


async def test_an_hour_of_refused_deliveries_is_made_up_for(tmp_path: Path) -> None:
    async with house(tmp_path, OFTEN) as home:
        there = home.world.hook_url
        home.world.hook_url = "http://127.0.0.1:9/webhook"  # the front door is down
        scenes = [home.scene(README, script=HELLO) for _ in range(3)]
        said = [await scene.say("/vibecode say hello") for scene in scenes]
        # Longer than GitHub's or our patience with a single attempt.
        await home.until(lambda: _attempts(home) >= 3 * 6)
        home.world.hook_url = there

        done = [await scene.job(each) for scene, each in zip(scenes, said, strict=True)]

        assert [it.state for it in done] == ["succeeded"] * 3
        assert len(await home.store.jobs()) == 3
