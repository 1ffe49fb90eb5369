"""The nouns of the loopback GitHub. Plain records; `world.py` holds them, the verbs change them.

They are mutable on purpose: this is the state of a server, and every change goes through one of
the verb modules (issues.py, pulls.py, checks.py, refs.py), which also fire the webhooks.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

Role = Literal["none", "read", "triage", "write", "maintain", "admin"]
ROLES: tuple[Role, ...] = ("none", "read", "triage", "write", "maintain", "admin")

Permissions = dict[str, str]  # "contents": "write"; levels are read < write < admin


def now() -> datetime:
    """The current time in whole seconds, which is all that GitHub's API shows."""
    return datetime.now(UTC).replace(microsecond=0)


def stamp(moment: datetime | None) -> str | None:
    """The API's form of a time, exactly `%Y-%m-%dT%H:%M:%SZ`: githubkit parses no other."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else None


@dataclass(slots=True)
class Account:
    """A person, an organization or an App's bot."""

    id: int
    login: str
    type: Literal["User", "Organization", "Bot"] = "User"
    name: str | None = None
    created_at: datetime = field(default_factory=now)


@dataclass(slots=True)
class App:
    """A GitHub App and its registration."""

    id: int
    slug: str
    name: str
    owner: Account
    bot: Account
    client_id: str
    client_secret: str
    private_key: str  # PEM
    public_key: str  # PEM
    webhook_secret: str
    permissions: Permissions
    events: tuple[str, ...]
    hook_url: str = ""  # deliveries go here; empty: none are made
    url: str = "https://example.com"
    description: str = ""
    callback_urls: tuple[str, ...] = ()
    setup_url: str = ""
    created_at: datetime = field(default_factory=now)


@dataclass(slots=True)
class Installation:
    """An App on an account."""

    id: int
    app: App
    account: Account
    permissions: Permissions
    repository_ids: set[int]
    selection: Literal["all", "selected"] = "all"
    suspended_at: datetime | None = None
    suspended_by: Account | None = None
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)


@dataclass(slots=True)
class Token:
    """A credential as it was handed out."""

    id: int  # what the effect log names; never the text
    text: str
    kind: Literal["installation", "user", "refresh"]
    app: App | None
    expires_at: datetime | None  # None: never
    account: Account | None = None  # of user and refresh tokens
    installation: Installation | None = None
    permissions: Permissions = field(default_factory=dict)
    repository_ids: set[int] | None = None  # None: all of the installation's
    # The seeded people's tokens stand for their browser: what they write is not marked as
    # written through the App, as it is with a token that somebody got by signing in to it.
    browser: bool = False
    pair: "Token | None" = None  # a user token's refresh token, and the other way round
    created_at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and with what."""

    account: Account
    app: App | None = None  # the App that acted, by itself or for a person
    token_id: int | None = None


@dataclass(slots=True)
class Label:
    id: int
    name: str
    color: str = "ededed"
    description: str | None = None


@dataclass(slots=True)
class Reaction:
    id: int
    content: str  # "+1", "eyes" …
    account: Account
    created_at: datetime = field(default_factory=now)


@dataclass(slots=True)
class Comment:
    """A comment on an issue or on a pull request's conversation."""

    id: int
    body: str
    author: Account
    via: App | None = None
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    reactions: list[Reaction] = field(default_factory=list)


@dataclass(slots=True)
class ReviewComment:
    """A comment on a line of a pull request's diff."""

    id: int
    body: str
    author: Account
    path: str
    commit_id: str
    line: int | None = None
    side: str = "RIGHT"
    diff_hunk: str = ""
    in_reply_to: int | None = None
    via: App | None = None
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    reactions: list[Reaction] = field(default_factory=list)


@dataclass(slots=True)
class Review:
    """A review of a pull request."""

    id: int
    author: Account
    body: str
    state: Literal["APPROVED", "CHANGES_REQUESTED", "COMMENTED", "DISMISSED", "PENDING"]
    commit_id: str
    via: App | None = None
    submitted_at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Status:
    """A commit status, the older sibling of check runs."""

    id: int
    context: str
    state: str  # error, failure, pending, success
    description: str | None
    target_url: str | None
    creator: Account
    created_at: datetime = field(default_factory=now)


@dataclass(slots=True)
class Pull:
    """What an issue has on top when it is a pull request."""

    id: int
    head_ref: str
    head_sha: str
    base_ref: str
    base_sha: str  # the base branch's tip when the pull request was last updated
    draft: bool = False
    merged_at: datetime | None = None
    merged_by: Account | None = None
    merge_commit_sha: str | None = None
    maintainer_can_modify: bool = False
    review_comments: dict[int, ReviewComment] = field(default_factory=dict)
    reviews: dict[int, Review] = field(default_factory=dict)
    reviewers: list[Account] = field(default_factory=list)  # asked for a review


@dataclass(slots=True)
class Change:
    """One line of a thread's timeline besides its comments, such as "added the label bug"."""

    at: datetime
    account: Account
    text: str


@dataclass(slots=True)
class Issue:
    """An issue, or a pull request where `pull` is set."""

    id: int
    number: int
    title: str
    body: str | None
    author: Account
    via: App | None = None
    state: Literal["open", "closed"] = "open"
    state_reason: str | None = None
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    closed_at: datetime | None = None
    closed_by: Account | None = None
    labels: list[Label] = field(default_factory=list)
    assignees: list[Account] = field(default_factory=list)
    locked: bool = False
    lock_reason: str | None = None
    comments: dict[int, Comment] = field(default_factory=dict)
    reactions: list[Reaction] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    pull: Pull | None = None


@dataclass(slots=True)
class CheckRun:
    id: int
    suite: "CheckSuite"
    name: str
    status: str = "queued"
    conclusion: str | None = None
    external_id: str = ""
    details_url: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    title: str | None = None
    summary: str | None = None
    text: str | None = None
    annotations: list[dict[str, Any]] = field(default_factory=list)
    actions: list[dict[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class CheckSuite:
    id: int
    app: App
    head_sha: str
    head_branch: str | None
    before: str | None = None
    runs: dict[int, CheckRun] = field(default_factory=dict)
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)


@dataclass(slots=True)
class Repository:
    """A repository; its git objects are in the bare repository `folder`."""

    id: int
    owner: Account
    name: str
    folder: Path
    private: bool = False
    default_branch: str = "main"
    description: str | None = None
    roles: dict[str, Role] = field(default_factory=dict)  # by login
    labels: dict[str, Label] = field(default_factory=dict)  # by lower-case name
    issues: dict[int, Issue] = field(default_factory=dict)  # by number
    suites: dict[int, CheckSuite] = field(default_factory=dict)
    statuses: dict[str, list[Status]] = field(default_factory=dict)  # by commit, oldest first
    protected: set[str] = field(default_factory=set)  # names of branches
    archived: bool = False
    created_at: datetime = field(default_factory=now)
    updated_at: datetime = field(default_factory=now)
    pushed_at: datetime = field(default_factory=now)

    @property
    def full_name(self) -> str:
        return f"{self.owner.login}/{self.name}"


@dataclass(slots=True)
class Delivery:
    """One attempt to deliver a webhook."""

    id: int
    guid: str
    app: App
    event: str
    action: str | None
    payload: dict[str, Any]
    installation_id: int | None
    repository_id: int | None
    redelivery: bool = False
    delivered_at: datetime | None = None  # None: still under way
    duration: float = 0.0  # seconds
    status: str = "pending"
    status_code: int = 0
    url: str = ""
    request_headers: dict[str, str] = field(default_factory=dict)
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: str = ""


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that changed, as the effect log keeps it."""

    at: str
    actor: str  # login
    verb: str  # "comment.create", "push", "pull.open" …
    target: str  # "owner/name#12", "owner/name@refs/heads/x" …
    token_id: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)
