"""With the script that really lists and packs a sandbox's files, on a real folder."""

import base64
import json
import os
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from git_world import BOT, Server, git, ls_tree

import agent.inside
from jobs.forge.git import Changes, Checkout, Commit, Refusals


class Folder:
    """A folder that stands for a sandbox's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def unpack(self, checkout: Checkout) -> None:
        out = BytesIO()
        checkout.tar(out)
        subprocess.run(
            ["tar", "-xpf", "-", "--no-same-owner", "-C", self.path],
            input=out.getvalue(), check=True,
        )  # fmt: skip

    def ask(self, verb: str, **request: object) -> bytes:
        done = subprocess.run(
            [sys.executable, "-I", "-S", agent.inside.__file__, verb, self.path],
            env={"VIBECODER_REQUEST": json.dumps(request)},
            capture_output=True,
            check=True,
        )
        return b"".join(base64.b64decode(line) for line in done.stdout.splitlines())

    def manifest(self) -> bytes:
        return zlib.decompress(self.ask("manifest"))

    def compare(self, checkout: Checkout) -> Changes:
        manifest = self.manifest()
        rules = {
            p: (self.path / os.fsdecode(p)).read_bytes() for p in checkout.changed_rules(manifest)
        }
        return checkout.compare(manifest, rules)

    def save(self, checkout: Checkout) -> Commit | Refusals:
        changes = self.compare(checkout)
        paths = [base64.b64encode(path).decode() for path in changes.take]
        tar = BytesIO(self.ask("take", paths=paths, max_bytes=10**8))
        return checkout.commit(changes, tar, message="m", author=BOT, committer=BOT, when=1)


@pytest.fixture
def folder(checkout: Checkout, tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "sandbox")
    made.unpack(checkout)
    return made


def test_nothing_changed_by_the_way_there_and_back(checkout: Checkout, folder: Folder) -> None:
    assert folder.compare(checkout).empty


def test_a_day_of_work_comes_back(
    server: Server, bare: Path, checkout: Checkout, folder: Folder
) -> None:
    root = folder.path
    (root / "src/a.py").write_bytes(b"a = 2\r\n")
    (root / "src/run.sh").chmod(0o644)
    (root / "README.md").unlink()
    (root / "docs").mkdir()
    (root / "docs/read me.md").write_text("x\n")
    (root / "docs/link").symlink_to("../src/a.py")
    (root / os.fsdecode(b"caf\xe9")).write_text("latin\n")
    (root / ("n" * 200)).write_text("long\n")
    (root / "empty").mkdir()
    os.link(root / "src/a.py", root / "src/hard.py")
    (root / "build").mkdir()
    (root / "build/big").write_bytes(b"\0" * 1_000_000)
    os.mkfifo(root / "build/fifo")
    (root / ".gitignore").write_text("build/\n*.pyc\ndist/\n")
    (root / "dist").mkdir()
    (root / "dist/out").write_text("x")
    made = folder.save(checkout)
    assert isinstance(made, Commit), made
    checkout.push(server.remote(), "next", made, expect=None)
    modes = {path: mode for path, (mode, _) in ls_tree(bare, "next").items()}
    assert modes == {
        b".gitignore": 0o100644,
        b"caf\xe9": 0o100644,
        b"docs/link": 0o120000,
        b"docs/read me.md": 0o100644,
        b"n" * 200: 0o100644,
        b"src/a.py": 0o100644,
        b"src/hard.py": 0o100644,
        b"src/run.sh": 0o100644,
    }
    assert git("show", "next:src/a.py", cwd=bare) == b"a = 2\r\n"
    assert git("show", "next:docs/link", cwd=bare) == b"../src/a.py"
    git("fsck", "--full", "--strict", cwd=bare)
    assert folder.compare(checkout).empty


def test_what_was_planted_is_named(checkout: Checkout, folder: Folder) -> None:
    root = folder.path
    git("init", "-q", root)
    git("init", "-q", root / "vendored")
    (root / "escape").symlink_to("/etc/passwd")
    os.mkfifo(root / "fifo")
    refused = folder.compare(checkout).refused
    assert {(each.path, each.kind) for each in refused} == {
        (".git", "git_dir"),
        ("vendored/.git", "git_dir"),
        ("fifo", "special"),
    }
    for path in (".git", "vendored"):
        subprocess.run(["rm", "-r", root / path], check=True)
    (root / "fifo").unlink()
    made = folder.save(checkout)
    assert isinstance(made, Refusals)
    assert [(each.path, each.kind) for each in made.refused] == [("escape", "link")]
    (root / "escape").unlink()
    assert folder.compare(checkout).empty
