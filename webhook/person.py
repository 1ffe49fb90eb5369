"""Who calls, and what they may touch: asked of GitHub with the person's own token.

- https://docs.github.com/rest/apps/oauth-applications#check-a-token tells whether a token is valid
  *and* was issued to this App; a token of another App, or a personal one, is a stranger here.
- https://docs.github.com/rest/apps/installations#list-app-installations-accessible-to-the-user-access-token
  and the repositories below it tell where the App is installed within the person's reach.

Answers are remembered for at most 30 seconds under a hash of the token: long enough for a phone
that asks every second, short enough that taking somebody's access away takes effect.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast
from urllib.parse import quote

import httpx

from jobs.commands import Actor, Repository
from webhook.plain import plain
from webhook.problems import (
    GitHubFailed,
    NotAllowed,
    NotFound,
    TokenRefused,
    Unavailable,
    Unprocessable,
)

REMEMBERED = 30.0  # seconds
MADE_UP, MADE_UP_SECONDS = 100, 600.0  # tokens that GitHub did not know, in so many seconds
_MOST = 10_000  # answers kept at once
_PAGES = 50  # of 100 repositories each, before we give up looking
_SOME_PAGES = 10  # of 100 issues or branches each, of which a person looks for one
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reach:
    """A repository with the App installed, and whether this person may push to it."""

    repository: Repository
    push: bool
    default_branch: str


@dataclass(frozen=True, slots=True)
class Profile:
    """A person at GitHub."""

    actor: Actor
    avatar_url: str | None


class GitHub:
    """Read-only GitHub, seen through the eyes of whoever's token is given."""

    def __init__(self, api_url: str, client_id: str, client_secret: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=api_url,
            timeout=10,
            follow_redirects=True,  # renamed repositories answer 301
            headers={
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
                "User-Agent": "cloud-vibecoder",
            },
        )
        self._client_id = client_id
        self._client = httpx.BasicAuth(client_id, client_secret)
        self._made_up = deque[float](maxlen=MADE_UP)
        self._known: OrderedDict[tuple[str, ...], tuple[float, object]] = OrderedDict()
        self._asking: dict[tuple[str, ...], asyncio.Task[Any]] = {}

    async def close(self) -> None:
        await self._http.aclose()

    async def person(self, token: str) -> Profile:
        """Whose token this is. Raises TokenRefused, or Unavailable where GitHub does not answer."""

        async def ask() -> Profile | None:
            self._require_few_made_up()
            response = await self._send(
                "POST",
                f"/applications/{self._client_id}/token",
                auth=self._client,
                json={"access_token": token},
                follow_redirects=False,  # the token goes nowhere else
            )
            if response.status_code == 401:
                raise GitHubFailed(
                    "GitHub refuses this service's own client id and secret. "
                    "Please tell whoever runs it."
                )
            if response.status_code in (404, 422):
                self._made_up.append(time.monotonic())
                return None
            return _profile(_good(response).get("user"))

        person = await self._remember((token, "person"), ask)
        if person is None:
            raise TokenRefused(
                "GitHub does not know this token as one of this App's, or it has expired. "
                "Please sign in again."
            )
        return person

    async def signed_in(self, token: str) -> Profile:
        """The same for a token that GitHub gave to this service itself.

        It is asked with that token, and so within the person's own rate limit, not the App's: as
        many as are signed in, as often. https://docs.github.com/rest/users/users
        """

        async def ask() -> Profile:
            return _profile(_good(await self._read(token, "/user")))

        return await self._remember((token, "signed in"), ask)

    def _require_few_made_up(self) -> None:
        """Each asks GitHub once, which answers this App only so often in an hour."""
        if len(self._made_up) == MADE_UP and time.monotonic() - self._made_up[0] < MADE_UP_SECONDS:
            raise Unavailable(
                "Too many tokens were tried here that GitHub does not know. Please sign in with "
                "the app, or try again in some minutes.",
                retry_after=60,
            )

    async def reach(self, token: str, name: str) -> Reach:
        """The repository `owner/name` as this person may use it. Raises NotFound otherwise."""
        reach = await self._remember(
            (token, "reach", name.casefold()), lambda: self._find(token, name)
        )
        if reach is None:
            raise NotFound(
                f"There is no repository {name} that you can see and where this App is installed."
            )
        return reach

    async def repositories(self, token: str) -> list[dict[str, Any]]:
        """All repositories that both this person and the App may use, in GitHub's own shape.

        Source: https://docs.github.com/rest/apps/installations#list-repositories-accessible-to-the-user-access-token
        """

        async def ask() -> list[dict[str, Any]]:
            found = dict[int, dict[str, Any]]()
            async for installation in self._installations(token):
                path = f"/user/installations/{int(installation['id'])}/repositories"
                async for entry in self._pages(token, path, "repositories"):
                    found[int(entry["id"])] = entry
            return list(found.values())

        return list(await self._remember((token, "repositories"), ask))

    async def issues(self, token: str, name: str) -> AsyncIterator[dict[str, Any]]:
        """Open issues and pull requests, newest updated first, up to 1,000, in GitHub's own shape.

        Source: https://docs.github.com/rest/issues/issues#list-repository-issues
        """
        order = {"state": "open", "sort": "updated", "direction": "desc"}
        path = f"/repos/{name}/issues"
        async for entry in self._pages(token, path, None, order, most=_SOME_PAGES):
            yield entry

    async def branches(self, token: str, name: str) -> list[str]:
        """Names of up to 1,000 branches.

        Source: https://docs.github.com/rest/branches/branches#list-branches
        """
        pages = self._pages(token, f"/repos/{name}/branches", None, most=_SOME_PAGES)
        return [str(entry["name"]) async for entry in pages]

    async def compare(self, token: str, name: str, base: str, head: str) -> dict[str, Any]:
        """What differs between two commits, in GitHub's own shape. Raises NotFound.

        Source: https://docs.github.com/rest/commits/commits#compare-two-commits
        """
        # All files come with the first page of commits, of which one is enough.
        response = await self._read(
            token, f"/repos/{name}/compare/{base}...{head}", params={"per_page": "1"}
        )
        if response.status_code == 404:
            raise NotFound(f"GitHub no longer has these commits in {name}.")
        return _good(response)

    async def issue_title(self, token: str, name: str, number: int) -> str:
        """The issue's title. Raises Unprocessable where it is no issue."""
        response = await self._read(token, f"/repos/{name}/issues/{number}")
        if response.status_code in (404, 410):
            raise Unprocessable(f"{name} has no issue #{number}.")
        issue = _good(response)
        if "pull_request" in issue:
            raise Unprocessable(f"#{number} is a pull request; please name an issue.")
        return plain(str(issue["title"]))

    async def require_branch(self, token: str, name: str, branch: str) -> None:
        """Raises Unprocessable where the repository has no such branch."""
        path = f"/repos/{name}/branches/{quote(branch, safe='')}"
        response = await self._read(token, path)
        if response.status_code == 404:
            raise Unprocessable(f"{name} has no branch {branch!r}.")
        _good(response)

    async def commits(self, token: str, name: str, branch: str) -> list[dict[str, Any]]:
        """The newest 50 commits of a branch, newest first, in GitHub's own shape.

        Source: https://docs.github.com/rest/commits/commits#list-commits
        """
        response = await self._read(
            token, f"/repos/{name}/commits", params={"sha": branch, "per_page": "50"}
        )
        if response.status_code in (404, 422):
            raise NotFound(f"{name} has no branch {branch!r}.")
        if response.status_code == 409:  # "Git Repository is empty."
            return []
        return cast(list[dict[str, Any]], _checked(response, list))

    async def _find(self, token: str, name: str) -> Reach | None:
        response = await self._read(token, f"/repos/{name}")
        if response.status_code in (403, 404, 451) and not _limited(response):
            return None
        found = _good(response)
        owner = str(found["full_name"]).partition("/")[0].casefold()
        async for installation in self._installations(token):
            account = fields(installation.get("account"))
            if str(account.get("login", "")).casefold() != owner:
                continue
            ident = int(installation["id"])
            if installation.get("repository_selection") != "all" and not await self._selected(
                token, ident, int(found["id"])
            ):
                return None
            permissions = found.get("permissions")
            return Reach(
                Repository(
                    ident, int(found["id"]), str(found["full_name"]), found["private"] is not False
                ),
                push=isinstance(permissions, dict) and permissions.get("push") is True,
                default_branch=str(found.get("default_branch") or "main"),
            )
        return None

    async def _installations(self, token: str) -> AsyncIterator[dict[str, Any]]:
        async for found in self._pages(token, "/user/installations", "installations"):
            if not found.get("suspended_at"):
                yield found

    async def _selected(self, token: str, installation: int, repository: int) -> bool:
        path = f"/user/installations/{installation}/repositories"
        async for entry in self._pages(token, path, "repositories"):
            if entry.get("id") == repository:
                return True
        return False

    async def _pages(
        self,
        token: str,
        path: str,
        field: str | None,  # None: the answer is the list itself
        params: dict[str, str] | None = None,
        *,
        most: int = _PAGES,
    ) -> AsyncIterator[dict[str, Any]]:
        for page in range(1, most + 1):
            asked = {"per_page": "100", "page": str(page)} | (params or {})
            response = await self._read(token, path, params=asked)
            if response.status_code in (404, 410):  # 410: issues are switched off
                return
            entries = _checked(response, list) if field is None else _good(response).get(field)
            if not isinstance(entries, list):
                raise GitHubFailed("GitHub answered a list in a form that I don't know.")
            for entry in entries:
                yield fields(entry)
            if "next" not in response.links:
                return

    async def _read(
        self, token: str, path: str, params: dict[str, str] | None = None
    ) -> httpx.Response:
        return await self._send(
            "GET", path, headers={"Authorization": f"Bearer {token}"}, params=params
        )

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            response = await self._http.request(method, path, **more)
        except httpx.TransportError as error:
            raise Unavailable(
                "GitHub can't be reached right now. Please try again in a minute.", retry_after=60
            ) from error
        if response.status_code >= 500:
            raise Unavailable(
                "GitHub has trouble right now. Please try again in a minute.", retry_after=60
            )
        if _limited(response):
            raise Unavailable(
                "GitHub's rate limit for your account is used up. Please try again later.",
                retry_after=_wait(response),
            )
        return response

    async def _remember(self, key: tuple[str, ...], ask: Callable[[], Awaitable[T]]) -> T:
        hashed = (hashlib.sha256(key[0].encode()).hexdigest(), *key[1:])
        known = self._known.get(hashed)
        if known is not None and known[0] > time.monotonic():
            return cast(T, known[1])

        async def ask_once() -> T:
            answer = await ask()
            self._known[hashed] = (time.monotonic() + REMEMBERED, answer)
            self._known.move_to_end(hashed)
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
            return answer

        # Whoever wants to know the same meanwhile waits for the same answer.
        asking = self._asking.get(hashed)
        if asking is None:
            asking = self._asking[hashed] = asyncio.create_task(ask_once())
            asking.add_done_callback(partial(self._asked, hashed))
        return cast(T, await asyncio.shield(asking))

    def _asked(self, what: tuple[str, ...], asking: asyncio.Task[Any]) -> None:
        del self._asking[what]
        if not asking.cancelled():
            asking.exception()  # is for whoever waits, if somebody still does


def _profile(user: object) -> Profile:
    found = fields(user)
    avatar = found.get("avatar_url")
    return Profile(
        Actor(int(found["id"]), str(found["login"])),
        avatar if isinstance(avatar, str) and avatar else None,
    )


def _limited(response: httpx.Response) -> bool:
    """Primary or secondary rate limit, which GitHub tells by 403 and 429 alike."""
    return response.status_code == 429 or (
        response.status_code == 403
        and (
            response.headers.get("x-ratelimit-remaining") == "0"
            or "retry-after" in response.headers
        )
    )


def _wait(response: httpx.Response) -> int:
    """Seconds until asking again makes sense, between a second and an hour."""
    for text, now in (
        (response.headers.get("retry-after", ""), 0.0),
        (response.headers.get("x-ratelimit-reset", ""), time.time()),
    ):
        if text.isdecimal() and len(text) <= 12:
            return max(1, min(3600, int(int(text) - now)))
    return 60


def _good(response: httpx.Response) -> dict[str, Any]:
    return fields(_checked(response, dict))


def _checked(response: httpx.Response, kind: type) -> Any:
    if response.status_code == 401:
        raise TokenRefused("GitHub no longer accepts this token. Please sign in again.")
    if response.status_code == 403:
        raise NotAllowed("GitHub does not let you see this with this App.")
    if response.is_success:
        try:
            body = response.json()
        except ValueError:
            body = None
        if isinstance(body, kind):
            return body
    raise GitHubFailed(
        f"GitHub answered {response.status_code} in a form that I don't know. "
        "Please try again; if it stays, tell whoever runs this service."
    )


def fields(value: object) -> dict[str, Any]:
    """The value as GitHub's object. Raises GitHubFailed where it is none."""
    if not isinstance(value, dict):
        raise GitHubFailed("GitHub answered in a form that I don't know. Please try again.")
    return value
