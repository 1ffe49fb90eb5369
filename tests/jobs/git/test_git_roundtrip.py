"""Fetch, hand out, compare, commit, push: what the remote holds afterwards, by git's own word."""

from pathlib import Path

from git_world import BOT, Server, git, ls_tree, save, unpack

from jobs.forge.git import Checkout, Commit, remote_head


def test_a_step_becomes_one_commit_on_a_new_branch(
    server: Server, bare: Path, checkout: Checkout
) -> None:
    files = unpack(checkout)
    files.write("src/a.py", b"a = 1\nb = 3\nc = 4\n")
    files.write("new/deep/x.txt", b"x\n", 0o100755)
    del files.content[b"README.md"]
    files.write("build/out.bin", b"\0" * 1000)
    made = save(checkout, files, "Fix b\n\nBecause.")
    assert isinstance(made, Commit)
    checkout.push(server.remote(), "vibecode/1-fix", made, expect=None)
    assert checkout.head_sha == made.sha == remote_head(server.remote(), "vibecode/1-fix")
    assert git("rev-parse", "vibecode/1-fix", cwd=bare).decode().strip() == made.sha
    tree = ls_tree(bare, made.sha)
    assert set(tree) == {b"src/a.py", b"src/run.sh", b".gitignore", b"new/deep/x.txt"}
    assert tree[b"new/deep/x.txt"][0] == 0o100755
    assert [(f.path, f.status, f.added, f.deleted) for f in made.files] == [
        ("README.md", "deleted", 0, 1),
        ("new/deep/x.txt", "added", 1, 0),
        ("src/a.py", "modified", 2, 1),
    ]
    shown = git("log", "-1", "--format=%an|%ae|%cn|%ct|%s|%b|%P", made.sha, cwd=bare).decode()
    assert shown.split("|")[:5] == [BOT.name, BOT.email, BOT.name, "1700000100", "Fix b"]
    assert checkout.base_sha in shown
    git("fsck", "--full", "--strict", cwd=bare)
