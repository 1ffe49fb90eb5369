"""Check suites and check runs: who may make them, their limits, and the buttons on them.

Source: docs.github.com "REST API endpoints for check runs" and "Using the REST API to interact
with checks".
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vibecoder.local.github import auth, bare, hooks
from vibecoder.local.github.problems import Forbidden, Invalid, NotFound
from vibecoder.local.github.records import Actor, App, CheckRun, CheckSuite, Repository, now
from vibecoder.local.github.shapes import checks as shapes
from vibecoder.local.github.shapes.site import Json, Site, site_of

if TYPE_CHECKING:
    from vibecoder.local.github.world import World

STATUSES = ("queued", "in_progress", "completed")
CONCLUSIONS = (
    "action_required",
    "cancelled",
    "failure",
    "neutral",
    "success",
    "skipped",
    "timed_out",
)
TEXT = 65_535  # characters of summary and text
ANNOTATIONS = 50  # a request
ACTIONS = 3
ACTION_LIMITS = {"label": 20, "identifier": 20, "description": 40}
MESSAGE_BYTES = 64 * 1024


def suite_of(repository: Repository, app: App, sha: str) -> CheckSuite | None:
    found = (s for s in repository.suites.values() if s.app is app and s.head_sha == sha)
    return next(found, None)


def ensure_suite(
    world: World,
    repository: Repository,
    app: App,
    sha: str,
    *,
    branch: str | None = None,
    before: str | None = None,
) -> tuple[CheckSuite, bool]:
    """The App's suite on a commit; True where it was made now."""
    suite = suite_of(repository, app, sha)
    if suite is not None:
        return suite, False
    if branch is None:
        tips = bare.branches(repository.folder)
        branch = next((name for name, tip in tips.items() if tip == sha), None)
    suite = CheckSuite(world.next_id(), app, sha, branch, before)
    repository.suites[suite.id] = suite
    return suite, True


def request_suites(
    world: World, repository: Repository, actor: Actor, branch: str, before: str, sha: str
) -> None:
    """What a push does: a suite for every App that may write checks."""
    for installation in list(world.installations.values()):
        if repository.id not in installation.repository_ids or installation.suspended_at:
            continue
        if not auth.allows(installation.permissions, "checks:write"):
            continue
        suite, made = ensure_suite(
            world, repository, installation.app, sha, branch=branch, before=before
        )
        if made:
            fire_suite(world, repository, actor, suite, "requested")


def fire_suite(
    world: World, repository: Repository, actor: Actor, suite: CheckSuite, action: str
) -> None:
    fields = {"check_suite": shapes.check_suite(site_of(world), repository, suite)}
    hooks.fire(world, repository, actor, "check_suite", action, fields, only=suite.app)


def fire_run(
    world: World,
    repository: Repository,
    actor: Actor,
    run: CheckRun,
    action: str,
    extra: Json | None = None,
) -> None:
    site = site_of(world)
    shaped = shapes.check_run(site, repository, run)
    shaped["check_suite"] = shapes.check_suite(site, repository, run.suite)
    fields = {"check_run": shaped, **(extra or {})}
    only = run.suite.app if action in ("rerequested", "requested_action") else None
    hooks.fire(world, repository, actor, "check_run", action, fields, only=only)


def find(repository: Repository, identity: int) -> CheckRun:
    """Raises NotFound."""
    for suite in repository.suites.values():
        if identity in suite.runs:
            return suite.runs[identity]
    raise NotFound


def find_suite(repository: Repository, identity: int) -> CheckSuite:
    """Raises NotFound."""
    suite = repository.suites.get(identity)
    if suite is None:
        raise NotFound
    return suite


def app_of(actor: Actor) -> App:
    """Only Apps write checks. Raises Forbidden."""
    if actor.app is None or actor.account is not actor.app.bot:
        raise Forbidden("You must authenticate via a GitHub App.")
    return actor.app


def create(world: World, repository: Repository, actor: Actor, given: Json) -> CheckRun:
    """Raises Invalid, Forbidden."""
    app = app_of(actor)
    name, sha = given.get("name"), given.get("head_sha")
    for key, value in (("head_sha", sha), ("name", name)):
        if not isinstance(value, str) or not value:
            raise Invalid(f'Invalid request.\n\n"{key}" wasn\'t supplied.')
    resolved = bare.resolve(repository.folder, str(sha)) if len(str(sha)) == 40 else None
    if resolved is None:
        raise Invalid(f"No commit found for SHA: {sha}")
    values = _values(given)
    suite, _ = ensure_suite(world, repository, app, resolved)
    run = CheckRun(world.next_id(), suite, str(name))
    run.status = "queued"
    suite.runs[run.id] = run
    _apply(run, given, values)
    world.record(actor, "check.create", f"{repository.full_name}@{resolved}", _brief(run))
    fire_run(world, repository, actor, run, "created")
    if run.status == "completed":
        _completed(world, repository, actor, run)
    return run


def update(world: World, repository: Repository, actor: Actor, run: CheckRun, given: Json) -> None:
    """Applies what is given; annotations are appended. Raises Invalid, Forbidden."""
    if app_of(actor) is not run.suite.app:
        raise Forbidden(
            f"Invalid app_id `{app_of(actor).id}` - check run can only be modified by the GitHub "
            "App that created it."
        )
    values = _values(given)
    was = run.status
    _apply(run, given, values)
    target = f"{repository.full_name}@{run.suite.head_sha}"
    world.record(actor, "check.update", target, _brief(run))
    if run.status == "completed" and was != "completed":
        _completed(world, repository, actor, run)


def _brief(run: CheckRun) -> Json:
    return {
        "check_run": run.id,
        "name": run.name,
        "status": run.status,
        "conclusion": run.conclusion,
        "external_id": run.external_id,
    }


def _completed(world: World, repository: Repository, actor: Actor, run: CheckRun) -> None:
    fire_run(world, repository, actor, run, "completed")
    if shapes.suite_state(run.suite)[0] == "completed":
        fire_suite(world, repository, actor, run.suite, "completed")


def _time(given: Json, key: str) -> datetime | None:
    value = given.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return datetime.fromisoformat(value).astimezone(UTC)
    raise Invalid.field("CheckRun", key, "invalid")


def _values(given: Json) -> Json:
    """Checks everything before anything is changed. Raises Invalid."""
    status, conclusion = given.get("status"), given.get("conclusion")
    if status is not None and status not in STATUSES:
        raise Invalid.field("CheckRun", "status", "invalid")
    if conclusion is not None and conclusion not in CONCLUSIONS:
        raise Invalid.field("CheckRun", "conclusion", "invalid")
    if status == "completed" and conclusion is None:
        raise Invalid.field(
            "CheckRun", "conclusion", "missing_field", "conclusion is required when completed"
        )
    output = given.get("output")
    if output is not None:
        _check_output(output)
    actions = given.get("actions")
    if actions is not None:
        _check_actions(actions)
    return {key: _time(given, key) for key in ("started_at", "completed_at")}


def _check_output(output: Any) -> None:
    if not isinstance(output, dict) or not isinstance(output.get("summary"), str):
        raise Invalid('Invalid request.\n\n"summary" wasn\'t supplied.')
    for key in ("summary", "text"):
        value = output.get(key)
        if isinstance(value, str) and len(value) > TEXT:
            raise Invalid(
                f"Invalid request.\n\nOnly {TEXT} characters are allowed; {len(value)} were "
                "supplied."
            )
    annotations = output.get("annotations") or []
    if not isinstance(annotations, list) or not all(isinstance(it, dict) for it in annotations):
        raise Invalid("Invalid request.\n\nFor 'output/annotations', it is no array of objects.")
    if len(annotations) > ANNOTATIONS:
        raise Invalid(
            f"Invalid request.\n\nNo more than {ANNOTATIONS} items are allowed; "
            f"{len(annotations)} were supplied."
        )
    for entry in annotations:
        for key in ("path", "start_line", "end_line", "annotation_level", "message"):
            if entry.get(key) is None:
                raise Invalid(f'Invalid request.\n\n"{key}" wasn\'t supplied.')
        if entry["annotation_level"] not in ("notice", "warning", "failure"):
            raise Invalid.field("CheckAnnotation", "annotation_level", "invalid")
        for key, most in (
            ("message", MESSAGE_BYTES),
            ("raw_details", MESSAGE_BYTES),
            ("title", 255),
        ):
            if len(str(entry.get(key) or "").encode(errors="surrogatepass")) > most:
                raise Invalid.field("CheckAnnotation", key, "invalid")


def _check_actions(actions: Any) -> None:
    if not isinstance(actions, list) or len(actions) > ACTIONS:
        raise Invalid(
            f"Invalid request.\n\nNo more than {ACTIONS} items are allowed; "
            f"{len(actions) if isinstance(actions, list) else 0} were supplied."
        )
    for action in actions:
        if not isinstance(action, dict):
            raise Invalid("Invalid request.\n\nFor 'actions', it is no array of objects.")
        for key, most in ACTION_LIMITS.items():
            value = action.get(key)
            if not isinstance(value, str) or not value:
                raise Invalid(f'Invalid request.\n\n"{key}" wasn\'t supplied.')
            if len(value) > most:
                raise Invalid(
                    f"Invalid request.\n\nOnly {most} characters are allowed; {len(value)} were "
                    "supplied."
                )


def _apply(run: CheckRun, given: Json, values: Json) -> None:
    if "name" in given:
        run.name = given["name"]
    if "external_id" in given:
        run.external_id = given["external_id"] or ""
    if "details_url" in given:
        run.details_url = given["details_url"]
    run.started_at = values["started_at"] or run.started_at
    if given.get("status"):
        run.status = given["status"]
        if run.status != "completed":
            run.conclusion = run.completed_at = None
    if given.get("conclusion"):
        run.status, run.conclusion = "completed", given["conclusion"]
    if run.status != "queued" or run.started_at is None:
        run.started_at = run.started_at or now()
    if run.status == "completed":
        run.completed_at = values["completed_at"] or run.completed_at or now()
    output = given.get("output")
    if output is not None:
        run.title = output.get("title", run.title)
        run.summary = output["summary"]
        if "text" in output:
            run.text = output["text"]
        run.annotations.extend(output.get("annotations") or [])
    if given.get("actions") is not None:
        run.actions = [dict(action) for action in given["actions"]]
    run.suite.updated_at = now()


def rerequest(world: World, repository: Repository, actor: Actor, run: CheckRun) -> None:
    """Asks the App to run it again. Only the suite is reset; the run stays as it is."""
    world.record(actor, "check.rerequest", f"{repository.full_name}@{run.suite.head_sha}")
    fire_run(world, repository, actor, run, "rerequested")


def rerequest_suite(world: World, repository: Repository, actor: Actor, suite: CheckSuite) -> None:
    world.record(actor, "suite.rerequest", f"{repository.full_name}@{suite.head_sha}")
    fire_suite(world, repository, actor, suite, "rerequested")


def click(
    world: World, repository: Repository, actor: Actor, run: CheckRun, identifier: str
) -> None:
    """A person presses a button of a run. GitHub shows buttons on completed runs alone.

    Raises Invalid where there is no such button now, Forbidden where the person may not write.
    """
    if world.role(repository, actor.account) in ("none", "read", "triage"):
        raise Forbidden("You must have push access to this repository.")
    if run.status != "completed":
        raise Invalid.because("CheckRun", "The buttons of a check run show once it has completed.")
    if identifier not in (action["identifier"] for action in run.actions):
        raise Invalid.because("CheckRun", f"The check run has no button {identifier}.")
    target = f"{repository.full_name}@{run.suite.head_sha}"
    world.record(actor, "check.click", target, {"check_run": run.id, "identifier": identifier})
    extra = {"requested_action": {"identifier": identifier}}
    fire_run(world, repository, actor, run, "requested_action", extra)


def annotation(site: Site, repository: Repository, run: CheckRun, given: Json) -> Json:
    """The schema `check-annotation`."""
    sha = run.suite.head_sha
    return {
        "path": given["path"],
        "start_line": given["start_line"],
        "end_line": given["end_line"],
        "start_column": given.get("start_column"),
        "end_column": given.get("end_column"),
        "annotation_level": given["annotation_level"],
        "title": given.get("title"),
        "message": given["message"],
        "raw_details": given.get("raw_details"),
        "blob_href": f"{site.html}/{repository.full_name}/blob/{sha}/{given['path']}",
    }
