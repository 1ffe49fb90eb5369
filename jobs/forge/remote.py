"""Git's smart HTTP protocol with a remote repository: fetch one commit, look at one ref, push one.

Everything blocks; callers run it in threads. Nothing is shared between calls, so that the token
lives no longer than a request. Protocol: https://git-scm.com/docs/gitprotocol-http and
https://git-scm.com/docs/gitprotocol-v2.
"""

import logging
import re
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import tenacity
import urllib3
from dulwich.client import FetchPackResult, HttpGitClient
from dulwich.config import ConfigDict
from dulwich.errors import (
    ApplyDeltaError,
    ChecksumMismatch,
    FileFormatException,
    GitProtocolError,
    SendPackError,
)
from dulwich.object_store import DiskObjectStore, ObjectStoreGraphWalker
from dulwich.objects import ObjectID, ShaFile
from dulwich.pack import UnresolvedDeltas, full_unpacked_object
from dulwich.refs import Ref, check_ref_format
from urllib3.util import Retry, Timeout, make_headers

from jobs.forge.errors import (
    BranchMissing,
    EmptyRepository,
    GitError,
    GitUnauthorized,
    GitUnreachable,
    PushRefusal,
    PushRefused,
    RepositoryGone,
    RepositoryTooLarge,
)

T = TypeVar("T")
log = logging.getLogger(__name__)

ATTEMPTS = 4
STALL = 60.0  # seconds without a byte before a connection counts as dead
LONGEST_WAIT = 30.0  # a server that asks for more patience than this gets an error instead
PUSH_SECONDS = 300.0
LOOK_SECONDS = 60.0

# One commit's worth of objects fits; a Content-Length instead of chunks is what GitHub wants for
# pushes over 1 MiB (https://github.com/jelmer/dulwich/issues/2248).
_CONFIG = ConfigDict()
_CONFIG.set((b"http",), b"postBuffer", b"128m")

# What dulwich lets through when a server's bytes make no sense, mostly because they were cut.
_BROKEN = (
    GitProtocolError,
    ApplyDeltaError,
    ChecksumMismatch,
    FileFormatException,
    UnresolvedDeltas,
    zlib.error,
    struct.error,
    AssertionError,
    EOFError,
    KeyError,
    IndexError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository behind smart HTTP.

    `token` is called for every HTTP request, because installation tokens expire in mid-job; it may
    raise, and what it raises passes through. `url` never carries credentials.
    """

    url: str  # https://host/owner/name.git
    token: Callable[[], str]

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
            raise ValueError("a remote is an http(s) address without credentials")

    @property
    def name(self) -> str:
        """ "owner/name", for sentences."""
        return urlsplit(self.url).path.strip("/").removesuffix(".git")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch brought into the object store."""

    branch: str
    sha: str
    bytes: int  # as transferred


class _Client(HttpGitClient):
    """dulwich's client with a token per request, a deadline, a byte limit and typed errors."""

    def __init__(self, remote: Remote, seconds: float, max_bytes: int | None = None) -> None:
        self.remote = remote
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        self.max_bytes = max_bytes
        self.received = 0
        # Retrying is ours (a lost answer to a push must be looked at first), redirects are
        # followed because GitHub answers so for renamed repositories.
        pool = urllib3.PoolManager(
            timeout=Timeout(connect=min(10.0, seconds), read=min(STALL, seconds)),
            headers={"User-Agent": "git/cloud-vibecoder"},
            retries=Retry(total=3, connect=0, read=0, status=0, other=0, redirect=3),
        )
        super().__init__(remote.url, pool_manager=pool, config=_CONFIG)
        self._pool = pool
        self._auth_origin = self._origin(self._base_url)

    def close(self) -> None:
        super().close()
        self._pool.clear()

    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,
    ) -> tuple[Any, Callable[[int], bytes]]:
        self._left()
        self._auth_header = make_headers(basic_auth=f"x-access-token:{self.remote.token()}")[
            "authorization"
        ]
        try:
            response, _ = super()._http_request(url, headers, data, raise_for_status=False)
        except GitProtocolError:
            raise self._unreachable() from None  # its text names addresses, ours the repository
        finally:
            self._auth_header = None
        try:
            self._check(url, response)
        except BaseException:
            response.close()
            raise
        return response, lambda size=-1: self._read(response, size)

    def _read(self, response: Any, size: int) -> bytes:
        self._left()
        try:
            data: bytes = response.read(size) if size >= 0 else response.read()
        except urllib3.exceptions.HTTPError:
            raise self._unreachable("the connection broke in mid-transfer") from None
        self.received += len(data)
        if self.max_bytes is not None and self.received > self.max_bytes:
            raise RepositoryTooLarge(
                f"{self.remote.name} is too large to work on: its latest commit alone is more "
                f"than {self.max_bytes / 1e6:,.0f} MB to download."
            )
        return data

    def _left(self) -> None:
        if time.monotonic() > self.deadline:
            raise self._unreachable(f"it took longer than {self.seconds:.0f} seconds")

    def _unreachable(
        self, why: str = "no answer came", retry_after: float | None = None
    ) -> GitUnreachable:
        host = urlsplit(self.remote.url).netloc
        return GitUnreachable(
            f"I could not reach {self.remote.name} on {host}: {why}. "
            "This is usually over soon; try again in a few minutes.",
            retry_after,
        )

    def _check(self, url: str, response: Any) -> None:
        """Raises the error that the status, or a redirect to elsewhere, stands for."""
        # urllib3 tells a final address without its host, so the hops are followed once more.
        hops = response.retries.history if response.retries else ()
        arrived = url
        for hop in hops:
            arrived = urljoin(arrived, hop.redirect_location or "")
        if self._origin(arrived) != self._auth_origin:
            raise GitError(
                f"{self.remote.name} was redirected to another server, and I do not follow there. "
                "Check the address of the GitHub server in the settings."
            )
        status = response.status
        name = self.remote.name
        if status == 200:
            kind = response.headers.get("Content-Type") or ""
            if not kind.startswith("application/x-git-"):
                raise self._unreachable("something that is not git answered")
            return
        said = _sentence(response.read(2048))
        if status == 401:
            raise GitUnauthorized(
                f"GitHub did not accept my access to {name}. If the App was removed from the "
                "repository, install it again; otherwise try once more."
            )
        if status in {404, 410, 451}:
            raise RepositoryGone(
                f"{name} is not there, or the App may not see it (any more). "
                "Check that it exists and that the App is installed on it."
            )
        after = _seconds(response.headers.get("Retry-After"))
        if status == 403 and after is None:
            if "git-receive-pack" in url:
                raise PushRefused("permission", f"I may not push to {name}. {said}".rstrip())
            raise GitUnauthorized(f"I may not read {name}. {said}".rstrip())
        if status == 413:
            raise PushRefused("too_large", f"The push to {name} was larger than GitHub takes.")
        if status in {403, 429} or status >= 500:
            raise self._unreachable(f"it answered with HTTP status {status}", after)
        raise GitError(f"{name} gave an answer that I did not expect, HTTP status {status}.")


@contextmanager
def _client(remote: Remote, seconds: float, max_bytes: int | None = None) -> Iterator[_Client]:
    """A client for one attempt, and sense made of what dulwich raises."""
    client = _Client(remote, seconds, max_bytes)
    try:
        yield client
    except SendPackError as error:
        raise PushRefused(_kind(str(error)), _refusal(remote, "the push", str(error), [])) from None
    except _BROKEN as error:
        words = str(error)
        if "not our ref" in words or "unadvertised object" in words:
            raise BranchMissing(
                f"The commit that I was working from is no longer in {remote.name}. "
                "Its branch was probably rewritten; start again from the new one."
            ) from None
        log.info("broken git answer from %s: %s", remote.name, type(error).__name__)
        raise client._unreachable("its answer was cut short or garbled") from error
    finally:
        client.close()


def _patiently(seconds: float, attempt: Callable[[float], T]) -> T:
    """Calls `attempt(seconds left)` again after a passing fault, within `seconds` in all.

    A refused token gets one more chance: GitHub's fresh tokens are not valid everywhere at once.
    """
    deadline = time.monotonic() + seconds

    def again(state: tenacity.RetryCallState) -> bool:
        error = state.outcome and state.outcome.exception()
        if time.monotonic() + _wait(state) >= deadline:
            return False
        if isinstance(error, GitUnauthorized):
            return state.attempt_number == 1
        return isinstance(error, GitUnreachable) and (error.retry_after or 0) <= LONGEST_WAIT

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(ATTEMPTS), wait=_wait, retry=again, reraise=True
    )
    return retrying(lambda: attempt(deadline - time.monotonic()))


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome and state.outcome.exception()
    asked = error.retry_after if isinstance(error, GitUnreachable) else None
    return float(asked if asked is not None else 0.25 * 4 ** (state.attempt_number - 1))


def fetch(
    store: DiskObjectStore,
    remote: Remote,
    branch: str | None,
    sha: str | None,
    *,
    max_bytes: int,
    seconds: float,
) -> Fetched:
    """Brings one commit, without its history, into `store`.

    `branch` None: the remote's default branch. `sha`: that commit instead of the branch's head.
    Raises GitError's children: EmptyRepository, BranchMissing, RepositoryTooLarge, …
    """
    asked = branch_ref(branch) if branch is not None else None
    # One ref, never all: GitHub advertises refs/pull/* too.
    prefixes = [b"HEAD"] if asked is None else [asked, b"HEAD"]

    def attempt(left: float) -> Fetched:
        with _client(remote, left, max_bytes) as client:
            want: list[bytes] = []

            def wants(refs: Any, depth: int | None = None) -> list[ObjectID]:
                head = sha.encode() if sha else refs.get(asked or b"HEAD")
                want[:] = [head] if head else []
                return [ObjectID(head)] if head else []

            result = _fetch_pack(client, store, wants, prefixes)
            name = asked or result.symrefs.get(Ref(b"HEAD"))
            if not want:
                raise _nothing(remote, name, result)
            if len(want[0]) != 40:
                raise GitError(f"{remote.name} uses SHA-256 object names, which I cannot read.")
            if name is None:
                raise BranchMissing(f"{remote.name} has no default branch; name one to start from.")
            return Fetched(_short(name), want[0].decode(), client.received)

    return _patiently(seconds, attempt)


def _fetch_pack(
    client: _Client, store: DiskObjectStore, wants: Any, prefixes: Sequence[bytes]
) -> FetchPackResult:
    # The graph walker has nothing to offer: a shallow store's heads are no common history.
    walker = ObjectStoreGraphWalker([], lambda _: [])
    pack, commit, abort = store.add_pack()
    try:
        result = client.fetch_pack(
            b"", wants, walker, pack.write, depth=1, ref_prefix=prefixes, protocol_version=None
        )
        commit()
    except BaseException:
        with suppress(FileNotFoundError):
            abort()
        raise
    return result


def _nothing(remote: Remote, name: bytes | None, result: FetchPackResult) -> GitError:
    if not any(result.refs.values()):
        return EmptyRepository(
            f"{remote.name} has no commits yet, so there is nothing to start from. "
            "Push a first commit (a README is enough) and ask again."
        )
    branch = _short(name) if name else "?"
    return BranchMissing(f"{remote.name} has no branch named `{branch}`.")


def remote_head(remote: Remote, branch: str) -> str | None:
    """The commit a branch points to now, 40 hex digits, or None where there is no such branch."""
    ref = branch_ref(branch)

    def attempt(left: float) -> str | None:
        with _client(remote, left, 50_000_000) as client:
            sha = client.get_refs(b"", ref_prefix=[ref]).refs.get(Ref(ref))
            return sha.decode() if sha else None

    return _patiently(LOOK_SECONDS, attempt)


def push(
    remote: Remote, branch: str, sha: str, objects: Sequence[ShaFile], *, expect: str | None
) -> None:
    """Moves `branch` to `sha`, whose new objects are `objects`, if it still points to `expect`.

    `expect` None: the branch must not exist yet. A branch that is at `sha` already is fine, so
    that a push whose answer was lost can be repeated. Raises PushRefused and GitError's others.
    """
    ref = Ref(branch_ref(branch))
    new = ObjectID(sha.encode())
    old = ObjectID(expect.encode()) if expect else None

    def attempt(left: float) -> None:
        said: list[bytes] = []

        def update(refs: dict[Ref, ObjectID]) -> dict[Ref, ObjectID]:
            now = refs.get(ref)
            if now == new:
                return {}
            if now != old:
                raise _stale(remote, branch, now.decode() if now else None)
            return {ref: new}

        def pack(*_: object, **__: object) -> tuple[int, Iterator[Any]]:
            return len(objects), (full_unpacked_object(each) for each in objects)

        with _client(remote, left) as client:
            result = client.send_pack(b"", update, pack, progress=said.append)
        # dulwich reports refusals as data; only a pack that could not be read raises.
        error = (result.ref_status or {}).get(ref)
        if error:
            kind = _kind(error + "\n" + _text(said))
            if kind == "stale":
                raise _stale(remote, branch, None, moved=True)
            raise PushRefused(kind, _refusal(remote, f"`{branch}`", error, said))

    try:
        _patiently(PUSH_SECONDS, attempt)
    except PushRefused as refused:
        # A server still busy with our own earlier attempt refuses the repeat as stale.
        if refused.kind != "stale" or remote_head(remote, branch) != sha:
            raise


def branch_ref(branch: str) -> bytes:
    """ "main" → b"refs/heads/main". Raises BranchMissing for what can be no branch's name."""
    ref = b"refs/heads/" + branch.encode("utf-8", "surrogateescape")
    if not check_ref_format(Ref(ref)):
        raise BranchMissing(f"{branch[:100]!r} cannot be the name of a branch.")
    return ref


def _short(ref: bytes) -> str:
    return ref.removeprefix(b"refs/heads/").decode("utf-8", "surrogateescape")


def _stale(remote: Remote, branch: str, now: str | None, moved: bool = False) -> PushRefused:
    where = f"it is now at {now[:8]}" if now else "it moved" if moved else "it is gone"
    return PushRefused(
        "stale",
        f"Somebody else changed the branch `{branch}` of {remote.name} meanwhile ({where}), so I "
        "did not push over it.",
    )


# The words that GitHub and git use for refusals: the status of the ref, or the remote's messages.
# "GH001" and friends: https://docs.github.com/en/get-started/using-git/troubleshooting
_KINDS: tuple[tuple[PushRefusal, str], ...] = (
    ("workflow", r"without `?workflows?`? (permission|scope)|update workflow"),
    ("secret", r"push protection|cannot contain secrets|secret scanning"),
    ("too_large", r"GH001|file size limit|exceeds maximum|pack .*too large|too large"),
    ("protected", r"GH006|GH013|protected branch|rule violations|hidden ref|prohibited"),
    ("permission", r"permission|denied to|write access|archived|read-only"),
    (
        "stale",
        r"non-fast-forward|fetch first|stale info|failed to update ref|cannot lock ref"
        r"|already exists|missing necessary objects|incorrect old value|reference changed",
    ),
)


def _kind(words: str) -> PushRefusal:
    for kind, pattern in _KINDS:
        if re.search(pattern, words, re.IGNORECASE):
            return kind
    return "hook"


_ADVICE: dict[PushRefusal, str] = {
    "workflow": "The App has no permission to change workflow files; make that change yourself.",
    "secret": "A secret was found in the change; it must be taken out before it can be pushed.",
    "too_large": "A file, or the whole push, is over the server's limit.",
    "protected": "A rule of the repository protects the branch; let the App's branches through.",
    "permission": "The App may not write here: its permission, or an archived repository.",
    "hook": "A rule of the server declined it.",
}


def _refusal(remote: Remote, what: str, status: str, said: Sequence[bytes]) -> str:
    kind = _kind(status + "\n" + _text(said))
    words = _sentence((_text(said) or status).encode())
    return f"{remote.name} did not take {what}. {_ADVICE.get(kind, '')} It said: {words}"


def _text(said: Sequence[bytes]) -> str:
    return b"".join(said).decode("utf-8", "replace")


def _sentence(data: bytes) -> str:
    """A server's words on one line: printable, at most 500 characters."""
    words = " ".join(data.decode("utf-8", "replace").split())
    return "".join(c for c in words if c.isprintable())[:500]


def _seconds(value: str | None) -> float | None:
    """`Retry-After` in seconds; its date form is not used by GitHub and counts as absent."""
    return float(value) if value and value.isascii() and value.isdigit() else None
