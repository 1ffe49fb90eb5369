"""Where a run takes place: the loopback world in this process, the service in its own."""

import asyncio
import os
import signal
import tempfile
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex

from e2b import AsyncSandbox

from jobs.queue.store import Store, connect, job_id_of
from tests.faults.gate import Gate
from tests.faults.left import left_running
from tests.faults.processes import START_SECONDS, Processes, Timers
from tests.faults.script import steps
from tests.faults.topic import Topic
from tests.faults.traps import Knock, Moment, Traps
from tests.faults.wire import Wire
from vibecoder.local import redis
from vibecoder.local.github import issues
from vibecoder.local.github.app import app as github_app
from vibecoder.local.github.records import Actor, Delivery, Effect, Issue, Repository, stamp
from vibecoder.local.github.world import World
from vibecoder.local.model.app import app as model_app
from vibecoder.local.model.script import Stage
from vibecoder.local.sandbox.app import app as sandbox_app
from vibecoder.local.sandbox.toolchain import prepare
from vibecoder.local.serve import free_port, serve
from vibecoder.local.stand_ins import isolate

PERSON = "maya"
STEPS = 3


class Server:
    """Redis as a process of its own, which may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.start()

    def start(self) -> None:
        # From the main thread: it dies with the thread that started it.
        self.running = redis.start(self.folder, die_with_parent=True)
        self.up = True
        self.socket = self.folder.resolve() / "redis.sock"

    def kill(self) -> None:
        self.up = False
        os.kill(self.running.pid, signal.SIGKILL)
        os.waitpid(self.running.pid, 0)


class Effects(list[Effect]):
    """The log of effects, with finer times than GitHub's."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def append(self, effect: Effect) -> None:
        self.times.append(time.time())
        super().append(effect)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a person: a comment, or a wish from the phone."""

    repository: Repository
    issue: Issue | None  # None: a wish
    comment_id: int | None
    key: str
    at: float
    second: bool = False  # on an issue that had a request before

    @property
    def job_id(self) -> str:
        return job_id_of(self.key)

    def __str__(self) -> str:
        where = f"#{self.issue.number}" if self.issue else ", a wish"
        return f"{self.repository.full_name}{where} ({self.job_id})"


@dataclass
class Ground:
    """The stand-ins, Redis and the service, all running."""

    folder: Path
    world: World
    stage: Stage
    server: Server
    store: Store
    effects: Effects
    traps: Traps
    gate: Gate  # GitHub's
    processes: Processes
    sandbox: dict[str, str]
    timers: Timers
    knocks: deque[str]  # every request of the service, for whoever looks into a failure
    topic: Topic  # where the operator is told
    # By repository: the comments that say stop, and when each was written.
    stops: dict[str, dict[int, float]] = field(default_factory=dict)
    losses: int = 0  # how often Redis lost everything
    fills: int = 0  # how often it had no memory left
    old: Path | None = None  # the code of another version that serves beside this one
    _numbers: int = field(default=0)

    def ask(self) -> Asked:
        """A new repository with an issue, and the comment on it."""
        repository = self._repository()
        name = repository.full_name
        issue = self.world.add_issue(name, "Parts are missing", "Please write them.", by=PERSON)
        return self._comment(repository, issue, second=False)

    def ask_again(self, first: Asked) -> Asked:
        """Another comment on the issue, whose job may or may not be over by then."""
        assert first.issue is not None
        return self._comment(first.repository, first.issue, second=True)

    def wish(self) -> Asked:
        """What somebody with a phone is about to ask for, in a new repository: see phone.py."""
        repository = self._repository()
        key = f"api:{self.world.account(PERSON).id}:plan:{repository.full_name}"
        return Asked(repository, None, None, key, time.time())

    def _repository(self) -> Repository:
        self._numbers += 1
        # An owner each: installations are paced and limited apart.
        name = f"acme{self._numbers}/parts"
        return self.world.add_repository(name, {"README.md": b"# Parts\n"})

    def _comment(self, repository: Repository, issue: Issue, *, second: bool) -> Asked:
        actor = Actor(self.world.account(PERSON))
        at = time.time()
        made = issues.comment(self.world, repository, actor, issue, "/vibecode write all parts")
        key = f"comment:{made.id}:{stamp(made.created_at)}"
        return Asked(repository, issue, made.id, key, at, second)

    async def found(self, asked: Asked) -> Asked:
        """The request under the key that it has by now.

        One that found its issue taken by a job which ended meanwhile is submitted again.
        """
        while asked.issue is not None and not await self.store.history(asked.job_id):
            again = replace(asked, key=f"{asked.key}/again")
            if not await self.store.history(again.job_id):
                return asked
            asked = again
        return asked

    def answered(self, asked: Asked) -> bool:
        """Whether a comment of ours answers the request in a sentence instead of with a job."""
        marker = f"<!-- vibecoder:reply-{asked.comment_id} -->"
        return asked.issue is not None and any(
            each.author is self.world.app.bot and each.body.startswith(marker)
            for each in asked.issue.comments.values()
        )

    def stop(self, asked: Asked) -> None:
        """A person stops the job of an issue."""
        assert asked.issue is not None
        actor = Actor(self.world.account(PERSON))
        said = issues.comment(self.world, asked.repository, actor, asked.issue, "/vibecode stop")
        self.stops.setdefault(asked.repository.full_name, {})[said.id] = time.time()

    def deliveries_of(self, asked: Asked) -> list[Delivery]:
        """Every attempt to tell the service of the comment."""
        return [
            each
            for each in self.world.deliveries.values()
            if each.event == "issue_comment"
            and each.action == "created"
            and each.payload["comment"]["id"] == asked.comment_id
        ]

    def acknowledged(self, asked: Asked) -> bool:
        return any(200 <= each.status_code < 300 for each in self.deliveries_of(asked))

    def deliver_twin(self, asked: Asked) -> None:
        """The same comment under another GUID, as a repository's own hook would send it."""
        if first := next(iter(self.deliveries_of(asked)), None):
            twin = replace(first, id=self.world.next_id(), guid=str(uuid.uuid4()))
            self.world.courier.post(twin)

    async def sandboxes(self) -> list[str]:
        """The ids of the sandboxes that live now."""
        pages = AsyncSandbox.list(**self.sandbox)  # type: ignore[arg-type]
        found: list[str] = []
        while pages.has_next:
            found += [info.sandbox_id for info in await pages.next_items()]
        return found

    def keep_evidence(self, to: Path) -> None:
        """Saves what the processes logged and asked for, which is deleted with the run."""
        to.mkdir(parents=True, exist_ok=True)
        for log in self.folder.glob("*.log"):
            (to / log.name).write_bytes(log.read_bytes())
        (to / "requests.txt").write_text("\n".join(self.knocks), errors="replace")
        (to / "effects.txt").write_text("\n".join(map(str, self.world.effects)))

    async def kill_sandbox(self, sandbox_id: str) -> None:
        await AsyncSandbox.kill(sandbox_id, **self.sandbox)  # type: ignore[call-overload]


@asynccontextmanager
async def ground(cache: Path, timers: Timers, workers: int) -> AsyncIterator[Ground]:
    """Everything, running, in a folder that is deleted at the end. `cache` keeps the toolchain."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vcf")))
        stack.callback(_require_nothing_left, folder)
        knocks: deque[str] = deque(maxlen=20_000)
        traps = Traps(watch=lambda knock, moment: knocks.append(_line(knock, moment)))
        server = Server(folder / "redis")
        stack.callback(lambda: server.running.stop())
        world = World(folder / "github")
        world.effects = effects = Effects()
        gate = Gate(github_app(world), "github", traps)
        world.base_url = github = await stack.enter_async_context(serve(gate))
        model_key = f"sk-ant-local-{token_hex(20)}"
        stage = Stage({model_key})
        stage.play(steps(STEPS))
        model = await stack.enter_async_context(serve(Gate(model_app(stage), "model", traps)))
        sandbox_key = f"e2b_{token_hex(20)}"
        boxes = sandbox_app(
            folder / "boxes",
            api_key=sandbox_key,
            toolchain=await asyncio.to_thread(prepare, cache / "toolchain", []),
            isolation=await asyncio.to_thread(isolate),
        )
        sandbox = await stack.enter_async_context(serve(Gate(boxes, "sandbox", traps)))
        topic = Topic()
        told = await stack.enter_async_context(serve(topic.app()))
        store = Store(connect(server.running.url))
        stack.push_async_callback(store.close)
        names = ["web", *(f"worker-{n}" for n in range(1, workers + 1))]
        environment = {
            "GITHUB_APP_ID": str(world.app_id),
            "GITHUB_CLIENT_ID": world.client_id,
            "GITHUB_CLIENT_SECRET": world.client_secret,
            "GITHUB_PRIVATE_KEY": world.private_key,
            "GITHUB_WEBHOOK_SECRET": world.webhook_secret,
            "GITHUB_API_URL": f"{github}/api/v3",
            "GITHUB_URL": github,
            "ANTHROPIC_API_KEY": model_key,
            "ANTHROPIC_BASE_URL": model,
            "E2B_API_KEY": sandbox_key,
            "E2B_API_URL": sandbox,
            "E2B_SANDBOX_URL": sandbox,
            "VIBECODER_NTFY_URL": f"{told}/jobs",
        }
        port = free_port()
        wires = {name: Wire(name, server.socket, traps) for name in names}
        processes = Processes(folder, environment, port, wires, timers)
        await stack.enter_async_context(processes)
        world.hook_url = f"{processes.url}/webhook"

        async def present() -> bool:
            return len(await store.workers()) == workers

        await until(present, START_SECONDS)
        reach = {"api_key": sandbox_key, "api_url": sandbox, "sandbox_url": sandbox}
        yield Ground(
            folder,
            world,
            stage,
            server,
            store,
            effects,
            traps,
            gate,
            processes,
            reach,
            timers,
            knocks,
            topic,
        )


def _require_nothing_left(folder: Path) -> None:
    """Raises RuntimeError where something still runs after the end."""
    if left := left_running(folder, ()):
        raise RuntimeError(f"Still running after the end: {left}")


def _line(knock: Knock, moment: Moment) -> str:
    words = " ".join(knock.path.split())[:300]
    return (
        f"{time.time():.3f} {moment:6} {knock.process or '?'} {knock.place} {knock.method} {words}"
    )


async def until(true: Callable[[], Awaitable[object]], seconds: float, every: float = 0.05) -> bool:
    """Whether it became true in time. What is waited for happens in other processes."""
    ends = time.monotonic() + seconds
    while not await true():
        if time.monotonic() > ends:
            return False
        await asyncio.sleep(every)
    return True
