"""What follows when a ref moves, by a push or through the API: events, pull requests, suites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vibecoder.local.github import bare, checks, hooks, pulls
from vibecoder.local.github.problems import Invalid
from vibecoder.local.github.records import Actor, Repository, now
from vibecoder.local.github.shapes import repositories
from vibecoder.local.github.shapes.site import Site, site_of

if TYPE_CHECKING:
    from vibecoder.local.github.world import World

WORKFLOWS = ".github/workflows/"
NO_WORKFLOWS = (
    "refusing to allow a GitHub App to create or update workflow `{path}` without "
    "`workflows` permission"
)


def moved(world: World, repository: Repository, actor: Actor, ref: str, old: str, new: str) -> None:
    """Tells of a ref that went from one commit to another; bare.ZERO stands for none."""
    repository.pushed_at = repository.updated_at = now()
    world.record(actor, "push", f"{repository.full_name}@{ref}", {"before": old, "after": new})
    hooks.fire(
        world,
        repository,
        actor,
        "push",
        None,
        _push(site_of(world), repository, actor, ref, old, new),
    )
    kind, _, name = ref.removeprefix("refs/").partition("/")
    if bare.ZERO in (old, new):
        fields = {
            "ref": name,
            "ref_type": "tag" if kind == "tags" else "branch",
            "master_branch": repository.default_branch,
            "description": repository.description,
            "pusher_type": "user",
        }
        event = "create" if old == bare.ZERO else "delete"
        hooks.fire(world, repository, actor, event, None, fields)
    if kind != "heads":
        return
    pulls.follow(world, repository, actor, name, old, new)
    if new != bare.ZERO:
        checks.request_suites(world, repository, actor, name, old, new)


def _push(
    site: Site, repository: Repository, actor: Actor, ref: str, old: str, new: str
) -> dict[str, Any]:
    folder = repository.folder
    ids: tuple[str, ...] = ()
    if bare.ZERO not in (old, new):
        ids = bare.history(folder, new, without=old, oldest_first=True)[-2048:]
    elif new != bare.ZERO:
        ids = (bare.resolve(folder, new) or new,)
    commits = [_commit(site, repository, sha) for sha in ids]
    html = repositories.html_url(site, repository)
    return {
        "ref": ref,
        "before": old,
        "after": new,
        "base_ref": None,
        "created": old == bare.ZERO,
        "deleted": new == bare.ZERO,
        "forced": bare.ZERO not in (old, new) and not bare.is_ancestor(folder, old, new),
        "compare": f"{html}/compare/{old[:12]}...{new[:12]}",
        "commits": [] if old == bare.ZERO else commits,
        "head_commit": commits[-1] if commits else None,
        "pusher": {
            "name": actor.account.login,
            "email": site.world.noreply(actor.account),
        },
    }


def _commit(site: Site, repository: Repository, sha: str) -> dict[str, Any]:
    made = bare.commit(repository.folder, sha)
    before = made.parents[0] if made.parents else bare.EMPTY_TREE
    changed = bare.changes(repository.folder, before, sha)
    people = {}
    for name, person in (("author", made.author), ("committer", made.committer)):
        known = repositories.account_by_email(site, person.email)
        people[name] = {"name": person.name, "email": person.email} | (
            {"username": known.login} if known else {}
        )
    return {
        "id": sha,
        "tree_id": made.tree,
        "distinct": True,
        "message": made.message,
        "timestamp": made.committer.date,
        "url": f"{repositories.html_url(site, repository)}/commit/{sha}",
        **people,
        "added": [c.path for c in changed if c.status == "added"],
        "removed": [c.path for c in changed if c.status == "removed"],
        "modified": [c.path for c in changed if c.status not in ("added", "removed")],
    }


def refuse_workflows(repository: Repository, new: str) -> None:
    """Raises Invalid where a commit brings workflow files that no branch has yet."""
    for change in new_workflows(repository, new):
        raise Invalid(NO_WORKFLOWS.format(path=change))


def new_workflows(repository: Repository, new: str) -> list[str]:
    """Paths of workflow files in a commit that differ from those of the default branch."""
    tip = bare.resolve(repository.folder, f"refs/heads/{repository.default_branch}")
    changed = bare.changes(repository.folder, tip or bare.EMPTY_TREE, new)
    return [c.path for c in changed if c.path.startswith(WORKFLOWS) and c.status != "removed"]
