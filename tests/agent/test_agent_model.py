"""The client of the Messages API against a strict stand-in: answers, faults, money."""

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from agent_world import Theatre, Watcher
from starlette.responses import JSONResponse

from agent.errors import ContextFull, LimitReached, ModelRefused, ModelUnknown, ModelUnreachable
from agent.model import Answer, Model, ModelSettings, Purse
from agent.prices import table
from agent.progress import Message, Spent, Waiting
from vibecoder.local.model.script import Stage, Turn, call, say, think, turns

TOOLS = [
    {
        "name": "look",
        "description": "Look at something.",
        "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}},
    }
]
SYSTEM = [{"type": "text", "text": "You look at things.", "cache_control": {"type": "ephemeral"}}]


def user(*blocks: dict[str, Any]) -> Message:
    return {"role": "user", "content": list(blocks)}


async def ask(
    model: Model, purse: Purse, watcher: Watcher, messages: Sequence[Message] = ()
) -> Answer:
    return await model.turn(
        system=SYSTEM,
        tools=TOOLS,
        messages=messages or [user(say("Look around."))],
        size=1000,
        purse=purse,
        watch=watcher,
    )


async def test_blocks_come_back_whole_and_can_be_sent_again(
    model: Model, stage: Stage, purse: Purse, watcher: Watcher
) -> None:
    stage.play(
        turns(
            Turn((think("hm, ü and 𝄞"), say("I'll look."), call("look", at="a “b”\n\\ ü 𝄞"))),
            Turn((say("Seen."),)),
        )
    )
    first = await ask(model, purse, watcher)
    assert first.stop_reason == "tool_use"
    thinking, text, tool = first.message["content"]
    assert thinking["thinking"] == "hm, ü and 𝄞"
    assert text["text"] == "I'll look."
    assert tool["input"] == {"at": "a “b”\n\\ ü 𝄞"}

    result = {"type": "tool_result", "tool_use_id": tool["id"], "content": "nothing"}
    history = [user(say("Look around.")), first.message, user(result)]
    second = await ask(model, purse, watcher, history)
    assert second.stop_reason == "end_turn"
    assert stage.refused == []


async def test_the_prefix_is_read_from_the_cache(
    model: Model, stage: Stage, purse: Purse, watcher: Watcher
) -> None:
    stage.play(turns(Turn((call("look", at="a"),)), Turn((say("Seen."),))))
    messages = [user(say("Look around. " * 2000))]
    first = await ask(model, purse, watcher, messages)
    result = {"type": "tool_result", "tool_use_id": first.message["content"][0]["id"]}
    messages = [*messages, first.message, user({**result, "content": "nothing"})]
    await ask(model, purse, watcher, messages)
    written, read = [seen for seen in watcher.seen if isinstance(seen, Spent)]
    assert written.cache_write_tokens > 1000
    assert read.cache_read_tokens >= written.cache_write_tokens
    assert read.usd < written.usd / 5


@pytest.mark.parametrize(
    "fault",
    [
        Turn(status=429, retry_after=0),
        Turn(status=529, retry_after=0),
        Turn(status=500, retry_after=0),
        Turn((say("broken"), call("look", at="b")), cut_after_events=9),
        Turn((say("broken"), call("look", at="b")), error_after_events=4),
        Turn((say("broken"),), error_after_events=2, error_type="api_error"),
    ],
)
async def test_what_may_pass_is_tried_again(
    model: Model, stage: Stage, purse: Purse, watcher: Watcher, fault: Turn
) -> None:
    stage.interrupt(fault)
    stage.play(turns(Turn((call("look", at="a"),))))
    answer = await ask(model, purse, watcher)
    assert [block["input"] for block in answer.message["content"]] == [{"at": "a"}]


@pytest.mark.parametrize("cut", range(1, 14))
async def test_a_tool_call_from_a_cut_stream_never_comes_out(
    model: Model, stage: Stage, purse: Purse, watcher: Watcher, cut: int
) -> None:
    stage.interrupt(Turn((say("go"), call("look", at="wrong")), cut_after_events=cut))
    stage.play(turns(Turn((call("look", at="right"),))))
    answer = await ask(model, purse, watcher)
    calls = [block for block in answer.message["content"] if block["type"] == "tool_use"]
    # Late cuts may come after everything that matters: then the answer was complete.
    if len(stage.requests) == 2:
        assert [block["input"] for block in calls] == [{"at": "right"}]
    else:
        assert answer.stop_reason == "tool_use"


async def test_a_broken_stream_is_paid_for(
    model: Model, stage: Stage, purse: Purse, watcher: Watcher
) -> None:
    stage.interrupt(Turn((say("word " * 5000),), error_after_events=6))
    stage.play(turns(Turn((say("short"),))))
    await ask(model, purse, watcher)
    assert len([seen for seen in watcher.seen if isinstance(seen, Spent)]) == 2
    assert purse.spent == watcher.usd > 0


async def test_a_lasting_overload_ends_in_a_sentence(
    model: Model, stage: Stage, purse: Purse, watcher: Watcher
) -> None:
    stage.interrupt(*[Turn(status=529, retry_after=0)] * 10)
    with pytest.raises(ModelUnreachable, match="overloaded"):
        await ask(model, purse, watcher)
    assert len(stage.requests) < 10


async def test_an_unreachable_api_ends_in_a_sentence(purse: Purse, watcher: Watcher) -> None:
    model = Model(ModelSettings("sk-test", "http://127.0.0.1:9"), pauses=(0.01,))
    with pytest.raises(ModelUnreachable, match="Try again later"):
        await ask(model, purse, watcher)
    await model.close()


async def test_a_wrong_key_is_named_but_not_shown(
    model_url: str, purse: Purse, watcher: Watcher
) -> None:
    model = Model(ModelSettings("sk-secret-wrong", model_url))
    with pytest.raises(ModelRefused, match="ANTHROPIC_API_KEY") as refused:
        await ask(model, purse, watcher)
    assert "sk-secret" not in str(refused.value)
    await model.close()


async def test_a_refused_request_says_why(
    model: Model, stage: Stage, purse: Purse, watcher: Watcher
) -> None:
    with pytest.raises(ModelRefused, match="refused the request: "):
        await ask(model, purse, watcher, [{"role": "assistant", "content": "x"}])


async def test_a_refusal_is_no_answer(
    model: Model, stage: Stage, purse: Purse, watcher: Watcher
) -> None:
    stage.play(turns(Turn((say("Partly"),), stop_reason="refusal", refusal="cyber")))
    with pytest.raises(ModelRefused, match="cyber"):
        await ask(model, purse, watcher)
    assert purse.spent > 0


async def test_an_answer_that_did_not_fit_is_asked_for_once_more_with_room(
    model: Model, stage: Stage, purse: Purse, watcher: Watcher
) -> None:
    stage.interrupt(Turn((call("look", at="cut"),), stop_reason="max_tokens"))
    stage.play(turns(Turn((call("look", at="whole"),))))
    answer = await ask(model, purse, watcher)
    assert answer.message["content"][0]["input"] == {"at": "whole"}
    first, second = (request.body["max_tokens"] for request in stage.requests)
    assert second > first


async def test_an_answer_that_never_fits_is_a_limit(
    model: Model, stage: Stage, purse: Purse, watcher: Watcher
) -> None:
    stage.interrupt(*[Turn((say("long"),), stop_reason="max_tokens")] * 2)
    with pytest.raises(LimitReached, match="128,000 tokens"):
        await ask(model, purse, watcher)


async def test_a_full_context_is_a_limit(
    model: Model, stage: Stage, purse: Purse, watcher: Watcher
) -> None:
    stage.play(turns(Turn((say("x"),), stop_reason="model_context_window_exceeded")))
    with pytest.raises(ContextFull, match="no longer fits"):
        await ask(model, purse, watcher)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (400, "invalid_request_error", "prompt is too long: 1000001 tokens > 1000000 maximum"),
        (413, "request_too_large", "Request exceeds the maximum size"),
    ],
)
async def test_a_prompt_that_is_refused_for_its_length_is_a_full_context(
    model: Model,
    theatre: Theatre,
    purse: Purse,
    watcher: Watcher,
    status: int,
    kind: str,
    words: str,
) -> None:
    body = {"type": "error", "error": {"type": kind, "message": words}}
    theatre.app = JSONResponse(body, status)
    with pytest.raises(ContextFull, match="no longer fits"):
        await ask(model, purse, watcher)


async def test_a_blip_is_not_told_and_an_outage_once(
    model: Model, stage: Stage, purse: Purse, watcher: Watcher
) -> None:
    stage.play(turns(Turn((say("Yes."),))))
    told = []
    for failures in (1, 3):
        stage.interrupt(*[Turn(status=529, retry_after=0)] * failures)
        await ask(model, purse, watcher)
        told.append([seen.why for seen in watcher.seen if isinstance(seen, Waiting)])
    assert told == [[], ["The model's API is overloaded; I try again."]]


async def test_a_long_wait_is_told_at_once(
    model: Model, stage: Stage, purse: Purse, watcher: Watcher
) -> None:
    stage.interrupt(Turn(status=429, retry_after=60))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await ask(model, purse, watcher)
    (told,) = [seen.why for seen in watcher.seen if isinstance(seen, Waiting)]
    assert "limits how much" in told


async def test_more_quiet_than_our_patience_ends_in_a_sentence_at_once(
    model: Model, stage: Stage, purse: Purse, watcher: Watcher
) -> None:
    stage.interrupt(Turn(status=429, retry_after=3600))
    with pytest.raises(ModelUnreachable, match="3600 s of quiet"):
        await ask(model, purse, watcher)


async def test_no_request_is_made_that_the_money_might_not_cover(
    model: Model, stage: Stage, watcher: Watcher
) -> None:
    stage.play(turns(Turn((say("x"),))))
    with pytest.raises(LimitReached, match=r"\$0\.04"):
        await ask(model, Purse(Decimal("0.04")), watcher)
    assert stage.requests == []


async def test_little_money_makes_the_answer_short(
    model: Model, stage: Stage, watcher: Watcher
) -> None:
    stage.interrupt(Turn((say("x"),), stop_reason="max_tokens"))
    purse = Purse(Decimal("0.10"))
    with pytest.raises(LimitReached, match="middle of an answer"):
        await ask(model, purse, watcher)
    (request,) = stage.requests
    # 1,000 tokens of prompt at $5, the rest for output at $20 a million.
    assert request.body["max_tokens"] == 4750
    assert purse.spent <= purse.usd


@pytest.mark.parametrize("name", sorted({row.model for row in table()}))
async def test_every_model_with_a_price_takes_our_requests(
    model_url: str, stage: Stage, purse: Purse, watcher: Watcher, name: str
) -> None:
    stage.play(turns(Turn((think("hm"), say("Yes.")))))
    model = Model(ModelSettings("sk-test", model_url, model=name))
    await ask(model, purse, watcher)
    assert stage.refused == []
    await model.close()


async def test_a_model_without_a_price_is_never_asked(
    model_url: str, stage: Stage, purse: Purse, watcher: Watcher
) -> None:
    model = Model(ModelSettings("sk-test", model_url, model="claude-fable-5-2"))
    with pytest.raises(ModelUnknown):
        await ask(model, purse, watcher)
    assert stage.requests == []
    await model.close()


async def test_cancelling_closes_the_request(
    model: Model, stage: Stage, purse: Purse, watcher: Watcher
) -> None:
    stage.play(turns(Turn((say("late"),), delay=30)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await ask(model, purse, watcher)
