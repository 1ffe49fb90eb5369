"""What people and Apps do to issues: open, edit, comment, react, label, assign, lock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vibecoder.local.github import hooks
from vibecoder.local.github.problems import Forbidden, Invalid, NotFound
from vibecoder.local.github.records import (
    Account,
    Actor,
    Change,
    Comment,
    Issue,
    Label,
    Reaction,
    Repository,
    ReviewComment,
    now,
)
from vibecoder.local.github.shapes import pulls, threads
from vibecoder.local.github.shapes.accounts import account
from vibecoder.local.github.shapes.site import site_of

if TYPE_CHECKING:
    from vibecoder.local.github.world import World

TITLE = 256  # characters
COMMENT_BYTES = 262_144  # measured; the message nevertheless speaks of 65536 characters
TOO_LONG = "body is too long (maximum is 65536 characters)"
LOCK_REASONS = ("off-topic", "too heated", "resolved", "spam")


def name_of(repository: Repository, issue: Issue) -> str:
    return f"{repository.full_name}#{issue.number}"


def number(repository: Repository) -> int:
    """The number of the next issue or pull request."""
    return max(repository.issues, default=0) + 1


def find(repository: Repository, number: int) -> Issue:
    """Raises NotFound."""
    issue = repository.issues.get(number)
    if issue is None:
        raise NotFound
    return issue


def find_comment(repository: Repository, identity: int) -> tuple[Issue, Comment]:
    """Raises NotFound."""
    for issue in repository.issues.values():
        if identity in issue.comments:
            return issue, issue.comments[identity]
    raise NotFound


def check_title(title: Any, resource: str = "Issue") -> str:
    """Raises Invalid."""
    if not isinstance(title, str) or not title.strip():
        raise Invalid.field(resource, "title", "missing_field")
    if len(title) > TITLE:
        raise Invalid.field(
            resource, "title", "custom", "title is too long (maximum is 256 characters)"
        )
    return title


def _issue_body(body: str | None) -> str | None:
    if body is not None and len(body.encode(errors="surrogatepass")) > COMMENT_BYTES:
        raise Invalid.field("Issue", "body", "custom", TOO_LONG)
    return body


def _comment_body(body: Any) -> str:
    if not isinstance(body, str):
        raise Invalid('Invalid request.\n\n"body" wasn\'t supplied.')
    if not body.strip():
        raise Invalid.field("IssueComment", "body", "custom", "Body can't be blank")
    if len(body.encode(errors="surrogatepass")) > COMMENT_BYTES:
        raise Invalid(
            errors=[
                {
                    "resource": "IssueComment",
                    "code": "unprocessable",
                    "field": "data",
                    "message": "Body is too long (maximum is 65536 characters)",
                }
            ]
        )
    return body


def fire(
    world: World,
    repository: Repository,
    actor: Actor,
    issue: Issue,
    action: str,
    extra: dict[str, Any] | None = None,
) -> None:
    """The `issues` event, or `pull_request` where the issue is one."""
    site = site_of(world)
    if issue.pull is None:
        fields = {"issue": threads.issue(site, repository, issue), **(extra or {})}
        hooks.fire(world, repository, actor, "issues", action, fields)
    else:
        fields = {
            "number": issue.number,
            "pull_request": pulls.pull(site, repository, issue),
            **(extra or {}),
        }
        hooks.fire(world, repository, actor, "pull_request", action, fields)


def open_issue(
    world: World,
    repository: Repository,
    actor: Actor,
    *,
    title: Any,
    body: str | None = None,
    labels: list[str] | None = None,
    assignees: list[str] | None = None,
) -> Issue:
    """Raises Invalid. Labels that do not exist are made, as GitHub does."""
    issue = Issue(
        id=world.next_id(),
        number=number(repository),
        title=check_title(title),
        body=_issue_body(body),
        author=actor.account,
        via=actor.app,
    )
    issue.labels = [ensure_label(world, repository, name) for name in labels or ()]
    issue.assignees = _people(world, repository, assignees or [])
    repository.issues[issue.number] = issue
    world.record(actor, "issue.open", name_of(repository, issue), {"title": issue.title})
    fire(world, repository, actor, issue, "opened")
    return issue


def edit(
    world: World, repository: Repository, actor: Actor, issue: Issue, changed: dict[str, Any]
) -> None:
    """Applies title, body, state, state_reason, labels and assignees where they are given."""
    before: dict[str, Any] = {}
    if "title" in changed and changed["title"] != issue.title:
        before["title"] = {"from": issue.title}
        issue.title = check_title(changed["title"])
    if "body" in changed and changed["body"] != issue.body:
        body = changed["body"]
        # GitHub answers 200 to an update that is too long, and does not take it.
        if body is None or len(body.encode(errors="surrogatepass")) <= COMMENT_BYTES:
            before["body"] = {"from": issue.body or ""}
            issue.body = body
    issue.updated_at = now()
    world.record(actor, "issue.edit", name_of(repository, issue), {"fields": sorted(changed)})
    if before:
        fire(world, repository, actor, issue, "edited", {"changes": before})
    if "labels" in changed:
        set_labels(world, repository, actor, issue, changed["labels"] or [])
    if "assignees" in changed:
        wanted = _people(world, repository, changed["assignees"] or [])
        for who in [who for who in issue.assignees if who not in wanted]:
            assign(world, repository, actor, issue, who, assigned=False)
        for who in [who for who in wanted if who not in issue.assignees]:
            assign(world, repository, actor, issue, who)
    state = changed.get("state")
    if state is not None:
        if state not in ("open", "closed"):
            raise Invalid.field("Issue", "state", "invalid")
        set_state(world, repository, actor, issue, state, changed.get("state_reason"))


def set_state(
    world: World,
    repository: Repository,
    actor: Actor,
    issue: Issue,
    state: str,
    reason: str | None = None,
) -> None:
    """Opens or closes an issue or pull request; nothing happens where it is so already."""
    if issue.state == state:
        return
    issue.updated_at = now()
    if state == "closed":
        issue.state = "closed"
        issue.closed_at, issue.closed_by = now(), actor.account
        issue.state_reason = None if issue.pull else reason or "completed"
    else:
        issue.state = "open"
        issue.closed_at = issue.closed_by = None
        issue.state_reason = None if issue.pull else "reopened"
    verb = "closed" if state == "closed" else "reopened"
    issue.changes.append(Change(now(), actor.account, f"{verb} this"))
    world.record(actor, f"issue.{verb}", name_of(repository, issue))
    fire(world, repository, actor, issue, verb)


# Comments.


def comment(world: World, repository: Repository, actor: Actor, issue: Issue, body: Any) -> Comment:
    """Raises Invalid, or Forbidden on a locked thread."""
    text = _comment_body(body)
    reader = world.role(repository, actor.account) in ("none", "read", "triage")
    if issue.locked and reader and actor.account.type != "Bot":
        raise Forbidden("Unable to create comment because issue is locked.")
    made = Comment(world.next_id(), text, actor.account, actor.app)
    issue.comments[made.id] = made
    issue.updated_at = now()
    world.record(
        actor, "comment.create", name_of(repository, issue), {"comment": made.id, "body": text}
    )
    _fire_comment(world, repository, actor, issue, made, "created")
    return made


def edit_comment(
    world: World, repository: Repository, actor: Actor, issue: Issue, it: Comment, body: Any
) -> None:
    """Raises Invalid."""
    text = _comment_body(body)
    before = it.body
    it.body = text
    it.updated_at = now()
    world.record(
        actor, "comment.edit", name_of(repository, issue), {"comment": it.id, "body": text}
    )
    if before != text:
        changes = {"changes": {"body": {"from": before}}}
        _fire_comment(world, repository, actor, issue, it, "edited", changes)


def delete_comment(
    world: World, repository: Repository, actor: Actor, issue: Issue, it: Comment
) -> None:
    del issue.comments[it.id]
    world.record(actor, "comment.delete", name_of(repository, issue), {"comment": it.id})
    _fire_comment(world, repository, actor, issue, it, "deleted")


def _fire_comment(
    world: World,
    repository: Repository,
    actor: Actor,
    issue: Issue,
    it: Comment,
    action: str,
    extra: dict[str, Any] | None = None,
) -> None:
    site = site_of(world)
    fields = {
        "issue": threads.issue(site, repository, issue),
        "comment": threads.comment(site, repository, issue, it),
        **(extra or {}),
    }
    hooks.fire(world, repository, actor, "issue_comment", action, fields)


# Reactions; they fire no webhook.


def react(
    world: World,
    actor: Actor,
    on: Issue | Comment | ReviewComment,
    content: Any,
    target: str,
) -> tuple[Reaction, bool]:
    """Adds a reaction, or finds the same one of the same account; True where it is new."""
    if content not in threads.REACTIONS:
        raise Invalid.field("Reaction", "content", "invalid")
    for reaction in on.reactions:
        if reaction.content == content and reaction.account is actor.account:
            return reaction, False
    reaction = Reaction(world.next_id(), content, actor.account)
    on.reactions.append(reaction)
    world.record(actor, "reaction.create", target, {"content": content, "on": on.id})
    return reaction, True


def unreact(
    world: World, actor: Actor, on: Issue | Comment | ReviewComment, identity: int, target: str
) -> None:
    """Raises NotFound."""
    for reaction in on.reactions:
        if reaction.id == identity:
            on.reactions.remove(reaction)
            world.record(actor, "reaction.delete", target, {"content": reaction.content})
            return
    raise NotFound


# Labels, assignees, locks.


def ensure_label(world: World, repository: Repository, name: Any) -> Label:
    """The repository's label of this name, made where it is missing."""
    if isinstance(name, dict):
        name = name.get("name")
    if not isinstance(name, str) or not name.strip():
        raise Invalid.field("Label", "name", "missing_field")
    found = repository.labels.get(name.lower())
    return found if found is not None else make_label(world, repository, name)


def make_label(
    world: World,
    repository: Repository,
    name: str,
    color: str = "ededed",
    description: str | None = None,
) -> Label:
    """Raises Invalid where the name is taken, too long, or the color is none."""
    _check_label(repository, name, color)
    label = Label(world.next_id(), name, color.lower(), description)
    repository.labels[name.lower()] = label
    return label


def _check_label(repository: Repository, name: str, color: str) -> None:
    if name.lower() in repository.labels:
        raise Invalid.field("Label", "name", "already_exists")
    if len(name) > 50:
        raise Invalid.field(
            "Label", "name", "custom", "name is too long (maximum is 50 characters)"
        )
    if not re.fullmatch(r"[0-9A-Fa-f]{6}", color):
        raise Invalid.field("Label", "color", "invalid")


def edit_label(
    repository: Repository, label: Label, *, name: str, color: str, description: str | None
) -> None:
    """Renames or repaints a label wherever it is used. Raises Invalid like make_label."""
    del repository.labels[label.name.lower()]
    try:
        _check_label(repository, name, color)
        label.name, label.color, label.description = name, color.lower(), description
    finally:
        repository.labels[label.name.lower()] = label


def set_labels(
    world: World, repository: Repository, actor: Actor, issue: Issue, names: list[Any]
) -> None:
    """Makes these the issue's labels."""
    wanted = [ensure_label(world, repository, name) for name in names]
    for label in [label for label in issue.labels if label not in wanted]:
        remove_label(world, repository, actor, issue, label.name)
    add_labels(world, repository, actor, issue, [label.name for label in wanted])


def add_labels(
    world: World, repository: Repository, actor: Actor, issue: Issue, names: list[Any]
) -> None:
    site = site_of(world)
    for name in names:
        label = ensure_label(world, repository, name)
        if label in issue.labels:
            continue
        issue.labels.append(label)
        issue.updated_at = now()
        issue.changes.append(Change(now(), actor.account, f"added the label {label.name}"))
        world.record(actor, "label.add", name_of(repository, issue), {"label": label.name})
        shaped = {"label": threads.label(site, repository, label)}
        fire(world, repository, actor, issue, "labeled", shaped)


def remove_label(
    world: World, repository: Repository, actor: Actor, issue: Issue, name: str
) -> None:
    """Raises NotFound where the issue does not have it."""
    label = next((label for label in issue.labels if label.name.lower() == name.lower()), None)
    if label is None:
        raise NotFound("Label does not exist")
    issue.labels.remove(label)
    issue.updated_at = now()
    issue.changes.append(Change(now(), actor.account, f"removed the label {label.name}"))
    world.record(actor, "label.remove", name_of(repository, issue), {"label": label.name})
    shaped = {"label": threads.label(site_of(world), repository, label)}
    fire(world, repository, actor, issue, "unlabeled", shaped)


def _people(world: World, repository: Repository, logins: list[Any]) -> list[Account]:
    """Accounts that may be assigned; others are silently left out, as GitHub does."""
    people = [world.accounts.get(str(login).lower()) for login in logins]
    return [who for who in people if who is not None and assignable(world, repository, who)]


def assignable(world: World, repository: Repository, who: Account) -> bool:
    if who.type == "Bot":
        return False
    return who is repository.owner or repository.roles.get(who.login, "none") != "none"


def assign(
    world: World,
    repository: Repository,
    actor: Actor,
    issue: Issue,
    who: Account,
    *,
    assigned: bool = True,
) -> None:
    """Assigns or unassigns one account."""
    if (who in issue.assignees) == assigned or not assignable(world, repository, who):
        return
    if assigned:
        issue.assignees.append(who)
    else:
        issue.assignees.remove(who)
    issue.updated_at = now()
    action = "assigned" if assigned else "unassigned"
    issue.changes.append(Change(now(), actor.account, f"{action} {who.login}"))
    world.record(actor, f"issue.{action}", name_of(repository, issue), {"login": who.login})
    shaped = {"assignee": account(site_of(world), who)}
    fire(world, repository, actor, issue, action, shaped)


def lock(
    world: World,
    repository: Repository,
    actor: Actor,
    issue: Issue,
    *,
    locked: bool = True,
    reason: str | None = None,
) -> None:
    """Raises Invalid for a reason that GitHub does not have."""
    if reason is not None and reason not in LOCK_REASONS:
        raise Invalid.field("Issue", "lock_reason", "invalid")
    if issue.locked == locked:
        return
    issue.locked, issue.lock_reason = locked, reason if locked else None
    action = "locked" if locked else "unlocked"
    issue.changes.append(Change(now(), actor.account, f"{action} this conversation"))
    world.record(actor, f"issue.{action}", name_of(repository, issue))
    fire(world, repository, actor, issue, action)
