"""Requests to the model, as tests write them."""

from typing import Any

Body = dict[str, Any]
MODEL = "claude-opus-5-5"
HEADERS = {"authorization": "Bearer good", "anthropic-version": "2026-10-21"}
USER = {"role": "user", "content": "hello"}
TOOL = {"name": "look", "description": "looks", "input_schema": {"type": "object"}}


def body(**changes: Any) -> Body:
    return {"model": MODEL, "max_tokens": 1000, "messages": [USER], **changes}


def used(*ids: str) -> Body:
    blocks = [{"type": "tool_use", "id": each, "name": "look", "input": {}} for each in ids]
    return {"role": "assistant", "content": blocks}


def given_back(*ids: str, **more: Any) -> Body:
    results = [{"type": "tool_result", "tool_use_id": each, "content": "ok"} for each in ids]
    return {"role": "user", "content": [{**result, **more} for result in results]}


def text(words: str, **more: Any) -> Body:
    return {"type": "text", "text": words, **more}


def marked(ttl: str | None = None) -> Body:
    return text("x", cache_control={"type": "ephemeral", **({"ttl": ttl} if ttl else {})})


def strict(**schema: Any) -> Body:
    inner = {"type": "object", "additionalProperties": False, **schema}
    return {**TOOL, "strict": True, "input_schema": inner}


def edits(*types: str, **more: Any) -> Body:
    return {"edits": [{"type": each, **more} for each in types]}


ENABLED = {"type": "enabled", "budget_tokens": 2000}
FORCED = {"type": "any"}
OLD = "claude-opus-4-6"
