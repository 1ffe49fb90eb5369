"""Whether this machine can isolate processes, found out by doing it."""

import contextlib
import os
import platform
import random
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vibecoder.local.sandbox import bwrap, limits, seccomp
from vibecoder.local.sandbox.bwrap import Kind
from vibecoder.local.sandbox.toolchain import Toolchain

PATIENCE = 20.0  # seconds for one try
INSTALL_PATIENCE = 300.0  # seconds for apt-get


@dataclass(frozen=True, slots=True)
class Isolation:
    """How sandboxes are isolated here.

    "bwrap" uses a user namespace; "bwrap-root" is for a server run by root where those are
    forbidden; "none" means that commands would be plain processes, with a remedy for people.
    """

    kind: Kind
    reason: str  # one sentence, which also names the limits that hold
    remedy: str  # one sentence; empty unless kind is "none"


def probe() -> Isolation:
    """Tries each kind in turn. Never raises; takes some 20 ms."""
    if platform.system() != "Linux":
        return Isolation(
            "none",
            "Isolated sandboxes need Linux.",
            "Run on Linux, or set E2B_API_KEY to use E2B's cloud.",
        )
    if not seccomp.program():
        return Isolation(
            "none",
            f"There is no system call filter for {platform.machine()} processors.",
            "Run on x86_64 or aarch64, or set E2B_API_KEY to use E2B's cloud.",
        )
    program = shutil.which("bwrap")
    if program is None:
        return Isolation(
            "none",
            "bubblewrap is not installed.",
            "Install it: `apt-get install bubblewrap` (Debian, Ubuntu), "
            "`dnf install bubblewrap` (Fedora) or `pacman -S bubblewrap` (Arch).",
        )
    kinds: list[Kind] = ["bwrap", "bwrap-root"] if os.geteuid() == 0 else ["bwrap"]
    failure = ""
    for kind in kinds:
        trouble = _try(kind, program)
        if not trouble:
            return Isolation(kind, f"{_words(kind)}; {_limits()}.", "")
        failure = failure or trouble
    return Isolation("none", f"bubblewrap could not make a sandbox: {failure}", _remedy())


def install_bubblewrap() -> str | None:
    """Installs it with apt-get where that is possible; a sentence saying why not, or None."""
    if shutil.which("bwrap"):
        return None
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return "bubblewrap is missing; ask whoever administers this machine to install it."
    environment = {**_plain_environment(), "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["install"], ["update"], ["install"]):
        command = [apt, "-qq", "-y", *arguments]
        if arguments == ["install"]:
            command += ["--no-install-recommends", "bubblewrap"]
        try:
            done = subprocess.run(  # noqa: S603  (fixed words, no shell)
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=INSTALL_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "apt-get did not finish installing bubblewrap within five minutes."
        if shutil.which("bwrap"):
            return None
    last = (done.stderr.strip() or "no reason given").splitlines()[-1]
    return f"apt-get could not install bubblewrap: {last}"


def _plain_environment() -> dict[str, str]:
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


def _try(kind: Kind, program: str) -> str:
    """Empty if a sandbox could be made; otherwise what bubblewrap said."""
    with contextlib.ExitStack() as stack:
        box = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vibecoder-probe-")))
        seccomp_fd = bwrap.seccomp_file()
        stack.callback(os.close, seccomp_fd)
        info_fd = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, info_fd)
        for name in ("home", "tmp"):
            (box / name).mkdir()
        bwrap.write_etc(box / "etc", bwrap.INSIDE_ID)
        drop = kind == "bwrap" and os.geteuid() == 0
        uid = random.choice(bwrap.host_uids()) if drop else None  # noqa: S311  (no secret)
        if uid is not None:
            for path in (box, box / "home", box / "tmp"):
                os.chown(path, uid, uid)
        argv = bwrap.arguments(
            kind,
            program,
            box,
            Toolchain(box, (), ()),
            ["/bin/sh", "-c", "test $$ = 1 && test ! -e /etc/shadow"],
            info_fd=info_fd,
            seccomp_fd=seccomp_fd,
        )
        try:
            done = subprocess.run(  # noqa: S603  (fixed words, no shell)
                argv,
                env={},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
                pass_fds=(info_fd, seccomp_fd),
                user=uid,
                group=uid,
                extra_groups=[] if uid is not None else None,
                cwd="/",
            )
        except (OSError, subprocess.SubprocessError) as error:
            return str(error)
        if done.returncode == 0:
            return ""
        return (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]


def _words(kind: Kind) -> str:
    if kind == "bwrap-root":
        return "bubblewrap as root without user namespaces, each sandbox as a user of its own"
    if os.geteuid() == 0:
        return "bubblewrap with user namespaces, each sandbox as a user of its own"
    return "bubblewrap with user namespaces, all sandboxes as the user who runs the server"


def _limits() -> str:
    gigabytes = limits.MEMORY >> 30
    groups = limits.find()
    if groups is not None:
        return (
            f"{gigabytes} GB of memory and {limits.PROCESSES} processes per sandbox "
            f"(control groups version {groups.version})"
        )
    return (
        f"no control groups, so memory is limited per process ({limits.ADDRESS_SPACE >> 30} GB) "
        f"and processes to {limits.PROCESSES} per sandbox, both by resource limits"
    )


def _remedy() -> str:
    if _read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor forbids user namespaces here (Ubuntu 23.10 and later): allow them for bwrap "
            "with a profile, `abi <abi/4.0>, profile bwrap /usr/bin/bwrap flags=(unconfined) "
            "{ userns, }` in /etc/apparmor.d/bwrap, then "
            "`apparmor_parser -r /etc/apparmor.d/bwrap`."
        )
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return (
            "Containers forbid namespaces by default: start this one with "
            "`--security-opt seccomp=unconfined --security-opt apparmor=unconfined "
            "--security-opt systempaths=unconfined`, or set E2B_API_KEY to use E2B's cloud."
        )
    if _read("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "Allow user namespaces: `sysctl kernel.unprivileged_userns_clone=1`, as root."
    if _read("/proc/sys/user/max_user_namespaces") == "0":
        return "Allow user namespaces: `sysctl user.max_user_namespaces=10000`, as root."
    return (
        "Ask whoever administers this machine to allow user namespaces for bwrap, or set "
        "E2B_API_KEY to use E2B's cloud."
    )


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
