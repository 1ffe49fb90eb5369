"""Keeps what leaves the worker from being read or changed: memos on GitHub, conversations in Redis.

The key is derived from the App's private key, which only workers have: nothing more to keep secret,
and nothing that could be lost apart from it.
"""

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_NONCE = 12  # bytes


class SealBroken(Exception):
    """It was not sealed with this App's key, or was changed since."""


class Seal:
    """Authenticated encryption (AES-256-GCM) of small texts."""

    def __init__(self, private_key: str) -> None:
        keys = HKDF(SHA256(), 64, None, b"cloud-vibecoder seal 1").derive(private_key.encode())
        self._cipher, self._nonces = AESGCM(keys[:32]), keys[32:]

    def seal(self, data: bytes) -> bytes:
        """Equal data gives equal bytes, so that what has not changed is not written again."""
        nonce = hmac.digest(self._nonces, data, "sha256")[:_NONCE]
        return nonce + self._cipher.encrypt(nonce, data, None)

    def open(self, sealed: bytes) -> bytes:
        """Raises SealBroken."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
        except (InvalidTag, ValueError) as error:
            raise SealBroken("This was not sealed by this App.") from error
