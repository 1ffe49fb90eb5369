"""Somebody with the app: asks for a plan, looks at it, accepts it.

As the app does, a write that got no answer is sent again under the same key. After a total loss of
Redis the person asks again for what the service no longer knows.
"""

import asyncio
from http import HTTPStatus
from typing import Any

import httpx

from tests.faults.ground import PERSON, Asked, Ground

_PAUSE = 0.3  # seconds between two looks
_ENDED = {"succeeded", "failed", "cancelled", "stopped"}


class Refused(Exception):
    """An answer that no fault of the network or of GitHub explains."""


async def use(ground: Ground, asked: Asked) -> None:
    """Returns once the job has ended. Raises Refused."""
    headers = {"Authorization": f"Bearer {ground.world.users[PERSON]}"}
    name = asked.repository.full_name
    async with httpx.AsyncClient(
        base_url=ground.processes.url, headers=headers, timeout=10, trust_env=False
    ) as http:
        plan = {"repository": name, "text": "Write all parts."}
        await _write(http, "/api/plans", plan, key=name)
        while True:
            status = await _send(http, "GET", f"/api/agent/status/{asked.job_id}")
            if status is None:
                if ground.losses and await ground.store.marked():
                    await _write(http, "/api/plans", plan, key=name)
            elif status["state"] in _ENDED:
                return
            elif status["state"] == "awaiting_approval":
                digest = status["plan"]["digest"]
                accept = {"job_id": asked.job_id, "plan_digest": digest}
                await _write(http, "/api/agent/execute", accept, key=f"{name} {digest}")
            await asyncio.sleep(_PAUSE)


async def _write(http: httpx.AsyncClient, path: str, body: dict[str, str], key: str) -> None:
    await _send(http, "POST", path, json=body, headers={"Idempotency-Key": key})


async def _send(
    http: httpx.AsyncClient, method: str, path: str, **more: Any
) -> dict[str, Any] | None:
    """The answer, however long it takes; None: there is no such thing, or it changed meanwhile."""
    while True:
        try:
            answer = await http.request(method, path, **more)
        except httpx.TransportError:
            await asyncio.sleep(_PAUSE)
            continue
        if answer.is_success:
            found: dict[str, Any] = answer.json()
            return found
        if answer.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:
            return None
        if not answer.is_server_error:
            raise Refused(f"{method} {path} was answered {answer.status_code}: {answer.text[:200]}")
        await asyncio.sleep(_PAUSE)
