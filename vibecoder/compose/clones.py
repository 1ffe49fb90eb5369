"""A folder for one worker's clones. What workers that were killed left behind is deleted."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from shutil import rmtree


@contextmanager
def clones(folder: Path) -> Iterator[Path]:
    """A new folder below `folder`, ours for as long as this process lives."""
    folder.mkdir(parents=True, exist_ok=True)
    name = token_hex(4)
    with _locked(folder / "lock"):  # else a new folder could be taken for a dead one
        for lock in folder.glob("*.lock"):
            with suppress(BlockingIOError), _locked(lock, wait=False):  # its worker is dead
                rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)
        for left in folder.iterdir():
            # A thread of a worker that had ended may have written on for a moment.
            if left.is_dir() and not left.with_suffix(".lock").exists():
                rmtree(left, ignore_errors=True)
        ours = folder / name
        ours.mkdir()
        held = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield ours
    finally:
        rmtree(ours, ignore_errors=True)
        (folder / f"{name}.lock").unlink(missing_ok=True)
        os.close(held)


@contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(file)
