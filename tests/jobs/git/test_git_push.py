"""Pushes move a branch only from where we know it to be, and refusals say why."""

import random
from pathlib import Path

import pytest
from git_world import (
    BOT,
    Files,
    Server,
    cut,
    git,
    hang,
    lost,
    save,
    seed,
    status,
    through,
    unpack,
)

from jobs.forge.errors import GitUnauthorized, GitUnreachable, PushRefused
from jobs.forge.git import Checkout, Commit, remote_head
from jobs.forge.push import push as push_objects

BRANCH = "vibecode/1-fix"


def change(checkout: Checkout, data: bytes = b"changed\n", path: str = "README.md") -> Commit:
    files = unpack(checkout)
    files.write(path, data)
    made = save(checkout, files)
    assert isinstance(made, Commit)
    return made


def head(bare: Path, branch: str = BRANCH) -> str:
    return git("rev-parse", f"refs/heads/{branch}", cwd=bare).decode().strip()


def test_steps_follow_each_other(server: Server, bare: Path, checkout: Checkout) -> None:
    remote = server.remote()
    expect = None
    for number in range(3):
        made = change(checkout, b"%d\n" % number)
        checkout.push(remote, BRANCH, made, expect=expect)
        expect = made.sha
    assert head(bare) == expect == checkout.head_sha
    assert git("rev-list", "--count", f"main..{BRANCH}", cwd=bare).strip() == b"3"
    assert git("show", f"{BRANCH}:README.md", cwd=bare) == b"2\n"
    git("fsck", "--full", "--strict", cwd=bare)


def test_another_worker_can_tell_whose_head_it_is(
    server: Server, bare: Path, checkout: Checkout, tmp_path: Path
) -> None:
    made = change(checkout)
    checkout.push(server.remote(), BRANCH, made, expect=None)
    with Checkout.fetch(tmp_path / "other", server.remote(), BRANCH) as other:
        head = other.head()
    assert head == checkout.head()
    assert head.parents == (checkout.base_sha,)
    assert (head.author, head.message) == (BOT, "Change it\n")


def test_a_branch_that_exists_is_left_alone(server: Server, bare: Path, checkout: Checkout) -> None:
    theirs = seed(bare, {b"theirs": (0o100644, b"1")}, BRANCH)
    made = change(checkout)
    with pytest.raises(PushRefused, match="Somebody else") as caught:
        checkout.push(server.remote(), BRANCH, made, expect=None)
    assert caught.value.kind == "stale"
    assert head(bare) == theirs
    assert checkout.head_sha == checkout.base_sha


def test_a_branch_that_moved_is_left_alone(server: Server, bare: Path, checkout: Checkout) -> None:
    first = change(checkout, b"1\n")
    checkout.push(server.remote(), BRANCH, first, expect=None)
    theirs = seed(bare, {b"theirs": (0o100644, b"1")}, BRANCH)
    second = change(checkout, b"2\n")
    with pytest.raises(PushRefused, match=f"is now at {theirs[:8]}"):
        checkout.push(server.remote(), BRANCH, second, expect=first.sha)
    git("update-ref", "-d", f"refs/heads/{BRANCH}", cwd=bare)
    with pytest.raises(PushRefused, match="it is gone"):
        checkout.push(server.remote(), BRANCH, second, expect=first.sha)
    assert checkout.head_sha == first.sha


def test_a_branch_that_moves_during_the_push_is_left_alone(
    server: Server, bare: Path, checkout: Checkout
) -> None:
    theirs: list[str] = []

    def race(handler: object) -> bool:
        theirs.append(seed(bare, {b"theirs": (0o100644, b"1")}, BRANCH))
        return False

    made = change(checkout)
    server.faults = [through, race]  # after the refs were told, before the push comes
    with pytest.raises(PushRefused, match="Somebody else") as caught:
        checkout.push(server.remote(), BRANCH, made, expect=None)
    assert caught.value.kind == "stale"
    assert head(bare) == theirs[0]


def test_a_lost_answer_is_looked_up(server: Server, bare: Path, checkout: Checkout) -> None:
    made = change(checkout)
    server.faults = [through, lost]
    checkout.push(server.remote(), BRANCH, made, expect=None)
    assert head(bare) == made.sha == checkout.head_sha


def test_a_push_can_be_repeated_by_another_worker(
    server: Server, bare: Path, checkout: Checkout, tmp_path: Path
) -> None:
    made = change(checkout)
    checkout.push(server.remote(), BRANCH, made, expect=None)
    checkout.push(server.remote(), BRANCH, made, expect=None)
    with Checkout.fetch(tmp_path / "other", server.remote(), None) as other:
        again = change(other)
        assert again.sha == made.sha  # same content, people, message and time
        other.push(server.remote(), BRANCH, again, expect=None)
    assert head(bare) == made.sha


@pytest.mark.parametrize("faults", [[status(502)], [through, status(503)], [through, cut(0.2)]])
def test_passing_faults_are_outlasted(
    server: Server, bare: Path, checkout: Checkout, faults: list[object]
) -> None:
    made = change(checkout)
    server.faults = list(faults)  # type: ignore[arg-type]
    checkout.push(server.remote(), BRANCH, made, expect=None)
    assert head(bare) == made.sha


def test_a_server_that_never_answers_is_given_up(
    server: Server, bare: Path, checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.forge.push.PUSH_SECONDS", 0.7)
    made = change(checkout)
    server.faults = [through, hang]
    with pytest.raises(GitUnreachable):
        checkout.push(server.remote(), BRANCH, made, expect=None)
    assert checkout.head_sha == checkout.base_sha
    checkout.push(server.remote(), BRANCH, made, expect=None)


GH006 = """remote: error: GH006: Protected branch update failed for refs/heads/x.
remote: error: Required status check "ci" is expected."""
GH013 = """remote: error: GH013: Repository rule violations found for refs/heads/x.
remote: - Cannot create ref due to creations being restricted."""
GH013_SECRET = """remote: error: GH013: Repository rule violations found for refs/heads/x.
remote: - GITHUB PUSH PROTECTION
remote:   - Push cannot contain secrets"""
GH001 = "remote: error: GH001: Large files detected. File a exceeds GitHub's file size limit"


@pytest.mark.parametrize(
    ("words", "kind", "told"),
    [
        (GH006, "protected", "Required status check"),
        (GH013, "protected", "creations being restricted"),
        (GH013_SECRET, "secret", "must be taken out"),
        (GH001, "too_large", "over the server's limit"),
        (
            "refusing to allow a GitHub App to create or update workflow "
            "`.github/workflows/x.yml` without `workflows` permission",
            "workflow",
            "make that change yourself",
        ),
        ("Permission to o/r.git denied to app[bot].", "permission", "may not write"),
        ("Commit messages need a ticket number", "hook", "ticket number"),
    ],
)
def test_refusals_of_the_server_are_told(
    server: Server, bare: Path, checkout: Checkout, words: str, kind: str, told: str
) -> None:
    hook = bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    (bare / "words").write_text(words)
    hook.write_text('#!/bin/sh\ncat >/dev/null\ncat words >&2\nprintf "\\033[31m" >&2\nexit 1\n')
    hook.chmod(0o755)
    made = change(checkout)
    with pytest.raises(PushRefused) as caught:
        checkout.push(server.remote(), BRANCH, made, expect=None)
    assert caught.value.kind == kind
    assert told in str(caught.value) and "\033" not in str(caught.value)
    assert remote_head(server.remote(), BRANCH) is None
    hook.unlink()
    checkout.push(server.remote(), BRANCH, made, expect=None)


def test_no_permission_to_push_is_told(server: Server, bare: Path, checkout: Checkout) -> None:
    made = change(checkout)
    server.faults = [status(403, b"Write access to repository not granted.")]
    with pytest.raises(PushRefused, match="Write access to repository not granted") as caught:
        checkout.push(server.remote(), BRANCH, made, expect=None)
    assert caught.value.kind == "permission"
    server.faults = [through, status(413)]
    with pytest.raises(PushRefused) as caught:
        checkout.push(server.remote(), BRANCH, made, expect=None)
    assert caught.value.kind == "too_large"
    server.token = "other"
    with pytest.raises(GitUnauthorized):
        checkout.push(server.remote(), BRANCH, made, expect=None)


def test_a_pack_that_misses_objects_is_refused(
    server: Server, bare: Path, checkout: Checkout
) -> None:
    made = change(checkout)
    with pytest.raises(PushRefused):
        push_objects(server.remote(), BRANCH, made.sha, made.objects[:1], expect=None)
    assert remote_head(server.remote(), BRANCH) is None


def test_a_large_push_arrives(server: Server, bare: Path, checkout: Checkout) -> None:
    files = unpack(checkout)
    for number in range(3):
        files.write(f"big{number}", random.Random(number).randbytes(9_000_000))
    made = save(checkout, files)
    assert isinstance(made, Commit)
    checkout.push(server.remote(), BRANCH, made, expect=None)
    assert git("cat-file", "-s", f"{BRANCH}:big2", cwd=bare).strip() == b"9000000"


def test_many_other_refs_do_not_matter(server: Server, bare: Path, checkout: Checkout) -> None:
    lines = "".join(f"create refs/pull/{i}/head {checkout.base_sha}\n" for i in range(1, 3000))
    git("update-ref", "--stdin", cwd=bare, data=lines.encode())
    made = change(checkout)
    checkout.push(server.remote(), BRANCH, made, expect=None)
    assert head(bare) == made.sha


def test_a_commit_of_another_head_is_not_pushed(server: Server, checkout: Checkout) -> None:
    first, second = change(checkout, b"1\n"), change(checkout, b"2\n")
    changes = checkout.compare(unpack(checkout).manifest())
    checkout.push(server.remote(), BRANCH, first, expect=None)
    with pytest.raises(ValueError, match="not made on the head"):
        checkout.push(server.remote(), BRANCH, second, expect=first.sha)
    with pytest.raises(ValueError, match="another commit"):
        checkout.commit(changes, Files({}).tar(()), message="m", author=BOT, committer=BOT, when=0)
