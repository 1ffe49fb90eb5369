"""Finding out whether isolation works, and saying what to do where it does not."""

import os
import tempfile
from pathlib import Path

import pytest

from vibecoder.local.sandbox.probe import Isolation, install_bubblewrap, probe


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def path(state: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but what a test puts there, within reach of a sandbox's user."""
    folder = Path(tempfile.mkdtemp(dir=state))
    folder.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_it_works_here(isolation: Isolation) -> None:
    assert isolation.kind in {"bwrap", "bwrap-root"}
    assert "bubblewrap" in isolation.reason
    assert "per sandbox" in isolation.reason
    assert isolation.remedy == ""


def test_missing_bubblewrap(path: Path) -> None:
    found = probe()
    assert found.kind == "none"
    assert "not installed" in found.reason
    assert "apt-get install bubblewrap" in found.remedy


def test_forbidden_namespaces(path: Path) -> None:
    program(path, "bwrap", "echo 'bwrap: No permissions to create new namespace' >&2; exit 1")
    found = probe()
    assert found.kind == "none"
    assert "No permissions to create new namespace" in found.reason
    assert found.remedy.endswith((".", "`."))


def test_a_bubblewrap_that_isolates_nothing_is_no_isolation(path: Path) -> None:
    program(path, "bwrap", 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')
    assert probe().kind == "none"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_installing_it(path: Path) -> None:
    said = install_bubblewrap()
    assert said is not None
    assert "administers" in said
    program(path, "apt-get", "echo 'E: Unable to locate package bubblewrap' >&2; exit 100")
    said = install_bubblewrap()
    assert said is not None
    assert "Unable to locate package bubblewrap" in said
    program(path, "apt-get", f"case $* in *bubblewrap*) /bin/cp /bin/true {path}/bwrap;; esac")
    assert install_bubblewrap() is None
