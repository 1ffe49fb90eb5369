"""Pull requests: open, list, edit, merge, their files and commits, comments on the diff."""

from vibecoder.local.github import bare, issues, merge, pulls
from vibecoder.local.github.problems import Forbidden, Invalid, NotFound
from vibecoder.local.github.records import Issue, Pull, ReviewComment
from vibecoder.local.github.rest.call import Answer, Call, route
from vibecoder.local.github.shapes import pulls as shapes
from vibecoder.local.github.shapes import repositories, threads
from vibecoder.local.github.shapes.site import Json

READ = "pull_requests:read"
WRITE = "pull_requests:write"
REPO = "/repos/{owner}/{repo}"


def _find(call: Call) -> tuple[Issue, Pull]:
    return pulls.find(call.repo, call.number("number"))


def _start(call: Call, pull: Pull) -> str:
    """The commit that the pull request's diff begins at."""
    return bare.merge_base(call.repo.folder, pull.base_sha, pull.head_sha) or pull.base_sha


@route("GET", REPO + "/pulls", needs=READ)
def list_pulls(call: Call) -> Answer:
    """Filters: state, head ("owner:branch"), base; sort and direction."""
    state, head, base = call.query("state", "open"), call.query("head"), call.query("base")
    found = [
        (it, it.pull)
        for it in call.repo.issues.values()
        if it.pull is not None and state in ("all", it.state)
    ]
    if ":" in head:
        owner, branch = pulls.split_label(call.repo, head)
        own = owner.lower() == call.repo.owner.login.lower()
        found = [pair for pair in found if own and pair[1].head_ref == branch]
    if base:
        found = [pair for pair in found if pair[1].base_ref == base]
    by = call.query("sort", "created")
    newest = call.query("direction", "desc" if by == "created" else "asc") == "desc"
    found.sort(
        key=lambda pair: (
            pair[0].updated_at if by == "updated" else pair[0].created_at,
            pair[0].number,
        ),
        reverse=newest,
    )
    return call.page(found, lambda pair: shapes.simple_pull(call.site, call.repo, pair[0]))


@route("POST", REPO + "/pulls", needs=WRITE, role="read")
def open_pull(call: Call) -> Answer:
    number = call.body.get("issue")
    issue = pulls.open_pull(
        call.world,
        call.repo,
        call.actor,
        title=call.body.get("title"),
        head=call.body.get("head"),
        base=call.body.get("base"),
        body=call.text("body"),
        draft=bool(call.body.get("draft")),
        issue_number=number if isinstance(number, int) else None,
        maintainer_can_modify=bool(call.body.get("maintainer_can_modify", False)),
    )
    body = shapes.pull(call.site, call.repo, issue)
    return Answer(body, 201, {"Location": body["url"]})


@route("GET", REPO + "/pulls/{number}", needs=READ)
def get_pull(call: Call) -> Json | Answer:
    issue, pull = _find(call)
    accept = call.request.headers.get("accept", "")
    if "diff" in accept:
        text = bare.diff_text(call.repo.folder, _start(call, pull), pull.head_sha)
        return Answer(text, media="application/vnd.github.diff; charset=utf-8")
    if "patch" in accept:
        text = bare.patch_text(call.repo.folder, _start(call, pull), pull.head_sha)
        return Answer(text, media="application/vnd.github.patch; charset=utf-8")
    return shapes.pull(call.site, call.repo, issue)


@route("PATCH", REPO + "/pulls/{number}", needs=WRITE, role="read")
def edit_pull(call: Call) -> Json:
    issue, _ = _find(call)
    outsider = call.who.kind == "user" and call.who.account is not issue.author
    if outsider and call.role(call.repo) in ("none", "read", "triage"):
        raise Forbidden("You must have push access to this repository.")
    call.text("body")
    changed: Json = {k: call.body[k] for k in ("title", "body", "state", "base") if k in call.body}
    pulls.edit(call.world, call.repo, call.actor, issue, changed)
    return shapes.pull(call.site, call.repo, issue)


@route("GET", REPO + "/pulls/{number}/files", needs=READ)
def list_files(call: Call) -> Answer:
    _, pull = _find(call)
    changed = bare.changes(call.repo.folder, _start(call, pull), pull.head_sha)
    return call.page(changed, lambda it: repositories.file(call.site, call.repo, it, pull.head_sha))


@route("GET", REPO + "/pulls/{number}/commits", needs=READ)
def list_commits(call: Call) -> Answer:
    _, pull = _find(call)
    found = bare.history(
        call.repo.folder, pull.head_sha, without=_start(call, pull), oldest_first=True
    )
    return call.page(found[:250], lambda sha: repositories.commit(call.site, call.repo, sha))


@route("GET", REPO + "/pulls/{number}/merge", needs=READ)
def is_merged(call: Call) -> Answer:
    _, pull = _find(call)
    if pull.merged_at is None:
        raise NotFound
    return Answer(status=204)


@route("PUT", REPO + "/pulls/{number}/merge", needs="contents:write")
def merge_pull(call: Call) -> Json:
    issue, _ = _find(call)
    method = call.text("merge_method") or "merge"
    if method not in ("merge", "squash", "rebase"):
        raise Invalid.field("PullRequest", "merge_method", "invalid")
    sha = merge.merge(
        call.world,
        call.repo,
        call.actor,
        issue,
        method=method,
        title=call.text("commit_title"),
        message=call.text("commit_message"),
        sha=call.text("sha"),
    )
    return {"sha": sha, "merged": True, "message": "Pull Request successfully merged"}


# Comments on the diff.


def _comment(call: Call) -> tuple[Issue, Pull, ReviewComment]:
    identity = call.number("id")
    for issue in call.repo.issues.values():
        if issue.pull is not None and identity in issue.pull.review_comments:
            return issue, issue.pull, issue.pull.review_comments[identity]
    raise NotFound


@route("GET", REPO + "/pulls/{number}/comments", needs=READ)
def list_review_comments(call: Call) -> Answer:
    issue, pull = _find(call)
    found = list(pull.review_comments.values())
    return call.page(found, lambda it: shapes.review_comment(call.site, call.repo, issue, it))


@route("POST", REPO + "/pulls/{number}/comments", needs=WRITE, role="read")
def create_review_comment(call: Call) -> Answer:
    return _comment_on_line(call)


def _comment_on_line(call: Call) -> Answer:
    issue, pull = _find(call)
    parent = call.body.get("in_reply_to")
    line = call.body.get("line")
    if isinstance(parent, int):
        replied = pull.review_comments.get(parent)
        if replied is None:
            raise NotFound
        path, commit, line = replied.path, replied.commit_id, replied.line
    else:
        path, commit = call.required("path"), call.required("commit_id")
    made = pulls.review_comment(
        call.world,
        call.repo,
        call.actor,
        issue,
        body=call.body.get("body"),
        path=path,
        commit_id=commit,
        line=line if isinstance(line, int) else None,
        side=call.text("side") or "RIGHT",
        in_reply_to=parent if isinstance(parent, int) else None,
    )
    body = shapes.review_comment(call.site, call.repo, issue, made)
    return Answer(body, 201, {"Location": body["url"]})


@route("POST", REPO + "/pulls/{number}/comments/{id}/replies", needs=WRITE, role="read")
def reply(call: Call) -> Answer:
    call.body["in_reply_to"] = call.number("id")
    return _comment_on_line(call)


@route("GET", REPO + "/pulls/comments/{id}", needs=READ)
def get_review_comment(call: Call) -> Json:
    issue, _, comment = _comment(call)
    return shapes.review_comment(call.site, call.repo, issue, comment)


@route("POST", REPO + "/pulls/comments/{id}/reactions", needs=WRITE, role="read")
def react(call: Call) -> Answer:
    issue, _, comment = _comment(call)
    target = issues.name_of(call.repo, issue)
    reaction, new = issues.react(call.world, call.actor, comment, call.body.get("content"), target)
    return Answer(threads.reaction(call.site, reaction), 201 if new else 200)
