"""`vibecoder doctor`: what is set and whether it works, one line each, with the remedy.

`--live` asks the services themselves, and so proves for an operator's accounts what this project
could only read about (docs/UNPROVEN.md): the App at GitHub, a sandbox at E2B, one answer of Claude.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.errors import AgentError
from agent.model import Model, Purse
from agent.progress import Progress
from agent.sandbox import Sandbox
from jobs.forge.errors import ForgeError
from jobs.forge.github import GitHub
from jobs.queue.errors import QueueError
from vibecoder.compose.store import WEB_RETRIES, open_store
from vibecoder.compose.told import topic, vapid
from vibecoder.compose.worker import app_settings, model_settings, sandboxes
from vibecoder.local import redis
from vibecoder.local.redis import StoreError
from vibecoder.local.sandbox.probe import probe
from vibecoder.settings import Settings, SettingsError, required
from webhook.person import GitHub as Person
from webhook.problems import Problem, TokenRefused

MANIFEST = Path(__file__).parent.parent / "github_app.yml"
REMEDIABLE = (SettingsError, StoreError, ForgeError, AgentError, QueueError, OSError)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `words` say what is there, or what is wrong and how to mend it."""

    name: str
    good: bool
    words: str


Check = Callable[[Settings], Awaitable[str]]


async def check(settings: Settings, *, live: bool) -> bool:
    """Prints a table of findings. True where all is well."""
    checks = HERE | (LIVE if live else {})
    findings = [await _find(name, look, settings) for name, look in checks.items()]
    table = Table("", "what", "finding", expand=False)
    for finding in findings:
        mark = "[green]✓[/]" if finding.good else "[red]✗[/]"
        table.add_row(mark, finding.name, escape(finding.words))
    screen = Console(highlight=False)
    screen.print(table)
    if not live:
        screen.print("[dim]`vibecoder doctor --live` asks GitHub, E2B and the model too.[/]")
    return all(finding.good for finding in findings)


async def _find(name: str, look: Check, settings: Settings) -> Finding:
    try:
        return Finding(name, True, await look(settings))
    except REMEDIABLE as error:
        return Finding(name, False, str(error))


async def _app(settings: Settings) -> str:
    app_settings(settings)
    return f"App {settings.github_app_id}, key readable"


async def _door(settings: Settings) -> str:
    secrets = settings.webhook_secrets()
    required(settings.github_client_id, "GITHUB_CLIENT_ID")
    required(settings.github_client_secret, "GITHUB_CLIENT_SECRET")
    if any(len(secret) < 16 for secret in secrets):
        raise SettingsError("GITHUB_WEBHOOK_SECRET is shorter than 16 characters; make a new one.")
    return f"{len(secrets)} webhook secret(s)"


async def _sign_in(settings: Settings) -> str:
    settings.session_key()
    origin = settings.origin()
    redirects = settings.redirects()
    more = [f"also back to {', '.join(redirects)}"] if redirects else []
    if origin is None:
        raise SettingsError(
            "PUBLIC_URL is missing: GitHub would be told to send people back to whatever address "
            "they came by, and takes only the App's callback URL."
        )
    by = "SESSION_SECRET" if settings.session_secret else "the client secret (SESSION_SECRET unset)"
    words = (f"at {origin}/app/", f"callback URL {origin}/auth/github/callback", f"sealed by {by}")
    return "; ".join((*words, *more))


async def _telling(settings: Settings) -> str:
    by = ["browsers by Web Push"] if vapid(settings) else []
    if (told := topic(settings)) is not None:
        by.append(f"a topic at {told.server}")
    return f"by {' and '.join(by)}" if by else "nobody is told"


async def _redis(settings: Settings) -> str:
    if settings.redis_url is None:
        # Attaches where it runs already; else it lives no longer than this look.
        redis.start(settings.vibecoder_state_dir / "redis", die_with_parent=True)
    async with open_store(settings, WEB_RETRIES) as store:
        await store.ping()
        facts = await store.redis.info()
    if int(facts.get("cluster_enabled", 0)):
        raise SettingsError(
            "Redis runs as a cluster; arq needs one primary, with cluster mode off."
        )
    if facts.get("maxmemory_policy") != "noeviction":
        raise SettingsError("Redis evicts keys when it is full: set maxmemory-policy noeviction.")
    if not int(facts.get("maxmemory", 0)):
        raise SettingsError(
            "Redis has no maxmemory: set one, so that new jobs are refused in time."
        )
    if not int(facts.get("aof_enabled", 0)):
        raise SettingsError(
            "Redis keeps no append-only file: set appendonly yes, or jobs get lost."
        )
    where = "yours" if settings.redis_url else "embedded"
    return f"{where}, {facts.get('redis_version', '?')}, append-only, noeviction"


async def _isolation(settings: Settings) -> str:
    if settings.e2b_api_key is not None:
        return "E2B, by E2B_API_KEY"
    if settings.vibecoder_sandbox != "local":
        raise SettingsError("E2B_API_KEY is missing; or choose VIBECODER_SANDBOX=local.")
    found = await asyncio.to_thread(probe)
    if found.kind == "none":
        raise SettingsError(f"{found.reason} {found.remedy}")
    return f"local: {found.kind}. {found.reason}"


async def _price(settings: Settings) -> str:
    async with _model(settings) as model:
        model.check()
    return f"{settings.vibecoder_model}, its price is known"


async def _live_app(settings: Settings) -> str:
    wanted: dict[str, str] = yaml.safe_load(MANIFEST.read_text())["default_permissions"]
    async with GitHub(app_settings(settings)) as github:
        app = await github.registered()
        lacking = [
            f"{name}: {level}"
            for name, level in wanted.items()
            if app.permissions.get(name) not in {level, "write"}
        ]
        if lacking:
            raise SettingsError(
                f"The App {app.slug} lacks {', '.join(lacking)}: add it on the App's page under "
                "Permissions, then accept it in each installation."
            )
        return f"signed in as {(await github.bot()).login}; permissions suffice"


async def _live_client(settings: Settings) -> str:
    github = Person(
        settings.github_api_url.rstrip("/"),
        required(settings.github_client_id, "GITHUB_CLIENT_ID"),
        required(settings.github_client_secret, "GITHUB_CLIENT_SECRET"),
    )
    try:
        await github.person("ghu_of_nobody")
    except TokenRefused:
        return "GitHub takes client id and secret; that it takes the callback URL shows at sign-in"
    except Problem as problem:
        raise SettingsError(str(problem)) from problem
    finally:
        await github.close()
    raise SettingsError("GitHub takes any token for a person's; is GITHUB_API_URL right?")


async def _live_sandbox(settings: Settings) -> str:
    async with _sandbox(settings) as box:
        python = await box.run("python3 --version", seconds=30)
        if python.exit_code != 0:
            raise SettingsError("The sandbox has no python3; choose a template that has it.")
        out = await box.run(
            "python3 -c \"import socket; socket.create_connection(('1.1.1.1', 443), 5)\"",
            seconds=30,
        )
        if out.exit_code == 0:
            raise SettingsError("The sandbox reaches the internet although that was closed to it.")
        await box.write("doctor", b"written")
        if await box.read("doctor") != b"written":
            raise SettingsError("The sandbox does not give back what was written into it.")
    return f"created, {python.output.strip()}, no way out, destroyed"


async def _live_model(settings: Settings) -> str:
    spent: list[Progress] = []

    async def watch(progress: Progress) -> None:
        spent.append(progress)

    async with _model(settings) as model:
        answer = await model.turn(
            system=[{"type": "text", "text": "Answer with one word."}],
            tools=[],
            messages=[{"role": "user", "content": "Say: ready"}],
            size=100,
            purse=Purse(Decimal(1)),
            watch=watch,
        )
    return f"{settings.vibecoder_model} answered ({answer.stop_reason})"


@asynccontextmanager
async def _model(settings: Settings) -> AsyncIterator[Model]:
    model = Model(model_settings(settings))
    try:
        yield model
    finally:
        await model.close()


@asynccontextmanager
async def _sandbox(settings: Settings) -> AsyncIterator[Sandbox]:
    async with sandboxes(settings) as boxes:
        sandbox = await boxes.create("doctor", "1")
        try:
            yield sandbox
        finally:
            await sandbox.kill()


HERE: dict[str, Check] = {
    "GitHub App": _app,
    "front door": _door,
    "sign-in": _sign_in,
    "notifications": _telling,
    "Redis": _redis,
    "sandbox": _isolation,
    "model": _price,
}
LIVE: dict[str, Check] = {
    "GitHub, live": _live_app,
    "sign-in, live": _live_client,
    "sandbox, live": _live_sandbox,
    "model, live": _live_model,
}
