"""Creating, finding, pausing and ending sandboxes with the real SDK."""

import asyncio
import threading
from pathlib import Path

import pytest
from e2b import (
    AsyncSandbox,
    AuthenticationException,
    Sandbox,
    SandboxException,
    SandboxNotFoundException,
    SandboxQuery,
    SandboxState,
    TimeoutException,
)
from sandbox_hand import API_KEY, Maker, Server, eventually, running

from vibecoder.local.sandbox.app import app
from vibecoder.local.sandbox.errors import FolderInUse, IsolationMissing
from vibecoder.local.sandbox.probe import Isolation
from vibecoder.local.sandbox.toolchain import Toolchain


def folders(server: Server) -> set[str]:
    return {path.name for path in (server.folder / "boxes").iterdir() if path.is_dir()}


def test_a_killed_sandbox_leaves_nothing(server: Server, make: Maker) -> None:
    sandbox = make()
    assert sandbox.is_running()
    assert sandbox.sandbox_id in folders(server)
    assert sandbox.kill() is True
    assert sandbox.kill() is False
    assert not sandbox.is_running()
    assert sandbox.sandbox_id not in folders(server)
    with pytest.raises(SandboxNotFoundException):
        sandbox.get_info()
    with pytest.raises(TimeoutException, match="was killed"):
        sandbox.commands.run("true")
    with pytest.raises(SandboxNotFoundException):
        sandbox.set_timeout(60)


async def test_the_async_client_works_too(server: Server) -> None:
    sandbox = await AsyncSandbox.create(timeout=60, **server.options)
    done = await sandbox.commands.run("echo $((6 * 7))")
    assert done.stdout == "42\n"
    await sandbox.files.write("note", "hello")
    assert await sandbox.files.read("note") == "hello"
    assert await sandbox.kill() is True
    assert await sandbox.is_running() is False


def test_a_wrong_key_is_refused(server: Server) -> None:
    with pytest.raises(AuthenticationException):
        Sandbox.create(**{**server.options, "api_key": "e2b_" + "00" * 20})


def test_time_to_live(server: Server, make: Maker) -> None:
    sandbox = make(timeout=1)
    assert eventually(lambda: not sandbox.is_running())
    assert eventually(lambda: sandbox.sandbox_id not in folders(server))


def test_time_to_live_can_be_renewed_and_cut(make: Maker) -> None:
    sandbox = make(timeout=2)
    before = sandbox.get_info().end_at
    sandbox.set_timeout(50)
    assert (sandbox.get_info().end_at - before).total_seconds() > 40
    sandbox.set_timeout(0)
    assert eventually(lambda: not sandbox.is_running())


def test_connecting_only_lengthens_life(server: Server, make: Maker) -> None:
    sandbox = make(timeout=50)
    before = sandbox.get_info().end_at
    same = Sandbox.connect(sandbox.sandbox_id, timeout=5, **server.options)
    assert same.get_info().end_at == before
    same = Sandbox.connect(sandbox.sandbox_id, timeout=100, **server.options)
    assert same.get_info().end_at > before
    assert same.commands.run("echo here").stdout == "here\n"
    with pytest.raises(SandboxNotFoundException):
        Sandbox.connect("inothing", **server.options)


def test_the_same_key_makes_the_same_sandbox(server: Server, make: Maker) -> None:
    first = make(idempotency_key="job-1", metadata={"n": "1"})
    again = make(idempotency_key="job-1", metadata={"n": "1"})
    assert again.sandbox_id == first.sandbox_id
    with pytest.raises(SandboxException, match="different sandbox"):
        make(idempotency_key="job-1", metadata={"n": "2"})
    first.kill()
    assert make(idempotency_key="job-1", metadata={"n": "1"}).sandbox_id != first.sandbox_id


async def test_the_same_key_at_the_same_time(server: Server) -> None:
    made = await asyncio.gather(
        *(
            AsyncSandbox.create(timeout=60, idempotency_key="job-twice", **server.options)
            for _ in range(4)
        )
    )
    assert len({sandbox.sandbox_id for sandbox in made}) == 1
    await made[0].kill()


def test_listing_by_metadata_and_state(server: Server, make: Maker) -> None:
    odd = "a=b&c d/ü%20"
    one = make(metadata={"job": odd, "kind": "x"})
    two = make(metadata={"job": odd})
    make(metadata={"job": "other"})

    def ids(**query: object) -> list[str]:
        paginator = Sandbox.list(
            query=SandboxQuery(metadata={"job": odd}, **query), limit=1, **server.options
        )
        found: list[str] = []
        while paginator.has_next:
            found += [info.sandbox_id for info in paginator.next_items()]
        return found

    assert ids() == [two.sandbox_id, one.sandbox_id]
    one.pause()
    assert ids(state=[SandboxState.PAUSED]) == [one.sandbox_id]
    assert ids(state=[SandboxState.RUNNING]) == [two.sandbox_id]
    assert ids(state=[SandboxState.RUNNING, SandboxState.PAUSED]) == [
        two.sandbox_id,
        one.sandbox_id,
    ]
    info = two.get_info()
    assert info.metadata == {"job": odd}
    assert info.state == SandboxState.RUNNING


def test_pause_keeps_files_and_processes(server: Server, make: Maker) -> None:
    sandbox = make()
    sandbox.files.write("kept", "yes")
    counter = sandbox.commands.run("while :; do echo x >> count; sleep 0.01; done", background=True)
    assert eventually(lambda: sandbox.files.exists("count"))
    assert sandbox.pause() is True
    assert sandbox.pause() is False
    assert not sandbox.is_running()
    with pytest.raises(TimeoutException):
        sandbox.commands.run("true")
    count = server.folder / "boxes" / sandbox.sandbox_id / "home" / "count"
    frozen = count.stat().st_size
    assert not eventually(lambda: count.stat().st_size > frozen, patience=0.3)
    same = Sandbox.connect(sandbox.sandbox_id, timeout=60, **server.options)
    assert same.is_running()
    assert same.files.read("kept") == "yes"
    assert eventually(lambda: len(same.files.read("count")) > frozen)
    assert same.commands.kill(counter.pid)


def test_a_sandbox_may_pause_at_its_end(server: Server, make: Maker) -> None:
    sandbox = make(timeout=1, lifecycle={"on_timeout": "pause"})
    assert eventually(lambda: sandbox.get_info().state == SandboxState.PAUSED)
    same = Sandbox.connect(sandbox.sandbox_id, timeout=60, **server.options)
    assert same.commands.run("echo back").stdout == "back\n"


def test_environment_and_metrics(make: Maker) -> None:
    sandbox = make(envs={"COLOUR": "blue"})
    done = sandbox.commands.run("echo $COLOUR $SHADE", envs={"SHADE": "dark"})
    assert done.stdout == "blue dark\n"
    (sample,) = sandbox.get_metrics()
    assert 0 < sample.mem_used < sample.mem_total
    assert sample.disk_total > sample.disk_used > 0


def test_death_is_told_to_whoever_waits(make: Maker) -> None:
    sandbox = make()
    handle = sandbox.commands.run("sleep 100", background=True, timeout=0)
    killer = threading.Timer(0.1, sandbox.kill)
    killer.start()
    with pytest.raises(TimeoutException, match="killed or reached its end of life"):
        handle.wait()
    killer.join()


async def test_a_restart_sweeps_what_a_killed_server_left(
    state: Path, toolchain: Toolchain, isolation: Isolation
) -> None:
    folder = state / "swept"
    left = folder / "boxes" / ("i" + "0" * 20)
    (left / "home" / "deep").mkdir(parents=True)
    (folder / "boxes" / "not-ours").mkdir()
    with running(folder, toolchain, isolation) as server:
        assert not left.exists()
        assert (folder / "boxes" / "not-ours").exists()
        sandbox = Sandbox.create(timeout=60, **server.options)
        second = app(folder, api_key=API_KEY, toolchain=toolchain, isolation=isolation)
        with pytest.raises(FolderInUse):
            async with second.router.lifespan_context(second):
                pass
        assert sandbox.is_running()
    assert not (folder / "boxes" / sandbox.sandbox_id).exists()


def test_without_isolation_it_refuses(tmp_path: Path, toolchain: Toolchain) -> None:
    nothing = Isolation("none", "No walls here.", "Build some.")
    with (
        pytest.raises(IsolationMissing, match=r"No walls here\. Build some\."),
        running(tmp_path, toolchain, nothing),
    ):
        pass


def test_without_isolation_when_told_so(tmp_path: Path, toolchain: Toolchain) -> None:
    nothing = Isolation("none", "No walls here.", "Build some.")
    with running(tmp_path, toolchain, nothing, unisolated=True) as server:
        sandbox = Sandbox.create(timeout=60, **server.options)
        sandbox.files.write("/home/user/repo/a.py", "print('ran')")
        assert sandbox.commands.run("python a.py", cwd="/home/user/repo").stdout == "ran\n"
        assert sandbox.commands.run("python /home/user/repo/a.py").stdout == "ran\n"
        assert sandbox.commands.run("greet").stdout == "hello from a wheel\n"
        sandbox.commands.run("setsid sleep 987654 >/dev/null 2>&1 & echo $!")
        pid = int(sandbox.commands.run("pgrep -f 'sleep 98765[4]'").stdout)
        assert sandbox.kill()
        assert eventually(lambda: not Path(f"/proc/{pid}").exists())
