"""Keys, settings and tools that the real API refuses are refused, in its own words."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_requests import (
    ENABLED,
    FORCED,
    MODEL,
    OLD,
    TOOL,
    USER,
    Body,
    body,
    edits,
    given_back,
    marked,
    strict,
    text,
    used,
)

from vibecoder.local.model import validate
from vibecoder.local.model.app import MAX_BODY
from vibecoder.local.model.conversation import Given
from vibecoder.local.model.errors import ApiError
from vibecoder.local.model.script import Stage

asyncio = pytest.mark.asyncio(loop_scope="module")

# (what the message says, the body, the betas that are asked for)
REFUSED: list[tuple[str, Body, str]] = [
    # 2: unknown keys at any depth
    ("temperature: Extra inputs are not permitted", body(temperature=1), ""),
    ("messages.0.name: Extra inputs", body(messages=[{**USER, "name": "me"}]), ""),
    (
        "messages.0.content.0.text.colour: Extra inputs are not permitted",
        body(messages=[{"role": "user", "content": [text("x", colour="red")]}]),
        "",
    ),
    (
        "messages.2.content.0.tool_result.exit_code: Extra inputs",
        body(messages=[USER, used("a"), given_back("a", exit_code=1)]),
        "",
    ),
    ("tools.0.custom.function: Extra inputs", body(tools=[{**TOOL, "function": {}}]), ""),
    (
        "thinking.adaptive.effort: Extra inputs",
        body(thinking={"type": "adaptive", "effort": "high"}),
        "",
    ),
    ("betas: Extra inputs", body(betas=["x"]), "x"),
    ("messages: Field required", {"model": MODEL, "max_tokens": 1}, ""),
    ("messages: Input should be a valid list", body(messages="hello"), ""),
    ("messages.0: Input should be an object", body(messages=["hello"]), ""),
    ("messages.0: Input tag 'robot'", body(messages=[{"role": "robot", "content": "x"}]), ""),
    (
        "messages.0.content.0: Input tag 'film'",
        body(messages=[{**USER, "content": [{"type": "film"}]}]),
        "",
    ),
    ("messages.0.content.0.type: Field required", body(messages=[{**USER, "content": [{}]}]), ""),
    ("messages.0.content: Input should be a valid", body(messages=[{**USER, "content": 7}]), ""),
    ("max_tokens: Input should be a valid integer", body(max_tokens=True), ""),
    ("output_config.effort: Input should be", body(output_config={"effort": "huge"}), ""),
    (
        "cache_control.ttl: Input should be '5m' or '1h'",
        body(cache_control={"type": "ephemeral", "ttl": "2h"}),
        "",
    ),
    # 3: beta fields without their header
    ("context_management: Extra inputs", body(context_management=edits()), ""),
    ("context_management: Extra inputs", body(context_management=edits()), "something-else"),
    ("compaction: Extra inputs", body(compaction={"type": "summarize"}), "something-else"),
    (
        "output_config.task_budget: Extra inputs",
        body(output_config={"task_budget": {"type": "tokens", "total": 50_000}}),
        "something-else",
    ),
    (
        "task_budget.total: Input should be at least 20000",
        body(output_config={"task_budget": {"type": "tokens", "total": 100}}),
        "task-budgets-2026-03-13",
    ),
    (
        "thinking.block_binding: Extra inputs",
        body(thinking={"type": "adaptive", "block_binding": {}}),
        "something-else",
    ),
    (
        "thinking.display: Input should be",
        body(thinking={"type": "adaptive", "display": "updates"}),
        "x",
    ),
    (
        "cannot be used together",
        body(compaction={"type": "summarize"}, context_management=edits()),
        "compact-2026-09-04,context-management-2025-06-27",
    ),
    # 4: max_tokens
    ("max_tokens: Field required", {"model": MODEL, "messages": [USER]}, ""),
    ("max_tokens: Input should be greater", body(max_tokens=-1), ""),
    ("max_tokens: 128001 > 128000", body(max_tokens=128_001), ""),
    ("max_tokens: 0 cannot", body(max_tokens=0, model=OLD, thinking=ENABLED), ""),
    ("max_tokens: 0 cannot", body(max_tokens=0, model=OLD, tools=[TOOL], tool_choice=FORCED), ""),
    (
        "max_tokens: 0 cannot",
        body(max_tokens=0, output_config={"format": {"type": "json_schema", "schema": {}}}),
        "",
    ),
    # 5: thinking, effort and forced tools by model
    ("thinking.type: 'enabled'", body(thinking=ENABLED), ""),
    ("thinking.type: 'disabled'", body(thinking={"type": "disabled"}), ""),
    (
        "thinking.disabled.display: Extra",
        body(model=OLD, thinking={"type": "disabled", "display": "omitted"}),
        "",
    ),
    (
        "budget_tokens: Input should be at least 1024",
        body(model=OLD, thinking={**ENABLED, "budget_tokens": 9}),
        "",
    ),
    ("`max_tokens` must be greater", body(model=OLD, thinking=ENABLED), ""),
    ("forced tool use is not supported", body(tools=[TOOL], tool_choice=FORCED), ""),
    (
        "tool_choice forces tool use",
        body(model=OLD, max_tokens=9000, thinking=ENABLED, tools=[TOOL], tool_choice=FORCED),
        "",
    ),
    (
        "output_config.effort: 'high'",
        body(model="claude-haiku-4-5", output_config={"effort": "high"}),
        "",
    ),
    # 11: tools
    ("name: String should match", body(tools=[{**TOOL, "name": "look at"}]), ""),
    ("name: String should match", body(tools=[{**TOOL, "name": "x" * 65}]), ""),
    ("Tool names must be unique", body(tools=[TOOL, TOOL]), ""),
    (
        "input_schema.type: Input should be 'object'",
        body(tools=[{**TOOL, "input_schema": {"type": "array"}}]),
        "",
    ),
    ("input_schema.type: Field required", body(tools=[{**TOOL, "input_schema": {}}]), ""),
    (
        "input_examples.0: does not match",
        body(
            tools=[
                {
                    **TOOL,
                    "input_schema": {"type": "object", "required": ["a"]},
                    "input_examples": [{}],
                }
            ]
        ),
        "",
    ),
    (
        "At least one tool must have defer_loading=false",
        body(tools=[{**TOOL, "defer_loading": True}]),
        "",
    ),
    ("'additionalProperties' must be", body(tools=[{**TOOL, "strict": True}]), ""),
    (
        "'minimum' is not supported",
        body(tools=[strict(properties={"a": {"type": "integer", "minimum": 1}})]),
        "",
    ),
    (
        "lookaround",
        body(tools=[strict(properties={"a": {"type": "string", "pattern": "(?=x)"}})]),
        "",
    ),
    (
        "At most 20 tools",
        body(tools=[{**strict(), "name": f"t{number}"} for number in range(21)]),
        "",
    ),
    (
        "at most 24 optional",
        body(tools=[strict(properties={f"p{number}": {} for number in range(25)})]),
        "",
    ),
    ("only be specified while providing tools", body(model=OLD, tool_choice=FORCED), ""),
    (
        "not found in provided tools",
        body(model=OLD, tools=[TOOL], tool_choice={"type": "tool", "name": "x"}),
        "",
    ),
]


@pytest.mark.parametrize(
    ("says", "asked", "betas"), REFUSED, ids=[str(n) for n in range(len(REFUSED))]
)
@asyncio
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


@pytest.mark.parametrize(
    ("status", "kind", "headers", "asked"),
    [
        (401, "authentication_error", {"authorization": ""}, body()),
        (401, "authentication_error", {"authorization": "Bearer bad"}, body()),
        (400, "invalid_request_error", {"anthropic-version": ""}, body()),
        (400, "invalid_request_error", {"anthropic-version": "2022-01-01"}, body()),
        (404, "not_found_error", {}, body(model="claude-nobody")),
    ],
)
@asyncio
async def test_refused_at_the_door(
    http: httpx.AsyncClient, status: int, kind: str, headers: dict[str, str], asked: Body
) -> None:
    answer = await http.post("/v1/messages", json=asked, headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)


@asyncio
async def test_threads_are_refused_so_that_clients_go_on_without(http: httpx.AsyncClient) -> None:
    """The tool runners of the SDKs ask for a thread first and look for this code."""
    headers = {"anthropic-beta": "message-threads-2026-08-12"}
    asked = body(thread={"type": "create"})
    answer = await http.post("/v1/messages?beta=true", json=asked, headers=headers)
    details = answer.json()["error"]["details"]
    assert details == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


@asyncio
async def test_too_large(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/messages", content=b" " * (MAX_BODY + 1))
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "request_too_large")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'"x"'])
@asyncio
async def test_no_object(http: httpx.AsyncClient, content: bytes) -> None:
    answer = await http.post("/v1/messages", content=content)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


ACCEPTED: list[tuple[Body, str]] = [
    (body(), ""),
    (body(messages=[USER, USER]), ""),
    (body(messages=[USER, used("a", "b"), given_back("b", "a")]), ""),
    (body(messages=[USER, used("a"), given_back("a"), USER]), ""),  # one turn of the user
    (body(messages=[USER, {"role": "system", "content": "x"}]), ""),
    (body(model="claude-haiku-4-5", messages=[USER, {"role": "assistant", "content": "I"}]), ""),
    (body(model=OLD, max_tokens=9000, thinking=ENABLED), ""),
    (
        body(
            thinking={"type": "adaptive", "display": "summarized"},
            output_config={"effort": "xhigh"},
        ),
        "",
    ),
    (body(tools=[TOOL], tool_choice={"type": "auto", "disable_parallel_tool_use": True}), ""),
    (body(tools=[{"type": "bash_20250124", "name": "bash"}]), ""),
    (body(tools=[strict(properties={"minimum": {"type": "string"}})]), ""),
    (body(system=[marked("1h"), marked("5m")], cache_control={"type": "ephemeral"}), ""),
    (body(context_management=edits("clear_thinking_20251015")), "context-management-2025-06-27"),
    (body(metadata={"user_id": "u"}, stop_sequences=["x"], service_tier="auto"), ""),
    (body(max_tokens=0), ""),
]


@pytest.mark.parametrize(("asked", "betas"), ACCEPTED, ids=[str(n) for n in range(len(ACCEPTED))])
@asyncio
async def test_accepted(http: httpx.AsyncClient, asked: Body, betas: str) -> None:
    headers = {"anthropic-beta": betas} if betas else {}
    answer = await http.post("/v1/messages", json=asked, headers=headers)
    assert answer.status_code == 200, answer.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
KEYS = st.sampled_from(
    [
        "messages",
        "system",
        "tools",
        "thinking",
        "cache_control",
        "output_config",
        "tool_choice",
        "metadata",
        "stop_sequences",
        "stream",
        "max_tokens",
    ]
)
BLOCKS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "tool_result", "thinking", "image", "document"])},
    optional=dict.fromkeys(
        ("text", "id", "input", "name", "tool_use_id", "content", "source", "cache_control"), JSON
    ),
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["user", "assistant", "system"]),
            "content": st.lists(BLOCKS) | JSON,
        }
    )
)


@given(
    st.dictionaries(KEYS, JSON, max_size=3), MESSAGES, st.sampled_from(["", "compact-2026-09-04"])
)
def test_anything_else_is_accepted_or_refused_never_a_crash(
    changes: Body, messages: list[Body], beta: str
) -> None:
    asked = {**body(messages=messages), **changes}
    try:
        validate.check(asked, frozenset({beta} - {""}), Given())
    except ApiError as error:
        assert error.message
