"""Files with the real SDK, and the signed addresses it makes for browsers."""

import gzip
import io
import tarfile
import threading

import httpx
import pytest
from e2b import (
    FileNotFoundException,
    FilesystemEventType,
    FileType,
    InvalidArgumentException,
    Sandbox,
    SandboxException,
)
from sandbox_hand import Maker, Server


def test_writing_and_reading(box: Sandbox) -> None:
    info = box.files.write("deep/er/ü.txt", "hällo")
    assert (info.name, info.path) == ("ü.txt", "/home/user/deep/er/ü.txt")
    assert box.files.read("deep/er/ü.txt") == "hällo"
    box.files.write("deep/er/ü.txt", "shorter"[:2])
    assert box.files.read("~/deep/er/ü.txt") == "sh"
    assert box.files.read("/home/user/deep/../deep/er/ü.txt") == "sh"
    with pytest.raises(FileNotFoundException):
        box.files.read("nothing")
    with pytest.raises(InvalidArgumentException, match="directory"):
        box.files.read("deep")
    with pytest.raises(SandboxException):
        box.files.write("/usr/bin/python3", "x")


def test_bytes_of_every_kind_and_size(box: Sandbox) -> None:
    for data in (b"", b"\0\xff\r\n", bytes(range(256)) * 20_000):
        box.files.write("data", data)
        assert box.files.read("data", format="bytes") == data
        box.files.write("data2", io.BytesIO(data))
        assert b"".join(box.files.read("data2", format="stream")) == data
        box.files.write("data3", data, gzip=True)
        assert box.files.read("data3", format="bytes", gzip=True) == data


def test_several_at_once(box: Sandbox) -> None:
    written = box.files.write_files([{"path": f"many/{n}", "data": str(n)} for n in range(20)])
    assert [info.path for info in written] == [f"/home/user/many/{n}" for n in range(20)]
    assert box.files.read("many/7") == "7"


def test_a_tar_streams_in(box: Sandbox) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("src/main.py")
        member.size = 9
        tar.addfile(member, io.BytesIO(b"print(42)"))
    archive.seek(0)
    box.files.write("/tmp/repo.tar", archive)
    box.commands.run("mkdir repo && tar -xf /tmp/repo.tar -C repo")
    assert box.commands.run("python src/main.py", cwd="/home/user/repo").stdout == "42\n"


def test_links_lead_only_to_what_is_inside(box: Sandbox, server: Server) -> None:
    secret = server.folder / "secret"
    secret.write_text("host")
    box.commands.run(
        f"ln -s {secret} out; ln -s /etc/shadow shadow; ln -s ../../../../etc/passwd up;"
        "ln -s / all; mkfifo pipe; ln -s /proc/1/environ proc; ln -s /dev/zero zero"
    )
    for path in ("out", "shadow", "../../../etc/shadow", "all/root/.bashrc"):
        with pytest.raises(FileNotFoundException):
            box.files.read(path)
    assert "user:x:" in box.files.read("up")
    assert "host" not in box.files.read("all/etc/hostname")
    for path in ("pipe", "proc", "zero", "/dev/tty"):
        with pytest.raises(SandboxException):
            box.files.read(path)
    with pytest.raises(SandboxException):
        box.files.write("out", "overwritten")
    assert secret.read_text() == "host"


def test_looking_and_changing(box: Sandbox) -> None:
    assert box.files.make_dir("tree/a/b") is True
    assert box.files.make_dir("tree/a/b") is False
    box.files.write("tree/f", "four")
    box.commands.run("ln -s f tree/l; ln -s nowhere tree/broken; chmod 640 tree/f")
    found = {entry.name: entry for entry in box.files.list("tree")}
    assert set(found) == {"a", "f", "l", "broken"}
    assert found["a"].type == FileType.DIR
    assert (found["f"].type, found["f"].size, found["f"].permissions) == (
        FileType.FILE,
        4,
        "-rw-r-----",
    )
    assert (found["f"].owner, found["f"].mode) == ("user", 0o640)
    assert found["l"].type == FileType.SYMLINK
    assert found["l"].symlink_target == "/home/user/tree/f"
    assert {entry.path for entry in box.files.list("tree", depth=2)} > {"/home/user/tree/a/b"}
    info = box.files.rename("tree/f", "tree/new/g")
    assert info.path == "/home/user/tree/new/g"
    assert not box.files.exists("tree/f")
    assert box.files.get_info("tree/new/g").size == 4
    box.files.remove("tree")
    box.files.remove("tree")
    assert not box.files.exists("tree")
    with pytest.raises(FileNotFoundException):
        box.files.list("tree")
    with pytest.raises(FileNotFoundException):
        box.files.rename("tree", "elsewhere")


def test_a_folder_with_very_many_entries(box: Sandbox) -> None:
    box.commands.run("mkdir wide && cd wide && seq 3000 | xargs touch")
    assert len(box.files.list("wide")) == 3000


def test_metadata_stays_with_the_file(box: Sandbox) -> None:
    written = box.files.write("tagged", "x", metadata={"origin": "test"})
    assert written.metadata == {"origin": "test"}
    assert box.files.get_info("tagged").metadata == {"origin": "test"}
    box.files.write("tagged", "y")
    assert box.files.get_info("tagged").metadata is None


def test_watching(box: Sandbox) -> None:
    box.files.make_dir("watched")
    with_watch = box.files.watch_dir("watched", recursive=True)
    box.files.write("watched/new", "content")
    events = [(event.name, event.type) for event in with_watch.get_new_events()]
    assert events == [
        ("new", FilesystemEventType.CREATE),
        ("new", FilesystemEventType.CHMOD),
        ("new", FilesystemEventType.WRITE),
    ]
    box.files.rename("watched/new", "watched/newer")
    box.files.remove("watched/newer")
    kinds = {event.type for event in with_watch.get_new_events()}
    assert {FilesystemEventType.RENAME, FilesystemEventType.REMOVE} <= kinds
    box.files.write("watched/sub/deep/file", "x")
    created = {
        event.name
        for event in with_watch.get_new_events()
        if event.type == FilesystemEventType.CREATE
    }
    assert created >= {"sub", "sub/deep"}
    with_watch.stop()
    with pytest.raises(SandboxException):
        with_watch.get_new_events()
    with pytest.raises(FileNotFoundException):
        box.files.watch_dir("no-such-folder")


def test_signed_addresses(server: Server, make: Maker) -> None:
    sandbox = make()
    sandbox.files.write("shared", "for a browser")
    url = sandbox.download_url("shared", use_signature_expiration=60)
    assert httpx.get(url).text == "for a browser"
    assert httpx.get(sandbox.download_url("shared")).text == "for a browser"
    upload = sandbox.upload_url("sent", use_signature_expiration=60)
    assert httpx.post(upload, files={"file": ("sent", b"by a browser")}).status_code == 200
    assert sandbox.files.read("sent") == "by a browser"
    for wrong in (
        url.replace("shared", "secret"),
        sandbox.download_url("shared", use_signature_expiration=-10),
        f"{server.url}/files?path=shared",
        f"{server.url}/files?path=shared&signature=v1_wrong",
    ):
        answer = httpx.get(wrong)
        assert answer.status_code in {401, 502}
        assert answer.json()["message"]


def test_a_file_that_shrinks_while_it_is_sent(make: Maker) -> None:
    sandbox = make()
    sandbox.files.write("big", io.BytesIO(b"x" * (60 << 20)))
    stream = sandbox.files.read("big", format="stream")
    next(stream)
    sandbox.commands.run("truncate -s 1 big")
    with pytest.raises(httpx.HTTPError):
        for _ in stream:
            pass
    assert sandbox.files.read("big") == "x"


def test_a_gzip_that_is_none(server: Server, make: Maker) -> None:
    sandbox = make()
    headers = {
        "E2b-Sandbox-Id": sandbox.sandbox_id,
        "X-Access-Token": sandbox.connection_config.sandbox_headers["X-Access-Token"],
        "Content-Type": "application/octet-stream",
        "Content-Encoding": "gzip",
    }
    for body in (b"no gzip", gzip.compress(b"cut")[:-4]):
        answer = httpx.post(f"{server.url}/files?path=z", headers=headers, content=body)
        assert (answer.status_code, answer.json()["code"]) == (400, 400)


def test_reading_while_somebody_writes(box: Sandbox) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            box.files.write("contended", "x" * 1000)

    writer = threading.Thread(target=write)
    box.files.write("contended", "x")
    writer.start()
    try:
        for _ in range(20):
            assert set(box.files.read("contended")) <= {"x"}
    finally:
        stop.set()
        writer.join()
