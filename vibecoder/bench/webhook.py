"""Webhook to 202: signed deliveries of 12 KB to the web process, each stored durably first.

One `vibecoder web` with the embedded Redis (append-only file, fsync every second). Deliveries are
`issue_comment` payloads of the local GitHub under new GUIDs, signed beforehand, over connections
that stay open. Latency is from the first byte written to the answer read, on the client's side.
CPU is the web process's own, reading the delivery after the answer included; the server of Redis
is counted apart. The client shares the machine, so concurrent latencies are an upper bound.
"""

import json
from collections.abc import Iterator
from copy import deepcopy
from itertools import count
from typing import Any

from vibecoder.bench import door
from vibecoder.bench.ground import Ground, House, Process, house
from vibecoder.bench.rows import Row, row

BYTES = 12_000
WARM_UP = 300
DELIVERIES = 1_000
CONCURRENT = 16


async def measure(ground: Ground) -> list[Row]:
    async with house(ground, "webhook") as here, here.web() as (web, port):
        payload = await _payload(here)
        rows: list[Row] = []
        for words, what in (("Thanks, I can see it too.", "a comment"), ("/vibecode fix", "a job")):
            deliveries = _deliveries(here, payload, words)
            await door.send(port, [next(deliveries) for _ in range(WARM_UP)], 1)
            for lanes, how in ((1, "one after another"), (CONCURRENT, f"{CONCURRENT} at a time")):
                batch = [next(deliveries) for _ in range(DELIVERIES)]
                rows += await _batch(here, web, port, batch, lanes, f"{what}, {how}")
        return rows


async def _batch(
    here: House, web: Process, port: int, batch: list[bytes], lanes: int, what: str
) -> list[Row]:
    await here.all_read()
    web_cpu, redis_cpu = web.cpu(), await here.redis_cpu()
    took = await door.send(port, batch, lanes)
    await here.all_read()
    web_cpu, redis_cpu = web.cpu() - web_cpu, await here.redis_cpu() - redis_cpu
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
    """HTTP requests as GitHub would send them, each of an installation and a comment of its own."""
    sent = deepcopy(payload)
    issue, comment = sent["issue"], sent["comment"]
    address = comment["issue_url"].rpartition("/")[0]
    for number in count(1):
        issue["number"], comment["id"] = number, (1 + len(words)) * 1_000_000 + number
        sent["installation"]["id"] = number  # one may have no more than so many jobs open
        comment["issue_url"] = f"{address}/{number}"
        comment["body"] = words
        short = BYTES - len(json.dumps(sent))
        issue["body"] = (issue["body"] or "") + "x" * max(0, short)
        body = json.dumps(sent).encode()
        yield door.request("/webhook", here.world.webhook_secret, "issue_comment", body)
