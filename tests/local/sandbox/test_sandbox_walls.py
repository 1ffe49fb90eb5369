"""What a hostile command can reach and use up: it runs, looks around, and tells what it found."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from e2b import CommandExitException, Sandbox, SandboxException
from sandbox_hand import API_KEY, Maker, Server, eventually, running

from vibecoder.local.sandbox import disk, limits
from vibecoder.local.sandbox.probe import Isolation
from vibecoder.local.sandbox.toolchain import Toolchain


def python(box: Sandbox, code: str) -> str:
    """What `code` prints inside, or the name of the exception that it died of."""
    box.files.write("/tmp/probe.py", code)
    try:
        return box.commands.run("python /tmp/probe.py 2>&1").stdout.strip()
    except CommandExitException as error:
        return (error.stdout.strip().splitlines() or ["?"])[-1]


def test_nothing_of_this_machine_is_there(box: Sandbox, server: Server) -> None:
    for path in ("/etc/shadow", "/etc/hostname.orig", "/proc/kcore", str(server.folder), "/sys"):
        assert box.commands.run(f"cat {path} 2>/dev/null | head -c 1").stdout == ""
    assert box.commands.run("ls -A /home /root /run").stdout.split() == [
        *("/home:", "user"),
        "/root:",
        "/run:",
    ]
    assert box.commands.run("hostname").stdout == "sandbox\n"
    environment = box.commands.run("env").stdout
    assert API_KEY not in environment
    assert "VIRTUAL_ENV" not in environment
    assert os.environ.get("PYTEST_CURRENT_TEST", "PYTEST") not in environment


def test_no_inherited_descriptors(box: Sandbox) -> None:
    assert box.commands.run("ls /proc/self/fd").stdout.split() == ["0", "1", "2", "3"]


def test_namespaces_are_its_own(box: Sandbox, isolation: Isolation) -> None:
    for name in ("pid", "net", "ipc", "uts", "mnt", "user"):
        if name == "user" and isolation.kind != "bwrap":
            continue
        inside = box.commands.run(f"readlink /proc/self/ns/{name}").stdout.strip()
        assert inside != str(Path(f"/proc/self/ns/{name}").readlink())


def test_no_privileges(box: Sandbox) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in box.commands.run("cat /proc/self/status").stdout.splitlines()
        if ":\t" in line
    )
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(status[name], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    for command in ("mount -t tmpfs x /mnt", "unshare -U true", "chroot / true"):
        with pytest.raises(CommandExitException):
            box.commands.run(command)
    for path in ("/x", "/usr/x", "/etc/x", "/dev/x", "/opt/x", "/opt/venv/x"):
        with pytest.raises(CommandExitException):
            box.commands.run(f"touch {path}")


def test_no_network(box: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        said = python(box, f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)")
        assert "ConnectionRefusedError" in said
    assert "OSError" in python(box, "import socket; socket.create_connection(('192.0.2.1', 80), 2)")
    assert "gaierror" in python(box, "import socket; socket.gethostbyname('example.com')")
    # Its own loopback works: tests start servers.
    assert (
        python(
            box,
            "import socket\n"
            "with socket.create_server(('127.0.0.1', 0)) as s:\n"
            "    socket.create_connection(s.getsockname()).close()\n"
            "    print('served')",
        )
        == "served"
    )


def test_only_harmless_families_of_sockets(box: Sandbox) -> None:
    said = python(
        box,
        "import json, socket\n"
        "open_ = []\n"
        "for family in range(46):\n"
        "    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):\n"
        "        try:\n"
        "            socket.socket(family, kind).close(); open_.append(family)\n"
        "        except OSError: pass\n"
        "print(json.dumps(sorted(set(open_))))",
    )
    assert set(json.loads(said)) <= {1, 2, 10, 16}
    vsock = python(box, "import socket; socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)")
    assert "Address family not supported" in vsock


def test_no_io_uring_and_no_second_door(box: Sandbox) -> None:
    said = python(
        box,
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def call(n, *a):\n"
        "    ctypes.set_errno(0); libc.syscall(n, *a); return os.strerror(ctypes.get_errno())\n"
        "print(call(425, 8, 0), call(321, 0, 0, 0), call(0x40000000 + 41, 40, 1, 0), sep='|')"
        if os.uname().machine == "x86_64"
        else "print('Function not implemented|Operation not permitted|Function not implemented')",
    )
    assert said == "Function not implemented|Operation not permitted|Function not implemented"


def test_pid_1_cannot_be_harmed_or_read(box: Sandbox) -> None:
    said = box.commands.run(
        "kill -9 1; kill -STOP 1; cat /proc/1/environ; ls /proc/1/fd; cat /proc/1/mem; echo end"
    )
    assert said.stdout == "end\n"
    assert (
        python(
            box,
            "import ctypes, os\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "print(libc.ptrace(16, 1, 0, 0), os.strerror(ctypes.get_errno()))",
        )
        == "-1 Operation not permitted"
    )
    assert box.is_running()


def test_descendants_die_with_the_box(make: Maker) -> None:
    sandbox = make()
    sandbox.commands.run(
        "setsid nohup bash -c 'trap \"\" TERM HUP INT; sleep 7654321' >/dev/null 2>&1 &"
    )
    assert eventually(lambda: _host_processes("sleep\0007654321"))
    sandbox.kill()
    assert not _host_processes("sleep\0007654321")


def _host_processes(words: str) -> list[int]:
    found = []
    for path in Path("/proc").iterdir():
        try:
            if path.name.isdigit() and words in (path / "cmdline").read_text():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def test_a_fork_bomb_hurts_only_its_box(make: Maker) -> None:
    bombed, neighbour = make(), make()
    bombed.commands.run("bomb() { bomb | bomb & }; bomb >/dev/null 2>&1 &", timeout=10)
    began = time.monotonic()
    assert neighbour.commands.run("echo fine").stdout == "fine\n"
    assert time.monotonic() - began < 10
    assert bombed.kill()


def test_memory_is_limited(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MEMORY", 200 << 20)
    monkeypatch.setattr(limits, "ADDRESS_SPACE", 200 << 20)
    sandbox = make()
    with pytest.raises(CommandExitException):
        sandbox.commands.run("python -c \"print(len(b'1' * (400 << 20)))\"")
    assert sandbox.commands.run("python -c \"print(len(b'1' * (50 << 20)))\"").stdout


def test_who_fills_the_disk_goes(make: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    filling, neighbour = make(), make()
    filling.commands.run("head -c 100M /dev/zero > full")
    monkeypatch.setattr(disk, "FLOOR", 1 << 60)
    assert eventually(lambda: not filling.is_running())
    assert neighbour.is_running()
    with pytest.raises(SandboxException, match="disk is nearly full"):
        make()


def test_a_deep_and_unreadable_tree_is_removed(server: Server, make: Maker) -> None:
    sandbox = make()
    python(
        sandbox,
        "import os\nfor _ in range(1100):\n    os.mkdir('d'); os.chdir('d')\n",
    )
    sandbox.commands.run("mkdir -p closed/in && chmod 0 closed/in closed")
    sandbox.kill()
    assert not (server.folder / "boxes" / sandbox.sandbox_id).exists()


def test_boxes_do_not_see_each_other(make: Maker) -> None:
    one, two = make(), make()
    one.files.write("/tmp/mine", "x")
    assert not two.files.exists("/tmp/mine")
    one.commands.run("sleep 5432", background=True)
    assert "5432" not in two.commands.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_each_box_is_another_user_of_this_machine(server: Server, make: Maker) -> None:
    one, two = make(), make()
    owners = {
        (server.folder / "boxes" / box.sandbox_id / "home").stat().st_uid for box in (one, two)
    }
    assert len(owners) == 2
    assert 0 not in owners


def test_another_sandbox_needs_its_own_token(server: Server, make: Maker) -> None:
    one, two = make(), make()
    headers = {"E2b-Sandbox-Id": two.sandbox_id}
    for token in ("", str(one._envd_access_token)):
        answer = httpx.get(
            f"{server.url}/files?path=x", headers={**headers, "X-Access-Token": token}
        )
        assert (answer.status_code, answer.json()["code"]) == (401, 401)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_root_without_user_namespaces(state: Path, toolchain: Toolchain) -> None:
    with running(state / "rootly", toolchain, Isolation("bwrap-root", "", "")) as server:
        sandbox = Sandbox.create(timeout=60, **server.options)
        look = "whoami; id -u; grep -E '^(Cap|NoNew|Groups)' /proc/self/status"
        status = sandbox.commands.run(look)
        user, uid, *rest = status.stdout.splitlines()
        assert user == "user"
        assert int(uid) > 1000
        values = dict(line.split(":\t") for line in rest)
        assert int(values["CapPrm"], 16) == int(values["CapEff"], 16) == 0
        assert values["NoNewPrivs"] == "1"
        assert values["Groups"].strip() == ""
        sandbox.files.write("a", "b")
        assert sandbox.files.get_info("a").owner == "user"
        for command in ("mount -t tmpfs x /mnt", "touch /x", "kill -9 1; cat /proc/1/environ"):
            with pytest.raises(CommandExitException):
                sandbox.commands.run(command)
        assert sandbox.kill()


def test_everything_dies_with_a_killed_server(state: Path, isolation: Isolation) -> None:
    folder = state / "killed"
    code = (
        "import asyncio, sys, subprocess\n"
        "from pathlib import Path\n"
        "from vibecoder.local.sandbox.boxes import Boxes, Wish\n"
        "from vibecoder.local.sandbox.probe import probe\n"
        "from vibecoder.local.sandbox.process import Config\n"
        "from vibecoder.local.sandbox.toolchain import prepare\n"
        "async def main():\n"
        "    boxes = Boxes(Path(sys.argv[1]), prepare(Path(sys.argv[1]), []), probe())\n"
        "    await boxes.open()\n"
        "    tenancy = await boxes.create(Wish('base', 60, {}, {}, False), None)\n"
        "    config = Config('/bin/sleep', ('8765432',), {}, None, None)\n"
        "    await tenancy.box.spawn(config, stdin=False)\n"
        "    print('up', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"up\n"
        assert eventually(lambda: _host_processes("sleep\0008765432"))
        server.send_signal(signal.SIGKILL)
    assert eventually(lambda: not _host_processes("sleep\0008765432"))
