"""What the Messages API refuses in `messages`: order, pairs of calls and results, thinking."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vibecoder.local.model import thinking
from vibecoder.local.model.errors import invalid
from vibecoder.local.model.models import Model
from vibecoder.local.model.script import Block, blocks_of

MAX_MESSAGES = 100_000
Message = Mapping[str, Any]


@dataclass(slots=True)
class Given:
    """What was answered before, by the digest of the conversation that it concerns."""

    # The signatures of an answer, by the conversation before it and the calls that it makes.
    thoughts: dict[tuple[str, tuple[str, ...]], tuple[str, ...]] = field(default_factory=dict)
    # Conversations that end in a paused answer, and so may be sent again as they are.
    paused: set[str] = field(default_factory=set)

    def note(self, asked: str, answer: list[Block]) -> None:
        """Remembers `answer` to the conversation whose digest is `asked`."""
        self.thoughts[asked, _calls(answer)] = thinking.marks(answer)


def check(body: Mapping[str, Any], model: Model, betas: frozenset[str], paused: set[str]) -> None:
    """Raises ApiError."""
    messages = body["messages"]
    if not messages:
        raise invalid("messages: at least one message is required")
    if len(messages) > MAX_MESSAGES:
        raise invalid(f"messages: at most {MAX_MESSAGES} messages are allowed")
    goes_on = bool(paused) and thinking.prefix(body).digest() in paused
    _order(messages, prefill=model.prefill or goes_on, model=model)
    for number, message in enumerate(messages):
        _content(message, f"messages.{number}", final=number == len(messages) - 1)
        _system(messages, number, betas)
    for place, block in enumerate(blocks_of(body.get("system", "no text"))):
        if not block["text"]:
            raise invalid(f"system.{place}: text content blocks must be non-empty")
    _tool_changes(messages, betas)
    _compaction(messages)
    _pairs(messages)


def _order(messages: list[Message], prefill: bool, model: Model) -> None:
    for number, message in enumerate(messages):
        if message["role"] == "system" and not model.system_messages:
            raise invalid(
                f'messages.{number}: role "system" is not supported by {model.id}. Use the '
                "top-level `system` parameter instead."
            )
    if messages[0]["role"] == "system":
        raise invalid("messages.0: a system message must follow a user message")
    if messages[0]["role"] != "user":
        raise invalid('messages: first message must use the "user" role')
    if messages[-1]["role"] == "assistant" and not prefill:
        raise invalid(
            "This model does not support assistant message prefill. The conversation must end "
            "with a user message."
        )


def _system(messages: list[Message], number: int, betas: frozenset[str]) -> None:
    message = messages[number]
    if message["role"] != "system":
        return
    path = f"messages.{number}"
    if messages[number - 1]["role"] != "user":
        raise invalid(f"{path}: a system message must follow a user message")
    if number + 1 < len(messages) and messages[number + 1]["role"] != "assistant":
        raise invalid(f"{path}: a system message must be followed by an assistant message")
    if "clear_at" in message and "mid-conversation-system-clear-at-2026-08-21" not in betas:
        raise invalid(f"{path}.clear_at: Extra inputs are not permitted")
    if "output_config" in message and "mid-conversation-output-config-2026-07-01" not in betas:
        raise invalid(f"{path}.output_config: Extra inputs are not permitted")


def _content(message: Message, path: str, final: bool) -> None:
    role = message["role"]
    content = message["content"]
    if not content and not (final and role == "assistant"):
        raise invalid(
            f"{path}: all messages must have non-empty content except for the optional final "
            "assistant message"
        )
    for place, block in enumerate(blocks_of(content)):
        here = f"{path}.content.{place}"
        kind = block["type"]
        if kind == "text":
            _text(block, here, role)
        elif kind in ("document", "image", "tool_result") and role == "assistant":
            raise invalid(f"{here}: `{kind}` blocks are not permitted in assistant messages")
        elif kind in ("tool_use", *thinking.THOUGHTS) and role != "assistant":
            raise invalid(f"{here}: `{kind}` blocks can only be in assistant messages")
        if kind == "tool_result":
            inner = block.get("content")
            if block.get("is_error") and not inner:
                raise invalid(f"{here}.tool_result: content cannot be empty if `is_error` is true")
            if isinstance(inner, list) and any(
                each["type"] == "text" and not each["text"] for each in inner
            ):
                raise invalid(f"{here}.tool_result: text content blocks must be non-empty")


def _text(block: Block, path: str, role: str) -> None:
    if not block["text"]:
        raise invalid(f"{path}: text content blocks must be non-empty")
    if not block["text"].strip():
        raise invalid(f"{path}: text content blocks must contain non-whitespace text")
    if role == "user" and block.get("citations"):
        raise invalid(f"{path}: citations are not permitted in user messages")


def _tool_changes(messages: list[Message], betas: frozenset[str]) -> None:
    for number, message in enumerate(messages):
        for place, block in enumerate(blocks_of(message["content"])):
            if (
                block["type"] in ("tool_addition", "tool_removal")
                and "mid-conversation-tool-changes-2026-07-01" not in betas
            ):
                raise invalid(
                    f"messages.{number}.content.{place}: Input tag '{block['type']}' found using "
                    "'type' does not match any of the expected tags"
                )


def _compaction(messages: list[Message]) -> None:
    found = [
        (number, place, block)
        for number, message in enumerate(messages)
        for place, block in enumerate(blocks_of(message["content"]))
        if block["type"] == "compaction"
    ]
    if len(found) > 1:
        raise invalid(
            "messages: only one `compaction` block may be sent", "compaction_block_ambiguous"
        )
    for number, place, _ in found:
        path = f"messages.{number}.content.{place}"
        if (number, place) != (0, 0):
            raise invalid(
                f"{path}: a `compaction` block must be the first block of the conversation",
                "compaction_block_misplaced",
            )
        # This server compacts nothing, so no such block can have come from it.
        raise invalid(
            f"{path}: Invalid `signature` in `compaction` block", "compaction_signature_invalid"
        )


def _pairs(messages: list[Message]) -> None:
    """Each tool_use answered exactly once, in the next user message, before anything else."""
    seen: set[str] = set()
    waiting: list[str] = []
    for role, first, blocks in _turns(messages):
        uses = [block["id"] for block in blocks if block["type"] == "tool_use"]
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        if role == "system" and waiting:
            raise invalid(
                f"messages.{first}: a system message cannot come between a `tool_use` "
                "and its `tool_result`"
            )
        if role == "user":
            _results(first, blocks, results, waiting)
            waiting = []
        elif waiting:
            raise invalid(_unanswered(first, waiting))
        for used in uses:
            if used in seen:
                raise invalid(f"messages.{first}: `tool_use` ids must be unique")
            seen.add(used)
        waiting = uses or waiting
    if waiting:
        raise invalid(_unanswered(len(messages), waiting))


def _turns(messages: list[Message]) -> list[tuple[str, int, list[Block]]]:
    """Neighbours of one role as one turn: role, number of its first message, blocks."""
    turns: list[tuple[str, int, list[Block]]] = []
    for number, message in enumerate(messages):
        if turns and turns[-1][0] == message["role"]:
            turns[-1][2].extend(blocks_of(message["content"]))
        else:
            turns.append((message["role"], number, list(blocks_of(message["content"]))))
    return turns


def _results(first: int, blocks: list[Block], results: list[str], waiting: list[str]) -> None:
    for place, block in enumerate(blocks):
        if block["type"] == "tool_result" and block["tool_use_id"] not in waiting:
            raise invalid(
                f"messages.{first}.content.{place}: unexpected `tool_use_id` found in "
                f"`tool_result` blocks: {block['tool_use_id']}. Each `tool_result` block must "
                "have a corresponding `tool_use` block in the previous message."
            )
    for result in results:
        if results.count(result) > 1:
            raise invalid(
                f"messages.{first}: each tool_use must have a single result. Found multiple "
                f"`tool_result` blocks with id: {result}"
            )
    missing = [use for use in waiting if use not in results]
    if missing:
        raise invalid(_unanswered(first, missing))
    kinds = [block["type"] == "tool_result" for block in blocks]
    if kinds != sorted(kinds, reverse=True):
        raise invalid(
            f"messages.{first}: `tool_result` blocks must come first in the content of the "
            "message that follows a `tool_use`"
        )


def _unanswered(number: int, ids: list[str]) -> str:
    return (
        f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately "
        f"after: {', '.join(ids)}. Each `tool_use` block must have a corresponding `tool_result` "
        "block in the next message."
    )


def check_thinking(body: Mapping[str, Any], model: Model, given: Given) -> list[dict[str, str]]:
    """Thinking that comes back must be what was thought, where it was thought.

    Gives the blocks that the model will not see, as `input_transformations`. Raises ApiError.
    """
    config = body.get("thinking") or {}
    binding = config.get("block_binding") or {}
    lenient = binding.get("prefix_mismatch_behavior") == "drop_block" or not model.bound
    dropped: list[dict[str, str]] = []

    def drop(path: str, reason: str) -> None:
        dropped.append({"type": "thinking_dropped", "path": path, "reason": reason})

    walk = list(thinking.digests(body))
    for number, place, block, before in walk:
        if block["type"] not in thinking.THOUGHTS:
            continue
        path = f"messages.{number}.content.{place}"
        signature = block.get("signature") or block.get("data") or ""
        made = thinking.signed_for(signature, block.get("thinking", ""))
        if made is None:
            raise invalid(f"{path}: Invalid `signature` in `{block['type']}` block")
        if made[0] != model.id:
            drop(path, "model_binding_mismatch")
        elif made[1] != before and not lenient:
            raise invalid(
                f"{path}: Invalid `signature` in `{block['type']}` block. The block is bound to a "
                "different conversation: what comes before it is not what it was created after."
            )
        elif made[1] != before and model.bound:
            drop(path, "prefix_binding_mismatch")
    if not dropped:
        _latest(body, walk, given)
    return dropped


def _calls(blocks: list[Block]) -> tuple[str, ...]:
    return tuple(block["id"] for block in blocks if block["type"] == "tool_use")


def _latest(body: Mapping[str, Any], walk: list[tuple[int, int, Block, str]], given: Given) -> None:
    """The thinking of the turn in progress must be there, whole and in order."""
    found = [
        (number, block, before)
        for number, _, block, before in walk
        if body["messages"][number]["role"] == "assistant"
    ]
    if not found:
        return
    number = found[-1][0]
    latest = [(block, before) for each, block, before in found if each == number]
    blocks = [block for block, _ in latest]
    known = given.thoughts.get((latest[0][1], _calls(blocks))) if _calls(blocks) else None
    if known is not None and thinking.marks(blocks) != known:
        raise invalid(
            f"messages.{number}.content.0: `thinking` or `redacted_thinking` blocks in the latest "
            "assistant message cannot be modified. These blocks must remain as they were in the "
            "original response."
        )
