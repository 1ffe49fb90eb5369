"""The model's API fails in every way it can: each job goes on or ends with a sentence."""

import asyncio
from decimal import Decimal

import pytest
from house import PATIENCE, House, Scene
from scripts import finished, job, write

from jobs.events import Charged, JobEvent, Noted
from jobs.job import Job
from vibecoder.local.model.script import Request, Turn, call, say

README = {"README.md": b"# A library\n"}
HELLO = job(("Say hello", [write("hello.txt", "hello\n")]))
FINISH_SECOND = call("finish_step", summary="Second", run_ids=[])
DANGER = call("run_command", command="touch /home/user/repo/cut.txt")


async def done(scene: Scene) -> Job:
    return await scene.job(await scene.say("/vibecode do it"))


async def told(house: House, job: Job, words: str) -> list[str]:
    """The lines with these words that the person saw."""
    events = await happened(house, job)
    return [event.text for event in events if isinstance(event, Noted) and words in event.text]


async def happened(house: House, job: Job) -> list[JobEvent]:
    return [event for _, event in await house.store.history(job.id)]


def conversations(house: House, scene: Scene) -> list[list[int]]:
    """Of each conversation with the executor, how many answers it held, request by request."""
    found: dict[str, list[int]] = {}
    for request in house.here.stage.requests:
        if scene.repository in request.task and "finish_run" in request.tools:
            found.setdefault(request.task, []).append(request.turns)
    return list(found.values())


@pytest.mark.parametrize(
    "mood",
    [
        Turn(status=429),
        Turn(status=429, retry_after=0.01),
        Turn(status=500),
        Turn(status=529),
        Turn((say("hm"), DANGER), error_after_events=5),
        Turn((say("hm"), DANGER), error_after_events=5, error_type="rate_limit_error"),
        Turn((DANGER,), cut_after_events=6),
        Turn((DANGER,), stop_reason="max_tokens"),
    ],
    ids=["429", "retry-after", "500", "529", "overloaded", "limited", "cut", "max-tokens"],
)
async def test_a_mood_that_passes_is_not_noticed(house: House, mood: Turn) -> None:
    moody = False

    def play(request: Request) -> Turn:
        nonlocal moody
        if "finish_run" in request.tools and request.turns == 1 and not moody:
            moody = True
            return mood
        return HELLO(request)

    scene = house.scene(README, script=play)

    it = await done(scene)

    assert it.state == "succeeded", it.end
    assert it.commits[0].files == ("hello.txt",)  # and nothing that a broken answer asked for
    assert await told(house, it, "API") == []
    assert conversations(house, scene) == [[0, 1, 1, 2]]


async def test_a_person_is_told_of_an_outage_once(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    house.here.stage.interrupt(Turn(status=529), Turn((say("hm"),), error_after_events=2))

    it = await done(scene)

    assert it.state == "succeeded", it.end
    assert await told(house, it, "API") == ["The model's API is overloaded; I try again."]


async def test_an_outage_without_end_ends_the_job_with_a_sentence(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    house.here.stage.interrupt(*[Turn(status=529)] * 3)

    it = await done(scene)

    assert it.state == "failed"
    assert "Try again later" in await scene.answer("overloaded")
    assert len(await told(house, it, "I try again")) == 1
    assert it.sandbox_id not in await house.sandboxes()


async def test_an_api_that_wants_quiet_for_an_hour_is_left_alone(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    house.here.stage.interrupt(Turn(status=429, retry_after=3600))

    it = await done(scene)

    assert it.state == "failed"
    assert await scene.answer("3600 s of quiet")


async def test_a_refusal_keeps_what_was_committed_and_says_what_to_do(house: House) -> None:
    begun = job(("First", [write("a.txt", "a\n")]), ("Second", []))

    def play(request: Request) -> Turn:
        if "finish_run" in request.tools and request.turns == 2:
            return Turn((say("I"), DANGER), stop_reason="refusal", refusal="cyber")
        return begun(request)

    scene = house.scene(README, script=play)

    it = await done(scene)

    assert it.state == "failed"
    assert [commit.subject for commit in it.commits] == ["First"]
    assert it.end is not None and it.end.not_done == ("Second",)
    assert "in other words" in await scene.answer("declined")


async def test_answers_that_never_fit_stop_the_job(house: House) -> None:
    scene = house.scene(README, script=HELLO)
    house.here.stage.interrupt(*[Turn((DANGER,), stop_reason="max_tokens")] * 2)

    it = await done(scene)

    assert it.state == "stopped"
    assert await scene.answer("128,000 tokens")


FULL = Turn((say("hm"),), stop_reason="model_context_window_exceeded")
TWO = job(("First", [write("a.txt", "a\n")]), ("Second", [write("b.txt", "b\n")]))


def outgrown(request: Request) -> bool:
    return "Another conversation worked on this plan" in request.task


async def test_a_full_conversation_is_followed_by_another(house: House) -> None:
    def play(request: Request) -> Turn:
        if outgrown(request):
            return (Turn((FINISH_SECOND,)), finished())[request.turns]
        full = "finish_run" in request.tools and request.turns == 3
        return FULL if full else TWO(request)

    scene = house.scene(README, script=play)

    it = await done(scene)

    assert it.state == "succeeded", it.end
    assert [commit.files for commit in it.commits] == [("a.txt",), ("b.txt",)]
    assert conversations(house, scene) == [[0, 1, 2, 3], [0, 1]]
    last = house.here.stage.requests[-1].task
    assert "- First (a.txt)" in last and "write_file b.txt" in last
    assert "write_file a.txt" not in last  # that is committed
    assert len(await told(house, it, "grew too long")) == 1


async def test_the_following_conversation_survives_its_sandbox(house: House) -> None:
    asleep = asyncio.Event()

    def play(request: Request) -> Turn:
        if not outgrown(request):
            full = "finish_run" in request.tools and request.turns == 3
            return FULL if full else TWO(request)
        if not request.turns:
            asleep.set()
            return Turn((call("run_command", command="sleep 300"),))
        again = Turn((write("b.txt", "b\n"),)), Turn((FINISH_SECOND,)), finished()
        return again[sum(not result.is_error for result in request.exchanges)]

    scene = house.scene(README, script=play)
    said = await scene.say("/vibecode do it")
    await asyncio.wait_for(asleep.wait(), PATIENCE)
    running = await scene.job_when(said, lambda it: bool(it.commits))

    await house.kill_sandbox(running.sandbox_id)

    it = await scene.job(running.id)
    assert it.state == "succeeded", it.end
    assert [commit.files for commit in it.commits] == [("a.txt",), ("b.txt",)]
    assert conversations(house, scene) == [[0, 1, 2, 3], [0, 1, 2, 3]]
    charged = [event for event in await happened(house, it) if isinstance(event, Charged)]
    assert len(charged) == 1 + 4 + 4  # the plan's, and each of the others' once


async def test_work_that_never_fits_stops_after_the_third_conversation(house: House) -> None:
    def play(request: Request) -> Turn:
        return FULL if "finish_run" in request.tools and request.turns == 1 else TWO(request)

    scene = house.scene(README, script=play)

    it = await done(scene)

    assert it.state == "stopped"
    assert await scene.answer("in smaller pieces")
    held = [turns for each in conversations(house, scene) for turns in each]
    assert held == [0, 1] * 3


async def test_planning_and_working_share_one_budget(house: House) -> None:
    def play(request: Request) -> Turn:
        thoughts = () if request.turns else (say("word " * 12_000),)
        return Turn((*thoughts, *HELLO(request).blocks))

    unlimited = await done(house.scene(README, script=play))
    assert unlimited.state == "succeeded", unlimited.end
    enough_for_one = unlimited.usd * Decimal("0.8")
    settings = {".github/vibecode.yml": f"usd: {enough_for_one:.2f}\n".encode()}

    it = await done(house.scene(README | settings, script=play))

    assert it.state == "stopped"
    assert it.usd <= enough_for_one
