"""Prompt-cache accounting by prefix (https://platform.claude.com/docs/en/build-with-claude/
prompt-caching): tools, then system, then messages; a hit is the longest prefix that was written.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vibecoder.local.model.script import Block, blocks_of

LOOKBACK = 20  # blocks before a breakpoint that are tried for a hit
MINIMUM = 512  # tokens; shorter prefixes are not cached
MAX_ENTRIES = 10_000  # before those that ended are thrown away
SECONDS = {"5m": 300.0, "1h": 3600.0}
UNCACHEABLE = {"thinking", "redacted_thinking"}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request's input. All fields together are the whole input."""

    input: int  # after the last breakpoint
    read: int
    written_5m: int
    written_1h: int

    @property
    def written(self) -> int:
        return self.written_5m + self.written_1h


@dataclass(frozen=True, slots=True)
class _Point:
    tokens: int  # of the prefix that ends here
    hash: str  # over that prefix
    ttl: str | None  # of a breakpoint here


def tokens(value: Any) -> int:
    """A rough count: four bytes of JSON a token."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return max(1, len(text.encode("utf-8", "surrogatepass")) // 4)


def count(body: Mapping[str, Any]) -> int:
    """Tokens of a request's whole input."""
    return sum(tokens(block) for _, block in _blocks(body))


class Cache:
    """What was written, per key and model. Entries live on when they are used."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str, str], tuple[float, str]] = {}

    def account(self, api_key: str, model: str, body: Mapping[str, Any]) -> Usage:
        """Reads and writes the cache for one request."""
        now = self._clock()
        if len(self._until) > MAX_ENTRIES:
            self._until = {key: entry for key, entry in self._until.items() if entry[0] > now}
        points = _points(model, body)
        marked = [place for place, point in enumerate(points) if point.ttl]
        hit = self._hit(api_key, model, points, marked, now)
        read = points[hit].tokens if hit is not None else 0
        written = {"5m": 0, "1h": 0}
        reached = read
        for place in marked:
            point = points[place]
            if point.tokens < MINIMUM or point.ttl is None:
                continue
            self._until[api_key, model, point.hash] = (now + SECONDS[point.ttl], point.ttl)
            if point.tokens > reached:
                written[point.ttl] += point.tokens - reached
                reached = point.tokens
        whole = points[-1].tokens if points else 0
        return Usage(whole - reached, read, written["5m"], written["1h"])

    def _hit(
        self, api_key: str, model: str, points: list[_Point], marked: list[int], now: float
    ) -> int | None:
        for place in reversed(marked):
            for back in range(place, max(place - LOOKBACK, 0) - 1, -1):
                key = (api_key, model, points[back].hash)
                until, ttl = self._until.get(key, (0.0, ""))
                if until > now:
                    self._until[key] = (now + SECONDS[ttl], ttl)
                    return back
        return None


def _points(model: str, body: Mapping[str, Any]) -> list[_Point]:
    blocks = list(_blocks(body))
    automatic = body.get("cache_control")
    last = max((n for n, (_, block) in enumerate(blocks) if _cacheable(block)), default=None)
    running = hashlib.sha256(model.encode())
    total = 0
    points: list[_Point] = []
    level = ""
    for place, (part, block) in enumerate(blocks):
        if part != level:
            level = part
            running.update(part.encode())
            if part == "messages":  # these change how messages are read, not tools and system
                settings = [body.get(key) for key in ("thinking", "output_config", "tool_choice")]
                running.update(json.dumps(settings, sort_keys=True).encode())
        plain = {key: value for key, value in block.items() if key != "cache_control"}
        running.update(json.dumps(plain, sort_keys=True).encode())
        total += tokens(plain)
        mark = block.get("cache_control") or (automatic if place == last else None)
        ttl = mark.get("ttl", "5m") if mark else None
        points.append(_Point(total, running.hexdigest(), ttl))
    return points


def _cacheable(block: Block) -> bool:
    return block.get("type") not in UNCACHEABLE


def _blocks(body: Mapping[str, Any]) -> Iterator[tuple[str, Block]]:
    for tool in body.get("tools", ()):
        yield "tools", tool
    if body.get("system"):
        for block in blocks_of(body["system"]):
            yield "system", block
    for message in body["messages"]:
        for block in blocks_of(message["content"]):
            yield "messages", {"role": message["role"], **block}
