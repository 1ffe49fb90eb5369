"""What happened to a job. A closed union; everything a person sees is a fold over these.

Times are seconds since the epoch, UTC. Shas are 40 hex digits. Money is US dollars.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from agent.plan import Plan
from jobs.commands import Actor, StartJob

Outcome = Literal["succeeded", "failed", "cancelled", "stopped"]


@dataclass(frozen=True, slots=True)
class Received:
    """A request became a job. Always the first event."""

    at: float
    command: StartJob
    type: Literal["received"] = "received"


@dataclass(frozen=True, slots=True)
class Allowed:
    """GitHub said that the sender may write to the repository."""

    at: float
    permission: str
    type: Literal["allowed"] = "allowed"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A worker took the job; `token` is its fencing token."""

    at: float
    worker: str
    token: int
    type: Literal["claimed"] = "claimed"


@dataclass(frozen=True, slots=True)
class Cloned:
    """The repository was fetched at the commit that everything starts from."""

    at: float
    base: str  # branch
    base_sha: str
    branch: str  # ours, to be pushed to
    files: int
    bytes: int
    seconds: float
    type: Literal["cloned"] = "cloned"


@dataclass(frozen=True, slots=True)
class SandboxReady:
    """A sandbox holds the files."""

    at: float
    sandbox_id: str
    seconds: float
    type: Literal["sandbox_ready"] = "sandbox_ready"


@dataclass(frozen=True, slots=True)
class Planned:
    """The planner handed in a plan; `waits`: a person must accept its digest first."""

    at: float
    plan: Plan
    digest: str
    waits: bool
    ceiling_usd: Decimal | None = None  # of the whole job; None: written before this was kept
    type: Literal["planned"] = "planned"


@dataclass(frozen=True, slots=True)
class Approved:
    """A person with write permission accepted the plan."""

    at: float
    actor: Actor
    digest: str
    type: Literal["approved"] = "approved"


@dataclass(frozen=True, slots=True)
class Revised:
    """A person wants another plan than the one of that digest, which no longer counts."""

    at: float
    actor: Actor
    text: str
    digest: str
    type: Literal["revised"] = "revised"


@dataclass(frozen=True, slots=True)
class Steered:
    """A person said something to the agent while it works; it hears it before its next turn."""

    at: float
    actor: Actor
    text: str
    type: Literal["steered"] = "steered"


@dataclass(frozen=True, slots=True)
class Heard:
    """The agent answered after it was told the first `words` of the job's words."""

    at: float
    words: int
    text: str = ""  # what it said to that, if anything
    type: Literal["heard"] = "heard"


@dataclass(frozen=True, slots=True)
class Budgeted:
    """A person said what the job may cost at most; below the operator's own ceiling."""

    at: float
    actor: Actor
    usd: Decimal
    digest: str = ""  # of the plan that waits, which the amount is part of
    type: Literal["budgeted"] = "budgeted"


@dataclass(frozen=True, slots=True)
class StepBegan:
    """Work on step `number` (from 1) began."""

    at: float
    number: int
    type: Literal["step_began"] = "step_began"


@dataclass(frozen=True, slots=True)
class Noted:
    """One line worth showing: the model's words or a tool it used."""

    at: float
    text: str
    type: Literal["noted"] = "noted"


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of what the model writes, while it writes it. `begins`: of something new."""

    at: float
    text: str
    begins: bool = False
    type: Literal["said"] = "said"


@dataclass(frozen=True, slots=True)
class CommandRan:
    """A command was really run in the sandbox. `exit_code` None: killed by its time limit."""

    at: float
    run_id: str
    command: str
    exit_code: int | None
    seconds: float
    output_sha256: str
    output_tail: str
    edits: int
    type: Literal["command_ran"] = "command_ran"


@dataclass(frozen=True, slots=True)
class StepCommitted:
    """A step became a commit on our branch and was pushed. `edits`: the tools' edits it holds."""

    at: float
    number: int
    sha: str
    subject: str
    files: tuple[str, ...]
    added: int
    deleted: int
    edits: int
    type: Literal["step_committed"] = "step_committed"


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """A step ended without changing a file, such as one that only looks; `why` in its own words."""

    at: float
    number: int
    why: str
    type: Literal["step_skipped"] = "step_skipped"


@dataclass(frozen=True, slots=True)
class PullOpened:
    """The draft pull request exists."""

    at: float
    number: int
    url: str
    type: Literal["pull_opened"] = "pull_opened"


@dataclass(frozen=True, slots=True)
class Checked:
    """A check run of ours stands on a commit."""

    at: float
    check_run_id: int
    head_sha: str
    type: Literal["checked"] = "checked"


@dataclass(frozen=True, slots=True)
class Charged:
    """The model answered a request and this is what it cost."""

    at: float
    model: str
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    usd: Decimal
    type: Literal["charged"] = "charged"


@dataclass(frozen=True, slots=True)
class Rescued:
    """A commit that could not be pushed, kept as a patch."""

    at: float
    sha: str
    parent: str  # the commit that it belongs on
    parts: tuple[str, ...]  # of the base64 of the gzip of a mail for `git am`
    type: Literal["rescued"] = "rescued"


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """A person asked to stop; the worker ends the job."""

    at: float
    actor: Actor
    type: Literal["cancel_asked"] = "cancel_asked"


@dataclass(frozen=True, slots=True)
class Finished:
    """The end. `summary` is a sentence for people, `not_done` what remains."""

    at: float
    outcome: Outcome
    summary: str
    not_done: tuple[str, ...] = ()
    type: Literal["finished"] = "finished"


JobEvent = (
    Received
    | Allowed
    | Claimed
    | Cloned
    | SandboxReady
    | Planned
    | Approved
    | Revised
    | Steered
    | Heard
    | Budgeted
    | StepBegan
    | Noted
    | Said
    | CommandRan
    | StepCommitted
    | StepSkipped
    | PullOpened
    | Checked
    | Charged
    | Rescued
    | CancelAsked
    | Finished
)

EVENT: TypeAdapter[JobEvent] = TypeAdapter(Annotated[JobEvent, Field(discriminator="type")])
