"""The house with a front door that can go away, a model that can be held, and a browser."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from house import House, house
from phone import Browser, Phone, browser
from sandbox_gate import Gate

from vibecoder.compose.web import front_door
from vibecoder.local.serve import free_port, serve


@dataclass
class Held:
    """Between the worker and the model: each answer needs a turn, of which there are plenty."""

    gate: Gate = field(default_factory=Gate)
    turns: int = 1_000_000
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def let(self, turns: int) -> None:
        """So many answers more, and then none."""
        async with self.changed:
            self.turns = turns
            self.changed.notify_all()

    async def let_go(self) -> None:
        await self.let(1_000_000)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            async with self.changed:
                await self.changed.wait_for(lambda: self.turns > 0)
                self.turns -= 1
        await self.gate(scope, receive, send)


@dataclass
class Door:
    """The web app at a port of its own: it can be closed and opened again, as by a deploy."""

    house: House
    port: int = field(default_factory=free_port)
    _open: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        door = front_door(self.house.settings, self.house.store)
        await self._open.enter_async_context(serve(door, self.port))

    async def close(self) -> None:
        await self._open.aclose()


@dataclass
class Place:
    """All of it."""

    house: House
    model: Held
    door: Door
    browser: Browser


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[Place]:
    held = Held()
    async with serve(held) as model_url, house(folder, ANTHROPIC_BASE_URL=model_url) as running:
        held.gate.upstream = running.here.model_url
        door = Door(running)
        await door.open()
        running.world.callback_urls = (f"{door.url}/auth/github/callback",)
        try:
            async with browser(door.url) as chromium:
                yield Place(running, held, door, chromium)
        finally:
            await held.let_go()
            await door.close()


async def ask(phone: Phone, repository: str, wish: str) -> None:
    """From nothing to a plan that is being made."""
    await phone.open()
    await phone.sign_in()
    await choose(phone, repository)
    await phone.write("Your wish", wish)
    await phone.press("Make a plan")


async def choose(phone: Phone, repository: str) -> None:
    """That repository, by searching for it."""
    await phone.press("Repository: Choose …")
    await phone.write("Search", repository)
    await phone.press(repository)
    await phone.see(f"Repository: {repository}", "button")
