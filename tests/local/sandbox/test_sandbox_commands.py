"""Commands with the real SDK: output, endings, input, limits, connecting."""

import time

import pytest
from e2b import (
    CommandExitException,
    InvalidArgumentException,
    NotFoundException,
    PtySize,
    Sandbox,
    SandboxException,
    TimeoutException,
)
from sandbox_hand import Maker, Server, async_sandbox


def test_exit_codes_and_output(box: Sandbox) -> None:
    done = box.commands.run("echo out; echo err >&2")
    assert (done.stdout, done.stderr, done.exit_code) == ("out\n", "err\n", 0)
    with pytest.raises(CommandExitException) as failed:
        box.commands.run("echo before; exit 3")
    assert (failed.value.exit_code, failed.value.stdout) == (3, "before\n")
    with pytest.raises(CommandExitException) as killed:
        box.commands.run("kill -9 $$")
    assert (killed.value.exit_code, killed.value.error) == (-1, "signal: killed")


def test_output_arrives_whole_and_in_order(box: Sandbox) -> None:
    lines = box.commands.run("seq 200000").stdout.splitlines()
    assert lines == [str(number) for number in range(1, 200_001)]


def test_a_character_split_between_writes(box: Sandbox) -> None:
    pieces: list[str] = []
    script = r"printf '\xe2\x82'; sleep 0.1; printf '\xac!'"
    assert box.commands.run(script, on_stdout=pieces.append).stdout == "€!"
    assert "".join(pieces) == "€!"


def test_output_that_is_not_text(box: Sandbox) -> None:
    assert box.commands.run(r"printf '\xff\xfeok'").stdout.endswith("ok")


def test_place_user_and_tools(box: Sandbox) -> None:
    said = box.commands.run("whoami; pwd; echo $HOME; umask; python -c 'print(1)'; python3 -V")
    assert said.stdout.splitlines()[:5] == ["user", "/home/user", "/home/user", "0022", "1"]
    assert box.commands.run("pwd", cwd="/tmp").stdout == "/tmp\n"
    assert box.commands.run("greet && greet-old").stdout == "hello from a wheel\n" * 2
    with pytest.raises(InvalidArgumentException, match="does not exist"):
        box.commands.run("true", cwd="/nowhere")


def test_a_time_limit_kills_the_whole_command(box: Sandbox) -> None:
    began = time.monotonic()
    with pytest.raises(TimeoutException):
        box.commands.run("sleep 4321 | cat; echo never", timeout=0.3)
    assert time.monotonic() - began < 5
    box.commands.run("while pgrep -f 'sleep 432[1]' >/dev/null; do sleep 0.02; done", timeout=5)


def test_a_time_limit_holds_after_the_client_left(box: Sandbox) -> None:
    handle = box.commands.run("sleep 4322", background=True, timeout=0.3)
    handle.disconnect()
    waits = "while pgrep -f 'sleep 432[2]' >/dev/null; do sleep 0.02; done"
    box.commands.run(waits, timeout=5)


def test_background_list_kill(box: Sandbox) -> None:
    handle = box.commands.run("sleep 100", background=True, envs={"A": "b"})
    (listed,) = [info for info in box.commands.list() if info.pid == handle.pid]
    assert (listed.cmd, listed.args, listed.envs) == (
        "/bin/bash",
        ["-l", "-c", "sleep 100"],
        {"A": "b"},
    )
    assert handle.kill() is True
    assert handle.pid not in [info.pid for info in box.commands.list()]
    assert box.commands.kill(handle.pid) is False
    with pytest.raises(CommandExitException):
        handle.wait()
    with pytest.raises(NotFoundException):
        box.commands.send_stdin(handle.pid, "x")


def test_input(box: Sandbox) -> None:
    handle = box.commands.run("cat; echo done", background=True, stdin=True)
    box.commands.send_stdin(handle.pid, "one\n")
    box.commands.send_stdin(handle.pid, "twö\n")
    box.commands.close_stdin(handle.pid)
    assert handle.wait().stdout == "one\ntwö\ndone\n"
    assert box.commands.run("cat").stdout == ""
    deaf = box.commands.run("sleep 100", background=True)
    with pytest.raises(SandboxException):
        box.commands.send_stdin(deaf.pid, "x")
    deaf.kill()


def test_much_input(box: Sandbox) -> None:
    handle = box.commands.run("sha256sum", background=True, stdin=True)
    box.commands.stream_input(handle.pid, (b"x" * 100_000 for _ in range(50)))
    box.commands.close_stdin(handle.pid)
    expected = box.commands.run("head -c 5000000 /dev/zero | tr '\\0' x | sha256sum")
    assert handle.wait().stdout == expected.stdout


def test_connecting_to_what_runs_and_to_what_ended(box: Sandbox) -> None:
    handle = box.commands.run("read x; echo got $x", background=True, stdin=True)
    handle.disconnect()
    again = box.commands.connect(handle.pid)
    box.commands.send_stdin(handle.pid, "it\n")
    assert again.wait().stdout == "got it\n"
    assert box.commands.connect(handle.pid).wait().exit_code == 0
    with pytest.raises(NotFoundException):
        box.commands.connect(99_999)


def test_what_a_command_leaves_behind_does_not_hold_it(box: Sandbox) -> None:
    began = time.monotonic()
    box.commands.run("sleep 50 >/dev/null 2>&1 &")
    assert time.monotonic() - began < 5


def test_a_terminal(box: Sandbox) -> None:
    seen = bytearray()
    terminal = box.pty.create(PtySize(rows=30, cols=101))
    box.pty.send_stdin(terminal.pid, b"tty; stty size; exit 5\n")
    with pytest.raises(CommandExitException) as ended:
        terminal.wait(on_pty=seen.extend)
    assert ended.value.exit_code == 5
    assert b"/dev/pts/" in seen
    assert b"30 101" in seen


async def test_many_at_once(server: Server) -> None:
    import asyncio

    async with async_sandbox(server) as sandbox:
        done = await asyncio.gather(
            *(sandbox.commands.run(f"echo {number}") for number in range(40))
        )
        assert [one.stdout for one in done] == [f"{number}\n" for number in range(40)]


def test_a_slow_reader_makes_the_command_wait(make: Maker) -> None:
    """Its memory is bounded: the command cannot get arbitrarily far ahead of its reader."""
    box = make()
    handle = box.commands.run(
        "for i in $(seq 64); do head -c 1048576 /dev/zero; echo $i > far; done", background=True
    )
    assert box.commands.run("sleep 0.3; cat far").stdout.strip() != "64"
    assert len(handle.wait().stdout) == 64 << 20
