"""Real payloads, published by octokit (MIT): nothing that GitHub sends may break the door.

`npm ci --prefix tests/webhook/payloads` fetches them.
"""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from webhook_front import SECRET, Front

from webhook.signature import sign

FOLDER = Path(__file__).parent / "payloads/node_modules/@octokit/webhooks-examples"
WORDS = "Sounds good.\r\n\r\n/vibecode fix the login page"


@pytest.fixture(scope="module")
def payloads() -> list[tuple[str, dict[str, Any]]]:
    index = FOLDER / "api.github.com/index.json"
    if not index.exists():
        sentence = "The payloads are missing: run npm ci --prefix tests/webhook/payloads"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    found = [
        (event["name"], example)
        for event in json.loads(index.read_text())
        for example in event["examples"]
    ]
    assert len(found) == 329
    return found


def in_batches(items: list[Any], size: int = 16) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


async def test_every_payload_is_taken_and_settled(
    front: Front, payloads: list[tuple[str, dict[str, Any]]]
) -> None:
    numbered = [(f"d{n}", event, payload) for n, (event, payload) in enumerate(payloads)]
    for batch in in_batches(numbered):
        answers = await asyncio.gather(
            *(front.deliver(payload, event, guid=guid) for guid, event, payload in batch)
        )
        assert {answer.status_code for answer in answers} == {202}
    for guid, _, _ in numbered:
        assert await front.settled(guid)
    assert await front.store.unparsed(older_than=0) == []
    assert await front.store.jobs() == []  # none of them speaks to us


async def test_one_flipped_byte_of_any_payload_is_refused(
    front: Front, payloads: list[tuple[str, dict[str, Any]]]
) -> None:
    for batch in in_batches(payloads):
        posts = []
        for event, payload in batch:
            body = bytearray(json.dumps(payload).encode())
            signature = sign(SECRET, bytes(body)).decode()
            body[len(body) * 7 // 11] ^= 1
            headers = {"X-Hub-Signature-256": signature}
            posts.append(front.deliver(bytes(body), event, headers=headers))
        assert {answer.status_code for answer in await asyncio.gather(*posts)} == {401}
    assert await front.store.redis.keys("*") == []


async def test_a_real_comment_that_speaks_to_us_starts_one_job(
    front: Front, payloads: list[tuple[str, dict[str, Any]]]
) -> None:
    spoken = [
        payload
        | {"comment": payload["comment"] | {"body": WORDS, "id": 9_000 + n}}
        | {"issue": payload["issue"] | {"number": 100 + n}, "installation": {"id": 99}}
        for n, (event, payload) in enumerate(payloads)
        if event == "issue_comment"
    ]
    for payload in spoken:
        number = payload["issue"]["number"]
        payload["comment"]["issue_url"] = f"https://api.github.com/repos/x/y/issues/{number}"
    created = [payload for payload in spoken if payload["action"] == "created"]
    assert len(spoken) == 9 and len(created) >= 3
    guids = []
    for again in range(2):
        for n, payload in enumerate(spoken):
            guids.append(f"{again}-{n}")
            await front.deliver(payload, guid=guids[-1])
    for guid in guids:
        await front.settled(guid)
    jobs = await front.store.jobs()
    people = [payload for payload in created if payload["sender"]["type"] != "Bot"]
    assert len(jobs) == len(people)
    assert {job.command.text for job in jobs} == {"fix the login page"}
