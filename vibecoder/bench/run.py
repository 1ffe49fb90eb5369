"""Takes the measures one after another and shows what came out."""

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from inspect import getdoc
from pathlib import Path
from types import ModuleType
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from agent.errors import SandboxRefused
from vibecoder import tasks
from vibecoder.bench import (
    checkout,
    demo,
    fsync,
    idle,
    memory,
    rival,
    start,
    step,
    waiting,
    watch,
    webhook,
)
from vibecoder.bench.ground import BenchError, Ground, Unavailable
from vibecoder.bench.rows import Row
from vibecoder.process import NotStarted
from vibecoder.settings import Settings

WIDTH = 140  # where no terminal says
ERRORS = (BenchError, NotStarted, SandboxRefused, tasks.TaskError)
MEASURES: dict[str, ModuleType] = {
    "webhook": webhook,
    "probot": rival,
    "fsync": fsync,
    "start": start,
    "idle": idle,
    "checkout": checkout,
    "step": step,
    "memory": memory,
    "waiting": waiting,
    "watch": watch,
    "demo": demo,
}


async def run(settings: Settings, *, only: str | None, as_json: bool) -> None:
    """Takes every measure, or the one named. Raises BenchError, SandboxRefused, TaskError."""
    if only is not None and only not in MEASURES:
        raise BenchError(f"There is no measure {only!r}. There are: {', '.join(MEASURES)}.")
    if sys.platform != "linux":
        raise BenchError("The measures look at processes through /proc as Linux has it.")
    screen = Console(stderr=as_json, highlight=False)
    if not screen.is_terminal:
        screen.width = WIDTH
    about = machine()
    screen.print(", ".join(f"{name} {value}" for name, value in about.items()))
    cache = settings.vibecoder_state_dir.absolute() / "cache"
    measured: dict[str, list[Row]] = {}
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vibecoder-bench-") as folder:
        for name, module in MEASURES.items():
            if only in (None, name):
                measure: Callable[[Ground], Awaitable[list[Row]]] = module.measure
                try:
                    with screen.status(name):
                        measured[name] = await measure(Ground(Path(folder), cache))
                except Unavailable as lack:
                    if only is not None:
                        raise
                    screen.print(f"{name} was left out. {lack}")
                    continue
                screen.print(table(module, measured[name]))
    about["load after"] = load()
    screen.print(f"{time.monotonic() - began:.0f} s in all, load after {about['load after']}")
    if as_json:
        rows = {name: [asdict(row) for row in found] for name, found in measured.items()}
        sys.stdout.write(json.dumps({"machine": about, "measures": rows}) + "\n")


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load before": load(),
    }


def load() -> str:
    """The machine's load of the last minute: with more than its cores, all figures are worse."""
    return f"{os.getloadavg()[0]:.1f}"


def table(module: ModuleType, rows: list[Row]) -> Table:
    """The rows under the first line of what their file says."""
    title = (getdoc(module) or "").partition("\n")[0]
    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    shown.add_column("", no_wrap=True)
    for name in ("median", "p99", "min", "max"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("unit", no_wrap=True)
    shown.add_column("n", justify="right")
    shown.add_column("compared")
    for row in rows:
        alone = row.n == 1
        shown.add_row(
            row.what,
            number(row.median),
            "" if row.p99 is None else number(row.p99),
            "" if alone else number(row.least),
            "" if alone else number(row.most),
            row.unit,
            str(row.n),
            "" if row.ratio is None else f"{row.ratio:.2f} × {row.against}",
        )
    return shown


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"
