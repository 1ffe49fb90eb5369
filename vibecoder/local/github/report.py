"""Rewrites what git-receive-pack reports of a push, so that refusals carry GitHub's reasons.

A hook can only decline; git then says "hook declined" of the ref. GitHub puts its own words
there, and clients show and classify them. Source: gitprotocol-pack(5), "Report Status".
"""

from collections.abc import Iterator

FLUSH = b"0000"
BAND = 65_515  # most that one side-band packet carries


def packets(data: bytes) -> Iterator[bytes]:
    """The packets of a stream, without their lengths; a flush is empty. Stops at a broken one."""
    at = 0
    while at + 4 <= len(data):
        try:
            length = int(data[at : at + 4], 16)
        except ValueError:
            return
        if length == 0:
            yield b""
            at += 4
        elif 4 < length <= len(data) - at:
            yield data[at + 4 : at + length]
            at += length
        else:
            return


def packet(content: bytes) -> bytes:
    return b"%04x" % (len(content) + 4) + content


def reasoned(answer: bytes, reasons: dict[str, str]) -> bytes:
    """The answer with a reason for each refused ref. Progress for people stays as it is."""
    found = list(packets(answer))
    banded = any(one[:1] == b"\1" for one in found)
    if not banded:
        return b"".join(packet(_line(one, reasons)) if one else FLUSH for one in found)
    report = b"".join(one[1:] for one in found if one[:1] == b"\1")
    inner = b"".join(packet(_line(one, reasons)) if one else FLUSH for one in packets(report))
    out = b"".join(packet(one) for one in found if one and one[:1] != b"\1")
    for at in range(0, len(inner), BAND):
        out += packet(b"\1" + inner[at : at + BAND])
    return out + FLUSH


def _line(line: bytes, reasons: dict[str, str]) -> bytes:
    if not line.startswith(b"ng "):
        return line
    ref = line.split(b" ", 2)[1]
    reason = reasons.get(ref.decode(errors="replace"))
    return b"ng %s %s\n" % (ref, reason.encode()) if reason else line
