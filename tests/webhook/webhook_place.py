"""A front door before the loopback GitHub, and people who ask there."""

import json
from dataclasses import dataclass
from typing import Any

import httpx
from webhook_front import Front
from webhook_story import plans

from jobs.queue.store import Store
from vibecoder.local.github.world import World
from webhook.app import FrontDoor

WISH = {"repository": "acme/widget", "text": "Fix the flaky retry"}


@dataclass(frozen=True)
class Place:
    """A front door before the loopback GitHub."""

    front: Front
    world: World
    door: FrontDoor

    @property
    def store(self) -> Store:
        return self.front.store

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        by: str = "maya",
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        token = self.world.users.get(by, by)
        return await self.front.http.request(
            method,
            path,
            content=None if body is None else json.dumps(body),
            headers={"Authorization": f"Bearer {token}"} | (headers or {}),
        )

    async def planned(self, wish: dict[str, Any] = WISH) -> str:
        """A job whose plan waits."""
        answer = await self.ask("POST", "/api/plans", wish)
        assert answer.status_code == 200, answer.text
        job_id = str(answer.json()["job_id"])
        await plans(self.store, job_id)
        return job_id

    async def commands(self) -> list[Any]:
        return [await self.store.command(id_) for id_ in await self.store.unsettled()]


def detail(answer: httpx.Response, status: int) -> str:
    """The sentence of a refusal."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["status"] == status
    sentence = str(said["detail"])
    assert sentence.endswith((".", "`", ")")), sentence
    return sentence
