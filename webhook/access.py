"""What a caller may see and do: only where both the person and the App are allowed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import TypeAdapter
from starlette.requests import Request

from jobs.commands import Repository
from jobs.job import Job
from jobs.queue.errors import JobUnknown
from jobs.queue.store import Store
from webhook import shapes
from webhook.caller import Caller
from webhook.deliveries import not_let_in
from webhook.person import GitHub, Reach
from webhook.problems import NotAllowed, NotFound
from webhook.wire import valid

JOB_ID: TypeAdapter[str] = TypeAdapter(shapes.JobId)
_FULL_NAME: TypeAdapter[str] = TypeAdapter(shapes.FullName)


@dataclass(frozen=True, slots=True)
class Access:
    """Who calls, and what is theirs. `caller` raises NotSignedIn."""

    caller: Callable[[Request], Awaitable[Caller]]
    signed_out: Callable[[Caller], Awaitable[None]]  # returns then
    store: Store
    github: GitHub
    allow: tuple[str, ...]  # accounts that the operator lets in; empty: all

    async def reach(self, caller: Caller, name: str) -> Reach:
        """Raises NotFound, NotAllowed."""
        reach = await self.github.reach(caller.token, name)
        self.let_in(caller, reach.repository.name)
        return reach

    def let_in(self, caller: Caller, name: str) -> None:
        """Raises NotAllowed where the operator lets in neither the person nor the owner."""
        if problem := not_let_in(self.allow, caller.actor.login, name):
            raise NotAllowed(problem)

    async def named(self, request: Request, caller: Caller) -> Reach:
        """The repository in the request's path. Raises NotFound, NotAllowed."""
        params = request.path_params
        name = valid(_FULL_NAME, f"{params['owner']}/{params['repo']}", "repository")
        return await self.reach(caller, name)

    async def pushable(self, caller: Caller, name: str) -> Repository:
        """Raises NotFound, NotAllowed."""
        return _pushable(caller, await self.reach(caller, name))

    async def visible_job(self, caller: Caller, job_id: str) -> tuple[Job, Reach]:
        """Raises NotFound, NotAllowed."""
        try:
            job = await self.store.load(valid(JOB_ID, job_id, "job_id"))
        except JobUnknown:
            raise hidden(job_id) from None
        return job, await self.sight_of(caller, job)

    async def sight_of(self, caller: Caller, job: Job) -> Reach:
        """The job's repository, as the caller sees it. Raises NotFound, NotAllowed."""
        try:
            reach = await self.reach(caller, job.repository.name)
        except NotFound:
            raise hidden(job.id) from None
        # Somebody else may own the name by now.
        if reach.repository.id != job.repository.id:
            raise hidden(job.id)
        return reach

    async def writable_job(self, caller: Caller, job_id: str) -> tuple[Job, Repository]:
        """Raises NotFound, NotAllowed."""
        job, reach = await self.visible_job(caller, job_id)
        return job, _pushable(caller, reach)

    async def sees(self, caller: Caller, name: str) -> int | None:
        """The id of the repository that the name stands for, if the caller sees it."""
        try:
            return (await self.reach(caller, name)).repository.id
        except (NotFound, NotAllowed):
            return None


def hidden(job_id: str) -> NotFound:
    """What is said of a job that is not there, or not for these eyes."""
    return NotFound(f"There is no job {job_id[:64]!r} that you can see.")


def _pushable(caller: Caller, reach: Reach) -> Repository:
    if not reach.push:
        raise NotAllowed(
            f"{caller.actor.login}, only people with write permission on "
            f"{reach.repository.name} can ask me to work there."
        )
    return reach.repository
