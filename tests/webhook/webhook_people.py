"""People with a browser or a phone, before a front door and the loopback GitHub."""

import base64
import hashlib
import secrets
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

import httpx
from webhook_front import Front

from vibecoder.local.github.world import World
from webhook.app import FrontDoor

APP = "vibecoder://signed-in"
SECRET_PREFIXES = ("ghu_", "ghr_", "vcs_")


@dataclass(frozen=True)
class Town:
    """A front door, the GitHub behind it, and how the door is built."""

    front: Front
    world: World
    door: FrontDoor

    def browser(self, **headers: str) -> httpx.AsyncClient:
        """Keeps cookies, as people's browsers do; follows no redirect by itself."""
        return httpx.AsyncClient(base_url=self.front.url, timeout=30, headers=headers)

    async def say_yes(
        self, browser: httpx.AsyncClient, answer: httpx.Response, login: str
    ) -> httpx.Response:
        """From the redirect to GitHub: signs in there, and follows the way back to us."""
        assert answer.status_code == 303, answer.text
        page = answer.headers["location"]
        assert page.startswith(f"{self.world.base_url}/login/oauth/authorize?")
        shown = await browser.get(page)
        assert "Who are you?" in shown.text
        asked = {name: values[0] for name, values in parse_qs(urlsplit(page).query).items()}
        yes = await browser.post(
            f"{self.world.base_url}/login/oauth/authorize", data=asked | {"login": login}
        )
        assert yes.status_code == 302, yes.text
        return await browser.get(yes.headers["location"])

    async def sign_in(
        self, browser: httpx.AsyncClient, login: str = "maya", next: str = "/app/"
    ) -> str:
        """The whole way in a browser; the value of its session cookie."""
        left = await browser.get("/auth/github", params={"next": next})
        back = await self.say_yes(browser, left, login)
        assert (back.status_code, back.headers["location"]) == (303, next), back.text
        return cookie(browser)

    async def phone(self, login: str = "maya") -> str:
        """The whole way on a phone; its session's token."""
        code, verifier = await self.phone_code(login)
        answer = await self.redeem(code, verifier)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    async def phone_code(self, login: str = "maya") -> tuple[str, str]:
        """A code as the phone's app gets it, and the app's verifier."""
        verifier = secrets.token_urlsafe(48)
        async with self.browser() as browser:
            left = await browser.get(
                "/auth/github", params={"challenge": challenge(verifier), "redirect": APP}
            )
            back = await self.say_yes(browser, left, login)
        assert back.status_code == 303, back.text
        target = urlsplit(back.headers["location"])
        assert f"{target.scheme}://{target.netloc}" == APP
        return parse_qs(target.query)["code"][0], verifier

    async def redeem(self, code: str, verifier: str) -> httpx.Response:
        body = {"code": code, "verifier": verifier}
        return await self.front.http.post("/api/session", json=body)

    async def who(self, token: str) -> httpx.Response:
        return await self.front.http.get(
            "/api/session", headers={"Authorization": f"Bearer {token}"}
        )


def challenge(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def cookie(browser: httpx.AsyncClient) -> str:
    """The session's token in a browser's cookie; empty where there is none."""
    values = [each.value or "" for each in browser.cookies.jar if each.name == "vibecoder"]
    return values[0] if values else ""
