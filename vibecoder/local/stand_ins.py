"""Starts the stand-ins for GitHub, E2B, the model and Redis: on loopback, without any account."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any

from agent.errors import SandboxRefused
from agent.sandbox import SandboxSettings
from vibecoder import tasks
from vibecoder.local import redis
from vibecoder.local.github.app import app as github_app
from vibecoder.local.github.world import World
from vibecoder.local.model.app import app as model_app
from vibecoder.local.model.script import Stage
from vibecoder.local.sandbox.app import app as sandbox_app
from vibecoder.local.sandbox.errors import FolderInUse
from vibecoder.local.sandbox.probe import Isolation, install_bubblewrap, probe
from vibecoder.local.sandbox.toolchain import prepare
from vibecoder.local.serve import serve


@dataclass(frozen=True, slots=True)
class StandIns:
    """Where the stand-ins listen, and the state behind them."""

    world: World
    github_url: str
    stage: Stage
    model_url: str
    model_key: str
    sandbox: SandboxSettings
    redis_url: str
    session_secret: str

    def environment(self) -> dict[str, str]:
        """What makes the service talk to these and to nothing else."""
        world, sandbox = self.world, self.sandbox
        return {
            "GITHUB_APP_ID": str(world.app_id),
            "GITHUB_CLIENT_ID": world.client_id,
            "GITHUB_CLIENT_SECRET": world.client_secret,
            "GITHUB_PRIVATE_KEY": world.private_key,
            "GITHUB_WEBHOOK_SECRET": world.webhook_secret,
            "GITHUB_API_URL": f"{self.github_url}/api/v3",
            "GITHUB_URL": self.github_url,
            "ANTHROPIC_API_KEY": self.model_key,
            "ANTHROPIC_BASE_URL": self.model_url,
            "E2B_API_KEY": sandbox.api_key,
            "E2B_API_URL": sandbox.api_url or "",
            "E2B_SANDBOX_URL": sandbox.sandbox_url or "",
            "REDIS_URL": self.redis_url,
            "SESSION_SECRET": self.session_secret,
        }

    def contract(self, repository: str) -> dict[str, Any]:
        """The line that `vibecoder local --json` prints; tools outside rely on its names."""
        world = self.world
        return {
            "github": {
                "api_url": f"{self.github_url}/api/v3",
                "url": self.github_url,
                "admin_url": f"{self.github_url}/_admin",
                "app_id": world.app_id,
                "client_id": world.client_id,
                "client_secret": world.client_secret,
                "private_key": world.private_key,
                "webhook_secret": world.webhook_secret,
                "installation_id": world.installation_id,
                "repository": repository,
                "users": dict(world.users),
            },
            "e2b": {
                "api_url": self.sandbox.api_url,
                "sandbox_url": self.sandbox.sandbox_url,
                "api_key": self.sandbox.api_key,
            },
            "anthropic": {"base_url": self.model_url, "api_key": self.model_key},
            "redis": {"url": self.redis_url},
        }


@asynccontextmanager
async def stand_ins(
    folder: Path, wheels: Sequence[Path], *, cache: Path, unisolated: bool = False
) -> AsyncIterator[StandIns]:
    """All four, stopped on leaving. State lies under `folder`, what may be kept under `cache`."""
    async with AsyncExitStack() as stack:
        # From this thread: the server dies with the thread that started it.
        store = redis.start(folder / "redis", die_with_parent=True)
        stack.callback(store.stop)
        world = World(folder / "github")
        github_url = await stack.enter_async_context(serve(github_app(world)))
        world.base_url = github_url
        model_key = f"sk-ant-local-{token_hex(20)}"
        stage = Stage({model_key})
        model_url = await stack.enter_async_context(serve(model_app(stage)))
        box = await stack.enter_async_context(
            sandbox(folder, wheels, cache=cache, unisolated=unisolated)
        )
        yield StandIns(
            world, github_url, stage, model_url, model_key, box, store.url, token_hex(32)
        )


@asynccontextmanager
async def sandbox(
    folder: Path,
    wheels: Sequence[Path] | None = None,
    *,
    cache: Path | None = None,
    unisolated: bool = False,
) -> AsyncIterator[SandboxSettings]:
    """The local sandbox server; its boxes hold Python and what `wheels` has (None: pytest).

    Raises SandboxRefused with the remedy where this machine cannot isolate.
    """
    isolation = await asyncio.to_thread(isolate)
    if isolation.kind == "none" and not unisolated:
        raise SandboxRefused(
            f"No sandbox can be isolated here: {isolation.reason} {isolation.remedy}"
        )
    cache = cache or folder / "cache"
    if wheels is None:
        wheels = await asyncio.to_thread(tasks.fetch_wheels, (), cache)
    toolchain = await asyncio.to_thread(prepare, cache / "toolchain", wheels)
    key = f"e2b_{token_hex(20)}"
    server = sandbox_app(
        folder / "sandboxes",
        api_key=key,
        toolchain=toolchain,
        isolation=isolation,
        unisolated=unisolated,
    )
    async with AsyncExitStack() as stack:
        try:
            url = await stack.enter_async_context(serve(server))
        except FolderInUse:
            raise SandboxRefused(
                "Another worker keeps its local sandboxes in this state directory. Give each "
                "worker a VIBECODER_STATE_DIR of its own, or use E2B."
            ) from None
        yield SandboxSettings(api_key=key, api_url=url, sandbox_url=url, template=None)


def isolate() -> Isolation:
    """What isolation there is; installs bubblewrap first where only that is missing and may be."""
    found = probe()
    if found.kind == "none" and install_bubblewrap() is None:
        return probe()
    return found
