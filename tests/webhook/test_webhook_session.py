"""The life of a session: renewed once, ended at once, and never told to anybody else."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from webhook_front import front_of
from webhook_people import SECRET_PREFIXES, Town, cookie

from jobs.queue.sessions import KEPT, MOST, SessionStore
from vibecoder.local.github import auth
from vibecoder.local.github.faults import Fault

WISH = {"repository": "acme/widget", "text": "Fix the flaky retry"}
SOON = timedelta(seconds=60)  # early enough to be renewed with the next request


def detail(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def tokens_of(town: Town, login: str) -> set[str]:
    """What GitHub has handed out for that person and still takes."""
    return {
        token.text
        for token in town.world.tokens.values()
        if token.account is town.world.account(login) and not token.browser
    }


async def ending(town: Town, monkeypatch: pytest.MonkeyPatch, login: str = "maya") -> str:
    """A phone's session whose token of GitHub's is about to end."""
    with monkeypatch.context() as short:
        short.setattr(auth, "USER_TOKEN_LIFE", SOON)
        return await town.phone(login)


@asynccontextmanager
async def another(town: Town, **door: str) -> AsyncIterator[Town]:
    """A second front door before the same store and GitHub."""
    async with front_of(replace(town.door, **door), town.front.store) as front:
        yield replace(town, front=front)


async def taken(town: Town, fault: Fault) -> None:
    """Returns once the request that a fault waits for has come."""
    while fault in town.world.faults.waiting:  # noqa: ASYNC110  # it tells nobody
        await asyncio.sleep(0.005)


# Renewing


async def test_a_token_is_renewed_once_however_many_ask(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await ending(town, monkeypatch)
    before = tokens_of(town, "maya")
    async with another(town) as other:
        # What renews a token works once: a second try would end the session.
        asked = [each.who(token) for each in (town, other) for _ in range(10)]
        answers = await asyncio.gather(*asked)
    assert [answer.status_code for answer in answers] == [200] * 20
    after = tokens_of(town, "maya")
    assert len(after) == len(before) and not after & before


async def test_an_answer_that_was_lost_ends_in_signing_in_again(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await ending(town, monkeypatch)
    town.world.faults.add("POST", "/login/oauth/access_token", late=True, status=502)
    assert "try again in a minute" in detail(await town.who(token), 503)
    assert "has run out. Please sign in again" in detail(await town.who(token), 401)
    assert "Please sign in again" in detail(await town.who(token), 401)
    assert (await town.who(await town.phone())).status_code == 200


async def test_a_github_that_is_away_ends_no_session(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await ending(town, monkeypatch)
    town.world.faults.add("POST", "/login/oauth/access_token", status=503)
    answer = await town.who(token)
    assert "try again in a minute" in detail(answer, 503)
    assert answer.headers["retry-after"] == "60"
    assert (await town.who(token)).status_code == 200


async def test_another_process_that_died_while_renewing_holds_nobody_up(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await ending(town, monkeypatch)
    redis = town.front.store.redis
    (key,) = [each.decode() async for each in redis.scan_iter(match="vc:session:*")]
    await redis.set(f"{key}:renewing", "the dead", px=200)
    assert (await town.who(token)).status_code == 200


async def test_a_session_that_ends_while_it_is_renewed_stays_ended(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await ending(town, monkeypatch)
    fault = town.world.faults.add("POST", "/login/oauth/access_token", delay=0.5)
    asked = asyncio.create_task(town.who(token))
    await taken(town, fault)
    sessions = SessionStore(town.front.store)
    assert await sessions.end_all(town.world.account("maya").id) == 1
    assert "You were signed out" in detail(await asked, 401)
    assert (await town.who(token)).status_code == 401
    assert not tokens_of(town, "maya")  # what came in too late is of use to nobody


async def test_what_was_renewed_is_kept_though_redis_is_away_for_a_moment(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await ending(town, monkeypatch)
    redis = town.front.store.redis
    fault = town.world.faults.add("POST", "/login/oauth/access_token", delay=0.2)
    asked = asyncio.create_task(town.who(token))
    await taken(town, fault)
    await redis.config_resetstat()
    await redis.config_set("min-replicas-to-write", 1)  # from now on it takes nothing
    try:
        while "errorstat_NOREPLICAS" not in await redis.info("errorstats"):  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.005)
    finally:
        await redis.config_set("min-replicas-to-write", 0)
    assert (await asked).status_code == 200
    assert (await town.who(token)).status_code == 200


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_goes_wrong_a_session_works_or_has_ended_for_good(
    town: Town, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Two doors and three phones; each request has to renew, and GitHub is in a mood."""
    monkeypatch.setattr(auth, "USER_TOKEN_LIFE", SOON)
    chance = random.Random(seed)
    alive = {await town.phone(login) for login in ("maya", "rob", "rob")}
    ended: set[str] = set()
    async with another(town) as other:
        doors = (town, other)
        for _ in range(15):
            mood: dict[str, Any] = chance.choice(
                [{}, {}, {"status": 503}, {"status": 502, "late": True}, {"delay": 0.05}]
            )
            if mood:
                town.world.faults.add("POST", "/login/oauth/access_token", **mood)
            tokens = chance.choices(sorted(alive | ended), k=chance.randint(1, 6))
            answers = await asyncio.gather(*(chance.choice(doors).who(each) for each in tokens))
            for token, answer in zip(tokens, answers, strict=True):
                assert answer.status_code in {200, 401, 503}, answer.text
                assert answer.status_code == 401 or token not in ended
            ended |= {t for t, a in zip(tokens, answers, strict=True) if a.status_code == 401}
            alive -= ended
            if not alive:
                town.world.faults.clear()
                alive = {await town.phone("maya")}
        town.world.faults.clear()
        for token in alive | ended:
            first, *later = [(await each.who(token)).status_code for each in (*doors, *doors)]
            assert first in ({401} if token in ended else {200, 401})
            assert set(later) == {first}


# Ending


@pytest.mark.parametrize("how", ["sign out", "taken back", "oldest of eleven"])
async def test_open_streams_end_with_their_session(town: Town, how: str) -> None:
    token, robs = await town.phone(), await town.phone("rob")
    headers = {"Authorization": f"Bearer {token}"}
    asked = await town.front.http.post("/api/plans", json=WISH, headers=headers)
    path = f"/api/jobs/{asked.json()['job_id']}/events"
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(another(town))

        async def watching(door: Town, token: str) -> httpx.Response:
            headers = {"Authorization": f"Bearer {token}"}
            stream = door.front.http.stream("GET", path, headers=headers)
            answer = await stack.enter_async_context(stream)
            assert answer.status_code == 200
            return answer

        mine = [await watching(each, token) for each in (town, town, other)]
        his = await watching(town, robs)
        if how == "sign out":
            await town.front.http.delete("/api/session", headers=headers)
        elif how == "taken back":
            sender = {"id": town.world.account("maya").id, "login": "maya"}
            revoked = await town.front.deliver(
                {"action": "revoked", "sender": sender},
                "github_app_authorization",
                secret=town.world.webhook_secret,
            )
            assert revoked.status_code == 202
        else:
            for _ in range(MOST):
                await town.phone()
        async with asyncio.timeout(20):  # long before anybody looks whether they may still see it
            for answer in mine:
                assert b"received" in await answer.aread()
        lines = his.aiter_lines()
        assert (await anext(lines)).startswith(":")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                while True:
                    await anext(lines)


async def test_signing_out_takes_githubs_token_back(town: Town) -> None:
    token, other = await town.phone(), await town.phone()
    headers = {"Authorization": f"Bearer {token}"}
    before = tokens_of(town, "maya")
    assert (await town.front.http.delete("/api/session", headers=headers)).status_code == 204
    assert (await town.who(token)).status_code == 401
    while tokens_of(town, "maya") == before:  # noqa: ASYNC110  # nobody waits for it
        await asyncio.sleep(0.005)
    assert (await town.who(other)).status_code == 200


async def test_taking_the_app_back_at_github_ends_all_sessions_at_once(town: Town) -> None:
    mine, also_mine, robs = await town.phone(), await town.phone(), await town.phone("rob")
    async with another(town) as other, httpx.AsyncClient(base_url=town.world.base_url) as admin:
        # Each door knows the person by now, and would for a minute.
        for each in (town, other):
            assert (await each.who(mine)).status_code == 200
        answer = await admin.delete("/_admin/users/maya/authorization")
        assert answer.is_success
        await town.world.courier.settled()
        (delivery,) = town.world.deliveries.values()
        assert await town.front.settled(delivery.guid) == "ended 2 sessions"
        for each in (town, other):
            for token in (mine, also_mine):
                assert "Please sign in again" in detail(await each.who(token), 401)
            assert (await each.who(robs)).status_code == 200


async def test_a_token_that_github_refuses_ends_all_sessions_at_once(town: Town) -> None:
    mine, also_mine = await town.phone(), await town.phone()
    for token in (mine, also_mine):
        assert (await town.who(token)).status_code == 200
    # Whoever revokes it, and whether or not a delivery tells of it.
    auth.revoke_all(town.world, town.world.app, town.world.account("maya"))
    headers = {"Authorization": f"Bearer {mine}"}
    answer = await town.front.http.post("/api/plans", json=WISH, headers=headers)
    assert "signed out everywhere" in detail(answer, 401)
    assert "Please sign in again" in detail(await town.who(also_mine), 401)


async def test_an_old_token_under_way_while_it_is_renewed_ends_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await town.phone()
    assert (await town.who(token)).status_code == 200
    headers = {"Authorization": f"Bearer {token}"}
    fault = town.world.faults.add("GET", "/repos/acme/widget$", delay=0.5)
    asked = asyncio.create_task(town.front.http.post("/api/plans", json=WISH, headers=headers))
    await taken(town, fault)
    # Another process finds that the token ends soon: its clock is ahead.
    monkeypatch.setattr("webhook.session.EARLY", 9 * 3_600.0)
    async with another(town) as other:
        assert (await other.who(token)).status_code == 200
    monkeypatch.undo()
    answer = await asked
    assert "renewed at this moment" in detail(answer, 503)
    assert answer.headers["retry-after"] == "1"
    assert (await town.who(token)).status_code == 200


async def test_a_token_that_is_refused_while_it_is_renewed_ends_nothing_yet(town: Town) -> None:
    token = await town.phone()
    assert (await town.who(token)).status_code == 200
    auth.revoke_all(town.world, town.world.app, town.world.account("maya"))
    redis = town.front.store.redis
    (key,) = [each.decode() async for each in redis.scan_iter(match="vc:session:*")]
    await redis.set(f"{key}:renewing", "another process")
    headers = {"Authorization": f"Bearer {token}"}
    answer = await town.front.http.post("/api/plans", json=WISH, headers=headers)
    assert "renewed at this moment" in detail(answer, 503)
    await redis.delete(f"{key}:renewing")
    answer = await town.front.http.post("/api/plans", json=WISH, headers=headers)
    assert "signed out everywhere" in detail(answer, 401)


async def test_a_session_ends_thirty_days_after_its_last_use(town: Town) -> None:
    token = await town.phone()
    redis = town.front.store.redis
    (key,) = [each async for each in redis.scan_iter(match="vc:session:*")]
    await redis.expire(key, 86_400)
    assert (await town.who(token)).status_code == 200
    assert KEPT - 60 < await redis.ttl(key) <= KEPT == 30 * 86_400
    await redis.delete(key)
    assert "not signed in any more" in detail(await town.who(token), 401)


async def test_a_person_has_ten_sessions_at_most(town: Town) -> None:
    tokens = [await town.phone("rob") for _ in range(MOST + 1)]
    first, *others = [(await town.who(token)).status_code for token in tokens]
    assert (first, others) == (401, [200] * MOST)


async def test_another_session_secret_signs_everybody_out(town: Town) -> None:
    token = await town.phone()
    async with another(town, session_secret="another secret of these tests") as other:
        assert "Please sign in again" in detail(await other.who(token), 401)


# Browsers


async def test_what_a_cookie_writes_must_come_from_our_own_page(town: Town) -> None:
    async with town.browser() as browser:
        await town.sign_in(browser)
        ours = {"Origin": town.front.url}
        for foreign in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": town.front.url.replace("127.0.0.1", "127.0.0.1.evil.example")},
            {"Origin": f"{town.front.url}.evil.example"},
            {"Origin": "http://["},
            {},
        ):
            for method, path in (("POST", "/api/plans"), ("DELETE", "/api/session")):
                answer = await browser.request(method, path, json=WISH, headers=foreign)
                assert "a page of another site" in detail(answer, 403)
            if foreign:
                read = await browser.get("/api/session", headers=foreign)
                assert "a page of another site" in detail(read, 403)
        assert (await browser.post("/api/plans", json=WISH, headers=ours)).status_code == 200
        assert (await browser.get("/api/session")).status_code == 200
        # What a proxy before us wants of the browser is no business of ours.
        basic = ours | {"Authorization": "Basic bWF5YTpub25l"}
        assert (await browser.get("/api/session", headers=basic)).json()["login"] == "maya"
        # A token in a header is sent by nobody's browser unasked.
        bearer = {"Authorization": f"Bearer {cookie(browser)}", "Origin": "https://evil.example"}
        assert (await browser.post("/api/plans", json=WISH, headers=bearer)).status_code == 200


async def test_cookies_of_an_https_address_are_for_it_alone(town: Town) -> None:
    public = "https://bot.example"
    town.world.callback_urls = (f"{public}/auth/github/callback",)
    async with another(town, public_url=public) as there, there.browser() as browser:
        left = await browser.get("/auth/github")
        query = parse_qs(urlsplit(left.headers["location"]).query)
        assert query["redirect_uri"] == [f"{public}/auth/github/callback"]
        visit = left.headers["set-cookie"].partition(";")[0]
        yes = await browser.get(left.headers["location"] + "&login=maya")
        back = urlsplit(yes.headers["location"])
        assert f"{back.scheme}://{back.netloc}" == public
        done = await browser.get(f"{back.path}?{back.query}", headers={"Cookie": visit})
        assert done.status_code == 303, done.text
        for answer in (left, done):
            for given in answer.headers.get_list("set-cookie"):
                name, *flags = [part.strip().lower() for part in given.split(";")]
                assert name.startswith("__host-vibecoder")
                assert {"secure", "httponly", "samesite=lax", "path=/"} <= set(flags)
        session = next(
            given.partition(";")[0]
            for given in done.headers.get_list("set-cookie")
            if given.startswith("__Host-vibecoder=")
        )
        mine = {"Cookie": session, "Origin": public}
        assert (await browser.post("/api/plans", json=WISH, headers=mine)).status_code == 200
        for foreign in ("http://bot.example", there.front.url):
            answer = await browser.post("/api/plans", json=WISH, headers=mine | {"Origin": foreign})
            assert answer.status_code == 403


# Secrets


async def test_what_is_sealed_for_one_session_opens_in_no_other(town: Town) -> None:
    mayas = await town.phone("maya")
    redis = town.front.store.redis
    (of_maya,) = [key async for key in redis.scan_iter(match="vc:session:*")]
    robs = await town.phone("rob")
    (of_rob,) = [key async for key in redis.scan_iter(match="vc:session:*") if key != of_maya]
    # Somebody who may write to Redis makes rob maya.
    await redis.hset(of_rob, "sealed", await redis.hget(of_maya, "sealed"))
    assert (await town.who(robs)).status_code == 401
    assert (await town.who(mayas)).status_code == 200


async def test_no_secret_lies_open_in_redis(town: Town) -> None:
    token = await town.phone()
    code, verifier = await town.phone_code()
    async with town.browser() as browser:
        in_cookie = await town.sign_in(browser)
    redis = town.front.store.redis
    dump = b"".join([key + (await redis.dump(key) or b"") async for key in redis.scan_iter()])
    assert b"vc:session:" in dump and b"vc:once:" in dump
    assert not [prefix for prefix in SECRET_PREFIXES if prefix.encode() in dump]
    assert not [each for each in (token, code, verifier, in_cookie) if each.encode() in dump]
