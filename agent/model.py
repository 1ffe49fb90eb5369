"""The Claude Messages API: one streamed answer at a time, within a budget.

https://platform.claude.com/docs/en/api/messages (API version 2026-10-21, SDK 2.12). The SDK's own
retries are off: they cannot see a stream that breaks, nor what a second try may cost.
"""

import asyncio
import json
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import anthropic
import httpx2
from anthropic import AsyncAnthropic
from anthropic.types import Usage

from agent.aloud import Aloud
from agent.errors import ContextFull, LimitReached, ModelRefused, ModelUnreachable
from agent.prices import Price, Tokens, price
from agent.progress import Message, Spent, Waiting, Watch

API = "https://api.anthropic.com"
MAX_TOKENS = 64_000  # less ended many runs in the middle of a file, more was never used
MORE_TOKENS = 128_000  # for the one repetition after an answer that did not fit
LEAST_TOKENS = 2_000  # an answer that has to be shorter is not worth its prompt
# Seconds before each further try, at most. An overload passes within minutes or lasts for hours.
PAUSES = (1.0, 2.0, 5.0, 15.0, 30.0, *[60.0] * 14)
PATIENCE = 900.0  # seconds over all tries of one turn
CALM = 5.0  # seconds that a hitch may last before a person is told of it
FULL = "The conversation no longer fits into the model's memory. Ask for less at once."
TOO_LONG = re.compile("prompt is too long|exceed context limit")


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Which model answers. `base_url` None: Anthropic's own."""

    api_key: str
    base_url: str | None
    model: str = "claude-opus-5-5"
    effort: str = "medium"  # "low", "medium", "high", "xhigh", "max"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said, complete and unmodified."""

    message: Message  # role "assistant"; its content may be empty
    stop_reason: str
    size: int  # tokens of the prompt and this answer: the least that the next prompt has


class Purse:
    """The money that one conversation may spend."""

    def __init__(self, usd: Decimal) -> None:
        self.usd = usd
        self.spent = Decimal(0)

    @property
    def left(self) -> Decimal:
        return self.usd - self.spent


class Model:
    """The API's client. One per worker process: making it costs a second of CPU time."""

    def __init__(self, settings: ModelSettings, *, pauses: Sequence[float] = PAUSES) -> None:
        self.settings = settings
        self._pauses = pauses
        self._client = AsyncAnthropic(
            api_key=settings.api_key,
            base_url=settings.base_url or API,  # else the SDK would ask the environment
            max_retries=0,
            # A stream brings a ping at least every few seconds, however long the model thinks.
            timeout=httpx2.Timeout(60, read=180, connect=15),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def check(self) -> Price:
        """Today's price. Raises ModelUnknown."""
        return price(self.settings.model, datetime.now(UTC).date())

    async def turn(
        self,
        *,
        system: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]],
        messages: Sequence[Message],
        size: int,
        purse: Purse,
        watch: Watch,
    ) -> Answer:
        """The model's next message after `messages`, which are sent as they are.

        `size` is a guess, from above, of the prompt's tokens. Every try is paid from `purse` and
        reported to `watch`. Raises LimitReached before a request that `purse` might not cover,
        ContextFull, ModelUnreachable, ModelRefused, ModelUnknown.
        """
        tariff = self.check()
        began, pauses = time.monotonic(), iter(self._pauses)
        wanted, failed, told = MAX_TOKENS, False, False
        while True:
            limit = min(wanted, tariff.affordable_output(size, purse.left))
            if limit < LEAST_TOKENS:
                raise LimitReached(
                    f"The budget of ${purse.usd:.2f} does not cover another answer of the model: "
                    f"${purse.spent:.2f} are spent."
                )
            attempt = _Attempt(self.settings, tariff, purse, watch)
            try:
                answer = await attempt.send(self._client, system, tools, messages, limit)
            except _TryAgain as again:
                lasted, after = time.monotonic() - began, again.after_or(next(pauses, None))
                if after is None or lasted + after > PATIENCE:
                    raise ModelUnreachable(again.given_up(lasted)) from again
                if not told and (failed or lasted + after > CALM):
                    await watch(Waiting(f"The model's API {again.problem}; I try again."))
                    told = True
                failed = True
                await asyncio.sleep(after)
                continue
            match answer.stop_reason:
                case "max_tokens" if limit < wanted:
                    raise LimitReached(
                        f"The budget of ${purse.usd:.2f} ended in the middle of an answer."
                    )
                case "max_tokens" if wanted == MAX_TOKENS:
                    wanted = MORE_TOKENS  # what came is not kept: a tool call may be cut
                case "max_tokens":
                    raise LimitReached(f"An answer of the model exceeded {MORE_TOKENS:,} tokens.")
                case "model_context_window_exceeded":
                    raise ContextFull(FULL)
                case _:
                    return answer


def guessed_tokens(data: object) -> int:
    """From above, how many tokens a part of a request has. `data` is what JSON can hold."""
    return _most_tokens(len(json.dumps(data, ensure_ascii=False).encode("utf-8", "replace")))


def _most_tokens(size: int) -> int:
    # Prose has four bytes a token, code three, random digits hardly less than one and a half.
    # Money is promised, so the densest counts.
    return size * 2 // 3


class _TryAgain(Exception):
    """The request failed in a way that may pass; `after` are seconds, if the API named them."""

    def __init__(self, problem: str, after: float | None = None) -> None:
        super().__init__(problem)
        self.problem = problem  # what is said of "The model's API"
        self.after = after

    def after_or(self, pause: float | None) -> float | None:
        """Seconds until the next try, where there is one at all: `pause` is not None."""
        if pause is None or self.after is not None:
            return None if pause is None else self.after
        # A jitter, so that jobs which failed together do not come back together.
        return pause * random.uniform(0.5, 1)  # noqa: S311

    def given_up(self, lasted: float) -> str:
        """The end of it, for people; `lasted` are seconds."""
        asked = f" and asks for {self.after:.0f} s of quiet" if self.after else ""
        tried = f"{lasted / 60:.0f} minutes" if lasted > 90 else f"{lasted:.0f} s"
        return (
            f"The model's API {self.problem}{asked}. I gave up after {tried}; what was committed "
            "is kept. Try again later."
        )


@dataclass(slots=True)
class _Attempt:
    """One request, and the settling of what it cost, however it ends."""

    settings: ModelSettings
    tariff: Price
    purse: Purse
    watch: Watch
    received: int = 0  # characters of the answer, for the bill of a stream that breaks

    async def send(
        self,
        client: AsyncAnthropic,
        system: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]],
        messages: Sequence[Message],
        limit: int,
    ) -> Answer:
        manager = client.messages.stream(
            model=self.settings.model,
            max_tokens=limit,
            system=cast(Any, system),
            tools=cast(Any, tools),
            messages=cast(Any, _with_breakpoint(messages)),
            cache_control={"type": "ephemeral"},  # marks the end of the prompt, wherever that is
            thinking={"type": "adaptive", "display": "summarized"},
            output_config={"effort": cast(Any, self.settings.effort)},
        )
        message: Any = None
        aloud = Aloud(self.watch)
        try:
            async with manager as stream:
                try:
                    async for event in stream:
                        if event.type == "content_block_delta":
                            self.received += _length(event.delta)
                        if event.type == "message_start":
                            message = event.message
                        await aloud.hear(event)
                finally:
                    if message is not None:
                        message = stream.current_message_snapshot
        except anthropic.APIStatusError as error:
            await self._settle(message)
            raise _judged(error) from error
        except (anthropic.APIError, httpx2.HTTPError) as error:
            await self._settle(message)
            raise _TryAgain(f"could not be reached ({type(error).__name__})") from error
        except ValueError as error:  # the SDK's complaint about JSON that makes no sense
            await self._settle(message)
            raise _TryAgain("gave a garbled answer") from error
        except asyncio.CancelledError:
            await self._settle(message)
            raise
        await self._settle(message)
        # Without a stop reason the stream was cut, however complete a tool call in it looks.
        if message is None or message.stop_reason is None:
            raise _TryAgain("broke off its answer")
        if message.stop_reason == "refusal":
            category = message.stop_details.category if message.stop_details else None
            raise ModelRefused(
                "The model declined to go on with this"
                + (f" (category: {category}). " if category else ". ")
                + "What was committed is kept. Ask for it in other words, or do this part by hand."
            )
        raw = message.to_dict()
        usage = message.usage
        return Answer(
            # The API does not take back an empty text that it gave.
            {"role": "assistant", "content": [b for b in raw["content"] if b.get("text") != ""]},
            message.stop_reason,
            _tokens(usage).prompt + usage.output_tokens,
        )

    async def _settle(self, message: Any) -> None:
        """Pay for what was answered; of a broken stream, for what must have been written."""
        if message is None:
            return
        tokens = _tokens(message.usage)
        if message.stop_reason is None:
            written = max(tokens.output, _most_tokens(self.received))
            tokens = Tokens(
                tokens.input,
                tokens.cache_read,
                tokens.cache_write_5m,
                tokens.cache_write_1h,
                written,
            )
        regional = message.usage.inference_geo not in {None, "", "global", "not_available"}
        cost = self.tariff.of(tokens, regional=regional)
        self.purse.spent += cost
        await self.watch(
            Spent(
                self.settings.model,
                tokens.input,
                tokens.cache_read,
                tokens.cache_write_5m + tokens.cache_write_1h,
                tokens.output,
                cost,
            )
        )


def _judged(error: anthropic.APIStatusError) -> Exception:
    """Whether trying again may help. A status of 200 is an error event in a running stream."""
    status, kind = error.status_code, error.type
    passing = {"overloaded_error", "api_error", "rate_limit_error", "timeout_error"}
    if status in {408, 409, 429} or status >= 500 or (status == 200 and kind in passing):
        after = _retry_after(error)
        if kind == "overloaded_error" or status == 529:
            return _TryAgain("is overloaded", after)
        if kind == "rate_limit_error" or status == 429:
            return _TryAgain("limits how much we may ask of it", after)
        return _TryAgain(f"failed (HTTP {status})" if status != 200 else "failed", after)
    if status == 413 or TOO_LONG.search(error.api_message or ""):
        return ContextFull(FULL)
    if status in {401, 403}:
        return ModelRefused("The model's API did not accept the key. Check ANTHROPIC_API_KEY.")
    if status == 402:
        return ModelRefused(
            "The account at the model's API is out of credit: add some, then retry."
        )
    said = " ".join((error.api_message or f"HTTP {status}").split())[:300]
    return ModelRefused(f"The model's API refused the request: {said}")


def _length(delta: Any) -> int:
    text = getattr(delta, "partial_json", None) or getattr(delta, "thinking", None)
    return len(text or getattr(delta, "text", None) or "")


def _retry_after(error: anthropic.APIStatusError) -> float | None:
    try:
        return max(0.0, float(error.response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _tokens(usage: Usage) -> Tokens:
    written = usage.cache_creation_input_tokens or 0
    hourly = usage.cache_creation.ephemeral_1h_input_tokens if usage.cache_creation else 0
    return Tokens(
        input=usage.input_tokens,
        cache_read=usage.cache_read_input_tokens or 0,
        cache_write_5m=written - hourly,
        cache_write_1h=hourly,
        output=usage.output_tokens,
    )


def _with_breakpoint(messages: Sequence[Message]) -> list[Message]:
    """The messages with the end of the last request marked as cached; the originals stay as is.

    The cache looks 20 blocks back from a breakpoint, and one turn may add more than that.
    """
    marked = list(messages)
    users = [at for at, message in enumerate(marked) if message["role"] == "user"]
    if len(users) >= 2:
        message = marked[users[-2]]
        *rest, last = message["content"]
        last = {**last, "cache_control": {"type": "ephemeral"}}
        marked[users[-2]] = {**message, "content": [*rest, last]}
    return marked
