"""A commit as a mail: `git am` makes the same tree of it."""

from pathlib import Path

import pytest
from git_world import Server, git, save, unpack
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.forge.git import Checkout, Commit
from jobs.forge.patch import Changed, Side, mail

CONTENTS = (
    b"changed\n",
    b"no end of line",
    b"dos\r\nlines\r\n",
    b"latin \xe9\n",
    b"\x00binary\xff" * 300,
    b"",
    b"From here\n--- a\ndiff --git a b\n-- \n",
)


@pytest.mark.parametrize("data", CONTENTS)
def test_git_am_makes_the_same_commit_of_it(
    server: Server, bare: Path, checkout: Checkout, tmp_path: Path, data: bytes
) -> None:
    files = unpack(checkout)
    files.write("README.md", data)
    files.write("docs/n\u00e9w file.txt", data + b"more\n")
    made = save(checkout, files)
    assert isinstance(made, Commit)
    assert _applied(bare, checkout.patch(made), tmp_path) == made.tree


def _applied(bare: Path, patch: bytes, tmp_path: Path) -> str:
    clone = tmp_path / "clone"
    git("clone", "-q", bare, clone)
    git("am", "-q", "--keep-cr", cwd=clone, data=patch)
    return git("rev-parse", "HEAD^{tree}", cwd=clone).decode().strip()


SIDES = st.none() | st.builds(
    Side,
    st.sampled_from([0o100644, 0o100755]),
    st.one_of(st.binary(max_size=200), st.sampled_from(CONTENTS)),
)


@settings(max_examples=40, deadline=None)
@given(old=SIDES, new=SIDES, message=st.text(max_size=200))
def test_any_change_of_a_file_comes_through(
    tmp_path_factory: pytest.TempPathFactory, old: Side | None, new: Side | None, message: str
) -> None:
    if old == new:
        return
    folder = tmp_path_factory.mktemp("patch")
    git("init", "-q", "-b", "main", folder)
    (folder / "other").write_bytes(b"other\n")
    file = folder / "a file"
    if old is not None:
        file.write_bytes(old.data)
        file.chmod(old.mode & 0o777)
    git("add", "-A", cwd=folder)
    git("commit", "-q", "-m", "base", cwd=folder)
    words = "Change it\n\n" + message.replace("\0", "").encode("utf-8", "replace").decode()

    patch = mail("a" * 40, b"Ann <ann@example.com>", 1, words, [Changed(b"a file", old, new)])

    git("am", "-q", "--keep-cr", cwd=folder, data=patch)
    assert file.exists() == (new is not None)
    if new is not None:
        assert file.read_bytes() == new.data
        assert file.stat().st_mode & 0o100 == new.mode & 0o100
