"""Signing in with GitHub (web flow with PKCE), and registering an App from a manifest.

Sources: docs.github.com "Generating a user access token for a GitHub App", "Refreshing user access
tokens", "Registering a GitHub App from a manifest".
"""

import base64
import hashlib
import json
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from vibecoder.local.github import auth, hooks
from vibecoder.local.github.problems import Invalid, NotFound
from vibecoder.local.github.records import Account, App, Token, now
from vibecoder.local.github.view import Viewed
from vibecoder.local.github.world import World

CODE_LIFE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a code stands for."""

    app: App
    account: Account
    redirect_uri: str
    challenge: str  # of PKCE; empty where the client sent none
    made_at: datetime


def with_query(url: str, **values: str) -> str:
    """The address with values added to its query."""
    parts = urlsplit(url)
    query = [*parse_qsl(parts.query, keep_blank_values=True), *values.items()]
    return urlunsplit(parts._replace(query=urlencode(query)))


def app_of(world: World, client_id: str) -> App | None:
    return next((app for app in world.apps.values() if app.client_id == client_id), None)


def redirect_of(app: App, asked: str) -> str | None:
    """The redirect address, which must be a callback URL exactly.

    While none is registered, any on this machine is good, so that other clients can be tried.
    """
    if not app.callback_urls:
        return asked if urlsplit(asked).hostname in ("127.0.0.1", "localhost", "::1") else None
    if not asked:
        return app.callback_urls[0]
    return asked if asked in app.callback_urls else None


def approve(
    world: World, app: App, account: Account, redirect_uri: str, state: str, challenge: str
) -> Response:
    """Sends the browser back with a code."""
    code = secrets.token_hex(10)
    world.codes[code] = Grant(app, account, redirect_uri, challenge, now())
    values = {"code": code} | ({"state": state} if state else {})
    return RedirectResponse(with_query(redirect_uri, **values), 302)


async def access_token(world: World, request: Request) -> Response:
    """POST /login/oauth/access_token. Errors come with status 200, as from GitHub."""
    given = await _fields(request)
    answer = _exchange(world, given)
    if "json" in request.headers.get("accept", ""):
        return JSONResponse(answer)
    return Response(urlencode(answer), media_type="application/x-www-form-urlencoded")


async def _fields(request: Request) -> dict[str, str]:
    fields = dict(request.query_params)
    raw = await request.body()
    if raw.lstrip().startswith(b"{"):
        body = json.loads(raw)
        return fields | {str(key): str(value) for key, value in body.items()}
    return fields | dict(parse_qsl(raw.decode(errors="replace")))


def _error(code: str, words: str) -> dict[str, Any]:
    docs = "https://docs.github.com/apps/oauth-apps/maintaining-oauth-apps"
    return {"error": code, "error_description": words, "error_uri": docs}


def _exchange(world: World, given: dict[str, str]) -> dict[str, Any]:
    app = app_of(world, given.get("client_id", ""))
    if app is None or not secrets.compare_digest(
        app.client_secret.encode(), given.get("client_secret", "").encode()
    ):
        return _error(
            "incorrect_client_credentials",
            "The client_id and/or client_secret passed are incorrect.",
        )
    if given.get("grant_type") == "refresh_token":
        old = world.tokens.get(given.get("refresh_token", ""))
        usable = old is not None and old.kind == "refresh" and old.app is app
        if old is None or not usable or old.account is None or auth.expired(old):
            return _error("bad_refresh_token", "The refresh token passed is incorrect or expired.")
        auth.revoke(world, old)
        return _pair(*auth.mint_pair(world, app, old.account))
    grant = world.codes.pop(given.get("code", ""), None)
    if not isinstance(grant, Grant) or grant.app is not app or now() - grant.made_at > CODE_LIFE:
        return _error("bad_verification_code", "The code passed is incorrect or expired.")
    if given.get("redirect_uri", grant.redirect_uri) != grant.redirect_uri:
        return _error(
            "redirect_uri_mismatch",
            "The redirect_uri MUST match the registered callback URL for this application.",
        )
    if grant.challenge:
        digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != grant.challenge:
            return _error("bad_verification_code", "The code passed is incorrect or expired.")
    return _pair(*auth.mint_pair(world, app, grant.account))


def _pair(token: Token, refresh: Token) -> dict[str, Any]:
    return {
        "access_token": token.text,
        "expires_in": int(auth.USER_TOKEN_LIFE.total_seconds()),
        "refresh_token": refresh.text,
        "refresh_token_expires_in": int(auth.REFRESH_TOKEN_LIFE.total_seconds()),
        "scope": "",
        "token_type": "bearer",
    }


def register(world: World, manifest: dict[str, Any], owner: Account) -> str:
    """Registers an App from a manifest and returns the code to convert. Raises ValueError."""
    name = str(manifest.get("name") or "").strip()
    if not name or len(name) > 34:
        raise ValueError("The name must have 1 to 34 characters.")
    if not manifest.get("url"):
        raise ValueError("The manifest needs a url.")
    slug = "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
    if any(app.slug == slug for app in world.apps.values()):
        raise ValueError(f"The name {name} is already taken.")
    app = world.register_app(
        slug=slug,
        name=name,
        owner=owner,
        permissions={"metadata": "read"} | dict(manifest.get("default_permissions") or {}),
        events=tuple(manifest.get("default_events") or ()),
    )
    app.url = str(manifest["url"])
    app.description = str(manifest.get("description") or "")
    app.callback_urls = tuple(manifest.get("callback_urls") or ())
    app.setup_url = str(manifest.get("setup_url") or "")
    app.hook_url = str((manifest.get("hook_attributes") or {}).get("url") or "")
    if app.hook_url:
        hooks.ping(world, app)
    code = secrets.token_hex(20)
    world.codes[code] = app
    return code


# Signing in, and registering and installing Apps.


def authorize(view: Viewed) -> Response:
    """Asks which person signs in; ?login= answers at once, which tests use."""
    asked = {**view.request.query_params, **{key: str(value) for key, value in view.form.items()}}
    app = app_of(view.world, asked.get("client_id", ""))
    if app is None:
        raise NotFound
    redirect = redirect_of(app, asked.get("redirect_uri", ""))
    if redirect is None:
        # Told to the address that is registered, never to the one that was sent.
        if not app.callback_urls:
            raise Invalid("The redirect_uri is not associated with this application.")
        return _back(app.callback_urls[0], asked, "redirect_uri_mismatch")
    method, challenge = asked.get("code_challenge_method", ""), asked.get("code_challenge", "")
    proper = method == "S256" and re.fullmatch(r"[A-Za-z0-9_-]{43}", challenge)
    if (challenge or method) and not proper:
        return _back(redirect, asked, "invalid_request")
    if "cancel" in asked:
        return _back(redirect, asked, "access_denied")
    login = asked.get("login", "")
    if login in view.world.users:
        who = view.world.account(login)
        return approve(view.world, app, who, redirect, asked.get("state", ""), challenge)
    return view.page("authorize.html", app=app, asked=asked)


def _back(redirect: str, asked: dict[str, str], error: str) -> Response:
    """Sends the browser back with an error."""
    values = {
        "error": error,
        "error_description": {
            "redirect_uri_mismatch": "The redirect_uri MUST match the registered callback URL for "
            "this application.",
            "access_denied": "The user has denied your application access.",
        }.get(error, "The code challenge must be 43 characters, and its method S256."),
    }
    if asked.get("state"):
        values["state"] = asked["state"]
    return RedirectResponse(with_query(redirect, **values), 302)


def new_app(view: Viewed) -> Response:
    """The manifest form: shown, then confirmed; ?approve=1 registers at once, for tests."""
    query = view.request.query_params
    owner = view.person
    org = view.request.path_params.get("org")
    if org:
        owner = view.world.accounts.get(org.lower()) or view.world.create_account(
            org, kind="Organization"
        )
    text = view.field("manifest")
    if not text:
        return view.page("new_app.html", manifest=None, text="", state="")
    try:
        manifest = json.loads(text)
    except ValueError:
        raise Invalid("The manifest is not JSON.") from None
    state = query.get("state", "") or view.field("state")
    if not (query.get("approve") or view.field("approve")):
        return view.page("new_app.html", manifest=manifest, text=text, state=state)
    manifest["name"] = view.field("name") or manifest.get("name")
    try:
        code = register(view.world, manifest, owner)
    except ValueError as error:
        raise Invalid(str(error)) from None
    values = {"code": code} | ({"state": state} if state else {})
    target = str(manifest.get("redirect_url") or f"/settings/apps/{code}")
    return RedirectResponse(with_query(target, **values), 302)


def about_app(view: Viewed) -> Response:
    slug = view.request.path_params["slug"]
    app = next((app for app in view.world.apps.values() if app.slug == slug), None)
    if app is None:
        raise NotFound
    owners = {repo.owner.login: repo.owner for repo in view.world.repositories.values()}
    return view.page("app.html", app=app, owners=list(owners))


def install_app(view: Viewed) -> Response:
    slug = view.request.path_params["slug"]
    app = next((app for app in view.world.apps.values() if app.slug == slug), None)
    who = view.world.accounts.get(view.field("account").lower())
    if app is None or who is None:
        raise NotFound
    made = next(
        (it for it in view.world.installations.values() if it.app is app and it.account is who),
        None,
    ) or view.world.install(app, who)
    if not app.setup_url:
        return view.back(f"/apps/{app.slug}")
    values = {"installation_id": str(made.id), "setup_action": "install"}
    return RedirectResponse(with_query(app.setup_url, **values), 302)
