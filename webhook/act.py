"""What can be done to a job. Each ends in the same command as a comment does.

Told at once where it can be; the worker decides again, on the job as it is then, and asks GitHub
once more what the person may do.
"""

import time
from http import HTTPStatus
from typing import TypeVar

from pydantic import BaseModel, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from jobs.again import the_same
from jobs.commands import (
    AcceptPlan,
    CancelJob,
    Command,
    OpenPull,
    Repository,
    RevisePlan,
    StartJob,
    Steer,
)
from jobs.job import Job, JobCommand, Refusal, decide
from jobs.queue.errors import CommandUnknown
from jobs.queue.store import MOST_OPEN, Store, command_id_of
from webhook import shapes
from webhook.access import Access
from webhook.caller import Caller
from webhook.openapi import Operation
from webhook.problems import Conflict, Unavailable, Unprocessable
from webhook.wire import body, key, told

_PULL_WINDOW = 20  # seconds in which asking again for a pull request is the same request
USED = "This Idempotency-Key was already used for another request."
_JOB_REF = TypeAdapter(shapes.JobRef)
M = TypeVar("M", bound=BaseModel)


class Act:
    """The operations that change a job."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._store = access.store

    def operations(self) -> tuple[Operation, ...]:
        return (
            Operation(
                "POST",
                "/api/agent/execute",
                self.execute,
                "Accept a job's plan, so that it is carried out.",
                asks=shapes.AcceptedPlan,
                tells=_JOB_REF,
            ),
            Operation(
                "POST",
                "/api/jobs/{job_id}/accept",
                self.accept,
                "Accept the job's plan, so that it is carried out.",
                asks=shapes.Acceptance,
                tells=_JOB_REF,
            ),
            Operation(
                "POST",
                "/api/jobs/{job_id}/revise",
                self.revise,
                "Ask for another plan than the one that waits.",
                asks=shapes.AskedRevision,
                tells=_JOB_REF,
            ),
            Operation(
                "POST",
                "/api/jobs/{job_id}/steer",
                self.steer,
                "Say something to the agent; it hears it before its next turn.",
                asks=shapes.AskedSteer,
                tells=_JOB_REF,
            ),
            Operation(
                "POST",
                "/api/jobs/{job_id}/cancel",
                self.cancel,
                "Stop the job; its commits are kept.",
                asks=shapes.Nothing,
                tells=_JOB_REF,
            ),
            Operation(
                "POST",
                "/api/jobs/{job_id}/retry",
                self.retry,
                "The same wish again, of a job that ended: a new job.",
                asks=shapes.Nothing,
                tells=_JOB_REF,
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
        )

    async def execute(self, request: Request) -> Response:
        caller = await self._access.caller(request)
        asked = await body(request, shapes.AcceptedPlan)
        return await self._accept(request, caller, asked.job_id, asked.plan_digest)

    async def accept(self, request: Request) -> Response:
        caller = await self._access.caller(request)
        asked = await body(request, shapes.Acceptance)
        job_id = request.path_params["job_id"]
        return await self._accept(request, caller, job_id, asked.plan_digest)

    async def _accept(self, request: Request, caller: Caller, job_id: str, digest: str) -> Response:
        job, repository = await self._access.writable_job(caller, job_id)
        if job.approved_by is not None and job.digest.startswith(digest):
            return told(shapes.JobRef(job_id=job.id))  # the answer to the first time got lost
        command = AcceptPlan(
            key=key(request, caller.actor.id, f"accept:{job.id}"),
            actor=caller.actor,
            repository=repository,
            digest=digest,
            issue=job.issue,
            job_id=job.id,
        )
        return await self._submit(job, command)

    async def revise(self, request: Request) -> Response:
        caller, asked, job, repository = await self._called(request, shapes.AskedRevision)
        command = RevisePlan(
            key=key(request, caller.actor.id, f"revise:{job.id}"),
            actor=caller.actor,
            repository=repository,
            text=asked.text,
            digest=asked.plan_digest,
            issue=job.issue,
            job_id=job.id,
        )
        return await self._submit(job, command)

    async def steer(self, request: Request) -> Response:
        caller, asked, job, repository = await self._called(request, shapes.AskedSteer)
        command = Steer(
            key=key(request, caller.actor.id, f"steer:{job.id}"),
            actor=caller.actor,
            repository=repository,
            text=asked.text,
            issue=job.issue,
            job_id=job.id,
        )
        return await self._submit(job, command)

    async def cancel(self, request: Request) -> Response:
        caller, _, job, repository = await self._called(request, shapes.Nothing)
        if job.cancelled_by is not None:
            return told(shapes.JobRef(job_id=job.id))
        command = CancelJob(
            key=key(request, caller.actor.id, f"cancel:{job.id}"),
            actor=caller.actor,
            repository=repository,
            issue=job.issue,
            job_id=job.id,
        )
        return await self._submit(job, command)

    async def retry(self, request: Request) -> Response:
        caller, _, job, repository = await self._called(request, shapes.Nothing)
        if not job.ended:
            raise Conflict(f"This job is {job.state}: it can be tried again once it has ended.")
        named = key(request, caller.actor.id, f"retry:{job.id}")
        command = the_same(job, named, caller.actor, repository)
        return told(shapes.JobRef(job_id=await start(self._store, command)))

    async def create_pull(self, request: Request) -> Response:
        caller = await self._access.caller(request)
        asked = await body(request, shapes.AskedPull)
        job, repository = await self._access.writable_job(caller, asked.job_id)
        if job.pull is not None:
            return told(shapes.PullRequest(pull_request_url=job.pull.url))
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
        answer = told(shapes.PullRequest(pull_request_url=None), HTTPStatus.ACCEPTED)
        answer.headers["Retry-After"] = "2"
        return answer

    async def _called(self, request: Request, model: type[M]) -> tuple[Caller, M, Job, Repository]:
        caller = await self._access.caller(request)
        asked = await body(request, model)
        job, repository = await self._access.writable_job(caller, request.path_params["job_id"])
        return caller, asked, job, repository

    async def _submit(self, job: Job, command: JobCommand) -> Response:
        ref, now = told(shapes.JobRef(job_id=job.id)), time.time()
        try:
            first = await self._store.command(command_id_of(command.key))
        except CommandUnknown:
            decided = decide(job, command, "write", now)
            if isinstance(decided, Refusal):
                raise Conflict(decided.reason) from None
            await self._store.submit(command, now)
            return ref
        # The answer to the first time got lost; the job may be elsewhere by now.
        if _asked(first) != _asked(command):
            raise Unprocessable(USED)
        return ref


def _asked(command: Command) -> tuple[object, ...]:
    """What makes two requests to a job the same."""
    text = command.text if isinstance(command, RevisePlan | Steer) else ""
    digest = command.digest if isinstance(command, RevisePlan | AcceptPlan) else ""
    return command.type, text, digest


async def start(store: Store, command: StartJob) -> str:
    """The id of the job that the command made, now or the first time.

    Raises Conflict, Unavailable, Unprocessable.
    """
    submitted = await store.submit(command, time.time())
    if submitted.busy:
        number = command.issue.number if command.issue else 0
        raise Conflict(
            f"Another job is at work on {command.repository.name}#{number}. "
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
        first = (await store.load(submitted.job_id)).command
        if _wish(first) != _wish(command):
            raise Unprocessable(USED)
    return submitted.job_id


def _wish(command: StartJob) -> tuple[object, ...]:
    """What makes two requests the same; an issue's title may change in between."""
    number = command.issue and command.issue.number
    return command.repository.id, command.text, command.base, number
