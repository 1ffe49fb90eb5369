"""A Web Push message as a push service takes it: sealed for one browser, and signed as ours. Pure.

Message encryption is RFC 8291 (aes128gcm of RFC 8188), the signature VAPID, RFC 8292.
"""

import base64
import binascii
import os
import struct
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

MOST_BYTES = 3_993  # of text: what a push service must take (4,096) less header, mark and tag
_RECORD = 4_096
_CURVE = ec.SECP256R1()
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of its points
_SIGNED_FOR = 12 * 3_600  # seconds; push services take up to a day


@dataclass(frozen=True, slots=True)
class Browser:
    """Where one browser's messages go, and what only it can open."""

    endpoint: str = field(repr=False)  # whoever knows it can reach the browser
    p256dh: str  # its public key: base64url of 65 bytes
    auth: str = field(repr=False)  # a secret that it shares with us: base64url of 16 bytes


class BadKeys(ValueError):
    """What was given as a browser's keys are none; the message says which and how."""


def check(browser: Browser) -> None:
    """Raises BadKeys where nothing could be sealed for it."""
    _public_key(browser.p256dh)
    _secret(browser.auth)


def seal(text: bytes, browser: Browser) -> bytes:
    """The body of a push, `Content-Encoding: aes128gcm`. Raises BadKeys, ValueError if too long."""
    return sealed_with(text, browser, ec.generate_private_key(_CURVE), os.urandom(16))


def sealed_with(
    text: bytes, browser: Browser, key: ec.EllipticCurvePrivateKey, salt: bytes
) -> bytes:
    """The same with a key and a salt (16 bytes) that are never used again."""
    if len(text) > MOST_BYTES:
        raise ValueError(f"a push holds at most {MOST_BYTES} bytes, not {len(text)}")
    theirs, ours = _public_key(browser.p256dh), _point(key.public_key())
    shared = key.exchange(ec.ECDH(), theirs)
    both = b"WebPush: info\0" + _point(theirs) + ours
    secret = _derived(shared, _secret(browser.auth), both, 32)
    cipher = AESGCM(_derived(secret, salt, b"Content-Encoding: aes128gcm\0", 16))
    nonce = _derived(secret, salt, b"Content-Encoding: nonce\0", 12)
    header = salt + struct.pack("!IB", _RECORD, len(ours)) + ours
    return header + cipher.encrypt(nonce, text + b"\x02", None)  # 2: the last record


class Vapid:
    """Says to push services who we are, with a key derived from the deployment's session secret.

    Browsers bind a subscription to this key. It is derived, so that no loss of data loses it; with
    another secret it is another key, and browsers have to subscribe anew.
    """

    def __init__(self, session_secret: str, contact: str | None = None) -> None:
        """`contact`: an https or mailto address by which a push service can reach the operator."""
        kdf = HKDF(SHA256(), 48, None, b"cloud-vibecoder vapid 1")  # 48: so that no bias is left
        number = int.from_bytes(kdf.derive(session_secret.encode()), "big")
        self._key = ec.derive_private_key(number % (_ORDER - 1) + 1, _CURVE)
        self._contact = contact
        self.public = _text(_point(self._key.public_key()))  # as `applicationServerKey` takes it

    def authorization(self, endpoint: str, now: float) -> str:
        """The value of the header that signs a push to that endpoint. `now`: epoch seconds."""
        parts = urlsplit(endpoint)
        claims: dict[str, object] = {
            "aud": f"{parts.scheme}://{parts.netloc}",
            "exp": int(now) + _SIGNED_FOR,
        }
        if self._contact is not None:
            claims["sub"] = self._contact
        return f"vapid t={jwt.encode(claims, self._key, algorithm='ES256')}, k={self.public}"


def _derived(material: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(material)


def _point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _public_key(text: str) -> ec.EllipticCurvePublicKey:
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, _bytes(text, 65))
    except ValueError:
        raise BadKeys("p256dh must be base64url of a P-256 point of 65 bytes") from None


def _secret(text: str) -> bytes:
    try:
        return _bytes(text, 16)
    except ValueError:
        raise BadKeys("auth must be base64url of 16 bytes") from None


def _bytes(text: str, length: int) -> bytes:
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    try:
        found = base64.b64decode(padded, altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if len(found) != length:
        raise ValueError(f"{len(found)} bytes instead of {length}")
    return found


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
