"""Everything of ours on GitHub, wherever the App is installed: to go on from after a loss.

Source: https://docs.github.com/rest/apps and https://docs.github.com/rest/issues/comments
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import structlog
from pydantic import BaseModel

from jobs.forge import answers
from jobs.forge.client import Client, patiently, read, read_list, send
from jobs.forge.errors import AppRefused, GitHubError, GitHubUnreachable
from jobs.forge.github import GitHub

log = structlog.get_logger()

PAGES = 50  # of a hundred


@dataclass(frozen=True, slots=True)
class Reached:
    """A repository that the App can reach."""

    installation_id: int
    id: int
    name: str  # "owner/name"
    private: bool

    @property
    def key(self) -> tuple[int, int, str]:
        return self.installation_id, self.id, self.name


@dataclass(frozen=True, slots=True)
class Ours:
    """A comment that we wrote."""

    body: str
    updated_at: float  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class Pushed:
    """A commit on a branch."""

    sha: str
    parents: tuple[str, ...]
    email: str  # of its author
    message: str


class _Installation(BaseModel):
    id: int
    suspended_at: datetime | None = None


class _Repository(BaseModel):
    id: int
    full_name: str
    private: bool


class _Repositories(BaseModel):
    repositories: list[_Repository]


class _Comment(BaseModel):
    body: str | None
    user: answers.Account | None
    updated_at: datetime


class _Parent(BaseModel):
    sha: str


class _Author(BaseModel):
    email: str


class _Detail(BaseModel):
    message: str
    author: _Author


class _Commit(BaseModel):
    sha: str
    parents: list[_Parent]
    commit: _Detail


class Survey:
    """Raises GitHubUnreachable and AppRefused; what GitHub refuses for good is left out."""

    def __init__(self, github: GitHub) -> None:
        self._github = github
        self._app = github.connections.app()

    async def repositories(self) -> AsyncIterator[Reached]:
        """All that can be reached; installations that are suspended cannot."""
        found = [item async for item in self._pages(self._app, "/app/installations", _Installation)]
        for installation in found:
            if installation.suspended_at is not None:
                continue
            try:
                reached = [each async for each in self._of(installation.id)]
            except GitHubError as refusal:
                _leave_out(refusal, installation=installation.id)
                continue
            for each in reached:
                yield each

    async def _of(self, installation_id: int) -> AsyncIterator[Reached]:
        client = self._github.everywhere(installation_id)
        for page in range(1, PAGES + 1):
            path = f"/installation/repositories?per_page=100&page={page}"
            found = read(_Repositories, await _get(client, path, "list the repositories"))
            for each in found.repositories:
                yield Reached(installation_id, each.id, each.full_name, each.private)
            if len(found.repositories) < 100:
                break

    async def comments(self, of: Reached, since: float) -> list[Ours]:
        """Our comments there that were written or changed since, newest first."""
        when = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        path = f"/repos/{of.name}/issues/comments?since={when}&sort=updated&direction=desc"
        try:
            forge = await self._github.repository(*of.key)
            return [
                Ours(each.body or "", each.updated_at.timestamp())
                async for each in self._pages(forge.client, path, _Comment)
                if each.user is not None and each.user.id == forge.bot.id
            ]
        except GitHubError as refusal:
            _leave_out(refusal, repository=of.name)
            return []

    async def commits(self, of: Reached, branch: str) -> list[Pushed]:
        """The newest hundred of the branch, newest first; none where it is not there."""
        path = f"/repos/{of.name}/commits?sha={quote(branch, safe='')}&per_page=100"
        try:
            forge = await self._github.repository(*of.key)
            response = await _get(forge.client, path, "read the branch")
        except GitHubError as refusal:
            _leave_out(refusal, repository=of.name, branch=branch)
            return []
        return [
            Pushed(
                each.sha,
                tuple(parent.sha for parent in each.parents),
                each.commit.author.email,
                each.commit.message,
            )
            for each in read_list(_Commit, response)
        ]

    async def runs_on(self, of: Reached, sha: str, job_id: str) -> bool:
        """Whether a check run of the job on that commit is not completed."""
        path = f"/repos/{of.name}/commits/{sha}/check-runs?filter=all&per_page=100"
        try:
            forge = await self._github.repository(*of.key)
            response = await _get(forge.client, path, "look for check runs")
        except GitHubError as refusal:
            _leave_out(refusal, repository=of.name, commit=sha)
            return False
        runs = read(answers.CheckRuns, response).check_runs
        return any(run.external_id == job_id and run.status != "completed" for run in runs)

    async def _pages(self, client: Client, path: str, kind: type[Any]) -> AsyncIterator[Any]:
        joint = "&" if "?" in path else "?"
        for page in range(1, PAGES + 1):
            where = f"{path}{joint}per_page=100&page={page}"
            found = read_list(kind, await _get(client, where, "look for what is ours"))
            for each in found:
                yield each
            if len(found) < 100:
                break


def _leave_out(refusal: GitHubError, **where: object) -> None:
    if isinstance(refusal, GitHubUnreachable | AppRefused):
        raise refusal
    log.warning("not looked at after a loss", why=str(refusal), **where)


async def _get(client: Client, path: str, what: str) -> Any:
    return await patiently(lambda: send(client, "GET", path, what=what))
