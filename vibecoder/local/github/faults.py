"""Faults that tests inject: slow, failing and cut answers, lost and doubled deliveries."""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(slots=True)
class Fault:
    """One kind of trouble, for the next `times` matching requests or deliveries.

    `method` is an HTTP method, "*" for any, or "HOOK" for webhook deliveries, whose path is
    "event.action" (or "event").
    """

    method: str
    path: re.Pattern[str]
    times: int = 1
    status: int | None = None  # answer with this instead of the real answer
    late: bool = False  # the request takes effect first, only its answer is lost
    delay: float = 0.0  # seconds before anything happens
    cut: int | None = None  # send this many bytes of the real answer, then hang up
    headers: dict[str, str] = field(default_factory=dict)
    body: str = '{"message":"Server Error"}'
    drop: bool = False  # HOOK only: never sent, and logged as such
    duplicate: bool = False  # HOOK only: sent twice with the same GUID


class Faults:
    """The faults that wait to happen, first added first."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []

    def add(
        self,
        method: str,
        path: str,
        times: int = 1,
        *,
        status: int | None = None,
        late: bool = False,
        delay: float = 0.0,
        cut: int | None = None,
        headers: dict[str, str] | None = None,
        body: str = '{"message":"Server Error"}',
        drop: bool = False,
        duplicate: bool = False,
    ) -> Fault:
        """Adds a fault; `path` is a regular expression, searched in the path without /api/v3."""
        fault = Fault(
            method.upper(),
            re.compile(path),
            times,
            status,
            late,
            delay,
            cut,
            headers or {},
            body,
            drop,
            duplicate,
        )
        self.waiting.append(fault)
        return fault

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that strikes this request, used up by one."""
        for fault in self.waiting:
            if fault.method in ("*", method) and fault.path.search(path):
                if method == "HOOK" and fault.method != "HOOK":
                    continue
                fault.times -= 1
                if fault.times <= 0:
                    self.waiting.remove(fault)
                return fault
        return None

    def clear(self) -> None:
        self.waiting.clear()


async def strike(
    fault: Fault, answer: Callable[[Receive, Send], Awaitable[None]], receive: Receive, send: Send
) -> None:
    """Lets a fault happen to a request whose true answer `answer` would give."""
    if fault.delay:
        await asyncio.sleep(fault.delay)
    if fault.cut is not None:
        await answer(receive, _cut(send, fault.cut))
        return
    if fault.late:
        await answer(receive, _nowhere)
    if fault.status is None and not fault.late:
        await answer(receive, send)
        return
    body = fault.body.encode()
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    headers |= {name.lower(): value for name, value in fault.headers.items()}
    listed = [(name.encode(), value.encode()) for name, value in headers.items()]
    status = fault.status or 502
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": body})


async def _nowhere(message: Message) -> None:
    """Takes what a client will never see."""


def _cut(send: Send, length: int) -> Send:
    """Sends the first `length` bytes of a body; the server hangs up when no more comes."""
    left = length

    async def shortened(message: Message) -> None:
        nonlocal left
        if message["type"] != "http.response.body":
            await send(message)
        elif left > 0:
            body = message.get("body", b"")[:left]
            left -= len(body)
            await send({"type": "http.response.body", "body": body, "more_body": True})

    return shortened
