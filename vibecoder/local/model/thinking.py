"""Signatures of thinking blocks, bound to the model and to the conversation before the block.

Newer models refuse a thinking block that comes back edited, or after a conversation that is not
the one it was made in (https://platform.claude.com/docs/en/build-with-claude/preserved-thinking).
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

from vibecoder.local.model.script import Block, blocks_of

KEY = b"a stand-in signs for nobody but itself"
THOUGHTS = {"thinking", "redacted_thinking"}


def digest(body: Mapping[str, Any], message: int, block: int) -> str:
    """A hash over everything that comes before block `block` of message `message`.

    Cache marks do not count, nor does how a string or a missing key is written.
    """
    messages = list(body["messages"])
    before = [(each["role"], blocks_of(each["content"])) for each in messages[:message]]
    if message < len(messages):
        before.append((messages[message]["role"], blocks_of(messages[message]["content"])[:block]))
    return _digest(body, before)


def digest_of_answer(body: Mapping[str, Any], answer: Sequence[Block]) -> str:
    """The same for a block that follows `answer`, the blocks that were made so far."""
    before = [(each["role"], blocks_of(each["content"])) for each in body["messages"]]
    return _digest(body, [*before, ("assistant", list(answer))])


def _digest(body: Mapping[str, Any], messages: list[tuple[str, list[Block]]]) -> str:
    turns: list[tuple[str, list[Any]]] = []
    for role, blocks in messages:
        if not blocks:
            continue
        if turns and turns[-1][0] == role:  # neighbours of one role are one turn to the API
            turns[-1][1].extend(blocks)
        else:
            turns.append((role, list(blocks)))
    whole = [blocks_of(body.get("system", "")), list(body.get("tools", ())), turns]
    text = json.dumps(_bare(whole), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _bare(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _bare(item)
            for key, item in value.items()
            if key != "cache_control" and item is not None
        }
    if isinstance(value, list | tuple):
        return [_bare(item) for item in value]
    return value


def sign(model: str, prefix: str, text: str) -> str:
    """A signature that names its model and its prefix, so that both can be told apart later."""
    seal = hmac.new(KEY, f"{model}\n{prefix}\n{text}".encode("utf-8", "surrogatepass"), "sha256")
    note = {"model": model, "prefix": prefix, "seal": seal.hexdigest()}
    return base64.b64encode(json.dumps(note).encode()).decode()


def signed_for(signature: str, text: str) -> tuple[str, str] | None:
    """(model, prefix) of a signature that is ours and fits `text`, or None."""
    try:
        note = json.loads(base64.b64decode(signature, validate=True))
        model, prefix = str(note["model"]), str(note["prefix"])
    except (ValueError, KeyError, TypeError):
        return None
    return (model, prefix) if hmac.compare_digest(sign(model, prefix, text), signature) else None


def marks(blocks: Sequence[Block]) -> tuple[str, ...]:
    """The signatures of the thinking in one answer, in order."""
    return tuple(
        str(block.get("signature") or block.get("data"))
        for block in blocks
        if block["type"] in THOUGHTS
    )
