"""Sending to GitHub: who signs, what is sent again, and how fast. The only importer of githubkit.

githubkit signs as the App and sends. How often something is asked again is decided here: its own
retries send a write twice when only the answer was lost, wait up to an hour inside a call, and miss
what goes wrong while a token is made. Answers are read field by field (answers.py), because its
complete models refuse real ones.
Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import githubkit
import httpx
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from githubkit.auth import AppAuthStrategy, BaseAuthStrategy
from githubkit.cache import MemCacheStrategy
from githubkit.config import get_config
from githubkit.exception import RequestError, RequestFailed
from pydantic import BaseModel, ValidationError
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from jobs.forge import answers
from jobs.forge.errors import AppRefused, GitHubError, GitHubUnreachable, Missing, RateLimited
from jobs.forge.tokens import AppSettings, Tokens

TIMEOUT = httpx.Timeout(10.0, connect=5.0)  # seconds; githubkit's own default is none
PATIENCE = 60.0  # seconds that one call may wait in all, for a limit to pass or an outage to end
ATTEMPTS = 4
RESERVE = 100  # writes of an installation's hour that are not for mere progress

Client = githubkit.GitHub[Any]
T = TypeVar("T", bound=BaseModel)
R = TypeVar("R")


class Connections:
    """The connections to one GitHub, and clients that share them, by who signs the requests."""

    def __init__(self, settings: AppSettings) -> None:
        self._settings = settings
        self._pool = httpx.AsyncClient(timeout=TIMEOUT)
        self._config = get_config(
            base_url=settings.api_url,
            user_agent="cloud-vibecoder",
            timeout=TIMEOUT,
            async_transport=_Pooled(self._pool),
            cache_strategy=MemCacheStrategy(),  # its default is shared by all Apps of a process
            http_cache=False,
            auto_retry=False,
        )

    def app(self) -> Client:
        """Signs as the App itself, which only GitHub's /app routes take."""
        auth = AppAuthStrategy(self._settings.issuer, self._settings.private_key)
        return githubkit.GitHub(auth, config=self._config)

    def anybody(self) -> Client:
        return githubkit.GitHub(config=self._config)

    def installation(self, tokens: Tokens, installation_id: int, repository_id: int) -> Client:
        auth = _InstallationStrategy(tokens, installation_id, repository_id)
        return githubkit.GitHub(auth, config=self._config)

    async def close(self) -> None:
        await self._pool.aclose()


def check_private_key(pem: str) -> None:
    """Raises AppRefused where it cannot sign, before anybody waits for a job."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise AppRefused(
            "The App's private key cannot be read. GITHUB_PRIVATE_KEY takes the whole PEM file "
            "that GitHub let you download, from -----BEGIN to -----END."
        ) from None
    if not isinstance(key, RSAPrivateKey) or key.key_size < 2048:
        raise AppRefused("The App's private key is no RSA key of at least 2048 bits.")


class Pace(Protocol):
    """Gives turns to the writes of all workers; where none is given, nobody is made to wait."""

    async def turn(self, installation_id: int, patience: float) -> float: ...
    async def left(self, installation_id: int) -> int: ...
    async def hold(self, installation_id: int, until: float) -> None: ...


class Writer:
    """The writes of one installation: in turn, and of one worker one at a time, as GitHub advises.

    Where GitHub sets one of them a limit, the others do not run against it as well.
    """

    def __init__(self, installation_id: int, pace: Pace | None) -> None:
        self._installation_id = installation_id
        self._pace = pace
        self._one = asyncio.Lock()
        self._limit: RateLimited | None = None

    async def scarce(self) -> bool:
        """Whether so few writes are left that they are for what must be said."""
        return self._pace is not None and await self._pace.left(self._installation_id) < RESERVE

    async def hold(self, limit: RateLimited) -> None:
        self._limit = limit
        if self._pace is not None:
            await self._pace.hold(self._installation_id, limit.until)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Raises RateLimited while a limit lasts, and where the turn is too far away."""
        self._check()
        if self._pace is not None:
            wait = await self._pace.turn(self._installation_id, PATIENCE)
            if wait > PATIENCE:
                until = time.time() + wait
                at = time.strftime("%H:%M UTC", time.gmtime(until))
                raise RateLimited(
                    "GitHub takes only so many writes an hour for one account, and these are used "
                    f"up. It goes on at {at}.",
                    until,
                )
            await asyncio.sleep(wait)
        async with self._one:
            self._check()
            yield

    def _check(self) -> None:
        if self._limit is not None and self._limit.until > time.time():
            raise RateLimited(str(self._limit), self._limit.until)


async def send(client: Client, method: str, path: str, *, what: str, **more: Any) -> httpx.Response:
    """One request, once. Raises GitHubError; `what` completes "we could not …"."""
    try:
        response = await client.arequest(
            method, path, headers={"X-GitHub-Api-Version": "2022-11-28"}, **more
        )
    except RequestFailed as failed:
        raise answers.meaning(failed.response.raw_response, what) from None
    except RequestError as error:
        cause = error.exc
        if isinstance(cause, GitHubError):
            raise cause from None  # from making the token that the request needs
        if isinstance(cause, httpx.HTTPError):
            raise GitHubUnreachable(
                f"GitHub did not answer ({type(cause).__name__}), so we could not {what}. "
                "Try again in a few minutes."
            ) from None
        raise cause from None
    answer = response.raw_response
    if answer.request.method != method:
        # A redirect that made a write a read (301), such as from an issue that was transferred.
        raise Missing(f"It was moved away on GitHub, so we could not {what}.")
    return answer


async def patiently(attempt: Callable[[], Awaitable[R]]) -> R:
    """`attempt` again after an outage or a limit that soon passes; else its last error."""

    async def once() -> R:
        return await attempt()  # tenacity awaits coroutine functions only

    waits = AsyncRetrying(
        retry=retry_if_exception_type(GitHubUnreachable),
        wait=_wait,
        stop=stop_after_attempt(ATTEMPTS) | stop_before_delay(PATIENCE),
        reraise=True,
    )
    return await waits(once)


_backoff = wait_random_exponential(multiplier=0.5, max=8)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, RateLimited):
        return max(0.0, error.until - time.time()) + 0.5
    return _backoff(state)


def read(model: type[T], response: httpx.Response) -> T:
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        raise _odd(error) from None


def read_list(model: type[T], response: httpx.Response) -> list[T]:
    try:
        return [model.model_validate(item) for item in response.json()]
    except (ValueError, TypeError) as error:
        raise _odd(error) from None


def _odd(error: Exception) -> GitHubError:
    fields = (
        ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
        if isinstance(error, ValidationError)
        else "not a list of objects"
    )
    return GitHubError(f"GitHub answered in a form that we do not know ({fields[:200]}).")


class _Pooled(httpx.AsyncBaseTransport):
    """Lets githubkit's short-lived clients share the connections (and proxies) of one that lives.

    githubkit keeps its own long-lived client in a context variable, where tasks that were started
    elsewhere do not find it.
    """

    def __init__(self, pool: httpx.AsyncClient) -> None:
        self._pool = pool

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._pool.send(request, auth=None, stream=True)

    async def aclose(self) -> None:
        """The connections outlive the client."""


@dataclass(frozen=True)
class _InstallationStrategy(BaseAuthStrategy):
    tokens: Tokens
    installation_id: int
    repository_id: int

    def get_auth_flow(self, github: Any) -> httpx.Auth:
        return _InstallationAuth(self.tokens, self.installation_id, self.repository_id)


class _InstallationAuth(httpx.Auth):
    """Puts the token on a request; one that GitHub no longer takes is replaced once."""

    def __init__(self, tokens: Tokens, installation_id: int, repository_id: int) -> None:
        self._tokens = tokens
        self._key = (installation_id, repository_id)

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        token = await self._tokens.token(*self._key)
        request.headers["Authorization"] = f"token {token}"
        response = yield request
        if response.status_code == 401:
            await response.aread()
            self._tokens.drop(*self._key, token)
            token = await self._tokens.token(*self._key)
            request.headers["Authorization"] = f"token {token}"
            yield request
