"""Injures the running service and proves that nothing is lost and nothing happens twice.

    python -m tests.faults short                               what CI runs, within five minutes
    python -m tests.faults points [--only "first push:kill"]   each injury at each named point
    python -m tests.faults random [--seed 7] [--runs 200]      several requests, injuries at random
    … random --minutes 30 --runs 1000 --side-by-side 3         as many as fit, three at a time
    python -m tests.faults rolling --old v0.2.0 [--runs 20]    this version and that one in turns

`--timers default` takes the product's own leases and sweeps, `short` (the default) shorter ones.
Exits with 1 where an invariant did not hold; each failure prints what makes the same run again, and
leaves logs and a list of all requests in .vibecoder/faults.
"""

import argparse
import asyncio
import json
import logging
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path

from tests.faults import chaos, named
from tests.faults.ground import Ground, ground
from tests.faults.judge import Fault
from tests.faults.named import Outcome
from tests.faults.points import INJURIES, POINTS, Point
from tests.faults.processes import DEFAULT, SHORT, Timers
from tests.faults.table import table

STATE = Path(".vibecoder")
Run = Callable[[Ground], Awaitable[Outcome]]
WORKERS = {"points": 2, "random": 3, "rolling": 3, "short": 2}


def say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


async def perform(
    runs: Iterable[tuple[str, Run]],
    timers: Timers,
    workers: int,
    seconds: float = float("inf"),
    old: Path | None = None,
) -> list[Outcome]:
    """One run after the other, none begun after `seconds`.

    After a failure the next begins in a world of its own. `old`: the code of another version, which
    serves in turns with this one.
    """
    ends = time.monotonic() + seconds
    outcomes: list[Outcome] = []
    stack = AsyncExitStack()
    here: Ground | None = None
    if (task := asyncio.current_task()) is not None:
        # As Ctrl-C does: what was started is ended.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        for title, run in runs:
            if time.monotonic() > ends:
                break
            if here is None:
                cache = (STATE / "cache").resolve()
                here = await stack.enter_async_context(ground(cache, timers, workers))
                here.old = old
            began = time.monotonic()
            outcome = await run(here)
            outcomes.append(outcome)
            took = time.monotonic() - began
            say(f"{'FAILED' if outcome.faults else 'ok':6} {title} ({took:.1f} s)")
            for fault in outcome.faults:
                say(f"       {fault}")
            if outcome.faults:
                evidence = STATE / "faults" / re.sub(r"[^a-z0-9]+", "-", title.lower())
                here.keep_evidence(evidence)
                say(f"       logs: {evidence}")
                say(f"       again: python -m tests.faults {outcome.again}")
            if any(fault.kind != "left" for fault in outcome.faults):
                await stack.aclose()
                here = None
    finally:
        await stack.aclose()
    return outcomes


def points(only: str, timers: Timers) -> list[tuple[str, Run]]:
    """Every injury at every point whose "point:injury" holds the words."""
    return [
        _at(point, injury, timers)
        for point in POINTS
        for injury in INJURIES
        if only in f"{point.name}:{injury}"
    ]


def at_random(
    first: int, runs: int, workers: int, timers: Timers, only: str = "", mode: str = "random"
) -> list[tuple[str, Run]]:
    """Runs with injuries at random, of the kinds whose name holds `only`."""
    found: list[tuple[str, Run]] = []
    more = f"--workers {workers} --timers {timers.name}" + (f' --only "{only}"' if only else "")
    for seed in range(first, first + runs):
        again = f"{mode} --seed {seed} --runs 1 {more}"
        found.append((f"seed {seed}", partial(chaos.run, seed=seed, only=only, again=again)))
    return found


def short(timers: Timers) -> list[tuple[str, Run]]:
    """Another injury at each second point, and some at random."""
    kinds = list(INJURIES)
    some = [_at(p, kinds[n % len(kinds)], timers) for n, p in enumerate(POINTS[::2])]
    return some + at_random(1, 5, WORKERS["short"], timers)


def _at(point: Point, injury: str, timers: Timers) -> tuple[str, Run]:
    title = f"{point.name}:{injury}"
    again = f'points --timers {timers.name} --only "{title}"'
    return title, partial(named.run, point=point, injury=injury, again=again)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("mode", choices=("short", "points", "random", "rolling"))
    parser.add_argument("--only", default="", help='"first push:kill", or "worker" at random')
    parser.add_argument("--seed", type=int, default=1, help="of the first random run")
    parser.add_argument("--runs", type=int, default=20, help="how many random runs")
    parser.add_argument("--timers", choices=("short", "default"), default="short")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--old", default="HEAD", help="rolling: the commit of the other version")
    parser.add_argument("--minutes", type=float, help="stop beginning runs after so long")
    parser.add_argument(
        "--side-by-side", type=int, default=1, help="random runs at the same time, each in a world"
    )
    parser.add_argument("--record", type=Path, help="where the outcomes are written, as JSON")
    asked = parser.parse_args()
    timers = {"short": SHORT, "default": DEFAULT}[asked.timers]
    workers = asked.workers or WORKERS[asked.mode]
    began = time.monotonic()
    match asked.mode:
        case "short":
            runs = short(timers)
        case "points":
            runs = points(asked.only, timers)
        case _ if asked.side_by_side > 1:
            outcomes = asyncio.run(side_by_side(asked, workers))
            sys.exit(tell(outcomes, timers, began))
        case "rolling":
            mode = f"rolling --old {asked.old}"
            runs = at_random(asked.seed, asked.runs, workers, timers, asked.only, mode)
        case _:
            runs = at_random(asked.seed, asked.runs, workers, timers, asked.only)
    # What a stand-in's server says of each answer that we had broken off.
    logging.getLogger("uvicorn.error").addFilter(lambda line: "ASGI callable" not in line.msg)
    seconds = asked.minutes * 60 if asked.minutes else float("inf")
    with tempfile.TemporaryDirectory(prefix="vcold") as folder:
        old = checked_out(asked.old, Path(folder)) if asked.mode == "rolling" else None
        outcomes = asyncio.run(perform(runs, timers, workers, seconds, old))
    if asked.record:
        asked.record.write_text(json.dumps([asdict(each) for each in outcomes]))
        return
    sys.exit(tell(outcomes, timers, began))


def checked_out(commit: str, folder: Path) -> Path:
    """The code of that commit, in `folder`."""
    archive = subprocess.run(["git", "archive", commit], check=True, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", folder], check=True, input=archive.stdout)
    return folder


def tell(outcomes: list[Outcome], timers: Timers, began: float) -> int:
    """Prints what came out; the exit code."""
    failed = [outcome for outcome in outcomes if outcome.faults]
    say(f"\n{table(outcomes)}\n")
    requests = sum(outcome.requests for outcome in outcomes)
    injuries = sum(outcome.struck for outcome in outcomes)
    minutes = (time.monotonic() - began) / 60
    say(
        f"{len(outcomes)} runs, {requests} requests, {injuries} injuries, "
        f"{len(failed)} runs failed; timers: {timers.name}; {minutes:.0f} minutes"
    )
    return 1 if failed else 0


async def side_by_side(asked: argparse.Namespace, workers: int) -> list[Outcome]:
    """The same runs in several processes of this program, most of whose time is waiting."""
    parts = asked.side_by_side
    with tempfile.TemporaryDirectory() as folder:
        files: list[Path] = []
        async with asyncio.TaskGroup() as group:
            for n in range(parts):
                count = asked.runs // parts + (n < asked.runs % parts)
                first = asked.seed + n * (asked.runs // parts) + min(n, asked.runs % parts)
                files.append(Path(folder) / f"{n}.json")
                words = ["--seed", str(first), "--runs", str(count), "--workers", str(workers)]
                words += ["--timers", asked.timers, "--only", asked.only]
                words += ["--minutes", str(asked.minutes)] if asked.minutes else []
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "tests.faults", "random", *words),
                    *("--record", str(files[-1])),
                )
                group.create_task(process.wait())
        found = [each for file in files for each in json.loads(file.read_text())]
    return [
        Outcome(**{**each, "faults": [Fault(**fault) for fault in each["faults"]]})
        for each in found
    ]


if __name__ == "__main__":
    main()
