"""What e2b's SDK raises, told in our own errors.

It has no common base: beside its own exceptions come those of httpx, connectrpc and the system, and
an answer that makes no sense ends in a KeyError or a bare Exception (SDK 2.63).
"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from connectrpc.errors import ConnectError
from e2b import (
    AuthenticationException,
    FileNotFoundException,
    InvalidArgumentException,
    NotEnoughSpaceException,
    RateLimitException,
    SandboxException,
    SandboxNotFoundException,
    TimeoutException,
)
from e2b.exceptions import SandboxNotRunningException, ServiceBusyException

from agent.errors import AgentError, SandboxBusy, SandboxError, SandboxGone, SandboxRefused

DISK_FULL = "does not fit, because the sandbox's disk is full"


@contextmanager
def told(what: str, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Around calls of the SDK alone: whatever they raise becomes a SandboxError.

    `what` ends the sentence "The sandbox …"; what is in `passing` comes through as it is.
    """
    try:
        yield
    except AgentError:
        raise
    except passing:
        raise
    except Exception as error:
        raise _translated(error, what) from error


@contextmanager
def told_of_room(what: str) -> Iterator[None]:
    """The same, around calls that make or wake a sandbox."""
    with told(what):
        try:
            yield
        except (RateLimitException, ServiceBusyException) as error:
            raise SandboxBusy(
                f"The sandbox {what}: its provider has no room for another one now, or this "
                "account's limit is reached."
            ) from error
        except SandboxException as error:
            # Such as a template that does not exist: the same request is refused for ever.
            if type(error) is SandboxException and error.status_code in {400, 402, 403, 404}:
                raise SandboxRefused(f"The sandbox {what}: {_words(error)}") from error
            raise


def about_file(error: SandboxException, path: str, what: str) -> OSError | AgentError:
    """The error as the file's fault where it is, else as the sandbox's."""
    if isinstance(error, FileNotFoundException):
        return FileNotFoundError(errno.ENOENT, "does not exist", path)
    if isinstance(error, InvalidArgumentException):
        return IsADirectoryError(errno.EISDIR, "is not a regular file", path)
    if isinstance(error, NotEnoughSpaceException):
        return OSError(errno.ENOSPC, DISK_FULL, path)
    # Such as "403: permission denied"; E2B's own server says 500 for what it cannot open.
    if type(error) is SandboxException and str(error)[:3] in {"403", "500"}:
        return OSError(errno.EACCES, _words(error)[:200], path)
    return _translated(error, f"{what} {path}")


def _translated(error: Exception, what: str) -> SandboxError:
    match error:
        case SandboxNotRunningException() | SandboxNotFoundException():
            return SandboxGone(f"The sandbox no longer exists, so it {what}.")
        case AuthenticationException():
            return SandboxRefused(
                f"The sandbox {what}: its provider did not accept the key. Check E2B_API_KEY."
            )
        case RateLimitException() | ServiceBusyException():
            return SandboxError(f"The sandbox {what}: its provider is asked too much right now.")
        case NotEnoughSpaceException():
            return SandboxError(f"The sandbox {what}: its disk is full.")
        case TimeoutException() | TimeoutError() | httpx.TimeoutException():
            return SandboxError(f"The sandbox {what}: it did not answer.")
        case SandboxException() | httpx.HTTPError() | ConnectError() | OSError():
            return SandboxError(f"The sandbox {what}: {_words(error)}")
        case _:
            return SandboxError(f"The sandbox {what}: its provider's answer made no sense.")


def _words(error: Exception) -> str:
    # Addresses inside a deployment are nobody's business on GitHub.
    words = re.sub(r"\(?https?://\S+", "its address", " ".join(str(error).split()))
    return words[:300] or type(error).__name__
