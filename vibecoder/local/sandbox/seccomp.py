"""The system calls that a sandbox may not make, as a classic BPF program for bwrap --seccomp.

Namespaces do not cover everything: a vsock socket reaches the hypervisor from any network
namespace, io_uring makes sockets that no socket filter sees, and user namespaces inside the
sandbox open much of the kernel's attack surface. See seccomp(2) and linux/filter.h.
"""

import errno
import platform
import socket
import struct
from dataclasses import dataclass

LOAD, EQUAL, AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06  # BPF_LD|W|ABS, BPF_JMP…, BPF_RET
ALLOW, KILL_PROCESS, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER, ARCHITECTURE, ARGUMENT_0 = 0, 4, 16  # offsets in struct seccomp_data, little-endian halves
CLONE_NEWUSER = 0x10000000
X32 = 0x40000000  # x86_64's second ABI has other numbers for the same calls

FAMILIES = (
    socket.AF_UNIX,
    socket.AF_INET,
    socket.AF_INET6,
    socket.AF_NETLINK,
)


@dataclass(frozen=True, slots=True)
class Table:
    """System call numbers of one architecture (asm/unistd_64.h, asm-generic/unistd.h)."""

    audit: int
    sockets: tuple[int, ...]  # socket, socketpair
    clones: tuple[int, ...]  # clone, unshare: flags in the first argument
    absent: tuple[int, ...]  # answered as if the kernel did not have them
    refused: tuple[int, ...]


# absent: clone3 (its flags are behind a pointer; libc falls back to clone), io_uring_*, and what
# came after: 428 open_tree to 433 fspick (the new mount calls), 442 mount_setattr.
LATER = (435, 425, 426, 427, 428, 429, 430, 431, 432, 433, 442)
TABLES = {
    "x86_64": Table(
        audit=0xC000003E,
        sockets=(41, 53),
        clones=(56, 272),
        absent=LATER,
        # mount, umount2, pivot_root, chroot, setns, keyctl, add_key, request_key, bpf,
        # perf_event_open, userfaultfd, open_by_handle_at, name_to_handle_at, kexec_load,
        # kexec_file_load, init_module, finit_module, delete_module, swapon, swapoff, reboot,
        # acct, quotactl, settimeofday, clock_settime, sethostname, setdomainname, iopl, ioperm,
        # process_vm_writev, kcmp
        refused=(
            *(165, 166, 155, 161, 308, 250, 248, 249, 321, 298, 323, 304, 303, 246, 320, 175),
            *(313, 176, 167, 168, 169, 163, 179, 164, 227, 170, 171, 172, 173, 311, 312),
        ),
    ),
    "aarch64": Table(
        audit=0xC00000B7,
        sockets=(198, 199),
        clones=(220, 97),
        absent=LATER,
        refused=(
            *(40, 39, 41, 51, 268, 219, 217, 218, 280, 241, 282, 265, 264, 104, 294, 105),
            *(273, 106, 224, 225, 142, 89, 60, 170, 112, 161, 162, 271, 272),
        ),
    ),
}


def program(machine: str = platform.machine()) -> bytes:
    """The filter for this machine; empty where we know no numbers (bwrap then runs without)."""
    table = TABLES.get(machine)
    if table is None:
        return b""
    code: list[bytes] = []

    def step(op: int, value: int, yes: int = 0, no: int = 0) -> None:
        code.append(struct.pack("=HBBI", op, yes, no, value))

    step(LOAD, ARCHITECTURE)
    step(EQUAL, table.audit, yes=1)
    step(RETURN, KILL_PROCESS)
    step(LOAD, NUMBER)
    if machine == "x86_64":
        step(AT_LEAST, X32, no=1)
        step(RETURN, ERRNO | errno.ENOSYS)
    for number in table.refused:
        step(EQUAL, number, no=1)
        step(RETURN, ERRNO | errno.EPERM)
    for number in table.absent:
        step(EQUAL, number, no=1)
        step(RETURN, ERRNO | errno.ENOSYS)
    for number in table.clones:
        step(EQUAL, number, no=4)
        step(LOAD, ARGUMENT_0)
        step(AND, CLONE_NEWUSER)
        step(EQUAL, 0, yes=1)
        step(RETURN, ERRNO | errno.EPERM)
        step(LOAD, NUMBER)
    for number in table.sockets:
        step(EQUAL, number, no=len(FAMILIES) + 2)
        step(LOAD, ARGUMENT_0)
        for position, family in enumerate(FAMILIES):
            step(EQUAL, family, yes=len(FAMILIES) - position)
        step(RETURN, ERRNO | errno.EAFNOSUPPORT)
        step(LOAD, NUMBER)
    step(RETURN, ALLOW)
    return b"".join(code)
