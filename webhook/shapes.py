"""What goes over the wire between the phone and us. The OpenAPI document is made from these.

Only requests are checked for what they hold; answers are built from our own records.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from jobs.job import Job, State
from webhook.plain import plain
from webhook.slash import LONGEST

_FULL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}/(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,100}")
# What git-check-ref-format forbids; none of it may reach a path of GitHub's API.
_NO_BRANCH = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|//|@\{|/\.|\A[/.-]|[/.]\Z|\.lock(?:/|\Z)")
_JOB_ID = re.compile(r"[a-z0-9]{1,64}")
_DIGEST = re.compile(r"[0-9a-fA-F]{8,64}")


def _full_name(value: str) -> str:
    if not _FULL_NAME.fullmatch(value):
        raise ValueError("a repository is named owner/name")
    return value


def _branch(value: str) -> str:
    if not 0 < len(value) <= 255 or _NO_BRANCH.search(value):
        raise ValueError("git allows no branch of that name")
    return value


def _job_id(value: str) -> str:
    if not _JOB_ID.fullmatch(value):
        raise ValueError("that is no job's id")
    return value


def _digest(value: str) -> str:
    if not _DIGEST.fullmatch(value):
        raise ValueError("a digest has 8 to 64 hex digits")
    return value.lower()


def _wish(value: str) -> str:
    text = plain(value).strip()
    if not text:
        raise ValueError("say what is wanted")
    return text


FullName = Annotated[str, AfterValidator(_full_name)]
Branch = Annotated[str, AfterValidator(_branch)]
JobId = Annotated[str, AfterValidator(_job_id)]
Digest = Annotated[str, AfterValidator(_digest)]
Wish = Annotated[str, StringConstraints(max_length=LONGEST), AfterValidator(_wish)]


class _Asked(BaseModel):
    """A request's body: unknown members are refused, so that a misspelt one is not passed over."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Told(BaseModel):
    """An answer's body: every member is always present."""

    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class AskedPlan(_Asked):
    """Something to be planned in a repository."""

    repository: FullName = Field(description="`owner/name`")
    text: Wish = Field(description="What is wanted, in plain words or Markdown.")
    base: Branch | None = Field(None, description="Branch to start from; the default branch else.")
    issue: Annotated[int, Field(gt=0, lt=2**53)] | None = Field(
        None, description="Number of the issue that this is about."
    )


class AcceptedPlan(_Asked):
    """The plan of a job is accepted; its digest says which plan that was."""

    job_id: JobId
    plan_digest: Digest = Field(
        description="The plan's digest as shown, or at least its first eight digits."
    )


class AskedPull(_Asked):
    """The pull request of a job is wanted."""

    job_id: JobId


class JobRef(_Told):
    """Names a job."""

    job_id: str


class PullRequest(_Told):
    """The job's pull request; null while the worker is at it."""

    pull_request_url: str | None


class StepShown(_Told):
    """One step of a plan: one commit."""

    id: str
    title: str
    intent: str
    files: tuple[str, ...]
    done_when: str


class QuestionShown(_Told):
    """Something that only a person can answer."""

    text: str
    options: tuple[str, ...]
    default: str


class PlanShown(_Told):
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


class Status(_Told):
    """Where a job stands."""

    job_id: str
    state: State
    branch: str | None = Field(description="Our branch, once there is one.")
    pull_request_url: str | None
    error: str | None = Field(description="Why it ended early, as a sentence for people.")
    repository: str = Field(description="`owner/name`")
    issue: int | None
    text: str = Field(description="What was asked for.")
    asked_by: str = Field(description="Login of whoever asked.")
    asked_at: float = Field(description="Seconds since the epoch, UTC.")
    step: int = Field(description="The step in work, from 1; 0 before the first.")
    note: str = Field(description="The last line worth showing.")
    summary: str | None = Field(description="The closing sentence, once the job ended.")
    plan: PlanShown | None
    patch: str | None = Field(
        description="A commit that could not be pushed: base64 of the gzip of a mail for `git am`."
    )


class Jobs(_Told):
    """Jobs, newest first."""

    jobs: tuple[Status, ...]


class Commit(_Told):
    """One commit of a branch."""

    sha: str = Field(description="40 hex digits.")
    message: str
    author: str = Field(description="GitHub login, or the name in the commit where there is none.")
    date: str = Field(description="When it was authored, ISO 8601 with time zone.")


class ProblemShown(_Told):
    """What went wrong (RFC 9457); `detail` is a sentence for people."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str


def plan_shown(job: Job) -> PlanShown | None:
    """The job's plan, if it has one."""
    if job.plan is None:
        return None
    plan = job.plan
    return PlanShown(
        digest=job.digest,
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


def status(job: Job) -> Status:
    """What a person is told of a job."""
    summary = job.end.summary if job.end else None
    return Status(
        job_id=job.id,
        state=job.state,
        branch=job.branch or None,
        pull_request_url=job.pull.url if job.pull else None,
        error=summary if job.state in {"failed", "stopped"} else None,
        repository=job.repository.name,
        issue=job.issue.number if job.issue else None,
        text=job.command.text,
        asked_by=job.command.actor.login,
        asked_at=job.received_at,
        step=job.step,
        note=job.note,
        summary=summary,
        plan=plan_shown(job),
        patch="".join(job.rescued.parts) if job.rescued else None,
    )
