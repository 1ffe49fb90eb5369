"""Conversations and cache marks that the real API refuses are refused, in its own words."""

import httpx
import pytest
from model_requests import OLD, TOOL, USER, Body, body, edits, given_back, marked, text, used

from vibecoder.local.model.script import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

# (what the message says, the body, the betas that are asked for)
REFUSED: list[tuple[str, Body, str]] = [
    # 6: order and content of messages
    ("at least one message", body(messages=[]), ""),
    (
        'first message must use the "user" role',
        body(messages=[{"role": "assistant", "content": "x"}, USER]),
        "",
    ),
    (
        "does not support assistant message prefill",
        body(messages=[USER, {"role": "assistant", "content": "x"}]),
        "",
    ),
    (
        "`document` blocks are not permitted",
        body(
            messages=[
                USER,
                {
                    "role": "assistant",
                    "content": [
                        {
                            "type": "document",
                            "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                        }
                    ],
                },
                USER,
            ]
        ),
        "",
    ),
    (
        "citations are not permitted in user",
        body(
            messages=[
                {
                    "role": "user",
                    "content": [
                        text(
                            "x",
                            citations=[
                                {
                                    "type": "char_location",
                                    "cited_text": "x",
                                    "document_index": 0,
                                    "document_title": None,
                                    "start_char_index": 0,
                                    "end_char_index": 1,
                                }
                            ],
                        )
                    ],
                }
            ]
        ),
        "",
    ),
    # 7: system messages
    ("must follow a user message", body(messages=[{"role": "system", "content": "x"}, USER]), ""),
    (
        "must follow a user message",
        body(
            messages=[
                USER,
                {"role": "assistant", "content": "x"},
                {"role": "system", "content": "x"},
                USER,
            ]
        ),
        "",
    ),
    (
        "must be followed by an assistant",
        body(messages=[USER, {"role": "system", "content": "x"}, USER]),
        "",
    ),
    ("not supported by", body(model=OLD, messages=[USER, {"role": "system", "content": "x"}]), ""),
    (
        "must follow a user message",
        body(messages=[USER, used("a"), {"role": "system", "content": "x"}, given_back("a")]),
        "",
    ),
    # 8: empty things
    (
        "text content blocks must be non-empty",
        body(messages=[{"role": "user", "content": [text("")]}]),
        "",
    ),
    ("must have non-empty content", body(messages=[{"role": "user", "content": []}]), ""),
    ("non-whitespace", body(messages=[{"role": "user", "content": [text(" \n")]}]), ""),
    (
        "content cannot be empty if `is_error`",
        body(messages=[USER, used("a"), given_back("a", content="", is_error=True)]),
        "",
    ),
    (
        "input: Input should be a valid dictionary",
        body(
            messages=[
                USER,
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "a", "name": "look", "input": "{}"}],
                },
                given_back("a"),
            ]
        ),
        "",
    ),
    ("system.0: text content blocks", body(system=[text("")]), ""),
    # 9: calls and results
    (
        "without `tool_result` blocks immediately after: a",
        body(messages=[USER, used("a"), USER]),
        "",
    ),
    ("after: b", body(messages=[USER, used("a", "b"), given_back("a")]), ""),
    ("unexpected `tool_use_id`", body(messages=[given_back("a")]), ""),
    (
        "unexpected `tool_use_id`",
        body(messages=[USER, used("a"), given_back("a"), used("b"), given_back("b", "a")]),
        "",
    ),
    ("must have a single result", body(messages=[USER, used("a"), given_back("a", "a")]), ""),
    (
        "ids must be unique",
        body(messages=[USER, used("a"), given_back("a"), used("a"), given_back("a")]),
        "",
    ),
    (
        "must come first",
        body(
            messages=[
                USER,
                used("a"),
                {"role": "user", "content": [text("so"), *given_back("a")["content"]]},
            ]
        ),
        "",
    ),
    # 10: thinking that was never thought here
    (
        "Invalid `signature` in `thinking` block",
        body(
            messages=[
                USER,
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "x", "signature": "c2lnbmVk"},
                        text("x"),
                    ],
                },
                USER,
            ]
        ),
        "",
    ),
    # 12: cache breakpoints
    (
        "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        body(system=[marked()] * 5),
        "",
    ),
    (
        "Found 5.",
        body(system=[marked()] * 4, cache_control={"type": "ephemeral"}),
        "",
    ),
    ("must not come after a ttl='5m'", body(system=[marked("5m"), marked("1h")]), ""),
    (
        "must not come after a ttl='5m'",
        body(tools=[{**TOOL, "cache_control": {"type": "ephemeral"}}], system=[marked("1h")]),
        "",
    ),
    ("text content blocks must be non-empty", body(system=[{**marked(), "text": ""}]), ""),
    (
        "cache_control: Extra inputs",
        body(
            messages=[
                USER,
                {
                    "role": "assistant",
                    "content": [
                        {
                            "type": "thinking",
                            "thinking": "x",
                            "signature": "x",
                            "cache_control": {"type": "ephemeral"},
                        }
                    ],
                },
                USER,
            ]
        ),
        "",
    ),
    (
        "conflicts with the ttl",
        body(
            messages=[{"role": "user", "content": [marked("1h")]}],
            cache_control={"type": "ephemeral"},
        ),
        "",
    ),
    # 13: compaction and context editing
    (
        "must be the first block",
        body(
            messages=[
                USER,
                {"role": "assistant", "content": [{"type": "compaction", "content": "x"}]},
                USER,
            ]
        ),
        "compact-2026-09-04",
    ),
    (
        "only one `compaction`",
        body(messages=[{"role": "user", "content": [{"type": "compaction", "content": "x"}] * 2}]),
        "compact-2026-09-04",
    ),
    (
        "Invalid `signature` in `compaction`",
        body(
            messages=[
                {"role": "user", "content": [{"type": "compaction", "content": "x"}, text("x")]}
            ]
        ),
        "compact-2026-09-04",
    ),
    (
        "must be the first edit",
        body(context_management=edits("clear_tool_uses_20250919", "clear_thinking_20251015")),
        "context-management-2025-06-27",
    ),
    (
        "value: Input should be at least 50000",
        body(
            context_management=edits(
                "compact_20260112", trigger={"type": "input_tokens", "value": 10}
            )
        ),
        "compact-2026-01-12",
    ),
]


@pytest.mark.parametrize(
    ("says", "asked", "betas"), REFUSED, ids=[str(n) for n in range(len(REFUSED))]
)
async def test_refused(
    http: httpx.AsyncClient, stage: Stage, says: str, asked: Body, betas: str
) -> None:
    answered = len(stage.requests)
    headers = {"anthropic-beta": betas} if betas else {}
    answer = await http.post("/v1/messages", json=asked, headers=headers)
    error = answer.json()
    assert says in error["error"]["message"]
    assert answer.status_code == 400
    assert error["error"]["type"] == "invalid_request_error"
    assert error["type"] == "error"
    assert error["request_id"] == answer.headers["request-id"]
    assert len(stage.requests) == answered
