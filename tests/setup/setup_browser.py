"""What stands around `vibecoder setup`: a browser that follows its form, and the webhook's door."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from starlette.requests import Request
from starlette.responses import Response

from vibecoder import setup
from vibecoder.local.github.world import World
from vibecoder.settings import Settings


@dataclass
class Door:
    """Takes webhooks and keeps them."""

    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: Request) -> Response:
        self.got.append((dict(request.headers), await request.body()))
        self.came.set()
        return Response(status_code=202)


class Form(HTMLParser):
    """The one form of a page: where it goes and what it carries."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given.get("action", "")
        elif tag == "input":
            self.fields[given["name"]] = given.get("value", "")


class Terminal(io.StringIO):
    """The screen's text, and a way to wait for the page's address."""

    def __init__(self) -> None:
        super().__init__()
        self.shown = asyncio.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        if "http://127.0.0.1" in self.getvalue():
            self.shown.set()
        return written

    @property
    def address(self) -> str:
        lines = (line.strip() for line in self.getvalue().splitlines())
        return next(line for line in lines if line.startswith("http://127.0.0.1"))


@dataclass
class Running:
    """A `vibecoder setup` that waits, seen from the terminal and from a browser."""

    terminal: Terminal
    http: httpx.AsyncClient
    task: asyncio.Task[setup.Registered]

    @property
    def address(self) -> str:
        return self.terminal.address

    async def form(self) -> Form:
        page = await self.http.get(self.address)
        assert page.status_code == 200
        return Form(page.text)

    async def confirmed(self, name: str | None = None) -> str:
        """Goes through GitHub's pages as a person would; the address that GitHub sends back to."""
        first = await self.form()
        page = await self.http.post(first.action, data=first.fields)
        assert page.status_code == 200, page.text
        second = Form(page.text)
        fields = second.fields | ({"name": name} if name else {})
        answer = await self.http.post(page.url.join(second.action), data=fields)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"]


def settings_for(world: World, **more: Any) -> Settings:
    return Settings(
        _env_file=None,  # type: ignore[call-arg]  # pydantic's own
        github_url=world.base_url,
        github_api_url=f"{world.base_url}/api/v3",
        **more,
    )


def wanted(
    door: Door, env_file: Path, *, organization: str | None = None, replace: bool = False
) -> setup.Wanted:
    return setup.Wanted(door.url, organization, env_file, replace)


@asynccontextmanager
async def begun(
    asked: setup.Wanted, settings: Settings, seconds: float = 60
) -> AsyncIterator[Running]:
    """A setup whose page is served; it is cancelled on leaving where it still waits."""
    terminal = Terminal()
    screen = Console(file=terminal, width=80)
    task = asyncio.create_task(setup.run(asked, settings, screen, seconds=seconds))
    shown = asyncio.create_task(terminal.shown.wait())
    async with httpx.AsyncClient(timeout=20) as http:
        await asyncio.wait((task, shown), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            shown.cancel()
            task.result()
        try:
            yield Running(terminal, http, task)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
