"""A job at every moment of its life, made of its events."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from agent.plan import Plan, Question, Step
from jobs.commands import Actor, Comment, Issue, Repository, StartJob
from jobs.events import (
    Allowed,
    Approved,
    Charged,
    Claimed,
    Cloned,
    CommandRan,
    Finished,
    JobEvent,
    Noted,
    Outcome,
    Planned,
    PullOpened,
    Received,
    StepBegan,
    StepCommitted,
)
from jobs.job import Job, fold

MAYA = Actor(7, "maya")
BASE = "b" * 40

PLAN = Plan(
    title="Read timestamps as UTC",
    summary="Signed timestamps are read in *local* time, so `max_age` is off by the zone.",
    steps=(
        Step("reproduce", "Add a failing test", "Pin the zone and sign.", ("tests/test_timed.py",)),
        Step(
            "fix-timestamp",
            "Read timestamps as UTC",
            "Use `datetime.fromtimestamp(..., tz=utc)`.",
            ("src/itsdangerous/timed.py",),
            "the new test passes",
        ),
    ),
    root_cause="`timestamp_to_datetime` calls `utcfromtimestamp`, which is naive.",
    evidence=("src/itsdangerous/timed.py:41",),
    verification=("pytest tests -q",),
    risks=("Callers that compare with naive datetimes now get a TypeError.",),
    out_of_scope=("The legacy epoch.",),
    questions=(Question("Keep the old behaviour behind a flag?", ("yes", "no"), "no"),),
)


def sha(number: int) -> str:
    return f"{number:x}" * 40


@dataclass
class Story:
    """Events as they come, a second apart."""

    events: list[JobEvent] = field(default_factory=list)
    number: int = 12
    shas: Sequence[str] = (sha(1), sha(2))

    def __post_init__(self) -> None:
        repository = Repository(1, 2, "acme/widgets", False)
        comment = Comment(5, "https://github.com/acme/widgets/issues/12#issuecomment-5")
        command = StartJob(
            key="k",
            actor=MAYA,
            repository=repository,
            text="fix the timestamps",
            plan_only=False,
            issue=Issue(self.number, "Timestamps are off"),
            comment=comment,
        )
        self.events.append(Received(0.0, command))

    @property
    def job(self) -> Job:
        return fold("j0123456789abcdef0123", self.events)

    @property
    def now(self) -> float:
        return float(len(self.events))

    def add(self, event: JobEvent) -> "Story":
        self.events.append(replace(event, at=self.now))
        return self

    def plan_only(self) -> "Story":
        received = self.events[0]
        assert isinstance(received, Received)
        self.events[0] = replace(received, command=replace(received.command, plan_only=True))
        return self

    def cloned(self, branch: str = "vibecode/12-timestamps-89abcdef") -> "Story":
        self.add(Allowed(0, "write")).add(Claimed(0, "w1", 1))
        return self.add(Cloned(0, "main", BASE, branch, 40, 90_000, 0.4))

    def planned(self, waits: bool = False, plan: Plan = PLAN) -> "Story":
        self.add(Charged(0, "claude", 400, 1_200, 400, 150, Decimal("0.031")))
        return self.add(Planned(0, plan, "abcd1234" * 8, waits))

    def approved(self) -> "Story":
        return self.add(Approved(0, Actor(8, "rob"), "abcd1234" * 8))

    def began(self, step: int) -> "Story":
        return self.add(StepBegan(0, step))

    def noted(self, text: str) -> "Story":
        return self.add(Noted(0, text))

    def ran(self, command: str, code: int | None, edits: int, output: str = "1 failed") -> "Story":
        return self.add(CommandRan(0, "r1", command, code, 1.25, "0" * 64, output, edits))

    def committed(self, step: int, edits: int) -> "Story":
        files = PLAN.steps[step - 1].files
        title = PLAN.steps[step - 1].title
        at = self.shas[step - 1]
        return self.add(StepCommitted(0, step, at, title, files, 10 * step, step, edits))

    def opened(self, number: int = 13) -> "Story":
        return self.add(PullOpened(0, number, f"https://github.com/acme/widgets/pull/{number}"))

    def ended(self, outcome: Outcome, summary: str, not_done: tuple[str, ...] = ()) -> "Story":
        return self.add(Finished(0, outcome, summary, not_done))

    def worked(self) -> "Story":
        """Up to the last commit, with a test that failed before and passes after."""
        self.cloned().planned().began(1).ran("pytest tests -q", 1, 0)
        self.committed(1, 1).opened().began(2)
        return self.ran("pytest tests -q", 0, 3, "12 passed").committed(2, 3)
