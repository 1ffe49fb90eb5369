"""Pull requests and the comments on their diffs."""

from vibecoder.local.github import bare
from vibecoder.local.github.records import Issue, Repository, Review, ReviewComment, stamp
from vibecoder.local.github.shapes import repositories, threads
from vibecoder.local.github.shapes.accounts import account
from vibecoder.local.github.shapes.site import Json, Site, node


def simple_pull(site: Site, repo: Repository, it: Issue) -> Json:
    """The schema `pull-request-simple`, as lists show it."""
    pull = it.pull
    if pull is None:
        raise ValueError(f"#{it.number} is an issue")
    api, html = repositories.api_url(site, repo), repositories.html_url(site, repo)
    url, page, issue_url = (
        f"{api}/pulls/{it.number}",
        f"{html}/pull/{it.number}",
        f"{api}/issues/{it.number}",
    )

    def side(ref: str, sha: str) -> Json:
        return {
            "label": f"{repo.owner.login}:{ref}",
            "ref": ref,
            "sha": sha,
            "user": account(site, repo.owner),
            "repo": repositories.repository(site, repo),
        }

    links = {
        "self": url,
        "html": page,
        "issue": issue_url,
        "comments": f"{issue_url}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": f"{api}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
        "statuses": f"{api}/statuses/{pull.head_sha}",
    }
    return {
        "url": url,
        "id": pull.id,
        "node_id": node("PR", pull.id),
        "html_url": page,
        "diff_url": f"{page}.diff",
        "patch_url": f"{page}.patch",
        "issue_url": issue_url,
        "number": it.number,
        "state": it.state,
        "locked": it.locked,
        "title": it.title,
        "user": account(site, it.author),
        "body": it.body,
        "created_at": stamp(it.created_at),
        "updated_at": stamp(it.updated_at),
        "closed_at": stamp(it.closed_at),
        "merged_at": stamp(pull.merged_at),
        "merge_commit_sha": pull.merge_commit_sha,
        "assignee": account(site, it.assignees[0]) if it.assignees else None,
        "assignees": [account(site, who) for who in it.assignees],
        "requested_reviewers": [account(site, who) for who in pull.reviewers],
        "requested_teams": [],
        "labels": [threads.label(site, repo, one) for one in it.labels],
        "milestone": None,
        "draft": pull.draft,
        "commits_url": links["commits"],
        "review_comments_url": links["review_comments"],
        "review_comment_url": links["review_comment"],
        "comments_url": links["comments"],
        "statuses_url": links["statuses"],
        "head": side(pull.head_ref, pull.head_sha),
        "base": side(pull.base_ref, pull.base_sha),
        "_links": {name: {"href": link} for name, link in links.items()},
        "author_association": threads.association(site, repo, it.author),
        "auto_merge": None,
        "active_lock_reason": it.lock_reason,
    }


def pull(site: Site, repo: Repository, it: Issue) -> Json:
    """The schema `pull-request`."""
    body = simple_pull(site, repo, it)
    pull = it.pull
    if pull is None:
        raise ValueError(f"#{it.number} is an issue")
    start = bare.merge_base(repo.folder, pull.base_sha, pull.head_sha) or pull.base_sha
    changed = bare.changes(repo.folder, start, pull.head_sha)
    commits = bare.history(repo.folder, pull.head_sha, without=start)
    mergeable: bool | None = None
    state = "unknown"
    if it.state == "open":
        mergeable = bare.merge(repo.folder, pull.base_sha, pull.head_sha) is not None
        state = "draft" if pull.draft else "clean" if mergeable else "dirty"
    return {
        **body,
        "merged": pull.merged_at is not None,
        "mergeable": mergeable,
        "rebaseable": mergeable,
        "mergeable_state": state,
        "merged_by": account(site, pull.merged_by) if pull.merged_by else None,
        "comments": len(it.comments),
        "review_comments": len(pull.review_comments),
        "maintainer_can_modify": pull.maintainer_can_modify,
        "commits": len(commits),
        "additions": sum(change.additions for change in changed),
        "deletions": sum(change.deletions for change in changed),
        "changed_files": len(changed),
    }


def review(site: Site, repo: Repository, issue: Issue, it: Review) -> Json:
    """The schema `pull-request-review`."""
    page = f"{repositories.html_url(site, repo)}/pull/{issue.number}#pullrequestreview-{it.id}"
    pull_url = f"{repositories.api_url(site, repo)}/pulls/{issue.number}"
    return {
        "id": it.id,
        "node_id": node("PRR", it.id),
        "user": account(site, it.author),
        "body": it.body,
        "state": it.state,
        "html_url": page,
        "pull_request_url": pull_url,
        "author_association": threads.association(site, repo, it.author),
        "_links": {"html": {"href": page}, "pull_request": {"href": pull_url}},
        "submitted_at": stamp(it.submitted_at),
        "commit_id": it.commit_id,
    }


def review_comment(site: Site, repo: Repository, issue: Issue, it: ReviewComment) -> Json:
    """The schema `pull-request-review-comment`."""
    api, html = repositories.api_url(site, repo), repositories.html_url(site, repo)
    url = f"{api}/pulls/comments/{it.id}"
    page = f"{html}/pull/{issue.number}#discussion_r{it.id}"
    pull_url = f"{api}/pulls/{issue.number}"
    body: Json = {
        "url": url,
        "pull_request_review_id": None,
        "id": it.id,
        "node_id": node("PRRC", it.id),
        "diff_hunk": it.diff_hunk,
        "path": it.path,
        "position": it.line,
        "original_position": it.line,
        "commit_id": it.commit_id,
        "original_commit_id": it.commit_id,
        "user": account(site, it.author),
        "body": it.body,
        "created_at": stamp(it.created_at),
        "updated_at": stamp(it.updated_at),
        "html_url": page,
        "pull_request_url": pull_url,
        "author_association": threads.association(site, repo, it.author),
        "_links": {
            "self": {"href": url},
            "html": {"href": page},
            "pull_request": {"href": pull_url},
        },
        "reactions": threads.rollup(url, it.reactions),
        "start_line": None,
        "original_start_line": None,
        "start_side": None,
        "line": it.line,
        "original_line": it.line,
        "side": it.side,
        "subject_type": "line" if it.line else "file",
    }
    if it.in_reply_to is not None:
        body["in_reply_to_id"] = it.in_reply_to
    return body
