"""The front door beside Probot 14, on the same signed real payloads, turn and turn about.

Both verify the signature and read the payload, and look whether a new comment asks for us. Probot's
app (probot/app.js) does that and keeps nothing. Ours stores each delivery in Redis before it
answers (append-only file, fsync every second), reads it after the answer, and where it is asked
stores the command and the job as well; a second one of ours runs without its store (bare.py), as
Probot does. Payloads are octokit's published examples under new GUIDs, signed beforehand. CPU is
user and system time of the server's process, all threads, what is done after the answer included;
Redis is counted apart and added in a row of its own. Each writes a JSON line a request. The client
shares the machine, so clock times are an upper bound for all.
"""

import asyncio
import hashlib
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

from vibecoder.bench import door
from vibecoder.bench.ground import BenchError, Ground, House, Process, Unavailable, house
from vibecoder.bench.rows import Row, row
from vibecoder.local.serve import free_port
from vibecoder.process import last_words, program

SOURCES = Path(__file__).parent / "probot"
EXAMPLES = "node_modules/@octokit/webhooks-examples/api.github.com/index.json"
PATH = "/api/github/webhooks"
ROUNDS = 6
DELIVERIES = 658  # a round: each of the 329 examples twice
WARM_UP = 2_000  # V8 compiles what is used often
CONCURRENT = 16
WORDS = "/vibecode fix the login page"

Body = tuple[str, bytes]  # event, payload


@dataclass(slots=True)
class Side:
    """One of the three, and what was measured of it."""

    process: Process
    port: int
    path: str
    settled: Callable[[], Any]  # awaited after a batch: everything is done
    cpu: list[float] = field(default_factory=list)  # µs a request, one figure a round
    redis: list[float] = field(default_factory=list)
    speed: list[float] = field(default_factory=list)  # requests a second
    took: list[float] = field(default_factory=list)  # ms


async def measure(ground: Ground) -> list[Row]:
    folder = await installed(ground.cache)
    examples = _examples(folder)
    comments = [body for body in examples if _is_new_comment(body)]
    mixes: list[tuple[str, Iterator[Body]]] = [
        ("any event", _in_turn(examples)),
        ("a comment", _in_turn(comments)),
        ("a command", _commands(comments)),
    ]
    a_moment = partial(asyncio.sleep, 0.05)  # for what is done after the last answer
    rows: list[Row] = []
    async with (
        house(ground, "rival") as here,
        here.web() as (web, port),
        here.bare_web() as (bare, bare_port),
        probot(here, folder) as (node, probot_port),
    ):
        for mix, bodies in mixes:
            for lanes, how in ((1, "one after another"), (CONCURRENT, f"{CONCURRENT} at a time")):
                sides = [
                    Side(node, probot_port, PATH, a_moment),
                    Side(bare, bare_port, "/webhook", a_moment),
                    Side(web, port, "/webhook", here.all_read),
                ]
                await _rounds(here, sides, bodies, lanes)
                rows += _rows(f"{mix}, {how}", *sides)
        theirs = row("Probot: RSS", "MB", [node.memory()[0]])
        rows += [theirs, row("ours: RSS", "MB", [web.memory()[0]], against=theirs)]
    return rows


async def _rounds(here: House, sides: list[Side], bodies: Iterator[Body], lanes: int) -> None:
    secret = here.world.webhook_secret
    for number in range(ROUNDS + 1):
        warm_up = number == 0
        some = list(islice(bodies, WARM_UP if warm_up else DELIVERIES))
        for side in sides if number % 2 else reversed(sides):
            batch = [door.request(side.path, secret, event, body) for event, body in some]
            await side.settled()
            cpu, redis, began = side.process.cpu(), await here.redis_cpu(), time.perf_counter()
            took = await door.send(side.port, batch, lanes)
            seconds = time.perf_counter() - began
            await side.settled()
            if warm_up:
                continue
            side.cpu.append((side.process.cpu() - cpu) / len(batch) * 1e6)
            side.redis.append((await here.redis_cpu() - redis) / len(batch) * 1e6)
            side.speed.append(len(batch) / seconds)
            side.took += [one * 1e3 for one in took]


def _rows(what: str, theirs: Side, bare: Side, ours: Side) -> list[Row]:
    def beside(measured: str, unit: str, of: Row, samples: list[float]) -> Row:
        return replace(row(f"{what}: {measured}", unit, samples, against=of), against="Probot")

    unit = "CPU µs/request"
    both = [web + redis for web, redis in zip(ours.cpu, ours.redis, strict=True)]
    cpu = row(f"{what}: Probot", unit, theirs.cpu)
    speed = row(f"{what}: Probot, speed", "requests/s", theirs.speed)
    answer = row(f"{what}: Probot, to the answer", "ms", theirs.took)
    return [
        cpu,
        beside("ours, keeping nothing", unit, cpu, bare.cpu),
        beside("ours", unit, cpu, ours.cpu),
        beside("ours and Redis", unit, cpu, both),
        speed,
        beside("ours, speed", "requests/s", speed, ours.speed),
        answer,
        beside("ours, to the answer", "ms", answer, ours.took),
    ]


def _examples(folder: Path) -> list[Body]:
    return [
        (event["name"], json.dumps(example).encode())
        for event in json.loads((folder / EXAMPLES).read_text())
        for example in event["examples"]
    ]


def _is_new_comment(body: Body) -> bool:
    event, payload = body
    return event == "issue_comment" and json.loads(payload)["action"] == "created"


def _in_turn(bodies: list[Body]) -> Iterator[Body]:
    return (bodies[n % len(bodies)] for n in count())


def _commands(comments: list[Body]) -> Iterator[Body]:
    """The same comments asking for us, each on an issue of its own, as if we were installed."""
    for number in count(1):
        event, body = comments[number % len(comments)]
        payload = json.loads(body)
        address = payload["comment"]["issue_url"].rpartition("/")[0]
        payload["comment"] |= {
            "id": number,
            "body": WORDS,
            "issue_url": f"{address}/{number}",
        }
        payload["issue"]["number"] = number
        payload["installation"] = {"id": number, "node_id": "MDIz"}
        yield event, json.dumps(payload).encode()


async def installed(cache: Path) -> Path:
    """A folder with Probot and the examples in it, from npm the first time.

    Raises BenchError, Unavailable.
    """
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise Unavailable("Comparing with Probot needs node 20 or newer, and npm; neither is here.")
    sources = [SOURCES / name for name in ("package.json", "package-lock.json", "app.js")]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()
    folder = cache / f"probot-{digest[:12]}"
    if (folder / "node_modules/.package-lock.json").exists():  # the last thing that npm writes
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    for file in sources:
        shutil.copy(file, folder)
    log = folder / "npm.log"
    with log.open("wb") as out:
        npm = await asyncio.create_subprocess_exec(
            *("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"),
            cwd=folder,
            stdout=out,
            stderr=out,
        )
        failed = await npm.wait()
    if failed:
        raise BenchError(f"npm did not install Probot. {last_words(log)}")
    return folder


@asynccontextmanager
async def probot(here: House, folder: Path) -> AsyncIterator[tuple[Process, int]]:
    """`probot run` with our little app, ready, and its port."""
    port = free_port()
    environment = {
        "NODE_ENV": "production",
        "LOG_FORMAT": "json",  # as ours; the other form costs it more
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "APP_ID": str(here.world.app_id),
        "PRIVATE_KEY": here.world.private_key,
        "WEBHOOK_SECRET": here.world.webhook_secret,
    }
    command = ["node", str(folder / "node_modules/probot/bin/probot.js"), "run"]
    command.append(str(folder / "app.js"))

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async with program("probot", command, environment, here.folder, listens) as process:
        yield Process(process.pid), port
