"""Issues, comments, labels, reactions."""

from urllib.parse import quote

from vibecoder.local.github.records import (
    Account,
    Comment,
    Issue,
    Label,
    Reaction,
    Repository,
    stamp,
)
from vibecoder.local.github.shapes import repositories
from vibecoder.local.github.shapes.accounts import account, app
from vibecoder.local.github.shapes.site import Json, Site, node

REACTIONS = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")


def association(site: Site, repo: Repository, who: Account) -> str:
    """`author_association` as GitHub shows it to everybody."""
    if who is repo.owner:
        return "OWNER"
    role = repo.roles.get(who.login, "none")
    return "COLLABORATOR" if role not in ("none", "read") else "NONE"


def label(site: Site, repo: Repository, it: Label) -> Json:
    return {
        "id": it.id,
        "node_id": node("LA", it.id),
        "url": f"{repositories.api_url(site, repo)}/labels/{quote(it.name)}",
        "name": it.name,
        "color": it.color,
        "default": it.name in ("bug", "documentation", "enhancement", "question"),
        "description": it.description,
        "archived_at": None,
        "archived_by": None,
    }


def reaction(site: Site, it: Reaction) -> Json:
    return {
        "id": it.id,
        "node_id": node("REA", it.id),
        "user": account(site, it.account),
        "content": it.content,
        "created_at": stamp(it.created_at),
    }


def rollup(url: str, reactions: list[Reaction]) -> Json:
    """The schema `reaction-rollup`."""
    counts = {name: sum(it.content == name for it in reactions) for name in REACTIONS}
    return {"url": f"{url}/reactions", "total_count": len(reactions), **counts}


def issue(site: Site, repo: Repository, it: Issue) -> Json:
    """The schema `issue`, also for pull requests (then with `pull_request`)."""
    api, html = repositories.api_url(site, repo), repositories.html_url(site, repo)
    url = f"{api}/issues/{it.number}"
    page = f"{html}/{'pull' if it.pull else 'issues'}/{it.number}"
    body: Json = {
        "url": url,
        "repository_url": api,
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "html_url": page,
        "id": it.id,
        "node_id": node("PR" if it.pull else "I", it.id),
        "number": it.number,
        "title": it.title,
        "user": account(site, it.author),
        "labels": [label(site, repo, one) for one in it.labels],
        "state": it.state,
        "locked": it.locked,
        "active_lock_reason": it.lock_reason,
        "assignee": account(site, it.assignees[0]) if it.assignees else None,
        "assignees": [account(site, who) for who in it.assignees],
        "milestone": None,
        "comments": len(it.comments),
        "created_at": stamp(it.created_at),
        "updated_at": stamp(it.updated_at),
        "closed_at": stamp(it.closed_at),
        "closed_by": account(site, it.closed_by) if it.closed_by else None,
        "author_association": association(site, repo, it.author),
        "body": it.body,
        "reactions": rollup(url, it.reactions),
        "timeline_url": f"{url}/timeline",
        "performed_via_github_app": app(site, it.via) if it.via else None,
        "state_reason": it.state_reason,
    }
    if it.pull is not None:
        body["draft"] = it.pull.draft
        body["pull_request"] = {
            "url": f"{api}/pulls/{it.number}",
            "html_url": page,
            "diff_url": f"{page}.diff",
            "patch_url": f"{page}.patch",
            "merged_at": stamp(it.pull.merged_at),
        }
    return body


def comment(site: Site, repo: Repository, issue: Issue, it: Comment) -> Json:
    """The schema `issue-comment`."""
    api, html = repositories.api_url(site, repo), repositories.html_url(site, repo)
    url = f"{api}/issues/comments/{it.id}"
    page = f"{html}/{'pull' if issue.pull else 'issues'}/{issue.number}"
    return {
        "url": url,
        "html_url": f"{page}#issuecomment-{it.id}",
        "issue_url": f"{api}/issues/{issue.number}",
        "id": it.id,
        "node_id": node("IC", it.id),
        "user": account(site, it.author),
        "created_at": stamp(it.created_at),
        "updated_at": stamp(it.updated_at),
        "author_association": association(site, repo, it.author),
        "body": it.body,
        "reactions": rollup(url, it.reactions),
        "performed_via_github_app": app(site, it.via) if it.via else None,
    }
