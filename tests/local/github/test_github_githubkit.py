"""githubkit, a client with strict models, parses everything that it asks for."""

from typing import Any

import pytest
from githubkit import GitHub
from githubkit.auth import AppAuthStrategy
from githubkit.cache import MemCacheStrategy
from githubkit.exception import RequestError, RequestFailed

from vibecoder.local.github import bare
from vibecoder.local.github.world import World

OWNER, REPO = "acme", "widgets"


def client(world: World, root: str = "/api/v3") -> GitHub[AppAuthStrategy]:
    return GitHub(
        AppAuthStrategy(app_id=None, client_id=world.client_id, private_key=world.private_key),
        base_url=world.base_url + root,
        timeout=10,
        http_cache=False,
        cache_strategy=MemCacheStrategy(),
        auto_retry=False,
    )


def branch(world: World, name: str, files: bare.Files) -> str:
    """A commit on a new branch, put there behind the server's back."""
    folder = world.repository(f"{OWNER}/{REPO}").folder
    who = bare.Person("Maya", "maya@example.com", "2026-01-02T03:04:05Z")
    tip = bare.resolve(folder, "refs/heads/main")
    return bare.commit_files(folder, name, files, "Fix the widget\n\nIt turned.", who, tip)


@pytest.mark.parametrize("root", ["/api/v3", "/"])
async def test_the_life_of_a_job(world: World, root: str) -> None:
    world.add_issue(f"{OWNER}/{REPO}", "It does not turn", "Please **fix**.", "maya")
    async with client(world, root) as app:
        about = (await app.rest.apps.async_get_authenticated()).parsed_data
        assert about is not None and about.slug == "cloud-vibecoder"
        found = (await app.rest.apps.async_list_installations()).parsed_data
        assert [it.id for it in found] == [world.installation_id]
        await app.rest.apps.async_get_installation(world.installation_id)
        one = (await app.rest.apps.async_get_repo_installation(OWNER, REPO)).parsed_data
        assert one.id == world.installation_id
        repository = world.repository(f"{OWNER}/{REPO}")
        token = await app.rest.apps.async_create_installation_access_token(
            world.installation_id,
            data={"repository_ids": [repository.id], "permissions": {"contents": "write"}},
        )
        assert token.parsed_data.token.startswith("ghs_") and "." in token.parsed_data.token

        async with app.with_auth(
            app.auth.as_installation(world.installation_id, repository_ids=[repository.id])
        ) as gh:
            rest: Any = gh.rest
            full = (await rest.repos.async_get(OWNER, REPO)).parsed_data
            assert full.default_branch == "main"
            mine = (await rest.apps.async_list_repos_accessible_to_installation()).parsed_data
            assert [it.full_name for it in mine.repositories] == ["acme/widgets"]
            role = await rest.repos.async_get_collaborator_permission_level(OWNER, REPO, "maya")
            assert role.parsed_data.permission == "write"
            bot = (await rest.users.async_get_by_username("cloud-vibecoder[bot]")).parsed_data
            assert bot.type == "Bot"

            issue = (await rest.issues.async_get(OWNER, REPO, 1)).parsed_data
            assert issue.user.login == "maya"
            await rest.reactions.async_create_for_issue(OWNER, REPO, 1, content="eyes")
            said = await rest.issues.async_create_comment(OWNER, REPO, 1, body="On it.")
            comment = said.parsed_data.id
            await rest.issues.async_update_comment(OWNER, REPO, comment, body="Done.")
            first = await rest.reactions.async_create_for_issue_comment(
                OWNER, REPO, comment, content="rocket"
            )
            second = await rest.reactions.async_create_for_issue_comment(
                OWNER, REPO, comment, content="rocket"
            )
            assert (first.status_code, second.status_code) == (201, 200)
            assert first.parsed_data.id == second.parsed_data.id
            said = await rest.issues.async_list_comments(OWNER, REPO, 1)
            assert [it.body for it in said.parsed_data] == ["Done."]
            await rest.issues.async_add_labels(OWNER, REPO, 1, labels=["bug", "new one"])

            head = branch(world, "fix/turn", {"src/widget.py": b"def turn():\n    return 2\n"})
            made = await rest.pulls.async_create(
                OWNER, REPO, title="Fix", head="fix/turn", base="main", body="Closes #1", draft=True
            )
            pull = made.parsed_data
            assert (pull.number, pull.head.sha, pull.draft, pull.changed_files) == (
                2,
                head,
                True,
                1,
            )
            pull = (await rest.pulls.async_get(OWNER, REPO, 2)).parsed_data
            assert pull.mergeable and pull.commits == 1
            listed = await rest.pulls.async_list(OWNER, REPO, head="acme:fix/turn")
            assert [it.number for it in listed.parsed_data] == [2]
            files = (await rest.pulls.async_list_files(OWNER, REPO, 2)).parsed_data
            assert [it.filename for it in files] == ["src/widget.py"]
            assert len((await rest.pulls.async_list_commits(OWNER, REPO, 2)).parsed_data) == 1
            with pytest.raises(RequestFailed) as refused:
                await rest.pulls.async_create(
                    OWNER, REPO, title="Fix", head="fix/turn", base="main"
                )
            assert refused.value.response.status_code == 422
            assert "already exists for acme:fix/turn" in refused.value.response.text

            run = await rest.checks.async_create(
                OWNER, REPO, name="vibecode", head_sha=head, status="in_progress", external_id="j1"
            )
            done = await rest.checks.async_update(
                OWNER,
                REPO,
                run.parsed_data.id,
                status="completed",
                conclusion="success",
                output={"title": "Done", "summary": "All **well**."},
                actions=[{"label": "Retry", "identifier": "retry", "description": "Once more"}],
            )
            assert done.parsed_data.conclusion == "success"
            of_ref = await rest.checks.async_list_for_ref(OWNER, REPO, "fix/turn")
            assert of_ref.parsed_data.total_count == 1
            suites = await rest.checks.async_list_suites_for_ref(OWNER, REPO, head)
            await rest.checks.async_list_for_suite(
                OWNER, REPO, suites.parsed_data.check_suites[0].id
            )

            await rest.repos.async_list_commits(OWNER, REPO, sha="fix/turn")
            await rest.repos.async_get_commit(OWNER, REPO, head)
            compared = await rest.repos.async_compare_commits(OWNER, REPO, "main...fix/turn")
            assert compared.parsed_data.ahead_by == 1
            await rest.repos.async_list_branches(OWNER, REPO)
            await rest.repos.async_get_branch(OWNER, REPO, "fix/turn")
            await rest.repos.async_get_content(OWNER, REPO, "src/widget.py")
            await rest.git.async_get_ref(OWNER, REPO, "heads/fix/turn")
            await rest.git.async_create_ref(OWNER, REPO, ref="refs/heads/other", sha=head)
            await rest.git.async_get_commit(OWNER, REPO, head)
            await rest.git.async_get_tree(OWNER, REPO, head, recursive="1")
            await rest.git.async_delete_ref(OWNER, REPO, "heads/other")
            await rest.rate_limit.async_get()


async def test_a_token_with_fewer_permissions_is_refused(world: World) -> None:
    async with client(world) as app:
        narrow = app.auth.as_installation(world.installation_id, permissions={"contents": "read"})
        world.add_issue(f"{OWNER}/{REPO}", "One", None, "maya")
        async with app.with_auth(narrow) as gh:
            with pytest.raises(RequestFailed) as refused:
                await gh.rest.issues.async_create_comment(OWNER, REPO, 1, body="No.")
    answer = refused.value.response
    assert answer.status_code == 403
    assert answer.json()["message"] == "Resource not accessible by integration"
    assert "issues=write" in answer.headers["x-accepted-github-permissions"]


async def test_a_suspended_installation_gets_no_token(world: World) -> None:
    world.suspend()
    async with (
        client(world) as app,
        app.with_auth(app.auth.as_installation(world.installation_id)) as gh,
    ):
        with pytest.raises(RequestError) as refused:
            await gh.rest.repos.async_get(OWNER, REPO)
    assert "suspended" in refused.value.exc.response.text
