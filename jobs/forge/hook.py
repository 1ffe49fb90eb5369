"""The App's own log of webhook deliveries, and asking for one again.

https://docs.github.com/rest/apps/webhooks
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from jobs.forge.client import Client, patiently, read, read_list, send

LOG = "/app/hook/deliveries"
PAGES = 20  # of 100: a busy App's few minutes, or a quiet one's three days


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of GitHub to deliver."""

    id: int
    guid: str  # the same for every attempt at one delivery
    at: float  # seconds since the epoch
    event: str
    action: str  # such as "created"; our own edits of comments are logged as well
    got_through: bool


class _Item(BaseModel):
    id: int
    guid: str
    delivered_at: datetime
    event: str
    action: str | None = None
    status_code: int = 0


class _Request(BaseModel):
    payload: dict[str, Any]


class _Delivered(BaseModel):
    request: _Request


class Hook:
    """Asked with the App's own signature. Methods raise GitHubError's kinds."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def attempts(self, since: float, pages: int = PAGES) -> list[Attempt]:
        """The attempts after `since` (seconds since the epoch), newest first, in so many pages."""
        path, found = f"{LOG}?per_page=100", list[Attempt]()
        for _ in range(pages):
            response = await patiently(
                lambda path=path: send(  # type: ignore[misc]  # bound now
                    self._client, "GET", path, what="read the log of deliveries"
                )
            )
            page = [
                Attempt(
                    it.id,
                    it.guid,
                    it.delivered_at.timestamp(),
                    it.event,
                    it.action or "",
                    _ok(it.status_code),
                )
                for it in read_list(_Item, response)
            ]
            found += [attempt for attempt in page if attempt.at >= since]
            following = response.links.get("next", {}).get("url")
            if following is None or not page or page[-1].at < since:
                break
            # Its base may be another name of the server than the one that we were given.
            path = f"{LOG}?{urlsplit(following).query}"
        return found

    async def payload(self, id: int) -> dict[str, Any]:
        """What GitHub sent with that attempt."""
        response = await patiently(
            lambda: send(self._client, "GET", f"{LOG}/{id}", what="read a delivery")
        )
        return read(_Delivered, response).request.payload

    async def ask_again(self, id: int) -> None:
        """GitHub delivers it once more, soon, under the same GUID."""
        path = f"{LOG}/{id}/attempts"
        await send(self._client, "POST", path, what="ask for a delivery again")


def _ok(status: int) -> bool:
    return 200 <= status < 300
