"""Webhook to 202: signed deliveries of 12 KB to the web process, each stored durably first.

One `vibecoder web` with the embedded Redis (append-only file, fsync every second). Deliveries are
`issue_comment` payloads of the local GitHub under new GUIDs, signed beforehand, over connections
that stay open. Latency is from the first byte written to the answer read, on the client's side.
CPU is the web process's own, reading the delivery after the answer included; the server of Redis
is counted apart. The client shares the machine, so concurrent latencies are an upper bound.
"""

import asyncio
import hmac
import json
import time
from collections.abc import Iterator
from copy import deepcopy
from itertools import count
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from vibecoder.bench.ground import BenchError, Ground, House, Process, house, until
from vibecoder.bench.rows import Row, row

BYTES = 12_000
WARM_UP = 300
DELIVERIES = 1_000
CONCURRENT = 16


async def measure(ground: Ground) -> list[Row]:
    async with house(ground, "webhook") as here, here.web() as (web, url):
        payload = await _payload(here)
        rows: list[Row] = []
        for words, what in (("Thanks, I can see it too.", "a comment"), ("/vibecode fix", "a job")):
            deliveries = _deliveries(here, payload, words)
            await _send(url, [next(deliveries) for _ in range(WARM_UP)], 1)
            for lanes, how in ((1, "one after another"), (CONCURRENT, f"{CONCURRENT} at a time")):
                batch = [next(deliveries) for _ in range(DELIVERIES)]
                rows += await _batch(here, web, url, batch, lanes, f"{what}, {how}")
        return rows


async def _batch(
    here: House, web: Process, url: str, batch: list[bytes], lanes: int, what: str
) -> list[Row]:
    await _all_read(here)
    web_cpu, redis_cpu = web.cpu(), await _redis_cpu(here)
    took = await _send(url, batch, lanes)
    await _all_read(here)
    web_cpu, redis_cpu = web.cpu() - web_cpu, await _redis_cpu(here) - redis_cpu
    return [
        row(f"{what}: to 202", "ms", [seconds * 1e3 for seconds in took]),
        row(f"{what}: web", "requests/CPU s", [len(batch) / max(web_cpu, 0.01)]),
        row(f"{what}: Redis", "CPU µs/request", [redis_cpu / len(batch) * 1e6]),
    ]


async def _payload(here: House) -> dict[str, Any]:
    """What the local GitHub sends for a comment."""
    repository = here.repository("acme/webhook")
    here.comment(repository, here.issue(repository), "A comment.")
    sent = list(here.world.deliveries.values())
    await here.world.courier.settled()
    return next(delivery.payload for delivery in sent if delivery.event == "issue_comment")


def _deliveries(here: House, payload: dict[str, Any], words: str) -> Iterator[bytes]:
    """HTTP requests as GitHub would send them, each about an issue and a comment of its own."""
    secret = here.world.webhook_secret.encode()
    sent = deepcopy(payload)
    issue, comment = sent["issue"], sent["comment"]
    address = comment["issue_url"].rpartition("/")[0]
    for number in count(1):
        issue["number"], comment["id"] = number, (1 + len(words)) * 1_000_000 + number
        comment["issue_url"] = f"{address}/{number}"
        comment["body"] = words
        short = BYTES - len(json.dumps(sent))
        issue["body"] = (issue["body"] or "") + "x" * max(0, short)
        body = json.dumps(sent).encode()
        signature = hmac.new(secret, body, "sha256").hexdigest()
        yield (
            "POST /webhook HTTP/1.1\r\nHost: localhost\r\nUser-Agent: GitHub-Hookshot/0000000\r\n"
            "Content-Type: application/json\r\nX-GitHub-Event: issue_comment\r\n"
            f"X-GitHub-Delivery: {uuid4()}\r\nX-Hub-Signature-256: sha256={signature}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body


async def _send(url: str, batch: list[bytes], lanes: int) -> list[float]:
    """Sends all of them over so many connections; seconds that each took."""
    # An HTTP client's own work would outweigh the server's, so the bytes are made beforehand.
    left, took = iter(batch), list[float]()

    async def lane() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
        for request in left:
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            took.append(time.perf_counter() - began)
            if not head.startswith(b"HTTP/1.1 202"):
                raise BenchError(f"A delivery was not accepted: {head.decode()}")
        writer.close()
        await writer.wait_closed()

    async with asyncio.TaskGroup() as group:
        for _ in range(lanes):
            group.create_task(lane())
    return took


async def _all_read(here: House) -> None:
    """Until the web process has read and settled what it answered."""

    async def none_left() -> bool:
        return not await here.store.unparsed(0, limit=1)

    await until(none_left, "the web process to read what it took")


async def _redis_cpu(here: House) -> float:
    used = await here.store.redis.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])
