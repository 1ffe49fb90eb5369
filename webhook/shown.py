"""How a job is shown: where it stands, and each event that people may see.

Answers are built from our own records; what a model says never decides what they hold. Names of
workers and sandboxes, permissions and fencing tokens stay inside.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Literal, assert_never
from urllib.parse import quote

from pydantic import Field, RootModel

from agent.plan import Plan
from jobs import events
from jobs.events import JobEvent, Outcome
from jobs.job import Job, State
from webhook.shapes import Told


class StepShown(Told):
    """One step of a plan: one commit."""

    id: str
    title: str
    intent: str
    files: tuple[str, ...]
    done_when: str


class QuestionShown(Told):
    """Something that only a person can answer."""

    text: str
    options: tuple[str, ...]
    default: str


class PlanShown(Told):
    """A plan, and the digest by which it is accepted."""

    digest: str
    title: str
    summary: str
    root_cause: str
    steps: tuple[StepShown, ...]
    evidence: tuple[str, ...]
    verification: tuple[str, ...]
    risks: tuple[str, ...]
    out_of_scope: tuple[str, ...]
    questions: tuple[QuestionShown, ...]


class CommittedStep(Told):
    """A step that became a commit."""

    number: int
    sha: str = Field(description="40 hex digits.")
    subject: str
    files: tuple[str, ...]
    added: int
    deleted: int
    url: str


class Status(Told):
    """Where a job stands."""

    job_id: str
    state: State
    branch: str | None = Field(description="Our branch, once there is one.")
    pull_request_url: str | None
    error: str | None = Field(description="Why it ended early, as a sentence for people.")
    repository: str = Field(description="`owner/name`")
    base: str | None = Field(description="The branch it starts from; null: not known yet.")
    issue: int | None
    text: str = Field(description="What was asked for.")
    asked_by: str = Field(description="Login of whoever asked.")
    asked_at: float = Field(description="Seconds since the epoch, UTC.")
    step: int = Field(description="The step in work, from 1; 0 before the first.")
    steps_done: int = Field(description="Steps that are behind us, with a commit or without.")
    note: str = Field(description="The last line worth showing.")
    summary: str | None = Field(description="The closing sentence, once the job ended.")
    plan: PlanShown | None
    commits: tuple[CommittedStep, ...] = Field(description="Oldest first.")
    usd: float = Field(description="What it cost so far, in US dollars.")
    ceiling_usd: float = Field(description="What it may cost at most.")
    queued_behind: int = Field(description="Jobs that are before it in the queue.")
    patch: str | None = Field(
        description="A commit that could not be pushed: base64 of the gzip of a mail for `git am`."
    )


class Jobs(Told):
    """Jobs, newest first."""

    jobs: tuple[Status, ...]


class _Happened(Told):
    at: float = Field(description="Seconds since the epoch, UTC.")


class ReceivedShown(_Happened):
    """A request became a job. Always the first."""

    type: Literal["received"] = "received"
    repository: str
    issue: int | None
    text: str
    asked_by: str
    base: str | None


class ClaimedShown(_Happened):
    """A worker took it up, or took it over."""

    type: Literal["claimed"] = "claimed"


class ClonedShown(_Happened):
    """The repository was fetched."""

    type: Literal["cloned"] = "cloned"
    base: str
    base_sha: str
    branch: str
    files: int


class PlannedShown(_Happened):
    """There is a plan; `waits`: for somebody to accept it."""

    type: Literal["planned"] = "planned"
    plan: PlanShown
    waits: bool


class ApprovedShown(_Happened):
    """The plan was accepted."""

    type: Literal["approved"] = "approved"
    by: str


class RevisedShown(_Happened):
    """Another plan is wanted; the one before no longer counts."""

    type: Literal["revised"] = "revised"
    by: str
    text: str


class SteeredShown(_Happened):
    """Somebody said something to the agent."""

    type: Literal["steered"] = "steered"
    by: str
    text: str


class HeardShown(_Happened):
    """The agent heard all that was said to it so far."""

    type: Literal["heard"] = "heard"
    text: str | None = Field(description="What it said to that.")


class StepBeganShown(_Happened):
    """Work on a step began."""

    type: Literal["step_began"] = "step_began"
    number: int


class NotedShown(_Happened):
    """One line worth showing."""

    type: Literal["noted"] = "noted"
    text: str


class SaidShown(_Happened):
    """A piece of what the model writes, to be put after the pieces before it."""

    type: Literal["said"] = "said"
    text: str


class CommandRanShown(_Happened):
    """A command was run in the sandbox."""

    type: Literal["command_ran"] = "command_ran"
    run_id: str
    command: str
    exit_code: int | None = Field(description="Null: it was killed by its time limit.")
    seconds: float
    output_tail: str


class StepCommittedShown(_Happened, CommittedStep):
    """A step became a commit and was pushed."""

    type: Literal["step_committed"] = "step_committed"


class StepSkippedShown(_Happened):
    """A step ended without a change."""

    type: Literal["step_skipped"] = "step_skipped"
    number: int
    why: str


class PullOpenedShown(_Happened):
    """The draft pull request exists."""

    type: Literal["pull_opened"] = "pull_opened"
    number: int
    url: str


class ChargedShown(_Happened):
    """The model answered a request."""

    type: Literal["charged"] = "charged"
    usd: float = Field(description="Of this request.")
    usd_total: float = Field(description="Of the job so far.")


class RescuedShown(_Happened):
    """A commit could not be pushed and is kept as a patch."""

    type: Literal["rescued"] = "rescued"


class CancelAskedShown(_Happened):
    """Somebody asked to stop."""

    type: Literal["cancel_asked"] = "cancel_asked"
    by: str


class FinishedShown(_Happened):
    """The end."""

    type: Literal["finished"] = "finished"
    outcome: Outcome
    summary: str
    not_done: tuple[str, ...]


EventShown = (
    ReceivedShown
    | ClaimedShown
    | ClonedShown
    | PlannedShown
    | ApprovedShown
    | RevisedShown
    | SteeredShown
    | HeardShown
    | StepBeganShown
    | NotedShown
    | SaidShown
    | CommandRanShown
    | StepCommittedShown
    | StepSkippedShown
    | PullOpenedShown
    | ChargedShown
    | RescuedShown
    | CancelAskedShown
    | FinishedShown
)


class JobEventShown(RootModel[Annotated[EventShown, Field(discriminator="type")]]):
    """One event of a job, as `data` of the stream."""


def plan_shown(plan: Plan, digest: str) -> PlanShown:
    """The plan, as accepted by that digest."""
    return PlanShown(
        digest=digest,
        title=plan.title,
        summary=plan.summary,
        root_cause=plan.root_cause,
        steps=tuple(
            StepShown(
                id=step.id,
                title=step.title,
                intent=step.intent,
                files=step.files,
                done_when=step.done_when,
            )
            for step in plan.steps
        ),
        evidence=plan.evidence,
        verification=plan.verification,
        risks=plan.risks,
        out_of_scope=plan.out_of_scope,
        questions=tuple(
            QuestionShown(text=asked.text, options=asked.options, default=asked.default)
            for asked in plan.questions
        ),
    )


@dataclass(frozen=True, slots=True)
class View:
    """What showing a job takes besides the job."""

    url: str  # GitHub's, for people
    usd: Decimal  # the operator's ceiling for one job

    def status(self, job: Job, queued_behind: int = 0) -> Status:
        """Where the job stands."""
        summary = job.end.summary if job.end else None
        return Status(
            job_id=job.id,
            state=job.state,
            branch=job.branch or None,
            pull_request_url=job.pull.url if job.pull else None,
            error=summary if job.state in {"failed", "stopped"} else None,
            repository=job.repository.name,
            base=job.base or job.command.base,
            issue=job.issue.number if job.issue else None,
            text=job.command.text,
            asked_by=job.command.actor.login,
            asked_at=job.received_at,
            step=job.step,
            steps_done=job.steps_done,
            note=job.note,
            summary=summary,
            plan=plan_shown(job.plan, job.digest) if job.plan else None,
            commits=tuple(
                CommittedStep(
                    number=step.number,
                    sha=step.sha,
                    subject=step.subject,
                    files=step.files,
                    added=step.added,
                    deleted=step.deleted,
                    url=self._commit(job, step.sha),
                )
                for step in job.commits
            ),
            usd=float(job.usd),
            ceiling_usd=float(self.usd if job.ceiling_usd is None else job.ceiling_usd),
            queued_behind=queued_behind,
            patch="".join(job.rescued.parts) if job.rescued else None,
        )

    def event(self, job: Job, event: JobEvent) -> EventShown | None:
        """The event as people see it, given the job after it; None: it is not for them."""
        at = event.at
        match event:
            case events.Received(command=asked):
                return ReceivedShown(
                    at=at,
                    repository=asked.repository.name,
                    issue=asked.issue.number if asked.issue else None,
                    text=asked.text,
                    asked_by=asked.actor.login,
                    base=asked.base,
                )
            case events.Claimed():
                return ClaimedShown(at=at)
            case events.Cloned():
                return ClonedShown(
                    at=at,
                    base=event.base,
                    base_sha=event.base_sha,
                    branch=event.branch,
                    files=event.files,
                )
            case events.Planned(plan=plan, digest=digest, waits=waits):
                return PlannedShown(at=at, plan=plan_shown(plan, digest), waits=waits)
            case events.Approved(actor=actor):
                return ApprovedShown(at=at, by=actor.login)
            case events.Revised(actor=actor, text=text):
                return RevisedShown(at=at, by=actor.login, text=text)
            case events.Steered(actor=actor, text=text):
                return SteeredShown(at=at, by=actor.login, text=text)
            case events.Heard(text=text):
                return HeardShown(at=at, text=text or None)
            case events.Budgeted(actor=actor, usd=usd):
                return NotedShown(at=at, text=f"{actor.login} set the budget to ${usd:.2f}.")
            case events.StepBegan(number=number):
                return StepBeganShown(at=at, number=number)
            case events.Noted(text=text):
                return NotedShown(at=at, text=text)
            case events.Said(text=text, begins=begins):
                return SaidShown(at=at, text=f"\n\n{text}" if begins else text)
            case events.CommandRan():
                return CommandRanShown(
                    at=at,
                    run_id=event.run_id,
                    command=event.command,
                    exit_code=event.exit_code,
                    seconds=event.seconds,
                    output_tail=event.output_tail,
                )
            case events.StepCommitted():
                return StepCommittedShown(
                    at=at,
                    number=event.number,
                    sha=event.sha,
                    subject=event.subject,
                    files=event.files,
                    added=event.added,
                    deleted=event.deleted,
                    url=self._commit(job, event.sha),
                )
            case events.StepSkipped(number=number, why=why):
                return StepSkippedShown(at=at, number=number, why=why)
            case events.PullOpened(number=number, url=url):
                return PullOpenedShown(at=at, number=number, url=url)
            case events.Charged(usd=usd):
                return ChargedShown(at=at, usd=float(usd), usd_total=float(job.usd))
            case events.Rescued():
                return RescuedShown(at=at)
            case events.CancelAsked(actor=actor):
                return CancelAskedShown(at=at, by=actor.login)
            case events.Finished():
                return FinishedShown(
                    at=at,
                    outcome=event.outcome,
                    summary=event.summary,
                    not_done=event.not_done,
                )
            case events.Allowed() | events.SandboxReady() | events.Checked():
                return None
            case _:
                assert_never(event)

    def _commit(self, job: Job, sha: str) -> str:
        return f"{self.url}/{quote(job.repository.name)}/commit/{sha}"
