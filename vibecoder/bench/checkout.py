"""Clone and upload of a repository into a sandbox, against `git clone --depth 1` and nothing else.

Both fetch from the same local GitHub, alternating. Ours is what a job does: fetch without a
working tree, check the objects, stream a tar into a local sandbox and unpack it there, in a process
that has done it before, as a worker has. CPU is of the client's side alone: git with its children,
or our process; neither GitHub's nor the sandbox's. Making the sandbox is given apart. Two
repositories: a release of a real package, and one of 5,000 files and 30 MB made here.
"""

import asyncio
import base64
import os
import random
import subprocess
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from agent.sandbox import Sandboxes, SandboxSettings
from jobs.forge.git import Checkout, Remote
from vibecoder.bench.ground import PERSON, BenchError, Ground, House, house, release
from vibecoder.bench.rows import Row, row
from vibecoder.local.github.bare import Files
from vibecoder.settings import inherited

ROUNDS = 5
FILES = 5_000
FILE_BYTES = 6_000
WHOLE = "clone + upload"


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds on the clock, and of the processor."""

    wall: float
    cpu: float


async def measure(ground: Ground) -> list[Row]:
    real, what = await asyncio.to_thread(release, ground)
    async with house(ground, "checkout") as here:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows = await _compare(here, pool, real, "release/repo", what)
            made = f"{FILES:,} files"
            return rows + await _compare(here, pool, _synthetic(), "made/repo", made)


async def _compare(
    here: House, pool: ProcessPoolExecutor, files: Files, name: str, what: str
) -> list[Row]:
    await asyncio.to_thread(here.world.add_repository, name, files)
    url, token = f"{here.local.github_url}/{name}.git", here.world.users[PERSON]
    loop = asyncio.get_running_loop()
    theirs: list[Took] = []
    ours: dict[str, list[Took]] = defaultdict(list)
    for n in range(-1, ROUNDS):  # the first round warms up
        with tempfile.TemporaryDirectory(dir=here.folder) as folder:
            git = await asyncio.to_thread(_git, url, token, Path(folder) / "git")
            parts = await loop.run_in_executor(
                pool, _ours, url, token, Path(folder) / "ours", here.local.sandbox, f"{name}-{n}"
            )
        if n >= 0:
            theirs.append(git)
            for part, took in parts.items():
                ours[part].append(took)
    against = [row(f"{what}: git, {kind}", "s", times) for kind, times in _kinds(theirs)]
    rows = list(against)
    for part, all_took in ours.items():
        for (kind, times), git_row in zip(_kinds(all_took), against, strict=True):
            compared = git_row if part == WHOLE else None
            rows.append(row(f"{what}: {part}, {kind}", "s", times, against=compared))
    return rows


def _kinds(took: list[Took]) -> tuple[tuple[str, list[float]], tuple[str, list[float]]]:
    return ("wall", [each.wall for each in took]), ("CPU", [each.cpu for each in took])


def _git(url: str, token: str, folder: Path) -> Took:
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    environment = inherited() | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "http.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
    }
    began = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603  # an address and a folder of our own
        ["git", "clone", "--quiet", "--depth", "1", url, str(folder)],  # noqa: S607
        env=environment,
        stderr=subprocess.PIPE,
    )
    words = process.stderr.read() if process.stderr else b""
    _, status, usage = os.wait4(process.pid, 0)  # its children's work is in it
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise BenchError(f"git could not clone: {words.decode(errors='replace')}")
    return Took(wall, usage.ru_utime + usage.ru_stime)


def _ours(
    url: str, token: str, folder: Path, sandbox: SandboxSettings, job_id: str
) -> dict[str, Took]:
    folder.mkdir()
    return asyncio.run(_fetch_and_upload(Remote(url, lambda: token), folder, sandbox, job_id))


async def _fetch_and_upload(
    remote: Remote, folder: Path, sandbox: SandboxSettings, job_id: str
) -> dict[str, Took]:
    """What jobs/prepare.py does, without the events."""
    start = _now()
    with await asyncio.to_thread(Checkout.fetch, folder, remote, None) as checkout:
        fetched = _now()
        box = await Sandboxes(sandbox, "bench").create(job_id, "1")
        created = _now()
        with tempfile.TemporaryFile() as tar:
            await asyncio.to_thread(checkout.tar, tar)
            tar.seek(0)
            await box.unpack(tar)
        uploaded = _now()
    await box.kill()
    clone, upload = _between(start, fetched), _between(created, uploaded)
    return {
        WHOLE: Took(clone.wall + upload.wall, clone.cpu + upload.cpu),
        "… clone": clone,
        "… upload": upload,
        "sandbox made, apart": _between(fetched, created),
    }


def _now() -> Took:
    return Took(time.perf_counter(), time.process_time())


def _between(begin: Took, end: Took) -> Took:
    return Took(end.wall - begin.wall, end.cpu - begin.cpu)


def _synthetic() -> Files:
    """Text that compresses about as well as source code does, in 100 folders."""
    source = random.Random(0)  # noqa: S311  # the same files every time
    words = ["".join(source.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(3_000)]
    files = {}
    for n in range(FILES):
        text = " ".join(source.choices(words, k=FILE_BYTES // 8))
        files[f"package_{n % 100}/module_{n}.py"] = text.encode()
    return files
