"""Runs an ASGI app on a loopback port inside the running event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn


@asynccontextmanager
async def serve(app: Any, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Yields the address, such as "http://127.0.0.1:41233"; the server is stopped on leaving.

    Port 0 takes a free one. Keep-alive outlasts the clients' pools (the e2b SDK keeps idle
    connections for 300 s), because a server that hangs up first makes sporadic write errors.
    """
    listener = socket.create_server((host, port))
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_keep_alive=620, lifespan="auto"
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]  # the caller's
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if task.done():
                task.result()
            await asyncio.sleep(0.01)
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        server.force_exit = True  # open event streams must not hold up the end
        await task
        listener.close()
