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
└── GitHubError                 an answer of GitHub's REST API (see below)
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
    """An answer of GitHub's REST API that ends what we were doing."""
