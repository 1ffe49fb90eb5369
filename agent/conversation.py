"""One conversation with the model: append-only, journalled, within turns, time and money.

Nothing that was said is ever changed or left out later: thinking blocks are bound to what came
before them (https://platform.claude.com/docs/en/build-with-claude/extended-thinking).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from agent.errors import LimitReached
from agent.model import Answer, Model, Purse, guessed_tokens
from agent.progress import Keep, Message, Watch

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one conversation may use up."""

    usd: Decimal
    deadline: float  # time.monotonic()
    turns: int = 150  # answers of the model
    # What of `usd` is left, where that may change on the way; asked before each answer.
    left: Callable[[], Awaitable[Decimal]] | None = None


class Conversation:
    """The messages so far, and the way to the next one."""

    def __init__(
        self,
        model: Model,
        system: Sequence[str],
        tools: Sequence[dict[str, Any]],
        limits: Limits,
        watch: Watch,
        keep: Keep,
        history: Sequence[Message],
    ) -> None:
        self._model = model
        self._system: list[dict[str, Any]] = [{"type": "text", "text": t} for t in system if t]
        self._system[-1]["cache_control"] = {"type": "ephemeral"}
        self._tools = list(tools)
        self._limits = limits
        self._watch = watch
        self._keep = keep
        self._purse = Purse(limits.usd)
        self.messages = list(history)
        self._turns = sum(message["role"] == "assistant" for message in history)
        # A guess from above of the next prompt's tokens, set right by every answer.
        self._size = guessed_tokens([self._system, self._tools, self.messages])

    async def tell(self, *blocks: dict[str, Any]) -> None:
        """Append a message of the user's side; it is in the journal when this returns."""
        message: Message = {"role": "user", "content": list(blocks)}
        self._size += guessed_tokens(message)
        await self._append(message)

    async def answer(self) -> Answer:
        """The model's next message; it is in the journal when this returns.

        Raises LimitReached, the ModelErrors, and whatever `Limits.left` raises.
        """
        if self._turns >= self._limits.turns:
            raise LimitReached(f"All {self._limits.turns} answers of the model are used up.")
        if self._limits.left is not None:
            self._purse.usd = self._purse.spent + await self._limits.left()
        answer = await self.within_time(
            self._model.turn(
                system=self._system,
                tools=self._tools,
                messages=self.messages,
                size=self._size,
                purse=self._purse,
                watch=self._watch,
            )
        )
        self._turns += 1
        self._size = answer.size
        if answer.message["content"]:  # the API takes no empty message back
            await self._append(answer.message)
        return answer

    async def within_time(self, work: Awaitable[Result]) -> Result:
        """Await `work`, or raise LimitReached at the deadline."""
        left = self._limits.deadline - time.monotonic()
        try:
            async with asyncio.timeout(max(left, 0)) as timeout:
                return await work
        except TimeoutError:
            if not timeout.expired():
                raise
            raise LimitReached("The time for this job is used up.") from None

    async def _append(self, message: Message) -> None:
        await self._keep(message)
        self.messages.append(message)
