"""What the scripted model says: turns, scripts that choose them, and the stage that plays scripts.

A script is a function from the request to the next turn. It keeps no memory of its own: all it
needs is in the conversation, so a conversation can be retried, resumed by another worker, or held
twice at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Block = dict[str, Any]  # {"type": "text" | "thinking" | "redacted_thinking" | "tool_use", …}


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer of the model, and what goes wrong with it.

    Thinking blocks are given without a signature and tool calls may come without an `id`: the
    server adds both.
    """

    blocks: tuple[Block, ...] = ()
    stop_reason: str | None = None  # None: "tool_use" where a tool is called, else "end_turn"
    refusal: str | None = None  # with stop_reason "refusal": its category, such as "cyber"
    status: int = 200  # 429, 500, 529: the request is refused before anything streams
    retry_after: float | None = None  # seconds, a header of that refusal
    delay: float = 0.0  # seconds before the answer begins
    cut_after_events: int | None = None  # the connection is cut after so many events
    error_after_events: int | None = None  # an `error` event takes the place of the next one
    error_type: str = "overloaded_error"  # … of this type


@dataclass(frozen=True, slots=True)
class Result:
    """One tool_result of the last user message, with the call that it answers."""

    id: str
    tool: str
    input: Mapping[str, Any]
    text: str
    is_error: bool


@dataclass(frozen=True, slots=True)
class Request:
    """A request that passed validation."""

    api_key: str
    model: str
    body: Mapping[str, Any]
    betas: frozenset[str] = frozenset()

    @property
    def messages(self) -> list[dict[str, Any]]:
        return list(self.body["messages"])

    @property
    def tools(self) -> frozenset[str]:
        return frozenset(tool["name"] for tool in self.body.get("tools", ()) if "name" in tool)

    @property
    def system(self) -> str:
        return text_of(self.body.get("system", ""))

    @property
    def task(self) -> str:
        """The text of the first user message."""
        return text_of(self.messages[0]["content"])

    @property
    def turns(self) -> int:
        """How many answers the conversation already holds."""
        return sum(message["role"] == "assistant" for message in self.messages)

    @property
    def news(self) -> list[Block]:
        """Everything that came since the last answer."""
        found: list[Block] = []
        for message in reversed(self.messages):
            if message["role"] == "assistant":
                break
            found = [*blocks_of(message["content"]), *found]
        return found

    @property
    def exchanges(self) -> tuple[Result, ...]:
        """Every result that the tools gave in this conversation, oldest first."""
        calls: dict[str, Block] = {}
        found: list[Result] = []
        for message in self.messages:
            for block in blocks_of(message["content"]):
                if block["type"] == "tool_use":
                    calls[block["id"]] = block
                elif block["type"] == "tool_result":
                    asked = calls[block["tool_use_id"]]
                    found.append(
                        Result(
                            id=asked["id"],
                            tool=asked["name"],
                            input=asked["input"],
                            text=text_of(block.get("content", "")),
                            is_error=bool(block.get("is_error")),
                        )
                    )
        return tuple(found)

    @property
    def results(self) -> tuple[Result, ...]:
        """What the tools gave back to the last answer."""
        last = {block["tool_use_id"] for block in self.news if block["type"] == "tool_result"}
        return tuple(result for result in self.exchanges if result.id in last)


def blocks_of(content: str | Sequence[Block]) -> list[Block]:
    """A message's content as blocks; a string is shorthand for one text block."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def text_of(content: str | Sequence[Block]) -> str:
    """All text in a content, joined by newlines."""
    return "\n".join(block.get("text", "") for block in blocks_of(content))


def say(text: str) -> Block:
    return {"type": "text", "text": text}


def think(text: str) -> Block:
    return {"type": "thinking", "thinking": text}


def call(tool: str, /, **fields: Any) -> Block:
    return {"type": "tool_use", "name": tool, "input": fields}


Script = Callable[[Request], Turn]
Line = Turn | Script


def turns(*lines: Line) -> Script:
    """A script that gives its lines one after another, then says that it has nothing to add."""

    def play(request: Request) -> Turn:
        if request.turns >= len(lines):
            return Turn((say("I have nothing to add."),))
        line = lines[request.turns]
        return line(request) if callable(line) else line

    return play


KEPT = 500  # requests; each holds its whole conversation


class NoScript(Exception):
    """No script is on the stage for this request."""


@dataclass(slots=True)
class Stage:
    """The scripts that are played, the keys that may ask for them, and what was asked so far."""

    keys: set[str] = field(default_factory=set)  # empty: every key is good
    requests: list[Request] = field(default_factory=list)  # that passed validation, in order
    refused: list[str] = field(default_factory=list)  # what was wrong with those that did not
    _scripts: list[tuple[str, Script]] = field(default_factory=list)
    _faults: list[Turn] = field(default_factory=list)

    def play(self, script: Script, marker: str = "") -> None:
        """Plays `script` in conversations whose first message or system prompt holds `marker`.

        An API key is a marker too. The last one added wins; "" fits every conversation.
        """
        self._scripts.insert(0, (marker, script))

    def interrupt(self, *faults: Turn) -> None:
        """The next requests get these turns, one each, before scripts are asked again."""
        self._faults.extend(faults)

    def turn(self, request: Request) -> Turn:
        """The answer to `request`. Raises NoScript."""
        self.requests.append(request)
        del self.requests[:-KEPT]
        if self._faults:
            return self._faults.pop(0)
        for marker, script in self._scripts:
            if marker in request.task or marker in request.system or marker == request.api_key:
                return script(request)
        raise NoScript("No script is on the stage for this conversation.")
