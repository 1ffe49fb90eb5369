"""Cost of an agent step beyond the model's own time: from one answer's end to the next request.

One job in a `vibecoder worker` plays 40 turns with one tool call each: read_file, edit and
run_command `true` in turn. The figure is the time from the last byte of an answer leaving the
model's server to the next request arriving there. It holds all else that a step takes: reading the
end of the stream, the tool in the sandbox (the local one, whose own work is in it), the events and
the journal in Redis, the prompt with its cache marks, and the request on its way. Progress is shown
on the local GitHub meanwhile. The server's time per request is left out, and given for comparison.
"""

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from jobs.events import CommandRan
from jobs.queue.store import job_id_of
from vibecoder.bench import scripts
from vibecoder.bench.ground import Ground, house
from vibecoder.bench.rows import Row, row
from vibecoder.local.model.app import app
from vibecoder.local.model.script import Block, Stage, call
from vibecoder.local.serve import serve

CALLS = 40
JOBS = 3
FILE = "".join(f"line_{n} = {n}\n" for n in range(400))


async def measure(ground: Ground) -> list[Row]:
    steps: dict[str, list[float]] = defaultdict(list)
    answers: list[float] = []
    inside: list[float] = []
    cpu: list[float] = []
    async with house(ground, "step") as here, timed_model() as model, here.web():
        model.stage.play(scripts.work(_calls()))
        async with here.worker(ANTHROPIC_BASE_URL=model.url) as worker:
            for n in range(JOBS):
                repository = here.world.add_repository(
                    f"step-{n}/repo", {"numbers.py": FILE.encode()}
                )
                model.requests.clear()
                spent = worker.cpu()
                key = here.comment(repository, here.issue(repository), "/vibecode work")
                events = await here.events(job_id_of(key))
                cpu.append((worker.cpu() - spent) / CALLS * 1e3)
                # The first answer is the planner's; each of the next brings one call.
                ours = model.requests[1 : CALLS + 2]
                for block, (before, after) in zip(_calls(), pairwise(ours), strict=True):
                    steps[block["name"]].append((after[0] - before[1]) * 1e3)
                answers += [(end - begin) * 1e3 for begin, end in ours]
                inside += [e.seconds * 1e3 for e in events if isinstance(e, CommandRan)]
    every = row("any call", "ms", [took for each in steps.values() for took in each])
    return [
        every,
        *(row(name, "ms", took) for name, took in steps.items()),
        row("run_command: … `true` itself, timed inside", "ms", inside),
        row("a whole job's CPU in the worker, by call", "ms", cpu),
        row("the scripted model's own time, left out", "ms", answers),
    ]


def _calls() -> list[Block]:
    calls = []
    for n in range(CALLS):
        match n % 3:
            case 0:
                calls.append(call("read_file", path="numbers.py"))
            case 1:
                line = f"line_{n} = "
                calls.append(
                    call(
                        "edit",
                        path="numbers.py",
                        old_string=f"{line}{n}\n",
                        new_string=f"{line}-{n}\n",
                    )
                )
            case _:
                calls.append(call("run_command", command="true"))
    return calls


Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(slots=True)
class TimedModel:
    """A scripted model of our own, and when each request arrived and its answer had left."""

    url: str = ""
    stage: Stage = field(default_factory=Stage)
    requests: list[tuple[float, float]] = field(default_factory=list)


@asynccontextmanager
async def timed_model() -> AsyncIterator[TimedModel]:
    model = TimedModel()
    played = app(model.stage)

    async def timed(scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        await played(scope, receive, send)
        if scope["type"] == "http":
            model.requests.append((began, time.perf_counter()))

    async with serve(timed) as url:
        model.url = url
        yield model
