"""What people say to a job: another plan, please; and words to the agent while it works."""

from typing import Any

import httpx
import pytest
from house import House, Scene
from scripts import finished, planned, shell, write

from jobs.events import Heard, Noted, Revised, Said, Steered
from jobs.job import Job
from vibecoder.local.model.script import Request, Script, Turn, call, say, text_of, think, turns

README = {"README.md": b"# A library\n"}


async def post(api: httpx.AsyncClient, path: str, body: dict[str, Any]) -> httpx.Response:
    return await api.post(path, json=body)


async def plan_by_phone(house: House, script: Script) -> tuple[Scene, Job]:
    scene = house.scene(README, script=script)
    async with house.api("maya") as api:
        wish = {"repository": scene.repository, "text": "say hello"}
        job_id = (await post(api, "/api/plans", wish)).json()["job_id"]
    return scene, await scene.job(job_id)


def told(request: Request) -> str:
    return text_of(request.news)


def revising(request: Request) -> Turn:
    """Plans a greeting in the language that it was asked for."""
    if "submit_plan" not in request.tools:
        return executor(request)
    if "in French" in told(request):
        return Turn((say("French it is."), planned("Say bonjour")))
    return Turn((planned("Say hello"),))


executor = turns(
    Turn((write("hello.txt", "bonjour\n"),)),
    Turn((call("finish_step", summary="Said it.", run_ids=[]),)),
    finished(),
)


async def test_a_plan_that_was_sent_back_comes_again_and_never_counts_again(house: House) -> None:
    scene, first = await plan_by_phone(house, revising)
    async with house.api("maya") as api:
        body = {"plan_digest": first.digest, "text": "Please greet in French."}
        stale = body | {"plan_digest": "0" * 64}
        assert (await post(api, f"/api/jobs/{first.id}/revise", stale)).status_code == 409
        answer = await post(api, f"/api/jobs/{first.id}/revise", body)
        assert (answer.status_code, answer.json()) == (200, {"job_id": first.id})
        second = await planned_again(house, first)
        assert second.plan is not None and second.plan.title == "Say bonjour"

        accept = f"/api/jobs/{first.id}/accept"
        refused = await post(api, accept, {"plan_digest": first.digest})
        assert refused.status_code == 409
        assert second.digest[:8] in refused.json()["detail"]
        await post(api, accept, {"plan_digest": second.digest})
    done = await scene.job_until(first.id, "succeeded")
    assert done.plan is not None and done.plan.title == "Say bonjour"
    events = [event for _, event in await house.store.history(first.id)]
    (revised,) = [event for event in events if isinstance(event, Revised)]
    assert (revised.actor.login, revised.digest) == ("maya", first.digest)
    (heard,) = [event for event in events if isinstance(event, Heard)]
    assert heard.text == "French it is."
    # In one conversation, with the plan that it was about.
    asked = next(r for r in house.here.stage.requests if "in French" in told(r))
    assert "Say hello" in told(asked) and asked.turns == 1


async def planned_again(house: House, job: Job) -> Job:
    async for _ in house.store.follow(job.id):
        now = await house.store.load(job.id)
        if now.state == "awaiting_approval" and now.digest != job.digest:
            return now
    raise AssertionError(f"{job.id} ended")


async def test_the_same_plan_again_has_another_digest(house: House) -> None:
    _, first = await plan_by_phone(house, turns(*[Turn((planned("Say hello"),))] * 2))
    async with house.api("maya") as api:
        body = {"plan_digest": first.digest, "text": "Think again."}
        await post(api, f"/api/jobs/{first.id}/revise", body)
    second = await planned_again(house, first)
    assert second.plan == first.plan


def listening(request: Request) -> Turn:
    """Plans, then works on and on until somebody says something, and does that."""
    if "submit_plan" in request.tools:
        return Turn((planned("Say hello"),))
    results = [result.tool for result in request.exchanges if not result.is_error]
    if "Message 1 from maya" in told(request):
        return Turn((say("I write it in capitals."), write("hello.txt", "HELLO\n")))
    if "write_file" not in results:
        return Turn((shell(f"echo {request.turns}"),))
    if "finish_step" not in results:
        return Turn((call("finish_step", summary="Said it.", run_ids=[]),))
    return finished()


async def test_the_agent_hears_what_is_said_while_it_works(house: House) -> None:
    scene, plan = await plan_by_phone(house, listening)
    async with house.api("maya") as api:
        steer = f"/api/jobs/{plan.id}/steer"
        early = await post(api, steer, {"text": "In capitals, please."})
        assert early.status_code == 409 and "plan" in early.json()["detail"]
        await post(api, f"/api/jobs/{plan.id}/accept", {"plan_digest": plan.digest})
        await scene.job_until(plan.id, "running")
        said = await post(api, steer, {"text": "In capitals, please."})
        assert (said.status_code, said.json()) == (200, {"job_id": plan.id})
        done = await scene.job_until(plan.id, "succeeded")
        late = await post(api, steer, {"text": "And louder."})
        assert late.status_code == 409 and "too late" in late.json()["detail"]
    assert (len(done.words), done.heard) == (1, 1)
    events = [event for _, event in await house.store.history(plan.id)]
    kinds = [type(e) for e in events if isinstance(e, Steered | Heard)]
    assert kinds == [Steered, Heard]
    heard = next(e for e in events if isinstance(e, Heard))
    assert heard.text == "I write it in capitals."
    patch = (await scene.get(f"/pulls/{done.pull.number}/files"))[0]["patch"] if done.pull else ""
    assert "+HELLO" in patch


async def prose(house: House, script: Script) -> list[Any]:
    """What was kept of a planner's words: pieces, then lines."""
    _, plan = await plan_by_phone(house, script)
    events = [event for _, event in await house.store.history(plan.id)]
    assert plan.said == sum(len(event.text) for event in events if isinstance(event, Said))
    return [event for event in events if isinstance(event, Said | Noted)]


async def test_what_the_model_writes_is_kept_as_it_was_written(house: House) -> None:
    words = "I look at it, and think. " * 40
    script = turns(Turn((think("Where is it?"), say(words), planned("Say hello"))))
    kept = await prose(house, script)
    assert all(isinstance(event, Said) for event in kept)
    told = "".join("|" * event.begins + event.text for event in kept)
    assert told.startswith(f"|Where is it?|{words}|Say hello\n\nWhat has to be done.")
    assert len(kept) < 10  # some twenty deltas


async def test_beyond_a_limit_there_is_a_line_for_each_text(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.prose.MOST_CHARS", 100)
    script = turns(
        Turn((say("first " * 20), shell("true"))),
        Turn((say("second " * 200), planned("Say hello"))),
    )
    kept = await prose(house, script)
    said = [event.text for event in kept if isinstance(event, Said)]
    noted = [event.text for event in kept if isinstance(event, Noted)]
    assert ("first " * 20).startswith("".join(said)) and sum(map(len, said)) >= 100
    assert noted[-1] == ("second " * 200)[:500]


async def test_a_second_comment_changes_the_plan_that_waits(house: House) -> None:
    scene = house.scene(README, script=revising)
    first = await scene.job(await scene.say("/vibecode plan a greeting"))
    said = await scene.say("/vibecode in French, please")
    second = await planned_again(house, first)
    assert "joined" in await house.verdict(said.key)
    assert second.plan is not None and second.plan.title == "Say bonjour"
    answer = await scene.answer("plan anew")
    assert "maya" in answer
    assert f"/vibecode accept {second.digest[:8]}" in await scene.answer("/vibecode accept")


async def test_an_answered_question_makes_a_plan_that_waits_as_well(house: House) -> None:
    asks = {"text": "In which language?", "options": [], "default": ""}

    def script(request: Request) -> Turn:
        if "in French" in told(request):
            return Turn((planned("Say bonjour"),))
        return Turn((planned("Say hello", questions=[asks]),))

    scene = house.scene(README, script=script)
    first = await scene.job(await scene.say("/vibecode say hello"))
    assert first.state == "awaiting_approval"
    await scene.say("/vibecode in French")
    second = await planned_again(house, first)
    assert second.plan is not None and second.plan.questions == ()


async def test_a_second_comment_is_told_to_the_agent_at_work(house: House) -> None:
    scene = house.scene(README, script=listening)
    first = await scene.say("/vibecode say hello")
    job = await scene.job_when(first, lambda job: job.state == "running")
    waits = await scene.say("/vibecode plan something else")
    assert "refused" in await house.verdict(waits.key)
    said = await scene.say("/vibecode in capitals")
    assert "joined" in await house.verdict(said.key)
    done = await scene.job_until(job.id, "succeeded")
    assert [word.text for word in done.words] == ["in capitals"]
    assert await scene.answer("tell this to the agent")
    assert await scene.reactions(said) == ["eyes"]
