"""What stands on GitHub while a job goes on, and after another worker took over."""

from dataclasses import dataclass, replace

import pytest
from forge_jobs import Story
from forge_world import (
    comments_on,
    commit_in,
    forge_of,
    issue_in,
    repository_in,
    runs_on,
)

from jobs.events import Checked
from jobs.forge import render
from jobs.forge.errors import GitHubUnreachable
from jobs.forge.github import GitHub
from jobs.forge.report import Report
from jobs.job import Job
from vibecoder.local.github.world import World

BRANCH = "vibecode/12-timestamps-89abcdef"


async def allowed() -> None:
    """The lease is held."""


@dataclass
class Desk:
    """A story with its own issue and commits in the world, and who reports it."""

    story: Story
    world: World
    github: GitHub

    async def report(self) -> Report:
        forge = await forge_of(self.github, self.world)
        return Report(forge, None, allowed)

    async def show(self, report: Report) -> list[Checked]:
        """As a worker does: what is new is recorded."""
        new = await report.show(self.story.job)
        for checked in new:
            self.story.add(checked)
        return new

    async def open_pull(self) -> int:
        job = self.story.job
        pull = await (await forge_of(self.github, self.world)).pull(
            head=job.branch, base=job.base, title=render.pull_title(job), body=render.pull_body(job)
        )
        self.story.opened(pull.number)
        return pull.number

    def sticky(self, number: int | None = None) -> str:
        (comment,) = comments_on(self.world, number or self.story.number)
        return comment.body


@pytest.fixture
def desk(world: World, github: GitHub) -> Desk:
    issue = issue_in(world)
    shas = [commit_in(world, BRANCH, "a.txt"), commit_in(world, BRANCH, "b.txt")]
    return Desk(Story(number=issue.number, shas=shas), world, github)


async def to_the_end(desk: Desk, report: Report) -> int:
    story = desk.story
    await desk.show(report)
    story.cloned(BRANCH).planned().began(1).ran("pytest tests -q", 1, 0)
    await desk.show(report)
    story.committed(1, 1)
    number = await desk.open_pull()
    await desk.show(report)
    story.began(2).ran("pytest tests -q", 0, 3).committed(2, 3)
    await desk.show(report)
    story.ended("succeeded", "Timestamps are UTC.")
    await desk.show(report)
    return number


async def test_from_queued_to_done(desk: Desk) -> None:
    report = await desk.report()
    await desk.show(report)
    assert "### Queued" in desk.sticky()
    number = await to_the_end(desk, report)

    assert f"### Done: draft pull request #{number}" in desk.sticky()
    assert "### Done" in desk.sticky(number)
    pull = repository_in(desk.world).issues[number]
    assert (pull.body or "").startswith(f"Closes #{desk.story.number}\n")
    assert "**failed before**" in (pull.body or "")

    first, last = (runs_on(desk.world, sha) for sha in desk.story.shas)
    assert [(r.status, r.conclusion, r.title) for r in first] == [
        ("completed", "neutral", "Superseded")
    ]
    assert [(r.status, r.conclusion, r.title) for r in last] == [
        ("completed", "success", "2 commits, tests pass")
    ]
    recorded = [(c.check_run_id, c.head_sha) for c in desk.story.job.checks]
    assert recorded == [(first[0].id, desk.story.shas[0]), (last[0].id, desk.story.shas[1])]


async def test_another_worker_goes_on_in_the_same_places(desk: Desk) -> None:
    number = await to_the_end(desk, await desk.report())
    new = await (await desk.report()).show(desk.story.job)
    assert new == []
    assert len(comments_on(desk.world, desk.story.number)) == 1
    assert len(comments_on(desk.world, number)) == 1
    assert [len(runs_on(desk.world, sha)) for sha in desk.story.shas] == [1, 1]
    assert len([i for i in repository_in(desk.world).issues.values() if i.pull]) == 1


async def test_a_run_left_behind_by_a_dead_worker_is_ended(desk: Desk) -> None:
    """It died after its push, its check run still going."""
    first = await desk.report()
    desk.story.cloned(BRANCH).planned().began(1).committed(1, 1)
    await desk.show(first)
    (left,) = runs_on(desk.world, desk.story.shas[0])
    assert left.status == "in_progress"
    desk.story.began(2).committed(2, 3)
    await desk.show(await desk.report())
    assert (left.status, left.conclusion) == ("completed", "neutral")


async def test_progress_is_coalesced_and_states_are_not(desk: Desk) -> None:
    report = await desk.report()
    desk.story.cloned(BRANCH).planned().began(1)
    await desk.show(report)
    before = desk.sticky()
    for number in range(20):
        desk.story.noted(f"read_file {number}")
        await desk.show(report)
    assert desk.sticky() == before
    desk.story.committed(1, 1).began(2)
    await desk.show(report)
    assert "step 2 of 2" in desk.sticky()
    assert "read\\_file 19" in desk.sticky()


async def test_an_outage_only_delays(desk: Desk) -> None:
    report = await desk.report()
    desk.world.faults.add("POST", "/comments$", times=4, status=502)
    assert await report.show(desk.story.job) == []
    assert comments_on(desk.world, desk.story.number) == []
    desk.story.cloned(BRANCH)
    await desk.show(report)
    assert "### Planning" in desk.sticky()


async def test_an_outage_at_the_end_is_raised(desk: Desk) -> None:
    report = await desk.report()
    await desk.show(report)
    desk.story.ended("failed", "It broke.")
    desk.world.faults.add("PATCH", "/comments/", times=4, status=502)
    with pytest.raises(GitHubUnreachable):
        await report.show(desk.story.job)
    await desk.show(report)
    assert "It broke." in desk.sticky()


async def test_a_locked_issue_does_not_stop_the_work(desk: Desk) -> None:
    refused = '{"message":"Unable to create comment because issue is locked."}'
    thread = rf"/issues/{desk.story.number}/comments$"
    desk.world.faults.add("POST", thread, times=1_000, status=403, body=refused)
    report = await desk.report()
    number = await to_the_end(desk, report)
    assert comments_on(desk.world, desk.story.number) == []
    assert "### Done" in desk.sticky(number)


async def test_a_place_that_was_shut_still_hears_the_last_word(desk: Desk) -> None:
    refused = '{"message":"Unable to create comment because issue is locked."}'
    desk.world.faults.add("POST", "/comments$", status=403, body=refused)
    report = await desk.report()
    await desk.show(report)
    desk.story.cloned(BRANCH)
    await desk.show(report)
    assert comments_on(desk.world, desk.story.number) == []
    desk.story.ended("stopped", "Enough.")
    await desk.show(report)
    assert "Enough." in desk.sticky()


@pytest.mark.parametrize("kept", ["checks", "pull_requests"])
async def test_without_one_permission_the_other_places_tell(desk: Desk, kept: str) -> None:
    report = await desk.report()
    desk.story.cloned(BRANCH).planned().began(1).committed(1, 1)
    number = await desk.open_pull()
    await desk.show(report)
    withdrawn = {"checks", "pull_requests"} - {kept}
    for name in withdrawn:
        desk.world.installation.permissions[name] = "read"
    desk.story.ended("stopped", "Enough.")
    await desk.show(report)
    assert "Enough." in desk.sticky()
    assert "Enough." in desk.sticky(number)
    (run,) = runs_on(desk.world, desk.story.shas[0])
    assert (run.status == "completed") == (kept == "checks")
    body = repository_in(desk.world).issues[number].body or ""
    assert ("Enough." in body) == (kept == "pull_requests")


async def test_a_lost_lease_writes_nothing(desk: Desk) -> None:
    class LeaseLost(Exception):
        pass

    async def lost() -> None:
        raise LeaseLost

    forge = await forge_of(desk.github, desk.world)
    report = Report(forge, None, lost)
    with pytest.raises(LeaseLost):
        await report.show(desk.story.job)
    assert comments_on(desk.world, desk.story.number) == []


async def test_a_job_without_an_issue_needs_no_comment(desk: Desk) -> None:
    job = Job("j1", replace(desk.story.job.command, issue=None), "queued", 0.0)
    assert await (await desk.report()).show(job) == []
    assert comments_on(desk.world, desk.story.number) == []
