"""Installation tokens: each for one repository, shared by all who need it, kept in memory only.

Source: https://docs.github.com/rest/apps/apps#create-an-installation-access-token-for-an-app
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from jobs.forge.errors import GitHubUnreachable

EARLY = 300.0  # seconds before its end from which a token is not handed out any more
PATIENCE = 90.0  # seconds that a git thread waits for a new one


@dataclass(frozen=True, slots=True)
class AppSettings:
    """The GitHub App and where its GitHub is."""

    app_id: str
    private_key: str = field(repr=False)  # PEM
    api_url: str = "https://api.github.com"  # GitHub Enterprise Server: https://HOST/api/v3
    url: str = "https://github.com"
    client_id: str = ""

    @property
    def issuer(self) -> str:
        """Who signs: GitHub recommends the client id, and takes the App's id too."""
        return self.client_id or self.app_id

    @property
    def noreply(self) -> str:
        """The domain of addresses that belong to accounts here but receive nothing."""
        return f"users.noreply.{urlsplit(self.url).hostname or 'github.com'}"


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its end, in seconds since the epoch."""

    value: str = field(repr=False)
    expires_at: float


Mint = Callable[[int, int], Awaitable[Token]]


class Tokens:
    """The tokens in use, by installation and repository.

    Twenty who ask at once get one and the same, made by one request. Nobody gets one that ends
    within five minutes, so that a push does not outlive its token.
    """

    def __init__(self, mint: Mint) -> None:
        self._mint = mint
        self._tokens: dict[tuple[int, int], Token] = {}
        self._minting: dict[tuple[int, int], asyncio.Task[str]] = {}

    async def token(self, installation_id: int, repository_id: int) -> str:
        """A token that is good for the next minutes. Raises what `mint` raises."""
        key = (installation_id, repository_id)
        known = self._good(key)
        if known is not None:
            return known
        task = self._minting.get(key)
        if task is None:
            task = asyncio.create_task(self._renew(key))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._minting[key] = task
        return await asyncio.shield(task)  # whoever gives up waiting does not stop the others

    def drop(self, installation_id: int, repository_id: int, value: str) -> None:
        """Forgets a token that GitHub no longer takes, unless it was replaced already."""
        key = (installation_id, repository_id)
        known = self._tokens.get(key)
        if known is not None and known.value == value:
            del self._tokens[key]

    def forget(self, installation_id: int) -> None:
        """Drops all tokens of an installation."""
        self._tokens = {k: t for k, t in self._tokens.items() if k[0] != installation_id}

    def current(self, installation_id: int, repository_id: int) -> Callable[[], str]:
        """For threads, such as git's: each call gives a good token, waiting for a new one at need.

        To be made in the event loop and called outside of it; in the loop a wait would be for ever.
        """
        loop = asyncio.get_running_loop()
        key = (installation_id, repository_id)

        def read() -> str:
            known = self._good(key)
            if known is not None:
                return known
            waiting = asyncio.run_coroutine_threadsafe(self.token(*key), loop)
            try:
                return waiting.result(PATIENCE)
            except TimeoutError:
                waiting.cancel()
                raise GitHubUnreachable(
                    "GitHub gave us no token in time. Try again in a few minutes."
                ) from None

        return read

    def _good(self, key: tuple[int, int]) -> str | None:
        known = self._tokens.get(key)
        return known.value if known and known.expires_at - time.time() > EARLY else None

    async def _renew(self, key: tuple[int, int]) -> str:
        try:
            token = await self._mint(*key)
        finally:
            del self._minting[key]
        now = time.time()
        self._tokens = {k: t for k, t in self._tokens.items() if t.expires_at > now}
        self._tokens[key] = token
        return token.value
