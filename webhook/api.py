"""The JSON that the phone speaks. Every write ends in the same commands as a comment does.

Who calls: `caller.py`. Reading needs sight of the job's repository, writing needs push; the worker
asks GitHub once more before it acts.

A write may carry `Idempotency-Key` (up to 255 characters): sent again with the same key, it is the
same request, however often the network made the phone repeat it.
"""

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from jobs.commands import Issue, StartJob
from jobs.job import Job
from jobs.queue.store import Store
from webhook import shapes, shown
from webhook.access import Access
from webhook.act import Act, start
from webhook.browse import Browse
from webhook.caller import Callers
from webhook.openapi import Operation
from webhook.person import GitHub
from webhook.watch import Watch
from webhook.wire import body, key, told, valid

_NEWEST = 50  # jobs in a list
_FULL_NAME: TypeAdapter[str] = TypeAdapter(shapes.FullName)


class Api:
    """The operations, over one store and one view of GitHub."""

    def __init__(
        self,
        store: Store,
        github: GitHub,
        callers: Callers,
        allow: tuple[str, ...],
        view: shown.View,
    ) -> None:
        self._store = store
        self._github = github
        self._view = view
        self._access = Access(callers.of, callers.until_signed_out, store, github, allow)
        self._act = Act(self._access)
        self._browse = Browse(self._access)
        self._watch = Watch(self._access, view)

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
                "GET",
                "/api/agent/status/{job_id}",
                self.status,
                "Where a job stands, with its plan once there is one.",
                tells=TypeAdapter(shown.Status),
            ),
            Operation(
                "GET",
                "/api/jobs",
                self.jobs,
                "Your newest jobs, or with `?repository=owner/name` everybody's in there.",
                tells=TypeAdapter(shown.Jobs),
                query=("repository",),
            ),
            *self._act.operations(),
            *self._watch.operations(),
            *self._browse.operations(),
        )

    @property
    def watchers(self) -> int:
        """How many streams are open."""
        return self._watch.fanout.watchers

    def leave(self) -> None:
        """Ends all streams: this process goes."""
        self._watch.fanout.close()

    async def ask_plan(self, request: Request) -> Response:
        caller = await self._access.caller(request)
        asked = await body(request, shapes.AskedPlan)
        repository = await self._access.pushable(caller, asked.repository)
        name = repository.name
        issue = None
        if asked.issue is not None:
            title = await self._github.issue_title(caller.token, name, asked.issue)
            issue = Issue(asked.issue, title)
        if asked.base is not None:
            await self._github.require_branch(caller.token, name, asked.base)
        command = StartJob(
            key=key(request, caller.actor.id, "plan"),
            actor=caller.actor,
            repository=repository,
            text=asked.text,
            plan_only=True,
            issue=issue,
            base=asked.base,
        )
        return told(shapes.JobRef(job_id=await start(self._store, command)))

    async def status(self, request: Request) -> Response:
        caller = await self._access.caller(request)
        job, _ = await self._access.visible_job(caller, request.path_params["job_id"])
        (status,) = await self._statuses([job])
        return told(status)

    async def jobs(self, request: Request) -> Response:
        caller = await self._access.caller(request)
        named = request.query_params.get("repository")
        if named is None:
            found = await self._store.jobs(limit=_NEWEST, actor_id=caller.actor.id)
            # What somebody asked for is theirs to see only while the repository is.
            names = {job.repository.name for job in found}
            visible = {name: await self._access.sees(caller, name) for name in sorted(names)}
            found = [job for job in found if visible[job.repository.name] == job.repository.id]
        else:
            reach = await self._access.reach(caller, valid(_FULL_NAME, named, "repository"))
            found = await self._store.jobs(limit=_NEWEST, repository_ids=[reach.repository.id])
        return told(shown.Jobs(jobs=await self._statuses(found)))

    async def _statuses(self, jobs: list[Job]) -> tuple[shown.Status, ...]:
        queued = [job.id for job in jobs if job.state == "queued"]
        ahead = await self._store.ahead(queued) if queued else {}
        return tuple(self._view.status(job, ahead.get(job.id, 0)) for job in jobs)
