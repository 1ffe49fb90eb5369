"""A job's events as they are streamed to whoever watches."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from webhook_place import WISH, Place, detail
from webhook_story import ends, plans


@asynccontextmanager
async def watching(
    place: Place, job_id: str, after: str = "", by: str = "maya"
) -> AsyncIterator[AsyncIterator[tuple[str, dict[str, Any]]]]:
    """The stream's events with their ids, from after that id on."""
    headers = {"Authorization": f"Bearer {place.world.users[by]}"}
    if after:
        headers["Last-Event-ID"] = after
    path = f"/api/jobs/{job_id}/events"
    async with place.front.http.stream("GET", path, headers=headers, timeout=30) as answer:
        assert answer.status_code == 200
        yield events(answer)


async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    event_id = ""
    async for line in answer.aiter_lines():
        if line.startswith("id: "):
            event_id = line.removeprefix("id: ")
        elif line.startswith("data: "):
            yield event_id, json.loads(line.removeprefix("data: "))


async def until(stream: AsyncIterator[tuple[str, dict[str, Any]]], kind: str) -> list[Any]:
    seen = []
    async for event_id, event in stream:
        seen.append((event_id, event))
        if event["type"] == kind:
            break
    return seen


async def test_a_job_is_watched_from_its_wish_to_its_end(place: Place) -> None:
    job_id = (await place.ask("POST", "/api/plans", WISH)).json()["job_id"]
    async with watching(place, job_id) as stream:
        (received,) = await until(stream, "received")
        assert received[1]["text"] == WISH["text"]
        assert (received[1]["repository"], received[1]["asked_by"]) == ("acme/widget", "maya")
        await plans(place.store, job_id)
        seen = await until(stream, "planned")
        assert seen[-1][1]["plan"]["steps"]
        await ends(place.store, job_id, "failed", "It broke.")
        seen = [received, *seen, *await until(stream, "finished")]
    ids = [event_id for event_id, _ in seen]
    assert ids == sorted(set(ids))
    async with watching(place, job_id, after=ids[0]) as stream:
        assert await until(stream, "finished") == seen[1:]


async def test_nobody_watches_what_is_not_theirs(place: Place) -> None:
    job_id = await place.planned()
    path = f"/api/jobs/{job_id}/events"
    assert "no job" in detail(await place.ask("GET", path, by="sam"), 404)
    detail(await place.ask("GET", path, by="nobody"), 401)
    assert "Last-Event-ID" in detail(
        await place.ask("GET", path, headers={"Last-Event-ID": "x"}), 400
    )
    async with watching(place, job_id, by="rob") as stream:
        await until(stream, "planned")
