"""A person's phone: the real web app in headless Chromium, by way of tests/mobile/phone.mjs."""

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SECONDS = 30  # of patience until a step that does not come fails its test


class PhoneError(AssertionError):
    """The page did not do what was expected; holds what it shows instead."""


@dataclass
class Browser:
    """One Chromium. Each phone in it has cookies and storage of its own."""

    process: asyncio.subprocess.Process
    _answers: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    _ids: "itertools.count[int]" = field(default_factory=itertools.count)

    def phone(self, name: str = "phone", scheme: str = "light") -> "Phone":
        return Phone(self, name, scheme)

    async def ask(self, **request: Any) -> Any:
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"id": number, **request}).encode() + b"\n")
        return await answer

    async def listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            told = json.loads(line)
            answer = self._answers.pop(told["id"])
            if "error" in told:
                answer.set_exception(PhoneError(told["error"]))
            else:
                answer.set_result(told["value"])
        for answer in self._answers.values():
            answer.set_exception(PhoneError("The browser is gone."))


@dataclass
class Phone:
    """What a person does with it. Each step waits until it can be done, or raises PhoneError."""

    browser: Browser
    name: str
    scheme: str

    async def _do(self, deed: str, **what: Any) -> Any:
        return await self.browser.ask(device=self.name, scheme=self.scheme, do=deed, **what)

    async def prepare(self, script: str) -> None:
        """Runs in each page before the app does: for what this browser does not have."""
        await self._do("prepare", script=script)

    async def open(self, path: str = "/app/") -> None:
        await self._do("open", path=path)

    async def reload(self) -> None:
        await self._do("reload")

    async def address(self) -> str:
        """The page's path with its query."""
        address = str(await self._do("address"))
        return "/" + address.split("/", 3)[3]

    async def sign_in(self, login: str = "maya") -> None:
        await self.press("Sign in with GitHub")
        await self.press(login)

    async def see(self, name: str, role: str = "", *, exact: bool = True) -> None:
        await self._do("see", name=name, role=role, exact=exact)

    async def gone(self, name: str, role: str = "") -> None:
        await self._do("gone", name=name, role=role)

    async def press(self, name: str, role: str = "button", *, exact: bool = True) -> None:
        await self._do("press", name=name, role=role, exact=exact)

    async def key(self, name: str) -> None:
        await self._do("key", name=name)

    async def write(self, field: str, text: str) -> None:
        await self._do("write", name=field, text=text)

    async def written(self, field: str) -> str:
        return str(await self._do("value", name=field))

    async def text(self, role: str, name: str | None = None) -> str:
        what = {"role": role} if name is None else {"role": role, "name": name}
        return str(await self._do("text", **what))

    async def texts(self, role: str) -> list[str]:
        return list(await self._do("texts", role=role))

    async def link(self, name: str) -> str:
        return str(
            await self._do("attribute", role="link", name=name, exact=False, attribute="href")
        )

    async def run(self, script: str) -> Any:
        """The value of a script in the page."""
        return await self._do("evaluate", script=script)

    async def offline(self, on: bool) -> None:
        await self._do("offline", on=on)

    async def asleep(self, on: bool) -> None:
        await self._do("asleep", on=on)

    async def push(self, **message: Any) -> None:
        """A notification arrives, as a push service would bring it."""
        await self._do("push", data=json.dumps(message))

    async def picture(self, file: Path) -> None:
        await self._do("picture", file=str(file))

    async def looks_good(self) -> None:
        """Nothing that axe, large thumbs or the page's own policy complain about."""
        if found := [*await self._do("look"), *await self.complaints()]:
            raise PhoneError("\n".join(found))

    async def complaints(self) -> list[str]:
        return list(await self._do("complaints"))

    async def close(self) -> None:
        await self._do("close")


@asynccontextmanager
async def browser(service: str) -> AsyncIterator[Browser]:
    """Chromium with the app of that service."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(ROOT / "tests/mobile/phone.mjs"),
        env=os.environ | {"BASE_URL": service, "SECONDS": str(SECONDS)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    running = Browser(process)
    listening = asyncio.create_task(running.listen())
    try:
        yield running
    finally:
        assert process.stdin is not None
        process.stdin.close()  # its end
        await process.wait()
        await listening


def missing() -> list[str]:
    """What is not here of all that it takes."""
    there = {
        "mobile/dist": (ROOT / "mobile/dist/index.html").exists(),
        "mobile/node_modules": (ROOT / "mobile/node_modules/playwright-core").exists(),
        "node": shutil.which("node"),
        "chromium (Debian has it)": os.environ.get("CHROMIUM") or shutil.which("chromium"),
    }
    return [name for name, found in there.items() if not found]
