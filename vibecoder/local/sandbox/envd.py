"""envd, the daemon in every E2B sandbox, played from outside: health, files, and two RPC services.

Source: packages/envd/spec of e2b-dev/infra (envd.yaml and the .proto files). A client says which
sandbox it means in the header E2b-Sandbox-Id, or in the host name, 49983-ID.domain; a signed
address says neither, and is compared with what each living sandbox would have signed.
"""

import asyncio
import base64
import contextlib
import errno
import hashlib
import hmac
import os
import re
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from vibecoder.local.sandbox import filesystem_rpc, process_rpc
from vibecoder.local.sandbox.box import Box
from vibecoder.local.sandbox.boxes import Boxes, Tenancy
from vibecoder.local.sandbox.errors import BoxGone, Denied
from vibecoder.local.sandbox.handles import OpenFile

CHUNK = 1 << 20  # bytes read or written at once
METADATA = "x-metadata-"
HOST = re.compile(r"\d+-([a-z0-9]+)\.")
USERS = {"", "user", "root"}  # all of them are the one user there is
STATUS = {
    errno.ENOENT: 404,
    errno.EACCES: 403,
    errno.EPERM: 403,
    errno.EROFS: 403,
    errno.ENOSPC: 507,
    errno.EDQUOT: 507,
}


def routes(boxes: Boxes) -> list[Route]:
    def named(request: Request) -> str | None:
        host = HOST.match(request.headers.get("host", ""))
        return request.headers.get("e2b-sandbox-id") or (host[1] if host else None)

    def find(request: Request) -> Tenancy:
        name = named(request)
        tenancy = boxes.get(name) if name else None
        if tenancy is None or tenancy.state == "paused":
            # The words that SDKs look for to tell a dead sandbox from a lost connection.
            raise HTTPException(502, f"The sandbox {name} was not found")
        return tenancy

    def authorized(request: Request) -> Box:
        tenancy = find(request)
        given = request.headers.get("x-access-token", "")
        if not hmac.compare_digest(given.encode(), tenancy.token.encode()):
            raise HTTPException(401, "The access token is not this sandbox's.")
        _user(request)
        return tenancy.box

    def authorized_for_files(request: Request, operation: str) -> Box:
        signature = request.query_params.get("signature")
        if signature is None:
            return authorized(request)
        ends = request.query_params.get("signature_expiration")
        if ends is not None and not (ends.isdecimal() and int(ends) > time.time()):
            raise HTTPException(401, "signature is already expired")
        candidates = (
            [find(request)] if named(request) else boxes.all(lambda t: t.state == "running")
        )
        for tenancy in candidates:
            if hmac.compare_digest(signature, _signature(request, operation, tenancy.token, ends)):
                return tenancy.box
        raise HTTPException(401, "The signature is not valid.")

    async def health(request: Request) -> Response:
        if named(request) is not None:
            find(request)
        return Response(status_code=204)

    async def download(request: Request) -> Response:
        box = authorized_for_files(request, "read")
        with _errors(box):
            file = await box.open_read(_path(request))
        return await _sent(file)

    async def upload(request: Request) -> Response:
        box = authorized_for_files(request, "write")
        metadata = {
            name.removeprefix(METADATA): value
            for name, value in request.headers.items()
            if name.startswith(METADATA)
        }
        content_type = request.headers.get("content-type", "")
        with _errors(box):
            if content_type.startswith("multipart/form-data"):
                written = await _take_form(box, request, metadata)
            else:
                chunks = _inflated(request)
                written = [await _write(box, _path(request), metadata, chunks)]
        return JSONResponse(written)

    async def rpc(request: Request) -> Response:
        box = authorized(request)
        service, method = request.path_params["service"], request.path_params["method"]
        response: Response | None = None
        if service == "process.Process":
            response = await process_rpc.serve(box, method, request)
        elif service == "filesystem.Filesystem":
            response = await filesystem_rpc.serve(box, method, request)
        if response is None:
            error = {"code": "unimplemented", "message": f"there is no {service}/{method}"}
            return JSONResponse(error, 404)
        return response

    async def metrics(request: Request) -> Response:
        usage = await authorized(request).usage()
        sample = {
            "ts": int(time.time()),
            "cpu_count": os.cpu_count() or 1,
            "mem_used": usage["memory"],
            "disk_used": usage["disk_used"],
            "disk_total": usage["disk_total"],
        }
        return JSONResponse(sample)

    async def envs(request: Request) -> Response:
        return JSONResponse(authorized(request).environment)

    return [
        Route("/health", health, methods=["GET"]),
        Route("/files", download, methods=["GET"]),
        Route("/files", upload, methods=["POST"]),
        Route("/metrics", metrics, methods=["GET"]),
        Route("/envs", envs, methods=["GET"]),
        Route("/{service}/{method}", rpc, methods=["POST"]),
    ]


@contextlib.contextmanager
def _errors(box: Box) -> Any:
    try:
        yield
    except Denied as error:
        raise HTTPException(STATUS.get(error.errno, 400), str(error)) from error
    except BoxGone as error:
        raise HTTPException(502, f"The sandbox {box.name} was not found") from error
    except OSError as error:  # the disk of this machine, while writing
        words = os.strerror(error.errno or errno.EIO)
        raise HTTPException(STATUS.get(error.errno or 0, 500), words) from error


def _user(request: Request) -> None:
    kind, _, encoded = request.headers.get("authorization", "").partition(" ")
    name = request.query_params.get("username", "")
    if kind.lower() == "basic":
        with contextlib.suppress(ValueError):
            name = base64.b64decode(encoded).decode().partition(":")[0]
    if name not in USERS:
        raise HTTPException(401, f"There is no user {name!r} in this sandbox.")


def _path(request: Request) -> str:
    path = request.query_params.get("path", "")
    if not path:
        raise HTTPException(400, "The parameter path is missing.")
    return path


def _signature(request: Request, operation: str, token: str, ends: str | None) -> str:
    query = request.query_params
    words = [query.get("path", ""), operation, query.get("username", ""), token]
    digest = hashlib.sha256(":".join([*words, *([ends] if ends else [])]).encode()).digest()
    return "v1_" + base64.b64encode(digest).rstrip(b"=").decode()


async def _sent(file: OpenFile) -> Response:
    """Exactly as many bytes as the file had when it was opened, even if it grows meanwhile."""
    headers = {"Content-Length": str(file.size)}
    media_type = "application/octet-stream"
    if file.size <= CHUNK:
        try:
            data = os.pread(file.fd, file.size, 0)
        finally:
            file.close()
        return Response(data, media_type=media_type)

    async def chunks() -> AsyncIterator[bytes]:
        try:
            at = 0
            while at < file.size:
                data = await asyncio.to_thread(os.pread, file.fd, min(CHUNK, file.size - at), at)
                if not data:
                    raise BoxGone("the file became shorter while it was sent")
                at += len(data)
                yield data
        finally:
            file.close()

    return StreamingResponse(chunks(), media_type=media_type, headers=headers)


async def _take_form(box: Box, request: Request, metadata: dict[str, str]) -> list[dict[str, Any]]:
    """Each part named "file" is one file; its own file name is its path, but for a single one the
    parameter `path` comes first."""
    written = []
    try:
        async with request.form(max_files=10_000) as form:
            files = [item for item in form.getlist("file") if isinstance(item, UploadFile)]
            path = request.query_params.get("path") if len(files) == 1 else None
            for file in files:
                name = path or file.filename or ""
                written.append(await _write(box, name, metadata, _parts(file)))
    except (MultiPartException, HTTPException) as error:
        if isinstance(error, HTTPException) and error.status_code != 400:
            raise
        raise HTTPException(400, "The form cannot be read.") from error
    if not written:
        raise HTTPException(400, "The form has no part named file.")
    return written


async def _parts(file: UploadFile) -> AsyncIterator[bytes]:
    while data := await file.read(CHUNK):
        yield data


async def _inflated(request: Request) -> AsyncIterator[bytes]:
    if request.headers.get("content-encoding", "identity") == "identity":
        async for chunk in request.stream():
            yield chunk
        return
    if request.headers["content-encoding"] != "gzip":
        raise HTTPException(400, "The content encoding is not one of identity and gzip.")
    inflate = zlib.decompressobj(wbits=31)
    try:
        async for chunk in request.stream():
            while chunk:
                yield inflate.decompress(chunk, CHUNK)
                chunk = inflate.unconsumed_tail
    except zlib.error as error:
        raise HTTPException(400, "The body is not gzip.") from error
    if not inflate.eof:
        raise HTTPException(400, "The gzip stream is incomplete.")


async def _write(
    box: Box, path: str, metadata: dict[str, str], chunks: AsyncIterator[bytes]
) -> dict[str, Any]:
    file = await box.open_write(path, metadata)
    pending = bytearray()
    try:
        async for chunk in chunks:
            pending += chunk
            if len(pending) >= CHUNK:
                await asyncio.to_thread(_write_all, file.fd, bytes(pending))
                pending.clear()
        _write_all(file.fd, pending)
    except ClientDisconnect:
        raise HTTPException(400, "The upload was broken off.") from None
    finally:
        file.close()
    found = {"path": file.path, "name": PurePosixPath(file.path).name, "type": "file"}
    return found | ({"metadata": metadata} if metadata else {})


def _write_all(fd: int, data: bytes | bytearray) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]
