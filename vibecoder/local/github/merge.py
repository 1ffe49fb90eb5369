"""Merging a pull request, and closing what it says it closes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vibecoder.local.github import bare, issues, refs
from vibecoder.local.github.problems import Conflict, NotFound, NotMergeable
from vibecoder.local.github.records import Actor, Change, Issue, Repository, now, stamp

if TYPE_CHECKING:
    from vibecoder.local.github.world import World

CLOSES = re.compile(r"\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+#(\d+)", re.IGNORECASE)


def merge(
    world: World,
    repository: Repository,
    actor: Actor,
    issue: Issue,
    *,
    method: str = "merge",
    title: str | None = None,
    message: str | None = None,
    sha: str | None = None,
) -> str:
    """Merges and returns the new commit's id; `method` is merge, squash or rebase.

    Raises NotMergeable for drafts, closed and conflicting ones, Conflict where `sha` is not the
    head any more.
    """
    pull = issue.pull
    if pull is None:
        raise NotFound
    if issue.state != "open":
        raise NotMergeable
    if pull.draft:
        raise NotMergeable("Pull Request is still a draft")
    if sha is not None and sha != pull.head_sha:
        raise Conflict("Head branch was modified. Review and try the merge again.")
    folder = repository.folder
    tree = bare.merge(folder, pull.base_sha, pull.head_sha)
    if tree is None:
        raise NotMergeable
    who = bare.Person(actor.account.login, world.noreply(actor.account), str(stamp(now())))
    if method == "rebase" and bare.is_ancestor(folder, pull.base_sha, pull.head_sha):
        made = pull.head_sha
    else:
        first = title or (
            f"{issue.title} (#{issue.number})"
            if method == "squash"
            else f"Merge pull request #{issue.number} from {repository.owner.login}/{pull.head_ref}"
        )
        rest = message if message is not None else "" if method == "squash" else issue.title
        parents = (
            [pull.base_sha] if method in ("squash", "rebase") else [pull.base_sha, pull.head_sha]
        )
        made = bare.write_commit(folder, tree, parents, f"{first}\n\n{rest}".strip() + "\n", who)
    pull.merged_at, pull.merged_by, pull.merge_commit_sha = now(), actor.account, made
    issue.state, issue.closed_at, issue.closed_by = "closed", now(), actor.account
    issue.changes.append(Change(now(), actor.account, f"merged {pull.head_ref}"))
    base = f"refs/heads/{pull.base_ref}"
    bare.set_ref(folder, base, made)
    world.record(actor, "pull.merge", issues.name_of(repository, issue), {"sha": made})
    issues.fire(world, repository, actor, issue, "closed")
    refs.moved(world, repository, actor, base, pull.base_sha, made)
    if pull.base_ref == repository.default_branch:
        for found in CLOSES.findall(issue.body or ""):
            closed = repository.issues.get(int(found))
            if closed is not None:
                issues.set_state(world, repository, actor, closed, "closed")
    return made
