"""Real bug fixes to replay: a list of tasks, and the two releases that each is made of.

A task names two source releases of one package; the fix is the difference of some files between
them. The archives come from the index that pip is configured with, are checked against the sha256
in the list and unpacked. Nothing in them is ever run here: their tests run in the sandbox.

TaskError
├── InvalidTasks        the list of tasks cannot be read
├── UnknownTask         no task has that name
├── NoRegistry          no package index answered
├── ReleaseMissing      the indexes answered, and none has the file
├── WheelsMissing       pip could not fetch what the tests import
└── BadArchive          the file is not what the list promised, or not safe to unpack
"""

import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from vibecoder import archive, registry
from vibecoder.registry import NoAnswer, NotFound

HERE = Path(__file__).parent
LOCK = HERE / "sandbox_wheels.lock"
WHEELS_SECONDS = 300


class TaskError(Exception):
    """Base of all; `str(error)` may be shown to people."""


class InvalidTasks(TaskError):
    """The list of tasks cannot be read."""


class UnknownTask(TaskError):
    """No task has that name."""


class NoRegistry(TaskError):
    """No package index answered."""


class ReleaseMissing(TaskError):
    """The indexes answered, and none has the file."""


class WheelsMissing(TaskError):
    """pip could not fetch what the tests import."""


class BadArchive(TaskError):
    """The file is not what the list promised, or not safe to unpack."""


@dataclass(frozen=True, slots=True)
class Task:
    """One bug, its fix, and how to see both. Paths are relative to the root of a release."""

    package: str
    old: str  # version with the bug
    new: str  # version with the fix
    old_sdist: str  # file name on the index
    old_sha256: str
    new_sdist: str
    new_sha256: str
    source_files: tuple[str, ...]  # the fix
    test_files: tuple[str, ...]  # what shows the bug, taken from the new release
    test_args: tuple[str, ...]  # fail on the old sources with the new tests, pass on the new
    issue_title: str
    issue_body: str
    requires: tuple[str, ...] = ()  # what the tests import beyond pytest
    env: tuple[tuple[str, str], ...] = ()
    pytest_options: tuple[str, ...] = ()
    program: tuple[str, ...] = ("python", "-m", "pytest")  # what runs the tests

    @property
    def name(self) -> str:
        """ "itsdangerous@2.1.1": what `find` takes."""
        return f"{self.package}@{self.new}"

    @property
    def test_command(self) -> str:
        """The shell line that fails before the fix and passes after it, from the root."""
        return self._command(self.test_args)

    @property
    def related_command(self) -> str:
        """The same for every test in the files that the task touches."""
        names = {path: PurePosixPath(path).name for path in self.test_files}
        tests = [
            path for path, name in names.items() if re.fullmatch(r"test.*\.py|.*_test\.py", name)
        ]
        return self._command(tests) if tests else self.test_command

    def _command(self, arguments: Sequence[str]) -> str:
        env = ["env", *(f"{name}={value}" for name, value in self.env)] if self.env else []
        return shlex.join([*env, *self.program, *self.pytest_options, *arguments])


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the two releases lie, unpacked. Treat both as read-only: they are shared."""

    old: Path
    new: Path


def _relative(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
        raise ValueError("must be a path inside the release, such as src/package/module.py")
    return path


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
Version = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]*$")]
FileName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+!-]*\.(tar\.(gz|bz2|xz)|tgz|zip)$")
]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RelativePath = Annotated[str, AfterValidator(_relative)]
# Names and versions only. A direct URL or an option of pip would make it run the code of an sdist.
Requirement = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._ -]*\])?"
        r"( *(===|[<>=!~]=|<|>) *[A-Za-z0-9.*+!_-]+(, *(===|[<>=!~]=|<|>) *[A-Za-z0-9.*+!_-]+)*)?$"
    ),
]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class _Entry(BaseModel):
    """One entry of the file, as anybody may have written it."""

    package: Name
    old: Version
    new: Version
    old_sdist: FileName
    old_sha256: Sha256
    new_sdist: FileName
    new_sha256: Sha256
    source_files: list[RelativePath] = Field(min_length=1)
    test_files: list[RelativePath] = Field(min_length=1)
    test_args: list[str] = Field(min_length=1)
    requires: list[Requirement] = []
    env: dict[EnvName, str] = {}
    pytest_options: list[str] = []
    issue_title: str = Field(min_length=1)
    issue_body: str = ""

    def task(self) -> Task:
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in self.model_dump().items()
        }
        return Task(**{**fields, "env": tuple(self.env.items())})


_ENTRIES = TypeAdapter(list[_Entry])


def load(path: Path | None = None) -> tuple[Task, ...]:
    """The tasks in the JSON file at `path`, or those that come with the project.

    Raises InvalidTasks, which names the entry and the field.
    """
    path = path or HERE / "real_tasks.json"
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidTasks(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InvalidTasks(f"{path} is not JSON: {error}.") from error
    try:
        entries = _ENTRIES.validate_python(data)
    except ValidationError as error:
        raise InvalidTasks(_problem(path, data, error)) from error
    if not entries:
        raise InvalidTasks(f"{path} holds no tasks.")
    return tuple(entry.task() for entry in entries)


def _problem(path: Path, data: Any, error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = first["loc"]
    if not place:
        return f"{path} must hold a JSON list of tasks: {first['msg']}."
    entry = data[place[0]] if isinstance(data, list) and isinstance(place[0], int) else None
    package = entry.get("package") if isinstance(entry, dict) else None
    where = f"entry {place[0]}" + (f" ({package})" if isinstance(package, str) else "")
    field = ".".join(str(part) for part in place[1:]) or "the entry itself"
    return f"{path}, {where}, {field}: {first['msg']}."


def find(tasks: Sequence[Task], name: str) -> Task:
    """The task named "PACKAGE" or "PACKAGE@NEW_VERSION", in any case; the first of several.

    Raises UnknownTask, whose message lists what there is.
    """
    package, _, version = name.partition("@")
    for task in tasks:
        if registry.normal(task.package) == registry.normal(package) and version in ("", task.new):
            return task
    known = ", ".join(task.name for task in tasks) or "none at all"
    raise UnknownTask(f"There is no task {name!r}. There are: {known}.")


def fetch(task: Task, cache: Path) -> Sources:
    """Both releases of `task`, from `cache` or else from the index that pip is configured with.

    Raises NoRegistry, ReleaseMissing, BadArchive.
    """
    return Sources(
        old=_release(task.package, task.old_sdist, task.old_sha256, cache),
        new=_release(task.package, task.new_sdist, task.new_sha256, cache),
    )


def sample(folder: Path) -> tuple[Task, Sources]:
    """A task of our own, for where no package index answers: a small library and a bug in it.

    Its two versions are written under `folder`. Its tests need nothing but Python.
    """
    sources = Sources(folder / "before", folder / "after")
    _write_sample(HERE / "sample" / "before", sources.old)
    _write_sample(HERE / "sample" / "before", sources.new)
    _write_sample(HERE / "sample" / "after", sources.new)
    task = Task(
        package="durations",
        old="1.0.0",
        new="1.0.1",
        old_sdist="",
        old_sha256="",
        new_sdist="",
        new_sha256="",
        source_files=("durations/reading.py",),
        test_files=("tests/test_reading.py",),
        test_args=(
            "tests.test_reading.ReadingTest.test_text_that_is_only_partly_a_duration_is_refused",
        ),
        issue_title='`parse("1h30")` is one hour',
        issue_body=(
            'A number without a unit is silently dropped: `parse("1h30")` gives 3600, and so does '
            "any other text with a duration somewhere in it, such as `10 minutes`. I had typed "
            "`1h30` for an hour and a half. Whatever is not a duration from end to end should be "
            "a ValueError."
        ),
        program=("python", "-m", "unittest"),
    )
    return task, sources


def _write_sample(kept: Path, root: Path) -> None:
    # Each file is kept with ".txt" behind its name, so that no tool takes it for our own code.
    for path in kept.rglob("*.txt"):
        target = root / path.relative_to(kept).with_suffix("")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())


def _release(package: str, file_name: str, sha256: str, cache: Path) -> Path:
    place = cache / "releases" / sha256
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        data = registry.download(package, file_name, sha256)
    except NoAnswer as error:
        raise NoRegistry(f"No package index answered for {package}: {error}.") from error
    except NotFound as error:
        raise ReleaseMissing(str(error)) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BadArchive(
            f"{file_name} is not the file that the task list names: its sha256 differs."
        )
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".unpacking-") as folder:
        unpacked = Path(folder) / "release"
        try:
            archive.unpack(data, file_name, unpacked)
        except archive.Unsafe as error:
            raise BadArchive(f"{file_name} cannot be unpacked: {error}") from error
        _publish(unpacked, place)
    return place


def fetch_wheels(requires: Sequence[str], cache: Path) -> list[Path]:
    """Wheels for the sandbox: pytest and freezegun as locked, and what `requires` names, resolved.

    The locked ones must match the hashes in `sandbox_wheels.lock`. The others are resolved on the
    index when first asked for; pip checks them against the hashes that the index itself gives,
    which guards the transfer and not the choice. Only wheels are taken, so no package's code runs.
    A second call for the same names and the same Python uses the cache and no network; a first
    call without network finds nothing, for pip's own cache cannot be asked for a whole set.

    Raises NoRegistry, WheelsMissing.
    """
    locked = {registry.normal(line.split("==")[0]) for line in _locked_lines()}
    others = sorted(
        {need for need in requires if not (_bare(need) and registry.normal(need) in locked)}
    )
    python = f"{sys.implementation.cache_tag}"
    wanted = "\n".join([LOCK.read_text(), *others, python])
    place = cache / "wheels" / hashlib.sha256(wanted.encode()).hexdigest()[:32]
    if not place.is_dir():
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".fetching-") as folder:
            wheels = Path(folder) / "wheels"
            _pip_download(wheels, "--require-hashes", "-r", str(LOCK))
            if others:
                pins = Path(folder) / "pins.txt"
                pins.write_text("".join(f"{line}\n" for line in _locked_lines()))
                _pip_download(wheels, "-c", str(pins), "--", *others)
            _publish(wheels, place)
    return sorted(place.glob("*.whl"))


def _bare(requirement: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9._-]+", requirement) is not None


def _locked_lines() -> list[str]:
    """ "name==version ; marker" of each locked package, without its hashes."""
    lines = LOCK.read_text().splitlines()
    return [line.rstrip(" \\") for line in lines if re.match(r"[A-Za-z0-9]", line)]


def _pip_download(folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--only-binary"]
    command += [":all:", "--disable-pip-version-check", "--retries", "1", "--timeout", "20"]
    command += ["--dest", str(folder), *arguments]
    try:
        done = subprocess.run(  # noqa: S603  # our own interpreter; names are checked, see Requirement
            command, capture_output=True, text=True, timeout=WHEELS_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NoRegistry(f"pip fetched no wheels within {WHEELS_SECONDS} seconds.") from error
    if done.returncode == 0:
        return
    problems = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
    said = problems or done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
    problem = said[-1].removeprefix("ERROR: ")
    problem = registry.without_password(problem)
    if not registry.answers():
        raise NoRegistry(f"No package index answered, so pytest could not be fetched: {problem}")
    raise WheelsMissing(f"pip could not fetch the wheels that the tests need: {problem}")


def _publish(made: Path, place: Path) -> None:
    """Moves a finished folder into the cache; whoever is second leaves the first one's."""
    try:
        made.rename(place)
    except OSError:
        if not place.is_dir():
            raise
        shutil.rmtree(made)
