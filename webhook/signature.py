"""Was this body signed with our webhook secret? No I/O.

Source: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
"""

import hashlib
import hmac
from collections.abc import Iterable


def sign(secret: str, body: bytes) -> bytes:
    """The value of `X-Hub-Signature-256` for `body`: `sha256=` and 64 hex digits."""
    return b"sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()


def verify(secrets: Iterable[str], body: bytes, header: bytes | str | None) -> bool:
    """True if `header` signs exactly these bytes with one of `secrets`.

    Several secrets let one be rotated without a gap; empty ones never match. The older
    `X-Hub-Signature` (SHA-1) is not accepted. Never raises, whatever the header holds.
    """
    if header is None:
        return False
    # compare_digest raises TypeError on strings outside ASCII, so only bytes reach it.
    given = header.encode("utf-8", "replace") if isinstance(header, str) else header
    # Every secret is tried, also after a match: the time taken tells nothing about which one.
    matches = [hmac.compare_digest(sign(secret, body), given) for secret in secrets if secret]
    return any(matches)
