"""What can go wrong with GitHub and git. Each message is a sentence for the person who waits.

ForgeError
├── GitError                    fetching from or pushing to the repository did not work
│   ├── GitUnreachable          network, overload, a stalled or cut transfer; later may work
│   ├── GitUnauthorized         the token was not accepted
│   ├── RepositoryGone          the repository is not there, or not for us
│   ├── EmptyRepository         it has no commit yet, so there is nothing to start from
│   ├── BranchMissing           the branch, or the commit, does not exist
│   ├── RepositoryTooLarge      more bytes or files than one job may take
│   └── PushRefused             the repository did not take the push; `kind` says why
└── GitHubError                 GitHub's REST API did not do what was asked
    ├── GitHubUnreachable       network, overload or an outage outlasted our patience: try later
    │   └── RateLimited         we asked too much; `until` says when to come back
    ├── AppRefused              the App's id or private key is not accepted: the operator's matter
    ├── Suspended               the account suspended the installation
    ├── Uninstalled             the App is not (any more) installed on the repository
    ├── NotGranted              the installation lacks a permission that the App needs
    ├── Missing                 the thing asked for is not there
    ├── Locked                  the thread is locked, or the repository archived
    └── ValidationRefused       GitHub found fault with what we sent
"""

from typing import Literal

PushRefusal = Literal[
    "stale",  # somebody else moved or made the branch
    "protected",  # a rule of the repository protects the branch
    "workflow",  # it touches workflow files and the App may not
    "secret",  # push protection found a secret
    "too_large",  # a file or the whole push is over a limit
    "hook",  # any other rule of the server
    "permission",  # the token may read but not write, or the repository is archived
]


class ForgeError(Exception):
    """Base of all; `str(error)` may be shown to people and holds no secret."""


class GitError(ForgeError):
    """Fetching from or pushing to the repository did not work."""


class GitUnreachable(GitError):
    """Network, overload, a stalled or cut transfer. The same call may work later.

    `retry_after`: seconds that the server asked us to wait, None where it said nothing.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class GitUnauthorized(GitError):
    """The token was not accepted: expired, withdrawn, or the App was uninstalled."""


class RepositoryGone(GitError):
    """The repository does not exist (any more), or the App may not see it."""


class EmptyRepository(GitError):
    """The repository has no commit yet, so there is nothing to start from."""


class BranchMissing(GitError):
    """The branch, or the commit asked for, does not exist."""


class RepositoryTooLarge(GitError):
    """More bytes or files than one job may take."""


class PushRefused(GitError):
    """The repository did not take the push. `kind` says why, the message what to do."""

    def __init__(self, kind: PushRefusal, message: str) -> None:
        super().__init__(message)
        self.kind: PushRefusal = kind


class GitHubError(ForgeError):
    """GitHub's REST API did not do what was asked."""


class GitHubUnreachable(GitHubError):
    """The network, an overload or an outage outlasted our patience. Later may work."""


class RateLimited(GitHubUnreachable):
    """We asked too much. `until`: seconds since the epoch when GitHub listens again."""

    def __init__(self, message: str, until: float) -> None:
        super().__init__(message)
        self.until = until


class AppRefused(GitHubError):
    """The App's id or private key is not accepted, or this machine's clock is wrong."""


class Suspended(GitHubError):
    """The account that owns the installation suspended it."""


class Uninstalled(GitHubError):
    """The App is not, or not any more, installed on the repository."""


class NotGranted(GitHubError):
    """The installation lacks a permission. `permission`: such as "checks: write"."""

    def __init__(self, message: str, permission: str) -> None:
        super().__init__(message)
        self.permission = permission


class Missing(GitHubError):
    """The thing asked for does not exist (any more), or the App may not see it."""


class Locked(GitHubError):
    """The thread is locked, or the repository is archived: nothing can be written there."""


class ValidationRefused(GitHubError):
    """GitHub found fault with what we sent. `faults`: its own short words."""

    def __init__(self, message: str, faults: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.faults = faults
