"""What the model writes while it writes it, as text for people: its words, and the plan's.

Told are text, summarised thinking, and the sentences of a plan that is being handed in. What other
tools are given is told by what they do.
"""

from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from agent.progress import Watch, Writing
from agent.tools import SubmitPlan

# Which of a plan's members are prose, and how a line of each begins. Markdown, and nothing is put
# after a text, because that may still grow.
_PROSE = {
    "title": "",
    "summary": "\n",
    "root_cause": "\nCause: ",
    "intent": "\n   ",
    "done_when": "\n   Done when: ",
    "verification": "- Verify: ",
    "risks": "- Risk: ",
    "out_of_scope": "- Left out: ",
    "text": "- Question: ",
}


class Aloud:
    """Follows one streamed answer."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._begins = False
        self._json: str | None = None  # of a plan that is being handed in
        self._told = ""  # of that plan

    async def hear(self, event: Any) -> None:
        """The next event of the Messages API's stream."""
        if event.type == "content_block_start":
            block = event.content_block
            plan = block.type == "tool_use" and block.name == SubmitPlan.name
            self._begins, self._json, self._told = True, "" if plan else None, ""
        elif event.type == "content_block_delta":
            text = self._text(event.delta)
            if text:
                await self._watch(Writing(text, self._begins))
                self._begins = False

    def _text(self, delta: Any) -> str:
        if delta.type == "text_delta":
            return str(delta.text)
        if delta.type == "thinking_delta":
            return str(delta.thinking)
        if delta.type != "input_json_delta" or self._json is None:
            return ""
        self._json += delta.partial_json
        whole = so_far(self._json)
        if not whole.startswith(self._told):
            return ""
        piece, self._told = whole[len(self._told) :], whole
        return piece


def so_far(partial: str) -> str:
    """The prose in the beginning of a plan's JSON; it only grows while the JSON does."""
    try:
        plan = from_json(partial, allow_partial="trailing-strings")
    except ValueError:
        return ""
    return "\n".join(_lines(plan)) if isinstance(plan, dict) else ""


def _lines(part: dict[str, Any]) -> Iterator[str]:
    for name, value in part.items():
        if name == "steps" and isinstance(value, list):
            for number, step in enumerate(value, 1):
                lines = list(_lines(step)) if isinstance(step, dict) else []
                if lines:
                    yield f"\n{number}. {lines[0]}"
                    yield from lines[1:]
        elif name == "questions" and isinstance(value, list):
            for question in value:
                yield from _lines(question) if isinstance(question, dict) else ()
        elif name in _PROSE:
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and text:
                    yield _PROSE[name] + text
