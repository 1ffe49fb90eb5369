"""What people say to the agent while it is at it, and how it is told: before its next turn.

Each word has its number over the whole job, which stands in the message that tells it. So the
journalled conversation itself knows what was told, and a crash neither loses a word nor repeats it.
"""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass

from agent.conversation import Conversation
from agent.plan import Plan
from agent.progress import Answered, Message, Watch
from agent.prompt import prompt

MOST_SAID = 500  # characters of its answer that are told as what it makes of the words
_NUMBER = re.compile(r"Message (\d+) from ")


@dataclass(frozen=True, slots=True)
class Word:
    """Something that a person said who may say what is done."""

    number: int  # from 1, over the whole job
    who: str
    text: str
    replaces: Plan | None = None  # the plan that the person wants changed

    @property
    def told(self) -> str:
        """As the model is told it."""
        if self.replaces is None:
            return prompt("steer.md", number=str(self.number), who=self.who, text=self.text)
        return prompt(
            "revise.md",
            number=str(self.number),
            who=self.who,
            text=self.text,
            plan=json.dumps(asdict(self.replaces), ensure_ascii=False, indent=1),
        )


# All words of the job so far, in order.
Listen = Callable[[], Awaitable[Sequence[Word]]]


async def silence() -> Sequence[Word]:
    """Nobody says anything."""
    return ()


class Ear:
    """Which words one conversation was told, and which it answered to."""

    def __init__(
        self, listen: Listen, watch: Watch, heard: int, history: Sequence[Message]
    ) -> None:
        """`heard`: how many words were answered to, in this conversation or an earlier one."""
        self._listen = listen
        self._watch = watch
        self._heard = heard
        self._told = max(heard, *_told(history), 0)

    async def news(self) -> bool:
        """Whether there are words that the model does not know yet."""
        return any(word.number > self._told for word in await self._listen())

    async def tell(self, conversation: Conversation) -> None:
        """Tells the model what is new."""
        words = [word for word in await self._listen() if word.number > self._told]
        if words:
            await conversation.tell(*({"type": "text", "text": word.told} for word in words))
            self._told = words[-1].number

    async def answered(self, text: str) -> None:
        """The model went on, and said this first."""
        if self._told > self._heard:
            self._heard = self._told
            await self._watch(Answered(self._heard, text[:MOST_SAID]))


def _told(history: Sequence[Message]) -> list[int]:
    blocks = [
        block["text"]
        for message in history
        if message["role"] == "user"
        for block in message["content"]
        if block["type"] == "text"
    ]
    return [int(found[1]) for text in blocks if (found := _NUMBER.match(text))]
