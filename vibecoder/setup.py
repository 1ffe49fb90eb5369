"""`vibecoder setup`: registers a GitHub App and writes its keys into the env file.

A page on loopback hands github_app.yml to GitHub, where a person confirms it. GitHub sends their
browser back here with a code, which is exchanged for the App's keys, once and within an hour.
Source: https://docs.github.com/apps/sharing-github-apps/registering-a-github-app-from-a-manifest

The private key gets a file of its own, named by GITHUB_PRIVATE_KEY_PATH, instead of a line with
literal \\n: readers of env files disagree about backslashes (systemd takes them away), and so the
key is in no process's environment and the web process, which reads the env file too, never has it.

SetupError
├── BadOption       an address, the organization or the manifest cannot be used
├── AppPresent      the env file holds an App already
├── NotWritten      the env file, or the key beside it, cannot be read or written
├── NotConverted    GitHub did not hand over the App's keys
└── NotFinished     nobody finished within the hour
"""

import asyncio
import ipaddress
import json
import os
import re
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
import yaml
from jinja2 import Environment, PackageLoader
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from rich.console import Console
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route

from vibecoder import envfile
from vibecoder.local.serve import serve
from vibecoder.settings import Settings

MANIFEST = Path(__file__).parent.parent / "github_app.yml"
PUBLIC_GITHUB, PUBLIC_API = "https://github.com", "https://api.github.com"
HOUR = 3600.0  # seconds that GitHub gives for the whole of it
LONGEST_NAME = 34  # characters, as GitHub's form has it
TIMEOUT = httpx.Timeout(20.0, connect=5.0)  # seconds
APP_NAMES = {
    "GITHUB_APP_ID",
    "GITHUB_CLIENT_ID",
    "GITHUB_CLIENT_SECRET",
    "GITHUB_WEBHOOK_SECRET",
    "GITHUB_PRIVATE_KEY",
    "GITHUB_PRIVATE_KEY_PATH",
}
_TEMPLATES = Environment(
    loader=PackageLoader("vibecoder", ""), autoescape=True, trim_blocks=True, lstrip_blocks=True
)
_CODE = re.compile(r"[A-Za-z0-9_-]{1,200}")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+")


class SetupError(Exception):
    """Base of all; the message is a sentence for the operator and holds no secret."""


class BadOption(SetupError):
    """An address, the organization or the manifest cannot be used."""


class AppPresent(SetupError):
    """The env file holds an App already."""


class NotWritten(SetupError):
    """The env file, or the key beside it, cannot be read or written."""


class NotConverted(SetupError):
    """GitHub did not hand over the App's keys."""


class NotFinished(SetupError):
    """Nobody finished within the hour."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    public_url: str  # where GitHub and people reach `vibecoder web`: scheme, host and port
    organization: str | None  # who shall own the App; None: whoever is signed in
    env_file: Path
    replace: bool  # may the values of an App that the file holds be overwritten


@dataclass(frozen=True, slots=True)
class Registered:
    """The App that there is now, and where its keys are."""

    name: str
    url: str  # its public page
    settings_url: str  # its owner's page
    env_file: Path
    key_file: Path
    has_webhook_secret: bool


_Plain = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,255}$")]  # safe in an env file as it is

_MaybeSecret = Annotated[SecretStr, BeforeValidator(lambda given: given or "")]  # GitHub: or null


class _Keys(BaseModel):
    """What GitHub answers. https://docs.github.com/rest/apps/apps#create-a-github-app-from-a-manifest"""

    model_config = ConfigDict(frozen=True)

    id: int
    slug: _Plain
    name: str
    html_url: str
    client_id: _Plain
    client_secret: Annotated[SecretStr, Field(min_length=1)]
    webhook_secret: _MaybeSecret = SecretStr("")
    pem: SecretStr


async def run(
    wanted: Wanted, settings: Settings, screen: Console, *, seconds: float = HOUR
) -> Registered:
    """Serves the page until an App is registered and its keys are written. Raises SetupError."""
    wanted = _checked(wanted, settings)
    page = Page(wanted, settings)
    async with serve(page.app()) as address:
        page.address = f"{address}/{page.token}"
        _invite(screen, page.address, wanted, settings)
        try:
            async with asyncio.timeout(seconds):
                registered = await page.finished
        except TimeoutError:
            raise NotFinished(
                "Nobody registered the App within the hour that GitHub gives for it, and nothing "
                "was written. Run `vibecoder setup` again. If GitHub made an App meanwhile, delete "
                "that one first."
            ) from None
    _conclude(screen, registered)
    return registered


# What can be known before anybody goes to GitHub


def _checked(wanted: Wanted, settings: Settings) -> Wanted:
    """`wanted` in its canonical form. Raises BadOption, AppPresent, NotWritten."""
    here, api = settings.github_url.rstrip("/"), settings.github_api_url.rstrip("/")
    if (here == PUBLIC_GITHUB) != (api == PUBLIC_API):
        raise BadOption(
            f"GITHUB_URL is {here}, but GITHUB_API_URL is {api}: the App would be registered at "
            "one GitHub and its keys asked of another. Set both, or neither for github.com."
        )
    if wanted.organization is not None and not re.fullmatch(
        r"[A-Za-z0-9_-]{1,39}", wanted.organization
    ):
        raise BadOption(
            f"{wanted.organization!r} is no organization's name; give it as in its address, "
            f"{here}/NAME."
        )
    env_file = wanted.env_file.resolve()  # a link stays one, and what it points to is written
    if not envfile.can_hold(str(env_file)):
        raise BadOption(
            f"The path {env_file} cannot be written into an env file; choose one without quotes, "
            "dollar signs and backslashes."
        )
    public_url = _origin(wanted.public_url, here)
    manifest(public_url, "http://127.0.0.1")
    try:
        present = sorted(envfile.names_set(_read(env_file)) & APP_NAMES)
    except ValueError as error:
        raise NotWritten(f"{env_file} cannot be changed safely: {error}. Mend it first.") from error
    if present and not wanted.replace:
        raise AppPresent(
            f"{env_file} holds an App already ({', '.join(present)}). Choose another "
            "--env-file, or add --replace to have the new App's keys in there instead."
        )
    _try_to_write(env_file)
    return Wanted(public_url, wanted.organization, env_file, wanted.replace)


def _origin(text: str, github_url: str) -> str:
    address = text.strip().rstrip("/")
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or not _ORIGIN.fullmatch(address):
        raise BadOption(
            f"--public-url must be an address such as https://bot.example.org, without a path; "
            f"{text!r} is none."
        )
    if _is_loopback(host):
        if not _is_loopback(urlsplit(github_url).hostname or ""):
            raise BadOption(
                f"GitHub cannot reach {address}, which is this machine's address for itself. Give "
                "the public one; for a trial, that of a tunnel to this machine."
            )
    elif not address.startswith("https://"):
        raise BadOption(
            f"{address} would carry the code of private repositories and people's tokens in clear. "
            "Give an https address; a reverse proxy in front of `vibecoder web` provides it."
        )
    return address


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def manifest(public_url: str, redirect_url: str) -> dict[str, Any]:
    """github_app.yml with the addresses filled in. Raises BadOption where it cannot be used."""
    try:
        text = Template(MANIFEST.read_text(encoding="utf-8"))
        made = yaml.safe_load(text.substitute(PUBLIC_URL=public_url, REDIRECT_URL=redirect_url))
    except (OSError, ValueError, KeyError, yaml.YAMLError) as error:
        raise BadOption(
            f"The App's manifest {MANIFEST} cannot be used ({error}). Restore it from the "
            "repository."
        ) from error
    name = made.get("name") if isinstance(made, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise BadOption(
            f"The `name` in {MANIFEST} must have 1 to {LONGEST_NAME} characters, because GitHub "
            "takes no longer ones."
        )
    return dict(made)


# The page


class Page:
    """The page that starts the registration and the one that GitHub sends people back to.

    Both lie under a path that only the terminal tells, and the way back needs the `state` that the
    way there had, so neither another user of this machine nor another site can slip an App in.
    """

    def __init__(self, wanted: Wanted, settings: Settings) -> None:
        self.token = secrets.token_urlsafe(24)
        self.address = ""  # of the page, once it is served
        self.finished: asyncio.Future[Registered] = asyncio.get_running_loop().create_future()
        self._wanted = wanted
        self._github_url = settings.github_url.rstrip("/")
        self._api_url = settings.github_api_url.rstrip("/")
        owner = f"/organizations/{wanted.organization}" if wanted.organization else ""
        self._apps_url = f"{self._github_url}{owner}/settings/apps"
        self._state = secrets.token_urlsafe(24)
        self._one = asyncio.Lock()  # a code works once, and browsers reload
        self._registered: Registered | None = None

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Mount(
                    f"/{self.token}",
                    routes=[Route("/", self._start), Route("/done", self._done)],
                )
            ],
            # Else a name that resolves to this machine would be an origin of somebody else's.
            middleware=[Middleware(TrustedHostMiddleware, ["127.0.0.1", "localhost"])],
        )

    async def _start(self, _: Request) -> Response:
        if self._registered is not None:
            return _page(registered=self._registered)
        made = manifest(self._wanted.public_url, f"{self.address}/done")
        return _page(
            manifest=made,
            text=json.dumps(made),
            action=f"{self._apps_url}/new?state={self._state}",
            owner=self._wanted.organization,
            github=urlsplit(self._github_url).netloc,
        )

    async def _done(self, request: Request) -> Response:
        state, code = (request.query_params.get(name, "") for name in ("state", "code"))
        if not secrets.compare_digest(state.encode(), self._state.encode()):
            return _page(
                problem="This visit does not belong to the registration that was begun here, so "
                "nothing was done. Begin on the page whose address the terminal shows.",
                status=403,
            )
        if not _CODE.fullmatch(code):
            return _page(
                problem="GitHub sent no usable code along, so nothing was done. Begin again on the "
                "page whose address the terminal shows.",
                status=400,
            )
        async with self._one:
            if self._registered is None:
                try:
                    keys = await convert(self._api_url, code)
                except NotConverted as error:
                    return _page(problem=str(error), status=502)
                try:
                    self._registered = self._keep(keys)
                except SetupError as error:
                    return _page(
                        problem=str(error), status=500, then=BackgroundTask(self._fail, error)
                    )
        # The server stops with it, so the person gets their answer first.
        return _page(
            registered=self._registered, then=BackgroundTask(self._succeed, self._registered)
        )

    def _keep(self, keys: _Keys) -> Registered:
        settings_url = f"{self._apps_url}/{keys.slug}"
        try:
            key_file = _write(self._wanted, keys, self._github_url, self._api_url)
        except (SetupError, OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise NotWritten(
                f"The App {keys.name} was registered, but its keys could not be kept, and GitHub "
                f"tells them only once: {reason}. Delete it at {settings_url}/advanced, then run "
                "`vibecoder setup` again."
            ) from error
        return Registered(
            keys.name,
            keys.html_url,
            settings_url,
            self._wanted.env_file,
            key_file,
            bool(keys.webhook_secret.get_secret_value()),
        )

    async def _succeed(self, registered: Registered) -> None:
        if not self.finished.done():
            self.finished.set_result(registered)

    async def _fail(self, error: SetupError) -> None:
        if not self.finished.done():
            self.finished.set_exception(error)


async def convert(api_url: str, code: str) -> _Keys:
    """Exchanges the code for the App's keys. Raises NotConverted."""
    async with httpx.AsyncClient(timeout=TIMEOUT) as client:
        try:
            response = await client.post(
                f"{api_url}/app-manifests/{code}/conversions",
                headers={
                    "Accept": "application/vnd.github+json",
                    "X-GitHub-Api-Version": "2022-11-28",
                    "User-Agent": "cloud-vibecoder",
                },
            )
        except httpx.HTTPError as error:
            raise NotConverted(
                f"{api_url} did not answer ({type(error).__name__}). Reload this page to try again."
            ) from None
    if response.status_code in (404, 422):
        raise NotConverted(
            "GitHub does not know this code, or not any more: it works once and for an hour. If an "
            "App was registered, delete it on GitHub, then begin again on the page whose address "
            "the terminal shows."
        )
    if not response.is_success:
        raise NotConverted(
            f"GitHub answered {response.status_code} when asked for the App's keys. Reload this "
            "page to try again in a minute."
        )
    try:
        return _Keys.model_validate_json(response.content)
    except ValidationError as error:
        # Only the names: the values are secrets.
        fields = ", ".join(
            str(fault["loc"][0]) if fault["loc"] else "JSON" for fault in error.errors()
        )
        raise NotConverted(
            f"GitHub answered in a form that is not known here ({fields}), and tells an App's keys "
            "only once. Delete the App on GitHub; docs/OPERATIONS.md tells how to register it by "
            "hand."
        ) from None


# The files


def _read(env_file: Path) -> str:
    """Its text; empty where it is not there. Raises NotWritten."""
    try:
        return env_file.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise NotWritten(f"{env_file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise NotWritten(f"{env_file} is no text in UTF-8; choose another --env-file.") from error


def _try_to_write(env_file: Path) -> None:
    """Raises NotWritten: GitHub tells the keys only once, so this is found out before."""
    folder = env_file.parent
    try:
        if env_file.exists() and os.geteuid() not in (0, env_file.stat().st_uid):
            raise NotWritten(
                f"{env_file} belongs to somebody else, who could not read it any more once it is "
                "written anew. Run this as its owner."
            )
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise NotWritten(
            f"Nothing can be written into {folder}: {error.strerror}. Choose another --env-file, "
            "or mend the folder and its permissions."
        ) from error


def _write(wanted: Wanted, keys: _Keys, github_url: str, api_url: str) -> Path:
    """Writes the key beside the env file, then the env file; returns the key's path.

    Raises AppPresent where another App was put there meanwhile, NotWritten, OSError.
    """
    env_file = wanted.env_file
    text = _read(env_file)
    if not wanted.replace and envfile.names_set(text) & APP_NAMES:
        raise AppPresent(f"{env_file} was given another App meanwhile")
    like = (env_file if env_file.exists() else env_file.parent).stat()
    key_file = env_file.parent / f"{keys.slug}.{keys.id}.private-key.pem"
    values = {
        "GITHUB_APP_ID": str(keys.id),
        "GITHUB_CLIENT_ID": keys.client_id,
        "GITHUB_CLIENT_SECRET": keys.client_secret.get_secret_value(),
        "GITHUB_PRIVATE_KEY": "",  # which would win over the path
        "GITHUB_PRIVATE_KEY_PATH": str(key_file),
        "GITHUB_WEBHOOK_SECRET": keys.webhook_secret.get_secret_value(),
        "PUBLIC_URL": wanted.public_url,
    }
    if "SESSION_SECRET" not in envfile.names_set(text):
        values["SESSION_SECRET"] = secrets.token_hex(32)
    if github_url != PUBLIC_GITHUB:
        values |= {"GITHUB_URL": github_url, "GITHUB_API_URL": api_url}
    written = envfile.with_values(text, values)
    envfile.write_private(key_file, keys.pem.get_secret_value(), like)
    try:
        envfile.write_private(env_file, written, like)
    except BaseException:
        key_file.unlink(missing_ok=True)
        raise
    return key_file


# What people read


def _invite(screen: Console, address: str, wanted: Wanted, settings: Settings) -> None:
    port = urlsplit(address).port
    owner = wanted.organization or "yourself"
    _print(
        screen,
        f"Open this page in a browser where you are signed in at {settings.github_url}:",
        "",
        f"    {address}/",
        "",
        f"It registers a GitHub App for {owner}, whose keys go into {wanted.env_file}. It works "
        "once and waits for an hour.",
        "If the browser is on another machine, let that one reach this page first:",
        f"    ssh -L {port}:127.0.0.1:{port} THIS-MACHINE",
    )


def _conclude(screen: Console, registered: Registered) -> None:
    _print(
        screen,
        "",
        f"Registered {registered.name}: {registered.settings_url}",
        f"Written {registered.env_file} and {registered.key_file}, for their owner's eyes alone.",
        "",
        "What remains:",
        f"  - Install it on your repositories: {registered.url}/installations/new",
        *(f"  - {line}" for line in _remaining(registered)),
        "  - `vibecoder doctor --live` says whether all of it works; then run what the Procfile "
        "names.",
    )


def _remaining(registered: Registered) -> list[str]:
    """Sentences about what the service lacks still, or takes from elsewhere."""
    try:
        found = Settings(_env_file=registered.env_file)  # type: ignore[call-arg]  # pydantic's own
    except ValidationError:
        return ["Some other value in the env file is wrong; `vibecoder doctor` names it."]
    lines = []
    if not registered.has_webhook_secret:
        lines.append(
            f"GitHub made no webhook secret: set one at {registered.settings_url} and in "
            "GITHUB_WEBHOOK_SECRET."
        )
    if found.anthropic_api_key is None:
        lines.append("Set ANTHROPIC_API_KEY, for the model.")
    if found.e2b_api_key is None and found.vibecoder_sandbox != "local":
        lines.append(
            "Set E2B_API_KEY, or VIBECODER_SANDBOX=local for container-grade sandboxes on this "
            "machine (docs/SECURITY.md)."
        )
    if found.github_private_key is not None or found.github_private_key_path != registered.key_file:
        lines.append(
            "The environment of this process names an App's private key too, and wins over the "
            "file: remove it there."
        )
    if registered.env_file != Path(".env").resolve():
        lines.append(
            f"The service reads .env in its working directory; have its supervisor load "
            f"{registered.env_file} instead."
        )
    return lines


def _print(screen: Console, *lines: str) -> None:
    for line in lines:
        screen.print(line, markup=False, highlight=False, soft_wrap=True)  # addresses stay whole


def _page(*, status: int = 200, then: BackgroundTask | None = None, **values: Any) -> Response:
    shown = {"problem": "", "registered": None, **values}
    return HTMLResponse(
        _TEMPLATES.get_template("setup.html").render(shown),
        status,
        headers={
            # No form-action: GitHub may send the form on to a company's sign-in.
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
            "frame-ancestors 'none'; base-uri 'none'",
            "Referrer-Policy": "strict-origin",  # the path is for nobody else
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
        background=then,
    )
