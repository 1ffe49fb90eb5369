"""A job: the fold of its events, and what may be asked of it. Pure."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal, assert_never

from agent.plan import Plan
from jobs.commands import (
    AcceptPlan,
    Actor,
    CancelJob,
    Issue,
    OpenPull,
    Repository,
    Request,
    RevisePlan,
    SetBudget,
    StartJob,
    Steer,
)
from jobs.events import (
    Allowed,
    Approved,
    Budgeted,
    CancelAsked,
    Charged,
    Checked,
    Claimed,
    Cloned,
    CommandRan,
    Finished,
    Heard,
    JobEvent,
    Noted,
    Planned,
    PullOpened,
    Received,
    Rescued,
    Revised,
    Said,
    SandboxReady,
    Steered,
    StepBegan,
    StepCommitted,
    StepSkipped,
)

State = Literal[
    "queued",
    "planning",
    "awaiting_approval",
    "running",
    "publishing",
    "succeeded",
    "failed",
    "cancelled",
    "stopped",
]
NOTE_CHARS = 500  # of the model's words, which may be long thoughts
MOST_WORDS = 50
TERMINAL: frozenset[State] = frozenset({"succeeded", "failed", "cancelled", "stopped"})


@dataclass(frozen=True, slots=True)
class Job:
    """Everything known of a job, from its events alone."""

    id: str
    command: StartJob
    state: State
    received_at: float
    permission: str = ""
    base: str = ""
    base_sha: str = ""
    branch: str = ""
    sandbox_id: str = ""
    plan: Plan | None = None
    digest: str = ""
    approved_by: Actor | None = None
    ceiling_usd: Decimal | None = None  # once it is planned
    budget: Budgeted | None = None  # the newest word on what it may cost
    replaced: Plan | None = None  # the plan that somebody wants changed, until there is another
    words: tuple[Steered | Revised, ...] = ()  # said to the agent, in order
    heard: int = 0  # how many of them it answered to
    step: int = 0  # the step in work, from 1
    commits: tuple[StepCommitted, ...] = ()
    skipped: tuple[StepSkipped, ...] = ()
    claimed_at: float | None = None  # while a worker is at it
    worked: float = 0.0  # seconds that earlier claims took; waiting for people is not counted
    runs: tuple[CommandRan, ...] = ()
    note: str = ""
    said: int = 0  # characters of what the model wrote, kept as it was written
    checks: tuple[Checked, ...] = ()
    pull: PullOpened | None = None
    usd: Decimal = Decimal(0)
    input_tokens: int = 0  # all kinds of input together
    cache_read_tokens: int = 0
    output_tokens: int = 0
    rescued: Rescued | None = None
    cancelled_by: Actor | None = None
    end: Finished | None = None

    @property
    def repository(self) -> Repository:
        return self.command.repository

    @property
    def issue(self) -> Issue | None:
        return self.command.issue

    @property
    def usd_wanted(self) -> Decimal | None:
        """What people said that it may cost at most; None: nothing."""
        return self.command.usd if self.budget is None else self.budget.usd

    @property
    def revision(self) -> int:
        """How many plans were sent back."""
        return sum(isinstance(word, Revised) for word in self.words)

    @property
    def head_sha(self) -> str:
        """The last commit pushed, or the base while there is none."""
        return self.commits[-1].sha if self.commits else self.base_sha

    @property
    def steps_done(self) -> int:
        """How many steps are behind us, committed or without a change."""
        return max(
            [0, *(done.number for done in self.commits), *(done.number for done in self.skipped)]
        )

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    def apply(self, event: JobEvent) -> "Job":
        """The job after `event`."""
        match event:
            case Received():
                raise ValueError("a job is received once")
            case Allowed(permission=permission):
                return replace(self, permission=permission)
            case Claimed(at=at):
                state: State = "running" if self._may_run() else "planning"
                return replace(self._rest(at), state=state, claimed_at=at)
            case Cloned(base=base, base_sha=sha, branch=branch):
                return replace(self, base=base, base_sha=sha, branch=branch)
            case SandboxReady(sandbox_id=sandbox_id):
                return replace(self, sandbox_id=sandbox_id)
            case Planned(at=at, waits=waits):
                job = replace(
                    self,
                    plan=event.plan,
                    digest=event.digest,
                    ceiling_usd=event.ceiling_usd,
                    replaced=None,
                    state="awaiting_approval" if waits else "running",
                )
                return job._rest(at) if waits else job
            case Approved(actor=actor):
                return replace(self, approved_by=actor, state="queued")
            case Revised():
                return replace(
                    self,
                    plan=None,
                    digest="",
                    replaced=self.plan,
                    words=(*self.words, event),
                    state="queued",
                )
            case Steered():
                return replace(self, words=(*self.words, event))
            case Budgeted(usd=usd, digest=digest):
                return replace(self, budget=event, ceiling_usd=usd, digest=digest or self.digest)
            case Heard(words=words):
                return replace(self, heard=words)
            case StepBegan(number=number):
                return replace(self, step=number)
            case Noted(text=text):
                return replace(self, note=text)
            case Said(text=text, begins=begins):
                note = text if begins else self.note + text
                return replace(self, note=note[:NOTE_CHARS], said=self.said + len(text))
            case CommandRan():
                return replace(self, runs=(*self.runs, event))
            case StepCommitted():
                return replace(self, commits=(*self.commits, event))
            case StepSkipped():
                return replace(self, skipped=(*self.skipped, event))
            case PullOpened():
                return replace(self, pull=event)
            case Checked():
                return replace(self, checks=(*self.checks, event))
            case Charged():
                return replace(
                    self,
                    usd=self.usd + event.usd,
                    input_tokens=self.input_tokens
                    + event.input_tokens
                    + event.cache_read_tokens
                    + event.cache_write_tokens,
                    cache_read_tokens=self.cache_read_tokens + event.cache_read_tokens,
                    output_tokens=self.output_tokens + event.output_tokens,
                )
            case Rescued():
                return replace(self, rescued=event)
            case CancelAsked(actor=actor):
                return replace(self, cancelled_by=actor)
            case Finished(at=at, outcome=outcome):
                return replace(self._rest(at), state=outcome, end=event)
            case _:
                assert_never(event)

    def _rest(self, at: float) -> "Job":
        if self.claimed_at is None:
            return self
        return replace(self, claimed_at=None, worked=self.worked + at - self.claimed_at)

    def _may_run(self) -> bool:
        return self.plan is not None and (
            not self.command.plan_only or self.approved_by is not None
        )


def fold(job_id: str, events: list[JobEvent]) -> Job:
    """The job that these events tell of. Raises ValueError where the first is not Received."""
    first = events[0] if events else None
    if not isinstance(first, Received):
        raise ValueError(f"job {job_id} does not begin with its request")
    job = Job(job_id, first.command, "queued", first.at)
    for event in events[1:]:
        job = job.apply(event)
    return job


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command was not followed, as a sentence for the person who gave it."""

    reason: str
    silent: bool = False  # a stranger on a public repository gets nothing but a journal entry


def may_write(permission: str) -> bool:
    """GitHub's collapsed levels: maintain counts as write, triage as read."""
    return permission in {"admin", "write"}


JobCommand = StartJob | AcceptPlan | RevisePlan | Steer | CancelJob | SetBudget | OpenPull


def not_permitted(command: Request, *, silent: bool) -> Refusal:
    """For somebody without write permission; a stranger in public does not hear it."""
    return Refusal(
        f"Sorry, {command.actor.login}: only people with write permission on "
        f"{command.repository.name} can ask me to work here.",
        silent,
    )


def decide(
    job: Job, command: JobCommand, permission: str, now: float
) -> tuple[JobEvent, ...] | Refusal:
    """What `command` does to `job`, given the sender's live permission on the repository."""
    if not may_write(permission):
        return not_permitted(command, silent=not command.repository.private)
    if command.repository.id != job.repository.id:
        return Refusal("That job belongs to another repository.")
    match command:
        case StartJob():
            return (Allowed(now, permission),)
        case AcceptPlan(digest=digest):
            return _accept(job, command.actor, digest.lower(), now)
        case RevisePlan(actor=actor, text=text, digest=digest):
            if (refusal := _no_such_plan(job, digest.lower())) or (refusal := _too_many(job)):
                return refusal
            return (Revised(now, actor, text, job.digest),)
        case Steer(actor=actor, text=text):
            if (refusal := _deaf(job)) or (refusal := _too_many(job)):
                return refusal
            return (Steered(now, actor, text),)
        case CancelJob():
            if job.ended:
                return Refusal(f"There is nothing to stop: this job already {job.state}.")
            asked = CancelAsked(now, command.actor)
            if job.state in {"queued", "awaiting_approval"}:
                words = f"Stopped by {command.actor.login}."
                return (asked, Finished(now, "cancelled", words))
            return (asked,)
        case SetBudget(actor=actor, usd=usd):
            if job.ended:
                return Refusal(
                    f"There is nothing to pay for: this job already {job.state}. "
                    "`/vibecode retry` tries it again."
                )
            digest = ""
            if job.plan is not None and job.state == "awaiting_approval":
                digest = job.plan.digest(job.base_sha, usd, job.revision)
            return (Budgeted(now, actor, usd, digest),)
        case OpenPull():
            if not job.commits:
                return Refusal("This job has no commits yet, so there is no pull request to open.")
            return ()


def _accept(job: Job, actor: Actor, digest: str, now: float) -> tuple[JobEvent, ...] | Refusal:
    return _no_such_plan(job, digest) or (Approved(now, actor, job.digest),)


def _no_such_plan(job: Job, digest: str) -> Refusal | None:
    """Where no plan waits, or another than that one."""
    if job.approved_by is not None and job.digest.startswith(digest):
        return Refusal(
            f"{job.approved_by.login} already accepted this plan; it is being worked on."
        )
    if job.state != "awaiting_approval":
        return Refusal(f"No plan is waiting for approval here: the job is {job.state}.")
    if digest and not (len(digest) >= 8 and job.digest.startswith(digest)):
        return Refusal(
            f"That is not the plan that waits here. Its digest starts with {job.digest[:8]}: "
            f"look at it again, then `/vibecode accept {job.digest[:8]}`."
        )
    return None


def _deaf(job: Job) -> Refusal | None:
    """Where the agent would never hear what is said to it."""
    if job.ended:
        return Refusal(f"It is too late to say that: this job already {job.state}.")
    if job.cancelled_by is not None:
        return Refusal(f"This job is being stopped, as {job.cancelled_by.login} asked.")
    if job.state == "awaiting_approval":
        return Refusal("Its plan waits for you: ask for another one with these words instead.")
    return None


def _too_many(job: Job) -> Refusal | None:
    if len(job.words) < MOST_WORDS:
        return None
    return Refusal(f"{MOST_WORDS} messages to one job are the most I take. Please ask anew.")
