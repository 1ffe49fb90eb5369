"""Signatures of thinking blocks, bound to the model and to the conversation before the block.

Newer models refuse a thinking block that comes back edited, or after a conversation that is not
the one it was made in (https://platform.claude.com/docs/en/build-with-claude/preserved-thinking).
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vibecoder.local.model.script import Block, blocks_of

KEY = b"a stand-in signs for nobody but itself"
THOUGHTS = {"thinking", "redacted_thinking"}


class Prefix:
    """A running hash over a conversation, block by block.

    Cache marks do not count, nor does how a string or a missing key is written, nor whether
    neighbours of one role are one message or several.
    """

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._hash = hashlib.sha256()
        self._role = ""
        self._add([blocks_of(body.get("system", "")), list(body.get("tools", ()))])

    def add(self, role: str, block: Block) -> None:
        if role != self._role:
            self._role = role
            self._hash.update(f"\n{role}\n".encode())
        self._add(block)

    def digest(self) -> str:
        """Over what was added so far."""
        return self._hash.copy().hexdigest()

    def _add(self, value: Any) -> None:
        text = json.dumps(_bare(value), sort_keys=True, separators=(",", ":"))
        self._hash.update(text.encode() + b"\0")


def prefix(body: Mapping[str, Any]) -> Prefix:
    """Over a whole conversation: what an answer to it comes after."""
    whole = Prefix(body)
    for message in body["messages"]:
        for block in blocks_of(message["content"]):
            whole.add(message["role"], block)
    return whole


def digests(body: Mapping[str, Any]) -> Iterator[tuple[int, int, Block, str]]:
    """Every block of a conversation: its message, its place, itself, the digest of what is before.

    All in one pass, for a long conversation is asked for at each of its turns.
    """
    whole = Prefix(body)
    for number, message in enumerate(body["messages"]):
        for place, block in enumerate(blocks_of(message["content"])):
            yield number, place, block, whole.digest()
            whole.add(message["role"], block)


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
