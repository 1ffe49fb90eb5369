"""Every operation there is, tried by those it is not for. A new one must say here what it takes."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from push_service import PushService
from webhook_people import Town
from webhook_place import WISH
from webhook_story import DIGEST, plans

WRITES = {"POST", "PUT", "PATCH", "DELETE"}
SUBSCRIPTION = PushService("https://8.8.8.8").browser("one", "").subscription()
# By operationId, what is sent; JOB stands for the job's id.
BODIES: dict[str, dict[str, Any]] = {
    "ask_plan": WISH,
    "execute": {"job_id": "JOB", "plan_digest": DIGEST},
    "accept": {"plan_digest": DIGEST},
    "revise": {"plan_digest": DIGEST, "text": "Do less."},
    "steer": {"text": "Hurry."},
    "cancel": {},
    "retry": {},
    "create_pull": {"job_id": "JOB"},
    "subscribe": SUBSCRIPTION,
    "unsubscribe": {"endpoint": SUBSCRIPTION["endpoint"]},
}
ONES_OWN = {"session", "sign_out", "jobs", "repos", "push_key", "subscribe", "unsubscribe"}


@dataclass(frozen=True)
class Call:
    """One operation, as it is called about one job in one repository."""

    name: str
    method: str
    path: str
    body: dict[str, Any] | None

    async def by(self, http: httpx.AsyncClient, **headers: str) -> httpx.Response:
        return await http.request(self.method, self.path, json=self.body, headers=headers)


async def calls(town: Town, job_id: str) -> AsyncIterator[Call]:
    described = (await town.front.http.get("/openapi.json")).json()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if operation.get("security") == []:
                continue  # for everybody
            name = operation["operationId"]
            body = BODIES[name] if "requestBody" in operation else None
            if body is not None:
                body = {key: job_id if value == "JOB" else value for key, value in body.items()}
            filled = path.format(job_id=job_id, owner="acme", repo="widget", branch="main")
            yield Call(name, method.upper(), filled, body)


@pytest.fixture
async def job_id(town: Town) -> str:
    """Maya's job, whose plan waits."""
    headers = {"Authorization": f"Bearer {town.world.users['maya']}"}
    answer = await town.front.http.post("/api/plans", json=WISH, headers=headers)
    found = str(answer.json()["job_id"])
    await plans(town.front.store, found)
    return found


async def untouched(town: Town, job_id: str) -> bool:
    """Nothing was asked for besides the plan, and it waits."""
    store = town.front.store
    job = await store.load(job_id)
    asked = [await store.command(id_) for id_ in await store.unsettled()]
    return job.state == "awaiting_approval" and [it.type for it in asked] == ["start_job"]


async def test_there_is_something_to_try(town: Town, job_id: str) -> None:
    tried = [call async for call in calls(town, job_id)]
    assert {call.name for call in tried} >= BODIES.keys() | ONES_OWN


async def test_nobody_gets_in_without_a_token(town: Town, job_id: str) -> None:
    async for call in calls(town, job_id):
        for headers in (
            {},
            {"Authorization": "Bearer ghu_made_up"},
            {"Authorization": "Bearer vcs_made_up"},
            {"Authorization": "Basic bWF5YTpwdw=="},
            {"Cookie": "vibecoder=vcs_made_up"},
            {"Cookie": f"vibecoder={town.world.users['maya']}"},  # GitHub's own is for headers only
        ):
            answer = await call.by(town.front.http, **headers, Origin=town.front.url)
            # Who is not signed in is signed out, and nothing else happens.
            allowed = {401} | ({204, 409} if call.name == "sign_out" else set())
            assert answer.status_code in allowed, (call, headers, answer.text)
    assert await untouched(town, job_id)


async def test_no_page_of_another_site_acts_or_reads_with_the_cookie(
    town: Town, job_id: str
) -> None:
    async with town.browser() as browser:
        await town.sign_in(browser)
        async for call in calls(town, job_id):
            for origin in ("https://evil.example", "null", town.front.url + ".evil.example"):
                answer = await call.by(browser, Origin=origin)
                assert answer.status_code == 403, (call, origin, answer.text)
            if call.method in WRITES:
                answer = await call.by(browser)
                assert answer.status_code == 403, (call, answer.text)
        assert (await browser.get("/api/session")).json()["login"] == "maya"
    assert await untouched(town, job_id)


async def test_a_stranger_finds_nothing(town: Town, job_id: str) -> None:
    headers = {"Authorization": f"Bearer {town.world.users['sam']}"}
    async for call in calls(town, job_id):
        if call.name in ONES_OWN:
            continue
        answer = await call.by(town.front.http, **headers)
        assert answer.status_code == 404, (call, answer.text)
        # A job that is there and one that is not look the same.
        other = replace(call, path=call.path.replace(job_id, "j" + "0" * 20))
        if other.path != call.path:
            unknown = await other.by(town.front.http, **headers)
            assert unknown.text.replace("j" + "0" * 20, job_id) == answer.text
    for path in ("/api/jobs", "/api/repos"):
        (found,) = (await town.front.http.get(path, headers=headers)).json().values()
        assert found == []
    assert await untouched(town, job_id)


async def test_who_may_only_read_changes_nothing(town: Town, job_id: str) -> None:
    headers = {"Authorization": f"Bearer {town.world.users['rob']}"}
    async for call in calls(town, job_id):
        if call.method in WRITES and call.name not in ONES_OWN:
            answer = await call.by(town.front.http, **headers)
            assert answer.status_code == 403, (call, answer.text)
    assert await untouched(town, job_id)


async def test_anothers_idempotency_key_is_not_ones_own(town: Town, job_id: str) -> None:
    """Nobody learns of, or takes the place of, what somebody else asked under the same key."""
    town.world.set_role("acme/widget", "rob", "write")
    ids = []
    for login in ("maya", "rob"):
        headers = {
            "Authorization": f"Bearer {town.world.users[login]}",
            "Idempotency-Key": "the same",
        }
        wish = WISH | {"text": f"{login}'s wish"}
        answer = await town.front.http.post("/api/plans", json=wish, headers=headers)
        assert answer.status_code == 200, answer.text
        ids.append(answer.json()["job_id"])
        assert (await town.front.store.load(ids[-1])).command.text == wish["text"]
    assert len(set(ids)) == 2


async def test_every_answer_is_for_one_pair_of_eyes(town: Town, job_id: str) -> None:
    """No cache in between keeps what one person may see."""
    headers = {"Authorization": f"Bearer {town.world.users['maya']}"}
    async for call in calls(town, job_id):
        if call.method == "GET" and call.name != "events":
            answer = await call.by(town.front.http, **headers)
            assert "no-store" in answer.headers.get("cache-control", ""), call


async def test_signing_out_ends_the_streams_too(
    town: Town, job_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("webhook.watch.RECHECK", 0.01)
    headers = {"Authorization": f"Bearer {await town.phone()}"}
    path = f"/api/jobs/{job_id}/events"
    async with town.front.http.stream("GET", path, headers=headers) as stream:
        lines = stream.aiter_lines()
        async for line in lines:
            if '"planned"' in line:
                break
        await town.front.http.delete("/api/session", headers=headers)
        rest = [line async for line in lines]  # to its end
    assert not any(line.startswith("data:") for line in rest)
    assert (await town.front.http.get(path, headers=headers)).status_code == 401
