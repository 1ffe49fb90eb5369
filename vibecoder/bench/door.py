"""Deliveries as GitHub sends them, written to a front door as bytes and timed."""

import asyncio
import hmac
import time
from uuid import uuid4

from vibecoder.bench.ground import BenchError


def request(path: str, secret: str, event: str, body: bytes) -> bytes:
    """One signed delivery as an HTTP request, under a GUID of its own."""
    signature = hmac.new(secret.encode(), body, "sha256").hexdigest()
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: GitHub-Hookshot/0000000\r\n"
        f"Content-Type: application/json\r\nX-GitHub-Event: {event}\r\n"
        f"X-GitHub-Delivery: {uuid4()}\r\nX-Hub-Signature-256: sha256={signature}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def send(port: int, batch: list[bytes], lanes: int) -> list[float]:
    """Sends all of them over so many connections; seconds that each took. Raises BenchError."""
    # An HTTP client's own work would outweigh the server's, so the bytes are made beforehand.
    left, took = iter(batch), list[float]()

    async def lane() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for one in left:
            began = time.perf_counter()
            writer.write(one)
            head = await reader.readuntil(b"\r\n\r\n")
            lowered = head.lower()
            if b"transfer-encoding: chunked" in lowered:
                await reader.readuntil(b"0\r\n\r\n")
            else:
                length = lowered.partition(b"content-length:")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length))
            took.append(time.perf_counter() - began)
            if not head.startswith(b"HTTP/1.1 20"):
                raise BenchError(f"A delivery was not accepted: {head.decode()}")
        writer.close()
        await writer.wait_closed()

    async with asyncio.TaskGroup() as group:
        for _ in range(lanes):
            group.create_task(lane())
    return took
