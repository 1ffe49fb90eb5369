"""What can go wrong in the local sandbox server, apart from what the protocol's errors say.

LocalSandboxError
├── IsolationMissing     this machine cannot isolate processes; the message holds the remedy
├── ToolchainUnusable    no Python, or a wheel, that a sandbox could use
├── FolderInUse          another server already keeps its sandboxes in this folder
├── StartFailed          a sandbox did not come up
├── KeyReused            one idempotency key was sent with two different requests
├── BoxGone              the sandbox died or was killed
└── Denied               the sandbox's own operating system said no; carries the errno
"""


class LocalSandboxError(Exception):
    """Base of all; `str(error)` may be shown to people."""


class IsolationMissing(LocalSandboxError):
    """This machine cannot isolate processes."""


class ToolchainUnusable(LocalSandboxError):
    """No Python, or a wheel, that a sandbox could use."""


class FolderInUse(LocalSandboxError):
    """Another server already keeps its sandboxes in this folder."""


class StartFailed(LocalSandboxError):
    """A sandbox did not come up."""


class KeyReused(LocalSandboxError):
    """One idempotency key was sent with two different requests."""


class BoxGone(LocalSandboxError):
    """The sandbox died or was killed while something was asked of it."""


class Denied(LocalSandboxError):
    """The operating system inside the sandbox refused; `errno` says why."""

    def __init__(self, errno: int, message: str) -> None:
        super().__init__(message)
        self.errno = errno
