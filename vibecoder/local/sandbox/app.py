"""An E2B-compatible server: control plane and envd on one loopback port, boxes by bubblewrap.

Serve it with `vibecoder.local.serve.serve`; the address is both E2B_API_URL and E2B_SANDBOX_URL.
Container-grade: the kernel is shared with this machine. For repositories one half trusts.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from vibecoder.local.sandbox import control, envd
from vibecoder.local.sandbox.boxes import Boxes
from vibecoder.local.sandbox.errors import IsolationMissing
from vibecoder.local.sandbox.probe import Isolation
from vibecoder.local.sandbox.toolchain import Toolchain


def app(
    folder: Path,
    *,
    api_key: str,
    toolchain: Toolchain,
    isolation: Isolation,
    unisolated: bool = False,
) -> Starlette:
    """`folder` keeps the sandboxes of one server; `api_key` is "e2b_" and 40 hex digits.

    Raises IsolationMissing where nothing isolates, unless `unisolated` says that this is known:
    commands are then plain processes of this machine, and /home/user stands for a private folder.
    """
    if isolation.kind == "none" and not unisolated:
        raise IsolationMissing(f"{isolation.reason} {isolation.remedy}")
    boxes = Boxes(folder, toolchain, isolation)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await boxes.open()
        try:
            yield
        finally:
            await boxes.close()

    return Starlette(
        routes=[*control.routes(boxes, api_key), *envd.routes(boxes)],
        lifespan=lifespan,
        exception_handlers={HTTPException: _refuse, Exception: _fail},
    )


async def _refuse(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    words = {"code": error.status_code, "message": error.detail}
    return JSONResponse(words, error.status_code, headers=error.headers)


async def _fail(_: Request, __: Exception) -> Response:
    # Starlette lets the server log the exception after this answer; clients parse nothing but JSON.
    return JSONResponse({"code": 500, "message": "The sandbox server failed; see its log."}, 500)
