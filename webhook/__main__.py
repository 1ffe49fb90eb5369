"""Prints the OpenAPI document of the API: `python -m webhook > mobile/openapi.json`."""

import asyncio
import json
import sys

import httpx

from jobs.queue.store import Store, connect
from webhook.app import FrontDoor, app


async def _document() -> object:
    # Nothing connects anywhere before it is asked something.
    door = FrontDoor((), None, client_id="", client_secret="", session_secret="")
    transport = httpx.ASGITransport(app(door, Store(connect("redis://127.0.0.1"))))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return (await client.get("/openapi.json")).json()


sys.stdout.write(json.dumps(asyncio.run(_document()), indent=2) + "\n")
