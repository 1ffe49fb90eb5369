"""The service's processes, which are there to be killed, frozen and told to stop."""

import asyncio
import itertools
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.faults.wire import Wire

KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")
START_SECONDS = 60.0
CODE = Path(__file__).parents[2]  # the version that is tried


@dataclass(frozen=True, slots=True)
class Timers:
    """How long the service waits for things, and so how long we wait for the service."""

    name: str
    lease: float
    sweep: float  # of deliveries, commands and jobs
    sandboxes: float  # of sandboxes
    missed: float  # of deliveries that failed

    @property
    def takeover(self) -> float:
        """Seconds within which a lost worker's job goes on elsewhere."""
        return 1.5 * self.lease


DEFAULT = Timers("default", 10.0, 5.0, 60.0, 300.0)
SHORT = Timers("short", 2.0, 0.5, 2.0, 3.0)


@dataclass(slots=True)
class Process:
    """One process of the service, and its successors under the same name."""

    name: str  # "web", "worker-1"
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    wire: Wire
    running: asyncio.subprocess.Process | None = None
    frozen: bool = False
    pids: list[int] = field(default_factory=list)
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.returncode is None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def code(self) -> Path:
        """Where it is imported from: the same service may run in two versions."""
        return Path(self.environment["PYTHONPATH"])

    async def deploy(self, code: Path) -> None:
        """Replaces it by another version, as a rolling deployment does."""
        await self.stop()
        self.environment = {**self.environment, "PYTHONPATH": str(code)}
        await self.start()

    async def start(self) -> None:
        async with self._starting:  # two injuries may each want it back
            if self.alive:
                return
            with self.log.open("ab") as out:
                self.running = await asyncio.create_subprocess_exec(
                    *self.command, cwd=self.folder, env=self.environment, stdout=out, stderr=out
                )
            self.frozen = False
            self.pids.append(self.running.pid)

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it said nothing"

    def signal(self, number: signal.Signals) -> None:
        if self.alive and self.running is not None:
            self.running.send_signal(number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await self.gone()

    async def stop(self) -> float:
        """SIGTERM; returns the seconds that it took to go, and kills what does not."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(15):
                await self.gone()
        except TimeoutError:
            await self.kill()
        return time.monotonic() - began

    def freeze(self) -> None:
        self.frozen = self.alive
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.frozen = False
        self.signal(signal.SIGCONT)

    async def gone(self) -> None:
        if self.running is not None:
            await self.running.wait()


class Processes:
    """A web process and some workers; each with addresses of its own for all it talks to."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        port: int,
        wires: Mapping[str, Wire],
        timers: Timers,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._stack = AsyncExitStack()
        self._sockets = itertools.count(1)
        self._folder = folder
        self._all: dict[str, Process] = {}
        for name, wire in wires.items():
            command: tuple[str, ...]
            if name == "web":
                command = (sys.executable, "-m", "vibecoder", "web")
            elif timers is DEFAULT:
                command = (sys.executable, "-m", "vibecoder", "worker")
            else:
                values = map(str, (timers.lease, timers.sweep, timers.sandboxes, timers.missed))
                command = (sys.executable, "-m", "tests.faults.service_worker", *values)
            mine = {key: os.environ[key] for key in KEPT if key in os.environ}
            mine |= {key: _own(name, key, value) for key, value in environment.items()}
            mine |= {
                "PORT": str(port),
                "PUBLIC_URL": self.url,
                "VIBECODER_STATE_DIR": str(folder / name),
                "PYTHONPATH": str(CODE),
            }
            self._all[name] = Process(name, command, mine, folder, wire)

    @property
    def web(self) -> Process:
        return self._all["web"]

    @property
    def workers(self) -> list[Process]:
        return [process for process in self._all.values() if process.name != "web"]

    def __getitem__(self, name: str) -> Process:
        return self._all[name]

    def of_pid(self, pid: int) -> Process | None:
        return next((each for each in self._all.values() if pid in each.pids), None)

    async def __aenter__(self) -> "Processes":
        for process in self._all.values():
            socket = self._folder / f"w{next(self._sockets)}.sock"
            url = await self._stack.enter_async_context(process.wire.laid(socket))
            process.environment = {**process.environment, "REDIS_URL": url}
            await process.start()
        await self.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self._all.values():
            process.thaw()
            process.wire.whole.set()
        await asyncio.gather(*(process.stop() for process in self._all.values()))
        await self._stack.aclose()

    async def ready(self) -> None:
        """Returns once the web process answers. Raises TimeoutError."""
        async with asyncio.timeout(START_SECONDS), httpx.AsyncClient(trust_env=False) as client:
            while True:
                try:
                    if (await client.get(f"{self.url}/readyz")).is_success:
                        return
                except httpx.TransportError:
                    pass  # not listening yet
                await asyncio.sleep(0.05)

    async def mend(self) -> None:
        """Thaws what is frozen, joins what was cut, and starts what is dead."""
        for process in self._all.values():
            process.wire.whole.set()
            if process.frozen:
                process.thaw()
            await process.start()
        await self.ready()


def _own(process: str, key: str, value: str) -> str:
    """The address under which the gate knows the process."""
    if key in {"GITHUB_API_URL", "ANTHROPIC_BASE_URL", "E2B_API_URL", "E2B_SANDBOX_URL"}:
        scheme, _, rest = value.partition("://")
        host, slash, path = rest.partition("/")
        return f"{scheme}://{host}/@{process}{slash}{path}"
    return value
