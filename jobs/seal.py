"""Keeps what leaves a process from being read or changed: memos on GitHub, conversations and
people's tokens in Redis.

Workers derive their key from the App's private key, which only they have: nothing more to keep
secret, and nothing that could be lost apart from it. The front door derives its own from
SESSION_SECRET.
"""

import hmac
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12  # bytes
Purpose = Literal["seal 1", "sessions 1"]  # what is sealed for one opens as no other


class SealBroken(Exception):
    """It was not sealed with this key, or for another place, or was changed since."""


class Seal:
    """Authenticated encryption (AES-256-GCM) of small texts."""

    def __init__(self, secret: str, purpose: Purpose = "seal 1") -> None:
        about = f"cloud-vibecoder {purpose}".encode()
        keys = HKDF(SHA256(), 64, None, about).derive(secret.encode())
        self._cipher, self._nonces = AESGCM(keys[:32]), keys[32:]

    def seal(self, data: bytes, place: bytes = b"") -> bytes:
        """Equal data gives equal bytes, so that what has not changed is not written again.

        What is sealed with a `place` (the key that it is kept under) opens nowhere else.
        """
        # The place is part of it: one nonce must never serve two places.
        nonced = place + b"\0" + data if place else data
        nonce = hmac.digest(self._nonces, nonced, "sha256")[:_NONCE]
        return nonce + self._cipher.encrypt(nonce, data, place)

    def open(self, sealed: bytes, place: bytes = b"") -> bytes:
        """Raises SealBroken."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], place)
        except (InvalidTag, ValueError) as error:
            raise SealBroken("This was not sealed by this App.") from error
