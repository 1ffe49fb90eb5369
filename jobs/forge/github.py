"""GitHub in the verbs that this app needs, in its own types.

Source: https://docs.github.com/rest
"""

import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from jobs.forge import answers
from jobs.forge.client import (
    Client,
    Connections,
    Pace,
    Writer,
    check_private_key,
    patiently,
    read,
    read_list,
    send,
)
from jobs.forge.errors import (
    GitHubUnreachable,
    Missing,
    NotGranted,
    RateLimited,
    Uninstalled,
    ValidationRefused,
)
from jobs.forge.facts import (
    Action,
    Bot,
    CommentRef,
    Conclusion,
    Guard,
    IssueFacts,
    PullRef,
    Registered,
    RepositoryFacts,
    Status,
)
from jobs.forge.hook import Hook
from jobs.forge.tokens import AppSettings, Token, Tokens

# All that the App ever asks for, and each token for one repository only. No workflows.
PERMISSIONS = {
    "contents": "write",
    "pull_requests": "write",
    "issues": "write",
    "checks": "write",
    "metadata": "read",
}
ALL = 0  # in place of a repository's id
PAGES = 50  # of a hundred comments each, the most that are searched for ours

T = TypeVar("T", bound=BaseModel)


class GitHub:
    """One per worker: the App, its tokens and the connections. `async with GitHub(settings)`.

    `pace` gives turns to its writes; whoever writes little or nothing needs none.
    """

    def __init__(self, settings: AppSettings, pace: Pace | None = None) -> None:
        self.settings = settings
        self.tokens = Tokens(partial(self._mint, PERMISSIONS))
        self._voices = Tokens(self._mint_granted)
        self._lists = Tokens(partial(self._mint, {"metadata": "read"}))
        self.connections = Connections(settings)
        self._app = self.connections.app()
        self._pace = pace
        self._writers: dict[int, Writer] = {}
        self._bot: Bot | None = None

    async def __aenter__(self) -> Self:
        """Raises AppRefused where the private key is unusable."""
        check_private_key(self.settings.private_key)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.connections.close()

    async def registered(self) -> Registered:
        """What the App is and asks for. Raises AppRefused, GitHubUnreachable."""
        what = "ask who the App is"
        app = await self._ask(self._app, answers.App, "GET", "/app", what=what)
        return Registered(app.slug, app.permissions)

    @property
    def hook(self) -> Hook:
        """The App's log of deliveries."""
        return Hook(self._app)

    async def bot(self) -> Bot:
        """The account that we act as. Raises AppRefused, GitHubUnreachable."""
        if self._bot is None:
            # Public knowledge, and no route that takes the App's own signature.
            self._bot = await self._account(self.connections.anybody())
        return self._bot

    async def repository(self, installation_id: int, repository_id: int, name: str) -> "Forge":
        """One repository through the installation, with a token for it alone; `name`: "owner/name".

        Raises Suspended, Uninstalled, NotGranted, AppRefused, RateLimited, GitHubUnreachable.
        """
        return await self._reach(self.tokens, installation_id, repository_id, name)

    async def voice(self, installation_id: int, repository_id: int, name: str) -> "Forge":
        """The same with what is granted, for where `repository` raises NotGranted: to say so."""
        return await self._reach(self._voices, installation_id, repository_id, name)

    async def _reach(
        self, tokens: Tokens, installation_id: int, repository_id: int, name: str
    ) -> "Forge":
        key = (installation_id, repository_id)
        await tokens.token(*key)
        if self._bot is None:
            # With a token, because without one GitHub allows an address 60 requests an hour.
            self._bot = await self._account(self.connections.installation(tokens, *key))
        return Forge(self, tokens, *key, name, self._bot)

    async def _account(self, client: Client) -> Bot:
        login = f"{(await self.registered()).slug}[bot]"
        path = f"/users/{quote(login)}"
        account = await self._ask(client, answers.Account, "GET", path, what="find our account")
        return Bot(account.id, login, f"{account.id}+{login}@{self.settings.noreply}")

    def everywhere(self, installation_id: int) -> Client:
        """Signs as the installation for all its repositories, to list them and no more."""
        return self.connections.installation(self._lists, installation_id, ALL)

    async def installed(self, installation_id: int) -> bool:
        """Whether the installation is there, suspended or not."""
        path, what = f"/app/installations/{installation_id}", "look the installation up"
        try:
            await self._ask(self._app, answers.Installation, "GET", path, what=what)
        except Missing:
            return False
        return True

    def forget(self, installation_id: int) -> None:
        """Drops the tokens of an installation that is gone."""
        self.tokens.forget(installation_id)
        self._voices.forget(installation_id)

    def writer(self, installation_id: int) -> Writer:
        return self._writers.setdefault(installation_id, Writer(installation_id, self._pace))

    async def _mint(
        self, permissions: Mapping[str, str], installation_id: int, repository_id: int
    ) -> Token:
        what = "get a token for the repository"
        path = f"/app/installations/{installation_id}"
        wanted: dict[str, Any] = {"permissions": dict(permissions)}
        if repository_id != ALL:
            wanted["repository_ids"] = [repository_id]
        try:
            minted = await self._ask(
                self._app,
                answers.InstallationToken,
                "POST",
                f"{path}/access_tokens",
                what=what,
                json=wanted,
            )
        except Missing:
            raise Uninstalled(
                "The App is not installed there any more. Install it again to go on."
            ) from None
        except ValidationRefused as refused:
            installation = await self._ask(
                self._app, answers.Installation, "GET", path, what="look the installation up"
            )
            lacking = [
                f"{name}: {level}"
                for name, level in permissions.items()
                if installation.permissions.get(name) not in {level, "write", "admin"}
            ]
            if lacking:
                permission = ", ".join(lacking)
                raise NotGranted(answers.not_granted("work", permission), permission) from None
            raise Uninstalled(
                "The App is not installed on this repository. Add it in the installation's "
                f"settings under Repository access. (GitHub: {refused.faults[0]})"
            ) from None
        return Token(minted.token, minted.expires_at.timestamp())

    async def _mint_granted(self, installation_id: int, repository_id: int) -> Token:
        path, what = f"/app/installations/{installation_id}", "look the installation up"
        found = await self._ask(self._app, answers.Installation, "GET", path, what=what)
        granted = {
            name: level
            for name, level in PERMISSIONS.items()
            if found.permissions.get(name) in {level, "write", "admin"}
        }
        return await self._mint(granted, installation_id, repository_id)

    async def _ask(self, client: Client, model: type[T], method: str, path: str, **more: Any) -> T:
        return read(model, await patiently(lambda: send(client, method, path, **more)))


class Forge:
    """One repository for one job. Every verb may raise what `GitHub.repository` raises.

    Reads are asked again after an outage. So are PATCHes, which are complete renderings. A create
    whose answer was lost is looked for before it is sent again, so nothing is there twice.
    """

    def __init__(
        self,
        github: GitHub,
        tokens: Tokens,
        installation_id: int,
        repository_id: int,
        name: str,
        bot: Bot,
    ) -> None:
        self.name = name
        self.bot = bot
        self._app_id = github.settings.app_id
        self._tokens = tokens
        self._key = (installation_id, repository_id)
        self.client = github.connections.installation(tokens, *self._key)
        self._writer = github.writer(installation_id)
        self._guard: Guard | None = None
        self._comments: dict[tuple[int, str], int] = {}  # (thread, key) to id
        self._checks: dict[
            tuple[str, str, str], tuple[int, ...]
        ] = {}  # (head, external id, name) to id

    def guarded(self, guard: Guard) -> "Forge":
        """The same repository, with `guard` awaited right before every single write."""
        forge = copy.copy(self)
        forge._guard = guard
        return forge

    async def scarce(self) -> bool:
        """Whether the writes that are left of this hour are for what must be said."""
        return await self._writer.scarce()

    def remote_token(self) -> Callable[[], str]:
        """For git's threads: each call gives a token that is good for the next minutes."""
        return self._tokens.current(*self._key)

    def token_refused(self, token: str) -> None:
        """For git's threads: GitHub did not accept this one, so the next one is made anew."""
        self._tokens.drop(*self._key, token)

    async def facts(self) -> RepositoryFacts:
        """Raises Missing where it is gone."""
        found = await self._get(answers.RepositoryAnswer, "", what="look at the repository")
        return RepositoryFacts(
            found.id,
            found.full_name,
            found.private,
            found.default_branch,
            found.clone_url,
            found.archived,
        )

    async def permission(self, login: str) -> str:
        """What the account may do here now: admin, write, read or none.

        Maintain counts as write, triage as read. A public repository gives everybody read.
        """
        path = f"/collaborators/{quote(login)}/permission"
        try:
            found = await self._get(answers.Permission, path, what=f"ask what {login} may do")
        except Missing:
            return "none"
        return found.permission

    async def collaborates(self, login: str) -> bool:
        """Whether the account was let in by name, team or organization, if only to read."""
        try:
            await self._patiently(
                "GET", f"/collaborators/{quote(login)}", what=f"ask whether {login} belongs here"
            )
        except Missing:
            return False
        return True

    async def issue(self, number: int) -> IssueFacts:
        """The thread with its latest comments, up to a hundred. Raises Missing."""
        what = f"read issue {number}"
        found = await self._get(answers.IssueAnswer, f"/issues/{number}", what=what)
        last = max(1, -(-found.comments // 50))
        comments: list[answers.CommentAnswer] = []
        for page in range(max(1, last - 1), last + 1):
            comments += await self._comment_page(number, page=page, per_page=50)
        return IssueFacts(
            number,
            found.title,
            found.body or "",
            found.state,
            found.locked,
            found.user.login if found.user else "ghost",
            found.pull_request is not None,
            tuple(
                (comment.user.login if comment.user else "ghost", comment.body or "")
                for comment in comments
                if comment.user is None or comment.user.id != self.bot.id
            ),
        )

    async def branch_head(self, branch: str) -> str | None:
        """The commit that the branch points to; None where there is no such branch."""
        path = f"/git/ref/heads/{quote(branch)}"
        try:
            found = await self._get(answers.Ref, path, what=f"look at branch {branch}")
        except Missing:
            return None
        return found.object.sha

    async def react(self, comment_id: int, content: str) -> None:
        """Such as "eyes" on a comment; twice is once. Raises Missing, Locked."""
        path = f"/issues/comments/{comment_id}/reactions"
        await self._repeatable("POST", path, {"content": content}, what="react to the comment")

    async def comment(
        self,
        number: int,
        key: str,
        body: str,
        since: datetime | None = None,
        hidden: str = "",
    ) -> CommentRef:
        """The one comment of ours on the thread under `key`, now reading `body`.

        It is found by a hidden mark at its beginning and by us as its author; `since` spares
        looking through what is older. `hidden` stands at its end, but not in its first version,
        which GitHub mails as plain text to all who follow. Raises Missing, Locked.
        """
        what = f"write a comment on #{number}"
        marker = f"<!-- vibecoder:{key} -->"
        first = f"{marker}\n{body}"
        text = f"{first}\n\n{hidden}" if hidden else first

        async def find() -> answers.CommentAnswer | None:
            return await self._own_comment(number, marker, since)

        known = self._comments.get((number, key))
        if known is not None:
            try:
                edited = await self._edit_comment(known, text, what)
            except Missing:
                del self._comments[number, key]  # a person deleted it
            else:
                return CommentRef(edited.id, edited.html_url)
        found = await find()
        if found is None:
            path = f"/issues/{number}/comments"
            found = await self._create(
                answers.CommentAnswer, path, {"body": first}, find, what=what
            )
            found = await find() or found  # another worker may have had the same thought
        if found.body != text:
            found = await self._edit_comment(found.id, text, what)
        self._comments[number, key] = found.id
        return CommentRef(found.id, found.html_url)

    async def withdraw(self, number: int, key: str) -> None:
        """Deletes our comment under `key`, where there is one."""
        found = await self._own_comment(number, f"<!-- vibecoder:{key} -->", None)
        if found is not None:
            with suppress(Missing):
                await self._repeatable(
                    "DELETE", f"/issues/comments/{found.id}", None, what="take back a comment"
                )

    async def pull(self, *, head: str, base: str, title: str, body: str) -> PullRef:
        """The pull request from branch `head`: found, or opened as a draft where GitHub allows.

        One that is open gets the new `body`; its title, and one that a person closed, are left
        alone. Raises Missing where the base is gone, and ValidationRefused, such as where there is
        no commit between the branches.
        """
        what = "open the pull request"

        async def find() -> answers.PullAnswer | None:
            return await self._pull_of(head)

        found = await find()
        if found is None:
            wanted = {"head": head, "base": base, "title": title, "body": body}
            try:
                found = await self._open_pull({**wanted, "draft": True}, find, what)
            except ValidationRefused as refused:
                # Private repositories on free plans have no drafts.
                if not any("draft" in fault.lower() for fault in refused.faults):
                    raise
                found = await self._open_pull({**wanted, "draft": False}, find, what)
        if found.state == "open" and (found.body or "") != body:
            await self._repeatable(
                "PATCH", f"/pulls/{found.number}", {"body": body}, what="update the pull request"
            )
        return PullRef(found.number, found.html_url, found.state == "open")

    async def check(
        self,
        *,
        name: str,
        head_sha: str,
        external_id: str,
        status: Status,
        conclusion: Conclusion | None,
        title: str,
        summary: str,
        text: str,
        actions: Sequence[Action] = (),
        details_url: str | None = None,
    ) -> int:
        """The check run of ours on the commit, now saying all of this; its id.

        GitHub shows `actions` only once the run is completed.
        """
        what = "write the check run"
        key = (head_sha, external_id, name)
        content: dict[str, Any] = {
            "name": name,
            "external_id": external_id,
            "status": status,
            "output": {"title": title, "summary": summary, **({"text": text} if text else {})},
        }
        if conclusion is not None:
            content["conclusion"] = conclusion
        if actions:
            content["actions"] = [
                {"label": a.label, "description": a.description, "identifier": a.identifier}
                for a in actions
            ]
        if details_url is not None:
            content["details_url"] = details_url

        async def find() -> answers.CheckRunAnswer | None:
            return next(iter(await self._own_checks(*key)), None)

        if key not in self._checks:
            if await find() is None:
                wanted = {**content, "head_sha": head_sha}
                created = await self._create(
                    answers.CheckRunAnswer, "/check-runs", wanted, find, what=what
                )
                self._checks[key] = (created.id,)
                if [run.id for run in await self._own_checks(*key)] in ([], [created.id]):
                    return created.id
            self._checks[key] = tuple(run.id for run in await self._own_checks(*key))
        for id in self._checks[key]:
            await self._repeatable("PATCH", f"/check-runs/{id}", content, what=what)
        return self._checks[key][0]

    # ── looking for what is ours ──────────────────────────────────────────────────────────────────

    async def _own_comment(
        self, number: int, marker: str, since: datetime | None
    ) -> answers.CommentAnswer | None:
        """The oldest comment under the marker. Younger twins, made in a race, are deleted."""
        ours: list[answers.CommentAnswer] = []
        for page in range(1, PAGES + 1):
            comments = await self._comment_page(number, page=page, per_page=100, since=since)
            ours += [
                comment
                for comment in comments
                if comment.user is not None
                and comment.user.id == self.bot.id
                and (comment.body or "").startswith(marker)
            ]
            if len(comments) < 100:
                break
        ours.sort(key=lambda comment: comment.id)
        for twin in ours[1:]:
            try:
                await self._repeatable(
                    "DELETE", f"/issues/comments/{twin.id}", None, what="delete a double comment"
                )
            except Missing:
                continue  # the other worker deleted it first
        return ours[0] if ours else None

    async def _comment_page(
        self, number: int, *, page: int, per_page: int, since: datetime | None = None
    ) -> list[answers.CommentAnswer]:
        params: dict[str, str | int] = {"page": page, "per_page": per_page}
        if since is not None:
            params["since"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        response = await self._patiently(
            "GET",
            f"/issues/{number}/comments",
            params=params,
            what=f"read the comments of #{number}",
        )
        return read_list(answers.CommentAnswer, response)

    async def _edit_comment(self, id: int, text: str, what: str) -> answers.CommentAnswer:
        path = f"/issues/comments/{id}"
        response = await self._repeatable("PATCH", path, {"body": text}, what=what)
        return read(answers.CommentAnswer, response)

    async def _pull_of(self, head: str) -> answers.PullAnswer | None:
        """The open one, or else the newest."""
        owner = self.name.partition("/")[0]
        response = await self._patiently(
            "GET",
            "/pulls",
            params={"head": f"{owner}:{head}", "state": "all", "per_page": 100},
            what="look for the pull request",
        )
        pulls = read_list(answers.PullAnswer, response)
        return max(pulls, key=lambda pull: (pull.state == "open", pull.number), default=None)

    async def _open_pull(
        self,
        wanted: Mapping[str, Any],
        find: Callable[[], Awaitable[answers.PullAnswer | None]],
        what: str,
    ) -> answers.PullAnswer:
        try:
            return await self._create(answers.PullAnswer, "/pulls", wanted, find, what=what)
        except ValidationRefused as refused:
            if "base invalid" in refused.faults:
                raise Missing(
                    f"The branch `{wanted['base']}`, from which this began, is gone, so we could "
                    f"not {what}. What was committed is on `{wanted['head']}`."
                ) from None
            if not any("already exists" in fault.lower() for fault in refused.faults):
                raise
            found = await find()
            if found is None:
                raise
            return found

    async def _own_checks(
        self, head_sha: str, external_id: str, name: str
    ) -> list[answers.CheckRunAnswer]:
        """Our runs, oldest first; more than one where two workers had the same thought.

        Runs cannot be deleted, and GitHub shows the youngest: so all of them say the same.
        """
        response = await self._patiently(
            "GET",
            f"/commits/{head_sha}/check-runs",
            params={
                "check_name": name,
                "filter": "all",
                "app_id": self._app_id,
                "per_page": 100,
            },
            what="look for the check run",
        )
        runs = read(answers.CheckRuns, response).check_runs
        return sorted(
            (run for run in runs if run.external_id == external_id), key=lambda run: run.id
        )

    # ── sending ───────────────────────────────────────────────────────────────────────────────────

    async def _get(self, model: type[T], path: str, what: str) -> T:
        return read(model, await self._patiently("GET", path, what=what))

    async def _patiently(self, method: str, path: str, **more: Any) -> httpx.Response:
        url = f"/repos/{self.name}{path}"
        return await patiently(lambda: send(self.client, method, url, **more))

    async def _write(self, method: str, path: str, json: Any, what: str) -> httpx.Response:
        url = f"/repos/{self.name}{path}"
        async with self._writer.turn():
            if self._guard is not None:
                await self._guard()
            try:
                return await send(self.client, method, url, json=json, what=what)
            except RateLimited as limit:
                await self._writer.hold(limit)
                raise

    async def _repeatable(self, method: str, path: str, json: Any, what: str) -> httpx.Response:
        """A write that does the same when it is done twice."""
        return await patiently(lambda: self._write(method, path, json, what))

    async def _create(
        self,
        model: type[T],
        path: str,
        json: Any,
        find: Callable[[], Awaitable[T | None]],
        what: str,
    ) -> T:
        """A write that would be there twice. Whether a lost answer was a yes, `find` tells."""
        unclear = False

        async def attempt() -> T:
            nonlocal unclear
            if unclear:
                found = await find()
                if found is not None:
                    return found
            try:
                return read(model, await self._write("POST", path, json, what))
            except GitHubUnreachable as error:
                unclear = unclear or not isinstance(error, RateLimited)  # which is a clear no
                raise

        return await patiently(attempt)
