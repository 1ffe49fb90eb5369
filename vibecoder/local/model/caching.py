"""What the Messages API refuses in `cache_control`."""

from collections.abc import Iterator, Mapping
from typing import Any

from vibecoder.local.model.errors import invalid
from vibecoder.local.model.script import Block, blocks_of

MAX_BREAKPOINTS = 4


def check(body: Mapping[str, Any]) -> None:
    """Raises ApiError."""
    places = list(_places(body))
    marked = [(path, block["cache_control"]) for path, block in places if _mark(block)]
    for path, block in places:
        if not _mark(block):
            continue
        if block.get("type") == "text" and not block["text"]:
            raise invalid(f"{path}: cache_control cannot be set for empty text blocks")
    automatic = body.get("cache_control")
    if automatic is not None and places:
        path, last = places[-1]
        if not _mark(last):
            marked.append(("cache_control", automatic))
        elif last["cache_control"].get("ttl", "5m") != automatic.get("ttl", "5m"):
            raise invalid(
                f"{path}.cache_control.ttl: conflicts with the ttl of the top-level cache_control"
            )
    if len(marked) > MAX_BREAKPOINTS:
        raise invalid(
            f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. "
            f"Found {len(marked)}."
        )
    shorter = False
    for path, mark in marked:
        if mark.get("ttl", "5m") == "5m":
            shorter = True
        elif shorter:
            raise invalid(
                f"{path}.cache_control.ttl: a ttl='1h' cache_control block must not come after a "
                "ttl='5m' cache_control block. Note that blocks are processed in the following "
                "order: `tools`, `system`, `messages`."
            )


def _mark(block: Block) -> bool:
    return block.get("cache_control") is not None


def _places(body: Mapping[str, Any]) -> Iterator[tuple[str, Block]]:
    for place, tool in enumerate(body.get("tools", ())):
        yield f"tools.{place}", tool
    if body.get("system"):
        for place, block in enumerate(blocks_of(body["system"])):
            yield f"system.{place}", block
    for number, message in enumerate(body["messages"]):
        for place, block in enumerate(blocks_of(message["content"])):
            if block["type"] in ("thinking", "redacted_thinking"):
                continue  # the shape of these has no cache_control
            yield f"messages.{number}.content.{place}.{block['type']}", block
            inner = block.get("content")
            if block["type"] == "tool_result" and isinstance(inner, list):
                for inner_place, inner_block in enumerate(inner):
                    if _mark(inner_block):
                        yield (
                            f"messages.{number}.content.{place}.tool_result.content.{inner_place}",
                            inner_block,
                        )
