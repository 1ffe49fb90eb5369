"""What somebody asked of us. Frozen, parsed once at the door, the same from everywhere.

`key` names the request by its meaning (comment id and time, idempotency key), so that a delivery
that comes twice, or by two hooks, makes one command.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter


@dataclass(frozen=True, slots=True)
class Actor:
    """The GitHub account that acts: always the event's sender, never a comment's author."""

    id: int
    login: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository and the installation through which we may touch it."""

    installation_id: int
    id: int
    name: str  # "owner/name"
    private: bool

    @property
    def key(self) -> tuple[int, int, str]:
        """What `GitHub.repository` and `GitHub.voice` take."""
        return self.installation_id, self.id, self.name


@dataclass(frozen=True, slots=True)
class Issue:
    """The thread a job belongs to."""

    number: int
    title: str  # as it was when the command was given


@dataclass(frozen=True, slots=True)
class Comment:
    """The comment that carried a command: where a receipt (a reaction) goes."""

    id: int
    url: str
    part: int = 1  # which of the comment's commands it is


@dataclass(frozen=True, slots=True)
class StartJob:
    """Do `text`; with `plan_only`, stop after the plan and wait for an accept."""

    key: str
    actor: Actor
    repository: Repository
    text: str
    plan_only: bool
    issue: Issue | None = None  # None: a wish from the phone that has no issue
    comment: Comment | None = None
    base: str | None = None  # branch to start from; None: the default branch
    usd: Decimal | None = None  # what it may cost at most; None: what the repository says
    type: Literal["start_job"] = "start_job"


@dataclass(frozen=True, slots=True)
class AcceptPlan:
    """Go on with the plan whose digest starts with `digest`; bare only where one plan waits."""

    key: str
    actor: Actor
    repository: Repository
    digest: str = ""
    issue: Issue | None = None
    comment: Comment | None = None
    job_id: str | None = None  # None: the active job of the issue
    type: Literal["accept_plan"] = "accept_plan"


@dataclass(frozen=True, slots=True)
class RevisePlan:
    """Plan anew with these words; the plan whose digest starts with `digest` no longer counts."""

    key: str
    actor: Actor
    repository: Repository
    text: str
    digest: str = ""
    issue: Issue | None = None
    comment: Comment | None = None
    job_id: str | None = None
    type: Literal["revise_plan"] = "revise_plan"


@dataclass(frozen=True, slots=True)
class Steer:
    """Words for the agent while it is at work, or about to be."""

    key: str
    actor: Actor
    repository: Repository
    text: str
    issue: Issue | None = None
    comment: Comment | None = None
    job_id: str | None = None
    type: Literal["steer"] = "steer"


@dataclass(frozen=True, slots=True)
class CancelJob:
    """Stop: kill the sandbox, keep the commits."""

    key: str
    actor: Actor
    repository: Repository
    issue: Issue | None = None
    comment: Comment | None = None
    job_id: str | None = None
    type: Literal["cancel_job"] = "cancel_job"


@dataclass(frozen=True, slots=True)
class RetryJob:
    """The wish of a job that ended once more, as a new job."""

    key: str
    actor: Actor
    repository: Repository
    issue: Issue | None = None
    comment: Comment | None = None
    job_id: str | None = None  # None: the newest job of the issue
    usd: Decimal | None = None  # what the new one may cost at most; None: as much as the old one
    type: Literal["retry_job"] = "retry_job"


@dataclass(frozen=True, slots=True)
class SetBudget:
    """What the job may cost at most, up to the operator's own ceiling.

    A job that stopped at its ceiling is tried again with it.
    """

    key: str
    actor: Actor
    repository: Repository
    usd: Decimal
    issue: Issue | None = None
    comment: Comment | None = None
    job_id: str | None = None
    type: Literal["set_budget"] = "set_budget"


@dataclass(frozen=True, slots=True)
class AskStatus:
    """Where does the job stand?"""

    key: str
    actor: Actor
    repository: Repository
    issue: Issue
    comment: Comment
    type: Literal["ask_status"] = "ask_status"


@dataclass(frozen=True, slots=True)
class AskWhy:
    """What became of what was said? `target`: a comment's address, a delivery's GUID, or empty."""

    key: str
    actor: Actor
    repository: Repository
    issue: Issue
    comment: Comment
    target: str
    type: Literal["ask_why"] = "ask_why"


@dataclass(frozen=True, slots=True)
class OpenPull:
    """Make sure that the job's pull request exists."""

    key: str
    actor: Actor
    repository: Repository
    job_id: str
    issue: Issue | None = None
    comment: Comment | None = None
    type: Literal["open_pull"] = "open_pull"


@dataclass(frozen=True, slots=True)
class Explain:
    """The words were for us but no command: say what we understand. `said` is what was written."""

    key: str
    actor: Actor
    repository: Repository
    issue: Issue
    comment: Comment
    said: str
    problem: str = ""  # empty: help was asked for
    type: Literal["explain"] = "explain"


@dataclass(frozen=True, slots=True)
class Forget:
    """The App was uninstalled: end what runs there, and forget what is kept of it."""

    key: str
    actor: Actor
    installation_id: int
    person_id: int | None = None  # whose own account it was on; None: an organization's
    type: Literal["forget"] = "forget"


@dataclass(frozen=True, slots=True)
class EndSessions:
    """The actor took back that the App may act for them: end all of their sessions."""

    key: str
    actor: Actor
    type: Literal["end_sessions"] = "end_sessions"


# Of somebody who gets an answer.
Request = (
    StartJob
    | AcceptPlan
    | RevisePlan
    | Steer
    | CancelJob
    | RetryJob
    | SetBudget
    | OpenPull
    | AskStatus
    | AskWhy
    | Explain
)


@dataclass(frozen=True, slots=True)
class Several:
    """The commands of one comment: each is settled before the next one counts."""

    key: str
    repository: Repository
    commands: tuple[Annotated[Request, Field(discriminator="type")], ...]
    type: Literal["several"] = "several"


Command = Request | Several | Forget | EndSessions

# The store is a boundary: a record written by another version is checked, not trusted.
COMMAND: TypeAdapter[Command] = TypeAdapter(Annotated[Command, Field(discriminator="type")])


@dataclass(frozen=True, slots=True)
class About:
    """What a delivery that names us is about, so that its verdict is found again."""

    repository_id: int
    issue: int  # 0: none
    comment_id: int  # 0: none


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing is to be done; `reason` goes into the delivery's record."""

    reason: str
    about: About | None = None  # None: it does not name us


def about(found: Command | Ignored) -> About | None:
    """What a delivery is about that was read as that."""
    match found:
        case Ignored():
            return found.about
        case Several(commands=commands):
            return about(commands[0])
        case Forget() | EndSessions():
            return None
        case _:
            return About(
                found.repository.id,
                found.issue.number if found.issue else 0,
                found.comment.id if found.comment else 0,
            )
