"""/_admin: what no GitHub offers and tests need: people, repositories, faults, the effect log.

Without credentials, because the server listens on the loopback only. Every body is JSON.
"""

import base64
import dataclasses
import json
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from vibecoder.local.github import auth, bare, checks, hooks, merge, pulls, refs
from vibecoder.local.github.problems import Problem
from vibecoder.local.github.records import (
    ROLES,
    Actor,
    CheckRun,
    Installation,
    Repository,
    now,
    stamp,
)
from vibecoder.local.github.shapes import accounts, repositories, threads
from vibecoder.local.github.shapes.site import Json, site_of
from vibecoder.local.github.world import World

Verb = Callable[[World, Request, Json], Any]


def _repository(world: World, request: Request) -> Repository:
    return world.repository(f"{request.path_params['owner']}/{request.path_params['repo']}")


def _installation(world: World, request: Request) -> Installation:
    return world.installations[request.path_params["id"]]


def about(world: World, request: Request, body: Json) -> Any:
    """What a client needs to know to be the App."""
    return {
        "app_id": world.app_id,
        "client_id": world.client_id,
        "client_secret": world.client_secret,
        "private_key": world.private_key,
        "webhook_secret": world.webhook_secret,
        "installation_id": world.installation_id,
        "hook_url": world.hook_url,
        "users": world.users,
        "repositories": [repo.full_name for repo in world.repositories.values()],
    }


def create_user(world: World, request: Request, body: Json) -> Any:
    """{login, name?} → {login, id, token}."""
    token = world.create_user(str(body["login"]), body.get("name"))
    return {"login": body["login"], "id": world.account(body["login"]).id, "token": token}


def _content(value: Any) -> bytes | tuple[int, bytes]:
    if isinstance(value, str):
        return value.encode()
    raw = str(value["content"])
    data = base64.b64decode(raw) if value.get("encoding") == "base64" else raw.encode()
    return int(str(value.get("mode", "100644")), 8), data


def create_repository(world: World, request: Request, body: Json) -> Any:
    """{full_name, files: {path: text | {content, encoding?, mode?}}, private?, …}."""
    files = {str(path): _content(value) for path, value in (body.get("files") or {}).items()}
    repo = world.add_repository(
        str(body["full_name"]),
        files,
        private=bool(body.get("private", False)),
        default_branch=str(body.get("default_branch", "main")),
        message=str(body.get("message", "Initial import")),
        installed=bool(body.get("installed", True)),
    )
    return repositories.full_repository(site_of(world), repo)


def commit(world: World, request: Request, body: Json) -> Any:
    """{branch?, files, message?, by?}: a person's push of one commit, webhooks included."""
    repo = _repository(world, request)
    who = world.account(str(body.get("by", "maya")))
    branch = str(body.get("branch", repo.default_branch))
    ref = f"refs/heads/{branch}"
    old = bare.resolve(repo.folder, ref)
    parent = old or bare.resolve(repo.folder, f"refs/heads/{repo.default_branch}")
    files = {str(path): _content(value) for path, value in body["files"].items()}
    person = bare.Person(who.login, world.noreply(who), str(stamp(now())))
    message = str(body.get("message", "Change files"))
    sha = bare.commit_files(repo.folder, branch, files, message, person, parent)
    refs.moved(world, repo, Actor(who), ref, old or bare.ZERO, sha)
    return {"sha": sha}


def open_issue(world: World, request: Request, body: Json) -> Any:
    """{title, body?, by?} → the issue."""
    repo = _repository(world, request)
    issue = world.add_issue(
        repo.full_name, body["title"], body.get("body"), str(body.get("by", "maya"))
    )
    return threads.issue(site_of(world), repo, issue)


def merge_pull(world: World, request: Request, body: Json) -> Any:
    """{by?, method?} → {sha}."""
    repo = _repository(world, request)
    issue, pull = pulls.find(repo, request.path_params["number"])
    actor = Actor(world.account(str(body.get("by", "maya"))))
    if pull.draft:
        pulls.set_draft(world, repo, actor, issue, False)
    return {"sha": merge.merge(world, repo, actor, issue, method=body.get("method", "merge"))}


def ready(world: World, request: Request, body: Json) -> Any:
    """{by?, draft?}: a draft becomes ready for review, or the other way round."""
    repo = _repository(world, request)
    issue, _ = pulls.find(repo, request.path_params["number"])
    actor = Actor(world.account(str(body.get("by", "maya"))))
    pulls.set_draft(world, repo, actor, issue, bool(body.get("draft", False)))


def set_role(world: World, request: Request, body: Json) -> Any:
    """{role}: none, read, triage, write, maintain, admin."""
    if body["role"] not in ROLES:
        raise ValueError(f"The role must be one of {', '.join(ROLES)}.")
    repo = _repository(world, request)
    world.set_role(repo.full_name, request.path_params["login"], body["role"])


def protect(world: World, request: Request, body: Json) -> Any:
    """PUT protects a branch, DELETE lifts it."""
    repo = _repository(world, request)
    world.protect(repo.full_name, request.path_params["branch"], request.method == "PUT")


def archive(world: World, request: Request, body: Json) -> Any:
    """PUT archives a repository, DELETE lifts it."""
    _repository(world, request).archived = request.method == "PUT"


def _run(world: World, request: Request) -> tuple[Repository, CheckRun]:
    found = world.check_run(request.path_params["id"])
    if found is None:
        raise KeyError(f"check run {request.path_params['id']}")
    return found


def click(world: World, request: Request, body: Json) -> Any:
    """{identifier, by?}: a person presses a button of a completed check run."""
    repo, run = _run(world, request)
    actor = Actor(world.account(str(body.get("by", "maya"))))
    checks.click(world, repo, actor, run, str(body["identifier"]))


def rerequest(world: World, request: Request, body: Json) -> Any:
    """{by?}: a person presses "Re-run" of a check run."""
    repo, run = _run(world, request)
    checks.rerequest(world, repo, Actor(world.account(str(body.get("by", "maya")))), run)


def suspend(world: World, request: Request, body: Json) -> Any:
    """PUT suspends an installation, DELETE lifts it."""
    world.suspend(request.method == "PUT", _installation(world, request))


def set_permissions(world: World, request: Request, body: Json) -> Any:
    """The body becomes the installation's permissions, also those of living tokens."""
    _installation(world, request).permissions = {str(k): str(v) for k, v in body.items()}


def set_repositories(world: World, request: Request, body: Json) -> Any:
    """{add?: [full names], remove?: [full names]}: what the installation covers."""
    it = _installation(world, request)
    added = [world.repository(name) for name in body.get("add", [])]
    removed = [world.repository(name) for name in body.get("remove", [])]
    it.selection = "selected"
    it.repository_ids |= {repo.id for repo in added}
    it.repository_ids -= {repo.id for repo in removed}
    if added:
        hooks.installation_repositories(world, it, added)
    if removed:
        hooks.installation_repositories(world, it, [], removed)


def uninstall(world: World, request: Request, body: Json) -> Any:
    it = _installation(world, request)
    hooks.installation(world, it, "deleted", it.account)
    del world.installations[it.id]


def expire_tokens(world: World, request: Request, body: Json) -> Any:
    """{kind?}: "installation" (default) or "user" tokens expire now."""
    world.expire_tokens(str(body.get("kind", "installation")))


def revoke_authorization(world: World, request: Request, body: Json) -> Any:
    """A person takes back, in their settings, that the App may act for them."""
    person = world.account(request.path_params["login"])
    auth.revoke_all(world, world.app, person)
    hooks.authorization_revoked(world, world.app, person)


def set_hook(world: World, request: Request, body: Json) -> Any:
    """{url?, secret?, callback_urls?}: where deliveries go, no ping; where people come back to."""
    world.hook_url = str(body.get("url", world.hook_url))
    world.callback_urls = tuple(map(str, body.get("callback_urls", world.callback_urls)))
    world.app.webhook_secret = str(body.get("secret", world.app.webhook_secret))


def add_fault(world: World, request: Request, body: Json) -> Any:
    """{method, path, times?, status?, late?, delay?, cut?, headers?, body?, drop?, duplicate?}."""
    world.faults.add(str(body.pop("method")), str(body.pop("path")), **body)


def list_faults(world: World, request: Request, body: Json) -> Any:
    return [
        {**dataclasses.asdict(it), "path": it.path.pattern}
        for it in list(world.faults.waiting)
    ]  # fmt: skip


def clear_faults(world: World, request: Request, body: Json) -> Any:
    world.faults.clear()


def effects(world: World, request: Request, body: Json) -> Any:
    """The effect log from ?since=N on."""
    since = request.query_params.get("since", "0")
    return [dataclasses.asdict(it) for it in world.effects[int(since) :]]


def deliveries(world: World, request: Request, body: Json) -> Any:
    """Every delivery with its payload, oldest first."""
    return [
        {
            "id": it.id,
            "guid": it.guid,
            "event": it.event,
            "action": it.action,
            "status": it.status,
            "status_code": it.status_code,
            "redelivery": it.redelivery,
            "payload": it.payload,
        }
        for it in world.deliveries.values()
    ]


def installations(world: World, request: Request, body: Json) -> Any:
    site = site_of(world)
    return [accounts.installation(site, it) for it in world.installations.values()]


REPO = "/repositories/{owner}/{repo}"
ROUTES: tuple[tuple[str, str, Verb], ...] = (
    ("GET", "/", about),
    ("POST", "/users", create_user),
    ("POST", "/repositories", create_repository),
    ("POST", REPO + "/commits", commit),
    ("POST", REPO + "/issues", open_issue),
    ("POST", REPO + "/pulls/{number:int}/merge", merge_pull),
    ("POST", REPO + "/pulls/{number:int}/ready", ready),
    ("PUT", REPO + "/roles/{login}", set_role),
    ("PUT DELETE", REPO + "/protected/{branch:path}", protect),
    ("PUT DELETE", REPO + "/archived", archive),
    ("POST", "/check-runs/{id:int}/click", click),
    ("POST", "/check-runs/{id:int}/rerequest", rerequest),
    ("GET", "/installations", installations),
    ("PUT DELETE", "/installations/{id:int}/suspended", suspend),
    ("PUT", "/installations/{id:int}/permissions", set_permissions),
    ("POST", "/installations/{id:int}/repositories", set_repositories),
    ("DELETE", "/installations/{id:int}", uninstall),
    ("POST", "/tokens/expire", expire_tokens),
    ("DELETE", "/users/{login}/authorization", revoke_authorization),
    ("PUT", "/hook", set_hook),
    ("POST", "/faults", add_fault),
    ("GET", "/faults", list_faults),
    ("DELETE", "/faults", clear_faults),
    ("GET", "/effects", effects),
    ("GET", "/deliveries", deliveries),
)


def admin(world: World) -> Starlette:
    """The app below /_admin."""

    def endpoint(verb: Verb) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            raw = await request.body()
            try:
                body = json.loads(raw) if raw else {}
                result = verb(world, request, body)
            except Problem as problem:
                refusal = {"message": problem.message, "errors": problem.errors}
                return JSONResponse(refusal, problem.status)
            except KeyError as error:
                return JSONResponse({"message": f"There is no {error}."}, 404)
            except (ValueError, TypeError) as error:
                return JSONResponse({"message": str(error)}, 422)
            return Response(status_code=204) if result is None else JSONResponse(result)

        return answer

    return Starlette(
        routes=[
            Route(path, endpoint(verb), methods=methods.split()) for methods, path, verb in ROUTES
        ]
    )
