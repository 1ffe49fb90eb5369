"""The whole service against the local world, in one event loop, as the front-door tests need it.

Nothing here waits by the clock: each effect on the loopback GitHub and each line of the log wakes
`until`, which looks at its condition again.
"""

import asyncio
import hmac
import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import structlog
from e2b import AsyncSandbox

from jobs.job import Job, fold
from jobs.queue.lease import LeasedWorker
from jobs.queue.store import Store, job_id_of
from vibecoder.compose.store import WEB_RETRIES, open_store
from vibecoder.compose.web import front_door
from vibecoder.compose.worker import worker
from vibecoder.local.github.records import Effect
from vibecoder.local.github.world import World
from vibecoder.local.model.script import Script
from vibecoder.local.serve import serve
from vibecoder.local.stand_ins import StandIns, stand_ins
from vibecoder.settings import Settings

T = TypeVar("T")
PATIENCE = 60  # seconds until a condition that never comes true fails its test
BOT = "cloud-vibecoder[bot]"
Files = Path | Mapping[str, bytes | tuple[int, bytes]]


class Effects(list[Effect]):
    """The effect log of a World; each entry wakes whoever waits."""

    def __init__(self, wake: Callable[[], None]) -> None:
        super().__init__()
        self._wake = wake

    def append(self, effect: Effect) -> None:
        super().append(effect)
        self._wake()


@dataclass
class House:
    """The stand-ins, the web app and a worker, all running."""

    here: StandIns
    service: str
    store: Store
    log: list[Mapping[str, Any]]
    changed: asyncio.Condition
    settings: Settings
    worker: LeasedWorker
    _names: "itertools.count[int]" = field(default_factory=itertools.count)

    @property
    def world(self) -> World:
        return self.here.world

    def client(self, login: str) -> httpx.AsyncClient:
        """GitHub's REST API, as that person."""
        return httpx.AsyncClient(
            base_url=f"{self.here.github_url}/api/v3",
            headers={"Authorization": f"Bearer {self.world.users[login]}"},
        )

    def api(self, login: str) -> httpx.AsyncClient:
        """Our own API, as that person's phone."""
        return httpx.AsyncClient(
            base_url=self.service,
            headers={"Authorization": f"Bearer {self.world.users[login]}"},
        )

    def scene(
        self,
        files: Files,
        title: str = "Something is wrong",
        body: str = "Please look.",
        script: Script | None = None,
        **repository: Any,
    ) -> "Scene":
        """A new repository with one issue; `script` plays in the conversations about it."""
        # An owner each: their installations' writes are paced apart.
        name = f"acme{next(self._names)}/scene"
        self.world.add_repository(name, files, **repository)
        issue = self.world.add_issue(name, title, body, by="maya")
        if script is not None:
            self.here.stage.play(script, name)
        return Scene(self, name, issue.number)

    async def until(self, condition: Callable[[], T | None]) -> T:
        """The condition's value as soon as it has one."""
        try:
            async with asyncio.timeout(PATIENCE), self.changed:
                while not (value := condition()):
                    await self.changed.wait()
                return value
        except TimeoutError:
            last = "\n".join(map(str, self.log[-20:]))
            raise AssertionError(f"It never came true. The log's last lines:\n{last}") from None

    async def verdict(self, command_key: str) -> str:
        """How the command with that key was settled, once it is."""

        def settled() -> str | None:
            return next(
                (str(line["verdict"]) for line in self.log if line.get("key") == command_key), None
            )

        return await self.until(settled)

    async def deliver(self, event: str, payload: Mapping[str, Any]) -> httpx.Response:
        """Posts a webhook as GitHub would, signed, under a new GUID."""
        body = json.dumps(payload).encode()
        secret = self.world.webhook_secret.encode()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": str(uuid4()),
            "X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, "sha256").hexdigest(),
        }
        async with httpx.AsyncClient() as client:
            return await client.post(f"{self.service}/webhook", content=body, headers=headers)

    async def sandboxes(self) -> list[str]:
        """The ids of the sandboxes that live now."""
        box = self.here.sandbox
        pages = AsyncSandbox.list(
            api_key=box.api_key, api_url=box.api_url, sandbox_url=box.sandbox_url
        )
        return [info.sandbox_id for info in await pages.next_items()]

    async def kill_sandbox(self, sandbox_id: str) -> None:
        box = self.here.sandbox
        await AsyncSandbox.kill(
            sandbox_id, api_key=box.api_key, api_url=box.api_url, sandbox_url=box.sandbox_url
        )


@dataclass
class Scene:
    """One repository and one issue in it."""

    house: House
    repository: str
    issue: int

    async def say(self, words: str, by: str = "maya") -> "Said":
        """A person's comment on the issue."""
        async with self.house.client(by) as github:
            answer = await github.post(
                f"/repos/{self.repository}/issues/{self.issue}/comments", json={"body": words}
            )
        answer.raise_for_status()
        comment = answer.json()
        return Said(comment["id"], f"comment:{comment['id']}:{comment['created_at']}")

    async def get(self, path: str, **headers: str) -> Any:
        """What GitHub answers under /repos/{owner}/{repo}."""
        async with self.house.client("maya") as github:
            answer = await github.get(f"/repos/{self.repository}{path}", headers=headers)
        answer.raise_for_status()
        return answer.json() if "json" in answer.headers["content-type"] else answer.text

    async def job(self, said: "Said | str") -> Job:
        """The job that a comment began (or the job with that id), as far as it goes by itself."""
        job_id = said if isinstance(said, str) else job_id_of(said.key)
        events = []
        await self.begun(job_id)
        async with asyncio.timeout(PATIENCE):
            async for _, event in self.house.store.follow(job_id):
                events.append(event)
                if (job := fold(job_id, events)).state == "awaiting_approval":
                    break
        return job

    async def job_when(self, said: "Said", condition: Callable[[Job], bool]) -> Job:
        """The job that a comment began, once the condition holds."""
        job_id, events = job_id_of(said.key), []
        await self.begun(job_id)
        async with asyncio.timeout(PATIENCE):
            async for _, event in self.house.store.follow(job_id):
                events.append(event)
                if condition(job := fold(job_id, events)):
                    return job
        raise AssertionError(f"{job_id} ended as {fold(job_id, events).end}")

    async def begun(self, job_id: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while not await self.house.store.history(job_id):
                async with self.house.changed:
                    await self.house.changed.wait()

    async def newest(self) -> str:
        """The id of the repository's newest job."""
        identity = self.house.world.repository(self.repository).id
        return (await self.house.store.jobs(1, repository_ids=[identity]))[0].id

    async def job_until(self, job_id: str, state: str) -> Job:
        """The job once it is in that state."""
        events = []
        async with asyncio.timeout(PATIENCE):
            async for _, event in self.house.store.follow(job_id):
                events.append(event)
                if (job := fold(job_id, events)).state == state:
                    return job
        raise AssertionError(f"{job_id} ended as {fold(job_id, events).end}")

    async def answers(self) -> list[str]:
        """What we wrote on the issue."""
        comments = await self.get(f"/issues/{self.issue}/comments")
        return [comment["body"] for comment in comments if comment["user"]["login"] == BOT]

    async def answer(self, holding: str = "") -> str:
        """Our latest comment on the issue with these words in it, once there is one."""
        repository = self.house.world.repository(self.repository)

        def written() -> str | None:
            comments = repository.issues[self.issue].comments
            ours = [each.body for each in comments.values() if each.author.login == BOT]
            return next((body for body in reversed(ours) if holding in body), None)

        return await self.house.until(written)

    async def reactions(self, said: "Said") -> list[str]:
        """What we reacted to a comment with."""
        found = await self.get(f"/issues/comments/{said.id}/reactions")
        return [reaction["content"] for reaction in found if reaction["user"]["login"] == BOT]


@dataclass(frozen=True)
class Said:
    """A comment that a person wrote; `key` is that of the command in it."""

    id: int
    key: str


@asynccontextmanager
async def house(
    folder: Path, timers: Mapping[str, float] | None = None, **overrides: str
) -> AsyncIterator[House]:
    """Everything, running. `overrides` replace settings of the service, such as an address.

    `timers`: the worker's, by the names that `compose.worker.worker` has for them.
    """
    log: list[Mapping[str, Any]] = []
    changed = asyncio.Condition()
    tasks: set[asyncio.Task[None]] = set()

    def wake() -> None:
        async def notify() -> None:
            async with changed:
                changed.notify_all()

        tasks.add(task := asyncio.get_running_loop().create_task(notify()))
        task.add_done_callback(tasks.discard)

    def keep(line: Mapping[str, Any]) -> None:
        log.append(line)
        wake()

    with listening(keep):
        async with running(folder, timers or {}, overrides, log, changed, wake) as home:
            yield home


# Every house that stands hears all lines: nothing in them says whose they are.
LISTENERS: list[Callable[[Mapping[str, Any]], None]] = []


def _tell(_: Any, method: str, event: Mapping[str, Any]) -> str:
    for listener in LISTENERS:
        listener({**event, "level": method})
    raise structlog.DropEvent


@contextmanager
def listening(listener: Callable[[Mapping[str, Any]], None]) -> Iterator[None]:
    """Has it called with each line of the log. Houses may go in another order than they came."""
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, _tell])
    LISTENERS.append(listener)
    try:
        yield
    finally:
        LISTENERS.remove(listener)
        if not LISTENERS:
            structlog.reset_defaults()


@asynccontextmanager
async def running(
    folder: Path,
    timers: Mapping[str, float],
    overrides: Mapping[str, str],
    log: list[Mapping[str, Any]],
    changed: asyncio.Condition,
    wake: Callable[[], None],
) -> AsyncIterator[House]:
    async with stand_ins(folder, [], cache=folder / "cache") as here:
        here.world.effects = Effects(wake)
        environment = here.environment() | dict(overrides)
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]  # pydantic-settings' own parameter
            vibecoder_state_dir=folder / "service",
            **{name.lower(): value for name, value in environment.items()},  # type: ignore[arg-type]
        )
        async with (
            open_store(settings, WEB_RETRIES) as store,
            serve(front_door(settings, store)) as service,
        ):
            here.world.hook_url = f"{service}/webhook"
            here.world.callback_urls = (f"{service}/auth/github/callback",)
            async with worker(settings, store, model_pauses=(0.05, 0.05), **timers) as leased:
                working = asyncio.create_task(leased.async_run())
                try:
                    yield House(here, service, store, log, changed, settings, leased)
                finally:
                    leased.stop()
                    await working
