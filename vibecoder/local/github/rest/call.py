"""One REST request: its route, its credential, its repository, its body; and the answer.

Every route is declared with what it needs, so that the table of permissions can be read beside
the handlers.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from vibecoder.local.github import auth, markdown
from vibecoder.local.github.problems import (
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    Problem,
    Unauthorized,
)
from vibecoder.local.github.records import Account, Actor, App, Repository, Role
from vibecoder.local.github.shapes.site import Json, Site

if TYPE_CHECKING:
    from vibecoder.local.github.world import World

Item = TypeVar("Item")
DOCS = "https://docs.github.com/rest"
Who = Literal["anyone", "app", "installation", "user", "client"]


@dataclass(slots=True)
class Answer:
    """What a handler returns when it is not simply a JSON body with status 200."""

    body: Any = None  # JSON, or text or bytes with their own `media`
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    media: str = "application/json; charset=utf-8"


@dataclass(slots=True)
class Call:
    world: World
    site: Site
    request: Request
    who: auth.Credential
    params: dict[str, str]
    body: Json
    _repo: Repository | None = None

    @property
    def repo(self) -> Repository:
        if self._repo is None:
            raise NotFound
        return self._repo

    @property
    def actor(self) -> Actor:
        return self.who.actor()

    @property
    def app(self) -> App:
        """Raises Unauthorized unless an App acts with its JWT."""
        if self.who.kind != "app" or self.who.app is None:
            raise Unauthorized("A JSON web token could not be decoded")
        return self.who.app

    @property
    def person(self) -> Account:
        """Raises Forbidden unless a person's token was sent."""
        account = self.who.account
        if self.who.kind != "user" or account is None:
            raise Forbidden if self.who.kind != "none" else Unauthorized("Requires authentication")
        return account

    def number(self, name: str) -> int:
        """A numeric part of the path. Raises NotFound."""
        value = self.params[name]
        if not (value.isascii() and value.isdigit()) or len(value) > 18:
            raise NotFound
        return int(value)

    def query(self, name: str, default: str = "") -> str:
        return self.request.query_params.get(name, default)

    def text(self, name: str, default: str | None = None) -> str | None:
        """A field of the body that must be a string or null. Raises Invalid."""
        value = self.body.get(name, default)
        if value is not None and not isinstance(value, str):
            raise Invalid(
                f"Invalid request.\n\nFor 'properties/{name}', {value!r} is not a string."
            )
        return value

    def required(self, name: str) -> str:
        """A field of the body that must be a string that is not empty. Raises Invalid."""
        value = self.text(name)
        if not value:
            raise Invalid(f'Invalid request.\n\n"{name}" wasn\'t supplied.')
        return value

    def strings(self, name: str) -> list[Any]:
        """A field of the body that must be a list. Raises Invalid."""
        value = self.body.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise Invalid(
                f"Invalid request.\n\nFor 'properties/{name}', {value!r} is not an array."
            )
        return value

    def role(self, repository: Repository) -> Role:
        """What the credential may do on a repository, in a person's terms."""
        if self.who.kind == "installation" and self.who.token is not None:
            if not auth.granted(self.world, self.who.token, repository):
                return "read"
            return "write" if auth.allows(self.who.token.permissions, "contents:write") else "read"
        return self.world.role(repository, self.who.account)

    def page(
        self,
        items: Sequence[Item],
        shape: Callable[[Item], Any],
        *,
        key: str | None = None,
        default: int = 30,
    ) -> Answer:
        """One page of a list with its Link header; with `key` inside {"total_count", key}."""
        size, page = self._page_number("per_page", default), self._page_number("page", 1)
        size = min(size, 100)
        last = max((len(items) + size - 1) // size, 1)
        shaped = [shape(item) for item in items[(page - 1) * size : page * size]]
        links = []
        if page > 1:
            links += [("prev", min(page - 1, last)), ("first", 1)]
        if page < last:
            links = [*links[:1], ("next", page + 1), ("last", last), *links[1:]]
        header = ", ".join(f'<{self._at(number, size)}>; rel="{rel}"' for rel, number in links)
        body = shaped if key is None else {"total_count": len(items), key: shaped}
        return Answer(body, headers={"Link": header} if header else {})

    def _page_number(self, name: str, default: int) -> int:
        value = self.query(name)
        if value.isascii() and value.isdigit() and 0 < int(value) < 10**9:
            return int(value)
        return default

    def _at(self, page: int, size: int) -> str:
        query = dict(self.request.query_params)
        query["page"] = str(page)
        if "per_page" in query:
            query["per_page"] = str(size)
        path = self.request.url.path
        return f"{self.site.api}{path}?{urlencode(query)}"


Handler = Callable[[Call], Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """A route and what it needs."""

    method: str
    path: str
    handler: Handler
    who: Who
    needs: str  # for Apps: "issues:write|pull_requests:write"; "" where any credential will do
    role: Role  # for people


RULES: list[Rule] = []


def route(
    method: str, path: str, *, who: Who = "anyone", needs: str = "", role: Role | None = None
) -> Callable[[Handler], Handler]:
    """Declares a handler. Paths under /repos/{owner}/{repo} find their repository.

    Without `role`, people need read for GET and write for anything else.
    """

    def declare(handler: Handler) -> Handler:
        least: Role = role if role is not None else "read" if method == "GET" else "write"
        RULES.append(Rule(method, path, handler, who, needs, least))
        return handler

    return declare


async def respond(world: World, rule: Rule, request: Request) -> Response:
    """Authenticates, authorizes, runs the handler and dresses its answer."""
    limits = _count(world, "anonymous", spend=False)
    try:
        who = (
            auth.ANONYMOUS
            if rule.who == "client"  # those read the Basic header of an App's client themselves
            else auth.credential(world, request.headers.get("authorization"))
        )
        key = str(who.token.id) if who.token else f"app {who.app.id}" if who.app else "anonymous"
        limits = _count(world, key, spend=rule.path != "/rate_limit")
        if int(limits["X-RateLimit-Remaining"]) < 0:
            limits["X-RateLimit-Remaining"] = "0"
            raise Forbidden(f"API rate limit exceeded for {key}.")
        body = await _body(request)
        call = Call(world, _site(world, request), request, who, dict(request.path_params), body)
        _admit(call, rule)
        result = rule.handler(call)
        answer = result if isinstance(result, Answer) else Answer(result)
        wanted = re.search(
            r"github(?:\.v3)?\.(full|html|text)\b", call.request.headers.get("accept", "")
        )
        if wanted is not None and answer.media.startswith("application/json"):
            root = f"/{call.repo.full_name}" if call._repo else ""
            answer.body = _rendered(answer.body, wanted[1], root)
        if rule.needs:
            accepted = rule.needs.replace(":", "=").replace("|", "; ")
            answer.headers.setdefault("X-Accepted-GitHub-Permissions", accepted)
    except Problem as problem:
        answer = refusal(problem)
    return dress(request, answer, limits)


def _rendered(answer: Any, form: str, root: str) -> Any:
    """What people wrote, as the media types full, html and text give it besides or instead.

    Source: docs.github.com, "Media types". The text is the Markdown itself, which is near enough.
    """
    if isinstance(answer, list):
        return [_rendered(item, form, root) for item in answer]
    if not isinstance(answer, dict):
        return answer
    made = {key: _rendered(value, form, root) for key, value in answer.items()}
    if "body" in made and "html_url" in made:
        body = made["body"] if form == "full" else made.pop("body")
        if form != "html":
            made["body_text"] = body or ""
        if form != "text":
            made["body_html"] = markdown.render(body, root)
    return made


def refusal(problem: Problem) -> Answer:
    body: Json = {"message": problem.message}
    if problem.errors is not None:
        body["errors"] = problem.errors
    body["documentation_url"] = DOCS
    body["status"] = str(problem.status)
    return Answer(body, problem.status, dict(problem.headers))


def _site(world: World, request: Request) -> Site:
    html = f"{request.url.scheme}://{request.url.netloc}"
    return Site(world, html + str(request.scope.get("api_root", "")), html)


async def _body(request: Request) -> Json:
    if request.method in ("GET", "HEAD"):
        return {}
    raw = await request.body()
    if not raw.strip():
        return {}
    form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    # Clients that do not name a media type (curl -d) send JSON under the form's.
    if form and raw.lstrip()[:1] not in (b"{", b"["):
        return {key: str(value) for key, value in (await request.form()).items()}
    try:
        # Halves of surrogate pairs, which no text in UTF-8 has, become question marks.
        text = json.dumps(json.loads(raw), ensure_ascii=False).encode(errors="replace")
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise Malformed from None
    if isinstance(body, list):
        return {"": body}  # the old form of the labels endpoints
    if not isinstance(body, dict):
        raise Malformed("Body should be a JSON object")
    return body


def _admit(call: Call, rule: Rule) -> None:
    if rule.who == "app":
        _ = call.app
    elif rule.who == "installation" and call.who.kind != "installation":
        raise Forbidden("You must authenticate with an installation access token in order to "
                        "list repositories for an installation.")  # fmt: skip
    elif rule.who == "user":
        _ = call.person
    if not rule.path.startswith("/repos/{owner}/{repo}"):
        return
    found = call.world.find_repository(f"{call.params['owner']}/{call.params['repo']}")
    if found is None:
        raise NotFound
    call._repo = found
    auth.authorize(call.world, call.who, found, needs=rule.needs, role=rule.role)


def _count(world: World, key: str, *, spend: bool) -> dict[str, str]:
    """The rate-limit headers after this request; hours begin with a credential's first."""
    moment = int(time.time())
    began, used = world.usage.get(key, (moment, 0))
    if moment - began >= 3600:
        began, used = moment, 0
    used += spend
    world.usage[key] = (began, used)
    return {
        "X-RateLimit-Limit": str(world.rate_limit),
        "X-RateLimit-Remaining": str(world.rate_limit - used),
        "X-RateLimit-Used": str(used),
        "X-RateLimit-Reset": str(began + 3600),
        "X-RateLimit-Resource": "core",
    }


def dress(request: Request, answer: Answer, limits: dict[str, str] | None = None) -> Response:
    """The answer with the headers that every answer of the API has."""
    if isinstance(answer.body, bytes):
        content = answer.body
    elif isinstance(answer.body, str) and not answer.media.startswith("application/json"):
        content = answer.body.encode(errors="surrogateescape")
    elif answer.status in (202, 204, 205, 304) and answer.body is None:
        content = b""
    else:
        content = json.dumps(answer.body, ensure_ascii=True).encode()
    headers = {
        **(limits or {}),
        **answer.headers,
        "X-GitHub-Request-Id": ":".join(secrets.token_hex(2).upper() for _ in range(5)),
        "X-GitHub-Media-Type": "github.v3; format=json",
        "X-GitHub-Api-Version-Selected": request.headers.get("x-github-api-version", "2022-11-28"),
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Expose-Headers": "ETag, Link, Location, X-GitHub-Request-Id",
        "Cache-Control": "private, max-age=0",
        "Vary": "Accept, Authorization",
    }
    if request.method in ("GET", "HEAD") and answer.status == 200:
        etag = f'W/"{hashlib.sha256(content).hexdigest()}"'
        headers["ETag"] = etag
        known = request.headers.get("if-none-match", "")
        if etag.removeprefix("W/") in known:
            return Response(status_code=304, headers=headers)
    media = answer.media if content else None
    return Response(content, answer.status, headers, media_type=media)
