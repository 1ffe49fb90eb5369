"""Keeping sandboxes from filling the disk that everything else here needs as well.

A folder has no size of its own without quotas or loop devices, which need root and set-up. So the
free space is watched, and when it runs out, the sandbox that takes most of it goes.
"""

import os
import shutil
from pathlib import Path

FLOOR = 1 << 30  # bytes that stay free for others
INTERVAL = 1.0  # seconds between two looks
BLAMELESS = 64 << 20  # bytes; whoever uses less is not what fills the disk


def nearly_full(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < FLOOR


def used(folder: Path) -> int:
    """Bytes on disk below `folder`. Its inhabitants may change it meanwhile."""
    total = 0
    left = [str(folder)]
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        left.append(entry.path)
        except OSError:
            continue  # gone, or closed by its owner to us
    return total
