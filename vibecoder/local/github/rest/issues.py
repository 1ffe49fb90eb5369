"""Issues, their comments, reactions, labels and assignees."""

from datetime import datetime

from vibecoder.local.github import auth, issues
from vibecoder.local.github.problems import Forbidden, Invalid, NotFound
from vibecoder.local.github.records import Account, Comment, Issue, Label, Reaction
from vibecoder.local.github.rest.call import Answer, Call, route
from vibecoder.local.github.shapes import accounts, threads
from vibecoder.local.github.shapes.site import Json

READ = "issues:read|pull_requests:read"
WRITE = "issues:write|pull_requests:write"
REPO = "/repos/{owner}/{repo}"


def _issue(call: Call) -> Issue:
    found = issues.find(call.repo, call.number("number"))
    _admit(call, found)
    return found


def _admit(call: Call, issue: Issue) -> None:
    """The right to pull requests opens their conversation, not that of issues."""
    level = "read" if call.request.method in ("GET", "HEAD") else "write"
    needs = f"issues:{level}" + (f"|pull_requests:{level}" if issue.pull else "")
    auth.authorize(call.world, call.who, call.repo, needs=needs, role="read")


def _shape(call: Call, issue: Issue) -> Json:
    return threads.issue(call.site, call.repo, issue)


def _may_edit(call: Call, author: Account) -> None:
    """Authors edit what is theirs; others need write."""
    if call.who.account is author:
        return
    if call.who.kind == "user" and call.role(call.repo) in ("none", "read"):
        raise Forbidden("Must have admin rights to Repository.")


def _since(call: Call) -> datetime | None:
    try:
        moment = datetime.fromisoformat(call.query("since")) if call.query("since") else None
    except ValueError:
        raise Invalid("Invalid request.\n\n`since` is not ISO 8601.") from None
    return moment.astimezone() if moment else None


@route("GET", REPO + "/issues", needs=READ)
def list_issues(call: Call) -> Answer:
    """Filters: state, labels, creator, assignee, since; sort and direction."""
    state = call.query("state", "open")
    found = [it for it in call.repo.issues.values() if state in ("all", it.state)]
    wanted = {name.strip().lower() for name in call.query("labels").split(",") if name.strip()}
    if wanted:
        found = [it for it in found if wanted <= {label.name.lower() for label in it.labels}]
    creator, assignee = call.query("creator").lower(), call.query("assignee").lower()
    if creator:
        found = [it for it in found if it.author.login.lower() == creator]
    if assignee == "none":
        found = [it for it in found if not it.assignees]
    elif assignee and assignee != "*":
        found = [it for it in found if assignee in [who.login.lower() for who in it.assignees]]
    since = _since(call)
    if since:
        found = [it for it in found if it.updated_at >= since]
    by = call.query("sort", "created")
    found.sort(
        key=lambda it: (
            len(it.comments) if by == "comments" else
            it.updated_at.timestamp() if by == "updated" else it.created_at.timestamp(),
            it.number,
        ),
        reverse=call.query("direction", "desc") != "asc",
    )  # fmt: skip
    return call.page(found, lambda it: _shape(call, it))


@route("POST", REPO + "/issues", needs="issues:write", role="read")
def create_issue(call: Call) -> Answer:
    title = call.body.get("title")
    if not isinstance(title, str):
        raise Invalid('Invalid request.\n\n"title" wasn\'t supplied.')
    # Labels and assignees of people without write are dropped without a word, as on GitHub.
    may = call.who.kind != "user" or call.role(call.repo) not in ("none", "read")
    made = issues.open_issue(
        call.world,
        call.repo,
        call.actor,
        title=title,
        body=call.text("body"),
        labels=call.strings("labels") if may else [],
        assignees=call.strings("assignees") if may else [],
    )
    body = _shape(call, made)
    return Answer(body, 201, {"Location": body["url"]})


@route("GET", REPO + "/issues/{number}", needs=READ)
def get_issue(call: Call) -> Json:
    return _shape(call, _issue(call))


@route("PATCH", REPO + "/issues/{number}", needs=WRITE, role="read")
def edit_issue(call: Call) -> Json:
    issue = _issue(call)
    _may_edit(call, issue.author)
    changed: Json = {
        key: call.body[key]
        for key in ("title", "body", "state", "state_reason", "labels", "assignees")
        if key in call.body
    }
    for name in ("body", "state", "state_reason"):
        call.text(name)
    for name in ("labels", "assignees"):
        call.strings(name)
    issues.edit(call.world, call.repo, call.actor, issue, changed)
    return _shape(call, issue)


@route("PUT", REPO + "/issues/{number}/lock", needs=WRITE)
def lock(call: Call) -> Answer:
    reason = call.text("lock_reason")
    issues.lock(call.world, call.repo, call.actor, _issue(call), reason=reason)
    return Answer(status=204)


@route("DELETE", REPO + "/issues/{number}/lock", needs=WRITE)
def unlock(call: Call) -> Answer:
    issues.lock(call.world, call.repo, call.actor, _issue(call), locked=False)
    return Answer(status=204)


# Comments.


def _comment(call: Call) -> tuple[Issue, Comment]:
    issue, comment = issues.find_comment(call.repo, call.number("id"))
    _admit(call, issue)
    return issue, comment


@route("GET", REPO + "/issues/comments", needs=READ)
def list_all_comments(call: Call) -> Answer:
    found = [(it, one) for it in call.repo.issues.values() for one in it.comments.values()]
    since = _since(call)
    if since:
        found = [pair for pair in found if pair[1].updated_at >= since]
    by = call.query("sort", "created")
    found.sort(
        key=lambda pair: (
            pair[1].updated_at if by == "updated" else pair[1].created_at,
            pair[1].id,
        ),
        reverse=call.query("direction") == "desc",
    )
    return call.page(found, lambda pair: threads.comment(call.site, call.repo, *pair))


@route("GET", REPO + "/issues/{number}/comments", needs=READ)
def list_comments(call: Call) -> Answer:
    issue = _issue(call)
    since = _since(call)
    found = [one for one in issue.comments.values() if since is None or one.updated_at >= since]
    return call.page(found, lambda one: threads.comment(call.site, call.repo, issue, one))


@route("POST", REPO + "/issues/{number}/comments", needs=WRITE, role="read")
def create_comment(call: Call) -> Answer:
    issue = _issue(call)
    made = issues.comment(call.world, call.repo, call.actor, issue, call.body.get("body"))
    body = threads.comment(call.site, call.repo, issue, made)
    return Answer(body, 201, {"Location": body["url"]})


@route("GET", REPO + "/issues/comments/{id}", needs=READ)
def get_comment(call: Call) -> Json:
    return threads.comment(call.site, call.repo, *_comment(call))


@route("PATCH", REPO + "/issues/comments/{id}", needs=WRITE, role="read")
def edit_comment(call: Call) -> Json:
    issue, comment = _comment(call)
    _may_edit(call, comment.author)
    issues.edit_comment(call.world, call.repo, call.actor, issue, comment, call.body.get("body"))
    return threads.comment(call.site, call.repo, issue, comment)


@route("DELETE", REPO + "/issues/comments/{id}", needs=WRITE, role="read")
def delete_comment(call: Call) -> Answer:
    issue, comment = _comment(call)
    _may_edit(call, comment.author)
    issues.delete_comment(call.world, call.repo, call.actor, issue, comment)
    return Answer(status=204)


# Reactions.


def _react(call: Call, on: Issue | Comment, target: str) -> Answer:
    reaction, new = issues.react(call.world, call.actor, on, call.body.get("content"), target)
    return Answer(threads.reaction(call.site, reaction), 201 if new else 200)


def _reactions(call: Call, reactions: list[Reaction]) -> Answer:
    content = call.query("content")
    found = [it for it in reactions if not content or it.content == content]
    return call.page(found, lambda it: threads.reaction(call.site, it))


@route("GET", REPO + "/issues/{number}/reactions", needs=READ)
def list_reactions(call: Call) -> Answer:
    return _reactions(call, _issue(call).reactions)


@route("POST", REPO + "/issues/{number}/reactions", needs=WRITE, role="read")
def react(call: Call) -> Answer:
    issue = _issue(call)
    return _react(call, issue, issues.name_of(call.repo, issue))


@route("DELETE", REPO + "/issues/{number}/reactions/{reaction}", needs=WRITE, role="read")
def unreact(call: Call) -> Answer:
    issue = _issue(call)
    target = issues.name_of(call.repo, issue)
    issues.unreact(call.world, call.actor, issue, call.number("reaction"), target)
    return Answer(status=204)


@route("GET", REPO + "/issues/comments/{id}/reactions", needs=READ)
def list_comment_reactions(call: Call) -> Answer:
    return _reactions(call, _comment(call)[1].reactions)


@route("POST", REPO + "/issues/comments/{id}/reactions", needs=WRITE, role="read")
def react_to_comment(call: Call) -> Answer:
    issue, comment = _comment(call)
    return _react(call, comment, issues.name_of(call.repo, issue))


@route("DELETE", REPO + "/issues/comments/{id}/reactions/{reaction}", needs=WRITE, role="read")
def unreact_to_comment(call: Call) -> Answer:
    issue, comment = _comment(call)
    target = issues.name_of(call.repo, issue)
    issues.unreact(call.world, call.actor, comment, call.number("reaction"), target)
    return Answer(status=204)


# Labels.


@route("GET", REPO + "/labels", needs=READ)
def list_labels(call: Call) -> Answer:
    found = list(call.repo.labels.values())
    return call.page(found, lambda it: threads.label(call.site, call.repo, it))


@route("POST", REPO + "/labels", needs=WRITE)
def create_label(call: Call) -> Answer:
    color = (call.text("color") or "ededed").removeprefix("#")
    name, description = call.required("name"), call.text("description")
    made = issues.make_label(call.world, call.repo, name, color, description)
    return Answer(threads.label(call.site, call.repo, made), 201)


def _label(call: Call) -> Label:
    found = call.repo.labels.get(call.params["name"].lower())
    if found is None:
        raise NotFound
    return found


@route("GET", REPO + "/labels/{name:path}", needs=READ)
def get_label(call: Call) -> Json:
    return threads.label(call.site, call.repo, _label(call))


@route("PATCH", REPO + "/labels/{name:path}", needs=WRITE)
def edit_label(call: Call) -> Json:
    label = _label(call)
    issues.edit_label(
        call.repo,
        label,
        name=call.text("new_name") or call.text("name") or label.name,
        color=call.text("color") or label.color,
        description=call.text("description", label.description),
    )
    return threads.label(call.site, call.repo, label)


@route("DELETE", REPO + "/labels/{name:path}", needs=WRITE)
def delete_label(call: Call) -> Answer:
    found = _label(call)
    del call.repo.labels[found.name.lower()]
    for issue in call.repo.issues.values():
        if found in issue.labels:
            issue.labels.remove(found)
    return Answer(status=204)


def _labels(call: Call, issue: Issue) -> list[Json]:
    return [threads.label(call.site, call.repo, it) for it in issue.labels]


def _given_labels(call: Call) -> list[object]:
    """{"labels": [...]} or, as older clients send, the bare list."""
    return call.strings("" if "" in call.body else "labels")


@route("GET", REPO + "/issues/{number}/labels", needs=READ)
def list_issue_labels(call: Call) -> Answer:
    found = _issue(call).labels
    return call.page(found, lambda it: threads.label(call.site, call.repo, it))


@route("POST", REPO + "/issues/{number}/labels", needs=WRITE, role="triage")
def add_labels(call: Call) -> list[Json]:
    issue = _issue(call)
    issues.add_labels(call.world, call.repo, call.actor, issue, _given_labels(call))
    return _labels(call, issue)


@route("PUT", REPO + "/issues/{number}/labels", needs=WRITE, role="triage")
def set_labels(call: Call) -> list[Json]:
    issue = _issue(call)
    issues.set_labels(call.world, call.repo, call.actor, issue, _given_labels(call))
    return _labels(call, issue)


@route("DELETE", REPO + "/issues/{number}/labels", needs=WRITE, role="triage")
def clear_labels(call: Call) -> Answer:
    issues.set_labels(call.world, call.repo, call.actor, _issue(call), [])
    return Answer(status=204)


@route("DELETE", REPO + "/issues/{number}/labels/{name:path}", needs=WRITE, role="triage")
def remove_label(call: Call) -> list[Json]:
    issue = _issue(call)
    issues.remove_label(call.world, call.repo, call.actor, issue, call.params["name"])
    return _labels(call, issue)


# Assignees.


@route("GET", REPO + "/assignees", needs=READ)
def list_assignees(call: Call) -> Answer:
    found = [
        who for who in call.world.accounts.values()
        if issues.assignable(call.world, call.repo, who)
    ]  # fmt: skip
    return call.page(found, lambda who: accounts.account(call.site, who))


@route("GET", REPO + "/assignees/{login}", needs=READ)
def is_assignable(call: Call) -> Answer:
    who = call.world.accounts.get(call.params["login"].lower())
    if who is None or not issues.assignable(call.world, call.repo, who):
        raise NotFound
    return Answer(status=204)


def _assign(call: Call, assigned: bool) -> Json:
    issue = _issue(call)
    for login in call.strings("assignees")[:10]:
        who = call.world.accounts.get(str(login).lower())
        if who is not None:
            issues.assign(call.world, call.repo, call.actor, issue, who, assigned=assigned)
    return _shape(call, issue)


@route("POST", REPO + "/issues/{number}/assignees", needs=WRITE, role="triage")
def assign(call: Call) -> Answer:
    return Answer(_assign(call, True), 201)


@route("DELETE", REPO + "/issues/{number}/assignees", needs=WRITE, role="triage")
def unassign(call: Call) -> Json:
    return _assign(call, False)


@route("GET", REPO + "/issues/{number}/timeline", needs=READ)
def timeline(call: Call) -> Answer:
    """Comments only, as "commented" events."""
    issue = _issue(call)

    def shape(one: Comment) -> Json:
        shaped = threads.comment(call.site, call.repo, issue, one)
        return {**shaped, "event": "commented", "actor": shaped["user"]}

    return call.page(list(issue.comments.values()), shape)


@route("GET", "/search/issues")
def search(call: Call) -> Answer:
    """Words and `repo:`, `is:`, `author:`, `head:`, `in:` qualifiers of the query."""
    words = call.query("q").split()
    if not words:
        raise Invalid.field("Search", "q", "missing")
    fields = dict(word.split(":", 1) for word in words if ":" in word)
    text = [word.lower() for word in words if ":" not in word]
    kinds = {word.removeprefix("is:") for word in words if word.startswith("is:")}
    found = []
    for repo in call.world.repositories.values():
        if "repo" in fields and repo.full_name.lower() != fields["repo"].lower():
            continue
        if call.role(repo) == "none":
            continue
        for issue in repo.issues.values():
            pull = issue.pull is not None
            if ("pr" in kinds and not pull) or ("issue" in kinds and pull):
                continue
            if {"open", "closed"} & kinds and issue.state not in kinds:
                continue
            if "author" in fields and issue.author.login.lower() != fields["author"].lower():
                continue
            if "head" in fields and (issue.pull is None or issue.pull.head_ref != fields["head"]):
                continue
            content = f"{issue.title} {issue.body or ''}".lower()
            if all(word in content for word in text):
                found.append((repo, issue))
    answer = call.page(found, lambda it: threads.issue(call.site, *it), key="items")
    answer.body["incomplete_results"] = False
    return answer
