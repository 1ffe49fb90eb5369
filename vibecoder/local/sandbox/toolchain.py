"""What a sandbox runs with: a Python and packages, laid out beforehand, since it has no network.

A toolchain is a folder named by its content, made once and never changed:

    python/     a copy of the interpreter's runtime, where the sandbox's user could not reach it
    venv/       a virtual environment written by hand: pyvenv.cfg, bin/, lib/pythonX.Y/site-packages
    host/       the same environment for running without isolation (paths of this machine)
    agent/      PID 1: the package inside/ from beside this file, compiled

Wheels are only unzipped: nothing of a package is run here. The scripts in bin/ start with a shell
line that finds `python` beside them, so they work wherever the folder is mounted.
"""

import configparser
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePosixPath

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from vibecoder.local.sandbox.errors import ToolchainUnusable

VENV = "/opt/venv"
PYTHON = "/opt/python"
AGENT = "/opt/vibecoder"
SYSTEM_PYTHON = Path("/usr/bin/python3")
OLDEST = (3, 11)
SHARED = Path("/var/tmp/cloud-vibecoder")  # noqa: S108  (only root makes it; see `reachable`)
LAYOUT = "1"  # part of the content's name: raise it when what is written below changes

# Of a copied runtime: what no test needs, or what is not the runtime's own.
LEFT_OUT = ("test", "tests", "idlelib", "turtledemo", "site-packages", "ensurepip", "*.a")

SCRIPT = """\
#!/bin/sh
'''exec' "$(dirname -- "$0")/python" "$0" "$@"
' '''
import sys
from {module} import {first}
sys.argv[0] = sys.argv[0].removesuffix(".exe")
sys.exit({attribute}())
"""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A prepared folder and how it appears inside a sandbox."""

    folder: Path
    binds: tuple[tuple[str, str], ...]  # (on this machine, inside), read-only
    environment: tuple[tuple[str, str], ...]  # what processes inside need to use it

    @property
    def path(self) -> str:
        """PATH inside."""
        return f"{VENV}/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"

    @property
    def python(self) -> str:
        """The interpreter inside."""
        return f"{VENV}/bin/python"


@dataclass(frozen=True, slots=True)
class _Runtime:
    executable: Path  # the real file, on this machine
    prefix: Path
    version: tuple[int, int]
    system: bool  # below /usr, which every sandbox sees anyway
    shared: bool  # needs its own lib folder to find libpython


def reachable(folder: Path) -> Path:
    """`folder`, or a stand-in below /var/tmp where another user could not reach it.

    As root, each sandbox runs as a user of its own, who cannot pass a private home folder.
    """
    root = _root(folder)
    if root == folder.absolute():
        return root
    place = root / hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]
    place.mkdir(exist_ok=True)
    place.chmod(0o711)
    return place


def _root(folder: Path) -> Path:
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0 or _passable(folder):
        return folder
    SHARED.mkdir(mode=0o700, exist_ok=True)
    info = SHARED.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != 0:
        raise ToolchainUnusable(f"{SHARED} is not a folder of root's; remove it and start again.")
    SHARED.chmod(0o711)
    return SHARED


def _passable(folder: Path) -> bool:
    return all(path.stat().st_mode & stat.S_IXOTH for path in (folder, *folder.parents))


def prepare(folder: Path, wheels: Sequence[Path]) -> Toolchain:
    """Lays out Python and `wheels` below `folder`; blocking, and quick when already there.

    Raises ToolchainUnusable where no Python is new enough or a wheel does not fit it.
    """
    runtime = _choose(wheels)
    copied = not runtime.system and os.geteuid() == 0 and not _passable(runtime.prefix)
    shelf = _root(folder) / "toolchains"  # private folders share theirs: it is named by content
    shelf.mkdir(mode=0o755, exist_ok=True)
    shelf.chmod(0o755)
    place = shelf / _name(runtime, wheels)
    if not place.is_dir():
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=shelf))
        try:
            _lay_out(draft, runtime, wheels, copied, place)
            _open_to_all(draft)
            draft.rename(place)
        except OSError:
            if not place.is_dir():  # somebody else may have been quicker, with the same content
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    binds = [(str(place / "venv"), VENV), (str(place / "agent"), AGENT)]
    if not runtime.system:
        binds.append((str(place / "python" if copied else runtime.prefix), PYTHON))
    environment = (("LD_LIBRARY_PATH", f"{PYTHON}/lib"),) if runtime.shared else ()
    return Toolchain(place, tuple(binds), environment)


def _choose(wheels: Sequence[Path]) -> _Runtime:
    system = _system_python()
    for runtime in (system, _own_python()):
        if runtime is not None and not _misfits(wheels, runtime.version):
            return runtime
    names = ", ".join(path.name for path in _misfits(wheels, sys.version_info[:2]))
    raise ToolchainUnusable(
        f"These wheels do not fit Python {sys.version_info[0]}.{sys.version_info[1]}: {names}."
    )


def _system_python() -> _Runtime | None:
    if not SYSTEM_PYTHON.exists():
        return None
    # ctypes is left out of minimal installations; the agent needs it.
    ask = "import ctypes, json, sys; print(json.dumps([sys.version_info[:2], sys.prefix]))"
    done = subprocess.run(  # noqa: S603  (fixed words, no shell)
        [SYSTEM_PYTHON, "-I", "-c", ask], capture_output=True, text=True, timeout=20, check=False
    )
    if done.returncode != 0:
        return None
    (major, minor), prefix = json.loads(done.stdout)
    if (major, minor) < OLDEST or prefix != "/usr":
        return None
    return _Runtime(
        SYSTEM_PYTHON.resolve(), Path("/usr"), (major, minor), system=True, shared=False
    )


def _own_python() -> _Runtime:
    prefix = Path(sys.base_prefix).resolve()
    version = sys.version_info[:2]
    system = prefix.is_relative_to("/usr")
    return _Runtime(
        prefix / "bin" / f"python{version[0]}.{version[1]}",
        prefix,
        version,
        system=system,
        shared=not system and bool(sysconfig.get_config_var("Py_ENABLE_SHARED")),
    )


def _misfits(wheels: Sequence[Path], version: tuple[int, int]) -> list[Path]:
    fits: set[Tag] = {*cpython_tags(version), *compatible_tags(version)}
    misfits = []
    for wheel in wheels:
        try:
            tags = parse_wheel_filename(wheel.name)[3]
        except InvalidWheelFilename as error:
            raise ToolchainUnusable(f"{wheel.name} is not the name of a wheel.") from error
        if tags.isdisjoint(fits):
            misfits.append(wheel)
    return misfits


def _name(runtime: _Runtime, wheels: Sequence[Path]) -> str:
    digest = hashlib.sha256(LAYOUT.encode())
    digest.update(f"{runtime.executable} {runtime.version}".encode())
    digest.update(str(runtime.executable.stat().st_mtime_ns).encode())
    for name, source in _agent_sources():
        digest.update(name.encode() + source)
    for wheel in sorted(wheels, key=lambda path: path.name):
        with wheel.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _agent_sources() -> list[tuple[str, bytes]]:
    folder = resources.files("vibecoder.local.sandbox.inside")
    found = [(item.name, item.read_bytes()) for item in folder.iterdir() if item.is_file()]
    return sorted(found)


def _lay_out(
    draft: Path, runtime: _Runtime, wheels: Sequence[Path], copied: bool, place: Path
) -> None:
    inside = draft / "agent" / "inside"
    inside.mkdir(parents=True)
    for name, source in _agent_sources():
        (inside / name).write_bytes(source)
    # Ahead of time, because nothing inside may write beside it. This is our code, no package's.
    compiling = [str(runtime.executable), "-I", "-m", "compileall", "-q", str(inside)]
    subprocess.run(compiling, check=True, timeout=60, capture_output=True)  # noqa: S603
    if copied:
        ignore = shutil.ignore_patterns(*LEFT_OUT)
        shutil.copytree(runtime.prefix, draft / "python", symlinks=True, ignore=ignore)
        (draft / "python").chmod(0o755)
    dotted = f"{runtime.version[0]}.{runtime.version[1]}"
    home = str(runtime.executable.parent) if runtime.system else f"{PYTHON}/bin"
    _environment(draft / "venv", home, runtime.executable.name, dotted)
    site = draft / "venv" / "lib" / f"python{dotted}" / "site-packages"
    site.mkdir(parents=True)
    for wheel in wheels:
        _unpack(wheel, site, draft / "venv" / "bin")
    _environment(draft / "host", str(runtime.executable.parent), runtime.executable.name, dotted)
    (draft / "host" / "lib").symlink_to(place / "venv" / "lib")
    for script in (draft / "venv" / "bin").iterdir():
        if not script.is_symlink():
            shutil.copy2(script, draft / "host" / "bin" / script.name)


def _open_to_all(folder: Path) -> None:
    """Readable to the sandboxes' users, whatever umask the server runs with."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))


def _environment(folder: Path, home: str, python: str, version: str) -> None:
    (folder / "bin").mkdir(parents=True)
    for name in ("python", "python3", f"python{version}"):
        (folder / "bin" / name).symlink_to(f"{home}/{python}")
    (folder / "pyvenv.cfg").write_text(
        f"home = {home}\ninclude-system-site-packages = false\nversion = {version}\n"
    )


def _unpack(wheel: Path, site: Path, scripts: Path) -> None:
    """Unzips a wheel (the binary distribution format of packaging.python.org)."""
    with zipfile.ZipFile(wheel) as archive:
        for item in archive.infolist():
            if item.is_dir():
                continue
            parts = PurePosixPath(item.filename).parts
            if ".." in parts or item.filename.startswith("/"):
                raise ToolchainUnusable(f"{wheel.name} holds a file outside itself.")
            target, mode = site.joinpath(*parts), 0o644
            if parts[0].endswith(".data"):
                if parts[1] in {"purelib", "platlib"}:
                    target = site.joinpath(*parts[2:])
                elif parts[1] == "scripts":
                    target, mode = scripts / parts[-1], 0o755
                else:
                    continue  # headers and data have no place in a sandbox
            if item.external_attr >> 16 & 0o111:
                mode = 0o755
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(item) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            if target.parent == scripts:
                _retarget(target)
            target.chmod(mode)
        for name in archive.namelist():
            if name.count("/") == 1 and name.endswith(".dist-info/entry_points.txt"):
                _console_scripts(archive.read(name).decode(), scripts)


def _retarget(script: Path) -> None:
    """A script in a wheel starts with "#!python", to be replaced by whoever installs it."""
    first, newline, rest = script.read_bytes().partition(b"\n")
    if first.startswith(b"#!python"):
        script.write_bytes(
            b"#!/bin/sh\n'''exec' \"$(dirname -- \"$0\")/python\" \"$0\" \"$@\"\n' '''"
            + newline
            + rest
        )


def _console_scripts(text: str, scripts: Path) -> None:
    entries = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    entries.optionxform = str  # type: ignore[assignment,method-assign]  # names are case-sensitive
    entries.read_string(text)
    if not entries.has_section("console_scripts"):
        return
    for name, target in entries.items("console_scripts"):
        module, _, attribute = target.partition("[")[0].strip().partition(":")
        words = (*module.split("."), *attribute.split("."))
        if not all(word.isidentifier() for word in words) or "/" in name or name in {".", ".."}:
            raise ToolchainUnusable(f"The script {name!r} points to nothing that can be called.")
        script = scripts / name
        script.write_text(
            SCRIPT.format(module=module, first=attribute.split(".")[0], attribute=attribute)
        )
        script.chmod(0o755)
