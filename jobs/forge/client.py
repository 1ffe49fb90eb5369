"""Sending to GitHub: who signs, what is sent again, and how fast. The only importer of githubkit.

githubkit signs as the App and sends. How often something is asked again is decided here: its own
retries send a write twice when only the answer was lost, wait up to an hour inside a call, and miss
what goes wrong while a token is made. Answers are read field by field (answers.py), because its
complete models refuse real ones.
Source: https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

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
from jobs.forge.errors import AppRefused, GitHubError, GitHubUnreachable, RateLimited
from jobs.forge.tokens import AppSettings, Tokens

TIMEOUT = httpx.Timeout(10.0, connect=5.0)  # seconds; githubkit's own default is none
PATIENCE = 60.0  # seconds that one call may wait in all, for a limit to pass or an outage to end
ATTEMPTS = 4

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


class Writer:
    """The writes of one installation: one at a time, as GitHub advises, and 80 a minute at most.

    The first 20 go out at once and then one a second, so that a short job is not slowed down. Where
    GitHub sets one of them a limit, the others do not run against it as well.
    """

    BURST = 20.0
    A_SECOND = 1.0

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._left = self.BURST
        self._at = time.monotonic()
        self._limit: RateLimited | None = None

    def hold(self, limit: RateLimited) -> None:
        self._limit = limit

    def check(self) -> None:
        """Raises RateLimited while a limit lasts."""
        if self._limit is not None and self._limit.until > time.time():
            raise RateLimited(str(self._limit), self._limit.until)

    async def __aenter__(self) -> None:
        await self._turn.acquire()
        try:
            now = time.monotonic()
            self._left = min(self.BURST, self._left + (now - self._at) * self.A_SECOND)
            self._at = now
            self._left -= 1
            if self._left < 0:
                await asyncio.sleep(-self._left / self.A_SECOND)
        except BaseException:
            self._turn.release()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._turn.release()


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
    return response.raw_response


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
