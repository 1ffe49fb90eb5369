"""Who calls: by a session's token, by a GitHub user token issued to this App, or by a cookie."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from jobs.commands import Actor
from jobs.queue.errors import QueueError
from webhook import problems
from webhook.person import GitHub
from webhook.problems import NotSignedIn, Problem, TokenRefused
from webhook.session import PREFIX, Session, Sessions
from webhook.site import Site

COOKIE = "vibecoder"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent the request, and the token that shows it."""

    actor: Actor
    token: str = field(repr=False)  # GitHub's, of that person for this App
    avatar_url: str | None = None
    session: str = ""  # the hash that the session is kept under; empty: GitHub's own token


class Callers:
    """Looks at each request anew, as often as it is asked: whoever was signed out is out."""

    def __init__(self, github: GitHub, sessions: Sessions, site: Site) -> None:
        self._github = github
        self._sessions = sessions
        self._site = site

    async def of(self, request: Request) -> Caller:
        """Raises NotSignedIn; NotAllowed for another site's page; Unavailable for GitHub."""
        token = self.presented(request)
        if not token.startswith(PREFIX):
            person = await self._github.person(token)
            return Caller(person.actor, token, person.avatar_url)
        session = await self._sessions.of(token)
        # So that a 401 in answering this request is known for what it is (`refused`).
        request.state.session = session
        try:
            person = await self._github.signed_in(session.grant.token)
        except TokenRefused:
            raise await self._sessions.refused(session) from None
        return Caller(person.actor, session.grant.token, person.avatar_url, session.hash)

    async def until_signed_out(self, caller: Caller) -> None:
        """Returns soon after the caller's session ended; never for a token of GitHub's."""
        if caller.session:
            await self._sessions.until_ended(caller.session)
        else:
            await asyncio.Event().wait()

    def presented(self, request: Request) -> str:
        """The token that came along, good or not. Raises NotSignedIn, NotAllowed."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":  # else it is for a proxy before us
            token = self._site.cookie(request, COOKIE) or ""
            if not token.startswith(PREFIX):
                raise NotSignedIn(
                    "Please sign in: open the app, or send a session's token or a GitHub user "
                    "token as `Authorization: Bearer`."
                )
            self._site.require_own_page(request)
            return token
        token = token.strip()
        if (
            not 0 < len(token) <= 1000
            or not token.isascii()
            or not token.isprintable()
            or " " in token
        ):
            raise NotSignedIn("That is no token of ours or of GitHub's. Please sign in again.")
        return token

    async def refused(self, request: Request, error: Exception) -> Response:
        """Starlette's handler for TokenRefused: the session that the token belongs to ends."""
        session = getattr(request.state, "session", None)
        told: Problem | None = None
        if isinstance(session, Session):
            with suppress(QueueError):  # then the next request finds out
                told = await self._sessions.refused(session)
        return await problems.answer(request, told or error)
