"""Conversations as Redis keeps them: compressed, and sealed with a key that only workers have."""

import json
import zlib
from collections.abc import Sequence

import structlog

from agent.progress import Message
from jobs.seal import Seal, SealBroken

log = structlog.get_logger()


def pack(message: Message, seal: Seal) -> bytes:
    return seal.seal(zlib.compress(json.dumps(message, ensure_ascii=False).encode()))


def unpack(entries: Sequence[bytes], seal: Seal) -> list[Message]:
    """The messages; none where they were sealed with another key, so that it is begun anew."""
    try:
        return [json.loads(zlib.decompress(seal.open(entry))) for entry in entries]
    except SealBroken:
        log.warning("conversation sealed with another key")
        return []
