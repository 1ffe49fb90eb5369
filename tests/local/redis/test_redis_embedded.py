"""The embedded server keeps what it acknowledged, and there is one per folder."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis

from vibecoder.local.redis import EmbeddedRedis, StoreBroken, _ended, start


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "redis"
    yield place
    if place.exists():
        start(place).stop()


def client(server: EmbeddedRedis) -> "redis.Redis[bytes]":
    return redis.Redis.from_url(server.url)


def kill(server: EmbeddedRedis) -> None:
    os.kill(server.pid, signal.SIGKILL)
    assert _ended(server.folder, server.pid, 10)


def test_what_was_acknowledged_survives_a_kill(folder: Path) -> None:
    first = start(folder)
    with client(first) as ask:
        for number in range(1000):
            ask.set(f"key {number}", number)
    kill(first)
    second = start(folder)
    assert second.pid != first.pid
    with client(second) as ask:
        assert ask.dbsize() == 1000


def test_a_torn_end_of_the_file_loses_only_the_torn_command(folder: Path) -> None:
    server = start(folder)
    with client(server) as ask:
        for number in range(100):
            ask.set(f"key {number}", "x" * 50)
    kill(server)
    (aof,) = (folder / "appendonlydir").glob("*.incr.aof")
    aof.write_bytes(aof.read_bytes()[:-10])
    with client(start(folder)) as ask:
        assert ask.dbsize() == 99


def test_a_second_starter_attaches(folder: Path) -> None:
    first = start(folder)
    second = start(folder)
    assert second == first
    second.stop()
    with pytest.raises(redis.ConnectionError), client(first) as ask:
        ask.ping()


def test_starters_that_race_share_one_server(folder: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        servers = list(pool.map(lambda _: start(folder), range(8)))
    assert len(set(servers)) == 1


def test_it_survives_who_started_it(folder: Path) -> None:
    code = "import sys; from pathlib import Path; from vibecoder.local.redis import start; "
    code += "print(start(Path(sys.argv[1])).pid)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert start(folder).pid == int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="parent death signals are Linux's")
def test_it_dies_with_its_parent_where_that_is_asked_for(folder: Path) -> None:
    code = "import os, sys; from pathlib import Path; from vibecoder.local.redis import start; "
    code += "print(start(Path(sys.argv[1]), die_with_parent=True).pid, flush=True); "
    code += "os.kill(os.getpid(), 9)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == -9
    assert _ended(folder, int(done.stdout), 10)


def test_a_long_path_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / "redis"
    server = start(folder)
    try:
        socket = Path(urlsplit(server.url).path)
        assert folder not in socket.parents
        assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
        with client(server) as ask:
            assert ask.ping()
        assert start(folder) == server
    finally:
        server.stop()


def test_a_path_with_odd_characters_works(tmp_path: Path) -> None:
    server = start(tmp_path / "a b%20ü?#")
    try:
        with client(server) as ask:
            assert ask.ping()
    finally:
        server.stop()


def test_only_its_owner_can_reach_it_and_nothing_is_evicted(folder: Path) -> None:
    server = start(folder)
    socket = Path(urlsplit(server.url).path)
    assert stat.S_IMODE(socket.stat().st_mode) == 0o700
    with client(server) as ask:
        assert ask.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert ask.config_get("port") == {"port": "0"}
        assert ask.config_get("appendfsync") == {"appendfsync": "everysec"}


def test_damaged_data_is_said_with_the_remedy(folder: Path) -> None:
    server = start(folder)
    with client(server) as ask:
        for number in range(100):
            ask.set(f"key {number}", "x" * 50)
    kill(server)
    (aof,) = (folder / "appendonlydir").glob("*.incr.aof")
    whole = aof.read_bytes()
    aof.write_bytes(whole.replace(b"*3\r\n", b"!3\r\n", 9))
    with pytest.raises(StoreBroken, match="move the folder away"):
        start(folder)
    aof.write_bytes(whole)


def test_the_supervisor_restarts_it_and_ends_it(folder: Path) -> None:
    code = "import sys; from pathlib import Path; from vibecoder.local import redis; "
    code += "redis.run_forever(Path(sys.argv[1]))"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True
    ) as supervisor:
        assert supervisor.stdout is not None
        assert "redis_answers" in supervisor.stdout.readline()
        first = start(folder)
        os.kill(first.pid, signal.SIGKILL)
        assert "redis_ended" in supervisor.stdout.readline()
        assert "redis_answers" in supervisor.stdout.readline()
        second = start(folder)
        assert second.pid != first.pid
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(20) == 0
    assert _ended(folder, second.pid, 1)
