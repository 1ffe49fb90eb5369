"""In front of a stand-in's HTTP server: knows which process asks, and lets traps hold it up.

Each process is given addresses of its own, /@NAME/… before the usual path. Git takes its address
from GitHub's answers instead, so there a process is known by the installation token that it was
given.
"""

import base64
import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from starlette.requests import ClientDisconnect

from tests.faults.traps import Knock, Traps

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Gate:
    """An ASGI app around that of the stand-in named `place`."""

    def __init__(self, app: App, place: str, traps: Traps) -> None:
        self._app = app
        self._place = place
        self._traps = traps
        self.holders: dict[str, str] = {}  # installation token to the process that it was made for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(ClientDisconnect):  # who asked was killed, which is the point
            await self._pass(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = dict(scope)
        process = self._process(scope)
        knock = Knock(process, self._place, scope["method"], scope["path"])
        if await self._traps.spring(knock, "before") == "abandon":
            return  # the server hangs up
        if process:
            send = _links_of(process, send)
        mints = process and knock.path.endswith("/access_tokens")
        if not mints and not self._traps.wanted(knock):
            await self._app(scope, receive, send)
            await self._traps.spring(knock, "after")
            return
        answer: list[Message] = []

        async def keep(message: Message) -> None:
            answer.append(dict(message))

        await self._app(scope, receive, keep)
        if mints:
            self._learn(process, answer)
        if await self._traps.spring(knock, "after") == "abandon":
            return
        for message in answer:
            await send(message)

    def _process(self, scope: Scope) -> str:
        """Whose request it is; takes the name out of the path."""
        path: str = scope["path"]
        if path.startswith("/@"):
            name, _, rest = path[2:].partition("/")
            scope["path"] = f"/{rest}"
            scope["raw_path"] = scope["path"].encode()
            return name
        given = next((v for k, v in scope["headers"] if k == b"authorization"), b"").decode()
        kind, _, secret = given.partition(" ")
        if kind.lower() == "basic":
            secret = base64.b64decode(secret).decode().partition(":")[2]
        return self.holders.get(secret, "")

    def _learn(self, process: str, answer: list[Message]) -> None:
        if answer[0].get("status") == 201:
            body = b"".join(message.get("body", b"") for message in answer[1:])
            self.holders[json.loads(body)["token"]] = process


def _links_of(process: str, send: Send) -> Send:
    """Has the next page of a list lie where the process asked for this one."""

    async def passing(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [
                (name, value.replace(b"/api/v3/", f"/@{process}/api/v3/".encode()))
                if name == b"link"
                else (name, value)
                for name, value in message.get("headers", ())
            ]
            message = {**message, "headers": headers}
        await send(message)

    return passing
