"""Signing in with the real processes: two front doors, a worker, and what their logs hold."""

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from house import House

from jobs.commands import Actor, EndSessions
from vibecoder.local.github import auth
from vibecoder.local.serve import free_port
from vibecoder.process import answers, running

README = {"README.md": b"# A library\n"}


async def phone(house: House, service: str, login: str) -> tuple[str, set[str]]:
    """Signs in as a phone does; its session's token, and all else that nobody may see."""
    verifier = secrets.token_urlsafe(48)
    digest = hashlib.sha256(verifier.encode()).digest()
    challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    async with httpx.AsyncClient(timeout=30) as browser:
        left = await browser.get(
            f"{service}/auth/github",
            params={"challenge": challenge, "redirect": "vibecoder://signed-in"},
        )
        at_github = await browser.get(left.headers["location"] + f"&login={login}")
        back = await browser.get(at_github.headers["location"])
        code = parse_qs(urlsplit(back.headers["location"]).query)["code"][0]
        answer = await browser.post(
            f"{service}/api/session", json={"code": code, "verifier": verifier}
        )
    answer.raise_for_status()
    token = str(answer.json()["token"])
    state = parse_qs(urlsplit(left.headers["location"]).query)["state"][0]
    github_code = parse_qs(urlsplit(at_github.headers["location"]).query)["code"][0]
    return token, {token, verifier, code, state, github_code}


async def who(service: str, token: str) -> int:
    async with httpx.AsyncClient(timeout=30) as client:
        headers = {"Authorization": f"Bearer {token}"}
        return (await client.get(f"{service}/api/session", headers=headers)).status_code


@asynccontextmanager
async def doors(house: House, folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Two front doors as processes of their own, before the house's store and GitHub."""
    async with AsyncExitStack() as stack:
        urls = []
        for number in range(2):
            port, home = free_port(), folder / str(number)
            url = f"http://127.0.0.1:{port}"
            home.mkdir()
            env = house.here.environment() | {"PORT": str(port), "PUBLIC_URL": url}
            await stack.enter_async_context(running("web", env, home, answers(url)))
            urls.append(url)
        known = house.world.callback_urls
        house.world.callback_urls = tuple(f"{url}/auth/github/callback" for url in urls)
        try:
            yield urls[0], urls[1]
        finally:
            house.world.callback_urls = known


async def test_two_front_doors_know_the_same_people(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with doors(house, tmp_path) as (one, two):
        with monkeypatch.context() as short:
            short.setattr(auth, "USER_TOKEN_LIFE", timedelta(seconds=60))
            token, secret = await phone(house, one, "rob")
        handed_out = set(house.world.tokens)
        # It ends soon: both find so, again and again, and renew it once.
        asked = [who(door, token) for _ in range(10) for door in (one, two)]
        assert await asyncio.gather(*asked) == [200] * 20

        mayas, more = await phone(house, two, "maya")
        async with httpx.AsyncClient() as client:
            headers = {"Authorization": f"Bearer {token}"}
            await client.delete(f"{one}/api/session", headers=headers)
        assert [await who(door, token) for door in (one, two)] == [401, 401]
        assert await who(one, mayas) == 200

        logs = "".join((tmp_path / str(n) / "web.log").read_text() for n in range(2))
    assert '"signed in"' in logs and '"signed out"' in logs
    hidden = secret | more | handed_out | set(house.world.tokens) | {house.world.client_secret}
    assert not [each for each in hidden if each in logs]
    assert not [each for each in ("ghu_", "ghr_", "vcs_") if each in logs]


async def test_a_worker_ends_the_sessions_that_no_front_door_could(house: House) -> None:
    house.world.create_user("lou")
    token, _ = await phone(house, house.service, "lou")
    lou = Actor(house.world.account("lou").id, "lou")
    # As from a delivery that was kept, and whose front door died.
    await house.store.submit(EndSessions("revoked:lou:guid", lou), time.time())
    assert await house.verdict("revoked:lou:guid") == "ended 1 sessions"
    assert await who(house.service, token) == 401


async def test_uninstalling_from_ones_own_account_signs_out(house: House) -> None:
    async with httpx.AsyncClient(base_url=f"{house.here.github_url}/_admin") as admin:
        house.world.create_user("nora")
        house.world.add_repository("nora/library", README)
        noras, _ = await phone(house, house.service, "nora")
        mayas, _ = await phone(house, house.service, "maya")
        gone = house.world.installation_of(house.world.repository("nora/library"), house.world.app)
        assert gone is not None
        (await admin.delete(f"/installations/{gone.id}")).raise_for_status()
    await house.verdict(f"uninstalled:{gone.id}")
    assert await who(house.service, noras) == 401
    assert await who(house.service, mayas) == 200
