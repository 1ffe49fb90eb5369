"""Pages for people: repositories, issues, pull requests, commits, files.

They show everything, private or not, and act as whoever is chosen in the form: this server is
for one person on one machine.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from vibecoder.local.github import bare, checks, diffs, issues, merge, pulls, signin
from vibecoder.local.github.problems import NotFound, Problem
from vibecoder.local.github.records import (
    Actor,
    CheckRun,
    Issue,
    Pull,
    Repository,
)
from vibecoder.local.github.shapes.checks import suite_state
from vibecoder.local.github.shapes.repositories import account_by_email
from vibecoder.local.github.shapes.site import site_of
from vibecoder.local.github.view import POLICY, Viewed, templates
from vibecoder.local.github.world import World

COLORS = ("#0969da", "#8250df", "#bf3989", "#1a7f37", "#bc4c00", "#9a6700", "#cf222e", "#57606a")
LARGEST_DIFF = 3000  # rows of a file that are shown
Page = Callable[[Viewed], Response]

# Reading.


def home(view: Viewed) -> Response:
    return view.page("home.html", repositories=list(view.world.repositories.values()))


def account(view: Viewed) -> Response:
    who = view.world.accounts.get(view.request.path_params["owner"].lower())
    if who is None:
        raise NotFound
    owned = [repo for repo in view.world.repositories.values() if repo.owner is who]
    return view.page("home.html", repositories=owned)


def repository(view: Viewed) -> Response:
    return _folder(view, view.repo.default_branch, "")


def tree(view: Viewed) -> Response:
    ref, path = _split(view.repo, view.request.path_params["rest"])
    return _folder(view, ref, path)


def _split(repo: Repository, rest: str) -> tuple[str, str]:
    """Ref and path of "feature/x/src/a.py": the longest branch that fits, else the first part."""
    fitting = [name for name in bare.branches(repo.folder) if f"{rest}/".startswith(f"{name}/")]
    ref = max(fitting, key=len, default=rest.partition("/")[0])
    return ref, rest[len(ref) :].strip("/")


def _folder(view: Viewed, ref: str, path: str) -> Response:
    repo = view.repo
    at = bare.resolve(repo.folder, ref)
    entries: list[bare.Entry] = []
    readme = None
    if at is not None:
        found = bare.entry(repo.folder, at, path)
        if found is None or found.type != "tree":
            raise NotFound
        entries = sorted(bare.tree(repo.folder, found.sha), key=lambda it: it.type != "tree")
        for it in entries:
            if it.path.lower() in ("readme.md", "readme.rst", "readme.txt", "readme"):
                text = bare.blob(repo.folder, it.sha).decode(errors="replace")
                readme = (it.path, text)
                break
    commit = bare.commit(repo.folder, at) if at else None
    return view.page(
        "repository.html", repo=repo, ref=ref, at=at, here=path, entries=entries, readme=readme,
        commit=commit, branches=bare.branches(repo.folder),
    )  # fmt: skip


def blob(view: Viewed) -> Response:
    repo = view.repo
    ref, path = _split(repo, view.request.path_params["rest"])
    at = bare.resolve(repo.folder, ref)
    found = bare.entry(repo.folder, at, path) if at else None
    if found is None or found.type != "blob":
        raise NotFound
    data = bare.blob(repo.folder, found.sha)
    binary = b"\0" in data[:8000] or len(data) > 2_000_000
    lines = [] if binary else diffs.file_lines(path, data.decode(errors="replace"))
    return view.page("blob.html", repo=repo, ref=ref, here=path, size=len(data), lines=lines)


def raw(view: Viewed) -> Response:
    ref, path = _split(view.repo, view.request.path_params["rest"])
    at = bare.resolve(view.repo.folder, ref)
    found = bare.entry(view.repo.folder, at, path) if at else None
    if found is None or found.type != "blob":
        raise NotFound
    data = bare.blob(view.repo.folder, found.sha)
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": POLICY}
    return Response(data, media_type="text/plain; charset=utf-8", headers=headers)


def issue_list(view: Viewed) -> Response:
    return _thread_list(view, pulls=False)


def pull_list(view: Viewed) -> Response:
    return _thread_list(view, pulls=True)


def _thread_list(view: Viewed, *, pulls: bool) -> Response:
    state = view.request.query_params.get("state", "open")
    found = [it for it in view.repo.issues.values() if (it.pull is not None) == pulls]
    shown = [it for it in found if state in ("all", it.state)]
    counts = {name: sum(it.state == name for it in found) for name in ("open", "closed")}
    return view.page(
        "threads.html", repo=view.repo, threads=shown[::-1], pulls=pulls, counts=counts, state=state
    )


def issue(view: Viewed) -> Response:
    repo = view.repo
    found = issues.find(repo, view.request.path_params["number"])
    if found.pull is not None:
        return RedirectResponse(f"/{repo.full_name}/pull/{found.number}", 302)
    return view.page("issue.html", repo=repo, issue=found, timeline=_timeline(found, []))


def _timeline(it: Issue, commits: list[bare.Commit]) -> list[tuple[str, Any]]:
    """Comments, changes and commits in the order that they came."""
    entries: list[tuple[float, int, str, Any]] = [
        (one.created_at.timestamp(), 2, "comment", one) for one in it.comments.values()
    ]
    entries += [(one.at.timestamp(), 1, "change", one) for one in it.changes]
    opened = it.created_at.timestamp()
    for one in commits:
        made = datetime.fromisoformat(one.committer.date).timestamp()
        # A commit is not older than the pull request that it is shown on.
        entries.append((max(made, opened), 0, "commit", one))
    entries.sort(key=lambda entry: (entry[0], entry[1]))
    return [(kind, value) for _, _, kind, value in entries]


def _files(folder: Path, old: str, new: str) -> list[dict[str, Any]]:
    out = []
    for change in bare.changes(folder, old, new):
        table = diffs.rows(change.path, change.patch) if change.patch else []
        total = change.additions + change.deletions
        green = round(5 * change.additions / total) if total else 0
        out.append(
            {
                "change": change,
                "rows": table[:LARGEST_DIFF],
                "more": max(len(table) - LARGEST_DIFF, 0),
                "blocks": "a" * green + "d" * (5 - green if total else 0),
            }
        )
    return out


def _pull(view: Viewed) -> tuple[Repository, Issue, Pull, str]:
    repo = view.repo
    found, pull = pulls.find(repo, view.request.path_params["number"])
    start = bare.merge_base(repo.folder, pull.base_sha, pull.head_sha) or pull.base_sha
    return repo, found, pull, start


def pull(view: Viewed) -> Response:
    repo, found, it, start = _pull(view)
    folder = repo.folder
    ids = bare.history(folder, it.head_sha, without=start, oldest_first=True)
    commits = [bare.commit(folder, sha) for sha in ids]
    suites = [suite for suite in repo.suites.values() if suite.head_sha == it.head_sha]
    runs = [run for suite in suites for run in suite.runs.values()]
    files = _files(folder, start, it.head_sha)
    return view.page(
        "pull.html", repo=repo, issue=found, pull=it, timeline=_timeline(found, commits),
        commits=commits, runs=runs, files=files, verdict=_verdict(runs),
        added=sum(one["change"].additions for one in files),
        removed=sum(one["change"].deletions for one in files),
        author_of=lambda commit: account_by_email(site_of(view.world), commit.author.email),
        mergeable=bare.merge(folder, it.base_sha, it.head_sha) is not None,
    )  # fmt: skip


def _verdict(runs: list[CheckRun]) -> str:
    """One word for all runs together: none, running, good, bad."""
    if not runs:
        return "none"
    if any(run.status != "completed" for run in runs):
        return "running"
    bad = ("failure", "timed_out", "cancelled", "action_required")
    return "bad" if any(run.conclusion in bad for run in runs) else "good"


def pull_diff(view: Viewed) -> Response:
    repo, _, it, start = _pull(view)
    return PlainTextResponse(bare.diff_text(repo.folder, start, it.head_sha))


def pull_patch(view: Viewed) -> Response:
    repo, _, it, start = _pull(view)
    return PlainTextResponse(bare.patch_text(repo.folder, start, it.head_sha))


def pull_part(view: Viewed) -> Response:
    """/pull/N/files and the like: parts of the one page."""
    params = view.request.path_params
    return RedirectResponse(f"/{view.repo.full_name}/pull/{params['number']}#{params['part']}", 302)


def commit(view: Viewed) -> Response:
    repo = view.repo
    sha = bare.resolve(repo.folder, view.request.path_params["sha"])
    if sha is None:
        raise NotFound
    made = bare.commit(repo.folder, sha)
    before = made.parents[0] if made.parents else bare.EMPTY_TREE
    return view.page("commit.html", repo=repo, commit=made, files=_files(repo.folder, before, sha))


def commit_list(view: Viewed) -> Response:
    repo = view.repo
    ref = view.request.path_params.get("ref", repo.default_branch)
    at = bare.resolve(repo.folder, ref)
    if at is None:
        raise NotFound
    commits = [bare.commit(repo.folder, sha) for sha in bare.history(repo.folder, at)[:100]]
    return view.page("commits.html", repo=repo, ref=ref, commits=commits)


def check_run(view: Viewed) -> Response:
    repo = view.repo
    run = checks.find(repo, view.request.path_params["id"])
    return view.page("run.html", repo=repo, run=run, state=suite_state(run.suite))


def avatar(view: Viewed) -> Response:
    identity = view.request.path_params["id"]
    found = next((who for who in view.world.accounts.values() if who.id == identity), None)
    letter = found.login[0].upper() if found else "?"
    shape = "14" if found and found.type == "User" else "6"
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 40">'
        f'<rect width="40" height="40" rx="{shape}" fill="{COLORS[identity % len(COLORS)]}"/>'
        '<text x="20" y="27" font-family="sans-serif" font-size="20" font-weight="600" '
        f'fill="#fff" text-anchor="middle">{letter}</text></svg>'
    )
    return Response(svg, media_type="image/svg+xml", headers={"Cache-Control": "max-age=3600"})


def stylesheet(view: Viewed) -> Response:
    text = (Path(__file__).parent / "templates" / "github.css").read_text()
    return Response(text, media_type="text/css")


# Writing, as the person who is chosen in the form.


def open_issue(view: Viewed) -> Response:
    made = issues.open_issue(
        view.world,
        view.repo,
        Actor(view.person),
        title=view.field("title"),
        body=view.field("body"),
    )
    return view.back(f"/{view.repo.full_name}/issues/{made.number}")


def say(view: Viewed) -> Response:
    """A comment, and perhaps closing or reopening the thread with it."""
    repo, actor = view.repo, Actor(view.person)
    found = issues.find(repo, view.request.path_params["number"])
    if view.field("body").strip():
        issues.comment(view.world, repo, actor, found, view.field("body"))
    if view.field("state") in ("open", "closed"):
        issues.set_state(view.world, repo, actor, found, view.field("state"))
    kind = "pull" if found.pull else "issues"
    return view.back(f"/{repo.full_name}/{kind}/{found.number}#end")


def press(view: Viewed) -> Response:
    """A button of a check run, or "Re-run"."""
    repo, actor = view.repo, Actor(view.person)
    run = checks.find(repo, view.request.path_params["id"])
    if view.field("identifier"):
        checks.click(view.world, repo, actor, run, view.field("identifier"))
    else:
        checks.rerequest(view.world, repo, actor, run)
    return view.back(view.field("next") or f"/{repo.full_name}/runs/{run.id}")


def merge_pull(view: Viewed) -> Response:
    repo, found, it, _ = _pull(view)
    if it.draft:
        pulls.set_draft(view.world, repo, Actor(view.person), found, False)
    else:
        merge.merge(view.world, repo, Actor(view.person), found)
    return view.back(f"/{repo.full_name}/pull/{found.number}#end")


REPO = "/{owner}/{repo}"
PAGES: tuple[tuple[str, str, Page], ...] = (
    ("GET", "/", home),
    ("GET", "/_static/github.css", stylesheet),
    ("GET", "/avatars/{id:int}", avatar),
    ("GET POST", "/login/oauth/authorize", signin.authorize),
    ("GET POST", "/settings/apps/new", signin.new_app),
    ("GET POST", "/organizations/{org}/settings/apps/new", signin.new_app),
    ("GET", "/apps/{slug}", signin.about_app),
    ("GET", "/apps/{slug}/installations/new", signin.about_app),
    ("POST", "/apps/{slug}/installations/new", signin.install_app),
    ("GET", "/{owner}", account),
    ("GET", REPO, repository),
    ("GET", REPO + "/tree/{rest:path}", tree),
    ("GET", REPO + "/blob/{rest:path}", blob),
    ("GET", REPO + "/raw/{rest:path}", raw),
    ("GET", REPO + "/issues", issue_list),
    ("POST", REPO + "/issues", open_issue),
    ("GET", REPO + "/pulls", pull_list),
    ("GET", REPO + "/issues/{number:int}", issue),
    ("POST", REPO + "/issues/{number:int}/comments", say),
    ("GET", REPO + "/pull/{number:int}", pull),
    ("GET", REPO + "/pull/{number:int}.diff", pull_diff),
    ("GET", REPO + "/pull/{number:int}.patch", pull_patch),
    ("POST", REPO + "/pull/{number:int}/merge", merge_pull),
    ("GET", REPO + "/pull/{number:int}/{part}", pull_part),
    ("GET", REPO + "/commit/{sha}", commit),
    ("GET", REPO + "/commits", commit_list),
    ("GET", REPO + "/commits/{ref:path}", commit_list),
    ("GET", REPO + "/runs/{id:int}", check_run),
    ("POST", REPO + "/runs/{id:int}", press),
)


def pages(world: World) -> Starlette:
    """The app for people."""
    shared = templates()

    def endpoint(page: Page) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            form = await request.form() if request.method == "POST" else FormData()
            seen = Viewed(world, shared, request, form)
            try:
                return page(seen)
            except Problem as problem:
                words = problem.message
                if problem.errors:
                    words += ": " + "; ".join(str(e.get("message", e)) for e in problem.errors)
                shown = seen.page("problem.html", status=problem.status, words=words)
                shown.status_code = problem.status if problem.status < 500 else 422
                return shown

        return answer

    async def access_token(request: Request) -> Response:
        return await signin.access_token(world, request)

    routes = [Route("/login/oauth/access_token", access_token, methods=["POST"])]
    routes += [Route(path, endpoint(page), methods=how.split()) for how, path, page in PAGES]
    return Starlette(routes=routes)
