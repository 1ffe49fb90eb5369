"""Who is asking: App JWTs, installation tokens, user tokens; and what each may do where.

Sources: docs.github.com "Generating a JSON Web Token (JWT) for a GitHub App", "Generating an
installation access token", "Generating a user access token", "Permissions required for GitHub
Apps".
"""

from __future__ import annotations

import base64
import binascii
import secrets
import string
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from vibecoder.local.github.problems import Forbidden, NotFound, Unauthorized
from vibecoder.local.github.records import (
    ROLES,
    Account,
    Actor,
    App,
    Installation,
    Permissions,
    Repository,
    Role,
    Token,
    now,
)

if TYPE_CHECKING:
    from vibecoder.local.github.world import World

LEVELS = ("none", "read", "write", "admin")
INSTALLATION_TOKEN_LIFE = timedelta(hours=1)
USER_TOKEN_LIFE = timedelta(seconds=28_800)
REFRESH_TOKEN_LIFE = timedelta(seconds=15_897_600)
LETTERS = string.ascii_letters + string.digits
SUSPENDED = "This installation has been suspended"


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request proved about its sender."""

    kind: Literal["none", "app", "installation", "user"]
    app: App | None = None
    token: Token | None = None

    @property
    def account(self) -> Account | None:
        """The person or bot that acts; None for anonymous requests and App JWTs."""
        if self.token is None:
            return None
        if self.kind == "installation" and self.app is not None:
            return self.app.bot
        return self.token.account

    def actor(self) -> Actor:
        """Raises Unauthorized for anonymous requests."""
        account = self.account
        if account is None or self.token is None:
            raise Unauthorized("Requires authentication")
        via = None if self.token.browser else self.app
        return Actor(account, via, self.token.id)


ANONYMOUS = Credential("none")


def credential(world: World, header: str | None) -> Credential:
    """Reads an Authorization header: `Bearer`, `token` or `Basic` (the token as password).

    Raises Unauthorized for anything that is there and not good, Forbidden for a suspended
    installation's token.
    """
    if not header:
        return ANONYMOUS
    scheme, _, value = header.strip().partition(" ")
    value = value.strip()
    scheme = scheme.lower()
    if scheme == "basic":
        name, password = basic(value)
        alone = password in ("", "x-oauth-basic")  # the old form: the token as user name
        value = name if alone else password
        return _from_token(world, value)
    if scheme not in ("bearer", "token"):
        raise Unauthorized
    if value.startswith("eyJ") and value.count(".") == 2:
        return Credential("app", _app_of_jwt(world, value))
    return _from_token(world, value)


def basic(value: str) -> tuple[str, str]:
    """User name and password of a Basic header's value. Raises Unauthorized."""
    try:
        name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthorized from None
    return name, password


def _from_token(world: World, text: str) -> Credential:
    token = world.tokens.get(text)
    if token is None or token.kind == "refresh":
        raise Unauthorized
    if expired(token):
        raise Unauthorized
    if token.kind == "installation":
        installation = token.installation
        if installation is None or installation.id not in world.installations:
            raise Unauthorized
        if installation.suspended_at:
            raise Forbidden(SUSPENDED)
        return Credential("installation", token.app, token)
    return Credential("user", token.app, token)


def expired(token: Token) -> bool:
    return token.expires_at is not None and token.expires_at <= now()


def _app_of_jwt(world: World, text: str) -> App:
    """The App whose key signed this JWT. Refuses what GitHub refuses, in its words."""
    try:
        claims: dict[str, Any] = jwt.decode(text, options={"verify_signature": False})
        header = jwt.get_unverified_header(text)
    except jwt.PyJWTError:
        raise Unauthorized("A JSON web token could not be decoded") from None
    if header.get("alg") != "RS256":
        raise Unauthorized("A JSON web token could not be decoded")
    issuer = str(claims.get("iss", ""))
    app = next((a for a in world.apps.values() if issuer in (str(a.id), a.client_id)), None)
    if app is None:
        raise NotFound("Integration not found")
    try:
        jwt.decode(
            text,
            app.public_key,
            algorithms=["RS256"],
            options={"verify_exp": False, "verify_iat": False, "verify_iss": False},
        )
    except jwt.PyJWTError:
        raise Unauthorized("A JSON web token could not be decoded") from None
    moment = now().timestamp()
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int | float) or issued > moment + 5:
        raise Unauthorized(
            "'Issued at' claim ('iat') must be an Integer representing the time that the "
            "assertion was issued"
        )
    if not isinstance(expires, int | float) or expires <= moment:
        raise Unauthorized(
            "'Expiration time' claim ('exp') must be a numeric value representing the future "
            "time at which the assertion expires"
        )
    # The second rule is measured, not documented: a long life fails even if it began long ago.
    # Sixty seconds more are let through, since the documentation's own example takes them.
    if expires > moment + 600 + 5 or expires - issued > 600 + 60:
        raise Unauthorized("'Expiration time' claim ('exp') is too far in the future")
    return app


def _random(prefix: str, length: int = 36) -> str:
    return prefix + "".join(secrets.choice(LETTERS) for _ in range(length))


def _keep(world: World, token: Token) -> Token:
    world.tokens[token.text] = token
    return token


@lru_cache(maxsize=64)
def _key(pem: str) -> RSAPrivateKey:
    """Read once: reading checks the primes, which takes 20 ms, and PyJWT reads a text twice."""
    key = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(key, RSAPrivateKey):
        raise TypeError("An App signs with an RSA key.")
    return key


def mint_installation_token(
    world: World,
    installation: Installation,
    *,
    permissions: Permissions,
    repository_ids: set[int] | None,
    stateless: bool = True,
) -> Token:
    """An installation token for one hour: `ghs_` and 36 letters, or `ghs_APPID_JWT`.

    The stateless form (about 520 characters with dots) is what GitHub rolls out since April
    2026; clients must treat both as opaque.
    """
    identity = world.next_id()
    if stateless:
        claims = {
            "iss": installation.app.client_id,
            "iat": int(now().timestamp()),
            "exp": int((now() + INSTALLATION_TOKEN_LIFE).timestamp()),
            "jti": secrets.token_hex(8),
            "installation": installation.id,
        }
        signed = jwt.encode(claims, _key(installation.app.private_key), algorithm="RS256")
        text = f"ghs_{installation.app.id}_{signed}"
    else:
        text = _random("ghs_")
    return _keep(
        world,
        Token(
            id=identity,
            text=text,
            kind="installation",
            app=installation.app,
            installation=installation,
            permissions=permissions,
            repository_ids=repository_ids,
            expires_at=now() + INSTALLATION_TOKEN_LIFE,
        ),
    )


def mint_user_token(world: World, app: App | None, account: Account, *, browser: bool) -> Token:
    """A user token (`ghu_`). A browser's does not expire and does not mark what it writes."""
    expires = None if browser else now() + USER_TOKEN_LIFE
    token = Token(
        world.next_id(), _random("ghu_"), "user", app, expires, account=account, browser=browser
    )
    return _keep(world, token)


def mint_pair(world: World, app: App, account: Account) -> tuple[Token, Token]:
    """A user token and the refresh token (`ghr_`) that replaces both, once."""
    token = mint_user_token(world, app, account, browser=False)
    expires = now() + REFRESH_TOKEN_LIFE
    refresh = _keep(
        world, Token(world.next_id(), _random("ghr_", 76), "refresh", app, expires, account=account)
    )
    token.pair, refresh.pair = refresh, token
    return token, refresh


def revoke(world: World, token: Token) -> None:
    """Ends a token, and its pair."""
    world.tokens.pop(token.text, None)
    if token.pair is not None:
        world.tokens.pop(token.pair.text, None)


def revoke_all(world: World, app: App, person: Account) -> None:
    """Ends all tokens that a person gave an App; they stay signed in at GitHub itself."""
    for token in list(world.tokens.values()):
        if token.app is app and token.account is person and not token.browser:
            revoke(world, token)


def granted(world: World, token: Token, repository: Repository) -> bool:
    """Whether an installation token covers this repository."""
    installation = token.installation
    if installation is None or repository.id not in installation.repository_ids:
        return False
    return token.repository_ids is None or repository.id in token.repository_ids


def visible(world: World, who: Credential, repository: Repository) -> bool:
    """Whether it exists for this credential; GitHub answers 404 where it does not."""
    if not repository.private:
        return True
    if who.token is None:
        return False
    if who.kind == "installation":
        return granted(world, who.token, repository)
    if world.role(repository, who.token.account) == "none":
        return False
    return who.token.browser or world.installation_of(repository, who.app) is not None


def allows(permissions: Permissions, needs: str) -> bool:
    """Whether permissions satisfy needs such as "issues:write|pull_requests:write"."""
    if not needs:
        return True
    for need in needs.split("|"):
        name, _, level = need.partition(":")
        held = "read" if name == "metadata" else permissions.get(name, "none")
        if LEVELS.index(held) >= LEVELS.index(level):
            return True
    return False


def authorize(
    world: World, who: Credential, repository: Repository, *, needs: str, role: Role
) -> None:
    """Lets a request on a repository pass, or raises what GitHub would answer.

    `needs` is for Apps, `role` for people. Raises NotFound, Unauthorized or Forbidden.
    """
    if who.kind == "app":
        raise Forbidden
    if not visible(world, who, repository):
        raise NotFound
    writes = ":write" in needs or ":admin" in needs
    accepted = {"X-Accepted-GitHub-Permissions": needs.replace(":", "=").replace("|", "; ")}
    if who.token is None:
        if writes or role not in ("none", "read"):
            raise Unauthorized("Requires authentication")
        return
    if who.kind == "installation":
        if not granted(world, who.token, repository):
            if writes:
                raise Forbidden(headers=accepted)
            return
        # What a token was minted with shrinks with the installation's own permissions.
        held = who.token.installation.permissions if who.token.installation else {}
        if not (allows(who.token.permissions, needs) and allows(held, needs)):
            raise Forbidden(headers=accepted)
        return
    if not who.token.browser and (writes or repository.private):
        installation = world.installation_of(repository, who.app)
        if installation is None or not allows(installation.permissions, needs):
            raise Forbidden(headers=accepted)
        if installation.suspended_at:
            raise Forbidden(SUSPENDED)
    if ROLES.index(world.role(repository, who.token.account)) < ROLES.index(role):
        if role == "admin":
            raise Forbidden("Must have admin rights to Repository.")
        raise Forbidden("You must have push access to this repository.")
