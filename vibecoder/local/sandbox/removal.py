"""Removing a dead sandbox's folder, whatever its inhabitants made of it."""

import itertools
import os
from pathlib import Path


def remove_folder(folder: Path) -> None:
    """No depth is too deep: folders are moved up beside `folder` before they are emptied, where
    shutil.rmtree would recurse. And none is closed: their owner's modes are changed on the way.

    Follows no links. Nothing may still run in there.
    """
    if not os.path.lexists(folder):
        return
    numbers = itertools.count()
    left = [folder]
    while left:
        current = left.pop()
        with os.scandir(current) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    path = Path(entry.path)
                    path.chmod(0o700)  # its owner may have closed it
                    left.append(path.rename(folder.with_name(f"{folder.name}.{next(numbers)}")))
                else:
                    Path(entry.path).unlink()
        current.rmdir()
