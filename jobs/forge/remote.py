"""Git's smart HTTP protocol with a remote repository: fetch one commit, look at one ref, push one.

Everything blocks; callers run it in threads. Nothing is shared between calls, so that the token
lives no longer than a request. Protocol: https://git-scm.com/docs/gitprotocol-http and
https://git-scm.com/docs/gitprotocol-v2.
"""

import gc
import hashlib
import logging
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from threading import Event
from typing import Any, BinaryIO, TypeVar
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

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
from dulwich.objects import ObjectID
from dulwich.pack import UnresolvedDeltas
from dulwich.refs import Ref, check_ref_format
from urllib3.exceptions import MaxRetryError, NameResolutionError, NewConnectionError, SSLError
from urllib3.util import Retry, Timeout, make_headers

from jobs.forge.errors import (
    BranchMissing,
    EmptyRepository,
    GitError,
    GitUnauthorized,
    GitUnreachable,
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
    raise, and what it raises passes through. `refused` is told each one that was not accepted, so
    that `token` gives another. `url` never carries credentials. Whoever sets `stop` has what is
    under way in other threads end at its next piece.
    """

    url: str  # https://host/owner/name.git
    token: Callable[[], str]
    refused: Callable[[str], None] = lambda token: None
    stop: Event = field(default_factory=Event, compare=False)

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


def _pool(url: str, **more: Any) -> urllib3.PoolManager:
    """Connections to `url`: by HTTPS_PROXY and NO_PROXY, as all other clients of ours go."""
    more["headers"] = {"User-Agent": "git/cloud-vibecoder"}
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if not proxy or proxy_bypass(parts.hostname or ""):
        return urllib3.PoolManager(**more)
    at = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    headers = None
    if at.username is not None:
        who = f"{unquote(at.username)}:{unquote(at.password or '')}"
        headers = make_headers(proxy_basic_auth=who)
    place = at.netloc.rpartition("@")[2]
    return urllib3.ProxyManager(f"{at.scheme}://{place}", proxy_headers=headers, **more)


class _Client(HttpGitClient):
    """dulwich's client with a token per request, a deadline, a byte limit and typed errors."""

    def __init__(self, remote: Remote, seconds: float, max_bytes: int | None = None) -> None:
        self.remote = remote
        self.seconds = seconds
        self.deadline = time.monotonic() + seconds
        self.max_bytes = max_bytes
        self.received = 0
        self.opening = b""  # how the last answer began: dulwich drops protocol v2's ERR packets
        # Retrying is ours (a lost answer to a push must be looked at first), redirects are
        # followed because GitHub answers so for renamed repositories.
        retries = Retry(
            total=3,
            connect=0,
            read=0,
            status=0,
            other=0,
            redirect=3,
            respect_retry_after_header=False,
        )
        timeout = Timeout(connect=min(10.0, seconds), read=min(STALL, seconds))
        pool = _pool(remote.url, timeout=timeout, retries=retries)
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
        token = self.remote.token()
        self._auth_header = make_headers(basic_auth=f"x-access-token:{token}")["authorization"]
        if isinstance(data, bytes):
            # In blocks, because a socket's timeout is for all that one call sends.
            data = _Upload(data, self._left)
        try:
            response, _ = super()._http_request(url, headers, data, raise_for_status=False)
        except GitProtocolError as error:  # its text is urllib3's, ours is for people
            raise self.unreachable(_why(error.__cause__)) from None
        finally:
            self._auth_header = None
        self.opening = b""
        try:
            self._check(url, response)
        except BaseException as error:
            response.close()
            if isinstance(error, GitUnauthorized):
                self.remote.refused(token)
            raise
        return response, lambda size: self._read(response, size)

    def _read(self, response: Any, size: int) -> bytes:
        """Exactly `size` bytes, or fewer at the end."""
        data = b""
        try:
            while len(data) < size:
                self._left()  # for each piece: a server may send one byte a second
                piece: bytes = response.read1(size - len(data))
                if not piece:
                    break
                data = data + piece if data else piece
        except urllib3.exceptions.HTTPError:
            raise self.unreachable("the connection broke in mid-transfer") from None
        self.received += len(data)
        if len(self.opening) < 500:
            self.opening += data[:500]
        if self.max_bytes is not None and self.received > self.max_bytes:
            raise RepositoryTooLarge(
                f"{self.remote.name} is too large to work on: its latest commit alone is more "
                f"than {self.max_bytes / 1e6:,.0f} MB to download."
            )
        return data

    def _left(self) -> None:
        if self.remote.stop.is_set():
            raise GitError(f"The transfer with {self.remote.name} was stopped.")
        if time.monotonic() > self.deadline:
            raise self.unreachable(f"it took longer than {self.seconds:.0f} seconds")

    def unreachable(self, why: str, retry_after: float | None = None) -> GitUnreachable:
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
                raise self.unreachable("something that is not git answered")
            return
        said = sentence(self._read(response, 2048))
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
            raise self.unreachable(f"it answered with HTTP status {status}", after)
        raise GitError(f"{name} gave an answer that I did not expect, HTTP status {status}.")


def _why(error: BaseException | None) -> str:
    reason = error.reason if isinstance(error, MaxRetryError) else error
    match reason:
        case SSLError():
            return "its TLS certificate was not accepted"
        case NameResolutionError():
            return "its name could not be resolved"
        case NewConnectionError():
            return "the connection was refused"
        case _:
            return "no answer came"


class _Upload(BytesIO):
    """A request's body that is read block by block, while there is time left."""

    def __init__(self, data: bytes, check: Callable[[], None]) -> None:
        super().__init__(data)
        self._check = check

    def read(self, size: int | None = -1, /) -> bytes:
        self._check()
        return super().read(size)


@contextmanager
def connect(remote: Remote, seconds: float, max_bytes: int | None = None) -> Iterator[_Client]:
    """A client for one attempt, and sense made of what dulwich raises."""
    client = _Client(remote, seconds, max_bytes)
    try:
        yield client
    except SendPackError:
        raise  # a refusal, told by `push`
    except _BROKEN as error:
        words = f"{error} {client.opening.decode('ascii', 'replace')}"
        if "not our ref" in words or "unadvertised object" in words:
            raise BranchMissing(
                f"The commit that I was working from is no longer in {remote.name}. "
                "Its branch was probably rewritten; start again from the new one."
            ) from None
        log.info("broken git answer from %s: %s", remote.name, type(error).__name__)
        raise client.unreachable("its answer was cut short or garbled") from error
    finally:
        client.close()


def patiently(seconds: float, attempt: Callable[[float], T]) -> T:
    """Calls `attempt(seconds left)` again after a passing fault, within `seconds` in all.

    A refused token gets one more chance, with another one: it may have been withdrawn, and GitHub's
    fresh tokens are not valid everywhere at once.
    """
    deadline = time.monotonic() + seconds
    refusals = 0

    def again(state: tenacity.RetryCallState) -> bool:
        nonlocal refusals
        error = state.outcome and state.outcome.exception()
        refusals += isinstance(error, GitUnauthorized)
        if time.monotonic() + _wait(state) >= deadline:
            return False
        if isinstance(error, GitUnauthorized):
            return refusals == 1
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
        with connect(remote, left, max_bytes) as client:
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
            if ObjectID(want[0]) not in store:
                raise client.unreachable("it sent another commit than was asked for")
            if name is None and sha is None:
                raise BranchMissing(f"{remote.name} has no default branch; name one to start from.")
            return Fetched(_short(name or b""), want[0].decode(), client.received)

    return patiently(seconds, attempt)


def _fetch_pack(
    client: _Client, store: DiskObjectStore, wants: Any, prefixes: Sequence[bytes]
) -> FetchPackResult:
    # The graph walker has nothing to offer: a shallow store's heads are no common history.
    walker = ObjectStoreGraphWalker([], lambda _: [])
    pack, commit, abort = store.add_pack()
    checked = _Checked(pack)
    try:
        result = client.fetch_pack(b"", wants, walker, checked.write, depth=1, ref_prefix=prefixes)
        checked.end()
    except BaseException:
        abort()
        raise
    problem = ""
    try:
        commit()
    except (*_BROKEN, BufferError) as error:  # a crafted pack: its sum was right
        problem = f"{type(error).__name__}: {error}"
    if problem:
        gc.collect()  # the error's frames held views of the mapped file, so it could not be closed
        with suppress(FileNotFoundError):
            abort()
        raise GitProtocolError(problem)
    return result


class _Checked:
    """Writes a pack and checks the SHA-1 at its end, before anything is made of its content."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._sum = hashlib.sha1(usedforsecurity=False)
        self._tail = b""  # the last 20 bytes, which may be the sum

    def write(self, data: bytes) -> int:
        held = self._tail + data
        self._sum.update(held[:-20])
        self._tail = held[-20:]
        return self._out.write(data)

    def end(self) -> None:
        if self._tail and self._tail != self._sum.digest():
            raise GitProtocolError("the pack's sum is wrong")


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
        with connect(remote, left, 50_000_000) as client:
            sha = client.get_refs(b"", ref_prefix=[ref]).refs.get(Ref(ref))
            return sha.decode() if sha else None

    return patiently(LOOK_SECONDS, attempt)


def branch_ref(branch: str) -> bytes:
    """ "main" → b"refs/heads/main". Raises BranchMissing for what can be no branch's name."""
    ref = b"refs/heads/" + branch.encode("utf-8", "surrogateescape")
    if not check_ref_format(Ref(ref)):
        raise BranchMissing(f"{branch[:100]!r} cannot be the name of a branch.")
    return ref


def _short(ref: bytes) -> str:
    return ref.removeprefix(b"refs/heads/").decode("utf-8", "surrogateescape")


def _seconds(value: str | None) -> float | None:
    """`Retry-After` in seconds; its date form is not used by GitHub and counts as absent."""
    return float(value) if value and value.isascii() and value.isdigit() else None


def sentence(data: bytes) -> str:
    """A server's words on one line: printable, at most 500 characters."""
    words = " ".join(data.decode("utf-8", "replace").split())
    return "".join(c for c in words if c.isprintable())[:500]
