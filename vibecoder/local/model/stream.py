"""Server-sent events of one answer (https://platform.claude.com/docs/en/build-with-claude/
streaming), cut at the places where careless clients break: inside escapes, names and numbers.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Any

Event = dict[str, Any]
SIZES = (1, 2, 3, 7, 1, 5, 11, 4, 17, 6)  # characters in a delta, over and over
PIECES = 60  # at most about so many deltas in a block, so that large files do not take minutes


def events(message: Mapping[str, Any], unfinished: bool) -> Iterator[Event]:
    """The events of a whole `message`, as the API answers without streaming.

    `unfinished`: the last block is a tool call that was cut off by max_tokens.
    """
    usage = dict(message["usage"])
    start = {
        **message,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "usage": {**usage, "output_tokens": 1},
    }
    yield {"type": "message_start", "message": start}
    blocks = message["content"]
    for index, block in enumerate(blocks):
        empty, deltas = _deltas(block, unfinished and index == len(blocks) - 1)
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        if index == 0:
            yield {"type": "ping"}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    ending = {key: message[key] for key in ("stop_reason", "stop_sequence", "stop_details")}
    kept = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    totals = {key: usage[key] for key in (*kept, "output_tokens")}
    yield {"type": "message_delta", "delta": ending, "usage": totals}
    yield {"type": "message_stop"}


def _deltas(block: Mapping[str, Any], unfinished: bool) -> tuple[Event, list[Event]]:
    """A block as it starts, and the deltas that fill it."""
    match block["type"]:
        case "text":
            pieces: list[Event] = [
                {"type": "text_delta", "text": piece} for piece in split(block["text"])
            ]
            return {**block, "text": ""}, pieces
        case "thinking":
            pieces = [
                {"type": "thinking_delta", "thinking": piece} for piece in split(block["thinking"])
            ]
            signature = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*pieces, signature]
        case "tool_use":
            # Half of the calls have \u escapes, so that deltas end within them.
            escaped = sum(block["id"].encode()) % 2 == 0
            text = json.dumps(block["input"], ensure_ascii=escaped)
            text = "" if text == "{}" else text
            if unfinished:
                text = text[: len(text) * 2 // 3]
            pieces = [
                {"type": "input_json_delta", "partial_json": piece} for piece in ["", *split(text)]
            ]
            return {**block, "input": {}}, pieces
        case _:
            return dict(block), []


def split(text: str) -> list[str]:
    """`text` in small, uneven pieces."""
    factor = 1 + len(text) * len(SIZES) // (sum(SIZES) * PIECES)
    pieces: list[str] = []
    place = 0
    for size in cycle(SIZES):
        if place >= len(text):
            return pieces
        pieces.append(text[place : place + size * factor])
        place += size * factor
    return pieces


def encode(event: Event) -> bytes:
    """One event on the wire."""
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    # A lone surrogate has no UTF-8; the API escapes it.
    return f"event: {event['type']}\ndata: {data}\n\n".encode("utf-8", "backslashreplace")
