"""Commit statuses, the older sibling of check runs."""

from vibecoder.local.github.problems import Invalid
from vibecoder.local.github.records import Status, stamp
from vibecoder.local.github.rest.call import Answer, Call, route
from vibecoder.local.github.rest.repos import commit_of
from vibecoder.local.github.shapes import accounts, repositories
from vibecoder.local.github.shapes.site import Json, node

READ = "statuses:read|contents:read"
REPO = "/repos/{owner}/{repo}"
STATES = ("error", "failure", "pending", "success")


def _shape(call: Call, sha: str, it: Status) -> Json:
    """The schema `status`."""
    return {
        "url": f"{repositories.api_url(call.site, call.repo)}/statuses/{sha}",
        "avatar_url": f"{call.site.html}/avatars/{it.creator.id}",
        "id": it.id,
        "node_id": node("SC", it.id),
        "state": it.state,
        "description": it.description,
        "target_url": it.target_url,
        "context": it.context,
        "created_at": stamp(it.created_at),
        "updated_at": stamp(it.created_at),
        "creator": accounts.account(call.site, it.creator),
    }


@route("POST", REPO + "/statuses/{sha}", needs="statuses:write")
def create(call: Call) -> Answer:
    sha = commit_of(call, call.params["sha"])
    state = call.required("state")
    if state not in STATES:
        raise Invalid.field("Status", "state", "inclusion")
    made = Status(
        call.world.next_id(),
        call.text("context") or "default",
        state,
        call.text("description"),
        call.text("target_url"),
        call.actor.account,
    )
    call.repo.statuses.setdefault(sha, []).append(made)
    target = f"{call.repo.full_name}@{sha}"
    detail = {"context": made.context, "state": state}
    call.world.record(call.actor, "status.create", target, detail)
    return Answer(_shape(call, sha, made), 201)


@route("GET", REPO + "/commits/{ref:path}/statuses", needs=READ)
@route("GET", REPO + "/statuses/{ref}", needs=READ)
def list_all(call: Call) -> Answer:
    """All of a commit, newest first."""
    sha = commit_of(call, call.params["ref"])
    found = call.repo.statuses.get(sha, [])[::-1]
    return call.page(found, lambda it: _shape(call, sha, it))


@route("GET", REPO + "/commits/{ref:path}/status", needs=READ)
def combined(call: Call) -> Json:
    """The latest of each context, and what they come to together."""
    sha = commit_of(call, call.params["ref"])
    latest = {it.context: it for it in call.repo.statuses.get(sha, [])}
    states = {it.state for it in latest.values()}
    if states & {"error", "failure"}:
        state = "failure"
    else:
        state = "pending" if "pending" in states or not states else "success"
    api = repositories.api_url(call.site, call.repo)
    return {
        "state": state,
        "statuses": [_shape(call, sha, it) for it in latest.values()],
        "sha": sha,
        "total_count": len(latest),
        "repository": repositories.repository(call.site, call.repo),
        "commit_url": f"{api}/commits/{sha}",
        "url": f"{api}/commits/{sha}/status",
    }
