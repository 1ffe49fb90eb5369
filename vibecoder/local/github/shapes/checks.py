"""Check suites and check runs."""

from vibecoder.local.github import bare
from vibecoder.local.github.records import CheckRun, CheckSuite, Repository, stamp
from vibecoder.local.github.shapes import repositories
from vibecoder.local.github.shapes.accounts import app
from vibecoder.local.github.shapes.site import Json, Site, node


def pulls_of(site: Site, repo: Repository, sha: str) -> list[Json]:
    """The schema `pull-request-minimal` of the open pull requests whose head is this commit."""
    api = repositories.api_url(site, repo)
    brief = {"id": repo.id, "url": api, "name": repo.name}
    return [
        {
            "url": f"{api}/pulls/{it.number}",
            "id": it.pull.id,
            "number": it.number,
            "head": {"ref": it.pull.head_ref, "sha": it.pull.head_sha, "repo": brief},
            "base": {"ref": it.pull.base_ref, "sha": it.pull.base_sha, "repo": brief},
        }
        for it in repo.issues.values()
        if it.pull is not None and it.state == "open" and it.pull.head_sha == sha
    ]


def suite_state(it: CheckSuite) -> tuple[str, str | None]:
    """Status and conclusion of a suite: the worst of its runs, once all have completed."""
    runs = list(it.runs.values())
    if not runs:
        return "queued", None
    if any(run.status != "completed" for run in runs):
        started = any(run.status != "queued" for run in runs)
        return ("in_progress" if started else "queued"), None
    order = ("action_required", "timed_out", "cancelled", "failure", "success", "neutral")
    found = {run.conclusion for run in runs}
    return "completed", next((name for name in order if name in found), "neutral")


def check_suite(site: Site, repo: Repository, it: CheckSuite) -> Json:
    api = repositories.api_url(site, repo)
    status, conclusion = suite_state(it)
    head = bare.commit(repo.folder, it.head_sha)
    return {
        "id": it.id,
        "node_id": node("CS", it.id),
        "head_branch": it.head_branch,
        "head_sha": it.head_sha,
        "status": status,
        "conclusion": conclusion,
        "url": f"{api}/check-suites/{it.id}",
        "before": it.before,
        "after": it.head_sha,
        "pull_requests": pulls_of(site, repo, it.head_sha),
        "app": app(site, it.app),
        "repository": repositories.repository(site, repo),
        "created_at": stamp(it.created_at),
        "updated_at": stamp(it.updated_at),
        "rerequestable": True,
        "runs_rerequestable": True,
        "latest_check_runs_count": len(it.runs),
        "check_runs_url": f"{api}/check-suites/{it.id}/check-runs",
        "head_commit": {
            "id": head.sha,
            "tree_id": head.tree,
            "message": head.message,
            "timestamp": head.committer.date,
            "author": {"name": head.author.name, "email": head.author.email},
            "committer": {"name": head.committer.name, "email": head.committer.email},
        },
    }


def check_run(site: Site, repo: Repository, it: CheckRun) -> Json:
    api, html = repositories.api_url(site, repo), repositories.html_url(site, repo)
    sha = it.suite.head_sha
    return {
        "id": it.id,
        "name": it.name,
        "node_id": node("CR", it.id),
        "head_sha": sha,
        "external_id": it.external_id,
        "url": f"{api}/check-runs/{it.id}",
        "html_url": f"{html}/runs/{it.id}",
        "details_url": it.details_url or it.suite.app.url,
        "status": it.status,
        "conclusion": it.conclusion,
        "started_at": stamp(it.started_at),
        "completed_at": stamp(it.completed_at),
        "output": {
            "title": it.title,
            "summary": it.summary,
            "text": it.text,
            "annotations_count": len(it.annotations),
            "annotations_url": f"{api}/check-runs/{it.id}/annotations",
        },
        "check_suite": {"id": it.suite.id},
        "app": app(site, it.suite.app),
        "pull_requests": pulls_of(site, repo, sha),
    }
