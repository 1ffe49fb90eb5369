"""Signing in, by browser and by phone: the whole way, and everything that must not work."""

import asyncio
import time
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from webhook_people import APP, Town, challenge, cookie

from webhook.person import MADE_UP


def detail(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def page(answer: httpx.Response, status: int) -> str:
    """A page for people that says what went wrong."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    return answer.text


async def test_a_browser_signs_in_and_out(town: Town) -> None:
    async with town.browser() as browser:
        assert "Please sign in" in detail(await browser.get("/api/session"), 401)
        token = await town.sign_in(browser, next="/app/jobs/j1?tab=log")
        me = await browser.get("/api/session")
        assert me.json()["login"] == "maya"
        assert me.json()["avatar_url"].startswith(town.world.base_url)
        assert me.headers["cache-control"] == "no-store"

        out = await browser.delete("/api/session", headers={"Origin": town.front.url})
        assert (out.status_code, out.content) == (204, b"")
        assert cookie(browser) == ""
        assert (await browser.get("/api/session")).status_code == 401
    assert (await town.who(token)).status_code == 401


async def test_signing_out_waits_for_no_github(town: Town) -> None:
    async with town.browser() as browser:
        await town.sign_in(browser)
        town.world.faults.add("DELETE", "/applications/.*/token", delay=60, status=503)
        headers = {"Origin": town.front.url}
        async with asyncio.timeout(30):
            assert (await browser.delete("/api/session", headers=headers)).status_code == 204
            assert (await browser.get("/api/session")).status_code == 401  # the same connection


async def test_a_phone_signs_in_and_out(town: Town) -> None:
    token = await town.phone("rob")
    assert (await town.who(token)).json()["login"] == "rob"
    headers = {"Authorization": f"Bearer {token}"}
    assert (await town.front.http.delete("/api/session", headers=headers)).status_code == 204
    assert "Please sign in again" in detail(await town.who(token), 401)
    # The answer got lost on the way, so the phone says it again.
    assert (await town.front.http.delete("/api/session", headers=headers)).status_code == 204


async def test_the_session_acts_with_the_persons_rights(town: Town) -> None:
    wish = {"repository": "acme/widget", "text": "Fix the flaky retry"}
    for login, status in (("maya", 200), ("rob", 403), ("sam", 404)):
        headers = {"Authorization": f"Bearer {await town.phone(login)}"}
        answer = await town.front.http.post("/api/plans", json=wish, headers=headers)
        assert answer.status_code == status, answer.text


async def test_cookies_are_out_of_reach_of_scripts_and_other_sites(town: Town) -> None:
    async with town.browser() as browser:
        left = await browser.get("/auth/github")
        back = await town.say_yes(browser, left, "maya")
    for answer in (left, back):
        for given in answer.headers.get_list("set-cookie"):
            flags = {part.strip().lower() for part in given.split(";")[1:]}
            assert {"httponly", "samesite=lax", "path=/"} <= flags
            assert "secure" not in flags  # this address is http
            assert not any(flag.startswith("domain") for flag in flags)


@pytest.mark.parametrize("given", ["", "x" * 43])
async def test_a_visit_that_was_begun_elsewhere_ends(town: Town, given: str) -> None:
    async with town.browser() as browser, town.browser() as other:
        left = await browser.get("/auth/github")
        query = parse_qs(urlsplit(left.headers["location"]).query)
        mine = await browser.get("/auth/github/callback", params={"code": "c0de", "state": given})
        assert "begun in another browser" in page(mine, 400)
        # The state is right, but it is another browser: somebody was sent a link.
        theirs = await other.get(
            "/auth/github/callback", params={"code": "c0de", "state": query["state"][0]}
        )
        assert "begun in another browser" in page(theirs, 400)
        assert cookie(other) == cookie(browser) == ""


async def test_a_visit_that_took_too_long_ends(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    async with town.browser() as browser:
        left = await browser.get("/auth/github")
        monkeypatch.setattr("webhook.signin.VISIT_SECONDS", -1)
        back = await town.say_yes(browser, left, "maya")
        assert "longer than ten minutes" in page(back, 400)
        assert cookie(browser) == ""


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ({"status": 503}, 503, "GitHub has trouble"),
        ({"cut": 0}, 503, "GitHub can&#x27;t be reached"),
        ({"status": 200, "body": "no JSON"}, 502, "in a form that I don&#x27;t know"),
        ({"status": 200, "body": "[]"}, 502, "in a form that I don&#x27;t know"),
        ({"status": 200, "body": "{}"}, 502, "no token"),
        (
            {"status": 200, "body": '{"error": "incorrect_client_credentials"}'},
            502,
            "(incorrect_client_credentials)",
        ),
        ({"status": 200, "body": '{"error": "unverified_user_email"}'}, 401, "verified"),
        ({"status": 200, "body": '{"error": "<b>"}'}, 502, "no token"),
    ],
)
async def test_what_goes_wrong_at_github_is_told_on_a_page(
    town: Town, fault: dict[str, Any], status: int, words: str
) -> None:
    town.world.faults.add("POST", "/login/oauth/access_token", **fault)
    async with town.browser() as browser:
        left = await browser.get("/auth/github")
        back = await town.say_yes(browser, left, "maya")
        assert words in page(back, status)
        assert cookie(browser) == ""
        await town.sign_in(browser)


async def test_a_phone_is_led_back_to_its_app_where_it_was_refused(town: Town) -> None:
    async with town.browser() as browser:
        asked = {"challenge": challenge("v" * 64), "redirect": APP}
        left = await browser.get("/auth/github", params=asked)
        assert "prompt=select_account" in left.headers["location"]
        state = parse_qs(urlsplit(left.headers["location"]).query)["state"][0]
        no = await browser.get(
            "/auth/github/callback", params={"error": "access_denied", "state": state}
        )
        assert f'href="{APP}?error=not_signed_in"' in page(no, 400)


async def test_a_code_of_github_works_once(town: Town) -> None:
    async with town.browser() as browser:
        left = await browser.get("/auth/github")
        visit = browser.cookies.get("vibecoder-signin")
        back = await town.say_yes(browser, left, "maya")
        token = cookie(browser)
        # Somebody who saw the address and has the cookie too.
        browser.cookies.clear()
        browser.cookies.set("vibecoder-signin", visit or "", domain="127.0.0.1")
        again = await browser.get(str(back.request.url))
        assert "does not take this sign-in any more" in page(again, 401)
        assert cookie(browser) == ""
    assert (await town.who(token)).status_code == 200


async def test_each_sign_in_is_a_new_session_and_ends_the_one_before(town: Town) -> None:
    async with town.browser() as browser:
        # An attacker put a cookie there before.
        planted = "vcs_" + "A" * 43
        browser.cookies.set("vibecoder", planted, domain="127.0.0.1")
        first = await town.sign_in(browser)
        assert first != planted
        second = await town.sign_in(browser, "rob")
        assert second != first
        assert (await browser.get("/api/session")).json()["login"] == "rob"
    assert (await town.who(first)).status_code == 401
    assert (await town.who(planted)).status_code == 401


async def test_no_at_github_is_told(town: Town) -> None:
    async with town.browser() as browser:
        left = await browser.get("/auth/github", params={"next": "/app/jobs"})
        state = parse_qs(urlsplit(left.headers["location"]).query)["state"][0]
        no = await browser.get(
            "/auth/github/callback", params={"error": "access_denied", "state": state}
        )
        assert "You did not allow this" in page(no, 400)
        assert 'href="/auth/github?next=%2Fapp%2Fjobs"' in no.text


async def test_a_phones_code_works_once_and_for_its_phone_alone(town: Town) -> None:
    code, verifier = await town.phone_code()
    assert (await town.redeem(code, verifier)).status_code == 200
    assert "finished already" in detail(await town.redeem(code, verifier), 401)

    code, verifier = await town.phone_code()
    # Another app caught the code; it gets nothing, and uses it up.
    assert "begun elsewhere" in detail(await town.redeem(code, "v" * 64), 401)
    assert (await town.redeem(code, verifier)).status_code == 401
    assert (await town.redeem("nothing-of-ours", verifier)).status_code == 401
    assert detail(await town.redeem(code, "short"), 422).startswith("verifier")


async def test_a_phones_code_is_good_for_a_minute(town: Town) -> None:
    code, verifier = await town.phone_code()
    (key,) = [key async for key in town.front.store.redis.scan_iter(match="vc:once:*")]
    assert 55 <= await town.front.store.redis.ttl(key) <= 60
    await town.front.store.redis.expireat(key, int(time.time()) - 1)
    assert "longer than a minute" in detail(await town.redeem(code, verifier), 401)


@pytest.mark.parametrize(
    "asked",
    [
        {"redirect": APP},
        {"redirect": APP, "challenge": "short"},
        {"redirect": "https://evil.example/", "challenge": challenge("v")},
        {"redirect": "vibecoder://a?code=b", "challenge": challenge("v")},
        {"redirect": "vibecoder://user@evil.example/x", "challenge": challenge("v")},
        {"redirect": "javascript://vibecoder://x", "challenge": challenge("v")},
        {"redirect": "", "challenge": challenge("v")},
        {"next": "https://evil.example/"},
        {"next": "//evil.example/app/"},
        {"next": "/\\evil.example"},
        {"next": "/app/../../auth/github"},
        {"next": "/app/%2e%2e/x"},
        {"next": "/application"},
        {"next": "/webhook"},
        {"next": "/app/\r\nSet-Cookie: a=b"},
        {"next": "/app//evil.example"},
    ],
)
async def test_nobody_is_sent_anywhere_else(town: Town, asked: dict[str, str]) -> None:
    async with town.browser() as browser:
        answer = await browser.get(f"/auth/github?{urlencode(asked)}")
        page(answer, 400)
        assert "set-cookie" not in answer.headers


async def test_made_up_tokens_keep_nobody_out_who_signs_in(town: Town) -> None:
    """GitHub answers an App only so often, and anybody can make us ask."""
    token = await town.phone()
    for number in range(MADE_UP):
        assert "Please sign in again" in detail(await town.who(f"ghu_made_up_{number}"), 401)
    assert "Too many tokens" in detail(await town.who("ghu_one_more"), 503)
    assert (await town.who(token)).json()["login"] == "maya"
    assert (await town.who(await town.phone("rob"))).json()["login"] == "rob"
