"""Credentials in new text, by their well-known forms. What it finds is never repeated."""

import re
from collections.abc import Callable, Iterator

# Formats: https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github#githubs-token-formats
# and the prefixes that the providers document for secret scanning. Repetitions are bounded, and
# nothing is nested, so that crafted text costs no more than its length. The plain beginnings are
# looked for first, which is twenty times faster on text without any.
_FORMS: tuple[tuple[str, tuple[bytes, ...], bytes], ...] = (
    (
        "a GitHub token",
        (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"),
        rb"\bgh[pousr]_[A-Za-z0-9_.\-]{36,600}",
    ),
    ("a GitHub token", (b"github_pat_",), rb"\bgithub_pat_[A-Za-z0-9_]{22,255}"),
    ("an AWS access key", (b"AKIA", b"ASIA"), rb"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    ("an Anthropic API key", (b"sk-ant-",), rb"\bsk-ant-[a-z0-9]{2,16}-[A-Za-z0-9_\-]{20,200}"),
    ("an E2B API key", (b"e2b_",), rb"\be2b_[0-9a-f]{40}\b"),
    ("a Slack token", (b"xox",), rb"\bxox[abeprs]-[A-Za-z0-9\-]{20,200}"),
    ("a Google API key", (b"AIza",), rb"\bAIza[0-9A-Za-z_\-]{35}"),
    ("an npm token", (b"npm_",), rb"\bnpm_[A-Za-z0-9]{36}\b"),
    ("a Stripe key", (b"k_live_",), rb"\b[rs]k_live_[A-Za-z0-9]{24,120}"),
    (
        "a private key",
        (b"PRIVATE KEY",),
        rb"-----BEGIN (?:[A-Z]{1,12} ){0,2}PRIVATE KEY(?: BLOCK)?-----"
        rb"[^A-Za-z0-9+/]{1,16}(?:[A-Z][A-Za-z\-]{1,30}: [^\n]{0,200}\s{1,4}){0,4}"
        rb"[A-Za-z0-9+/]{40,80}",
    ),
)


def leaks(text: bytes, known: Callable[[bytes], bool]) -> Iterator[tuple[int, str]]:
    """(line number, "a GitHub token") for each credential in `text` that is not `known`."""
    for what, beginnings, form in _FORMS:
        if not any(beginning in text for beginning in beginnings):
            continue
        for match in re.finditer(form, text):
            secret = match.group()
            if not _placeholder(secret) and not known(secret):
                yield text.count(b"\n", 0, match.start()) + 1, what


def _placeholder(secret: bytes) -> bool:
    """Documentation's examples: AWS's own end in EXAMPLE, others repeat a few characters."""
    return b"EXAMPLE" in secret.upper() or len(set(secret[-24:])) < 8
