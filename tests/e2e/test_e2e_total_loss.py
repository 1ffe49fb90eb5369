"""Redis loses everything: what is open is found again on GitHub, and nothing happens twice."""

import asyncio
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest_asyncio
from house import BOT, House, Said, Scene, house
from scripts import finished, planned, write

from jobs.job import Job
from jobs.queue.spending import Spending
from jobs.queue.store import job_id_of
from vibecoder.local.model.script import Request, Script, Turn, call

README = {"README.md": b"# A library\n"}
STEPS = ("a", "b", "c")


@pytest_asyncio.fixture(loop_scope="session", name="home")
async def _home(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path, {"lease_seconds": 1.0, "sweep_seconds": 0.2}) as running:
        yield running


def letters(pause: asyncio.Event | None = None, at: str = "") -> Script:
    """Writes a file a step, as the conversation says that it stands; stops before file `at`."""

    def play(request: Request) -> Turn:
        if "submit_plan" in request.tools:
            return Turn((planned(*STEPS),))
        text = str(request.messages)
        step = next((n for n in range(3, 0, -1) if f"Now step {n} of 3" in text), 1)
        if "All 3 steps are finished" in text:
            return finished()
        name = STEPS[step - 1]
        written = any(it.input.get("path") == f"{name}.txt" for it in request.exchanges)
        if written:
            return Turn((call("finish_step", summary=name, run_ids=[]),))
        if name == at and pause is not None and not pause.is_set():
            pause.set()
            return Turn((call("run_command", command="sleep 60"),))
        return Turn((write(f"{name}.txt", name),))

    return play


async def lose_everything(home: House) -> None:
    """Returns once what GitHub knows was looked for."""

    def looks() -> int:
        return sum("looked on GitHub" in str(line["event"]) for line in home.log)

    await home.until(looks)  # at the first start
    before = looks()
    await home.store.redis.flushall()
    await home.until(lambda: looks() > before)


async def one_good_outcome(scene: Scene, said: Said) -> Job:
    """The invariants on GitHub, once the job has ended well."""
    await scene.begun(job_id_of(said.key))
    it = await scene.job_until(job_id_of(said.key), "succeeded")
    assert [commit.number for commit in it.commits] == [1, 2, 3]
    branches = [each["name"] for each in await scene.get("/branches")]
    assert sorted(branches) == sorted(["main", it.branch])
    log = await scene.get(f"/commits?sha={it.branch}")
    assert [each["sha"] for each in reversed(log)][1:] == [commit.sha for commit in it.commits]
    assert len(await scene.get("/pulls?state=all")) == 1
    (answer,) = await scene.answers()
    assert "### Done" in answer
    return it


async def test_a_job_in_mid_work_goes_on_after_its_last_commit(home: House) -> None:
    paused = asyncio.Event()
    scene = home.scene(README, script=letters(paused, "b"))
    said = await scene.say("/vibecode write the letters")
    before = await scene.job_when(said, lambda it: len(it.commits) == 1 and it.pull is not None)
    await asyncio.wait_for(paused.wait(), 20)
    await scene.answer("memo:")

    await lose_everything(home)

    it = await one_good_outcome(scene, said)
    assert it.commits[0].sha == before.commits[0].sha
    assert it.plan == before.plan and it.digest == before.digest


async def test_a_plan_that_waited_can_still_be_accepted(home: House) -> None:
    scene = home.scene(README, script=letters())
    said = await scene.say("/vibecode plan write the letters")
    plan = await scene.job(said)
    await scene.answer("memo:")

    await lose_everything(home)
    await scene.job(said)
    await scene.say(f"/vibecode accept {plan.digest[:8]}")

    await one_good_outcome(scene, said)


async def test_a_plan_that_was_sent_back_is_not_sent_back_once_more(home: House) -> None:
    scene = home.scene(README, script=letters())
    said = await scene.say("/vibecode plan write the letters")
    first = await scene.job(said)
    more = await scene.say("/vibecode in alphabetical order, please")
    second = await scene.job_when(said, lambda job: job.digest not in {"", first.digest})
    assert await scene.answer("plan anew")
    await scene.answer(f"/vibecode accept {second.digest[:8]}")
    await home.verdict(more.key)

    await lose_everything(home)
    again = await scene.job(said)
    assert (again.digest, len(again.words), again.heard) == (second.digest, 1, 1)
    refused = await scene.say(f"/vibecode accept {first.digest[:8]}")
    assert "refused" in await home.verdict(refused.key)
    await scene.say(f"/vibecode accept {second.digest[:8]}")

    done = await scene.job_until(second.id, "succeeded")
    assert len(done.words) == 1 and [commit.number for commit in done.commits] == [1, 2, 3]


async def test_a_request_that_nothing_was_shown_of_is_found_in_githubs_log(home: House) -> None:
    scene = home.scene(README, script=letters())
    home.world.faults.add("GET", f"{scene.repository}/collaborators", delay=1)
    said = await scene.say("/vibecode write the letters")
    await scene.begun(job_id_of(said.key))
    await home.world.courier.settled()

    await lose_everything(home)

    await one_good_outcome(scene, said)


async def test_what_was_over_stays_over(home: House) -> None:
    scene = home.scene(README, script=letters())
    said = await scene.say("/vibecode write the letters")
    done = await one_good_outcome(scene, said)
    stop = await scene.say("/vibecode stop")
    await home.verdict(stop.key)
    before = await scene.answers()

    await lose_everything(home)
    assert (await home.store.load(done.id)).state == "succeeded"
    assert await scene.answers() == before
    assert await home.store.unsettled() == []
    assert len(await home.store.jobs()) == 1


async def test_a_memo_that_a_person_forged_is_not_believed(home: House) -> None:
    scene = home.scene(README, script=letters())
    said = await scene.say("/vibecode plan write the letters")
    plan = await scene.job(said)
    body = await scene.answer("memo:")
    assert plan.command.text not in body.partition("memo:")[2]
    issue = home.world.repository(scene.repository).issues[scene.issue]
    ours = next(it for it in issue.comments.values() if it.body == body)
    ours.body = body.replace("memo:", "memo:AAAA")

    await lose_everything(home)

    # It counts as a request of which nothing is known but the comment that made it.
    again = await scene.job(said)
    assert again.state == "awaiting_approval"
    assert len(await scene.answers()) == 1


async def test_a_job_that_was_planning_plans_again(home: House) -> None:
    paused = asyncio.Event()
    script = letters()

    def play(request: Request) -> Turn:
        if "submit_plan" in request.tools and not paused.is_set():
            paused.set()
            return Turn((call("run_command", command="sleep 60"),))
        return script(request)

    scene = home.scene(README, script=play)
    said = await scene.say("/vibecode write the letters")
    await asyncio.wait_for(paused.wait(), 20)
    await home.world.courier.settled()

    await lose_everything(home)

    await one_good_outcome(scene, said)


async def test_a_last_word_cut_short_is_said_to_its_end(home: House) -> None:
    scene = home.scene(README, script=letters())
    done = await one_good_outcome(scene, await scene.say("/vibecode write the letters"))
    suites = home.world.repository(scene.repository).suites.values()
    (ours,) = (run for it in suites if it.head_sha == done.head_sha for run in it.runs.values())
    ours.status, ours.conclusion = "in_progress", None

    await lose_everything(home)

    await home.until(lambda: ours.status == "completed")
    assert (await home.store.load(done.id)).state == "succeeded"


async def test_what_a_day_cost_is_counted_once_more_and_not_twice(home: House) -> None:
    scene = home.scene(README, script=letters())
    done = await one_good_outcome(scene, await scene.say("/vibecode write the letters"))
    home.world.faults.add("GET", "hook/deliveries", 4, status=502)  # a round that breaks off

    await lose_everything(home)

    # Beside the issue's comment the pull request's remembers it too.
    counted = await Spending(home.store.redis).on(time.time())
    assert abs(counted - done.usd) < Decimal("0.00001") < done.usd


async def test_what_cannot_be_read_does_not_hold_up_the_rest(home: House) -> None:
    closed = home.scene(README, script=letters())
    odd = await closed.say("/vibecode")
    await home.verdict(odd.key)
    scene = home.scene(README, script=letters())
    said = await scene.say("/vibecode plan write the letters")
    plan = await scene.job(said)
    await scene.answer("memo:")
    home.world.faults.add("GET", f"{closed.repository}/issues/comments", status=404)
    home.world.faults.add("GET", r"hook/deliveries/\d+", status=404)

    await lose_everything(home)
    await scene.say(f"/vibecode accept {plan.digest[:8]}")

    await one_good_outcome(scene, said)


async def test_no_first_version_of_a_comment_which_is_mailed_holds_the_memo(home: House) -> None:
    scene = home.scene(README, script=letters())
    done = await one_good_outcome(scene, await scene.say("/vibecode write the letters"))
    assert done.pull is not None
    first = [
        each.detail["body"]
        for each in home.world.effects
        if each.verb == "comment.create" and each.actor == BOT and scene.repository in each.target
    ]
    assert len(first) == 2
    assert not [body for body in first if "memo:" in body]
    for number in (scene.issue, done.pull.number):
        bodies = [each["body"] for each in await scene.get(f"/issues/{number}/comments")]
        assert sum("memo:" in body for body in bodies) == 1
