import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2b import Sandbox
from sandbox_hand import Maker, Server, running

from vibecoder.local.sandbox.probe import Isolation, probe
from vibecoder.local.sandbox.toolchain import Toolchain, prepare


@pytest.fixture(scope="session")
def isolation() -> Isolation:
    found = probe()
    if found.kind == "none":
        missing = f"{found.reason} {found.remedy}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


@pytest.fixture(scope="session")
def state() -> Iterator[Path]:
    """A folder that the sandboxes' users can reach, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="vibecoder-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package `greet` with a module, a console script and a script of the old kind."""
    path = tmp_path_factory.mktemp("wheels") / "greet-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("greet.py", "def main():\n    print('hello from a wheel')\n")
        archive.writestr(
            "greet-1.0.dist-info/entry_points.txt", "[console_scripts]\ngreet = greet:main\n"
        )
        archive.writestr("greet-1.0.dist-info/METADATA", "Name: greet\nVersion: 1.0\n")
        archive.writestr(
            "greet-1.0.data/scripts/greet-old", "#!python\nimport greet; greet.main()\n"
        )
    return path


@pytest.fixture(scope="session")
def toolchain(state: Path, wheel: Path) -> Toolchain:
    return prepare(state, [wheel])


@pytest.fixture(scope="session")
def server(state: Path, toolchain: Toolchain, isolation: Isolation) -> Iterator[Server]:
    with running(state / "server", toolchain, isolation) as started:
        yield started


@pytest.fixture(scope="module")
def box(server: Server) -> Iterator[Sandbox]:
    """One sandbox for all tests of a file that leave it usable."""
    sandbox = Sandbox.create(timeout=120, **server.options)
    yield sandbox
    sandbox.kill()


@pytest.fixture
def make(server: Server) -> Iterator[Maker]:
    made: list[Sandbox] = []

    def create(**options: Any) -> Sandbox:
        sandbox = Sandbox.create(**{"timeout": 60, **options}, **server.options)
        made.append(sandbox)
        return sandbox

    yield create
    for sandbox in made:
        sandbox.kill()
