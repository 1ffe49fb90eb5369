"""A front door on a real socket, and deliveries as GitHub would sign them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from jobs.queue.store import Store
from vibecoder.local.serve import serve
from webhook.app import FrontDoor, app
from webhook.signature import sign

SECRET = "the secret of these tests"
APP_ID = 4711


@dataclass(frozen=True)
class Front:
    """The door's address, a client for it, and the store behind it."""

    url: str
    http: httpx.AsyncClient
    store: Store

    async def deliver(
        self,
        payload: Any,
        event: str = "issue_comment",
        *,
        guid: str | None = None,
        secret: str = SECRET,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Posts as GitHub does; `payload` is sent as it is where it is bytes."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return await self.http.post(
            "/webhook",
            content=body,
            headers={
                "Content-Type": "application/json",
                "X-GitHub-Event": event,
                "X-GitHub-Delivery": guid or str(uuid4()),
                "X-Hub-Signature-256": sign(secret, body).decode(),
            }
            | (headers or {}),
        )

    async def settled(self, guid: str) -> str:
        """The verdict on a delivery, as soon as there is one."""
        while True:  # the store tells nobody; the test's own time limit ends this
            if (verdict := await self.store.verdict(guid)) is not None:
                return verdict
            await asyncio.sleep(0.005)


@asynccontextmanager
async def front_of(door: FrontDoor, store: Store) -> AsyncIterator[Front]:
    """A front door that is served while the block runs."""
    async with serve(app(door, store)) as url, httpx.AsyncClient(base_url=url, timeout=30) as http:
        yield Front(url, http, store)


def commented(
    body: str = "/vibecode fix the flaky retry",
    *,
    comment: dict[str, Any] | None = None,
    issue: dict[str, Any] | None = None,
    sender: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The part of an issue_comment delivery that matters; keyword arguments change it."""
    return {
        "action": "created",
        "comment": {
            "id": 1001,
            "html_url": "https://github.example/maya/widget/issues/7#issuecomment-1001",
            "issue_url": "https://api.github.example/repos/maya/widget/issues/7",
            "created_at": "2026-11-20T10:00:00Z",
            "updated_at": "2026-11-20T10:00:00Z",
            "body": body,
            "user": {"id": 5, "login": "somebody-else", "type": "User"},
            "performed_via_github_app": None,
        }
        | (comment or {}),
        "issue": {"number": 7, "title": "Retries are flaky", "state": "open"} | (issue or {}),
        "repository": {"id": 77, "full_name": "maya/widget", "private": False},
        "installation": {"id": 99},
        "sender": {"id": 42, "login": "maya", "type": "User"} | (sender or {}),
    } | more
