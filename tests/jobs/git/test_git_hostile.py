"""Hostile archives, manifests and packs: refused or taken exactly, never an exception."""

import io
import struct
import tarfile
import zlib
from hashlib import sha1
from io import BytesIO
from pathlib import Path

import pytest
from git_world import BOT, Files, Server, blob_sha, compare, unpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.forge import intake, tarball
from jobs.forge.errors import GitUnreachable
from jobs.forge.git import Checkout, Commit, Refusals
from jobs.forge.intake import FILE, LINK, PROGRAM, Listed

A, B = b"content a\n", b"content b\n"
LISTED = (Listed(b"a", FILE, blob_sha(A)), Listed(b"d/b", PROGRAM, blob_sha(B)))


def members(*items: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for item in items:
            info, data = item if isinstance(item, tuple) else (item, b"")
            info.size = info.size or len(data)
            tar.addfile(info, BytesIO(data) if data else None)
    return out.getvalue()


def info(name: str, **values: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for key, value in values.items():
        setattr(made, key, value)
    return made


GOOD = members((info("a"), A), (info("d/b", mode=0o755), B))


def read(data: bytes) -> tuple[dict[bytes, bytes], list[str]]:
    blobs, refused = tarball.read(BytesIO(data), LISTED)
    for path, blob in blobs.items():
        assert blob.id == {each.path: each.sha for each in LISTED}[path]
    return {path: blob.data for path, blob in blobs.items()}, [each.kind for each in refused]


def test_the_good_archive_is_taken() -> None:
    assert read(GOOD) == ({b"a": A, b"d/b": B}, [])
    assert read(members((info("d/b"), B), (info("a"), A)))[1] == []  # in any order


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 10240,
        b"not a tar at all" * 100,
        zlib.compress(GOOD),
        GOOD[:700],
        members(info("a", type=tarfile.DIRTYPE)),
        members(info("a", type=tarfile.LNKTYPE, linkname="/etc/passwd")),
        members(info("a", type=tarfile.FIFOTYPE)),
        members(info("a", type=tarfile.CHRTYPE)),
        members(info("a", type=tarfile.CONTTYPE)),
        members(info("a", type=tarfile.GNUTYPE_SPARSE)),
        members(info("a", type=tarfile.SYMTYPE, linkname="d/b")),
        members(info("a", type=b"V")),
        members((info("a"), A), (info("a"), A), (info("d/b"), B)),
        members((info("../a"), A)),
        members((info("/a"), A)),
        members((info("a"), A), (info("d/b"), B), (info("c"), A)),
        members((info("a"), A), (info("d/b"), A)),
        members((info("n" * 9000), A)),
    ],
    ids=range(19),
)
def test_bad_archives_are_refused(data: bytes) -> None:
    taken, refused = read(data)
    assert refused and set(refused) <= {"broken", "moved"}
    assert set(taken) <= {b"a"}


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    """A header with any size field, its sum made right."""
    block = bytearray(tarfile.TarInfo(name.decode()).tobuf(tarfile.GNU_FORMAT))
    block[124:136] = size.ljust(12, b"\0")
    block[156:157] = kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    "size",
    [
        b"77777777777",
        b"\x80" + (1 << 62).to_bytes(11, "big"),
        b"\xff" * 12,  # minus one
        b"\xff" + (-(1 << 40)).to_bytes(11, "big", signed=True),
        b"-1",
        b"zz",
        b"00000020000",
    ],
)
@pytest.mark.parametrize("kind", [b"0", b"L", b"K", b"x", b"g", b"S", b"5", b"2"])
def test_lying_sizes_are_refused(size: bytes, kind: bytes) -> None:
    _, refused = read(header(b"a", size, kind) + A.ljust(512, b"\0") + GOOD)
    assert refused


def test_nested_long_names_are_refused() -> None:
    data = header(b"a", b"00000000001", b"L") + b"x".ljust(512, b"\0")
    assert read(data * 3000) == ({}, ["broken"])


def test_pax_headers_never_reach_the_parser() -> None:
    """Python before 3.11.10 takes minutes for this one."""
    body = b" " * 100_000 + b"9" * 100_000
    data = header(b"a", b"%011o" % len(body), b"x") + body + b"\0" * (-len(body) % 512)
    assert "broken" in read(data)[1]


class Endless(io.RawIOBase):
    """A stream without an end, after a good beginning."""

    def __init__(self, start: bytes, rest: bytes) -> None:
        self.start = start
        self.rest = rest
        self.given = 0

    def read(self, size: int = -1, /) -> bytes:
        self.given += size
        if self.start:
            data, self.start = self.start[:size], self.start[size:]
            return data
        return (self.rest * (size // len(self.rest) + 1))[:size]


@pytest.mark.parametrize("rest", [b"\0", b"x", header(b"a", b"00000000000")])
def test_streams_without_an_end_are_cut_off(rest: bytes) -> None:
    stream = Endless(header(b"a", b"\x80" + (1 << 50).to_bytes(11, "big")), rest)
    _, refused = tarball.read(stream, LISTED)  # type: ignore[arg-type]
    assert refused
    assert stream.given < intake.MAX_STEP * 2


@settings(max_examples=400, deadline=2000)
@given(st.data())
def test_any_damage_is_refused_or_harmless(data: st.DataObject) -> None:
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, 2048))
        what = data.draw(st.binary(min_size=1, max_size=16))
        damaged[at : at + len(what)] = what
    if data.draw(st.booleans()):  # with sums that are right again
        for at in (0, 1024):
            block = damaged[at : at + 512]
            block[148:156] = b" " * 8
            damaged[at + 148 : at + 156] = b"%06o\0 " % sum(block)
    taken, refused = read(bytes(damaged))
    assert refused or taken == {b"a": A, b"d/b": B}


@settings(max_examples=200, deadline=2000)
@given(st.binary(max_size=3000))
def test_any_bytes_are_no_archive(data: bytes) -> None:
    assert read(data)[1]


LINES = st.builds(
    lambda mode, sha, path: b"%s %s\t%s" % (mode, sha, path),
    st.sampled_from([b"100644", b"100755", b"120000", b"000000", b"160000", b"040000", b"777"]),
    st.sampled_from([b"1" * 40, b"fifo", b"1" * 40 + b" 12", b"1" * 39, b"G" * 40, b""]),
    st.one_of(
        st.binary(min_size=0, max_size=30),
        st.lists(
            st.sampled_from(
                [b"a", b".", b"..", b"", b".git", b"README.md", b"src", b".gitignore", b"\xff"]
            ),
            max_size=5,
        ).map(b"/".join),
    ),
)


@settings(
    max_examples=300,
    deadline=2000,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.one_of(st.binary(max_size=200), st.lists(LINES, max_size=8).map(b"\0".join)))
def test_any_manifest_is_compared_or_refused(checkout: Checkout, manifest: bytes) -> None:
    changes = checkout.compare(manifest + b"\0")
    for path in changes.take:
        parts = path.split(b"/")
        assert not {b"", b".", b"..", b".git"} & set(parts)
        assert not changes.refused or path not in {r.path.encode() for r in changes.refused}
    for each in changes.refused:
        assert each.reason.isprintable(), each.reason


@pytest.mark.parametrize(
    "manifest",
    [
        b"100644 %s\ta" % (b"1" * 40),
        b"100644 %s\ta\0100644 %s\ta\0" % (b"1" * 40, b"2" * 40),
        b"100644 %s\ta\0100644 %s\ta/b\0" % (b"1" * 40, b"2" * 40),
        b"100644 %s\t/etc/passwd\0" % (b"1" * 40),
        b"100644 %s\ta/../b\0" % (b"1" * 40),
        b"160000 %s\ta\0" % (b"1" * 40),
        b"100644 %s a\0" % (b"1" * 40),
        b"\0",
    ],
)
def test_damaged_manifests_are_told(checkout: Checkout, manifest: bytes) -> None:
    changes = checkout.compare(manifest)
    assert [each.kind for each in changes.refused] == ["broken"]
    made = checkout.commit(changes, BytesIO(), message="m", author=BOT, committer=BOT, when=0)
    assert isinstance(made, Refusals) and made.reasons[0].endswith(".")


def test_what_was_not_listed_never_gets_in(checkout: Checkout) -> None:
    files = unpack(checkout)
    files.write("README.md", b"new\n")
    changes = compare(checkout, files)
    more = Files(files.content | {b"evil": (FILE, b"x")})
    made = checkout.commit(
        changes, more.tar((b"README.md", b"evil")), message="m", author=BOT, committer=BOT, when=0
    )
    assert isinstance(made, Refusals)
    made = checkout.commit(
        changes, files.tar((b"README.md",)), message="m", author=BOT, committer=BOT, when=0
    )
    assert isinstance(made, Commit)


def test_a_file_is_not_taken_for_a_link(checkout: Checkout) -> None:
    target = b"README.md"
    manifest = unpack(checkout).manifest() + b"%06o %s\tx\0" % (LINK, blob_sha(target))
    changes = checkout.compare(manifest)
    tar = Files({b"x": (FILE, target)}).tar((b"x",))
    made = checkout.commit(changes, tar, message="m", author=BOT, committer=BOT, when=0)
    assert isinstance(made, Refusals)


def pack(*objects: tuple[int, bytes, bytes]) -> bytes:
    """A pack of (type and size bytes, extra, compressed or not), with a sum that is right."""
    body = b"PACK" + struct.pack(">II", 2, len(objects)) + b"".join(b"".join(o) for o in objects)
    return body + sha1(body).digest()  # noqa: S324


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    "crafted",
    [
        pack(),
        pack((b"\x31", b"", b"no zlib")),
        pack((b"\x3f\xff\xff\x7f", b"", zlib.compress(b"short"))),
        pack((b"\x75", b"\x11" * 20, zlib.compress(b"\0\0\0"))),  # delta on what nobody has
        pack((b"\x65", b"\x7f", zlib.compress(b"\0\0\0"))),  # delta on a place outside
        pack((b"\x55", b"", zlib.compress(b"xxxxx"))),  # no such type
        pack((b"\x13", b"", zlib.compress(b"abc"))),  # a commit that is none
        b"PACK" + b"\xff" * 40,
        b"x" * 100,
    ],
    ids=range(9),
)  # fmt: skip
def test_crafted_packs_are_told(server: Server, bare: Path, tmp_path: Path, crafted: bytes) -> None:
    def answer(handler: object) -> bool:
        side = b"\x01" + crafted
        body = b"000dpackfile\n" + b"%04x" % (len(side) + 4) + side + b"0000"
        handler.answer(200, body, "application/x-git-upload-pack-result")  # type: ignore[attr-defined]
        return True

    server.faults = [lambda _: False, lambda _: False, answer] * 4
    with pytest.raises(GitUnreachable):
        Checkout.fetch(tmp_path / "job", server.remote(), None, seconds=0.3)
