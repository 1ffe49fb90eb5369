"""What the phone can do to a job, and that it is the same as what a comment does."""

import asyncio
import time
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest
from webhook_front import commented
from webhook_place import WISH, Place, detail
from webhook_story import DIGEST, ends, follows, plans

from jobs.commands import AcceptPlan, Actor, CancelJob, RevisePlan, StartJob, Steer
from jobs.events import Budgeted

MAYA = Actor(1, "maya")


async def act(
    place: Place, job_id: str, verb: str, body: Any = None, by: str = "maya", key: str = ""
) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    path = f"/api/jobs/{job_id}/{verb}"
    return await place.ask("POST", path, {} if body is None else body, by=by, headers=headers)


REVISION = {"plan_digest": DIGEST, "text": "Smaller steps."}


async def test_each_act_is_a_command(place: Place) -> None:
    job_id = await place.planned()
    maya = Actor(place.world.account("maya").id, "maya")
    assert (await act(place, job_id, "accept", {"plan_digest": DIGEST})).json() == {
        "job_id": job_id
    }
    assert (await act(place, job_id, "revise", REVISION)).json() == {"job_id": job_id}
    await follows(place.store, job_id, maya)
    assert (await act(place, job_id, "steer", {"text": "Mind it."})).json() == {"job_id": job_id}
    assert (await act(place, job_id, "cancel")).json() == {"job_id": job_id}
    _, accept, revise, steer, cancel = await place.commands()
    assert isinstance(accept, AcceptPlan) and accept.digest == DIGEST
    assert isinstance(revise, RevisePlan)
    assert (revise.text, revise.digest) == ("Smaller steps.", DIGEST)
    assert isinstance(steer, Steer) and steer.text == "Mind it."
    assert isinstance(cancel, CancelJob)
    for command in (accept, revise, steer, cancel):
        assert (command.job_id, command.actor) == (job_id, maya)


async def test_what_does_not_fit_the_job_is_said(place: Place) -> None:
    job_id = (await place.ask("POST", "/api/plans", WISH)).json()["job_id"]
    assert "No plan" in detail(await act(place, job_id, "revise", REVISION), 409)
    assert "once it has ended" in detail(await act(place, job_id, "retry"), 409)
    await plans(place.store, job_id)
    assert "plan waits" in detail(await act(place, job_id, "steer", {"text": "Hm."}), 409)
    stale = REVISION | {"plan_digest": "0" * 64}
    assert DIGEST[:8] in detail(await act(place, job_id, "revise", stale), 409)
    assert "text" in detail(await act(place, job_id, "revise", REVISION | {"text": " "}), 422)
    await ends(place.store, job_id, "cancelled", "Stopped by maya.")
    assert "already cancelled" in detail(await act(place, job_id, "cancel"), 409)
    assert "too late" in detail(await act(place, job_id, "steer", {"text": "Hm."}), 409)
    assert [type(command) for command in await place.commands()] == [StartJob]


async def test_a_retry_is_the_same_wish_again(place: Place) -> None:
    wish = WISH | {"issue": 1, "base": "main"}
    job_id = (await place.ask("POST", "/api/plans", wish)).json()["job_id"]
    await ends(place.store, job_id, "failed", "It broke.")
    answers = [await act(place, job_id, "retry", key="again") for _ in range(2)]
    (again,) = {answer.json()["job_id"] for answer in answers}
    assert again != job_id
    first, second = await place.commands()
    assert replace(second, key=first.key) == first
    assert "Another job" in detail(await act(place, job_id, "retry", key="more"), 409)


async def test_a_retry_keeps_what_people_let_the_job_cost(place: Place) -> None:
    job_id = await place.planned()
    said = Budgeted(time.time(), MAYA, Decimal(3))
    await place.store.append(job_id, [said])
    await ends(place.store, job_id, "stopped", "It cost too much.")
    await act(place, job_id, "retry")
    *_, retry = await place.commands()
    assert isinstance(retry, StartJob) and retry.usd == Decimal(3)


@pytest.mark.parametrize("verb", ["accept", "revise", "steer", "cancel", "retry"])
async def test_nobody_acts_on_what_is_not_theirs(place: Place, verb: str) -> None:
    job_id = await place.planned()
    bodies = {"accept": {"plan_digest": DIGEST}, "revise": REVISION, "steer": {"text": "Hm."}}
    body = bodies.get(verb)
    assert "write permission" in detail(await act(place, job_id, verb, body, by="rob"), 403)
    assert "no job" in detail(await act(place, job_id, verb, body, by="sam"), 404)
    assert len(await place.commands()) == 1


async def test_a_request_that_is_sent_again_counts_once(place: Place) -> None:
    job_id = await place.planned()
    answers = await asyncio.gather(
        *(act(place, job_id, "revise", REVISION, key="one") for _ in range(5))
    )
    assert {answer.status_code for answer in answers} == {200}
    await ends(place.store, job_id, "cancelled", "Stopped.")  # a late repetition finds it elsewhere
    assert (await act(place, job_id, "revise", REVISION, key="one")).status_code == 200
    other = REVISION | {"text": "Bigger steps."}
    assert "already used" in detail(await act(place, job_id, "revise", other, key="one"), 422)
    assert len(await place.commands()) == 2


async def test_keys_of_two_people_and_of_two_jobs_do_not_meet(place: Place) -> None:
    place.world.set_role("acme/widget", "rob", "write")
    jobs = []
    for by in ("maya", "rob"):
        headers = {"Idempotency-Key": "one"}
        answer = await place.ask("POST", "/api/plans", WISH, by=by, headers=headers)
        jobs.append(answer.json()["job_id"])
    assert len(set(jobs)) == 2
    for job_id in jobs:
        await follows(place.store, job_id, MAYA)
        for by in ("maya", "rob"):
            await act(place, job_id, "steer", {"text": "Mind it."}, by=by, key="one")
    steers = [command for command in await place.commands() if isinstance(command, Steer)]
    assert len(steers) == 4


async def test_who_waits_knows_behind_how_many(place: Place) -> None:
    jobs = []
    for _ in range(3):
        job_id = (await place.ask("POST", "/api/plans", WISH)).json()["job_id"]
        await place.store.enqueue_run(job_id)
        jobs.append(job_id)
    ahead = [
        (await place.ask("GET", f"/api/agent/status/{job_id}")).json()["queued_behind"]
        for job_id in jobs
    ]
    assert ahead == [0, 1, 2]
    listed = (await place.ask("GET", "/api/jobs")).json()["jobs"]
    assert [job["queued_behind"] for job in listed] == [2, 1, 0]


async def test_comment_and_phone_make_the_same_commands(place: Place) -> None:
    """All that differs is the key, and the comment that a receipt goes to."""
    repository = place.world.repository("acme/widget")
    title = "Retries are flaky"

    async def say(words: str, comment: int) -> None:
        delivered = commented(
            words,
            comment={"id": comment, "issue_url": "https://api.github.example/x/issues/1"},
            issue={"number": 1, "title": title},
            repository={"id": repository.id, "full_name": "acme/widget", "private": True},
            installation={"id": place.world.installation_id},
            sender={"id": place.world.account("maya").id, "login": "maya"},
        )
        await place.front.deliver(delivered, guid=f"g{comment}")
        await place.front.settled(f"g{comment}")

    await say("/vibecode plan Fix the flaky retry", 1)
    await say(f"/vibecode accept {DIGEST}", 2)
    await say("/vibecode stop", 3)
    said = await place.commands()
    await place.store.redis.flushall()
    job_id = await place.planned(WISH | {"issue": 1})
    await act(place, job_id, "accept", {"plan_digest": DIGEST})
    await act(place, job_id, "cancel")
    asked = await place.commands()

    def bare(command: Any) -> Any:
        more = {} if isinstance(command, StartJob) else {"job_id": None}
        return replace(command, key="", comment=None, **more)

    assert [bare(command) for command in said] == [bare(command) for command in asked]
