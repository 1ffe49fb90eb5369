"""The state of the loopback GitHub: accounts, Apps, repositories, tokens; seeding and lookups."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from vibecoder.local.github import auth, bare, hooks, issues
from vibecoder.local.github.faults import Faults
from vibecoder.local.github.records import (
    Account,
    Actor,
    App,
    CheckRun,
    Delivery,
    Effect,
    Installation,
    Issue,
    Label,
    Permissions,
    Repository,
    Role,
    Token,
    now,
    stamp,
)

PERMISSIONS: Permissions = {
    "contents": "write",
    "pull_requests": "write",
    "issues": "write",
    "checks": "write",
    "metadata": "read",
}
EVENTS = (
    "issue_comment",
    "issues",
    "pull_request",
    "pull_request_review_comment",
    "check_run",
    "check_suite",
)
LABELS = (
    ("bug", "d73a4a", "Something isn't working"),
    ("documentation", "0075ca", "Improvements or additions to documentation"),
    ("enhancement", "a2eeef", "New feature or request"),
    ("good first issue", "7057ff", "Good for newcomers"),
    ("question", "d876e3", "Further information is requested"),
)


class World:
    """Everything this GitHub knows; the git objects are in bare repositories under `folder`.

    One App is registered, with `private_key` (PEM) or a new key. It is installed on the owner of
    the first repository that is added; further owners get installations of their own. Three
    people exist: maya, who may write to every added repository, rob, who may read, and sam, a
    stranger.
    """

    def __init__(
        self,
        folder: Path,
        *,
        slug: str = "cloud-vibecoder",
        permissions: Permissions | None = None,
        events: tuple[str, ...] = EVENTS,
        private_key: str | None = None,
    ) -> None:
        # A folder of its own: what an earlier world left there is neither used nor touched.
        self.folder = folder / f"world-{secrets.token_hex(4)}"
        self.folder.mkdir(parents=True)
        self.base_url = "http://127.0.0.1"  # set by whoever serves it
        self.rate_limit = 5000  # requests an hour and token
        self._ids = itertools.count(1001)
        self.accounts: dict[str, Account] = {}  # by lower-case login
        self.apps: dict[int, App] = {}
        self.installations: dict[int, Installation] = {}
        self.repositories: dict[int, Repository] = {}
        self.tokens: dict[str, Token] = {}
        self.usage: dict[str, tuple[int, int]] = {}  # credential: when its hour began, requests
        self.codes: dict[str, object] = {}  # sign-in and manifest codes, used once
        self.deliveries: dict[int, Delivery] = {}
        self.effects: list[Effect] = []
        self.faults = Faults()
        self.courier = hooks.Courier(self)
        github = self.create_account("github", kind="Organization")
        self.app = self.register_app(
            slug=slug,
            name=slug.replace("-", " ").title(),
            owner=github,
            permissions=permissions or dict(PERMISSIONS),
            events=events,
            private_key=private_key,
        )
        self._installation = self.install(self.app, None)
        for login in ("maya", "rob", "sam"):
            self.create_user(login)

    def next_id(self) -> int:
        return next(self._ids)

    # The App under development, by the names that its settings have.

    @property
    def app_id(self) -> int:
        return self.app.id

    @property
    def client_id(self) -> str:
        return self.app.client_id

    @property
    def client_secret(self) -> str:
        return self.app.client_secret

    @property
    def private_key(self) -> str:
        return self.app.private_key

    @property
    def webhook_secret(self) -> str:
        return self.app.webhook_secret

    @property
    def installation(self) -> Installation:
        return self._installation

    @property
    def installation_id(self) -> int:
        return self._installation.id

    @property
    def hook_url(self) -> str:
        return self.app.hook_url

    @hook_url.setter
    def hook_url(self, url: str) -> None:
        self.app.hook_url = url

    @property
    def callback_urls(self) -> tuple[str, ...]:
        return self.app.callback_urls

    @callback_urls.setter
    def callback_urls(self, urls: tuple[str, ...]) -> None:
        self.app.callback_urls = urls

    @property
    def users(self) -> dict[str, str]:
        """Logins of people, in the order they were made, with a token of each."""
        return {
            token.account.login: token.text
            for token in self.tokens.values()
            if token.browser and token.account is not None
        }

    # People and Apps.

    def create_account(self, login: str, *, kind: str = "User") -> Account:
        """Raises ValueError where the login is taken or no login."""
        if login.lower() in self.accounts:
            raise ValueError(f"The login {login} is taken.")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}(\[bot\])?", login):
            raise ValueError(f"{login!r} is no login: letters, digits and hyphens, 39 at most.")
        account = Account(
            self.next_id(),
            login,
            "Bot" if kind == "Bot" else "Organization" if kind == "Organization" else "User",
        )
        self.accounts[login.lower()] = account
        return account

    def create_user(self, login: str, name: str | None = None) -> str:
        """Makes a person and returns their token, which is issued to the App."""
        account = self.create_account(login)
        account.name = name or login.capitalize()
        return auth.mint_user_token(self, self.app, account, browser=True).text

    def account(self, login: str) -> Account:
        """Raises KeyError."""
        return self.accounts[login.lower()]

    def register_app(
        self,
        *,
        slug: str,
        name: str,
        owner: Account,
        permissions: Permissions,
        events: tuple[str, ...],
        private_key: str | None = None,
    ) -> App:
        """Registers an App with new secrets, a bot account and, where none is given, a new key."""
        private, public = _key_pair(private_key)
        app = App(
            id=self.next_id(),
            slug=slug,
            name=name,
            owner=owner,
            bot=self.create_account(f"{slug}[bot]", kind="Bot"),
            client_id="Iv23li" + secrets.token_hex(7),
            client_secret=secrets.token_hex(20),
            private_key=private,
            public_key=public,
            webhook_secret=secrets.token_hex(20),
            permissions=permissions,
            events=events,
        )
        self.apps[app.id] = app
        return app

    def install(self, app: App, account: Account | None) -> Installation:
        """Installs an App; without an account the owner of the next repository gets it."""
        waiting = account or Account(0, "")
        installation = Installation(
            self.next_id(), app, waiting, dict(app.permissions), repository_ids=set()
        )
        self.installations[installation.id] = installation
        if account is not None:
            installation.repository_ids = {
                r.id for r in self.repositories.values() if r.owner is account
            }
            hooks.installation(self, installation, "created", account)
        return installation

    def installation_of(self, repository: Repository, app: App | None) -> Installation | None:
        """The installation through which an App reaches a repository."""
        for installation in self.installations.values():
            if installation.app is app and repository.id in installation.repository_ids:
                return installation
        return None

    def suspend(self, suspended: bool = True, installation: Installation | None = None) -> None:
        """Suspends an installation (the first by default), or lifts the suspension."""
        target = installation or self._installation
        target.suspended_at = now() if suspended else None
        target.suspended_by = target.account if suspended else None
        hooks.installation(self, target, "suspend" if suspended else "unsuspend", target.account)

    def expire_tokens(self, kind: str = "installation") -> None:
        """Makes every token of a kind ("installation", "user") expire at once."""
        for token in self.tokens.values():
            if token.kind == kind and not token.browser:
                token.expires_at = now()

    # Repositories.

    def add_repository(
        self,
        full_name: str,
        files: bare.Files | Mapping[str, bytes],
        *,
        private: bool = False,
        default_branch: str = "main",
        message: str = "Initial import",
        installed: bool = True,
    ) -> Repository:
        """Adds a repository with one commit of exactly these bytes and modes; without files, none.

        The owner is made as an organization where it does not exist. Raises ValueError where
        the name is taken.
        """
        owner_name, _, name = full_name.partition("/")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name):
            raise ValueError(f"{full_name!r} is no owner/name.")
        if self.find_repository(full_name) is not None:
            raise ValueError(f"{full_name} exists.")
        owner = self.accounts.get(owner_name.lower()) or self.create_account(
            owner_name, kind="Organization"
        )
        identity = self.next_id()
        repository = Repository(
            identity, owner, name, self.folder / f"{identity}.git", private, default_branch
        )
        bare.create(repository.folder, default_branch)
        for label, color, description in LABELS:
            repository.labels[label] = Label(self.next_id(), label, color, description)
        repository.roles = {"maya": "write", "rob": "read"}
        if owner.type == "User":
            repository.roles.pop(owner.login, None)
        if isinstance(files, Path) or files:
            who = bare.Person("Maya", self.noreply(self.account("maya")), str(stamp(now())))
            bare.commit_files(repository.folder, default_branch, files, message, who)
        self.repositories[repository.id] = repository
        if installed:
            self._install_on(repository)
        return repository

    def _install_on(self, repository: Repository) -> None:
        if self._installation.account.id == 0:
            self._installation.account = repository.owner
        for installation in self.installations.values():
            if installation.app is self.app and installation.account is repository.owner:
                installation.repository_ids.add(repository.id)
                hooks.installation_repositories(self, installation, [repository])
                return
        self.install(self.app, repository.owner)

    def find_repository(self, full_name: str) -> Repository | None:
        wanted = full_name.lower()
        found = (r for r in self.repositories.values() if r.full_name.lower() == wanted)
        return next(found, None)

    def repository(self, full_name: str) -> Repository:
        """Raises KeyError."""
        found = self.find_repository(full_name)
        if found is None:
            raise KeyError(full_name)
        return found

    def set_role(self, full_name: str, login: str, role: Role) -> None:
        """Gives a person a role on a repository: none, read, triage, write, maintain, admin."""
        self.repository(full_name).roles[self.account(login).login] = role

    def role(self, repository: Repository, account: Account | None) -> Role:
        """What a person may do; everybody may read what is public."""
        least: Role = "none" if repository.private else "read"
        if account is None:
            return least
        if account is repository.owner:
            return "admin"
        role = repository.roles.get(account.login, least)
        return least if role == "none" else role

    def protect(self, full_name: str, branch: str, protected: bool = True) -> None:
        """Protects a branch: pushes to it are refused with GH006."""
        names = self.repository(full_name).protected
        if protected:
            names.add(branch)
        else:
            names.discard(branch)

    # Threads.

    def add_issue(self, full_name: str, title: str, body: str | None, by: str) -> Issue:
        """Opens an issue as a person would, webhook included."""
        repository = self.repository(full_name)
        return issues.open_issue(self, repository, Actor(self.account(by)), title=title, body=body)

    def check_run(self, identity: int) -> tuple[Repository, CheckRun] | None:
        """A check run by its id, with its repository."""
        for repository in self.repositories.values():
            for suite in repository.suites.values():
                if identity in suite.runs:
                    return repository, suite.runs[identity]
        return None

    def record(
        self, actor: Actor, verb: str, target: str, detail: dict[str, Any] | None = None
    ) -> None:
        """Appends to the effect log."""
        self.effects.append(
            Effect(
                str(stamp(now())), actor.account.login, verb, target, actor.token_id, detail or {}
            )
        )

    def noreply(self, account: Account) -> str:
        """The address that GitHub attributes commits by; each host has its own domain for it."""
        host = urlsplit(self.base_url).hostname
        return f"{account.id}+{account.login}@users.noreply.{host}"


def _key_pair(private_key: str | None) -> tuple[str, str]:
    """Private and public key as PEM; making a new one takes a good part of a second."""
    key = (
        serialization.load_pem_private_key(private_key.encode(), None)
        if private_key
        else rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()
