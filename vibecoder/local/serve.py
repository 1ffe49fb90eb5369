"""Runs an ASGI app on a loopback port inside the running event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn


class _Server(uvicorn.Server):
    """Leaves signals to the caller, who may run several of these in one process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def free_port() -> int:
    """A loopback port that nobody listens on, for a process that is to be started."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@asynccontextmanager
async def serve(app: Any, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Yields the address, such as "http://127.0.0.1:41233"; the server is stopped on leaving.

    Raises what the app's start-up raises.

    Port 0 takes a free one. Keep-alive outlasts the clients' pools (the e2b SDK keeps idle
    connections for 300 s), because a server that hangs up first makes sporadic write errors.
    """
    listener = socket.create_server((host, port))
    # asyncio sets it only on sockets that name TCP as their protocol, and this one does not: a
    # small answer then waits 40 ms for the client's acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    failed: list[Exception] = []

    async def remembering(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except Exception as error:
            if scope["type"] == "lifespan":
                failed.append(error)  # uvicorn only logs it
            raise

    config = uvicorn.Config(
        remembering,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=620,
        lifespan="auto",
        timeout_graceful_shutdown=1,  # open event streams must not hold up the end
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if task.done():
                task.result()
                raise failed[0] if failed else RuntimeError("the server did not start")
            await asyncio.sleep(0.01)
        yield f"http://{host}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()
