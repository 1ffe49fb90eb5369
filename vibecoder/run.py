"""Runs the processes that the Procfile names, until they are told to stop."""

import asyncio
import gc
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import structlog
import uvicorn

from agent.errors import AgentError
from jobs.queue.errors import StoreUnreachable
from vibecoder import tasks
from vibecoder.compose.store import WEB_RETRIES, WORKER_RETRIES, open_store
from vibecoder.local.redis import StoreError
from vibecoder.settings import Settings, SettingsError

log = structlog.get_logger()

ERRORS = (SettingsError, AgentError, tasks.TaskError, StoreError, OSError)


def write_logs() -> None:
    """One JSON line an event on standard output, as supervisors expect it."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(
                # Locals may hold tokens, so tracebacks are written without them.
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(),
        ]
    )


def loaded() -> None:
    """To be called once all is imported: what is there now is never looked through or freed."""
    gc.freeze()
    gc.enable()


async def web(settings: Settings) -> None:
    """Serves the front door on PORT until SIGTERM or SIGINT."""
    from vibecoder.compose.web import front_door

    loaded()
    write_logs()
    async with open_store(settings, WEB_RETRIES) as store:
        app = front_door(settings, store)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=5,
        )
        log.info("web is ready", port=settings.port)
        await _Server(config, app.state.leave).serve(sockets=[_listener(settings.port)])


async def worker(settings: Settings) -> None:
    """Does jobs until SIGTERM or SIGINT, then hands over what is running."""
    from vibecoder.compose.worker import worker

    loaded()
    write_logs()
    await _look_for_redis(settings)
    async with open_store(settings, WORKER_RETRIES) as store, worker(settings, store) as leased:
        log.info("worker is ready")
        await leased.async_run()


class _Server(uvicorn.Server):
    """Says when it is about to wait for open connections, so that streams let go."""

    def __init__(self, config: uvicorn.Config, leave: Callable[[], None]) -> None:
        super().__init__(config)
        self._leave = leave

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._leave()
        await super().shutdown(sockets)


def _listener(port: int) -> socket.socket:
    try:
        listener = socket.create_server(("0.0.0.0", port))  # noqa: S104  # GitHub must reach it
    except OSError as error:
        raise SettingsError(f"PORT {port} cannot be had: {error.strerror}.") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


async def _look_for_redis(settings: Settings) -> None:
    """A worker waits for Redis, and says so."""
    async with open_store(settings, WEB_RETRIES) as store:
        try:
            await store.ping()
        except StoreUnreachable as error:
            log.warning("waiting for Redis", reason=str(error))


async def local(settings: Settings, ready: Callable[[dict[str, object]], None]) -> None:
    """Serves the stand-ins with a small repository; `ready` is told where they listen."""
    from vibecoder.local.model.replay import replay
    from vibecoder.local.stand_ins import stand_ins

    loaded()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    cache = settings.vibecoder_state_dir / "cache"
    try:
        wheels = await asyncio.to_thread(tasks.fetch_wheels, (), cache)
    except tasks.NoRegistry:
        wheels = []  # the repository that is served needs no pytest
    with tempfile.TemporaryDirectory(prefix="vibecoder-local-") as name:
        folder = Path(name)
        task, sources = tasks.sample(folder / "sample")
        async with stand_ins(folder, wheels, cache=cache) as here:
            here.world.add_repository(f"acme/{task.package}", sources.old)
            here.stage.play(replay(task, sources))
            ready(here.contract(f"acme/{task.package}"))
            await stop.wait()
