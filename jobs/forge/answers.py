"""What GitHub answers: the few fields that we read, and what a refusal means.

The models ignore everything else, so that a field that GitHub adds, drops or changes elsewhere in
an answer is nobody's problem.
Source: https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api
"""

import time
from datetime import datetime
from typing import Any

import httpx
from pydantic import BaseModel, Field

from jobs.forge.encode import one_line
from jobs.forge.errors import (
    AppRefused,
    GitHubError,
    GitHubUnreachable,
    Locked,
    Missing,
    NotGranted,
    RateLimited,
    Suspended,
    ValidationRefused,
)

SECONDARY_WAIT = 60.0  # seconds, where GitHub asks us to slow down and does not say for how long


class Account(BaseModel):
    id: int
    login: str


class App(BaseModel):
    slug: str
    permissions: dict[str, str] = {}


class InstallationToken(BaseModel):
    token: str
    expires_at: datetime


class Installation(BaseModel):
    permissions: dict[str, str] = {}


class RepositoryAnswer(BaseModel):
    id: int
    full_name: str
    private: bool
    default_branch: str
    clone_url: str
    archived: bool = False


class Permission(BaseModel):
    permission: str


class IssueAnswer(BaseModel):
    title: str
    body: str | None = None
    state: str
    locked: bool = False
    user: Account | None = None  # null: a deleted account
    comments: int = 0
    pull_request: dict[str, Any] | None = None


class CommentAnswer(BaseModel):
    id: int
    html_url: str
    body: str | None = None
    user: Account | None = None


class PullAnswer(BaseModel):
    number: int
    html_url: str
    state: str
    draft: bool = False
    body: str | None = None


class CheckRunAnswer(BaseModel):
    id: int
    external_id: str | None = None
    status: str = ""


class CheckRuns(BaseModel):
    check_runs: list[CheckRunAnswer]


class GitObject(BaseModel):
    sha: str


class Ref(BaseModel):
    object: GitObject


class _Fault(BaseModel):
    message: str = ""
    field: str = ""
    code: str = ""


class Refused(BaseModel):
    """The body of a 4xx answer; `errors` are objects or, on some routes, sentences."""

    message: str = ""
    errors: list[_Fault | str] = Field(default_factory=list)

    @property
    def faults(self) -> tuple[str, ...]:
        words = (
            fault if isinstance(fault, str) else fault.message or f"{fault.field} {fault.code}"
            for fault in self.errors
        )
        return tuple(one_line(word, 200) for word in words)


def refusal(response: httpx.Response) -> Refused:
    """The body of an unwanted answer; empty where it is no JSON, such as a proxy's page."""
    try:
        return Refused.model_validate_json(response.content)
    except ValueError:
        return Refused()


def meaning(response: httpx.Response, what: str) -> GitHubError:
    """What an unwanted answer says about `what` we did, such as "write a comment"."""
    status = response.status_code
    refused = refusal(response)
    words = one_line(refused.message, 200)
    lower = words.lower()
    if status >= 500 or status == 408:
        return GitHubUnreachable(
            f"GitHub is out of order (HTTP {status}), so we could not {what}. "
            "See https://www.githubstatus.com, then try again."
        )
    if status == 429 or (status == 403 and _limited(response, lower)):
        until = _until(response)
        at = time.strftime("%H:%M UTC", time.gmtime(until))
        return RateLimited(
            f"GitHub's rate limit is used up, so we could not {what}. It ends at {at}.", until
        )
    if status == 401:
        return AppRefused(
            f"GitHub does not accept the App's key, so we could not {what} ({words}). The operator "
            "has to check GITHUB_APP_ID, GITHUB_PRIVATE_KEY and this machine's clock."
        )
    if status == 403:
        return _forbidden(response, words, what)
    if status == 404 or status == 410 or (status == 409 and "empty" in lower):
        return Missing(f"GitHub finds nothing there (HTTP {status}), so we could not {what}.")
    if status == 422:
        faults = refused.faults
        why = "; ".join(faults) or words
        return ValidationRefused(f"GitHub did not let us {what}: {why}", faults or (words,))
    return GitHubError(f"GitHub did not let us {what} (HTTP {status}): {words}")


def _limited(response: httpx.Response, lower: str) -> bool:
    return (
        "retry-after" in response.headers
        or response.headers.get("x-ratelimit-remaining") == "0"
        or "secondary rate limit" in lower
        or "abuse detection" in lower
    )


def _until(response: httpx.Response) -> float:
    """Seconds since the epoch. `retry-after` comes first, then the reset, then a minute."""
    now = time.time()
    after = response.headers.get("retry-after", "")
    if after.isdecimal():
        return now + int(after)
    reset = response.headers.get("x-ratelimit-reset", "")
    if response.headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
        return max(now, float(reset))
    return now + SECONDARY_WAIT


def _forbidden(response: httpx.Response, words: str, what: str) -> GitHubError:
    lower = words.lower()
    if "suspended" in lower:
        return Suspended(
            f"The App's installation is suspended, so we could not {what}. "
            "An owner can lift this in the account's settings under GitHub Apps."
        )
    if "locked" in lower or "archived" in lower or "read-only" in lower:
        return Locked(f"GitHub did not let us {what}: {words}")
    if "not accessible by integration" in lower:
        needed = one_line(response.headers.get("x-accepted-github-permissions", ""), 100)
        permission = needed.replace("=", ": ") or "(GitHub does not say which)"
        return NotGranted(not_granted(what, permission), permission)
    return GitHubError(f"GitHub did not let us {what}: {words}")


def not_granted(what: str, permission: str) -> str:
    return (
        f"The App may not {what}: the permission {permission} was not granted. An owner can grant "
        "it in the account's settings under GitHub Apps, Cloud Vibecoder, Review request."
    )
