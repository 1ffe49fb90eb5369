"""The verbs, over sockets, against a GitHub that loses answers, refuses and has limits."""

import asyncio

import pytest
from forge_world import (
    REPOSITORY,
    comments_on,
    commit_in,
    forge_of,
    issue_in,
    repository_in,
    runs_on,
    settings_of,
)

from jobs.forge.errors import (
    AppRefused,
    GitHubUnreachable,
    Locked,
    Missing,
    NotGranted,
    RateLimited,
    Suspended,
    Uninstalled,
    ValidationRefused,
)
from jobs.forge.github import Forge, GitHub
from jobs.forge.tokens import AppSettings
from vibecoder.local.github import issues
from vibecoder.local.github.records import Actor
from vibecoder.local.github.world import World


async def check(forge: Forge, sha: str, title: str = "Going", done: bool = False) -> int:
    return await forge.check(
        name="vibecode",
        head_sha=sha,
        external_id="j1",
        status="completed" if done else "in_progress",
        conclusion="success" if done else None,
        title=title,
        summary="summary",
        text="text",
    )


# ── who we are, where we are ──────────────────────────────────────────────────────────────────────


async def test_the_bot_is_known_by_its_account(github: GitHub, world: World) -> None:
    bot = await github.bot()
    account = world.account("cloud-vibecoder[bot]")
    assert (bot.id, bot.login) == (account.id, account.login)
    assert bot.email == f"{account.id}+cloud-vibecoder[bot]@users.noreply.127.0.0.1"
    assert (await github.registered()).permissions["checks"] == "write"


async def test_without_a_bot_looked_up_before_a_repository_knows_it(
    forge: Forge, github: GitHub
) -> None:
    assert forge.bot == await github.bot()


async def test_a_repository_is_described(forge: Forge, world: World) -> None:
    facts = await forge.facts()
    assert (facts.name, facts.private, facts.default_branch) == (REPOSITORY, False, "main")
    assert facts.clone_url == f"{world.base_url}/{REPOSITORY}.git"
    assert await forge.branch_head("main")
    assert await forge.branch_head("no/such#branch") is None


async def test_an_empty_repository_has_no_branch(github: GitHub, world: World) -> None:
    world.add_repository("acme/empty", {})
    assert await (await forge_of(github, world, "acme/empty")).branch_head("main") is None


async def test_the_senders_permission_is_asked_live(forge: Forge, world: World) -> None:
    assert await forge.permission("maya") == "write"
    assert await forge.permission("rob") == "read"
    assert await forge.permission("nobody-at-all") == "none"
    world.set_role(REPOSITORY, "maya", "read")
    assert await forge.permission("maya") == "read"
    world.set_role(REPOSITORY, "maya", "maintain")
    assert await forge.permission("maya") == "write"


async def test_a_stranger_to_a_private_repository_may_nothing(github: GitHub, world: World) -> None:
    world.add_repository("acme/secret", {"a": b"a"}, private=True)
    assert await (await forge_of(github, world, "acme/secret")).permission("sam") == "none"


async def test_an_issue_is_read_with_its_latest_comments(forge: Forge, world: World) -> None:
    issue = issue_in(world)
    maya = Actor(world.account("maya"))
    for number in range(120):
        issues.comment(world, repository_in(world), maya, issue, f"comment {number}")
    await forge.comment(issue.number, "job:j1", "ours")
    facts = await forge.issue(issue.number)
    assert (facts.title, facts.author, facts.is_pull) == ("It flakes", "maya", False)
    bodies = [body for _, body in facts.comments]
    assert bodies[-1] == "comment 119"
    assert 50 <= len(bodies) <= 100
    assert bodies == [f"comment {n}" for n in range(120 - len(bodies), 120)]


# ── writing once ──────────────────────────────────────────────────────────────────────────────────


async def test_a_comment_is_made_once_and_then_kept(
    forge: Forge, github: GitHub, world: World
) -> None:
    issue = issue_in(world)
    first = await forge.comment(issue.number, "job:j1", "one")
    again = await forge.comment(issue.number, "job:j1", "two")
    other_worker = await forge_of(github, world)
    third = await other_worker.comment(issue.number, "job:j1", "three")
    assert first == again == third
    assert [c.body for c in comments_on(world, issue.number)] == [
        "<!-- vibecoder:job:j1 -->\nthree"
    ]
    await forge.comment(issue.number, "job:j2", "another job")
    assert len(comments_on(world, issue.number)) == 2


async def test_somebody_elses_marker_is_not_ours(forge: Forge, world: World) -> None:
    issue = issue_in(world)
    copied = "<!-- vibecoder:job:j1 -->\nmine now"
    issues.comment(world, repository_in(world), Actor(world.account("sam")), issue, copied)
    await forge.comment(issue.number, "job:j1", "ours")
    assert [c.author.login for c in comments_on(world, issue.number)] == [
        "sam",
        "cloud-vibecoder[bot]",
    ]


async def test_a_deleted_comment_is_made_anew(forge: Forge, world: World) -> None:
    issue = issue_in(world)
    ref = await forge.comment(issue.number, "job:j1", "one")
    del issue.comments[ref.id]
    await forge.comment(issue.number, "job:j1", "two")
    assert len(comments_on(world, issue.number)) == 1


async def test_two_workers_at_once_leave_one_comment(github: GitHub, world: World) -> None:
    issue = issue_in(world)
    forges = [await forge_of(github, world) for _ in range(3)]
    world.faults.add("GET", r"/comments", times=3, delay=0.1)  # all look before any writes
    refs = await asyncio.gather(
        *(forge.comment(issue.number, "job:j1", "same") for forge in forges)
    )
    for forge in forges:
        await forge.comment(issue.number, "job:j1", "same")
    assert len(comments_on(world, issue.number)) == 1
    assert refs


@pytest.mark.parametrize("late", [True, False])
async def test_a_lost_answer_makes_no_second_comment(
    forge: Forge, world: World, late: bool
) -> None:
    issue = issue_in(world)
    world.faults.add("POST", r"/comments$", times=2, status=502, late=late)
    await forge.comment(issue.number, "job:j1", "once")
    assert len(comments_on(world, issue.number)) == 1


async def test_a_lost_answer_makes_no_second_check_or_pull(forge: Forge, world: World) -> None:
    sha = commit_in(world, "vibecode/1-x")
    world.faults.add("POST", r"/check-runs$", times=1, status=502, late=True)
    world.faults.add("POST", r"/pulls$", times=1, status=502, late=True)
    await check(forge, sha)
    pull = await forge.pull(head="vibecode/1-x", base="main", title="t", body="b")
    assert len(runs_on(world, sha)) == 1
    assert pull.open
    assert len([i for i in repository_in(world).issues.values() if i.pull]) == 1


async def test_reads_outlast_an_outage(forge: Forge, world: World) -> None:
    world.faults.add("GET", rf"/repos/{REPOSITORY}$", times=2, status=503)
    assert (await forge.facts()).name == REPOSITORY


async def test_a_long_outage_is_said(forge: Forge, world: World) -> None:
    issue = issue_in(world)
    world.faults.add("POST", r"/comments$", times=50, status=500)
    with pytest.raises(GitHubUnreachable, match="HTTP 500"):
        await forge.comment(issue.number, "job:j1", "x")
    assert comments_on(world, issue.number) == []


async def test_nobody_there_is_said(world: World) -> None:
    settings = AppSettings("1", world.private_key, "http://127.0.0.1:9", "http://127.0.0.1:9")
    async with GitHub(settings) as github:
        with pytest.raises(GitHubUnreachable, match="did not answer"):
            await github.bot()


async def test_a_guard_stops_every_write_and_no_read(forge: Forge, world: World) -> None:
    class Lost(Exception):
        pass

    async def guard() -> None:
        raise Lost

    issue = issue_in(world)
    sha = commit_in(world, "vibecode/1-x")
    guarded = forge.guarded(guard)
    assert (await guarded.issue(issue.number)).title == "It flakes"
    with pytest.raises(Lost):
        await guarded.comment(issue.number, "job:j1", "x")
    with pytest.raises(Lost):
        await check(guarded, sha)
    with pytest.raises(Lost):
        await guarded.pull(head="vibecode/1-x", base="main", title="t", body="b")
    assert comments_on(world, issue.number) == []
    assert runs_on(world, sha) == []


async def test_a_reaction_twice_is_once(forge: Forge, world: World) -> None:
    issue = issue_in(world)
    maya = Actor(world.account("maya"))
    comment = issues.comment(world, repository_in(world), maya, issue, "/vibecode x")
    await forge.react(comment.id, "eyes")
    await forge.react(comment.id, "eyes")
    assert [r.content for r in comment.reactions] == ["eyes"]
    del issue.comments[comment.id]
    with pytest.raises(Missing):
        await forge.react(comment.id, "eyes")


# ── pull requests and checks ──────────────────────────────────────────────────────────────────────


async def test_a_pull_request_is_a_draft_and_made_once(forge: Forge, world: World) -> None:
    commit_in(world, "vibecode/1-x")
    one = await forge.pull(head="vibecode/1-x", base="main", title="Fix", body="one")
    two = await forge.pull(head="vibecode/1-x", base="main", title="Other", body="two")
    assert one == two
    issue = repository_in(world).issues[one.number]
    assert issue.pull is not None
    assert issue.pull.draft
    assert (issue.title, issue.body) == ("Fix", "two")


async def test_a_closed_pull_request_is_left_alone(forge: Forge, world: World) -> None:
    commit_in(world, "vibecode/1-x")
    one = await forge.pull(head="vibecode/1-x", base="main", title="Fix", body="one")
    repository_in(world).issues[one.number].state = "closed"
    two = await forge.pull(head="vibecode/1-x", base="main", title="Fix", body="two")
    assert (two.number, two.open) == (one.number, False)
    assert repository_in(world).issues[one.number].body == "one"


async def test_without_drafts_it_is_a_plain_one(forge: Forge, world: World) -> None:
    commit_in(world, "vibecode/1-x")
    refused = (
        '{"message":"Validation Failed","errors":'
        '[{"message":"Draft pull requests are not supported in this repository."}]}'
    )
    world.faults.add("POST", r"/pulls$", status=422, body=refused)
    pull = await forge.pull(head="vibecode/1-x", base="main", title="Fix", body="one")
    made = repository_in(world).issues[pull.number].pull
    assert made is not None
    assert not made.draft


async def test_nothing_between_the_branches_is_said(forge: Forge, world: World) -> None:
    with pytest.raises(ValidationRefused, match="No commits between"):
        await forge.pull(head="main", base="main", title="Fix", body="one")


async def test_a_check_run_is_made_once_and_completed(
    forge: Forge, github: GitHub, world: World
) -> None:
    sha = commit_in(world, "vibecode/1-x")
    first = await check(forge, sha)
    other_worker = await forge_of(github, world)
    assert await check(other_worker, sha, "Done", done=True) == first
    (run,) = runs_on(world, sha)
    assert (run.status, run.conclusion, run.title) == ("completed", "success", "Done")
    assert run.external_id == "j1"


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_locked_issue_takes_no_comment(forge: Forge, world: World) -> None:
    issue = issue_in(world)
    issue.locked = True
    world.faults.add(
        "POST",
        "/comments$",
        status=403,
        body='{"message":"Unable to create comment because issue is locked."}',
    )
    with pytest.raises(Locked, match="locked"):
        await forge.comment(issue.number, "job:j1", "x")


async def test_what_is_not_there_is_missing(forge: Forge) -> None:
    with pytest.raises(Missing):
        await forge.issue(999)


async def test_a_suspended_installation_is_said(github: GitHub, world: World) -> None:
    world.suspend()
    with pytest.raises(Suspended, match="suspended"):
        await forge_of(github, world)


async def test_suspended_in_the_middle(forge: Forge, world: World) -> None:
    world.suspend()
    with pytest.raises(Suspended):
        await forge.facts()


async def test_uninstalled_is_said(github: GitHub, world: World) -> None:
    repository = repository_in(world)
    with pytest.raises(Uninstalled, match="not installed"):
        await github.repository(999_999, repository.id, REPOSITORY)


async def test_a_repository_that_was_not_chosen(github: GitHub, world: World) -> None:
    other = world.add_repository("acme/other", {"a": b"a"}, installed=False)
    with pytest.raises(Uninstalled, match="not installed on this repository"):
        await github.repository(world.installation_id, other.id, "acme/other")


async def test_a_permission_that_was_not_granted_is_named(github: GitHub, world: World) -> None:
    del world.installation.permissions["checks"]
    with pytest.raises(NotGranted, match="checks: write") as caught:
        await forge_of(github, world)
    assert caught.value.permission == "checks: write"


async def test_a_permission_that_was_withdrawn_is_named(forge: Forge, world: World) -> None:
    sha = commit_in(world, "vibecode/1-x")
    del world.installation.permissions["checks"]
    with pytest.raises(NotGranted, match="checks: "):
        await check(forge, sha)


async def test_a_wrong_key_is_said(world: World) -> None:
    stranger = World(world.folder / "other")
    settings = AppSettings(str(world.app_id), stranger.private_key, world.base_url, world.base_url)
    async with GitHub(settings) as github:
        with pytest.raises(AppRefused, match="GITHUB_PRIVATE_KEY"):
            await github.bot()


@pytest.mark.parametrize("pem", ["", "no key", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n"])
async def test_an_unreadable_key_is_said_at_the_start(world: World, pem: str) -> None:
    settings = AppSettings(str(world.app_id), pem, world.base_url, world.base_url)
    with pytest.raises(AppRefused, match="cannot be read"):
        async with GitHub(settings):
            pass
    assert "PRIVATE" not in repr(settings_of(world))


# ── limits and tokens ─────────────────────────────────────────────────────────────────────────────


async def test_a_short_limit_is_waited_for(forge: Forge, world: World) -> None:
    issue = issue_in(world)
    world.faults.add("POST", "/comments$", status=403, headers={"retry-after": "0"})
    await forge.comment(issue.number, "job:j1", "x")
    assert len(comments_on(world, issue.number)) == 1


async def test_a_long_limit_is_said_with_its_end(forge: Forge, world: World) -> None:
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "4000000000"}
    world.faults.add("GET", rf"/repos/{REPOSITORY}$", status=403, headers=headers)
    with pytest.raises(RateLimited, match="UTC") as caught:
        await forge.facts()
    assert caught.value.until == 4_000_000_000


async def test_a_limit_holds_for_all_writes_of_the_installation(
    forge: Forge, github: GitHub, world: World
) -> None:
    issue = issue_in(world)
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "4000000000"}
    world.faults.add("POST", "/comments$", status=403, headers=headers)
    with pytest.raises(RateLimited):
        await forge.comment(issue.number, "job:j1", "x")
    other = await forge_of(github, world)
    with pytest.raises(RateLimited):
        await other.comment(issue.number, "job:j2", "x")
    assert comments_on(world, issue.number) == []


async def test_a_token_that_ended_is_replaced(forge: Forge, world: World) -> None:
    issue = issue_in(world)
    world.expire_tokens()
    await forge.comment(issue.number, "job:j1", "x")
    world.expire_tokens()
    assert (await forge.facts()).name == REPOSITORY
    assert len(comments_on(world, issue.number)) == 1


async def test_many_who_ask_at_once_share_one_token(github: GitHub, world: World) -> None:
    before = {t.text for t in world.tokens.values() if t.kind == "installation"}
    forges = await asyncio.gather(*(forge_of(github, world) for _ in range(20)))
    await asyncio.gather(*(forge.facts() for forge in forges))
    minted = [t for t in world.tokens.values() if t.kind == "installation" and t.text not in before]
    assert len(minted) == 1
    assert minted[0].repository_ids == {repository_in(world).id}
    assert minted[0].permissions == {
        "contents": "write",
        "pull_requests": "write",
        "issues": "write",
        "checks": "write",
        "metadata": "read",
    }


async def test_a_git_thread_gets_a_good_token(forge: Forge, github: GitHub, world: World) -> None:
    read = forge.remote_token()
    first = await asyncio.to_thread(read)
    assert first in world.tokens
    github.tokens.drop(world.installation_id, repository_in(world).id, first)
    second = await asyncio.to_thread(read)
    assert second in world.tokens
    assert second != first


async def test_a_thread_learns_of_a_suspension(forge: Forge, github: GitHub, world: World) -> None:
    read = forge.remote_token()
    github.tokens.drop(world.installation_id, repository_in(world).id, read())
    world.suspend()
    with pytest.raises(Suspended):
        await asyncio.to_thread(read)
