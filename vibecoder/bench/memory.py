"""Memory of the processes: idle, and with jobs under way.

RSS is what the process holds, PSS counts what it shares with others in parts (smaps_rollup). The
worker is looked at when it has started, after its first job, and while it works on as many jobs as
one worker takes at a time, each waiting for a command in its sandbox. Sandboxes are processes of
their own and not counted, neither is Redis. The repository is a release of a real package.
"""

import asyncio

from jobs.queue.store import job_id_of
from vibecoder.bench import scripts
from vibecoder.bench.ground import Ground, Process, house, release, until
from vibecoder.bench.rows import Row, row
from vibecoder.local.model.script import call

JOBS = 10  # what a worker takes at a time, of two installations at least


async def measure(ground: Ground) -> list[Row]:
    rows: list[Row] = []
    files, _ = await asyncio.to_thread(release, ground)
    async with house(ground, "memory") as here, here.web() as (web, _), here.worker() as worker:
        await web.quiet()
        await worker.quiet()
        rows += _rows("web, idle", web)
        rows += _rows("worker, just started", worker)

        here.local.stage.play(scripts.nothing())
        repository = here.world.add_repository("first/repo", files)
        key = here.comment(repository, here.issue(repository), "/vibecode fix this")
        await here.events(job_id_of(key))
        await worker.quiet()
        rows += _rows("worker, idle after a job", worker)
        before = worker.memory()

        here.local.stage.play(scripts.work([call("run_command", command="sleep 500")]))
        for n in range(JOBS):
            repository = here.world.add_repository(f"owner-{n}/repo", files)
            here.comment(repository, here.issue(repository), "/vibecode wait")

        async def all_wait() -> bool:
            asked = [r for r in here.local.stage.requests if "finish_step" in r.tools]
            return len(asked) == JOBS

        await until(all_wait, "every job to be at its command")
        await worker.quiet()
        rows += _rows(f"worker, {JOBS} jobs waiting", worker)
        for name, now, then in zip(("RSS", "PSS"), worker.memory(), before, strict=True):
            rows.append(row(f"… {name} a job", "MB", [(now - then) / JOBS]))
    return rows


def _rows(what: str, process: Process) -> list[Row]:
    return [
        row(f"{what}: {name}", "MB", [size])
        for name, size in zip(("RSS", "PSS"), process.memory(), strict=True)
    ]
