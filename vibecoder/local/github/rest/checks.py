"""Check runs and check suites."""

from vibecoder.local.github import checks
from vibecoder.local.github.problems import Forbidden, Invalid
from vibecoder.local.github.records import CheckRun
from vibecoder.local.github.rest.call import Answer, Call, route
from vibecoder.local.github.rest.repos import commit_of
from vibecoder.local.github.shapes import checks as shapes
from vibecoder.local.github.shapes.site import Json

READ = "checks:read"
WRITE = "checks:write"
REPO = "/repos/{owner}/{repo}"


def _shape(call: Call, run: CheckRun) -> Json:
    return shapes.check_run(call.site, call.repo, run)


def _filtered(call: Call, runs: list[CheckRun]) -> Answer:
    """Filters: check_name, status, app_id; `filter=all` keeps older runs of the same name."""
    for key in ("check_name", "status", "app_id"):
        wanted = call.query(key)
        if wanted:
            runs = [
                run
                for run in runs
                if wanted
                == {"check_name": run.name, "status": run.status, "app_id": str(run.suite.app.id)}[
                    key
                ]
            ]
    if call.query("filter", "latest") == "latest":
        newest = {(run.suite.id, run.name): run for run in sorted(runs, key=lambda run: run.id)}
        runs = [run for run in runs if newest[run.suite.id, run.name] is run]
    return call.page(runs, lambda run: _shape(call, run), key="check_runs")


@route("POST", REPO + "/check-runs", needs=WRITE)
def create(call: Call) -> Answer:
    run = checks.create(call.world, call.repo, call.actor, call.body)
    body = _shape(call, run)
    return Answer(body, 201, {"Location": body["url"]})


@route("GET", REPO + "/check-runs/{id}", needs=READ)
def get(call: Call) -> Json:
    return _shape(call, checks.find(call.repo, call.number("id")))


@route("PATCH", REPO + "/check-runs/{id}", needs=WRITE)
def update(call: Call) -> Json:
    run = checks.find(call.repo, call.number("id"))
    checks.update(call.world, call.repo, call.actor, run, call.body)
    return _shape(call, run)


@route("GET", REPO + "/check-runs/{id}/annotations", needs=READ)
def annotations(call: Call) -> Answer:
    run = checks.find(call.repo, call.number("id"))
    return call.page(run.annotations, lambda it: checks.annotation(call.site, call.repo, run, it))


@route("POST", REPO + "/check-runs/{id}/rerequest", needs=WRITE)
def rerequest(call: Call) -> Answer:
    run = checks.find(call.repo, call.number("id"))
    if call.who.kind == "installation" and call.who.app is not run.suite.app:
        raise Forbidden
    if run.status != "completed":
        raise Invalid("This check run is not rerequestable")
    checks.rerequest(call.world, call.repo, call.actor, run)
    return Answer({}, 201)


@route("GET", REPO + "/commits/{ref:path}/check-runs", needs=READ)
def runs_of_commit(call: Call) -> Answer:
    sha = commit_of(call, call.params["ref"])
    suites = [suite for suite in call.repo.suites.values() if suite.head_sha == sha]
    return _filtered(call, [run for suite in suites for run in suite.runs.values()])


@route("GET", REPO + "/commits/{ref:path}/check-suites", needs=READ)
def suites_of_commit(call: Call) -> Answer:
    sha = commit_of(call, call.params["ref"])
    found = [suite for suite in call.repo.suites.values() if suite.head_sha == sha]
    wanted = call.query("app_id")
    found = [suite for suite in found if not wanted or str(suite.app.id) == wanted]
    return call.page(
        found, lambda it: shapes.check_suite(call.site, call.repo, it), key="check_suites"
    )


@route("POST", REPO + "/check-suites", needs=WRITE)
def create_suite(call: Call) -> Answer:
    app = checks.app_of(call.actor)
    sha = commit_of(call, call.required("head_sha"))
    suite, made = checks.ensure_suite(call.world, call.repo, app, sha)
    return Answer(shapes.check_suite(call.site, call.repo, suite), 201 if made else 200)


@route("GET", REPO + "/check-suites/{id}", needs=READ)
def get_suite(call: Call) -> Json:
    suite = checks.find_suite(call.repo, call.number("id"))
    return shapes.check_suite(call.site, call.repo, suite)


@route("GET", REPO + "/check-suites/{id}/check-runs", needs=READ)
def runs_of_suite(call: Call) -> Answer:
    suite = checks.find_suite(call.repo, call.number("id"))
    return _filtered(call, list(suite.runs.values()))


@route("POST", REPO + "/check-suites/{id}/rerequest", needs=WRITE)
def rerequest_suite(call: Call) -> Answer:
    suite = checks.find_suite(call.repo, call.number("id"))
    if call.who.kind == "installation" and call.who.app is not suite.app:
        raise Forbidden
    checks.rerequest_suite(call.world, call.repo, call.actor, suite)
    return Answer({}, 201)
