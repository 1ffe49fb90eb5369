"""Repositories with everything that git allows, out and back without a change to what is theirs."""

import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from git_world import Files, Server, blob_sha, compare, git, ls_tree, save, seed, unpack

from jobs.forge.git import Checkout, Commit, Refusals

FILE, PROGRAM, LINK, SUBMODULE = 0o100644, 0o100755, 0o120000, 0o160000
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"
WEIRD: dict[bytes, tuple[int, bytes]] = {
    b"crlf.txt": (FILE, b"a\r\nb\r\n"),
    b"no-newline": (FILE, b"a"),
    b"empty": (FILE, b""),
    b"binary": (FILE, bytes(range(256))),
    b"caf\xc3\xa9/\xe6\x97\xa5\xe6\x9c\xac.txt": (FILE, b"utf-8\n"),
    b"latin-\xe9\xff.txt": (FILE, b"not utf-8\n"),
    b"with space/a\\b:c*?.txt": (FILE, b"x\n"),
    b"-dash": (FILE, b"x\n"),
    b"bin/run": (PROGRAM, b"#!/bin/sh\n"),
    b"link": (LINK, b"crlf.txt"),
    b"bin/up": (LINK, b"../crlf.txt"),
    b"dangling": (LINK, b"nowhere"),
    b"escapes": (LINK, b"../../etc/passwd"),
    b"absolute": (LINK, b"/etc/passwd"),
    b"latin-link": (LINK, b"latin-\xe9\xff.txt"),
    b"vendor/lib": (SUBMODULE, b"1" * 40),
    b".gitmodules": (FILE, b'[submodule "lib"]\n\tpath = vendor/lib\n\turl = https://x/y\n'),
    b".gitattributes": (FILE, b"*.bin filter=lfs diff=lfs merge=lfs -text\n*.txt text eol=crlf\n"),
    b"big.bin": (FILE, POINTER),
    b"deep/" + b"d/" * 60 + b"f": (FILE, b"deep\n"),
    b"long-" + b"n" * 240: (FILE, b"long\n"),
    b"tracked.log": (FILE, b"tracked though ignored\n"),
    b".gitignore": (FILE, b"*.log\n"),
    b"UPPER": (FILE, b"1\n"),
    b"upper": (FILE, b"2\n"),  # the repository's own clash
}


@pytest.fixture
def weird(server: Server) -> Path:
    bare = server.create("o/weird")
    git("config", "receive.fsckObjects", "false", cwd=bare)
    seed(bare, WEIRD)
    return bare


def test_everything_goes_out_as_it_is(server: Server, weird: Path, tmp_path: Path) -> None:
    with Checkout.fetch(tmp_path / "job", server.remote("o/weird"), None) as found:
        out = unpack(found).content
        assert out == {p: e for p, e in WEIRD.items() if e[0] != SUBMODULE}
        assert compare(found, Files(out)).empty
        assert found.read("bin/up") == b"a\r\nb\r\n"
        assert found.read("escapes") is found.read("vendor/lib") is found.read("bin") is None
        assert found.read("crlf.txt", 2) == b"a\r"
        assert found.files == len(WEIRD)


def test_what_is_unusual_is_told(server: Server, weird: Path, tmp_path: Path) -> None:
    with Checkout.fetch(tmp_path / "job", server.remote("o/weird"), None) as found:
        assert found.notes == (
            "`vendor/lib` is a submodule; I see an empty folder and cannot change it.",
            "`big.bin` is kept with Git LFS; I see only its pointer and cannot change it.",
            "`absolute` is a symbolic link that leaves the repository; I do not follow it; "
            "so it is with 1 more.",
            "`latin-\\xe9\\xff.txt` has a name that is not UTF-8; I keep it as it is.",
        )


def test_a_change_leaves_everything_else_alone(server: Server, weird: Path, tmp_path: Path) -> None:
    with Checkout.fetch(tmp_path / "job", server.remote("o/weird"), None) as found:
        files = unpack(found)
        files.write("crlf.txt", b"a\r\nc\r\n")
        files.content[b"latin-\xe9\xff.txt"] = (PROGRAM, b"changed\n")
        files.content[b"latin-link"] = (LINK, b"crlf.txt")
        files.write("tracked.log", b"still tracked\n")
        files.write("new.log", b"ignored\n")
        changes = compare(found, files)
        assert changes.ignored == 1
        made = save(found, files)
        assert isinstance(made, Commit), made
        found.push(server.remote("o/weird"), "next", made, expect=None)
        before, after = ls_tree(weird, "main"), ls_tree(weird, "next")
        changed = {path for path in before | after if before.get(path) != after.get(path)}
        assert changed == {b"crlf.txt", b"latin-\xe9\xff.txt", b"latin-link", b"tracked.log"}
        assert after[b"crlf.txt"] == (FILE, blob_sha(b"a\r\nc\r\n"))
        assert after[b"latin-\xe9\xff.txt"] == (PROGRAM, blob_sha(b"changed\n"))
        assert compare(found, files).empty
    git("fsck", "--full", cwd=weird)


def test_files_and_folders_take_each_others_place(
    server: Server, weird: Path, tmp_path: Path
) -> None:
    with Checkout.fetch(tmp_path / "job", server.remote("o/weird"), None) as found:
        files = unpack(found)
        del files.content[b"bin/run"], files.content[b"bin/up"], files.content[b"empty"]
        files.write("bin", b"a file now\n")
        files.write("empty/a/b", b"a folder now\n")
        made = save(found, files)
        assert isinstance(made, Commit), made
        found.push(server.remote("o/weird"), "next", made, expect=None)
        after = ls_tree(weird, "next")
        assert after[b"bin"][1] == blob_sha(b"a file now\n")
        assert after[b"empty/a/b"][1] == blob_sha(b"a folder now\n")
        assert b"empty" not in after and b"bin/run" not in after
    git("fsck", "--full", cwd=weird)


def test_submodules_stay_whatever_the_sandbox_does(
    server: Server, weird: Path, tmp_path: Path
) -> None:
    with Checkout.fetch(tmp_path / "job", server.remote("o/weird"), None) as found:
        for path in ("vendor/lib/a.c", "vendor/lib", "vendor"):
            files = unpack(found)
            files.write(path, b"x\n")
            refused = save(found, files)
            assert isinstance(refused, Refusals)
            assert [(each.path, each.kind) for each in refused.refused] == [(path, "submodule")]


def test_lfs_content_is_refused_and_pointers_are_not(
    server: Server, weird: Path, tmp_path: Path
) -> None:
    with Checkout.fetch(tmp_path / "job", server.remote("o/weird"), None) as found:
        files = unpack(found)
        files.write("big.bin", b"real content")
        files.write("sub/new.bin", b"more")
        files.write("sub/ok.bin", POINTER)
        refused = save(found, files)
        assert isinstance(refused, Refusals)
        assert [(r.path, r.kind) for r in refused.refused] == [
            ("big.bin", "lfs"),
            ("sub/new.bin", "lfs"),
        ]
        files = unpack(found)
        files.write("sub/.gitattributes", b"*.bin -filter\n")
        files.write("sub/new.bin", b"more")
        assert isinstance(save(found, files), Commit)


def test_what_could_not_be_unpacked_can_be_replaced(server: Server, tmp_path: Path) -> None:
    bare = server.create()
    git("config", "receive.fsckObjects", "false", cwd=bare)
    seed(bare, {b"a": (FILE, b"1\n"), b"odd": (LINK, b"")})
    with Checkout.fetch(tmp_path / "job", server.remote(), None) as found:
        files = unpack(found)
        assert set(files.content) == {b"a"}
        files.write("odd", b"a file now\n")
        made = save(found, files)
        assert isinstance(made, Commit)
        found.push(server.remote(), "next", made, expect=None)
        assert compare(found, files).empty


def test_old_modes_do_not_look_changed(server: Server, tmp_path: Path) -> None:
    bare = server.create()
    blob = git("hash-object", "-w", "--stdin", cwd=bare, data=b"x\n").strip()
    raw = b"100664 old\0" + bytes.fromhex(blob.decode()) + b"100644 new\0"
    raw = b"100644 new\0" + bytes.fromhex(blob.decode()) + raw[: -len(b"100644 new\0")]
    tree = git("hash-object", "-t", "tree", "-w", "--stdin", "--literally", cwd=bare, data=raw)
    commit = git("commit-tree", "-m", "x", tree.strip().decode(), cwd=bare).strip().decode()
    git("update-ref", "refs/heads/main", commit, cwd=bare)
    git("config", "receive.fsckObjects", "false", cwd=bare)
    with Checkout.fetch(tmp_path / "job", server.remote(), None) as found:
        files = unpack(found)
        assert compare(found, files).empty
        files.write("new", b"y\n")
        made = save(found, files)
        assert isinstance(made, Commit)
        found.push(server.remote(), "next", made, expect=None)
        assert b"100664 old" in git("cat-file", "tree", f"{made.sha}^{{tree}}", cwd=bare)


@pytest.mark.parametrize(
    "name", [b".git", b"..", b".GIT", b"git~1", b"a/.git/hooks", b"n" * 256, b".g\xe2\x80\x8dit"]
)
def test_hostile_names_of_a_repository_stay_out_of_the_sandbox(
    server: Server, tmp_path: Path, name: bytes
) -> None:
    bare = server.create()
    git("config", "receive.fsckObjects", "false", cwd=bare)
    blob = git("hash-object", "-w", "--stdin", cwd=bare, data=b"x\n").strip().decode()

    def tree(path: bytes) -> str:
        head, _, rest = path.partition(b"/")
        entry = (
            b"40000 %s\0" % head + bytes.fromhex(tree(rest))
            if rest
            else b"100644 %s\0" % head + bytes.fromhex(blob)
        )
        tail = b"100644 zz\0" + bytes.fromhex(blob)
        made = git(
            "hash-object", "-t", "tree", "-w", "--stdin", "--literally", cwd=bare,
            data=entry + tail,
        )  # fmt: skip
        return made.decode().strip()

    commit = git("commit-tree", "-m", "x", tree(name), cwd=bare).strip().decode()
    git("update-ref", "refs/heads/main", commit, cwd=bare)
    with Checkout.fetch(tmp_path / "job", server.remote(), None) as found:
        files = unpack(found)
        assert {path.rpartition(b"/")[2] for path in files.content} == {b"zz"}
        assert "cannot be unpacked safely" in found.notes[-1]
        assert compare(found, files).empty
        files.write("zz", b"changed\n")
        made = save(found, files)
        assert isinstance(made, Commit)
        found.push(server.remote(), "next", made, expect=None)
        before, after = ls_tree(bare, "main"), ls_tree(bare, "next")
        assert {path for path in before | after if before.get(path) != after.get(path)} == {b"zz"}


def test_the_last_file_can_go(server: Server, tmp_path: Path) -> None:
    bare = server.create()
    seed(bare, {b"a/b": (FILE, b"1\n"), b"c": (FILE, b"2\n")})
    with Checkout.fetch(tmp_path / "job", server.remote(), None) as found:
        files = unpack(found)
        del files.content[b"a/b"]
        made = save(found, files)
        assert isinstance(made, Commit)
        found.push(server.remote(), "next", made, expect=None)
        assert set(ls_tree(bare, "next")) == {b"c"}
        refused = save(found, Files({}))
        assert isinstance(refused, Refusals)
        assert "all files of the repository are gone" in refused.reasons[0]


def test_the_tar_is_the_same_for_the_same_commit(
    server: Server, weird: Path, tmp_path: Path
) -> None:
    tars = []
    for number in range(2):
        with Checkout.fetch(tmp_path / f"{number}", server.remote("o/weird"), None) as found:
            out = BytesIO()
            found.tar(out)
            tars.append(out.getvalue())
    assert tars[0] == tars[1]


def test_git_unpacks_what_gnu_tar_unpacks(server: Server, weird: Path, tmp_path: Path) -> None:
    """The sandbox unpacks with GNU tar: git must see the same files there as in a clone."""
    with (
        Checkout.fetch(tmp_path / "job", server.remote("o/weird"), None) as found,
        (tmp_path / "out.tar").open("wb") as out,
    ):
        found.tar(out)
    work = tmp_path / "work"
    work.mkdir()
    subprocess.run(["tar", "-xpf", tmp_path / "out.tar", "-C", work], check=True)
    # git's filters for line ends and LFS would get between.
    (weird / "info").mkdir(exist_ok=True)
    (weird / "info" / "attributes").write_text("* -text -filter\n")
    run = ("--git-dir", weird, "--work-tree", work, "-c", "core.bare=false")
    git(*run, "read-tree", "main", cwd=work)
    assert git(*run, "diff", "--name-only", "-z", cwd=work) == b""
    assert git(*run, "ls-files", "--others", "-z", cwd=work) == b""
