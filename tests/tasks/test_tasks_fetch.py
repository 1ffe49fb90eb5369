"""Releases come from where pip would look, are what the list promised, and unpack safely."""

import hashlib
import io
import json
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibecoder import archive, registry, tasks
from vibecoder.registry import Config, NoAnswer, NotFound, parse_config
from vibecoder.tasks import BadArchive, NoRegistry, ReleaseMissing, Task


def tar(files: dict[str, bytes], executable: frozenset[str] = frozenset()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as out:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o755 if name in executable else 0o644
            out.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@dataclass
class Index:
    """A package index on loopback: pages by path, each a content type and a body."""

    url: str
    pages: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    password: str | None = None  # the Authorization header that it wants


@pytest.fixture
def index() -> Iterator[Index]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = here.pages.get(unquote(self.path))
            if here.password and self.headers.get("authorization") != here.password:
                self.send_error(401)
                return
            if found is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("content-type", found[0])
            self.send_header("content-length", str(len(found[1])))
            self.end_headers()
            self.wfile.write(found[1])

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Index(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield here
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Configures pip with nothing but what is given."""

    def configure(**values: str) -> None:
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        for name in ("index_url", "extra_index_url", "find_links", "cert", "no_index"):
            monkeypatch.delenv(f"PIP_{name.upper()}", raising=False)
        for name, value in values.items():
            monkeypatch.setenv(f"PIP_{name.upper()}", value)
        registry.config.cache_clear()

    yield configure
    registry.config.cache_clear()


OLD, NEW = tar({"lib-1/lib.py": b"old"}), tar({"lib-2/lib.py": b"new"})
TASK = Task(
    package="My.Lib",
    old="1",
    new="2",
    old_sdist="lib-1.tar.gz",
    old_sha256=hashlib.sha256(OLD).hexdigest(),
    new_sdist="lib-2.tar.gz",
    new_sha256=hashlib.sha256(NEW).hexdigest(),
    source_files=("lib.py",),
    test_files=("test_lib.py",),
    test_args=("test_lib.py",),
    issue_title="It is old",
    issue_body="",
)
HTML = b'<a href="../../files/lib-1.tar.gz#sha256=x">1</a><a href="/files/lib%2D2.tar.gz">2</a>'
JSON = json.dumps(
    {
        "files": [
            {"filename": "lib-1.tar.gz", "url": "/files/lib-1.tar.gz", "hashes": {}},
            {
                "filename": "renamed.tar.gz",
                "url": "../../files/renamed.tar.gz",
                "hashes": {"sha256": TASK.new_sha256},
            },
        ]
    }
).encode()


def stock(index: Index, page: tuple[str, bytes]) -> None:
    index.pages = {
        "/simple/my-lib/": page,
        "/files/lib-1.tar.gz": ("application/gzip", OLD),
        "/files/lib-2.tar.gz": ("application/gzip", NEW),
        "/files/renamed.tar.gz": ("application/gzip", NEW),
    }


@pytest.mark.parametrize(
    "page",
    [("text/html", HTML), ("application/vnd.pypi.simple.v1+json", JSON)],
    ids=["html", "json"],
)
def test_from_an_index(
    index: Index, pip: Callable[..., None], tmp_path: Path, page: tuple[str, bytes]
) -> None:
    stock(index, page)
    pip(index_url=f"{index.url}/simple/")
    sources = tasks.fetch(TASK, tmp_path)
    assert (sources.old / "lib.py").read_bytes() == b"old"
    assert (sources.new / "lib.py").read_bytes() == b"new"
    index.pages = {}
    assert tasks.fetch(TASK, tmp_path) == sources  # from the cache


def test_from_the_second_index_when_the_first_lacks_it(
    index: Index, pip: Callable[..., None], tmp_path: Path
) -> None:
    stock(index, ("text/html", HTML))
    pip(index_url=f"{index.url}/other", extra_index_url=f"{index.url}/simple")
    assert tasks.fetch(TASK, tmp_path).new.is_dir()


def test_from_a_file_index(pip: Callable[..., None], tmp_path: Path) -> None:
    page = tmp_path / "simple" / "my-lib" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_bytes(HTML.replace(b"/files/lib%2D2", b"../../files/lib-2"))
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "lib-1.tar.gz").write_bytes(OLD)
    (tmp_path / "files" / "lib-2.tar.gz").write_bytes(NEW)
    pip(index_url=(tmp_path / "simple").as_uri())
    assert tasks.fetch(TASK, tmp_path / "cache").old.is_dir()


def test_from_a_folder_of_find_links_without_any_index(
    pip: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "lib-1.tar.gz").write_bytes(OLD)
    (tmp_path / "lib-2.tar.gz").write_bytes(NEW)
    pip(no_index="1", find_links=str(tmp_path))
    assert tasks.fetch(TASK, tmp_path / "cache").old.is_dir()


def test_an_index_behind_a_password(index: Index, pip: Callable[..., None], tmp_path: Path) -> None:
    stock(index, ("text/html", HTML))
    index.password = "Basic bWU6czNjcmV0"  # me:s3cret
    address = index.url.replace("://", "://me:s3cret@")
    pip(index_url=f"{address}/simple")
    assert tasks.fetch(TASK, tmp_path).old.is_dir()


def test_no_password_in_what_went_wrong(
    index: Index, pip: Callable[..., None], tmp_path: Path
) -> None:
    index.password = "Basic other"
    address = index.url.replace("://", "://me:s3cret@")
    pip(index_url=f"{address}/simple")
    with pytest.raises(NoRegistry) as caught:
        tasks.fetch(TASK, tmp_path)
    assert "401" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_nobody_answers(pip: Callable[..., None], tmp_path: Path) -> None:
    pip(index_url="http://127.0.0.1:9/simple")
    with pytest.raises(NoRegistry):
        tasks.fetch(TASK, tmp_path)
    with pytest.raises(NoRegistry):
        tasks.fetch_wheels(["freezegun"], tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_index_lacks_it(index: Index, pip: Callable[..., None], tmp_path: Path) -> None:
    pip(index_url=f"{index.url}/simple")
    with pytest.raises(ReleaseMissing, match=r"lib-1\.tar\.gz"):
        tasks.fetch(TASK, tmp_path)


def test_another_file_under_the_name(
    index: Index, pip: Callable[..., None], tmp_path: Path
) -> None:
    stock(index, ("text/html", HTML))
    pip(index_url=f"{index.url}/simple")
    with pytest.raises(BadArchive, match="sha256"):
        tasks.fetch(replace(TASK, new_sha256="0" * 64), tmp_path)


def wheel(name: str, requires: str = "") -> tuple[str, bytes]:
    buffer = io.BytesIO()
    info = f"{name}-1.dist-info"
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr(f"{name}.py", "")
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        out.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n{needs}"
        )
        out.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        out.writestr(f"{info}/RECORD", "")
    return f"{name}-1-py3-none-any.whl", buffer.getvalue()


def test_wheels_are_locked_or_resolved_and_then_cached(
    pip: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = tmp_path / "links"
    links.mkdir()
    lock = ""
    for name, requires in (("locked", ""), ("wanted", "locked"), ("innocent", "")):
        file_name, content = wheel(name, requires)
        (links / file_name).write_bytes(content)
        if name == "locked":
            lock = f"locked==1 \\\n    --hash=sha256:{hashlib.sha256(content).hexdigest()}\n"
    (tmp_path / "lock").write_text(lock)
    monkeypatch.setattr(tasks, "LOCK", tmp_path / "lock")
    pip(no_index="1", find_links=str(links))
    cache = tmp_path / "cache"
    found = tasks.fetch_wheels(["wanted", "locked"], cache)
    assert [path.name for path in found] == [
        "locked-1-py3-none-any.whl",
        "wanted-1-py3-none-any.whl",
    ]
    assert len(tasks.fetch_wheels([], cache)) == 1
    for path in links.iterdir():
        path.unlink()
    assert tasks.fetch_wheels(["wanted", "locked"], cache) == found


@given(st.sampled_from(["../x", "a/../../x", "/etc/x", "a/..", "a\\b/c"]))
def test_names_outside_of_the_archive_are_refused(name: str) -> None:
    with pytest.raises(archive.Unsafe):
        list(_unpacked(tar({"lib/a": b"", name: b"evil"})))


def _unpacked(data: bytes, name: str = "x.tar.gz") -> Iterator[tuple[str, bytes]]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "out"
        archive.unpack(data, name, root)
        for path in sorted(root.rglob("*")):
            if path.is_file():
                yield str(path.relative_to(root)), path.read_bytes()


def test_links_and_devices_are_left_out(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as out:
        link = tarfile.TarInfo("lib/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        out.addfile(link)
        through = tarfile.TarInfo("lib/link")  # the same name again, now as a file
        through.size = 2
        out.addfile(through, io.BytesIO(b"ok"))
        device = tarfile.TarInfo("lib/null")
        device.type = tarfile.CHRTYPE
        out.addfile(device)
    assert list(_unpacked(buffer.getvalue())) == [("link", b"ok")]


def test_executable_bits_are_kept_and_no_others(tmp_path: Path) -> None:
    data = tar({"lib/run": b"", "lib/read": b""}, frozenset({"lib/run"}))
    archive.unpack(data, "x.tar.gz", tmp_path / "out")
    assert (tmp_path / "out/run").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "out/read").stat().st_mode & 0o777 == 0o644


def test_a_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    with pytest.raises(archive.Unsafe, match="larger"):
        list(_unpacked(tar({"lib/a": b"0" * 1001})))
    with pytest.raises(archive.Unsafe, match="more than"):
        list(_unpacked(tar({f"lib/{number}": b"0" * 500 for number in range(3)})))


def test_zip_sdists_unpack_too() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        out.writestr("lib-1/a.py", "a")
    assert list(_unpacked(buffer.getvalue(), "lib-1.zip")) == [("a.py", b"a")]


@given(st.one_of(st.binary(max_size=300), st.integers(0, 300).map(lambda cut: NEW[:cut])))
def test_broken_archives_are_refused(data: bytes) -> None:
    for name in ("x.tar.gz", "x.zip"):
        with suppress(archive.Unsafe):
            # An end that is cut off after the last file goes unnoticed here; the hash tells.
            assert list(_unpacked(data, name)) == [("lib.py", b"new")]


def test_pips_configuration() -> None:
    found = parse_config(
        "global.index-url='https://a/simple'\n"
        ":env:.index-url='https://b/simple'\n"
        "install.index-url='https://c/simple'\n"
        "global.extra-index-url='\\nhttps://d/simple\\nfile:///e'\n"
        "global.trusted-host='b'\n"
        "global.cert='/ca.pem'\n"
        "global.timeout='60'\n"
    )
    assert found == Config(
        indexes=("https://b/simple", "https://d/simple", "file:///e"),
        find_links=(),
        cert="/ca.pem",
        trusted_hosts=frozenset({"b"}),
        proxy=None,
    )
    assert parse_config("").indexes == ("https://pypi.org/simple",)


def test_a_broken_index_is_not_taken_for_an_empty_one(index: Index) -> None:
    index.pages = {"/simple/lib/": ("application/vnd.pypi.simple.v1+json", b"{")}
    where = Config((f"{index.url}/simple",), (), None, frozenset(), None)
    with pytest.raises(NoAnswer):
        registry.download("lib", "lib-1.tar.gz", "0" * 64, where)
    index.pages = {"/simple/lib/": ("text/html", b"")}
    with pytest.raises(NotFound):
        registry.download("lib", "lib-1.tar.gz", "0" * 64, where)


def test_the_sample_shows_its_bug_and_its_fix(tmp_path: Path) -> None:
    task, sources = tasks.sample(tmp_path)
    test = tmp_path / "before" / task.test_files[0]
    test.write_bytes((tmp_path / "after" / task.test_files[0]).read_bytes())
    codes = [
        subprocess.run(
            ["/bin/sh", "-c", command], cwd=root, capture_output=True, check=False
        ).returncode
        for root in (sources.old, sources.new)
        for command in (task.test_command, task.related_command)
    ]
    assert codes == [1, 1, 0, 0]
