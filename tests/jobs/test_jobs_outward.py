"""What strangers may have us call, and what not."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from starlette.requests import Request
from starlette.responses import Response

from jobs.outward import NoAnswer, NotOutside, Outward, public
from vibecoder.local.serve import serve


@pytest.mark.parametrize(
    "address",
    [
        "http://push.example.org/x",
        "https://push.example.org:8443/x",
        "https://push.example.org:99999/x",
        "https://me:secret@push.example.org/x",
        "https://push.example.org/x#y",
        "https:///x",
        "ftp://push.example.org/x",
        "file:///etc/passwd",
        "push.example.org/x",
        "https://push.example.org/x\r\nHost: inside",
        "https://push.example.org/ x",
        "https://püsh.example.org/x",
        "https://[push.example.org/x",
        "https://push.example.org/" + "x" * 3_000,
        "",
        "https://127.0.0.1/x",
        "https://127.1/x",
        "https://0x7f000001/x",
        "https://2130706433/x",
        "https://0/x",
        "https://localhost/x",
        "https://10.0.0.8/x",
        "https://172.16.0.1/x",
        "https://192.168.1.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/x",
        "https://224.0.0.1/x",
        "https://[::1]/x",
        "https://[::]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[::ffff:a9fe:a9fe]/x",
        "https://[64:ff9b::7f00:1]/x",
        "https://[2002:7f00:1::]/x",
        "https://[fe80::1]/x",
        "https://[fec0::1]/x",
        "https://[fd00::1]/x",
    ],
)
async def test_inside_is_not_called(address: str) -> None:
    outward = Outward()
    with pytest.raises(NotOutside) as refused:
        await outward.check(address)
    with pytest.raises(NotOutside):
        await outward.post(address, {}, b"")
    assert "secret" not in str(refused.value)
    await outward.close()


@pytest.mark.parametrize(
    ("address", "outside"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::808:808", True),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("ff02::1", False),
        ("255.255.255.255", False),
        ("192.0.2.1", False),
    ],
)
def test_which_addresses_are_public(address: str, outside: bool) -> None:
    assert public(address) is outside


@asynccontextmanager
async def server(status: int = 201, **headers: str) -> AsyncIterator[tuple[str, list[Request]]]:
    heard: list[Request] = []

    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        request = Request(scope, receive)  # type: ignore[arg-type]  # as uvicorn calls it
        await request.body()
        heard.append(request)
        await Response(b"x", status, headers)(scope, receive, send)  # type: ignore[arg-type]

    async with serve(app) as url:
        yield url, heard


async def test_a_name_is_looked_at_with_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS that says something else by the time of the call."""
    says = ["93.184.215.14", "127.0.0.1"]

    def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (says.pop(0), 443))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    outward = Outward()
    await outward.check("https://rebinding.example/x")
    with pytest.raises(NotOutside, match="not on the public internet"):
        await outward.post("https://rebinding.example/x", {}, b"")
    await outward.close()


async def test_one_private_address_among_public_ones_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443))
            for address in ("8.8.8.8", "10.0.0.1")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(NotOutside):
        await Outward().check("https://both.example/x")


async def test_what_the_operator_trusts_is_called_by_host_and_port() -> None:
    async with server(307, Location="http://127.0.0.1:1/", **{"Retry-After": "7"}) as (url, heard):
        trusted = Outward([url.removeprefix("http://")])
        await trusted.check(f"{url}/push/1?a=b")
        answer = await trusted.post(f"{url}/push/1?a=b", {"TTL": "5"}, b"sealed")
        with pytest.raises(NotOutside):
            await Outward(["127.0.0.1:1"]).check(f"{url}/push/1")
        await trusted.close()
    assert (answer.status, answer.retry_after) == (307, "7")
    assert [(r.url.path, r.url.query, r.headers["ttl"]) for r in heard] == [("/push/1", "a=b", "5")]


async def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        place = f"127.0.0.1:{closed.getsockname()[1]}"
    outward = Outward([place])
    with pytest.raises(NoAnswer):
        await outward.post(f"http://{place}/x", {}, b"")
    await outward.close()


async def test_slow_name_servers_hold_up_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, real = threading.Event(), socket.getaddrinfo

    def resolve(host: str, *more: Any, **named: Any) -> Any:
        if host.endswith(".slow.example"):
            slow.wait(20)
        return real("8.8.8.8", *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    outward = Outward()
    names = [f"https://{number}.slow.example/" for number in range(40)]
    waiting = [asyncio.create_task(outward.check(name)) for name in names]
    await asyncio.gather(*(asyncio.to_thread(int) for _ in range(40)))  # others have their threads
    assert not any(task.done() for task in waiting)
    slow.set()
    await asyncio.gather(*waiting)
    await outward.check("https://quick.example/")


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of localhost, and trusted; with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    pem = made.public_bytes(Encoding.PEM)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = tmp_path / "localhost.pem"
    file.write_bytes(pem + secret)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return file


async def test_the_name_must_be_the_certificates(certificate: Path) -> None:
    """The connection goes to the address that was looked at, and still speaks of the name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        outward = Outward([f"localhost:{port}", f"127.0.0.1:{port}"])
        assert (await outward.post(f"https://localhost:{port}/x", {}, b"")).status == 201
        with pytest.raises(NoAnswer):
            await outward.post(f"https://127.0.0.1:{port}/x", {}, b"")
        await outward.close()
