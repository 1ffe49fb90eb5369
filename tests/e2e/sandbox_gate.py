"""Between the worker and the sandboxes' server: passes requests on, and has faults of its own."""

import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

PATIENCE = 600.0  # seconds without a byte


@dataclass(slots=True)
class Fault:
    """What becomes of the next requests whose "METHOD /path" matches."""

    request: str  # a regular expression
    times: int
    status: int | None = None  # None: no answer ever, or a cut one
    body: bytes = b""
    kind: str = "application/json"
    cut: bool = False  # the answer's head comes, and half a body


@dataclass(slots=True)
class Gate:
    """An ASGI app; `upstream` is the real server's address."""

    upstream: str = ""
    faults: list[Fault] = field(default_factory=list)
    met: list[str] = field(default_factory=list)  # requests that ran into a fault

    def fail(self, request: str, times: int = 1, **what: Any) -> None:
        self.faults.append(Fault(request, times, **what))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        asked = f"{scope['method']} {scope['path']}"
        fault = next((it for it in self.faults if it.times and re.match(it.request, asked)), None)
        if fault is None:
            await self._pass(scope, receive, send)
            return
        fault.times -= 1
        self.met.append(asked)
        headers = [(b"content-type", fault.kind.encode())]
        if fault.status is None and not fault.cut:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        if fault.cut:
            headers.append((b"content-length", b"100000"))
        await send(_head(fault.status or 200, headers))
        await send({"type": "http.response.body", "body": fault.body, "more_body": fault.cut})

    async def _pass(self, scope: Any, receive: Any, send: Any) -> None:
        async def body() -> AsyncIterator[bytes]:
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                yield message.get("body", b"")
                more = message.get("more_body", False)

        url = f"{self.upstream}{scope['raw_path'].decode()}"
        if scope["query_string"]:
            url += f"?{scope['query_string'].decode()}"
        headers = [it for it in scope["headers"] if it[0] not in {b"host", b"transfer-encoding"}]
        with suppress(httpx.TransportError):  # the box died: hung up on, as by the server itself
            async with (
                httpx.AsyncClient(timeout=PATIENCE) as client,
                client.stream(scope["method"], url, headers=headers, content=body()) as answer,
            ):
                left_out = {b"transfer-encoding", b"connection"}
                raw = [it for it in answer.headers.raw if it[0].lower() not in left_out]
                await send(_head(answer.status_code, raw))
                async for chunk in answer.aiter_raw():
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})


def _head(status: int, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}
