"""Laying out Python and packages for a sandbox."""

import os
import sys
import zipfile
from pathlib import Path

import pytest
from e2b import Sandbox
from sandbox_hand import running

from vibecoder.local.sandbox import toolchain as toolchains
from vibecoder.local.sandbox.errors import ToolchainUnusable
from vibecoder.local.sandbox.probe import Isolation
from vibecoder.local.sandbox.toolchain import prepare, reachable


def wheel_with(folder: Path, name: str, **files: str) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file.replace("__", "/"), text)
    return path


def test_the_same_content_is_laid_out_once(tmp_path: Path, wheel: Path) -> None:
    first = prepare(tmp_path, [wheel])
    marker = first.folder.stat().st_mtime_ns
    assert prepare(tmp_path, [wheel]) == first
    assert first.folder.stat().st_mtime_ns == marker
    assert prepare(tmp_path, []).folder != first.folder
    assert [path.name for path in first.folder.parent.iterdir() if path.name[0] == "."] == []


def test_what_is_laid_out_is_readable_by_all(tmp_path: Path, wheel: Path) -> None:
    before = os.umask(0o077)
    try:
        made = prepare(tmp_path, [wheel])
    finally:
        os.umask(before)
    for path in (made.folder, *made.folder.rglob("*")):
        if not path.is_symlink():
            assert path.stat().st_mode & 0o044 == 0o044


def test_wheels_for_another_python_are_refused(tmp_path: Path) -> None:
    wheel = wheel_with(tmp_path, "x-1-cp27-cp27m-win_amd64.whl", a="")
    with pytest.raises(ToolchainUnusable, match="x-1-cp27"):
        prepare(tmp_path, [wheel])
    with pytest.raises(ToolchainUnusable, match="not the name of a wheel"):
        prepare(tmp_path, [wheel_with(tmp_path, "x.whl", a="")])


@pytest.mark.parametrize("name", ["../out", "a/../../out", "/out"])
def test_a_wheel_cannot_write_outside(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(ToolchainUnusable, match="outside itself"):
        prepare(tmp_path / "state", [path])
    assert not list(tmp_path.rglob("out"))


@pytest.mark.parametrize("line", ["../x = a:b", "x = os; evil()", "x = a:b; import c", "x = a"])
def test_scripts_that_call_nothing_are_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x-1.dist-info/entry_points.txt", f"[console_scripts]\n{line}\n")
    with pytest.raises(ToolchainUnusable, match="nothing that can be called"):
        prepare(tmp_path / "state", [path])


def test_a_private_folder_gets_a_stand_in(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    place = reachable(private / "state")
    if os.geteuid() != 0:
        assert place == private / "state"
        return
    assert place.parent == toolchains.SHARED
    assert reachable(private / "state") == place
    assert reachable(private / "other") != place


def test_with_the_servers_own_python(
    state: Path, wheel: Path, isolation: Isolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the system's Python is missing or too old."""
    monkeypatch.setattr(toolchains, "SYSTEM_PYTHON", Path("/nowhere/python3"))
    made = prepare(state, [wheel])
    with running(state / "own", made, isolation) as server:
        sandbox = Sandbox.create(timeout=60, **server.options)
        said = sandbox.commands.run("greet && python -VV && python -c 'import sys, ssl, sqlite3'")
        assert said.stdout.splitlines() == ["hello from a wheel", f"Python {sys.version}"]
