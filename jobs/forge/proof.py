"""What the commands that were really run say about the commits. Pure.

The model's word counts for nothing here: only runs from the ledger, each against the exact state of
the files that it saw.
"""

import re
from dataclasses import dataclass

from jobs.events import CommandRan
from jobs.forge.facts import Conclusion
from jobs.job import Job

# How the usual test runners are called, where a command may stand. A plan's own verification
# commands count as well.
_TEST = re.compile(
    r"(?:^|[;&|(]\s*|/|\s-m\s+|\b(?:run|exec|npx|bunx|dlx|time)\s+|\btimeout\s+\S+\s+|\b\w+=\S*\s+)"
    r"(?:pytest|py\.test|unittest|nosetests|tox|nox|jest|vitest|mocha|ava|karma|playwright test"
    r"|rspec|phpunit|pest|ctest|busted|bats|doctest|trial"
    r"|(?:go|cargo|dotnet|bun|deno|swift|mix|rake|zig|stack|sbt|lein) test|cargo nextest"
    r"|(?:npm|yarn|pnpm)(?: run)? test|npm t|make (?:test|check)"
    r"|(?:mvnw?|gradlew?)\b.*\b(?:test|verify))(?![\w.-])"
)


@dataclass(frozen=True, slots=True)
class TestRun:
    """A command that tests, and the state of the files that it ran against."""

    run: CommandRan
    against: str  # a commit's sha, or "" for a state that no commit holds
    base: bool  # that commit is the one that the job started from

    @property
    def passed(self) -> bool:
        return self.run.exit_code == 0


def tests(job: Job) -> tuple[TestRun, ...]:
    """The test runs, in their order."""
    planned = {_words(line) for line in job.plan.verification} if job.plan else set()
    return tuple(
        _against(job, run)
        for run in job.runs
        if is_test(run.command) or _words(run.command) in planned
    )


def is_test(command: str) -> bool:
    """Whether a usual test runner is called, as far as its first 2,000 characters tell."""
    return _TEST.search(command[:2_000]) is not None


def mended(job: Job) -> tuple[tuple[TestRun, TestRun], ...]:
    """Pairs of one command that failed before the last commits and passes after them."""
    by_command: dict[str, list[TestRun]] = {}
    for test in tests(job):
        by_command.setdefault(_words(test.run.command), []).append(test)
    pairs = []
    for runs in by_command.values():
        failed = next((test for test in runs if not test.passed), None)
        last = runs[-1]
        if failed is not None and last.passed and last.against and not last.base:
            pairs.append((failed, last))
    return tuple(pairs)


def verified(job: Job) -> bool:
    """On the last commit tests ran, and each command's last run there passed."""
    last = {
        _words(test.run.command): test.passed
        for test in tests(job)
        if test.against == job.head_sha and not test.base
    }
    return bool(last) and all(last.values())


def conclusion(job: Job) -> Conclusion | None:
    """The check run's verdict; None while the job is at work."""
    if job.end is None:
        return None
    match job.end.outcome:
        case "succeeded":
            return "success" if verified(job) and not job.end.not_done else "neutral"
        case "failed":
            return "failure"
        case "cancelled":
            return "cancelled"
        case "stopped":
            return "action_required"


def _against(job: Job, run: CommandRan) -> TestRun:
    """A commit holds the files that a run saw where no tool edited anything in between.

    Where a step changed files by commands alone, its commit has as many edits as what came before
    it, and a run in between may have seen either: it then belongs to none. A new worker in a new
    sandbox counts edits from nought again, on top of the last commit.
    """
    before = [commit for commit in job.commits if commit.at < run.at]
    next_one = next((c for c in job.commits if c.at >= run.at and c.edits == run.edits), None)
    if before and run.edits in {0, before[-1].edits}:
        return TestRun(run, "" if next_one else before[-1].sha, False)
    if not before and run.edits == 0:
        return TestRun(run, "" if next_one else job.base_sha, not next_one)
    return TestRun(run, next_one.sha if next_one else "", False)


def _words(command: str) -> str:
    return " ".join(command.split())
