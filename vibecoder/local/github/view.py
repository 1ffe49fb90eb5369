"""What every page for people shares: the person who acts, the forms' fields, the templates."""

import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from vibecoder.local.github import markdown
from vibecoder.local.github.problems import NotFound
from vibecoder.local.github.records import Account, Repository
from vibecoder.local.github.shapes import threads
from vibecoder.local.github.world import World

EMOJI = dict(zip(threads.REACTIONS, "👍👎😄🎉😕❤🚀👀", strict=True))
# Nothing that a repository or a comment holds may run or be fetched.
POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'"
)


class Viewed:
    """One request for a page."""

    def __init__(self, world: World, templates: Environment, request: Request, form: FormData):
        self.world = world
        self.request = request
        self.form = form
        self._templates = templates

    @property
    def repo(self) -> Repository:
        params = self.request.path_params
        name = params["repo"].removesuffix(".git")  # people open the address that they cloned
        found = self.world.find_repository(f"{params['owner']}/{name}")
        if found is None:
            raise NotFound
        return found

    @property
    def person(self) -> Account:
        """Who acts: the one chosen in the form, or the first."""
        chosen = str(self.form.get("by") or self.request.cookies.get("by") or "")
        people = list(self.world.users)
        return self.world.account(chosen if chosen in people else people[0])

    def field(self, name: str) -> str:
        return str(self.form.get(name) or "").replace("\r\n", "\n")

    def page(self, template: str, **values: Any) -> Response:
        text = self._templates.get_template(template).render(
            world=self.world, me=self.person.login, path=self.request.url.path, **values
        )
        return HTMLResponse(text, headers={"Content-Security-Policy": POLICY})

    def back(self, path: str) -> Response:
        """To the page after a form; remembers who acted."""
        answer = RedirectResponse(path, 303)
        answer.set_cookie("by", self.person.login, samesite="strict", httponly=True)
        return answer


def _md(text: str | None, root: str = "", breaks: bool = True) -> Markup:
    return Markup(markdown.render(text, root, breaks=breaks))  # noqa: S704  # escapes all HTML


def _title(text: str) -> Markup:
    """A title, whose `code` alone is Markdown."""
    escaped = str(Markup.escape(text))
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", escaped))  # noqa: S704  # escaped


def templates() -> Environment:
    made = Environment(
        loader=PackageLoader("vibecoder.local.github"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["markdown"] = _md
    made.filters["title"] = _title
    made.filters["when"] = lambda moment: moment.strftime("%d %b %Y, %H:%M UTC")
    made.filters["short"] = lambda sha: sha[:7]
    made.globals["emoji"] = EMOJI
    made.globals["rollup"] = _rollup
    return made


def _rollup(reactions: list[Any]) -> list[tuple[str, int, str]]:
    """Emoji, how many, and by whom, of each kind that there is."""
    out = []
    for content, sign in EMOJI.items():
        who = [it.account.login for it in reactions if it.content == content]
        if who:
            out.append((sign, len(who), ", ".join(who)))
    return out
