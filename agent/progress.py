"""What the agent tells whoever watches it, as it happens. Plain data, no I/O."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Writing:
    """A piece of what the model is writing; `begins`: of something new. An answer that breaks off
    is written once more."""

    text: str
    begins: bool


@dataclass(frozen=True, slots=True)
class Said:
    """The model's own words between tool calls, or its summarised thinking."""

    text: str


@dataclass(frozen=True, slots=True)
class Used:
    """A tool was called; `about` is its one-line gist, such as a path or a pattern."""

    tool: str
    about: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One command that was really run in the sandbox, as the ledger keeps it."""

    id: str  # "r1", "r2", … in order of start, per conversation
    command: str
    cwd: str
    exit_code: int | None  # None: killed by its time limit
    seconds: float
    output_sha256: str  # over the whole output, stdout and stderr as they came
    output_tail: str  # the last 2,000 characters
    edits: int  # how many edits the tools had made when it started


@dataclass(frozen=True, slots=True)
class Spent:
    """One answered request to the model."""

    model: str
    input_tokens: int  # neither read from nor written to the cache
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    usd: Decimal


@dataclass(frozen=True, slots=True)
class StepStarted:
    """Work on a step began; `number` counts from 1."""

    number: int
    id: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The model answered after it was told the first `words` words that people said."""

    words: int
    text: str  # how its answer began


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something outside holds the work up: said once, not again for each try."""

    why: str  # a sentence for people


Progress = Writing | Said | Used | Run | Spent | StepStarted | Answered | Waiting
Watch = Callable[[Progress], Awaitable[None]]

# One message of a conversation as the Messages API takes it, kept raw (thinking blocks and unknown
# fields unmodified) so that it can be sent again after a crash.
Message = dict[str, Any]
Keep = Callable[[Message], Awaitable[None]]
