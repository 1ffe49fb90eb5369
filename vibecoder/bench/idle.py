"""Idle: what web, worker and Redis use while nobody asks for anything, over 30 seconds.

One `vibecoder web` and one `vibecoder worker`, after a first job, with the production's timers: the
worker's heartbeat every 3 s, its look at the queue every second, its sweep every 5 s. CPU is user
and system time of the whole process, in hundredths of a second; Redis counts its own in millionths.
"""

import asyncio

from jobs.queue.store import job_id_of
from vibecoder.bench import scripts
from vibecoder.bench.ground import Ground, house
from vibecoder.bench.rows import Row, row

SECONDS = 30.0


async def measure(ground: Ground) -> list[Row]:
    async with house(ground, "idle") as here, here.web() as (web, _), here.worker() as worker:
        here.local.stage.play(scripts.nothing())
        repository = here.repository("first/repo")
        key = here.comment(repository, here.issue(repository), "/vibecode fix this")
        await here.events(job_id_of(key))
        await web.quiet()
        await worker.quiet()

        web_cpu, worker_cpu, redis_cpu = web.cpu(), worker.cpu(), await here.redis_cpu()
        commands = await here.redis_commands()
        await asyncio.sleep(SECONDS)
        ours = 2  # asking Redis for these two figures
        commands = await here.redis_commands() - commands - ours
        redis_cpu = await here.redis_cpu() - redis_cpu
        web_cpu, worker_cpu = web.cpu() - web_cpu, worker.cpu() - worker_cpu
    return [
        row("web", "% of a core", [100 * web_cpu / SECONDS]),
        row("worker", "% of a core", [100 * worker_cpu / SECONDS]),
        row("Redis", "% of a core", [100 * redis_cpu / SECONDS]),
        row("Redis: commands", "a second", [commands / SECONDS]),
    ]
