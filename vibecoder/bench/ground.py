"""Where a measure takes place: the stand-ins in this process, web and worker in their own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from jobs.events import JobEvent
from jobs.queue.store import Store, connect
from vibecoder import tasks
from vibecoder.local import redis
from vibecoder.local.github import issues
from vibecoder.local.github.bare import Files
from vibecoder.local.github.records import Actor, Issue, Repository, stamp
from vibecoder.local.github.world import World
from vibecoder.local.serve import free_port
from vibecoder.local.stand_ins import StandIns, stand_ins
from vibecoder.process import answers, program, running

TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 60.0
JOB_SECONDS = 120.0
PACKAGE = "markdown"  # 380 files and 1.7 MB, the largest of the demo's tasks
PERSON = "maya"  # who may write to every repository of the local GitHub


class BenchError(Exception):
    """A measure could not be taken; the message says why.

    └── Unavailable   this machine has not what the measure needs
    """


class Unavailable(BenchError):
    """This machine has not what the measure needs; the others are taken without it."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where measures keep their files."""

    folder: Path  # empty at first, deleted at the end
    cache: Path  # what earlier runs and the demo fetched


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the service, looked at from outside."""

    pid: int

    def cpu(self) -> float:
        """Seconds that it spent so far, user and system, in steps of a hundredth."""
        # Behind the name, which may hold anything: fields 14 and 15 of proc_pid_stat(5).
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self) -> tuple[float, float]:
        """Resident and proportional set size, in MB (10⁶ bytes)."""
        sizes = {}
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, _, size = line.partition(":")
            sizes[name] = int(size.split()[0]) * 1024 / 1e6
        return sizes["Rss"], sizes["Pss"]

    async def quiet(self, most: float = 0.01) -> None:
        """Returns once it used no more than `most` seconds of CPU within one second."""
        before = -1.0
        while (now := self.cpu()) > before + most:
            before = now
            await asyncio.sleep(1)


@dataclass(frozen=True, slots=True)
class House:
    """The stand-ins and the store; processes come on top."""

    local: StandIns
    folder: Path
    store: Store

    @property
    def world(self) -> World:
        return self.local.world

    def repository(self, name: str) -> Repository:
        """A small repository; a new owner's gets an installation of its own."""
        return self.world.add_repository(name, {"README.md": b"# A repository\n"})

    def issue(self, repository: Repository, title: str = "Something is wrong") -> Issue:
        return self.world.add_issue(repository.full_name, title, "Please look.", by=PERSON)

    def comment(self, repository: Repository, issue: Issue, words: str) -> str:
        """Comments as a person would, webhook included, and returns the command's key."""
        actor = Actor(self.world.account(PERSON))
        made = issues.comment(self.world, repository, actor, issue, words)
        return f"comment:{made.id}:{stamp(made.created_at)}"

    async def events(self, job_id: str) -> list[JobEvent]:
        """The job's events up to its end."""
        await until(lambda: self.store.history(job_id), f"{job_id} to begin")
        async with asyncio.timeout(JOB_SECONDS):
            return [event async for _, event in self.store.follow(job_id)]

    @asynccontextmanager
    async def web(self) -> AsyncIterator[tuple[Process, int]]:
        """`vibecoder web`, ready, and its port; the local GitHub sends its webhooks there."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        settings = {"PORT": str(port), "PUBLIC_URL": url}
        async with running("web", self._settings(settings), self.folder, answers(url)) as process:
            self.world.hook_url = f"{url}/webhook"
            yield Process(process.pid), port

    @asynccontextmanager
    async def bare_web(self) -> AsyncIterator[tuple[Process, int]]:
        """The front door without its store (bare.py), ready, and its port."""
        port = free_port()
        command = [sys.executable, "-m", "vibecoder.bench.bare"]
        settings = self._settings({"PORT": str(port)})
        ready = answers(f"http://127.0.0.1:{port}")
        async with program("bare", command, settings, self.folder, ready) as process:
            yield Process(process.pid), port

    @asynccontextmanager
    async def worker(self, **overrides: str) -> AsyncIterator[Process]:
        """`vibecoder worker`, ready. `overrides` replace settings, such as an address."""
        settings = self._settings(overrides)
        async with running("worker", settings, self.folder, self.store.workers) as process:
            yield Process(process.pid)

    @asynccontextmanager
    async def crowded_worker(self, jobs: int, lags: Path) -> AsyncIterator[Process]:
        """A worker that takes so many jobs at a time (crowd.py), ready."""
        command = [sys.executable, "-m", "vibecoder.bench.crowd", str(jobs), str(lags)]
        settings = self._settings({})
        async with program("crowd", command, settings, self.folder, self.store.workers) as process:
            yield Process(process.pid)

    async def redis_process(self) -> Process:
        server = await self.store.redis.info("server")
        return Process(int(server["process_id"]))

    async def redis_cpu(self) -> float:
        """Seconds that Redis spent so far, in millionths, where /proc counts hundredths."""
        used = await self.store.redis.info("cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

    async def redis_commands(self) -> int:
        """Commands that Redis ran so far, this one not included."""
        stats = await self.store.redis.info("stats")
        return int(stats["total_commands_processed"])

    async def all_read(self) -> None:
        """Until the web process has read and settled what it answered."""

        async def none_left() -> bool:
            return not await self.store.unparsed(0, limit=1)

        await until(none_left, "the web process to read what it took")

    def _settings(self, more: Mapping[str, str]) -> dict[str, str]:
        state = {"VIBECODER_STATE_DIR": str(self.folder / "service")}
        return {**self.local.environment(), **state, **more}


@asynccontextmanager
async def house(ground: Ground, name: str) -> AsyncIterator[House]:
    """The stand-ins for one measure, with Redis as durable as in production (AOF everysec)."""
    folder = ground.folder / name
    async with stand_ins(folder, [], cache=ground.cache) as local:
        store = Store(connect(local.redis_url))
        try:
            yield House(local, folder, store)
        finally:
            await store.close()


def release(ground: Ground) -> tuple[Files, str]:
    """The files of a real package and its name; the sample's where no package index answers."""
    task = tasks.find(tasks.load(), PACKAGE)
    try:
        return tasks.fetch(task, ground.cache).old, f"{task.package} {task.old}"
    except tasks.NoRegistry:
        task, sources = tasks.sample(ground.folder / "sample")
        return sources.old, "the sample"


@asynccontextmanager
async def empty_store(ground: Ground, name: str) -> AsyncIterator[Store]:
    """A store of its own, without anything that uses it."""
    server = redis.start(ground.folder / name, die_with_parent=True)
    store = Store(connect(server.url))
    try:
        yield store
    finally:
        await store.close()
        server.stop()


async def until(
    condition: Callable[[], Awaitable[object]], what: str, seconds: float = START_SECONDS
) -> None:
    """Returns once the condition holds, asked every 10 ms. Raises BenchError after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            while not await condition():  # noqa: ASYNC110  # what is waited for is elsewhere
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise BenchError(f"Waited {seconds:.0f} s for {what} in vain.") from None
