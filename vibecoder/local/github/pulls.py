"""What people and Apps do to pull requests: open, edit, comment; and what a push does to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from vibecoder.local.github import bare, hooks, issues
from vibecoder.local.github.problems import Forbidden, Invalid, NotFound
from vibecoder.local.github.records import (
    Actor,
    Change,
    Issue,
    Pull,
    Repository,
    Review,
    ReviewComment,
    now,
)
from vibecoder.local.github.shapes import pulls as shapes
from vibecoder.local.github.shapes.accounts import account
from vibecoder.local.github.shapes.site import site_of

if TYPE_CHECKING:
    from vibecoder.local.github.world import World

BODY = 65_536  # code points
EVENTS: dict[str, Literal["APPROVED", "CHANGES_REQUESTED", "COMMENTED"]] = {
    "APPROVE": "APPROVED",
    "REQUEST_CHANGES": "CHANGES_REQUESTED",
    "COMMENT": "COMMENTED",
}  # what a reviewer does, and what the review is then


def find(repository: Repository, number: int) -> tuple[Issue, Pull]:
    """Raises NotFound, also where the number is an issue's."""
    issue = repository.issues.get(number)
    if issue is None or issue.pull is None:
        raise NotFound
    return issue, issue.pull


def _body(body: str | None) -> str | None:
    if body is not None and len(body) > BODY:
        raise Invalid.field("PullRequest", "body", "custom", issues.TOO_LONG)
    return body


def split_label(repository: Repository, label: str) -> tuple[str, str]:
    """Owner and branch of "owner:branch", or of a branch alone."""
    owner, colon, branch = label.partition(":")
    return (owner, branch) if colon else (repository.owner.login, label)


def open_pull(
    world: World,
    repository: Repository,
    actor: Actor,
    *,
    title: Any,
    head: Any,
    base: Any,
    body: str | None = None,
    draft: bool = False,
    issue_number: int | None = None,
    maintainer_can_modify: bool = False,
) -> Issue:
    """Raises Invalid with GitHub's words: no such branch, no commits, exists already."""
    for name, value in (("head", head), ("base", base)):
        if not isinstance(value, str) or not value:
            raise Invalid(f'Invalid request.\n\n"{name}" wasn\'t supplied.')
    owner, branch = split_label(repository, head)
    tips = bare.branches(repository.folder)
    if owner.lower() != repository.owner.login.lower() or branch not in tips:
        raise Invalid.field("PullRequest", "head", "invalid")
    if base not in tips:
        raise Invalid.field("PullRequest", "base", "invalid")
    if issue_number is None:
        issues.check_title(title, "PullRequest")
    _body(body)
    for other in repository.issues.values():
        pull = other.pull
        if pull and other.state == "open" and (pull.head_ref, pull.base_ref) == (branch, base):
            raise Invalid.because(
                "PullRequest", f"A pull request already exists for {owner}:{branch}."
            )
    if bare.merge_base(repository.folder, tips[base], tips[branch]) is None:
        raise Invalid.because(
            "PullRequest", f"The {branch} branch has no history in common with {base}"
        )
    if not bare.history(repository.folder, tips[branch], without=tips[base]):
        raise Invalid.because("PullRequest", f"No commits between {base} and {branch}")
    pull = Pull(
        id=world.next_id(),
        head_ref=branch,
        head_sha=tips[branch],
        base_ref=base,
        base_sha=tips[base],
        draft=draft,
        maintainer_can_modify=maintainer_can_modify,
    )
    if issue_number is not None:
        issue = issues.find(repository, issue_number)
        issue.pull = pull
    else:
        issue = Issue(
            id=world.next_id(),
            number=issues.number(repository),
            title=title,
            body=body,
            author=actor.account,
            via=actor.app,
            pull=pull,
        )
        repository.issues[issue.number] = issue
    bare.set_ref(repository.folder, f"refs/pull/{issue.number}/head", pull.head_sha)
    world.record(
        actor,
        "pull.open",
        issues.name_of(repository, issue),
        {"head": branch, "base": base, "draft": draft, "title": issue.title},
    )
    issues.fire(world, repository, actor, issue, "opened")
    return issue


def edit(
    world: World, repository: Repository, actor: Actor, issue: Issue, changed: dict[str, Any]
) -> None:
    """Applies title, body, base and state where they are given. Raises Invalid."""
    pull = issue.pull
    if pull is None:
        raise NotFound
    before: dict[str, Any] = {}
    if changed.get("title") is not None and changed["title"] != issue.title:
        before["title"] = {"from": issue.title}
        issue.title = issues.check_title(changed["title"], "PullRequest")
    if "body" in changed and changed["body"] != issue.body:
        before["body"] = {"from": issue.body or ""}
        issue.body = _body(changed["body"])
    base = changed.get("base")
    if base is not None and base != pull.base_ref:
        tip = bare.branches(repository.folder).get(base)
        if tip is None:
            raise Invalid.field("PullRequest", "base", "invalid")
        before["base"] = {"ref": {"from": pull.base_ref}, "sha": {"from": pull.base_sha}}
        pull.base_ref, pull.base_sha = base, tip
    issue.updated_at = now()
    world.record(actor, "pull.edit", issues.name_of(repository, issue), {"fields": sorted(changed)})
    if before:
        issues.fire(world, repository, actor, issue, "edited", {"changes": before})
    state = changed.get("state")
    if state is not None:
        if state not in ("open", "closed"):
            raise Invalid.field("PullRequest", "state", "invalid")
        if state == "open" and pull.merged_at:
            raise Invalid.because("PullRequest", "state cannot be changed. It is merged.")
        if state == "open" and pull.head_ref not in bare.branches(repository.folder):
            raise Invalid.because(
                "PullRequest",
                f"state cannot be changed. The {pull.head_ref} branch has been deleted.",
            )
        issues.set_state(world, repository, actor, issue, state)


def set_draft(
    world: World, repository: Repository, actor: Actor, issue: Issue, draft: bool
) -> None:
    """Marks as ready for review, or turns back into a draft."""
    if issue.pull is None or issue.pull.draft == draft:
        return
    issue.pull.draft = draft
    action = "converted_to_draft" if draft else "ready_for_review"
    words = "converted this to a draft" if draft else "marked this as ready for review"
    issue.changes.append(Change(now(), actor.account, words))
    world.record(actor, f"pull.{action}", issues.name_of(repository, issue))
    issues.fire(world, repository, actor, issue, action)


def follow(
    world: World, repository: Repository, actor: Actor, branch: str, old: str, new: str
) -> None:
    """What a move of a branch does to the pull requests from it and into it."""
    for issue in list(repository.issues.values()):
        pull = issue.pull
        if pull is None or issue.state != "open":
            continue
        if pull.base_ref == branch and new != bare.ZERO:
            pull.base_sha = new
            if bare.is_ancestor(repository.folder, pull.head_sha, new):
                _merged_by_push(world, repository, actor, issue, pull, new)
                continue
        if pull.head_ref != branch:
            continue
        if new == bare.ZERO:
            issues.set_state(world, repository, actor, issue, "closed")
            continue
        pull.head_sha = new
        issue.updated_at = now()
        bare.set_ref(repository.folder, f"refs/pull/{issue.number}/head", new)
        issues.fire(world, repository, actor, issue, "synchronize", {"before": old, "after": new})


def _merged_by_push(
    world: World, repository: Repository, actor: Actor, issue: Issue, pull: Pull, sha: str
) -> None:
    """The base branch came to contain the head: GitHub calls that merged."""
    pull.merged_at, pull.merged_by, pull.merge_commit_sha = now(), actor.account, sha
    issue.state, issue.closed_at, issue.closed_by = "closed", now(), actor.account
    issue.changes.append(Change(now(), actor.account, f"merged {pull.head_ref}"))
    world.record(actor, "pull.merge", issues.name_of(repository, issue), {"sha": sha})
    issues.fire(world, repository, actor, issue, "closed")


# Reviews and comments on the diff.


def review(
    world: World, repository: Repository, actor: Actor, issue: Issue, *, event: str, body: str
) -> Review:
    """Submits a review. Raises Invalid where people judge their own work."""
    if issue.pull is None:
        raise NotFound
    if event not in EVENTS:
        raise Invalid.because("PullRequestReview", f"Variable $event was provided {event!r}")
    if event != "COMMENT" and actor.account is issue.author:
        verb = "approve" if event == "APPROVE" else "request changes on"
        raise Invalid(f"Review Can not {verb} your own pull request")
    made = Review(
        world.next_id(), actor.account, body, EVENTS[event], issue.pull.head_sha, actor.app
    )
    issue.pull.reviews[made.id] = made
    if actor.account in issue.pull.reviewers:
        issue.pull.reviewers.remove(actor.account)
    issue.updated_at = now()
    words = {"APPROVE": "approved", "REQUEST_CHANGES": "asked for changes", "COMMENT": "reviewed"}
    issue.changes.append(Change(now(), actor.account, words[event]))
    name = issues.name_of(repository, issue)
    world.record(actor, "review.create", name, {"review": made.id, "state": made.state})
    site = site_of(world)
    shaped = shapes.review(site, repository, issue, made)
    fields = {
        "review": {**shaped, "state": made.state.lower()},
        "pull_request": shapes.simple_pull(site, repository, issue),
    }
    hooks.fire(world, repository, actor, "pull_request_review", "submitted", fields)
    return made


def ask(
    world: World, repository: Repository, actor: Actor, issue: Issue, logins: list[Any]
) -> None:
    """Asks people for a review. Raises Invalid for those who cannot give one."""
    if issue.pull is None:
        raise NotFound
    for login in logins:
        who = world.accounts.get(str(login).lower())
        if who is None or not issues.assignable(world, repository, who):
            raise Invalid(
                "Reviews may only be requested from collaborators. One or more of the users or "
                f"teams you specified is not a collaborator of the {repository.full_name} "
                "repository."
            )
        if who is issue.author:
            raise Invalid("Review cannot be requested from pull request author.")
        if who not in issue.pull.reviewers:
            issue.pull.reviewers.append(who)
            shaped = {"requested_reviewer": account(site_of(world), who)}
            issues.fire(world, repository, actor, issue, "review_requested", shaped)


def review_comment(
    world: World,
    repository: Repository,
    actor: Actor,
    issue: Issue,
    *,
    body: Any,
    path: str,
    commit_id: str,
    line: int | None,
    side: str = "RIGHT",
    in_reply_to: int | None = None,
) -> ReviewComment:
    """Raises Invalid where the diff does not have the file."""
    if issue.pull is None:
        raise NotFound
    if issue.locked and actor.app is None:
        raise Forbidden("Unable to create comment because issue is locked.")
    if not isinstance(body, str) or not body.strip():
        raise Invalid.field("PullRequestReviewComment", "body", "missing_field")
    folder = repository.folder
    start = bare.merge_base(folder, issue.pull.base_sha, issue.pull.head_sha)
    changed = bare.changes(folder, start or bare.EMPTY_TREE, issue.pull.head_sha)
    found = next((change for change in changed if change.path == path), None)
    if found is None:
        raise Invalid.field(
            "PullRequestReviewComment", "pull_request_review_thread.path", "invalid"
        )
    made = ReviewComment(
        world.next_id(), body, actor.account, path, commit_id, line, side,
        (found.patch or "")[:2000], in_reply_to, actor.app,
    )  # fmt: skip
    issue.pull.review_comments[made.id] = made
    world.record(
        actor,
        "review_comment.create",
        issues.name_of(repository, issue),
        {"comment": made.id, "body": body},
    )
    site = site_of(world)
    fields = {
        "comment": shapes.review_comment(site, repository, issue, made),
        "pull_request": shapes.simple_pull(site, repository, issue),
    }
    hooks.fire(world, repository, actor, "pull_request_review_comment", "created", fields)
    return made
