"""What a fetch brings, and how each way of failing is told."""

import logging
import random
import socket
import ssl
import threading
import time
import tracemalloc
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from git_world import (
    TOKEN,
    Server,
    cut,
    drip,
    garbled,
    git,
    hang,
    proxy,
    seed,
    status,
    through,
    unpack,
)

from jobs.forge.errors import (
    BranchMissing,
    EmptyRepository,
    ForgeError,
    GitError,
    GitUnauthorized,
    GitUnreachable,
    RepositoryGone,
    RepositoryTooLarge,
)
from jobs.forge.git import Checkout, Remote, remote_head

FILE = 0o100644


def test_a_proxy_is_used_where_the_surroundings_name_one(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(server.create(), {b"a": (FILE, b"1")}, "main")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with proxy() as (place, passed):
        monkeypatch.setenv("http_proxy", f"http://ann:s%40fe@{place}")
        with Checkout.fetch(tmp_path / "one", server.remote(), None) as found:
            assert found.read("a") == b"1"
        assert {who for _, who in passed} == {"Basic " + b64encode(b"ann:s@fe").decode()}
        seen = len(passed)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with Checkout.fetch(tmp_path / "two", server.remote(), None) as found:
            assert found.read("a") == b"1"
        assert len(passed) == seen


def test_the_default_branch_need_not_be_main(server: Server, tmp_path: Path) -> None:
    bare = server.create()
    sha = seed(bare, {b"a": (FILE, b"1")}, "trunk/über")
    seed(bare, {b"a": (FILE, b"2")}, "main")
    git("symbolic-ref", "HEAD", "refs/heads/trunk/über", cwd=bare)
    with Checkout.fetch(tmp_path / "job", server.remote(), None) as found:
        assert (found.branch, found.base_sha, found.head_sha) == ("trunk/über", sha, sha)
        assert (found.files, found.read("a")) == (1, b"1")
        assert found.bytes > 0


def test_a_branch_wins_over_a_tag_of_its_name(server: Server, tmp_path: Path) -> None:
    bare = server.create()
    old = seed(bare, {b"a": (FILE, b"1")})
    new = seed(bare, {b"a": (FILE, b"2")})
    git("tag", "main", old, cwd=bare)
    with Checkout.fetch(tmp_path / "job", server.remote(), "main") as found:
        assert found.base_sha == new


def test_an_older_commit_can_be_asked_for(server: Server, tmp_path: Path) -> None:
    bare = server.create()
    old = seed(bare, {b"a": (FILE, b"1\n")})
    new = seed(bare, {b"a": (FILE, b"2\n")})
    remote = server.remote()
    with Checkout.fetch(tmp_path / "job", remote, "main", sha=old) as found:
        assert (found.branch, found.head_sha, found.read("a")) == ("main", old, b"1\n")
        with pytest.raises(GitError, match="is not here"):
            found.diff(old, new)
        found.bring(remote, new)
        assert "-1\n+2\n" in found.diff(old, new)
    gone = "1" * 40
    with pytest.raises(BranchMissing, match="no longer in o/r"):
        Checkout.fetch(tmp_path / "job2", remote, "main", sha=gone)


def test_only_the_one_commit_is_transferred(server: Server, tmp_path: Path) -> None:
    bare = server.create()
    seed(bare, {b"big": (FILE, bytes(range(256)) * 2000)})
    git("update-ref", "refs/pull/1/head", "main", cwd=bare)
    seed(bare, {b"a": (FILE, b"2")})
    with Checkout.fetch(tmp_path / "job", server.remote(), None) as found:
        assert found.bytes < 2000


@pytest.mark.parametrize("branch", [None, "main", "other"])
def test_an_empty_repository_is_told(server: Server, tmp_path: Path, branch: str | None) -> None:
    server.create()
    with pytest.raises(EmptyRepository, match="no commits yet"):
        Checkout.fetch(tmp_path / "job", server.remote(), branch)


@pytest.mark.parametrize("branch", ["nope", "mai", "a b", "", "x..y", "-", "refs/heads/main"])
def test_a_missing_branch_is_told(server: Server, bare: Path, tmp_path: Path, branch: str) -> None:
    with pytest.raises(BranchMissing, match="branch"):
        Checkout.fetch(tmp_path / "job", server.remote(), branch)


def test_a_missing_repository_is_told(server: Server, bare: Path, tmp_path: Path) -> None:
    with pytest.raises(RepositoryGone, match="o/other is not there"):
        Checkout.fetch(tmp_path / "job", server.remote("o/other"), None)


def test_a_refused_token_is_told_after_a_second_try(
    server: Server, bare: Path, tmp_path: Path
) -> None:
    server.token = "another"
    with pytest.raises(GitUnauthorized, match="install it again"):
        Checkout.fetch(tmp_path / "job", server.remote(), None)
    server.token = TOKEN
    server.faults = [status(401)]
    Checkout.fetch(tmp_path / "job2", server.remote(), None).close()
    # The second chance is the token's own, whatever else went wrong before it.
    server.faults = [status(502), status(401)]
    Checkout.fetch(tmp_path / "job3", server.remote(), None).close()


def test_a_token_that_cannot_be_had_passes_through(
    server: Server, bare: Path, tmp_path: Path
) -> None:
    class Suspended(ForgeError):
        pass

    def token() -> str:
        raise Suspended("The installation is suspended.")

    with pytest.raises(Suspended):
        Checkout.fetch(tmp_path / "job", Remote(server.remote().url, token), None)


def test_the_token_is_asked_for_again_at_each_request(
    server: Server, bare: Path, tmp_path: Path
) -> None:
    tokens = iter(["first", "second", "third", "fourth", "fifth"])

    def token() -> str:
        server.token = next(tokens)  # the one before is worthless from now on
        return server.token

    Checkout.fetch(tmp_path / "job", Remote(server.remote().url, token), None).close()


def test_a_repository_that_is_too_large_is_told(server: Server, tmp_path: Path) -> None:
    bare = server.create()
    noise = b"".join(i.to_bytes(3, "big") for i in range(0, 1 << 24, 97))
    seed(bare, {b"big": (FILE, noise)})
    with pytest.raises(RepositoryTooLarge, match="more than 0 MB to download"):
        Checkout.fetch(tmp_path / "job", server.remote(), None, max_bytes=100_000)
    assert not list((tmp_path / "job" / "objects" / "pack").iterdir())
    with (
        Checkout.fetch(tmp_path / "job2", server.remote(), None) as found,
        pytest.raises(RepositoryTooLarge, match="its files have more"),
    ):
        found.tar(BytesIO(), max_bytes=100_000)


def test_writing_the_tar_keeps_no_content_in_memory(server: Server, tmp_path: Path) -> None:
    """Many jobs wait in one process, each for most of its life after this."""
    common = random.Random(1).randbytes(200_000)  # so that git sends deltas
    files = {f"f{n}".encode(): (FILE, common + b"%d" % n) for n in range(20)}
    seed(server.create(), files)
    with Checkout.fetch(tmp_path / "job", server.remote(), None) as found:
        tracemalloc.start()
        try:
            with (tmp_path / "tar").open("wb") as out:
                found.tar(out)
            kept, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < len(common) < most
        assert found.read("f7") == common + b"7"


def test_passing_faults_are_outlasted(server: Server, bare: Path, tmp_path: Path) -> None:
    busy = status(503, Retry_After="0")
    server.faults = [busy, through, busy, through, through, cut(0.6)]
    with Checkout.fetch(tmp_path / "job", server.remote(), None) as found:
        assert found.files == 4
    packs = [path.suffix for path in (tmp_path / "job" / "objects" / "pack").iterdir()]
    assert sorted(packs) == [".idx", ".pack"]


@pytest.mark.parametrize("broken", [garbled, cut(0.3), cut(0.9)])
def test_a_pack_that_came_broken_is_fetched_again(
    server: Server, bare: Path, tmp_path: Path, broken: object
) -> None:
    server.faults = [through, through, broken]  # type: ignore[list-item]
    with Checkout.fetch(tmp_path / "job", server.remote(), None) as found:
        assert unpack(found).content[b"README.md"][1] == b"# r\n"


def test_a_server_that_asks_for_long_patience_is_not_waited_for(
    server: Server, bare: Path, tmp_path: Path
) -> None:
    server.faults = [status(429, Retry_After="900")]
    with pytest.raises(GitUnreachable, match="try again") as caught:
        Checkout.fetch(tmp_path / "job", server.remote(), None)
    assert caught.value.retry_after == 900


@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.parametrize("fault", [hang, drip])
def test_stalls_end_at_the_deadline(
    server: Server, bare: Path, tmp_path: Path, fault: object, where: int
) -> None:
    server.faults = [through] * where + [fault] * 9  # type: ignore[list-item]
    began = time.monotonic()
    with pytest.raises(GitUnreachable):
        Checkout.fetch(tmp_path / "job", server.remote(), None, seconds=0.8)
    assert time.monotonic() - began < 4


def test_a_transfer_ends_soon_when_told_to_stop(server: Server, bare: Path, tmp_path: Path) -> None:
    begun = threading.Event()

    def dripping(handler: Any) -> bool:
        begun.set()
        return drip(handler)

    server.faults = [through, through, dripping]
    remote = server.remote()
    with ThreadPoolExecutor() as pool:
        fetching = pool.submit(Checkout.fetch, tmp_path / "job", remote, None)
        assert begun.wait(20)
        remote.stop.set()
        with pytest.raises(GitError, match="was stopped"):
            fetching.result(20)
    assert not list((tmp_path / "job" / "objects" / "pack").iterdir())


def test_something_else_than_git_is_told(server: Server, bare: Path, tmp_path: Path) -> None:
    server.faults = [status(200, b"<html>Sign in to the hotel</html>")] * 9
    with pytest.raises(GitUnreachable, match="not git"):
        Checkout.fetch(tmp_path / "job", server.remote(), None, seconds=1)


def test_no_server_at_all_is_told(tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/o/r.git"
        with pytest.raises(GitUnreachable, match=r"on 127.*connection was refused"):
            Checkout.fetch(tmp_path / "job", Remote(url, lambda: TOKEN), None, seconds=1)


def test_a_certificate_that_nobody_vouches_for_is_told(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    def greet() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # closed: the test is over
            with connection, suppress(OSError):
                context.wrap_socket(connection, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/o/r.git"
        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(GitUnreachable, match="certificate was not accepted"):
            Checkout.fetch(tmp_path / "job", Remote(url, lambda: TOKEN), None, seconds=0.5)
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_a_renamed_repository_is_followed(server: Server, bare: Path, tmp_path: Path) -> None:
    moved = f"{server.url}/o/r.git/info/refs?service=git-upload-pack"
    server.faults = [status(301, Location=moved)]
    with Checkout.fetch(tmp_path / "job", server.remote("o/old"), None) as found:
        assert found.files == 4


def test_another_server_is_not_followed(server: Server, bare: Path, tmp_path: Path) -> None:
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    location = f"{elsewhere}/o/r.git/info/refs?service=git-upload-pack"
    seen: list[str | None] = []

    def spy(handler: object) -> bool:
        seen.append(handler.headers.get("Authorization"))  # type: ignore[attr-defined]
        return status(200, b"")(handler)  # type: ignore[arg-type]

    server.faults = [status(302, Location=location), spy]
    with pytest.raises(GitError, match="another server"):
        Checkout.fetch(tmp_path / "job", server.remote(), None)
    assert seen == [None]


@pytest.mark.parametrize(
    "url", ["ssh://git@host/o/r", "https://x:y@host/o/r.git", "file:///o/r", "/o/r", "https:///o"]
)
def test_an_address_with_credentials_or_none_is_no_remote(url: str) -> None:
    with pytest.raises(ValueError, match="without credentials"):
        Remote(url, lambda: TOKEN)


def test_the_token_is_written_nowhere(
    server: Server, bare: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    remote = server.remote()
    texts = [repr(remote)]
    with Checkout.fetch(tmp_path / "job", remote, None) as found:
        texts.append(repr(vars(found)))
    for faults in ([status(500)] * 9, [status(403, b"no")] * 2, [hang] * 9, [status(404)]):
        server.faults = list(faults)
        with pytest.raises(GitError) as caught:
            Checkout.fetch(tmp_path / "job2", remote, None, seconds=0.5)
        error: BaseException | None = caught.value
        while error is not None:
            texts += [str(error), repr(error), repr(vars(error))]
            error = error.__cause__ or error.__context__
    files = [path for path in tmp_path.rglob("job*/**/*") if path.is_file()]
    assert files
    encoded = "Z2hzX1RISVNJU1RIRVRPS0VO"  # base64 holds it at another offset, see below
    for text in [*texts, caplog.text, *(path.read_bytes().decode("latin-1") for path in files)]:
        assert TOKEN not in text and encoded not in text
        assert "eC1hY2Nlc3MtdG9rZW4" not in text  # "x-access-token" in base64
    assert caplog.records


def test_one_ref_is_looked_up(server: Server, bare: Path) -> None:
    sha = git("rev-parse", "main", cwd=bare).decode().strip()
    git("update-ref", "refs/heads/main-2", sha, cwd=bare)
    assert remote_head(server.remote(), "main") == sha
    assert remote_head(server.remote(), "nope") is None
