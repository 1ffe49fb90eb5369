"""The whole demo, `vibecoder demo --json`, from a shell: a real issue to a pull request.

Releases, wheels and the sandbox's Python are cached; where they are not, the first run fetches them
and the median leaves that out. The command's time holds the start and end of Python, of the
stand-ins and of the service. The parts are those that the demo shows, "prepared" being what comes
before the comment, and the steps with the package's own tests really run in the sandbox. The model
is scripted.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict

from vibecoder.bench.ground import BenchError, Ground
from vibecoder.bench.rows import Row, row
from vibecoder.settings import inherited

RUNS = 3


async def measure(ground: Ground) -> list[Row]:
    parts: dict[str, list[float]] = defaultdict(list)
    walls = []
    for _ in range(RUNS):
        began = time.perf_counter()
        for part, seconds in (await _demo(ground)).items():
            parts[part].append(seconds)
        walls.append(time.perf_counter() - began)
    return [
        row("from the command to the prompt", "s", walls),
        row("… from the comment to the end", "s", parts.pop("total")),
        *(row(f"… {part}", "s", seconds) for part, seconds in parts.items()),
    ]


async def _demo(ground: Ground) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vibecoder", "demo", "--json",
        cwd=ground.folder,  # where no .env lies
        env=inherited() | {"VIBECODER_STATE_DIR": str(ground.cache.parent)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, words = await process.communicate()
    if process.returncode != 0:
        raise BenchError(f"The demo failed: {words.decode(errors='replace')[-1500:].strip()}")
    seconds: dict[str, float] = json.loads(out)["seconds"]
    return seconds
