"""Signing in with GitHub, mediated by us: the client secret stays here.

    GET  /auth/github?next=/app/…                      a browser: ends with a session cookie
    GET  /auth/github?challenge=…&redirect=vibecoder://…  a phone: ends with a code for its app
    GET  /auth/github/callback                         where GitHub sends people back to
    GET, POST, DELETE /api/session                     who am I; code → session; sign out

Between leaving for GitHub and coming back, everything is in one sealed cookie: its `state` must be
the one that GitHub hands back, so a visit that was begun in another browser ends here.
"""

import asyncio
import base64
import binascii
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from pathlib import Path
from string import Template
from typing import Annotated
from urllib.parse import urlencode

import structlog
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from jobs.queue.errors import QueueError
from jobs.seal import Seal, SealBroken
from webhook import shapes, wire
from webhook.caller import COOKIE, Callers
from webhook.oauth import OAuth
from webhook.openapi import Operation
from webhook.person import GitHub
from webhook.problems import Conflict, Malformed, NotSignedIn, Problem, Unavailable
from webhook.session import PREFIX, Sessions
from webhook.site import Site

CALLBACK = "/auth/github/callback"
HOME = "/app/"
VISIT_SECONDS = 600  # GitHub's code lives no longer
COOKIE_SECONDS = 400 * 86_400  # the longest that browsers take; a session ends by itself before
_VISIT_COOKIE = "vibecoder-signin"
_SEALED_FOR = b"a visit to GitHub"
_PAGE = Template((Path(__file__).parent / "signin.html").read_text(encoding="utf-8"))
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",  # addresses here hold codes
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
# Only these characters: whatever a browser may take for a host, a break or a step up is none.
_NEXT = re.compile(
    r"(?P<path>/app(?:/[A-Za-z0-9._~%!$&'()*+,;=:@-]+)*/?)"
    r"(?:\?[A-Za-z0-9._~%!$&'()*+,;=:@/?\[\]{}|^-]*)?"
)
_STEP_UP = re.compile(r"/(?:\.|%2e){1,2}(?:/|\Z)|%2f|%5c|%0|%1", re.IGNORECASE)
_APP = re.compile(r"vibecoder://[A-Za-z0-9._~-]*(?:/[A-Za-z0-9._~-]+)*/?")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_CODE = re.compile(r"[A-Za-z0-9._-]{1,200}")

log = structlog.get_logger()


class RedeemedCode(BaseModel):
    """A phone's one-time code, and what only that phone knows."""

    model_config = ConfigDict(extra="forbid", strict=True)

    code: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="From the address that the browser came back with; works once, for 60 seconds."
    )
    verifier: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._~-]{43,128}$")] = Field(
        description="The challenge was the base64url of its SHA-256 (RFC 7636, S256)."
    )


class SessionBegun(shapes.Told):
    """A phone's session."""

    token: str = Field(description="For `Authorization: Bearer`; ends after 30 days without use.")
    login: str


class SessionShown(shapes.Told):
    """Who is signed in."""

    login: str
    avatar_url: str | None


@dataclass(frozen=True, slots=True)
class _Visit:
    """A visit to GitHub under way, as the browser carries it."""

    state: str
    verifier: str
    at: float
    next: str = ""  # of a browser
    redirect: str = ""  # of a phone's app
    challenge: str = ""


_VISIT = TypeAdapter(_Visit)


def next_of(given: str) -> str:
    """A page of the app, as it was given. Raises Malformed: nobody is sent anywhere else."""
    if not given:
        return HOME
    found = _NEXT.fullmatch(given) if len(given) <= 1000 else None
    if found is None or _STEP_UP.search(found["path"]):
        raise Malformed("This link leads to no page of the app, so it was not followed.")
    return given


def redirect_of(given: str, allowed: tuple[str, ...]) -> str:
    """An address of the phone's app, as it was given. Raises Malformed.

    `allowed`: what the operator lets in besides vibecoder://.
    """
    if given in allowed or (len(given) <= 200 and _APP.fullmatch(given)):
        return given
    raise Malformed(
        "This link leads to no address of the app, so it was not followed. An operator can allow "
        "others with VIBECODER_REDIRECTS."
    )


class SignIn:
    """The way to GitHub and back, and the session that it ends with."""

    def __init__(
        self,
        github: GitHub,
        oauth: OAuth,
        sessions: Sessions,
        callers: Callers,
        site: Site,
        seal: Seal,
        redirects: tuple[str, ...],
    ) -> None:
        self._github = github
        self._oauth = oauth
        self._sessions = sessions
        self._callers = callers
        self._site = site
        self._seal = seal
        self._redirects = redirects
        self._revoking: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Revokes no further tokens: nobody has them, and they end by themselves within hours."""
        for task in self._revoking:
            task.cancel()
        await asyncio.gather(*self._revoking, return_exceptions=True)

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation(
                "GET",
                "/api/session",
                self.session,
                "Who is signed in.",
                tells=TypeAdapter(SessionShown),
            ),
            Operation(
                "POST",
                "/api/session",
                self.redeem,
                "A phone's code from signing in becomes a session. Needs no token.",
                asks=RedeemedCode,
                tells=TypeAdapter(SessionBegun),
                open=True,
            ),
            Operation(
                "DELETE",
                "/api/session",
                self.sign_out,
                "Signs out, here and at GitHub; done again it does no harm.",
                tells=None,
            ),
        )

    def pages(self) -> list[Route]:
        """The browser's way."""
        return [
            Route("/auth/github", self._shown(self.leave), methods=["GET"]),
            Route(CALLBACK, self._shown(self.come_back), methods=["GET"]),
        ]

    # The browser's way

    async def leave(self, request: Request) -> Response:
        """To GitHub, with a cookie that knows the way back."""
        asked = request.query_params
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        visit = _Visit(state, verifier, time.time(), next=HOME)
        if "redirect" in asked or "challenge" in asked:
            challenge = asked.get("challenge", "")
            if not _CHALLENGE.fullmatch(challenge):
                raise Malformed("The app sent no challenge in the form of RFC 7636 (S256).")
            redirect = redirect_of(asked.get("redirect", ""), self._redirects)
            visit = _Visit(state, verifier, time.time(), redirect=redirect, challenge=challenge)
        else:
            visit = _Visit(state, verifier, time.time(), next=next_of(asked.get("next", "")))
        page = self._oauth.page(
            back=self._site.origin(request) + CALLBACK,
            state=state,
            verifier=verifier,
            # Another app of the phone could begin this, so a person is asked in any case.
            choose=bool(visit.redirect),
        )
        sealed = self._seal.seal(_VISIT.dump_json(visit), _SEALED_FOR)
        cookie = base64.urlsafe_b64encode(sealed).decode()
        response = RedirectResponse(page, HTTPStatus.SEE_OTHER, _HEADERS)
        self._site.set_cookie(request, response, _VISIT_COOKIE, cookie, VISIT_SECONDS)
        return response

    async def come_back(self, request: Request) -> Response:
        """From GitHub, with a code that becomes a session."""
        visit = self._visit(request)
        code = request.query_params.get("code", "")
        if not _CODE.fullmatch(code):
            raise _said_no(request.query_params.get("error", ""))
        back = self._site.origin(request) + CALLBACK
        grant = await self._oauth.exchange(code, visit.verifier, back)
        person = (await self._github.signed_in(grant.token)).actor
        if visit.redirect:
            offer = await self._sessions.offer(visit.challenge, person.id, person.login, grant)
            target = f"{visit.redirect}?{urlencode({'code': offer})}"
            response = RedirectResponse(target, HTTPStatus.SEE_OTHER, _HEADERS)
        else:
            token = await self._sessions.begin(person.id, grant)
            response = RedirectResponse(visit.next, HTTPStatus.SEE_OTHER, _HEADERS)
            if before := self._site.cookie(request, COOKIE):
                await self._end(before)
            self._site.set_cookie(request, response, COOKIE, token, COOKIE_SECONDS)
        self._site.drop_cookie(request, response, _VISIT_COOKIE)
        log.info("signed in", login=person.login, phone=bool(visit.redirect))
        return response

    def _visit(self, request: Request) -> _Visit:
        """The visit that ends with this request. Raises Malformed where it was begun elsewhere."""
        elsewhere = Malformed(
            "Signing in was begun in another browser or under another address, took longer than "
            f"ten minutes, or was finished already. Begin again at {self._site.origin(request)}."
        )
        state = request.query_params.get("state", "")
        try:
            sealed = base64.urlsafe_b64decode(self._site.cookie(request, _VISIT_COOKIE) or "")
            visit = _VISIT.validate_json(self._seal.open(sealed, _SEALED_FOR))
        except (binascii.Error, ValueError, SealBroken, ValidationError):
            raise elsewhere from None
        if not hmac.compare_digest(visit.state.encode(), state.encode()):
            raise elsewhere
        if time.time() - visit.at > VISIT_SECONDS:
            raise elsewhere
        return visit

    def _shown(
        self, endpoint: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint, with what goes wrong told on a page: here a person looks, no program."""

        async def answer(request: Request) -> Response:
            try:
                return await endpoint(request)
            except Problem as problem:
                return self._page(request, problem)
            except QueueError as error:
                return self._page(request, Unavailable(f"{error} Please try again in a minute."))

        return answer

    def _page(self, request: Request, problem: Problem) -> Response:
        try:
            visit = self._visit(request)
        except Problem:
            visit = None
        if visit and visit.redirect:
            href, link = f"{visit.redirect}?error=not_signed_in", "Back to the app"
        elif visit:
            href, link = f"/auth/github?{urlencode({'next': visit.next})}", "Try again"
        else:
            href, link = HOME, "To the app"
        title = "You are not signed in"
        text = _PAGE.substitute(
            title=title, words=escape(str(problem)), href=escape(href), link=link
        )
        response = HTMLResponse(text, problem.status, _HEADERS)
        if visit:
            self._site.drop_cookie(request, response, _VISIT_COOKIE)
        return response

    # The API's way

    async def session(self, request: Request) -> Response:
        caller = await self._callers.of(request)
        return wire.told(SessionShown(login=caller.actor.login, avatar_url=caller.avatar_url))

    async def redeem(self, request: Request) -> Response:
        asked = await wire.body(request, RedeemedCode)
        token, login = await self._sessions.redeem(asked.code, asked.verifier)
        return wire.told(SessionBegun(token=token, login=login))

    async def sign_out(self, request: Request) -> Response:
        try:
            token = self._callers.presented(request)
        except NotSignedIn:
            token = ""  # signed out already
        if token and not token.startswith(PREFIX):
            raise Conflict(
                "That is a GitHub token and no session, so there is nothing to sign out of. "
                "Revoke it at GitHub, under Settings → Applications."
            )
        response = Response(status_code=HTTPStatus.NO_CONTENT)
        response.headers["Cache-Control"] = "no-store"
        self._site.drop_cookie(request, response, COOKIE)
        if token:
            await self._end(token)
        return response

    async def _end(self, token: str) -> None:
        session = await self._sessions.end(token)
        if session is None:
            return
        log.info("signed out", person=session.person)
        # Nobody waits for GitHub, not even the next request on this connection.
        task = asyncio.create_task(self._revoke(session.grant.token))
        self._revoking.add(task)
        task.add_done_callback(self._revoking.discard)

    async def _revoke(self, token: str) -> None:
        try:
            await self._oauth.revoke(token)
        except Problem as problem:
            # Nobody has it any more, and it ends by itself within hours.
            log.info("token not revoked", reason=str(problem))


def _said_no(error: str) -> Problem:
    """GitHub sent the person back without a code."""
    if error == "access_denied":
        return Malformed("You did not allow this at GitHub, so nobody was signed in.")
    if error == "redirect_uri_mismatch":
        return Malformed(
            "GitHub does not know this service's address. Whoever runs it must enter it as "
            "callback URL on the App's page, and set PUBLIC_URL."
        )
    return Malformed("GitHub sent no code along, so nobody was signed in. Please try again.")
