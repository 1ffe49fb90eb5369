"""The App itself: /app, its installations and tokens, its hook, and the manifest conversion."""

from collections.abc import Callable
from typing import Any

from vibecoder.local.github import auth, hooks
from vibecoder.local.github.problems import Forbidden, Invalid, NotFound
from vibecoder.local.github.records import App, Delivery, Installation, stamp
from vibecoder.local.github.rest.call import Answer, Call, route
from vibecoder.local.github.shapes import accounts, repositories
from vibecoder.local.github.shapes.site import Json


@route("GET", "/app", who="app")
def get_app(call: Call) -> Json:
    mine = [i for i in call.world.installations.values() if i.app is call.app and i.account.id]
    return {**accounts.app(call.site, call.app), "installations_count": len(mine)}


@route("GET", "/apps/{slug}")
def get_by_slug(call: Call) -> Json:
    for app in call.world.apps.values():
        if app.slug == call.params["slug"]:
            return accounts.app(call.site, app)
    raise NotFound


@route("GET", "/app/installations", who="app")
def list_installations(call: Call) -> Answer:
    mine = [i for i in call.world.installations.values() if i.app is call.app and i.account.id]
    return call.page(mine, lambda it: accounts.installation(call.site, it))


def _installation(call: Call) -> Installation:
    found = call.world.installations.get(call.number("id"))
    if found is None or found.app is not call.app:
        raise NotFound
    return found


@route("GET", "/app/installations/{id}", who="app")
def get_installation(call: Call) -> Json:
    return accounts.installation(call.site, _installation(call))


@route("DELETE", "/app/installations/{id}", who="app")
def delete_installation(call: Call) -> Answer:
    found = _installation(call)
    hooks.installation(call.world, found, "deleted", found.account)
    del call.world.installations[found.id]
    return Answer(status=204)


@route("PUT", "/app/installations/{id}/suspended", who="app")
def suspend(call: Call) -> Answer:
    call.world.suspend(True, _installation(call))
    return Answer(status=204)


@route("DELETE", "/app/installations/{id}/suspended", who="app")
def unsuspend(call: Call) -> Answer:
    call.world.suspend(False, _installation(call))
    return Answer(status=204)


@route("POST", "/app/installations/{id}/access_tokens", who="app")
def mint(call: Call) -> Answer:
    """Narrowed by `repository_ids` or `repositories` (at most 500) and `permissions`."""
    found = _installation(call)
    if found.suspended_at:
        raise Forbidden(auth.SUSPENDED)
    ids: set[int] | None = None
    known = call.world.repositories
    if call.body.get("repository_ids"):
        ids = {one for one in call.strings("repository_ids") if isinstance(one, int)}
    elif call.body.get("repositories"):
        names = [str(name).lower() for name in call.strings("repositories")]
        ids = {one for one in found.repository_ids if known[one].name.lower() in names}
        if len(ids) != len(set(names)):
            ids = {-1}
    if ids is not None:
        if len(ids) > 500:
            raise Invalid("Too many repositories for installation")
        if not ids <= found.repository_ids:
            raise Invalid(
                "There is at least one repository that does not exist or is not accessible to "
                "the parent installation."
            )
    asked = call.body.get("permissions")
    permissions = dict(found.permissions)
    if asked:  # PyGithub sends an empty object and means all
        if not isinstance(asked, dict):
            raise Invalid("Invalid request.\n\nFor 'properties/permissions', it is not an object.")
        for name, level in asked.items():
            if level not in ("read", "write", "admin"):
                raise Invalid(f"Invalid request.\n\n{level} is not a level of permission.")
            if not auth.allows(found.permissions, f"{name}:{level}"):
                raise Invalid("The permissions requested are not granted to this installation.")
        permissions = {**asked, "metadata": "read"}
    stateless = call.request.headers.get("x-github-stateless-s2s-token", "enabled") != "disabled"
    token = auth.mint_installation_token(
        call.world, found, permissions=permissions, repository_ids=ids, stateless=stateless
    )
    body: Json = {
        "token": token.text,
        "expires_at": stamp(token.expires_at),
        "permissions": permissions,
        "repository_selection": found.selection if ids is None else "selected",
    }
    if ids is not None:
        body["repositories"] = [
            repositories.repository(call.site, known[one]) for one in sorted(ids)
        ]
    return Answer(body, 201)


@route("DELETE", "/installation/token", who="installation")
def revoke(call: Call) -> Answer:
    if call.who.token is not None:
        del call.world.tokens[call.who.token.text]
    return Answer(status=204)


@route("GET", "/installation/repositories", who="installation")
def granted_repositories(call: Call) -> Answer:
    token = call.who.token
    found = [
        repo
        for repo in call.world.repositories.values()
        if token is not None and auth.granted(call.world, token, repo)
    ]
    answer = call.page(
        found,
        lambda repo: repositories.repository(call.site, repo, call.role(repo)),
        key="repositories",
    )
    selection = token.installation.selection if token and token.installation else "all"
    narrowed = token is not None and token.repository_ids is not None
    answer.body["repository_selection"] = "selected" if narrowed else selection
    return answer


def _installed_on(call: Call, matches: Callable[[Installation], bool]) -> Json:
    for it in call.world.installations.values():
        if it.app is call.app and it.account.id and matches(it):
            return accounts.installation(call.site, it)
    raise NotFound


@route("GET", "/repos/{owner}/{name}/installation", who="app")
def installation_of_repository(call: Call) -> Json:
    found = call.world.find_repository(f"{call.params['owner']}/{call.params['name']}")
    if found is None:
        raise NotFound
    return _installed_on(call, lambda it: found.id in it.repository_ids)


@route("GET", "/orgs/{login}/installation", who="app")
@route("GET", "/users/{login}/installation", who="app")
def installation_of_account(call: Call) -> Json:
    login = call.params["login"].lower()
    return _installed_on(call, lambda it: it.account.login.lower() == login)


def _config(call: Call) -> Json:
    return {
        "content_type": "json",
        "insecure_ssl": "0",
        "secret": "********",
        "url": call.app.hook_url,
    }


@route("GET", "/app/hook/config", who="app")
def get_hook(call: Call) -> Json:
    return _config(call)


@route("PATCH", "/app/hook/config", who="app")
def set_hook(call: Call) -> Json:
    """Sets url and secret; a new url hears a ping."""
    url, secret = call.text("url"), call.text("secret")
    if url is not None and not url.startswith(("http://", "https://")):
        raise Invalid.field("Hook", "url", "invalid")
    if secret is not None:
        call.app.webhook_secret = secret
    if url is not None and url != call.app.hook_url:
        call.app.hook_url = url
        hooks.ping(call.world, call.app)
    return _config(call)


def _delivery_item(it: Delivery) -> Json:
    return {
        "id": it.id,
        "guid": it.guid,
        "delivered_at": stamp(it.delivered_at),
        "redelivery": it.redelivery,
        "duration": it.duration,
        "status": it.status,
        "status_code": it.status_code,
        "event": it.event,
        "action": it.action,
        "installation_id": it.installation_id,
        "repository_id": it.repository_id,
        "throttled_at": None,
    }


@route("GET", "/app/hook/deliveries", who="app")
def list_deliveries(call: Call) -> Answer:
    """Newest first, by cursor: the `next` link continues below the last id."""
    found = hooks.recent(call.world, call.app)
    status = call.query("status")
    if status:
        found = [d for d in found if (d.status == "OK") == (status == "success")]
    cursor = call.query("cursor")
    if cursor:
        if not cursor.isascii() or not cursor.isdigit():
            raise Invalid("Invalid cursor")
        found = [d for d in found if d.id < int(cursor)]
    size = int(call.query("per_page")) if call.query("per_page").isdigit() else 30
    size = min(max(size, 1), 100)
    shown = found[:size]
    headers = {}
    if len(found) > size:
        more = f"status={status}&" if status else ""
        link = f"{call.site.api}/app/hook/deliveries?{more}per_page={size}&cursor={shown[-1].id}"
        headers["Link"] = f'<{link}>; rel="next"'
    return Answer([_delivery_item(it) for it in shown], headers=headers)


def _delivery(call: Call) -> Delivery:
    found = call.world.deliveries.get(call.number("id"))
    if found is None or found.app is not call.app:
        raise NotFound
    return found


@route("GET", "/app/hook/deliveries/{id}", who="app")
def get_delivery(call: Call) -> Json:
    it = _delivery(call)
    return {
        **_delivery_item(it),
        "url": it.url,
        "request": {"headers": it.request_headers, "payload": it.payload},
        "response": {"headers": it.response_headers, "payload": it.response_body},
    }


@route("POST", "/app/hook/deliveries/{id}/attempts", who="app")
def redeliver(call: Call) -> Answer:
    hooks.redeliver(call.world, _delivery(call))
    return Answer({}, 202)


@route("POST", "/app-manifests/{code}/conversions")
def convert_manifest(call: Call) -> Answer:
    """Hands over a new App's secrets, once, for the code that the form page gave."""
    app = call.world.codes.pop(call.params["code"], None)
    if not isinstance(app, App):
        raise NotFound
    secrets: dict[str, Any] = {
        "client_secret": app.client_secret,
        "webhook_secret": app.webhook_secret,
        "pem": app.private_key,
    }
    return Answer({**accounts.app(call.site, app), **secrets}, 201)
