"""The real git command and dulwich against the git side: clone, shallow, push, refusals."""

import asyncio
import base64
import os
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from dulwich.client import HttpGitClient
from dulwich.objects import Commit
from dulwich.repo import MemoryRepo

from vibecoder.local.github import auth, bare
from vibecoder.local.github.world import World

REPOSITORY = "acme/widgets"


def app_token(world: World, **permissions: str) -> str:
    return auth.mint_installation_token(
        world,
        world.installation,
        permissions=permissions or dict(world.installation.permissions),
        repository_ids=None,
    ).text


async def git(cwd: Path, *arguments: str, token: str = "") -> tuple[int, str]:
    """Exit code and everything printed; the token goes into a header, never into a file."""
    environment = {**bare.ENVIRONMENT, "HOME": str(cwd), "PATH": os.environ["PATH"]}
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "T", f"GIT_{who}_EMAIL": "t@example.com"}
    if token:
        basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        environment |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
        }
    process = await asyncio.create_subprocess_exec(
        "git",
        *arguments,
        cwd=cwd,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode(errors="replace")


async def cloned(world: World, tmp_path: Path, token: str, *flags: str) -> Path:
    code, out = await git(
        tmp_path, "clone", *flags, f"{world.base_url}/{REPOSITORY}.git", "copy", token=token
    )
    assert code == 0, out
    return tmp_path / "copy"


async def commit(copy: Path, path: str, content: bytes) -> str:
    (copy / path).parent.mkdir(parents=True, exist_ok=True)
    (copy / path).write_bytes(content)
    await git(copy, "add", "-A")
    code, out = await git(copy, "commit", "-m", f"Change {path}")
    assert code == 0, out
    return (await git(copy, "rev-parse", "HEAD"))[1].strip()


async def test_clone_gives_the_exact_bytes_and_modes(world: World, tmp_path: Path) -> None:
    copy = await cloned(world, tmp_path, app_token(world))
    assert (copy / "src/widget.py").read_bytes() == b"def turn():\r\n    return 1\r\n"
    assert (copy / "bin/run").stat().st_mode & 0o100
    assert str((copy / "link").readlink()) == "README.md"


async def test_anybody_clones_what_is_public(world: World, tmp_path: Path) -> None:
    copy = await cloned(world, tmp_path, "")
    assert (copy / "README.md").read_bytes() == b"# Widgets\n"


async def test_credentials_may_come_in_the_address(world: World, tmp_path: Path) -> None:
    """git asks without them first, which must not break off."""
    address = urlsplit(world.base_url)
    source = f"http://x-access-token:{app_token(world)}@{address.netloc}/{REPOSITORY}.git"
    assert (await git(tmp_path, "clone", source, "copy"))[0] == 0
    assert (await git(tmp_path / "copy", "push", "origin", "HEAD:refs/heads/two"))[0] == 0


async def test_shallow_clone_push_and_pull_request_follow(world: World, tmp_path: Path) -> None:
    token = app_token(world)
    copy = await cloned(world, tmp_path, token, "--depth", "1")
    await git(copy, "checkout", "-b", "fix")
    first = await commit(copy, "a.txt", b"1")
    code, out = await git(copy, "push", "origin", "fix", token=token)
    assert code == 0, out
    folder = world.repository(REPOSITORY).folder
    assert bare.branches(folder)["fix"] == first
    from vibecoder.local.github import pulls
    from vibecoder.local.github.records import Actor

    repository = world.repository(REPOSITORY)
    issue = pulls.open_pull(
        world, repository, Actor(world.account("maya")), title="A", head="fix", base="main"
    )
    second = await commit(copy, "a.txt", b"2")
    code, out = await git(copy, "push", "origin", "fix", token=token)
    assert code == 0, out
    assert issue.pull is not None and issue.pull.head_sha == second
    code, out = await git(copy, "fetch", "origin", f"refs/pull/{issue.number}/head", token=token)
    assert code == 0, out
    pushes = [effect for effect in world.effects if effect.verb == "push"]
    assert [effect.detail["after"] for effect in pushes] == [first, second]
    assert {effect.actor for effect in pushes} == {"cloud-vibecoder[bot]"}


async def test_a_large_push_arrives_whole(world: World, tmp_path: Path) -> None:
    token = app_token(world)
    copy = await cloned(world, tmp_path, token)
    await git(copy, "checkout", "-b", "big")
    sha = await commit(copy, "blob.bin", os.urandom(24 * 1024 * 1024))
    code, out = await git(copy, "push", "origin", "big", token=token)
    assert code == 0, out
    assert bare.branches(world.repository(REPOSITORY).folder)["big"] == sha


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("protected", "GH006"),
        ("protected", "(protected branch hook declined)"),
        ("workflow", "(refusing to allow a GitHub App to create or update workflow"),
        ("large", "GH001: Large files detected"),
        ("behind", "rejected"),
        ("read only", "denied to cloud-vibecoder[bot]"),
        ("reader", "denied to rob"),
        ("expired", "could not read Username"),
        ("suspended", "suspended"),
        ("elsewhere", "not found"),
    ],
)
async def test_refused_pushes(world: World, tmp_path: Path, case: str, words: str) -> None:
    token = app_token(world)
    copy = await cloned(world, tmp_path, token)
    target = "main"
    if case == "protected":
        world.protect(REPOSITORY, "main")
    if case == "workflow":
        target = "flow"
        await commit(copy, ".github/workflows/ci.yml", b"on: push\n")
    elif case == "large":
        await commit(copy, "big.bin", bytes(100 * 1024 * 1024 + 1))
    else:
        await commit(copy, "a.txt", b"1")
    if case == "behind":
        folder = world.repository(REPOSITORY).folder
        who = bare.Person("M", "m@example.com", "2026-01-02T03:04:05Z")
        tip = bare.resolve(folder, "refs/heads/main")
        bare.commit_files(folder, "main", {"b.txt": b"2"}, "Other", who, tip)
    if case == "read only":
        token = app_token(world, contents="read")
    if case == "reader":
        token = world.users["rob"]
    if case == "expired":
        world.expire_tokens()
    if case == "suspended":
        world.suspend()
    if case == "elsewhere":
        world.add_repository("acme/secret", {"a": b"a"}, private=True, installed=False)
        await git(copy, "remote", "set-url", "origin", f"{world.base_url}/acme/secret.git")
    before = bare.branches(world.repository(REPOSITORY).folder)
    code, out = await git(copy, "push", "origin", f"HEAD:{target}", token=token)
    assert code != 0
    assert words in out, out
    assert bare.branches(world.repository(REPOSITORY).folder) == before
    assert token not in out


async def test_the_query_does_not_turn_a_push_into_a_fetch(world: World) -> None:
    url = f"{world.base_url}/{REPOSITORY}.git/git-receive-pack?service=git-upload-pack"
    async with httpx.AsyncClient() as http:
        for auth_, status in ((None, 401), (("rob", world.users["rob"]), 403)):
            answer = await http.post(url, content=b"0000", auth=auth_)
            assert answer.status_code == status


async def test_private_repositories_hide_from_strangers(world: World, tmp_path: Path) -> None:
    world.add_repository("acme/private", {"a": b"a"}, private=True)
    url = f"{world.base_url}/acme/private.git"
    code, out = await git(tmp_path, "ls-remote", url)
    assert code != 0 and "could not read Username" in out
    code, out = await git(tmp_path, "ls-remote", url, token=world.users["sam"])
    assert code != 0 and "not found" in out
    code, out = await git(tmp_path, "ls-remote", url, token=world.users["rob"])
    assert code == 0 and "refs/heads/main" in out


async def test_an_empty_repository_takes_its_first_push(world: World, tmp_path: Path) -> None:
    world.add_repository("acme/empty", {}, default_branch="trunk")
    token = app_token(world)
    code, out = await git(
        tmp_path, "clone", f"{world.base_url}/acme/empty.git", "copy", token=token
    )
    assert code == 0, out
    copy = tmp_path / "copy"
    await commit(copy, "a.txt", b"1")
    code, out = await git(copy, "push", "origin", "HEAD:trunk", token=token)
    assert code == 0, out


async def test_dulwich_fetches_shallow(world: World) -> None:
    token = app_token(world)

    def fetch() -> bytes:
        with closing(MemoryRepo()) as repo:
            remote = HttpGitClient(world.base_url, username="x-access-token", password=token)
            got = remote.fetch(f"/{REPOSITORY}.git", repo, depth=1)
            return bytes(got.refs[b"refs/heads/main"] or b"")

    sha = await asyncio.to_thread(fetch)
    assert sha.decode() == bare.branches(world.repository(REPOSITORY).folder)["main"]


@pytest.mark.parametrize("protected", [False, True])
async def test_dulwich_pushes_and_sees_the_reason(world: World, protected: bool) -> None:
    token = app_token(world)
    if protected:
        world.protect(REPOSITORY, "fix")

    def push() -> tuple[bytes, dict[bytes, str | None]]:
        with closing(MemoryRepo()) as repo:
            remote = HttpGitClient(world.base_url, username="x-access-token", password=token)
            got = remote.fetch(f"/{REPOSITORY}.git", repo, depth=1)
            base = got.refs[b"refs/heads/main"]
            assert base is not None
            made = Commit()
            made.tree = repo[base].tree
            made.parents = [base]
            made.author = made.committer = b"T <t@example.com>"
            made.commit_time = made.author_time = 1767323045
            made.commit_timezone = made.author_timezone = 0
            made.message = b"Nothing new"
            repo.object_store.add_object(made)
            result = remote.send_pack(
                f"/{REPOSITORY}.git",
                lambda refs: {b"refs/heads/fix": made.id},
                repo.generate_pack_data,
            )
            return made.id, dict(result.ref_status or {})

    sha, status = await asyncio.to_thread(push)
    tips = bare.branches(world.repository(REPOSITORY).folder)
    if protected:
        assert status[b"refs/heads/fix"] == "protected branch hook declined"
        assert "fix" not in tips
    else:
        assert tips["fix"] == sha.decode()


async def test_a_push_that_breaks_off_leaves_nothing(world: World, tmp_path: Path) -> None:
    token = app_token(world)
    copy = await cloned(world, tmp_path, token)
    await commit(copy, "a.bin", os.urandom(3_000_000))
    before = bare.refs(world.repository(REPOSITORY).folder)
    world.faults.add("POST", "git-receive-pack", status=503)
    code, out = await git(copy, "push", "origin", "HEAD:fix", token=token)
    assert code != 0 and "503" in out
    basic = base64.b64encode(f"x-access-token:{token}".encode()).decode()
    host = urlsplit(world.base_url)
    _, writer = await asyncio.open_connection(host.hostname, host.port)
    head = (
        f"POST /{REPOSITORY}.git/git-receive-pack HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Basic {basic}\r\nContent-Length: 5000000\r\n"
        "Content-Type: application/x-git-receive-pack-request\r\n\r\n"
    )
    writer.write(head.encode() + b"0094" + b"x" * 70_000)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    code, out = await git(copy, "push", "origin", "HEAD:fix", token=token)
    assert code == 0, out
    assert set(bare.refs(world.repository(REPOSITORY).folder)) == {*before, "refs/heads/fix"}
