"""The phone's API, asked by real people of a loopback GitHub."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from webhook_front import Front, commented, front_of
from webhook_place import WISH, Place, detail
from webhook_story import BRANCH, DIGEST, PLAN, ends, follows, opens, plans

from jobs.commands import AcceptPlan, Actor, OpenPull, StartJob


async def test_from_a_wish_to_its_pull_request(place: Place) -> None:
    maya = Actor(place.world.account("maya").id, "maya")
    answer = await place.ask("POST", "/api/plans", WISH | {"issue": 1, "base": "main"})
    assert answer.status_code == 200, answer.text
    job_id = answer.json()["job_id"]
    (started,) = await place.commands()
    assert isinstance(started, StartJob)
    assert started.plan_only
    assert (started.actor, started.base, started.text) == (maya, "main", WISH["text"])
    assert started.issue is not None
    assert (started.issue.number, started.issue.title) == (1, "Retries are flaky")
    repository = place.world.repository("acme/widget")
    assert (started.repository.id, started.repository.private) == (repository.id, True)
    assert started.repository.installation_id == place.world.installation_id

    status = (await place.ask("GET", f"/api/agent/status/{job_id}")).json()
    assert (status["state"], status["plan"], status["branch"]) == ("queued", None, None)

    await plans(place.store, job_id)
    status = (await place.ask("GET", f"/api/agent/status/{job_id}")).json()
    assert (status["state"], status["branch"]) == ("awaiting_approval", BRANCH)
    assert status["plan"]["digest"] == DIGEST
    assert [step["title"] for step in status["plan"]["steps"]] == [s.title for s in PLAN.steps]

    answer = await place.ask(
        "POST", "/api/agent/execute", {"job_id": job_id, "plan_digest": DIGEST}
    )
    assert (answer.status_code, answer.json()) == (200, {"job_id": job_id})
    accepted = (await place.commands())[-1]
    assert isinstance(accepted, AcceptPlan)
    assert (accepted.actor, accepted.job_id, accepted.digest) == (maya, job_id, DIGEST)

    await follows(place.store, job_id, maya)
    status = (await place.ask("GET", f"/api/agent/status/{job_id}")).json()
    assert (status["state"], status["step"], status["error"]) == ("running", 1, None)

    for _ in range(3):
        answer = await place.ask("POST", "/api/github/create-pr", {"job_id": job_id})
        assert (answer.status_code, answer.json()) == (202, {"pull_request_url": None})
    wanted = [command for command in await place.commands() if isinstance(command, OpenPull)]
    assert 1 <= len(wanted) <= 2  # two where the window turned over in between

    url = f"{place.world.base_url}/acme/widget/pull/8"
    await opens(place.store, job_id, url)
    await ends(place.store, job_id, "succeeded", "Done in two steps.")
    answer = await place.ask("POST", "/api/github/create-pr", {"job_id": job_id})
    assert (answer.status_code, answer.json()) == (200, {"pull_request_url": url})
    status = (await place.ask("GET", f"/api/agent/status/{job_id}")).json()
    assert status["pull_request_url"] == url
    assert (status["state"], status["summary"]) == ("succeeded", "Done in two steps.")
    (listed,) = (await place.ask("GET", "/api/jobs")).json()["jobs"]
    assert listed == status
    assert answer.headers["cache-control"] == "no-store"


async def test_only_tokens_of_this_app_count(place: Place) -> None:
    for header in ({}, {"Authorization": "Basic bWF5YTp4"}, {"Authorization": "Bearer"}):
        answer = await place.front.http.get("/api/jobs", headers=header)
        assert "sign in" in detail(answer, 401).lower()
        assert answer.headers["www-authenticate"] == "Bearer"
    for token in ("ghu_made_up", "ghp_" + "x" * 36, "x" * 2_000, "a b"):
        assert token not in detail(await place.ask("GET", "/api/jobs", by=token), 401)


@pytest.mark.parametrize(
    ("login", "status", "words"),
    [("rob", 403, "write permission"), ("sam", 404, "no repository acme/widget")],
)
async def test_asking_needs_push(place: Place, login: str, status: int, words: str) -> None:
    assert words in detail(await place.ask("POST", "/api/plans", WISH, by=login), status)
    assert await place.commands() == []


async def test_readers_read_and_strangers_learn_nothing(place: Place) -> None:
    job_id = await place.planned()
    path = f"/api/agent/status/{job_id}"
    assert (await place.ask("GET", path, by="rob")).json()["job_id"] == job_id
    hidden = detail(await place.ask("GET", path, by="sam"), 404)
    missing = detail(await place.ask("GET", "/api/agent/status/j0", by="sam"), 404)
    assert hidden.replace(job_id, "j0") == missing
    for write, body in [
        ("/api/agent/execute", {"job_id": job_id, "plan_digest": DIGEST}),
        ("/api/github/create-pr", {"job_id": job_id}),
    ]:
        assert "write permission" in detail(await place.ask("POST", write, body, by="rob"), 403)
        assert "no job" in detail(await place.ask("POST", write, body, by="sam"), 404)
    assert [type(command) for command in await place.commands()] == [StartJob]


async def test_jobs_are_ones_own_or_a_repositorys(place: Place) -> None:
    job_id = await place.planned()
    assert [j["job_id"] for j in (await place.ask("GET", "/api/jobs")).json()["jobs"]] == [job_id]
    assert (await place.ask("GET", "/api/jobs", by="rob")).json() == {"jobs": []}
    there = "/api/jobs?repository=acme/widget"
    (shown,) = (await place.ask("GET", there, by="rob")).json()["jobs"]
    assert shown["job_id"] == job_id
    detail(await place.ask("GET", there, by="sam"), 404)


async def test_access_that_was_taken_away(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhook.person.REMEMBERED", 0.0)  # as if a minute had passed
    job_id = await place.planned()
    place.world.set_role("acme/widget", "maya", "none")
    detail(await place.ask("GET", f"/api/agent/status/{job_id}"), 404)
    assert (await place.ask("GET", "/api/jobs")).json() == {"jobs": []}
    place.world.set_role("acme/widget", "maya", "write")
    place.world.suspend()
    detail(await place.ask("GET", f"/api/agent/status/{job_id}"), 404)


async def test_a_repository_without_the_app(place: Place) -> None:
    place.world.add_repository("acme/other", {"a": b""}, installed=False)
    place.world.installation.selection = "selected"
    answer = await place.ask("POST", "/api/plans", WISH | {"repository": "acme/other"})
    assert "where this App is installed" in detail(answer, 404)
    assert (await place.ask("POST", "/api/plans", WISH)).status_code == 200


async def test_the_operator_names_who_is_let_in(place: Place) -> None:
    async with front_of(replace(place.door, allow=("somebody",)), place.store) as front:
        shut = replace(place, front=front)
        assert "operator" in detail(await shut.ask("POST", "/api/plans", WISH), 403)
    async with front_of(replace(place.door, allow=("Maya",)), place.store) as front:
        open_ = replace(place, front=front)
        assert (await open_.ask("POST", "/api/plans", WISH)).status_code == 200


async def test_wishes_that_do_not_hold(place: Place) -> None:
    changes: list[tuple[dict[str, Any], str]] = [
        ({"text": "  "}, "text: "),
        ({"text": "x" * 20_001}, "text: "),
        ({"text": "\x00"}, "text: "),
        ({"text": 5}, "text: "),
        ({"repository": "widget"}, "owner/name"),
        ({"repository": "acme/../admin"}, "owner/name"),
        ({"issue": "1"}, "issue: "),
        ({"issue": 0}, "issue: "),
        ({"issue": 99}, "no issue #99"),
        ({"base": "no-such"}, "no branch"),
        ({"base": "../../user"}, "base: "),
        ({"txet": "typo"}, "txet: "),
    ]
    for change, words in changes:
        answer = await place.ask("POST", "/api/plans", WISH | change)
        assert words in detail(answer, 422)
    assert await place.commands() == []


async def test_bodies_that_are_none(place: Place) -> None:
    headers = {"Authorization": f"Bearer {place.world.users['maya']}"}
    for body, status in [(b"{", 400), (b"\xff", 400), (b"[]", 422), (b"x" * 300_000, 413)]:
        answer = await place.front.http.post("/api/plans", content=body, headers=headers)
        detail(answer, status)


async def test_one_key_is_one_request(place: Place) -> None:
    key = {"Idempotency-Key": "one"}
    answers = await asyncio.gather(
        *(place.ask("POST", "/api/plans", WISH, headers=key) for _ in range(8))
    )
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert len(await place.commands()) == 1
    other = await place.ask("POST", "/api/plans", WISH | {"text": "Other"}, headers=key)
    assert "already used" in detail(other, 422)
    fresh = await place.ask("POST", "/api/plans", WISH, headers={"Idempotency-Key": "two"})
    assert fresh.json() != answers[0].json()
    long = await place.ask("POST", "/api/plans", WISH, headers={"Idempotency-Key": "x" * 256})
    assert "Idempotency-Key" in detail(long, 400)


async def test_an_issue_has_one_job_at_a_time(place: Place) -> None:
    job_id = await place.planned(WISH | {"issue": 1})
    answer = await place.ask("POST", "/api/plans", WISH | {"issue": 1})
    assert "acme/widget#1" in detail(answer, 409)
    assert answer.json()["job_id"] == job_id


async def test_a_repeated_request_does_not_stand_in_its_own_way(place: Place) -> None:
    key = {"Idempotency-Key": "one"}
    for _ in range(2):
        answer = await place.ask("POST", "/api/plans", WISH | {"issue": 1}, headers=key)
        assert answer.status_code == 200, answer.text
    assert len(await place.commands()) == 1


async def test_a_stale_digest_is_refused(place: Place) -> None:
    job_id = await place.planned()

    async def accept(digest: str) -> httpx.Response:
        body = {"job_id": job_id, "plan_digest": digest}
        return await place.ask("POST", "/api/agent/execute", body)

    assert DIGEST[:8] in detail(await accept("0" * 64), 409)
    assert "plan_digest" in detail(await accept("0" * 7), 422)
    assert [type(command) for command in await place.commands()] == [StartJob]
    assert (await accept(DIGEST[:8].upper())).status_code == 200
    await follows(place.store, job_id, Actor(1, "maya"))
    assert (await accept(DIGEST)).json() == {"job_id": job_id}  # the first answer got lost
    assert [type(command) for command in await place.commands()] == [StartJob, AcceptPlan]


async def test_no_plan_no_pull(place: Place) -> None:
    job_id = (await place.ask("POST", "/api/plans", WISH)).json()["job_id"]
    body = {"job_id": job_id, "plan_digest": DIGEST}
    assert "queued" in detail(await place.ask("POST", "/api/agent/execute", body), 409)
    asked = await place.ask("POST", "/api/github/create-pr", {"job_id": job_id})
    assert asked.status_code == 202  # the worker may still come to it
    await ends(place.store, job_id, "failed", "The repository has no commits yet.")
    asked = await place.ask("POST", "/api/github/create-pr", {"job_id": job_id})
    assert "no commits" in detail(asked, 409)
    status = (await place.ask("GET", f"/api/agent/status/{job_id}")).json()
    assert (status["state"], status["error"]) == ("failed", "The repository has no commits yet.")
    assert [type(command) for command in await place.commands()] == [StartJob]


async def test_commits_of_a_branch(place: Place) -> None:
    (commit,) = (await place.ask("GET", "/api/github/commits/acme/widget/main")).json()
    assert set(commit) == {"sha", "message", "author", "date"}
    assert (len(commit["sha"]), commit["message"].strip()) == (40, "Initial import")
    assert commit["author"] == "maya"
    assert (await place.ask("GET", "/api/github/commits/acme/empty/main")).json() == []
    for path in ("acme/widget/feature/none", f"acme/widget/{quote('../x', safe='')}", "acme/no/x"):
        detail(await place.ask("GET", f"/api/github/commits/{path}"), 404)
    detail(await place.ask("GET", "/api/github/commits/acme/widget/main", by="sam"), 404)


async def test_github_in_trouble_is_said(place: Place) -> None:
    faults = place.world.faults
    faults.add("POST", "^/applications/", status=502)
    answer = await place.ask("GET", "/api/jobs")
    assert "GitHub has trouble" in detail(answer, 503)
    reset = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "99999999999"}
    faults.add("GET", "^/repos/acme/widget$", status=403, headers=reset)
    answer = await place.ask("POST", "/api/plans", WISH)
    assert "rate limit" in detail(answer, 503)
    assert answer.headers["retry-after"] == "3600"
    faults.add("GET", "^/repos/acme/widget$", status=200, body="<html>")
    assert "form" in detail(await place.ask("POST", "/api/plans", WISH), 502)
    faults.add("GET", "^/user/installations$", cut=20)
    assert "reached" in detail(await place.ask("POST", "/api/plans", WISH), 503)
    assert (await place.ask("POST", "/api/plans", WISH)).status_code == 200  # not remembered


async def test_a_wrong_client_secret_is_the_operators_matter(place: Place) -> None:
    async with front_of(replace(place.door, client_secret="wrong"), place.store) as front:
        answer = await replace(place, front=front).ask("GET", "/api/jobs")
        assert "whoever runs it" in detail(answer, 502)


async def test_a_job_from_a_comment_is_seen_on_the_phone(place: Place) -> None:
    repository = place.world.repository("acme/widget")
    delivered = commented(
        "/vibecode plan a fix",
        repository={"id": repository.id, "full_name": "acme/widget", "private": True},
        installation={"id": place.world.installation_id},
        sender={"id": place.world.account("maya").id},
    )
    await place.front.deliver(delivered, guid="g")
    await place.front.settled("g")
    (job,) = (await place.ask("GET", "/api/jobs")).json()["jobs"]
    assert (job["issue"], job["asked_by"], job["state"]) == (7, "maya", "queued")
    moved = commented(comment={"id": 5}, issue={"number": 9}, repository=delivered["repository"])
    moved["repository"]["id"] += 1000  # the name belonged to another repository then
    moved["comment"]["issue_url"] = "https://api.github.example/repos/acme/widget/issues/9"
    await place.front.deliver(moved, guid="h")
    job_id = (await place.front.settled("h")).split()[-1]
    detail(await place.ask("GET", f"/api/agent/status/{job_id}"), 404)


async def test_the_phone_is_typed_from_what_is_served(front: Front) -> None:
    served = (await front.http.get("/openapi.json")).json()
    kept = json.loads((Path(__file__).parents[2] / "mobile/openapi.json").read_text())
    assert served == kept, "run: python -m webhook > mobile/openapi.json"
    assert set(served["paths"]) >= {"/api/github/commits/{owner}/{repo}/{branch}", "/api/plans"}
