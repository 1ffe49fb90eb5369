"""What there is to choose from on GitHub, and what a job changed: read as the person."""

from typing import Any

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from webhook import shapes
from webhook.access import Access
from webhook.caller import Caller
from webhook.openapi import Operation
from webhook.person import fields
from webhook.plain import plain
from webhook.problems import NotAllowed
from webhook.wire import json, told, valid

MOST = 100  # issues, branches
MOST_FILES = 300  # that GitHub compares
_COMMITS = TypeAdapter(list[shapes.Commit])
_BRANCH: TypeAdapter[str] = TypeAdapter(shapes.Branch)


class Browse:
    """The operations that read GitHub with the caller's own token."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._github = access.github

    def operations(self) -> tuple[Operation, ...]:
        repository = "/api/repos/{owner}/{repo}"
        return (
            Operation(
                "GET",
                "/api/repos",
                self.repos,
                "Repositories where you and this App are both allowed, newest pushed first.",
                tells=TypeAdapter(shapes.Repos),
                query=("q",),
            ),
            Operation(
                "GET",
                f"{repository}/issues",
                self.issues,
                f"Open issues, newest updated first, up to {MOST}.",
                tells=TypeAdapter(shapes.Issues),
                query=("q",),
            ),
            Operation(
                "GET",
                f"{repository}/branches",
                self.branches,
                f"Names of branches, the default one first, up to {MOST}.",
                tells=TypeAdapter(shapes.Branches),
                query=("q",),
            ),
            Operation(
                "GET",
                "/api/github/commits/{owner}/{repo}/{branch:path}",
                self.commits,
                "The newest 50 commits of a branch, newest first.",
                tells=_COMMITS,
            ),
            Operation(
                "GET",
                "/api/jobs/{job_id}/diff",
                self.diff,
                "What the job changed so far, against what it started from.",
                tells=TypeAdapter(shapes.Diff),
            ),
        )

    async def repos(self, request: Request) -> Response:
        caller = await self._access.caller(request)
        words = _words(request)
        found = [
            entry
            for entry in await self._github.repositories(caller.token)
            if _matches(words, entry["full_name"]) and self._let_in(caller, entry)
        ]
        found.sort(key=lambda entry: str(entry.get("pushed_at") or ""), reverse=True)
        return told(shapes.Repos(repos=tuple(_repo(entry) for entry in found)))

    async def issues(self, request: Request) -> Response:
        caller = await self._access.caller(request)
        reach = await self._access.named(request, caller)
        words, found = _words(request), list[shapes.IssueShown]()
        async for entry in self._github.issues(caller.token, reach.repository.name):
            title = plain(str(entry["title"]))
            if "pull_request" not in entry and _matches(words, f"#{entry['number']} {title}"):
                found.append(
                    shapes.IssueShown(
                        number=int(entry["number"]),
                        title=title,
                        labels=tuple(_label(label) for label in entry.get("labels") or ()),
                        updated_at=str(entry["updated_at"]),
                    )
                )
                if len(found) == MOST:
                    break
        return told(shapes.Issues(issues=tuple(found)))

    async def branches(self, request: Request) -> Response:
        caller = await self._access.caller(request)
        reach = await self._access.named(request, caller)
        words, default = _words(request), reach.default_branch
        names = await self._github.branches(caller.token, reach.repository.name)
        names.sort(key=lambda branch: (branch != default, branch))
        found = [branch for branch in names if _matches(words, branch)]
        return told(shapes.Branches(branches=tuple(found[:MOST])))

    async def commits(self, request: Request) -> Response:
        caller = await self._access.caller(request)
        reach = await self._access.named(request, caller)
        branch = valid(_BRANCH, request.path_params["branch"], "branch")
        found = await self._github.commits(caller.token, reach.repository.name, branch)
        return json(_COMMITS.dump_json([_commit(entry) for entry in found]))

    async def diff(self, request: Request) -> Response:
        caller = await self._access.caller(request)
        job, reach = await self._access.visible_job(caller, request.path_params["job_id"])
        base, head, files = job.base_sha, job.head_sha, tuple[shapes.FileDiff, ...]()
        if job.commits:
            name = reach.repository.name
            found = await self._github.compare(caller.token, name, base, head)
            files = tuple(_file(fields(entry)) for entry in found.get("files") or ())
        return told(
            shapes.Diff(
                base=base,
                head=head,
                truncated=len(files) >= MOST_FILES,
                files=files,
            )
        )

    def _let_in(self, caller: Caller, entry: dict[str, Any]) -> bool:
        try:
            self._access.let_in(caller, str(entry["full_name"]))
        except NotAllowed:
            return False
        return True


def _words(request: Request) -> list[str]:
    return request.query_params.get("q", "")[:200].casefold().split()


def _matches(words: list[str], text: str) -> bool:
    folded = text.casefold()
    return all(word in folded for word in words)


def _repo(entry: dict[str, Any]) -> shapes.RepoShown:
    permissions = entry.get("permissions")
    return shapes.RepoShown(
        full_name=str(entry["full_name"]),
        private=entry.get("private") is not False,
        default_branch=str(entry.get("default_branch") or "main"),
        push=isinstance(permissions, dict) and permissions.get("push") is True,
        description=plain(str(entry.get("description") or "")),
    )


def _label(label: object) -> str:
    return plain(str(label.get("name") if isinstance(label, dict) else label))


def _file(entry: dict[str, Any]) -> shapes.FileDiff:
    previous, patch = entry.get("previous_filename"), entry.get("patch")
    return shapes.FileDiff(
        path=str(entry["filename"]),
        previous_path=None if previous is None else str(previous),
        status=str(entry["status"]),
        added=int(entry["additions"]),
        deleted=int(entry["deletions"]),
        patch=None if patch is None else str(patch),
    )


def _commit(entry: dict[str, object]) -> shapes.Commit:
    commit = _object(entry.get("commit"))
    author = _object(commit.get("author"))
    login = _object(entry.get("author")).get("login")
    return shapes.Commit(
        sha=str(entry.get("sha")),
        message=str(commit.get("message", "")),
        author=str(login or author.get("name") or "unknown"),
        date=str(author.get("date", "")),
    )


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
