"""An App's client looks after the user tokens that were issued to it: check, reset, revoke."""

from vibecoder.local.github import auth, hooks
from vibecoder.local.github.problems import NotFound, Unauthorized
from vibecoder.local.github.records import App, Token, stamp
from vibecoder.local.github.rest.call import Answer, Call, route
from vibecoder.local.github.shapes import accounts
from vibecoder.local.github.shapes.site import Json


def _client(call: Call) -> App:
    """The App whose client id and secret are in the Basic header. Raises Unauthorized, NotFound."""
    scheme, _, value = call.request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        raise NotFound
    name, secret = auth.basic(value.strip())
    for app in call.world.apps.values():
        if app.client_id == call.params["client_id"] == name:
            if app.client_secret == secret:
                return app
            raise Unauthorized
    raise NotFound


def _token(call: Call, app: App) -> Token:
    """A living user token of the App. Raises NotFound."""
    token = call.world.tokens.get(call.required("access_token"))
    if token is None or token.kind != "user" or token.app is not app:
        raise NotFound
    if auth.expired(token):
        raise NotFound
    return token


def _authorization(call: Call, app: App, token: Token) -> Json:
    """The schema `authorization`."""
    return {
        "id": token.id,
        "url": f"{call.site.api}/authorizations/{token.id}",
        "app": {"name": app.name, "url": app.url, "client_id": app.client_id},
        "token": token.text,
        "hashed_token": "",
        "token_last_eight": token.text[-8:],
        "note": None,
        "note_url": None,
        "created_at": stamp(token.created_at),
        "updated_at": stamp(token.created_at),
        "scopes": [],
        "fingerprint": None,
        "expires_at": stamp(token.expires_at),
        "user": accounts.account(call.site, token.account) if token.account else None,
    }


@route("POST", "/applications/{client_id}/token", who="client")
def check(call: Call) -> Json:
    app = _client(call)
    return _authorization(call, app, _token(call, app))


@route("PATCH", "/applications/{client_id}/token", who="client")
def reset(call: Call) -> Json:
    app = _client(call)
    old = _token(call, app)
    if old.account is None:
        raise NotFound
    new = auth.mint_user_token(call.world, app, old.account, browser=old.browser)
    auth.revoke(call.world, old)
    return _authorization(call, app, new)


@route("DELETE", "/applications/{client_id}/token", who="client")
def revoke(call: Call) -> Answer:
    auth.revoke(call.world, _token(call, _client(call)))
    return Answer(status=204)


@route("DELETE", "/applications/{client_id}/grant", who="client")
def revoke_grant(call: Call) -> Answer:
    """Ends all of the person's tokens, and tells the App."""
    app = _client(call)
    token = _token(call, app)
    person = token.account
    auth.revoke(call.world, token)
    if person is not None:
        auth.revoke_all(call.world, app, person)
        hooks.authorization_revoked(call.world, app, person)
    return Answer(status=204)
