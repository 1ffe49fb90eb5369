"""`vibecoder demo`: a real issue of a real package becomes a real pull request, on this machine.

The stand-ins run in this process, the web app and the worker as processes of their own, exactly as
in production. What is shown at the end is read back through GitHub's API, like anybody would.
"""

import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from dulwich.errors import NotGitRepository
from dulwich.objects import S_ISGITLINK
from dulwich.repo import Repo
from rich.console import Console

from agent.errors import SandboxRefused
from jobs.events import JobEvent
from jobs.job import Job, fold
from jobs.queue.store import Store, connect
from vibecoder import tasks, timeline
from vibecoder.local.model.replay import replay
from vibecoder.local.model.script import Script
from vibecoder.local.redis import StoreError
from vibecoder.local.serve import free_port
from vibecoder.local.stand_ins import StandIns, isolate, stand_ins
from vibecoder.process import NotStarted, answers, last_words, running
from vibecoder.result import Result, read
from vibecoder.settings import Settings, SettingsError, required


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


ERRORS = (
    DemoError,
    NotStarted,
    SettingsError,
    SandboxRefused,
    tasks.TaskError,
    StoreError,
    OSError,  # the state directory
)
PATIENCE = 600  # seconds; a live model may take its time
MAINTAINER = "maya"
USUAL = "itsdangerous"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the person asked for on the command line."""

    task: str | None  # None: the first of `tasks`, or the usual one
    tasks: Path | None
    repo: Path | None
    issue: str | None


@dataclass(frozen=True, slots=True)
class Act:
    """What is put before the service: a repository with an issue in it."""

    repository: str
    files: Path | dict[str, tuple[int, bytes]]  # what the repository starts with
    title: str
    body: str
    words: str  # after /vibecode
    script: Script | None  # what the scripted model plays; None where a real one works
    fix: dict[str, bytes]  # the files of the released fix, to compare with; may be empty


@dataclass(frozen=True, slots=True)
class Running:
    """A demo that is done and still up."""

    here: StandIns
    service: str  # the web app's address
    result: Result


async def run(
    wanted: Wanted,
    settings: Settings,
    screen: Console,
    *,
    as_json: bool = False,
    then: Callable[[Running], Awaitable[None]] | None = None,
) -> bool:
    """Run it and show it. True where a pull request came out as it should.

    `then` is awaited while everything is still up. Raises one of ERRORS where it could not be run.
    """
    began = time.time()
    live = settings.anthropic_api_key is not None
    cache = settings.vibecoder_state_dir.absolute() / "cache"
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vibecoder-demo-")))
        act, wheels = await asyncio.to_thread(_prepare, wanted, folder, cache, settings, screen)
        unisolated = await asyncio.to_thread(_may_run_unisolated, live, screen)
        here = await stack.enter_async_context(
            stand_ins(folder, wheels, cache=cache, unisolated=unisolated)
        )
        if act.script is not None:
            here.stage.play(act.script, act.repository)  # whatever a person asks for there later
        here.world.add_repository(act.repository, act.files)
        issue = here.world.add_issue(act.repository, act.title, act.body, by=MAINTAINER)
        store = Store(connect(here.redis_url))
        stack.push_async_callback(store.close)
        service = await stack.enter_async_context(_service(here, store, settings, folder, live))
        here.world.hook_url = f"{service}/webhook"
        here.world.callback_urls = (f"{service}/auth/github/callback",)

        client = httpx.AsyncClient(
            base_url=f"{here.github_url}/api/v3",
            headers={"Authorization": f"Bearer {here.world.users[MAINTAINER]}"},
            timeout=30,
        )
        github = await stack.enter_async_context(client)
        timeline.show_head(
            screen,
            act.repository,
            issue.number,
            act.title,
            model=settings.vibecoder_model if live else "scripted; it replays the released fix",
            sandbox="none (plain processes)" if unisolated else "local, bubblewrap",
        )
        asked = time.time()
        comment = await github.post(
            f"/repos/{act.repository}/issues/{issue.number}/comments",
            json={"body": f"/vibecode {act.words}"},
        )
        comment.raise_for_status()
        job, events = await _watch(store, screen, asked)
        if job.pull is None:
            words = job.end.summary if job.end else "the job did not end"
            raise DemoError(
                f"No pull request came out: {words}\n{last_words(folder / 'worker.log')}"
            )
        result = await read(github, job, events, act.fix, began=began, asked=asked)
        if as_json:
            sys.stdout.write(json.dumps(result.as_json()) + "\n")
            sys.stdout.flush()
        else:
            timeline.show_result(screen, result)
            if then is None:
                screen.print(
                    "[dim]`make demo ARGS=--keep` leaves it running, with the phone's app to sign "
                    "in to.[/]"
                )
        if then is not None:
            await then(Running(here, service, result))
    return result.good


async def stay(screen: Console, running: Running) -> None:
    """Shows the addresses and leaves everything up until it is interrupted."""
    users = dict(running.here.world.users)
    timeline.show_addresses(screen, running.result, running.service, users)
    await asyncio.Event().wait()


def _prepare(
    wanted: Wanted, folder: Path, cache: Path, settings: Settings, screen: Console
) -> tuple[Act, list[Path]]:
    """The act and the wheels that its tests need in the sandbox. Blocking; uses the network."""
    live = settings.anthropic_api_key is not None
    if wanted.repo is not None or wanted.issue is not None:
        return _own(wanted, live), tasks.fetch_wheels((), cache)
    listed = tasks.load(wanted.tasks)
    if wanted.task is None and wanted.tasks is not None:
        task = listed[0]
    else:
        task = tasks.find(listed, wanted.task or USUAL)
    try:
        sources = tasks.fetch(task, cache)
        wheels = tasks.fetch_wheels(task.requires, cache)
    except tasks.NoRegistry as error:
        if settings.ci is not None:
            raise
        screen.print(f"[yellow]{error} A small sample repository takes the package's place.[/]")
        task, sources = tasks.sample(folder / "sample")
        wheels = []
    return _act(task, sources, live), wheels


def _act(task: tasks.Task, sources: tasks.Sources, live: bool) -> Act:
    fix = {
        path: (sources.new / path).read_bytes()
        for path in task.source_files
        if (sources.new / path).is_file()
    }
    name = task.package.lower()
    return Act(
        repository=f"demo/{name}",
        files=sources.old,
        title=task.issue_title,
        body=task.issue_body,
        words="fix this",
        script=None if live else replay(task, sources),
        fix=fix,
    )


def _own(wanted: Wanted, live: bool) -> Act:
    """The person's own repository, as of its HEAD, and the issue in their words."""
    if wanted.repo is None or not wanted.issue:
        raise DemoError("--repo DIR and --issue TEXT go together: where, and what is wrong.")
    if not live:
        raise DemoError(
            "Your own repository needs a real model: put ANTHROPIC_API_KEY into the environment. "
            "Without a key, `vibecoder demo` replays the known fix of a real package."
        )
    title, _, body = wanted.issue.strip().partition("\n")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", wanted.repo.resolve().name) or "repository"
    files = _files_of_head(wanted.repo)
    return Act(f"demo/{name}", files, title[:200], body.strip(), "fix this", None, {})


def _files_of_head(folder: Path) -> dict[str, tuple[int, bytes]]:
    """What is committed, never what merely lies there: path → (mode, content)."""
    try:
        with Repo(str(folder)) as repo:
            tree = repo[repo.head()].tree  # type: ignore[attr-defined]  # HEAD is a commit
            return {
                os.fsdecode(entry.path): (entry.mode, repo[entry.sha].as_raw_string())
                for entry in repo.object_store.iter_tree_contents(tree)
                if not S_ISGITLINK(entry.mode)
            }
    except (NotGitRepository, KeyError) as error:
        raise DemoError(f"{folder} is not a git repository with a commit.") from error


def _may_run_unisolated(live: bool, screen: Console) -> bool:
    """Where no sandbox can be isolated: only the known script may run, and the screen says so."""
    found = isolate()
    if found.kind != "none":
        return False
    if live:
        raise SandboxRefused(
            f"A real model's commands are not run here without isolation: {found.reason} "
            f"{found.remedy}"
        )
    screen.print(
        f"[bold yellow]Without isolation:[/] {found.reason} The known fix of this demo runs as "
        f"plain processes; anything else would be refused. {found.remedy}"
    )
    return True


@asynccontextmanager
async def _service(
    here: StandIns, store: Store, settings: Settings, folder: Path, live: bool
) -> AsyncIterator[str]:
    """Web app and worker as processes of their own, both ready; yields the web app's address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = here.environment() | {
        "PORT": str(port),
        "PUBLIC_URL": url,
        "VIBECODER_STATE_DIR": str(folder / "service"),
    }
    if not live:
        env["VIBECODER_JOB_USD"] = "1000"  # the scripted model's dollars are not real
    else:
        # The person's own key and model in place of the scripted one.
        env |= {
            "ANTHROPIC_API_KEY": required(settings.anthropic_api_key, "ANTHROPIC_API_KEY"),
            "ANTHROPIC_BASE_URL": settings.anthropic_base_url or "",
            "VIBECODER_MODEL": settings.vibecoder_model,
        }
    async with AsyncExitStack() as stack:
        both = (
            running("worker", env, folder, store.workers),
            running("web", env, folder, answers(url)),
        )
        await asyncio.gather(*(stack.enter_async_context(each) for each in both))
        yield url


async def _started(store: Store) -> str:
    while True:
        jobs = await store.jobs(limit=1)
        if jobs:
            return jobs[0].id
        await asyncio.sleep(0.01)  # it begins in another process


async def _watch(store: Store, screen: Console, asked: float) -> tuple[Job, list[JobEvent]]:
    """Shows the job's events as they come, until its end."""
    try:
        async with asyncio.timeout(PATIENCE):
            job_id = await _started(store)
            events = []
            async for _, event in store.follow(job_id):
                events.append(event)
                timeline.show_event(screen, event, asked)
    except TimeoutError:
        raise DemoError(f"No end after {PATIENCE} seconds.") from None
    return fold(job_id, events), events
