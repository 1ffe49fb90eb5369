"""Browsers that want to be told: who may ask for it, and for which addresses."""

from typing import Any

import httpx
import pytest
from push_service import PushService
from webhook_people import Town

from jobs.queue.sessions import SessionStore
from jobs.queue.subscriptions import MOST, Subscriptions

SUBSCRIPTIONS = "/api/push/subscriptions"
ENDPOINT = "https://8.8.8.8/push/1"  # an address, so that no name has to be looked up


def given(endpoint: str = ENDPOINT) -> dict[str, Any]:
    """As a browser has it."""
    return PushService().browser("one", "").subscription() | {"endpoint": endpoint}


async def endpoints(town: Town, login: str = "maya") -> list[str]:
    person = town.world.account(login).id
    found = await Subscriptions(town.front.store).of(person)
    return [each.browser.endpoint for each in found]


def detail(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


async def test_a_browser_subscribes_as_often_as_it_likes_and_ends_it(town: Town) -> None:
    async with town.browser(Origin=town.front.url) as browser:
        await town.sign_in(browser)
        key = (await browser.get("/api/push/key")).json()["key"]
        assert len(key) == 87 and key.startswith("B")
        for _ in range(2):
            assert (await browser.post(SUBSCRIPTIONS, json=given())).status_code == 204
        assert await endpoints(town) == [ENDPOINT]
        for _ in range(2):
            ended = await browser.request("DELETE", SUBSCRIPTIONS, json={"endpoint": ENDPOINT})
            assert (ended.status_code, ended.content) == (204, b"")
        assert await endpoints(town) == []


async def test_signing_out_ends_it(town: Town) -> None:
    async with town.browser(Origin=town.front.url) as browser:
        await town.sign_in(browser)
        await browser.post(SUBSCRIPTIONS, json=given())
        assert await endpoints(town) == [ENDPOINT]
        await browser.delete("/api/session")
    assert await endpoints(town) == []


async def test_being_signed_out_everywhere_ends_it(town: Town) -> None:
    """As when the person takes the App's authorization back at GitHub."""
    headers = {"Authorization": f"Bearer {await town.phone()}"}
    await town.front.http.post(SUBSCRIPTIONS, json=given(), headers=headers)
    assert await endpoints(town) == [ENDPOINT]
    await SessionStore(town.front.store).end_all(town.world.account("maya").id)
    assert await endpoints(town) == []


async def test_taking_the_authorization_back_ends_also_what_no_session_made(town: Town) -> None:
    """Told by a delivery, which the front door follows by itself."""
    headers = {"Authorization": f"Bearer {town.world.users['maya']}"}
    await town.front.http.post(SUBSCRIPTIONS, json=given(), headers=headers)
    assert await endpoints(town) == [ENDPOINT]
    sender = {"id": town.world.account("maya").id, "login": "maya"}
    revoked = {"action": "revoked", "sender": sender}
    event, secret = "github_app_authorization", town.world.webhook_secret
    await town.front.deliver(revoked, event, guid="taken-back", secret=secret)
    assert await town.front.settled("taken-back") == "ended 0 sessions"
    assert await endpoints(town) == []


async def test_nobody_subscribes_for_others_or_ends_what_is_theirs(town: Town) -> None:
    async with town.browser(Origin=town.front.url) as maya, town.browser() as rob:
        await town.sign_in(maya)
        await town.sign_in(rob, "rob")
        await maya.post(SUBSCRIPTIONS, json=given())
        here = {"Origin": town.front.url}
        body = {"endpoint": ENDPOINT}
        await rob.request("DELETE", SUBSCRIPTIONS, json=body, headers=here)
        assert await endpoints(town) == [ENDPOINT]

        # A page of another site cannot have it done with the cookie.
        for origin in ({}, {"Origin": "https://evil.example"}):
            answer = await rob.post(SUBSCRIPTIONS, json=given(), headers=origin)
            assert "another site" in detail(answer, 403)
        async with town.browser() as nobody:
            assert "sign in" in detail(await nobody.post(SUBSCRIPTIONS, json=given()), 401)
            assert "sign in" in detail(await nobody.get("/api/push/key"), 401)
    assert await endpoints(town, "rob") == []


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://127.0.0.1/push",
        "https://localhost/push",
        "https://[::1]/push",
        "https://[::ffff:127.0.0.1]/push",
        "https://2130706433/push",
        "https://169.254.169.254/latest/meta-data/",
        "https://10.1.2.3/push",
        "http://8.8.8.8/push",
        "https://8.8.8.8:6379/push",
        "https://user:password@8.8.8.8/push",
        "https://8.8.8.8/push#x",
        "https://8.8.8.8/\r\nX: y",
        "javascript:alert(1)",
        "/push/1",
    ],
)
async def test_no_address_inside_is_taken(town: Town, endpoint: str) -> None:
    headers = {"Authorization": f"Bearer {town.world.users['maya']}"}
    answer = await town.front.http.post(SUBSCRIPTIONS, json=given(endpoint), headers=headers)
    said = detail(answer, 422)
    assert said.startswith("endpoint: ") and endpoint not in said
    assert await endpoints(town) == []


@pytest.mark.parametrize(
    "keys",
    [
        {"p256dh": "AAAA", "auth": "AAAAAAAAAAAAAAAAAAAAAA"},
        {"p256dh": given()["keys"]["p256dh"], "auth": "short"},
        {"p256dh": given()["keys"]["p256dh"]},
        {"p256dh": "x" * 5_000, "auth": "AAAAAAAAAAAAAAAAAAAAAA"},
        {**given()["keys"], "more": "x"},
        None,
    ],
)
async def test_what_are_no_keys_is_not_taken(town: Town, keys: object) -> None:
    headers = {"Authorization": f"Bearer {town.world.users['maya']}"}
    body = given() | {"keys": keys}
    answer = await town.front.http.post(SUBSCRIPTIONS, json=body, headers=headers)
    assert detail(answer, 422).startswith("keys")
    assert await endpoints(town) == []


async def test_a_person_has_room_for_ten(town: Town) -> None:
    headers = {"Authorization": f"Bearer {town.world.users['maya']}"}
    for number in range(MOST + 1):
        body = given(f"https://8.8.8.8/push/{number}")
        await town.front.http.post(SUBSCRIPTIONS, json=body, headers=headers)
    assert await endpoints(town) == [f"https://8.8.8.8/push/{n}" for n in range(1, MOST + 1)]
