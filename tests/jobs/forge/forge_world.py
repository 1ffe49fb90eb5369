"""Our client on a served GitHub, and jobs to show there."""

from jobs.forge.github import Forge, GitHub
from jobs.forge.tokens import AppSettings
from vibecoder.local.github import bare
from vibecoder.local.github.records import CheckRun, Comment, Issue, Repository
from vibecoder.local.github.world import World

REPOSITORY = "acme/widgets"


def settings_of(world: World) -> AppSettings:
    return AppSettings(
        str(world.app_id), world.private_key, f"{world.base_url}/api/v3", world.base_url
    )


async def forge_of(github: GitHub, world: World, name: str = REPOSITORY) -> Forge:
    repository = world.repository(name)
    return await github.repository(world.installation_id, repository.id, name)


def issue_in(world: World, title: str = "It flakes") -> Issue:
    return world.add_issue(REPOSITORY, title, "Sometimes.", "maya")


def repository_in(world: World) -> Repository:
    return world.repository(REPOSITORY)


def comments_on(world: World, number: int) -> list[Comment]:
    """In their order."""
    return list(repository_in(world).issues[number].comments.values())


def commit_in(world: World, branch: str, path: str = "a.txt", base: str = "main") -> str:
    """A new commit on a branch, which is made from `base` where it is not there; its sha."""
    folder = repository_in(world).folder
    parent = bare.branches(folder).get(branch) or bare.branches(folder)[base]
    who = bare.Person("Bot", "bot@example.com", "2026-01-01T00:00:00Z")
    return bare.commit_files(folder, branch, {path: path.encode()}, f"Add {path}", who, parent)


def runs_on(world: World, sha: str) -> list[CheckRun]:
    return [
        run
        for suite in repository_in(world).suites.values()
        if suite.head_sha == sha
        for run in suite.runs.values()
    ]
