"""The JSON that the phone speaks. Every write ends in the same commands as a comment does.

Bearer: a GitHub user token issued to this App. Reading needs sight of the job's repository,
writing needs push; the worker asks GitHub once more before it acts.

A write may carry `Idempotency-Key` (up to 255 characters): sent again with the same key, it is the
same request, however often the network made the phone repeat it.
"""

import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar
from uuid import uuid4

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from jobs.commands import AcceptPlan, Actor, Issue, OpenPull, Repository, StartJob
from jobs.job import Job, Refusal, decide
from jobs.queue.errors import JobUnknown
from jobs.queue.store import MOST_OPEN, Store
from webhook import shapes
from webhook.deliveries import not_let_in
from webhook.openapi import Operation
from webhook.person import GitHub, Reach
from webhook.problems import (
    Conflict,
    Malformed,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Problem,
    TooLarge,
    Unavailable,
    Unprocessable,
)

BIGGEST_BODY = 256 * 1024  # bytes
_NEWEST = 50  # jobs in a list
_PULL_WINDOW = 20  # seconds in which asking again for a pull request is the same request
_COMMITS = TypeAdapter(list[shapes.Commit])
_FULL_NAME: TypeAdapter[str] = TypeAdapter(shapes.FullName)
_BRANCH: TypeAdapter[str] = TypeAdapter(shapes.Branch)
_JOB_ID: TypeAdapter[str] = TypeAdapter(shapes.JobId)
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent the request, and the token that shows it."""

    actor: Actor
    token: str


class Api:
    """The operations, over one store and one view of GitHub."""

    def __init__(self, store: Store, github: GitHub, allow: tuple[str, ...]) -> None:
        self._store = store
        self._github = github
        self._allow = allow

    def operations(self) -> tuple[Operation, ...]:
        """Everything that can be called; the routes and the OpenAPI document are made of it."""
        return (
            Operation(
                "POST",
                "/api/plans",
                self.ask_plan,
                "Ask for a plan; it then waits to be accepted.",
                asks=shapes.AskedPlan,
                tells=TypeAdapter(shapes.JobRef),
            ),
            Operation(
                "POST",
                "/api/agent/execute",
                self.execute,
                "Accept a job's plan, so that it is carried out.",
                asks=shapes.AcceptedPlan,
                tells=TypeAdapter(shapes.JobRef),
            ),
            Operation(
                "GET",
                "/api/agent/status/{job_id}",
                self.status,
                "Where a job stands, with its plan once there is one.",
                tells=TypeAdapter(shapes.Status),
            ),
            Operation(
                "POST",
                "/api/github/create-pr",
                self.create_pull,
                "The job's pull request; 202 while the worker is at it. Asking twice gives one.",
                asks=shapes.AskedPull,
                tells=TypeAdapter(shapes.PullRequest),
                also=(HTTPStatus.ACCEPTED,),
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
                "/api/jobs",
                self.jobs,
                "Your newest jobs, or with `?repository=owner/name` everybody's in there.",
                tells=TypeAdapter(shapes.Jobs),
                query=("repository",),
            ),
        )

    def routes(self) -> list[Route]:
        return [
            Route(operation.path, operation.endpoint, methods=[operation.method])
            for operation in self.operations()
        ]

    async def ask_plan(self, request: Request) -> Response:
        caller = await self._caller(request)
        asked = await _body(request, shapes.AskedPlan)
        repository = await self._pushable(caller, asked.repository)
        name = repository.name
        issue = None
        if asked.issue is not None:
            title = await self._github.issue_title(caller.token, name, asked.issue)
            issue = Issue(asked.issue, title)
        if asked.base is not None:
            await self._github.require_branch(caller.token, name, asked.base)
        command = StartJob(
            key=_key(request, caller, "plan"),
            actor=caller.actor,
            repository=repository,
            text=asked.text,
            plan_only=True,
            issue=issue,
            base=asked.base,
        )
        submitted = await self._store.submit(command, time.time())
        if submitted.busy:
            raise Conflict(
                f"Another job is at work on {name}#{asked.issue}. "
                "Wait for it, or stop it, and ask again.",
                more={"job_id": submitted.busy},
            )
        if submitted.no_room == "store":
            raise Unavailable(
                "There is no room for another job just now: the store is nearly full. "
                "Please ask again in an hour, or tell whoever runs this."
            )
        if submitted.no_room:
            raise Unavailable(
                f"{MOST_OPEN} jobs of this account are already queued or running. "
                "Please ask again when some of them are through."
            )
        if submitted.job_id is None:
            raise Conflict("This request did not become a job. Please ask again.")
        if not submitted.new:
            first = (await self._store.load(submitted.job_id)).command
            if _wish(first) != _wish(command):
                raise Unprocessable("This Idempotency-Key was already used for another request.")
        return _told(shapes.JobRef(job_id=submitted.job_id))

    async def execute(self, request: Request) -> Response:
        caller = await self._caller(request)
        asked = await _body(request, shapes.AcceptedPlan)
        job, repository = await self._writable_job(caller, asked.job_id)
        digest = asked.plan_digest
        if job.approved_by is not None and job.digest.startswith(digest):
            return _told(shapes.JobRef(job_id=job.id))  # the answer to the first time got lost
        command = AcceptPlan(
            key=_key(request, caller, "accept"),
            actor=caller.actor,
            repository=repository,
            digest=digest,
            issue=job.issue,
            job_id=job.id,
        )
        # Told at once where it can be; the worker decides again, on the job as it is then.
        decided = decide(job, command, "write", time.time())
        if isinstance(decided, Refusal):
            raise Conflict(decided.reason)
        await self._store.submit(command, time.time())
        return _told(shapes.JobRef(job_id=job.id))

    async def status(self, request: Request) -> Response:
        caller = await self._caller(request)
        job, _ = await self._visible_job(caller, request.path_params["job_id"])
        return _told(shapes.status(job))

    async def create_pull(self, request: Request) -> Response:
        caller = await self._caller(request)
        asked = await _body(request, shapes.AskedPull)
        job, repository = await self._writable_job(caller, asked.job_id)
        if job.pull is not None:
            return _told(shapes.PullRequest(pull_request_url=job.pull.url))
        now = time.time()
        command = OpenPull(
            key=f"pull:{job.id}:{int(now // _PULL_WINDOW)}",
            actor=caller.actor,
            repository=repository,
            job_id=job.id,
            issue=job.issue,
        )
        decided = decide(job, command, "write", now)
        if isinstance(decided, Refusal) and (job.ended or job.state == "awaiting_approval"):
            raise Conflict(decided.reason)
        if not isinstance(decided, Refusal):
            await self._store.submit(command, now)
        # A job still at work opens the pull request itself, with its first commit.
        answer = _told(shapes.PullRequest(pull_request_url=None), HTTPStatus.ACCEPTED)
        answer.headers["Retry-After"] = "2"
        return answer

    async def commits(self, request: Request) -> Response:
        caller = await self._caller(request)
        params = request.path_params
        name = _valid(_FULL_NAME, f"{params['owner']}/{params['repo']}", "repository")
        branch = _valid(_BRANCH, params["branch"], "branch")
        reach = await self._reach(caller, name)
        found = await self._github.commits(caller.token, reach.repository.name, branch)
        return _json(_COMMITS.dump_json([_commit(entry) for entry in found]))

    async def jobs(self, request: Request) -> Response:
        caller = await self._caller(request)
        named = request.query_params.get("repository")
        if named is None:
            found = await self._store.jobs(limit=_NEWEST, actor_id=caller.actor.id)
            # What somebody asked for is theirs to see only while the repository is.
            names = {job.repository.name for job in found}
            visible = {name: await self._sees(caller, name) for name in sorted(names)}
            found = [job for job in found if visible[job.repository.name] == job.repository.id]
        else:
            reach = await self._reach(caller, _valid(_FULL_NAME, named, "repository"))
            found = await self._store.jobs(limit=_NEWEST, repository_ids=[reach.repository.id])
        return _told(shapes.Jobs(jobs=tuple(shapes.status(job) for job in found)))

    async def _caller(self, request: Request) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise NotSignedIn(
                "Please sign in: send a GitHub user token as `Authorization: Bearer`."
            )
        if len(token) > 1000 or not token.isascii() or not token.isprintable() or " " in token:
            raise NotSignedIn("That is no GitHub user token. Please sign in again.")
        return Caller(await self._github.person(token), token)

    async def _reach(self, caller: Caller, name: str) -> Reach:
        reach = await self._github.reach(caller.token, name)
        if problem := not_let_in(self._allow, caller.actor.login, reach.repository.name):
            raise NotAllowed(problem)
        return reach

    async def _pushable(self, caller: Caller, name: str) -> Repository:
        return _pushable(caller, await self._reach(caller, name))

    async def _visible_job(self, caller: Caller, job_id: str) -> tuple[Job, Reach]:
        hidden = NotFound(f"There is no job {job_id[:64]!r} that you can see.")
        try:
            job = await self._store.load(_valid(_JOB_ID, job_id, "job_id"))
            reach = await self._reach(caller, job.repository.name)
        except (JobUnknown, NotFound):
            raise hidden from None
        # Somebody else may own the name by now.
        if reach.repository.id != job.repository.id:
            raise hidden
        return job, reach

    async def _writable_job(self, caller: Caller, job_id: str) -> tuple[Job, Repository]:
        job, reach = await self._visible_job(caller, job_id)
        return job, _pushable(caller, reach)

    async def _sees(self, caller: Caller, name: str) -> int | None:
        """The id of the repository that the name stands for, if the caller sees it."""
        try:
            return (await self._reach(caller, name)).repository.id
        except (NotFound, NotAllowed):
            return None


def _wish(command: StartJob) -> tuple[object, ...]:
    """What makes two requests the same; an issue's title may change in between."""
    number = command.issue and command.issue.number
    return command.repository.id, command.text, command.base, number


def _pushable(caller: Caller, reach: Reach) -> Repository:
    if not reach.push:
        raise NotAllowed(
            f"{caller.actor.login}, only people with write permission on "
            f"{reach.repository.name} can ask me to work there."
        )
    return reach.repository


def _key(request: Request, caller: Caller, what: str) -> str:
    given = request.headers.get("idempotency-key")
    if given is None:
        return f"api:{caller.actor.id}:{what}:{uuid4()}"
    if not 0 < len(given) <= 255 or not given.isascii() or not given.isprintable():
        raise Malformed("Idempotency-Key must be 1 to 255 printable ASCII characters.")
    return f"api:{caller.actor.id}:{what}:{given}"


async def _body(request: Request, model: type[M]) -> M:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BIGGEST_BODY:
            raise TooLarge(f"A request may have at most {BIGGEST_BODY // 1024} KB.")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _invalid(error) from None


def _valid(kind: TypeAdapter[str], value: str, name: str) -> str:
    try:
        return kind.validate_python(value)
    except ValidationError:
        raise NotFound(f"{value[:100]!r} is no {name}.") from None


def _invalid(error: ValidationError) -> Problem:
    """The first complaint as a sentence, all of them as members; never what was sent."""
    complaints = [
        {"member": ".".join(map(str, entry["loc"])), "problem": entry["msg"]}
        for entry in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    if any(entry["type"] == "json_invalid" for entry in error.errors(include_input=False)):
        return Malformed("The body is not JSON.")
    where = complaints[0]["member"] or "the body"
    return Unprocessable(f"{where}: {complaints[0]['problem']}.", more={"errors": complaints})


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


def _told(model: BaseModel, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return _json(model.model_dump_json(), status)


def _json(body: str | bytes, status: HTTPStatus = HTTPStatus.OK) -> Response:
    # It is one person's view, and true only now.
    headers = {"Cache-Control": "no-store"}
    return Response(body, status, headers, media_type="application/json")
