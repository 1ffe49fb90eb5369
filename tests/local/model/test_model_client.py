"""The real client, over loopback: streams, tools, thinking that goes round, faults, usage."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import httpx
import pytest
from anthropic.types import ThinkingBlock, ToolUseBlock
from hypothesis import given
from hypothesis import strategies as st
from model_requests import HEADERS, TOOL, USER, body

from vibecoder.local.model import stream
from vibecoder.local.model.app import app
from vibecoder.local.model.cache import Cache
from vibecoder.local.model.script import Request, Stage, Turn, call, say, think, turns
from vibecoder.local.serve import serve

INPUT = {"path": "src/é𝄞.py", "text": 'tab\t "quoted" \\ \u2028 \x00 line\nend', "n": [1.5, None]}
LONG = "word " * 3000


@pytest.fixture
async def stage() -> Stage:
    return Stage()


@pytest.fixture
async def url(stage: Stage) -> AsyncIterator[str]:
    async with serve(app(stage)) as address:
        yield address


@pytest.fixture
async def ai(url: str) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=url, api_key="key", max_retries=0) as client:
        yield client


async def ask(ai: anthropic.AsyncAnthropic, **changes: Any) -> Any:
    asked = {"thinking": {"type": "adaptive", "display": "summarized"}, "tools": [TOOL]}
    async with ai.messages.stream(**{**body(), **asked, **changes}) as answer:
        return await answer.get_final_message()


def history(answer: Any, *results: str) -> list[dict[str, Any]]:
    blocks = [block.to_dict() for block in answer.content]
    calls = [block["id"] for block in blocks if block["type"] == "tool_use"]
    back = [
        {"type": "tool_result", "tool_use_id": each, "content": words}
        for each, words in zip(calls, results, strict=True)
    ]
    return [USER, {"role": "assistant", "content": blocks}, {"role": "user", "content": back}]


async def test_a_conversation_with_thinking_and_tools_goes_round(
    stage: Stage, ai: anthropic.AsyncAnthropic
) -> None:
    def second(request: Request) -> Turn:
        assert [result.text for result in request.results] == ["one", "two"]
        return Turn((think("so"), say(f"{request.results[0].tool} said one")))

    stage.play(turns(Turn((think("hm…"), call("look", **INPUT), call("look"))), second))
    first = await ask(ai)
    assert first.stop_reason == "tool_use"
    thought, used, bare = first.content
    assert isinstance(thought, ThinkingBlock)
    assert thought.thinking == "hm…"
    assert isinstance(used, ToolUseBlock)
    assert used.input == INPUT
    assert bare.input == {}
    assert used.id != bare.id
    last = await ask(ai, messages=history(first, "one", "two"))
    assert last.stop_reason == "end_turn"
    assert last.content[-1].text == "look said one"
    assert [request.turns for request in stage.requests] == [0, 1]


async def test_without_streaming_the_answer_is_the_same(
    stage: Stage, ai: anthropic.AsyncAnthropic
) -> None:
    stage.play(turns(Turn((say("hello"), call("look", **INPUT)))))
    streamed = await ask(ai)
    whole = await ai.messages.create(**body(), tools=[TOOL])  # type: ignore[call-overload]
    assert [block.to_dict() for block in whole.content] == [
        block.to_dict() for block in streamed.content
    ]
    assert whole.stop_reason == "tool_use"


@pytest.mark.parametrize("spoil", ["edit", "drop", "move", "earlier", "system", "tools"])
async def test_thinking_that_comes_back_changed_is_refused(
    stage: Stage, ai: anthropic.AsyncAnthropic, spoil: str
) -> None:
    stage.play(turns(Turn((think("a"), think("b"), call("look"))), Turn((say("fine"),))))
    messages = history(await ask(ai), "seen")
    more: dict[str, Any] = {"messages": messages}
    blocks = messages[1]["content"]
    if spoil == "edit":
        blocks[0]["thinking"] = "c"
    elif spoil == "drop":
        del blocks[1]
    elif spoil == "move":
        blocks[0], blocks[1] = blocks[1], blocks[0]
    elif spoil == "earlier":
        messages[0] = {"role": "user", "content": "something else"}
    elif spoil == "system":
        more["system"] = "new rules"
    else:
        more["tools"] = [TOOL, {**TOOL, "name": "touch"}]
    with pytest.raises(anthropic.BadRequestError, match=r"signature|cannot be modified"):
        await ask(ai, **more)


async def test_thinking_that_does_not_fit_may_be_dropped_and_is_reported(
    stage: Stage, ai: anthropic.AsyncAnthropic, url: str
) -> None:
    stage.play(turns(Turn((think("a"), call("look"))), Turn((say("fine"),))))
    messages = history(await ask(ai), "seen")
    messages[0] = {"role": "user", "content": "something else"}
    binding = {"prefix_mismatch_behavior": "drop_block"}
    asked = body(
        messages=messages, tools=[TOOL], thinking={"type": "adaptive", "block_binding": binding}
    )
    headers = {**HEADERS, "anthropic-beta": "thinking-binding-controls-2026-08-01"}
    async with httpx.AsyncClient(base_url=url, headers=headers) as http:
        answer = (await http.post("/v1/messages", json=asked)).json()
        asked["model"] = "claude-sonnet-5-5"
        other = (await http.post("/v1/messages", json=asked)).json()
    dropped = {"type": "thinking_dropped", "path": "messages.1.content.0"}
    assert answer["input_transformations"] == [{**dropped, "reason": "prefix_binding_mismatch"}]
    assert other["input_transformations"] == [{**dropped, "reason": "model_binding_mismatch"}]


async def test_cache_marks_and_shorthand_do_not_change_what_came_before(
    stage: Stage, ai: anthropic.AsyncAnthropic
) -> None:
    stage.play(turns(Turn((think("a"), call("look"))), Turn((say("fine"),))))
    messages = history(await ask(ai), "seen")
    mark = {"cache_control": {"type": "ephemeral"}}
    messages[0] = {"role": "user", "content": [{"type": "text", "text": USER["content"], **mark}]}
    assert (await ask(ai, messages=messages)).content[0].text == "fine"


async def test_thinking_shows_only_where_it_is_asked_for(
    stage: Stage, ai: anthropic.AsyncAnthropic
) -> None:
    stage.play(turns(Turn((think("secret"), say("hello")))))
    hidden = await ask(ai, thinking={"type": "adaptive"})
    assert hidden.content[0].thinking == ""
    assert hidden.content[0].signature
    off = await ask(ai, thinking={"type": "between_tools"})
    assert [block.type for block in off.content] == ["text"]


async def test_prompt_caching_is_counted(stage: Stage, ai: anthropic.AsyncAnthropic) -> None:
    stage.play(turns(Turn((call("look"),)), Turn((say("fine"),))))
    mark = {"cache_control": {"type": "ephemeral"}}
    system = [{"type": "text", "text": LONG, **mark}]
    first = await ask(ai, system=system, **mark)
    assert first.usage.cache_read_input_tokens == 0
    assert first.usage.cache_creation_input_tokens > 3000
    assert first.usage.cache_creation.ephemeral_5m_input_tokens == (
        first.usage.cache_creation_input_tokens
    )
    second = await ask(ai, system=system, messages=history(first, "seen"), **mark)
    assert second.usage.cache_read_input_tokens == first.usage.cache_creation_input_tokens
    assert 0 < second.usage.cache_creation_input_tokens < 200
    other = await ask(ai, system=[{"type": "text", "text": "x" + LONG, **mark}], **mark)
    assert other.usage.cache_read_input_tokens == 0


def test_cache_entries_end_and_the_lookback_is_short() -> None:
    now = 0.0
    cache = Cache(lambda: now)
    mark = {"cache_control": {"type": "ephemeral"}}
    hour = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    system = [{"type": "text", "text": LONG, **hour}]
    short = body(
        system=system,
        messages=[{"role": "user", "content": [{"type": "text", "text": LONG, **mark}]}],
    )
    usage = cache.account("key", "m", short)
    assert usage.written_1h > 3000
    assert usage.written_5m > 3000
    whole = usage.written
    assert cache.account("key", "m", short).read == whole
    assert cache.account("other", "m", short).read == 0
    now = 290.0
    assert cache.account("key", "m", short).read == whole
    now = 580.0  # used at 290, so still alive
    assert cache.account("key", "m", short).read == whole
    now = 1000.0
    assert cache.account("key", "m", short).read == usage.written_1h
    now = 10_000.0
    assert cache.account("key", "m", short).read == 0

    def grown(blocks: int) -> dict[str, Any]:
        more = [{"type": "text", "text": f"{number}"} for number in range(blocks)]
        more[-1] = {**more[-1], **mark}
        start = {"type": "text", "text": LONG, **mark}
        return body(messages=[{"role": "user", "content": [start, *more]}])

    written = cache.account("key", "m", grown(1)).written
    far = grown(30)
    del far["messages"][0]["content"][0]["cache_control"]
    assert cache.account("key", "m", far).read == 0
    near = grown(20)
    del near["messages"][0]["content"][0]["cache_control"]
    assert 0 < cache.account("key", "m", near).read <= written
    tiny = body(messages=[{"role": "user", "content": [{"type": "text", "text": "hi", **mark}]}])
    assert cache.account("key", "m", tiny).written == 0


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.APIStatusError),
    ],
)
async def test_a_refusal_before_the_stream(
    stage: Stage, ai: anthropic.AsyncAnthropic, status: int, error: type[anthropic.APIStatusError]
) -> None:
    stage.play(turns(Turn((say("hello"),))))
    stage.interrupt(Turn(status=status, retry_after=7))
    with pytest.raises(error) as caught:
        await ask(ai)
    assert caught.value.status_code == status
    assert caught.value.response.headers["retry-after"] == "7"
    assert (await ask(ai)).content[0].text == "hello"


async def test_an_overload_in_the_middle(stage: Stage, ai: anthropic.AsyncAnthropic) -> None:
    stage.play(turns(Turn((call("look", **INPUT),))))
    stage.interrupt(Turn((call("look", **INPUT),), error_after_events=5))
    with pytest.raises(anthropic.APIStatusError, match="Overloaded") as caught:
        await ask(ai)
    assert caught.value.type == "overloaded_error"


async def test_a_stream_that_is_cut_looks_complete_but_for_its_stop_reason(
    stage: Stage, ai: anthropic.AsyncAnthropic
) -> None:
    turn = Turn((call("look"),))
    stage.interrupt(Turn(turn.blocks, cut_after_events=5))
    answer = await ask(ai)
    assert answer.stop_reason is None
    assert answer.content[0].type == "tool_use"


async def test_max_tokens_within_a_call(stage: Stage, ai: anthropic.AsyncAnthropic) -> None:
    stage.play(turns(Turn((call("look", **INPUT),), stop_reason="max_tokens")))
    answer = await ask(ai)
    assert answer.stop_reason == "max_tokens"
    assert answer.content[0].input != INPUT


async def test_a_refusal_by_the_model(stage: Stage, ai: anthropic.AsyncAnthropic) -> None:
    stage.play(turns(Turn((say("I"),), stop_reason="refusal", refusal="cyber")))
    answer = await ask(ai)
    assert answer.stop_reason == "refusal"
    assert answer.stop_details.category == "cyber"


async def test_a_paused_turn_may_be_sent_again_as_it_is(
    stage: Stage, ai: anthropic.AsyncAnthropic
) -> None:
    stage.play(turns(Turn((think("a"), say("wait")), stop_reason="pause_turn"), Turn((say("on"),))))
    answer = await ask(ai)
    assert answer.stop_reason == "pause_turn"
    messages = [USER, {"role": "assistant", "content": [b.to_dict() for b in answer.content]}]
    assert (await ask(ai, messages=messages)).content[0].text == "on"


async def test_models_and_token_counts(ai: anthropic.AsyncAnthropic) -> None:
    found = [model.id async for model in ai.models.list()]
    assert "claude-opus-5-5" in found
    model = await ai.models.retrieve("claude-opus-5-5")
    assert model.max_tokens == 128_000
    assert model.capabilities is not None
    assert not model.capabilities.thinking.types.enabled.supported
    with pytest.raises(anthropic.NotFoundError):
        await ai.models.retrieve("claude-nobody")
    counted = await ai.messages.count_tokens(
        model="claude-opus-5-5", messages=[{"role": "user", "content": LONG}]
    )
    assert 3000 < counted.input_tokens < 5000


async def test_an_old_key_header_works_and_a_script_is_found_by_its_marker(
    stage: Stage, url: str
) -> None:
    stage.play(turns(Turn((say("anyone"),))))
    stage.play(turns(Turn((say("by key"),))), "sk-mine")
    stage.play(turns(Turn((say("by words"),))), "flaky retry")
    async with httpx.AsyncClient(base_url=url) as http:

        async def words(key: str, task: str) -> str:
            headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
            asked = body(messages=[{"role": "user", "content": task}])
            answer = await http.post("/v1/messages", json=asked, headers=headers)
            return str(answer.json()["content"][0]["text"])

        assert await words("x", "hello") == "anyone"
        assert await words("sk-mine", "hello") == "by key"
        assert await words("sk-mine", "fix the flaky retry") == "by words"


async def test_clients_of_the_first_version_may_still_send_a_temperature(
    stage: Stage, url: str
) -> None:
    stage.play(turns(Turn((say("hello"),))))
    headers = {**HEADERS, "anthropic-version": "2023-06-01"}
    async with httpx.AsyncClient(base_url=url, headers=headers) as http:
        codes = [
            (await http.post("/v1/messages", json=body(temperature=value))).status_code
            for value in (0.5, 2, "hot", True)
        ]
    assert codes == [200, 400, 400, 400]


async def test_the_beta_client_works_and_gets_its_fields(
    stage: Stage, ai: anthropic.AsyncAnthropic
) -> None:
    stage.play(turns(Turn(({"type": "redacted_thinking"}, call("look"))), Turn((say("fine"),))))
    settings: dict[str, Any] = {
        "model": "claude-opus-5-5",
        "max_tokens": 1000,
        "tools": [TOOL],
        "betas": ["context-management-2025-06-27", "task-budgets-2026-03-13"],
        "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
        "output_config": {"task_budget": {"type": "tokens", "total": 20_000}},
    }
    first = await ai.beta.messages.create(**settings, messages=[USER])
    assert [block.type for block in first.content] == ["redacted_thinking", "tool_use"]
    second = await ai.beta.messages.create(**settings, messages=history(first, "seen"))
    assert second.stop_reason == "end_turn"


async def test_without_a_script_it_says_so(ai: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="No script"):
        await ask(ai)


@given(st.text(max_size=2000))
def test_splitting_loses_nothing(text: str) -> None:
    assert "".join(stream.split(text)) == text


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()))
def test_a_call_survives_its_stream(fields: dict[str, Any]) -> None:
    block = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": fields}
    message = {
        "content": [block],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "stop_details": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
    message["usage"] |= {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    parts = []
    for event in stream.events(message, unfinished=False):
        wire = stream.encode(event).decode()
        sent = json.loads(wire.split("data: ", 1)[1])
        if sent["type"] == "content_block_delta":
            parts.append(sent["delta"]["partial_json"])
    assert json.loads("".join(parts) or "{}") == fields


async def test_an_answer_ends_at_max_tokens(stage: Stage, ai: anthropic.AsyncAnthropic) -> None:
    stage.play(turns(Turn((say("x" * 400), call("read_file", path="y" * 4000), say("never")))))
    answer = await ask(ai, max_tokens=200)
    assert (answer.stop_reason, answer.usage.output_tokens) == ("max_tokens", 200)
    assert [block.type for block in answer.content] == ["text", "tool_use"]
