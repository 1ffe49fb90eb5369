"""200 jobs in one worker process, waiting: half for the model's answer, half for a command.

The worker has more slots than the production's 10 and is the same otherwise (crowd.py). The jobs
are of 40 installations, within the usual limits, on a release of a real package. Each has been
planned, and has its clone, its sandbox and its conversation; then they wait for 30 seconds, in
which nothing of them moves. CPU is what is spent meanwhile on heartbeats, sweeps and showing the
jobs. Memory a job is what the worker holds beyond one that did a single job and idles. Lag is how
late a timer of 50 ms fires in the worker's event loop. The model's and the sandboxes' processes are
not counted.
"""

import asyncio
import time
from pathlib import Path

from jobs.queue.store import job_id_of
from vibecoder.bench import scripts
from vibecoder.bench.ground import Ground, house, release, until
from vibecoder.bench.rows import Row, row
from vibecoder.local.model.script import Request, Script, Turn, call

JOBS = 200
A_INSTALLATION = 5  # jobs, each in a repository of its own: what one may have at a time
SECONDS = 30.0
START_SECONDS = 600.0  # for all of them to be waiting
LONG = 600  # more seconds than anything here takes
FOR_MODEL = "wait for the model"
FOR_COMMAND = "wait for a command"


async def measure(ground: Ground) -> list[Row]:
    files, _ = await asyncio.to_thread(release, ground)
    lags = ground.folder / "lags"
    async with (
        house(ground, "waiting") as here,
        here.web(),
        here.crowded_worker(JOBS, lags) as worker,
    ):
        here.local.stage.play(scripts.nothing())
        repository = here.world.add_repository("first/repo", files)
        key = here.comment(repository, here.issue(repository), "/vibecode fix this")
        await here.events(job_id_of(key))
        await worker.quiet()
        alone = worker.memory()

        here.local.stage.play(waits())
        began, cpu = time.time(), worker.cpu()
        for n in range(JOBS):
            owner = n // A_INSTALLATION
            repository = here.world.add_repository(f"owner-{owner}/repo-{n}", files)
            words = FOR_MODEL if n % 2 else FOR_COMMAND
            here.comment(repository, here.issue(repository), f"/vibecode {words}")

        async def all_wait() -> bool:
            asked = [r for r in here.local.stage.requests if "finish_step" in r.tools]
            return len(asked) >= JOBS

        await until(all_wait, "every job to wait", START_SECONDS)
        ready, starts = time.time(), worker.cpu() - cpu
        await worker.quiet(0.2)

        full = worker.memory()
        cpu, redis_cpu = worker.cpu(), await here.redis_cpu()
        commands, since = await here.redis_commands(), time.time()
        await asyncio.sleep(SECONDS)
        until_now = time.time()
        cpu, redis_cpu = worker.cpu() - cpu, await here.redis_cpu() - redis_cpu
        commands = await here.redis_commands() - commands
        late = _late(lags)
    return [
        *(
            row(f"memory a job: {name}", "MB", [(with_all - without) / JOBS])
            for name, with_all, without in zip(("RSS", "PSS"), full, alone, strict=True)
        ),
        row(f"the worker with {JOBS}: RSS", "MB", [full[0]]),
        row("CPU a job, waiting: worker", "µs a second", [1e6 * cpu / SECONDS / JOBS]),
        row("CPU a job, waiting: Redis", "µs a second", [1e6 * redis_cpu / SECONDS / JOBS]),
        row(f"all {JOBS}, waiting: worker", "% of a core", [100 * cpu / SECONDS]),
        row(f"all {JOBS}, waiting: Redis", "% of a core", [100 * redis_cpu / SECONDS]),
        row(f"all {JOBS}, waiting: Redis", "commands a second", [commands / SECONDS]),
        row("event loop's lag, waiting", "ms", [ms for at, ms in late if since < at < until_now]),
        row(
            "event loop's lag, while they start",
            "ms",
            [ms for at, ms in late if began < at < ready],
        ),
        row(f"until all {JOBS} wait", "s", [ready - began]),
        row("CPU a job, until it waits: worker", "ms", [starts / JOBS * 1e3]),
    ]


def waits() -> Script:
    """A plan of one step; then the model or the command takes longer than anybody waits."""
    long = call("run_command", command=f"sleep {LONG}", timeout_seconds=LONG)
    command = scripts.work([long])

    def play(request: Request) -> Turn:
        if FOR_MODEL in request.task and "submit_plan" not in request.tools:
            return Turn(delay=LONG)
        return command(request)

    return play


def _late(lags: Path) -> list[tuple[float, float]]:
    """When the event loop woke up, and by how many ms too late."""
    lines = [line.split() for line in lags.read_text().splitlines()]
    return [(float(at), float(late) * 1e3) for at, late in lines]
