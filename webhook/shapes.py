"""What goes over the wire between the phone and us. The OpenAPI document is made from these.

Only requests are checked for what they hold; answers are built from our own records.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from jobs.outward import LONGEST as LONGEST_ADDRESS
from webhook.plain import plain
from webhook.slash import LONGEST

_FULL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}/(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,100}")
# What git-check-ref-format forbids; none of it may reach a path of GitHub's API.
_NO_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|//|@\{|/\.|\A[/.-]|[/.]\Z|\.lock(?:/|\Z)")
_JOB_ID = re.compile(r"[a-z0-9]{1,64}")
_DIGEST = re.compile(r"[0-9a-fA-F]{8,64}")


def _full_name(value: str) -> str:
    if not _FULL_NAME.fullmatch(value):
        raise ValueError("a repository is named owner/name")
    return value


def _branch(value: str) -> str:
    if not 0 < len(value) <= 255 or _NO_BRANCH.search(value):
        raise ValueError("git allows no branch of that name")
    return value


def _job_id(value: str) -> str:
    if not _JOB_ID.fullmatch(value):
        raise ValueError("that is no job's id")
    return value


def _digest(value: str) -> str:
    if not _DIGEST.fullmatch(value):
        raise ValueError("a digest has 8 to 64 hex digits")
    return value.lower()


def _wish(value: str) -> str:
    text = plain(value).strip()
    if not text:
        raise ValueError("say what is wanted")
    return text


FullName = Annotated[str, AfterValidator(_full_name)]
Branch = Annotated[str, AfterValidator(_branch)]
JobId = Annotated[str, AfterValidator(_job_id)]
Digest = Annotated[str, AfterValidator(_digest)]
Wish = Annotated[str, StringConstraints(max_length=LONGEST), AfterValidator(_wish)]


class _Asked(BaseModel):
    """A request's body: unknown members are refused, so that a misspelt one is not passed over."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Told(BaseModel):
    """An answer's body: every member is always present."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class AskedPlan(_Asked):
    """Something to be planned in a repository."""

    repository: FullName = Field(description="`owner/name`")
    text: Wish = Field(description="What is wanted, in plain words or Markdown.")
    base: Branch | None = Field(None, description="Branch to start from; the default branch else.")
    issue: Annotated[int, Field(gt=0, lt=2**53)] | None = Field(
        None, description="Number of the issue that this is about."
    )


class AcceptedPlan(_Asked):
    """The plan of a job is accepted; its digest says which plan that was."""

    job_id: JobId
    plan_digest: Digest = Field(
        description="The plan's digest as shown, or at least its first eight digits."
    )


class AskedPull(_Asked):
    """The pull request of a job is wanted."""

    job_id: JobId


class Acceptance(_Asked):
    """The plan that was seen is accepted."""

    plan_digest: Digest = Field(
        description="The plan's digest as shown, or at least its first eight digits."
    )


class SubscriptionKeys(_Asked):
    """What seals messages for one browser, base64url."""

    p256dh: Annotated[str, StringConstraints(max_length=100)]
    auth: Annotated[str, StringConstraints(max_length=100)]


class PushSubscription(_Asked):
    """A browser's `PushSubscription.toJSON()`."""

    endpoint: Annotated[str, StringConstraints(max_length=LONGEST_ADDRESS)]
    keys: SubscriptionKeys
    expirationTime: float | None = Field(None, description="Not looked at.")  # as browsers have it


class EndedSubscription(_Asked):
    """A browser that is to be told no more."""

    endpoint: Annotated[str, StringConstraints(max_length=LONGEST_ADDRESS)]


class AskedRevision(Acceptance):
    """Another plan is wanted than the one that was seen."""

    text: Wish = Field(description="What to change, in plain words or Markdown.")


class AskedSteer(_Asked):
    """Something is said to the agent."""

    text: Wish = Field(description="In plain words or Markdown.")


class Nothing(_Asked):
    """An empty object."""


class PushKey(Told):
    """By which a browser subscribes."""

    key: str = Field(description="The `applicationServerKey`: base64url of 65 bytes.")


class JobRef(Told):
    """Names a job."""

    job_id: str


class PullRequest(Told):
    """The job's pull request; null while the worker is at it."""

    pull_request_url: str | None


class RepoShown(Told):
    """A repository to choose."""

    full_name: str = Field(description="`owner/name`")
    private: bool
    default_branch: str
    push: bool = Field(description="Whether you may ask for work there.")
    description: str


class Repos(Told):
    """Repositories, newest pushed first."""

    repos: tuple[RepoShown, ...]


class IssueShown(Told):
    """An open issue to choose."""

    number: int
    title: str
    labels: tuple[str, ...]
    updated_at: str = Field(description="ISO 8601 with time zone.")


class Issues(Told):
    """Issues, newest updated first."""

    issues: tuple[IssueShown, ...]


class Branches(Told):
    """Names of branches, the default one first."""

    branches: tuple[str, ...]


class FileDiff(Told):
    """What a job changed in one file."""

    path: str
    previous_path: str | None = Field(description="Where it was before, if it was renamed.")
    status: str = Field(description="added, removed, modified, renamed, …: GitHub's words.")
    added: int
    deleted: int
    patch: str | None = Field(description="Unified hunks; null: binary, or too large.")


class Diff(Told):
    """What a job changed so far."""

    base: str = Field(description="The commit that it started from; empty before that.")
    head: str = Field(description="Its newest commit.")
    truncated: bool = Field(description="There are more files than GitHub compares.")
    files: tuple[FileDiff, ...]


class Commit(Told):
    """One commit of a branch."""

    sha: str = Field(description="40 hex digits.")
    message: str
    author: str = Field(description="GitHub login, or the name in the commit where there is none.")
    date: str = Field(description="When it was authored, ISO 8601 with time zone.")


class ProblemShown(Told):
    """What went wrong (RFC 9457); `detail` is a sentence for people."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str
