"""What this app knows of things on GitHub: plain records, small on purpose."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

Guard = Callable[[], Awaitable[None]]
Status = Literal["queued", "in_progress", "completed"]
Conclusion = Literal["success", "neutral", "failure", "cancelled", "action_required"]


@dataclass(frozen=True, slots=True)
class Bot:
    """The account that the App acts as."""

    id: int
    login: str  # "slug[bot]"
    email: str  # its noreply address, by which commits are linked to it


@dataclass(frozen=True, slots=True)
class Registered:
    """The App as it is registered on GitHub."""

    slug: str
    permissions: dict[str, str]  # asked for, such as "checks": "write"; installations grant them


@dataclass(frozen=True, slots=True)
class RepositoryFacts:
    id: int
    name: str  # "owner/name", as it is now
    private: bool
    default_branch: str
    clone_url: str  # https, without credentials
    archived: bool


@dataclass(frozen=True, slots=True)
class IssueFacts:
    number: int
    title: str
    body: str
    state: str  # "open" or "closed"
    locked: bool
    author: str  # login; "ghost" for a deleted account
    is_pull: bool
    comments: tuple[tuple[str, str], ...]  # login and body: the latest, in order, without our own


@dataclass(frozen=True, slots=True)
class CommentRef:
    id: int
    url: str


@dataclass(frozen=True, slots=True)
class PullRef:
    number: int
    url: str
    open: bool


@dataclass(frozen=True, slots=True)
class Action:
    """A button on a completed check run. GitHub's limits: 20, 40 and 20 characters, three a run."""

    label: str
    description: str
    identifier: str
