"""The outcome of a demo, read back from GitHub, and the JSON that tools outside rely on."""

from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

import httpx

from jobs.events import (
    Claimed,
    Cloned,
    Finished,
    JobEvent,
    Planned,
    SandboxReady,
    StepBegan,
    StepCommitted,
    StepSkipped,
)
from jobs.forge import proof
from jobs.job import Job


@dataclass(frozen=True, slots=True)
class Test:
    """A test that was really run in the sandbox, and the commit it ran against."""

    command: str
    exit_code: int | None  # None: stopped by its time limit
    commit: str | None  # None: between two commits


@dataclass(frozen=True, slots=True)
class Result:
    """A pull request and how it came about. Times in seconds."""

    title: str
    pull_request_url: str
    issue_url: str
    branch: str
    base_sha: str
    head_sha: str
    commits: tuple[str, ...]
    files_changed: tuple[str, ...]
    conclusion: str | None  # of our check run on the head
    tests: tuple[Test, ...]
    seconds: dict[str, float]
    diff: str
    usd: str
    outcome: str
    matches_release: bool | None  # None: no release to compare with

    @property
    def good(self) -> bool:
        """A pull request, a green check, and the released fix where there is one."""
        return self.conclusion == "success" and self.matches_release is not False

    def as_json(self) -> dict[str, Any]:
        """The object that `demo --json` prints."""
        return {
            "pull_request_url": self.pull_request_url,
            "branch": self.branch,
            "base_sha": self.base_sha,
            "head_sha": self.head_sha,
            "commits": list(self.commits),
            "files_changed": list(self.files_changed),
            "check_run": {"conclusion": self.conclusion},
            "tests": [asdict(test) for test in self.tests],
            "seconds": {part: round(value, 3) for part, value in self.seconds.items()},
            "title": self.title,
            "outcome": self.outcome,
            "usd": self.usd,
            "matches_release": self.matches_release,
        }


async def read(
    github: httpx.AsyncClient,
    job: Job,
    events: list[JobEvent],
    fix: dict[str, bytes],
    *,
    began: float,
    asked: float,
) -> Result:
    """What GitHub shows of the job, asked like anybody would. Raises httpx.HTTPError."""
    if job.pull is None or job.issue is None:
        raise ValueError("only a job with a pull request has a result")
    repository = f"/repos/{job.repository.name}"

    async def get(path: str, accept: str = "application/vnd.github+json") -> httpx.Response:
        response = await github.get(repository + path, headers={"Accept": accept})
        return response.raise_for_status()

    async def same(path: str, content: bytes) -> bool:
        there = await github.get(
            f"{repository}/contents/{quote(path)}?ref={head}",
            headers={"Accept": "application/vnd.github.raw+json"},
        )
        return there.is_success and there.content == content

    pull = (await get(f"/pulls/{job.pull.number}")).json()
    head = pull["head"]["sha"]
    runs = (await get(f"/commits/{head}/check-runs")).json()["check_runs"]
    ours = [run for run in runs if run["external_id"] == job.id]
    return Result(
        title=pull["title"],
        pull_request_url=pull["html_url"],
        issue_url=(await get(f"/issues/{job.issue.number}")).json()["html_url"],
        branch=pull["head"]["ref"],
        base_sha=pull["base"]["sha"],
        head_sha=head,
        commits=tuple(c["sha"] for c in (await get(f"/pulls/{job.pull.number}/commits")).json()),
        files_changed=tuple(
            f["filename"] for f in (await get(f"/pulls/{job.pull.number}/files")).json()
        ),
        conclusion=ours[0]["conclusion"] if ours else None,
        tests=tuple(
            Test(test.run.command, test.run.exit_code, test.against or None)
            for test in proof.tests(job)
            if not test.base
        ),
        seconds={"prepared": asked - began} | durations(events, asked),
        diff=(await get(f"/pulls/{job.pull.number}", "application/vnd.github.diff")).text,
        usd=f"{job.usd:.4f}",
        outcome=job.state,
        matches_release=all([await same(*file) for file in fix.items()]) if fix else None,
    )


def durations(events: list[JobEvent], asked: float) -> dict[str, float]:
    """How long each part took, from one event that ends a part to the next."""
    parts: dict[str, float] = {}
    since, step = asked, 0
    for event in events:
        match event:
            case Claimed():
                part = "queued"
            case Cloned():
                part = "cloned"
            case SandboxReady():
                part = "sandbox"
            case Planned():
                part = "planned"
            case StepBegan(number=number):
                step = number
                continue
            case StepCommitted() | StepSkipped():
                part = f"step {step}"
            case Finished():
                part = "finished"
            case _:
                continue
        parts[part] = parts.get(part, 0.0) + event.at - since
        since = event.at
    parts["total"] = since - asked
    return parts
