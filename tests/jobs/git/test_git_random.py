"""Random repositories and changes: the same tree as git's own, the same files ignored."""

import random
import subprocess
from pathlib import Path

import pytest
from git_world import ENV, Files, Server, compare, git, ls_tree, save, seed, unpack

from jobs.forge.git import Checkout, Commit, Refusals
from jobs.forge.tree import Ignored

NAMES = [b"a", b"b.txt", b"c d", b"x.o", b"\xe9", b"build", b"Z"]
TEXTS = [b"", b"1\n", b"1\n2\n", b"2\n1\n", b"\0binary", b"long\n" * 50]


def random_files(rng: random.Random, count: int) -> dict[bytes, tuple[int, bytes]]:
    found: dict[bytes, tuple[int, bytes]] = {}
    for _ in range(count):
        path = b"/".join(rng.choices(NAMES, k=rng.randint(1, 4)))
        mode = rng.choice([0o100644, 0o100644, 0o100755, 0o120000])
        data = b"a" if mode == 0o120000 else rng.choice(TEXTS)
        folders = {path[:i] for i in range(len(path)) if path[i : i + 1] == b"/"}
        if folders & set(found) or any(other.startswith(path + b"/") for other in found):
            continue
        found[path] = (mode, data)
    return found


@pytest.mark.parametrize("number", range(15))
def test_random_changes_make_gits_own_tree(server: Server, tmp_path: Path, number: int) -> None:
    rng = random.Random(number)
    bare = server.create()
    seed(bare, random_files(rng, 30) | {b"Z9": (0o100644, b"so that it is not empty\n")})
    with Checkout.fetch(tmp_path / "job", server.remote(), None) as found:
        expect = None
        for step in range(4):
            files = unpack(found)
            for path in rng.sample(sorted(files.content), k=len(files.content) // 3):
                del files.content[path]
            for path, entry in random_files(rng, 12).items():
                for other in list(files.content):
                    if path.startswith(other + b"/") or other.startswith(path + b"/"):
                        del files.content[other]
                files.content[path] = entry
            wanted = seed(bare, files.content, f"wanted-{step}")
            made = save(found, files)
            if isinstance(made, Refusals):
                assert made.refused[0].kind == "nothing" and not compare(found, files).listed
                continue
            theirs = git("rev-parse", f"{wanted}^{{tree}}", cwd=bare).decode().strip()
            assert made.tree == theirs
            before = found.head_sha
            found.push(server.remote(), "ours", made, expect=expect)
            expect = made.sha
            assert {p: e[0] for p, e in files.content.items()} == {
                p: e[0] for p, e in ls_tree(bare, made.sha).items()
            }
            check_numbers(bare, before, made)
            check_diff(bare, found, before, made, files)
    git("fsck", "--full", "--strict", cwd=bare)


def check_numbers(bare: Path, before: str, made: Commit) -> None:
    out = git("diff-tree", "-r", "-z", "--no-renames", "--numstat", before, made.sha, cwd=bare)
    theirs = {}
    for line in out.split(b"\0")[:-1]:
        added, deleted, path = line.split(b"\t")
        theirs[path.decode("utf-8", "backslashreplace")] = (
            int(added.replace(b"-", b"0")),
            int(deleted.replace(b"-", b"0")),
        )
    ours = {each.path: (each.added, each.deleted) for each in made.files}
    assert ours.keys() == theirs.keys()
    # A file that became a link, or the other way, is one change here and two for git.
    kinds = {p for p in ours if ours[p] != theirs[p]}
    raw = git("diff-tree", "-r", "-z", "--no-renames", "--diff-filter=T", "--name-only",
              before, made.sha, cwd=bare)  # fmt: skip
    assert kinds <= {p.decode("utf-8", "backslashreplace") for p in raw.split(b"\0")}


def check_diff(bare: Path, found: Checkout, before: str, made: Commit, files: Files) -> None:
    text = found.diff(before, made.sha)
    for each in made.files:
        assert each.path.isascii() is False or each.path in text
    small = found.diff(before, made.sha, max_bytes=300)
    assert len(small.encode()) < 2500


IGNORES = [
    b"*.o", b"!x.o", b"build/", b"/a", b"a/b", b"**/c d", b"a/**", b"!a/b.txt", b"b*", b"[abZ]",
    b"\\!x", b"# no", b"", b"a/*", b"!a/Z/", b"*/", b"Z/**/x.o", b"?", b"/*", b"!/Z", b"**",
]  # fmt: skip


@pytest.mark.parametrize("number", range(12))
def test_random_rules_ignore_what_git_ignores(tmp_path: Path, number: int) -> None:
    rng = random.Random(1000 + number)
    git("init", "-q", tmp_path)
    rules = {
        folder: b"\n".join(rng.sample(IGNORES, k=rng.randint(1, 5))) + b"\n"
        for folder in [b"", *rng.sample([b"a/", b"build/", b"Z/", b"a/Z/"], k=2)]
    }
    paths = sorted({b"/".join(rng.choices(NAMES, k=rng.randint(1, 4))) for _ in range(150)})
    root = bytes(tmp_path)
    taken = []
    for path in paths:
        target = Path((root + b"/" + path).decode("utf-8", "surrogateescape"))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        except OSError:  # a file where a folder should be
            continue
        if target.is_file():
            taken.append(path)
    loaded = {}
    for folder, data in rules.items():
        place = Path((root + b"/" + folder).decode())
        if place.is_dir():
            (place / ".gitignore").write_bytes(data)
            loaded[folder + b".gitignore"] = data
    taken += loaded
    ours = {path for path in taken if Ignored(loaded.get).covers(path)}
    done = subprocess.run(
        ["git", "check-ignore", "-z", "--stdin", "--no-index"],
        cwd=tmp_path, env=ENV, input=b"\0".join(taken), capture_output=True, check=False,
    )  # fmt: skip
    theirs = set(done.stdout.split(b"\0")) - {b""}
    assert ours == theirs
