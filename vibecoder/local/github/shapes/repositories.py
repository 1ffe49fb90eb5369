"""Repositories and what is inside them: branches, commits, trees, files, comparisons."""

import base64
from urllib.parse import quote, urlsplit

from vibecoder.local.github import bare
from vibecoder.local.github.records import ROLES, Account, Repository, Role, stamp
from vibecoder.local.github.shapes.accounts import account
from vibecoder.local.github.shapes.site import Json, Site, node


def api_url(site: Site, repo: Repository) -> str:
    return f"{site.api}/repos/{repo.full_name}"


def html_url(site: Site, repo: Repository) -> str:
    return f"{site.html}/{repo.full_name}"


def permissions(role: Role) -> Json:
    """The five booleans that say what a role includes."""
    rank = ROLES.index(role)
    names = (("admin", "admin"), ("maintain", "maintain"), ("push", "write"), ("triage", "triage"))
    return {name: rank >= ROLES.index(least) for name, least in names} | {
        "pull": rank >= ROLES.index("read")
    }


def repository(site: Site, repo: Repository, role: Role | None = None) -> Json:
    """The schema `repository`; with `role` also what the reader may do."""
    api, html = api_url(site, repo), html_url(site, repo)
    host = urlsplit(site.html).netloc
    opened = sum(issue.state == "open" for issue in repo.issues.values())
    body: Json = {
        "id": repo.id,
        "node_id": node("R", repo.id),
        "name": repo.name,
        "full_name": repo.full_name,
        "private": repo.private,
        "owner": account(site, repo.owner),
        "html_url": html,
        "description": repo.description,
        "fork": False,
        "url": api,
        "archive_url": f"{api}/{{archive_format}}{{/ref}}",
        "assignees_url": f"{api}/assignees{{/user}}",
        "blobs_url": f"{api}/git/blobs{{/sha}}",
        "branches_url": f"{api}/branches{{/branch}}",
        "collaborators_url": f"{api}/collaborators{{/collaborator}}",
        "comments_url": f"{api}/comments{{/number}}",
        "commits_url": f"{api}/commits{{/sha}}",
        "compare_url": f"{api}/compare/{{base}}...{{head}}",
        "contents_url": f"{api}/contents/{{+path}}",
        "contributors_url": f"{api}/contributors",
        "deployments_url": f"{api}/deployments",
        "downloads_url": f"{api}/downloads",
        "events_url": f"{api}/events",
        "forks_url": f"{api}/forks",
        "git_commits_url": f"{api}/git/commits{{/sha}}",
        "git_refs_url": f"{api}/git/refs{{/sha}}",
        "git_tags_url": f"{api}/git/tags{{/sha}}",
        "git_url": f"git://{host}/{repo.full_name}.git",
        "issue_comment_url": f"{api}/issues/comments{{/number}}",
        "issue_events_url": f"{api}/issues/events{{/number}}",
        "issues_url": f"{api}/issues{{/number}}",
        "keys_url": f"{api}/keys{{/key_id}}",
        "labels_url": f"{api}/labels{{/name}}",
        "languages_url": f"{api}/languages",
        "merges_url": f"{api}/merges",
        "milestones_url": f"{api}/milestones{{/number}}",
        "notifications_url": f"{api}/notifications{{?since,all,participating}}",
        "pulls_url": f"{api}/pulls{{/number}}",
        "releases_url": f"{api}/releases{{/id}}",
        "ssh_url": f"git@{host}:{repo.full_name}.git",
        "stargazers_url": f"{api}/stargazers",
        "statuses_url": f"{api}/statuses/{{sha}}",
        "subscribers_url": f"{api}/subscribers",
        "subscription_url": f"{api}/subscription",
        "tags_url": f"{api}/tags",
        "teams_url": f"{api}/teams",
        "trees_url": f"{api}/git/trees{{/sha}}",
        "clone_url": f"{html}.git",
        "mirror_url": None,
        "hooks_url": f"{api}/hooks",
        "svn_url": html,
        "homepage": None,
        "language": None,
        "forks_count": 0,
        "stargazers_count": 0,
        "watchers_count": 0,
        "size": 0,
        "default_branch": repo.default_branch,
        "open_issues_count": opened,
        "is_template": False,
        "topics": [],
        "has_issues": True,
        "has_projects": False,
        "has_wiki": False,
        "has_pages": False,
        "has_downloads": False,
        "has_discussions": False,
        "archived": repo.archived,
        "disabled": False,
        "visibility": "private" if repo.private else "public",
        "pushed_at": stamp(repo.pushed_at),
        "created_at": stamp(repo.created_at),
        "updated_at": stamp(repo.updated_at),
        "license": None,
        "forks": 0,
        "open_issues": opened,
        "watchers": 0,
        "allow_forking": True,
        "web_commit_signoff_required": False,
    }
    if role is not None:
        body["permissions"] = permissions(role)
    return body


def full_repository(site: Site, repo: Repository, role: Role | None = None) -> Json:
    """The schema `full-repository`."""
    return {
        **repository(site, repo, role),
        "subscribers_count": 0,
        "network_count": 0,
        "temp_clone_token": None,
        "allow_rebase_merge": True,
        "allow_squash_merge": True,
        "allow_merge_commit": True,
        "allow_auto_merge": False,
        "allow_update_branch": False,
        "delete_branch_on_merge": False,
        "use_squash_pr_title_as_default": False,
    }


def brief_repository(repo: Repository) -> Json:
    """What payloads about installations list."""
    return {
        "id": repo.id,
        "node_id": node("R", repo.id),
        "name": repo.name,
        "full_name": repo.full_name,
        "private": repo.private,
    }


def _person(who: bare.Person) -> Json:
    return {"name": who.name, "email": who.email, "date": who.date}


def account_by_email(site: Site, email: str) -> Account | None:
    """Whom GitHub attributes a commit to: the owner of a noreply address."""
    login = email.partition("+")[2].rpartition("@")[0]
    account = site.world.accounts.get(login.lower())
    return account if account and site.world.noreply(account) == email else None


VERIFICATION = {
    "verified": False,
    "reason": "unsigned",
    "signature": None,
    "payload": None,
    "verified_at": None,
}


def git_commit(site: Site, repo: Repository, sha: str) -> Json:
    """The schema `git-commit`, of the Git database API."""
    made = bare.commit(repo.folder, sha)
    api = api_url(site, repo)
    return {
        "sha": sha,
        "node_id": f"C_{sha}",
        "url": f"{api}/git/commits/{sha}",
        "html_url": f"{html_url(site, repo)}/commit/{sha}",
        "author": _person(made.author),
        "committer": _person(made.committer),
        "message": made.message,
        "tree": {"sha": made.tree, "url": f"{api}/git/trees/{made.tree}"},
        "parents": [
            {
                "sha": parent,
                "url": f"{api}/git/commits/{parent}",
                "html_url": f"{html_url(site, repo)}/commit/{parent}",
            }
            for parent in made.parents
        ],
        "verification": VERIFICATION,
    }


def commit(site: Site, repo: Repository, sha: str, *, files: bool = False) -> Json:
    """The schema `commit`; with `files` its stats and diff against the first parent."""
    made = bare.commit(repo.folder, sha)
    api, html = api_url(site, repo), html_url(site, repo)
    author = account_by_email(site, made.author.email)
    committer = account_by_email(site, made.committer.email)
    body: Json = {
        "sha": sha,
        "node_id": f"C_{sha}",
        "commit": {
            "author": _person(made.author),
            "committer": _person(made.committer),
            "message": made.message,
            "tree": {"sha": made.tree, "url": f"{api}/git/trees/{made.tree}"},
            "url": f"{api}/git/commits/{sha}",
            "comment_count": 0,
            "verification": VERIFICATION,
        },
        "url": f"{api}/commits/{sha}",
        "html_url": f"{html}/commit/{sha}",
        "comments_url": f"{api}/commits/{sha}/comments",
        "author": account(site, author) if author else None,
        "committer": account(site, committer) if committer else None,
        "parents": [
            {
                "sha": parent,
                "url": f"{api}/commits/{parent}",
                "html_url": f"{html}/commit/{parent}",
            }
            for parent in made.parents
        ],
    }
    if files:
        changed = bare.changes(
            repo.folder, made.parents[0] if made.parents else bare.EMPTY_TREE, sha
        )
        added = sum(change.additions for change in changed)
        removed = sum(change.deletions for change in changed)
        body["stats"] = {"additions": added, "deletions": removed, "total": added + removed}
        body["files"] = [file(site, repo, change, sha) for change in changed]
    return body


def file(site: Site, repo: Repository, change: bare.Change, sha: str) -> Json:
    """The schema `diff-entry`; `sha` is the commit that the links show the file at."""
    path = quote(change.path)
    body: Json = {
        "sha": change.sha,
        "filename": change.path,
        "status": change.status,
        "additions": change.additions,
        "deletions": change.deletions,
        "changes": change.additions + change.deletions,
        "blob_url": f"{html_url(site, repo)}/blob/{sha}/{path}",
        "raw_url": f"{html_url(site, repo)}/raw/{sha}/{path}",
        "contents_url": f"{api_url(site, repo)}/contents/{path}?ref={sha}",
    }
    if change.patch is not None:
        body["patch"] = change.patch
    if change.previous is not None:
        body["previous_filename"] = change.previous
    return body


def short_branch(site: Site, repo: Repository, name: str, sha: str) -> Json:
    api = api_url(site, repo)
    return {
        "name": name,
        "commit": {"sha": sha, "url": f"{api}/commits/{sha}"},
        "protected": name in repo.protected,
    }


def branch(site: Site, repo: Repository, name: str, sha: str) -> Json:
    """The schema `branch-with-protection`."""
    api = api_url(site, repo)
    protected = name in repo.protected
    return {
        "name": name,
        "commit": commit(site, repo, sha),
        "_links": {
            "self": f"{api}/branches/{quote(name)}",
            "html": f"{html_url(site, repo)}/tree/{quote(name)}",
        },
        "protected": protected,
        "protection": {
            "enabled": protected,
            "required_status_checks": {
                "enforcement_level": "off",
                "contexts": [],
                "checks": [],
            },
        },
        "protection_url": f"{api}/branches/{quote(name)}/protection",
    }


def ref(site: Site, repo: Repository, name: str, sha: str) -> Json:
    """The schema `git-ref`; `name` is the full name."""
    api = api_url(site, repo)
    kind = bare.kind(repo.folder, sha) or "commit"
    return {
        "ref": name,
        "node_id": f"REF_{repo.id}_{name}",
        "url": f"{api}/git/{quote(name)}",
        "object": {"type": kind, "sha": sha, "url": f"{api}/git/{kind}s/{sha}"},
    }


def comparison(site: Site, repo: Repository, base: str, head: str) -> Json:
    """The schema `commit-comparison` of two commit ids that have an ancestor in common."""
    merge_base = bare.merge_base(repo.folder, base, head) or base
    ahead = bare.history(repo.folder, head, without=base, oldest_first=True)
    behind = bare.history(repo.folder, base, without=head)
    status = (
        "identical"
        if base == head
        else "diverged"
        if ahead and behind
        else "ahead"
        if ahead
        else "behind"
    )
    api, html = api_url(site, repo), html_url(site, repo)
    return {
        "url": f"{api}/compare/{base}...{head}",
        "html_url": f"{html}/compare/{base}...{head}",
        "permalink_url": f"{html}/compare/{base}...{head}",
        "diff_url": f"{html}/compare/{base}...{head}.diff",
        "patch_url": f"{html}/compare/{base}...{head}.patch",
        "base_commit": commit(site, repo, base),
        "merge_base_commit": commit(site, repo, merge_base),
        "status": status,
        "ahead_by": len(ahead),
        "behind_by": len(behind),
        "total_commits": len(ahead),
        "commits": [commit(site, repo, sha) for sha in ahead[:250]],
        "files": [
            file(site, repo, change, head)
            for change in bare.changes(repo.folder, merge_base, head)[:300]
        ],
    }


def content(
    site: Site, repo: Repository, it: bare.Entry, name: str, at: str, data: bytes | None = None
) -> Json:
    """The schema `content-file` (with `data`) or an item of `content-directory`."""
    path = quote(it.path)
    kind = {"tree": "dir", "commit": "submodule"}.get(it.type, "file")
    if it.mode == "120000":
        kind = "symlink"
    api, html = api_url(site, repo), html_url(site, repo)
    self_url = f"{api}/contents/{path}?ref={quote(name)}"
    git_url = f"{api}/git/{'trees' if kind == 'dir' else 'blobs'}/{it.sha}"
    page = f"{html}/{'tree' if kind == 'dir' else 'blob'}/{quote(name)}/{path}"
    body: Json = {
        "name": it.path.rpartition("/")[2],
        "path": it.path,
        "sha": it.sha,
        "size": it.size or 0,
        "url": self_url,
        "html_url": page,
        "git_url": git_url,
        "download_url": f"{html}/raw/{at}/{path}" if kind in ("file", "symlink") else None,
        "type": kind,
        "_links": {"self": self_url, "git": git_url, "html": page},
    }
    if data is not None:
        body["content"] = base64.encodebytes(data).decode()
        body["encoding"] = "base64"
        if kind == "symlink":
            body["target"] = data.decode(errors="replace")
    return body


def tree(site: Site, repo: Repository, sha: str, entries: list[bare.Entry]) -> Json:
    """The schema `git-tree`."""
    api = api_url(site, repo)
    rows = []
    for it in entries:
        row: Json = {"path": it.path, "mode": it.mode, "type": it.type, "sha": it.sha}
        if it.size is not None:
            row["size"] = it.size
        if it.type != "commit":
            row["url"] = f"{api}/git/{it.type}s/{it.sha}"
        rows.append(row)
    return {"sha": sha, "url": f"{api}/git/trees/{sha}", "tree": rows, "truncated": False}
