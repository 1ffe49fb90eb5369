"""The signature check, by GitHub's own example and by whatever hypothesis thinks of."""

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from webhook.signature import sign, verify

BODY = b"Hello, World!"
SECRET = "It's a Secret to Everybody"
# https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
PUBLISHED = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
SECRETS = st.text(st.characters(codec="utf-8"), min_size=1)


def test_githubs_published_example() -> None:
    assert verify([SECRET], BODY, PUBLISHED)
    assert verify([SECRET], BODY, PUBLISHED.encode())
    assert not verify([SECRET], BODY + b"\n", PUBLISHED)


def test_a_rotated_secret_is_taken_beside_the_new_one() -> None:
    assert verify(["new", SECRET], BODY, PUBLISHED)
    assert not verify(["new", "newer"], BODY, PUBLISHED)


def test_no_secret_is_no_key() -> None:
    assert not verify([], BODY, PUBLISHED)
    assert not verify([""], BODY, sign("", BODY))


def test_sha1_is_not_taken() -> None:
    old = hmac.new(SECRET.encode(), BODY, hashlib.sha1).hexdigest()
    assert not verify([SECRET], BODY, f"sha1={old}")


@given(header=st.none() | st.text() | st.binary(), body=st.binary(), secrets=st.lists(SECRETS))
def test_no_header_gets_in_by_itself(
    header: str | bytes | None, body: bytes, secrets: list[str]
) -> None:
    assert not verify(secrets, body, header)


@given(body=st.binary(min_size=1), secret=SECRETS, data=st.data())
def test_one_flipped_bit_is_refused(body: bytes, secret: str, data: st.DataObject) -> None:
    signature = sign(secret, body)
    assert verify([secret], body, signature)
    at = data.draw(st.integers(0, len(body) * 8 - 1))
    flipped = bytearray(body)
    flipped[at // 8] ^= 1 << at % 8
    assert not verify([secret], bytes(flipped), signature)
    at = data.draw(st.integers(0, len(signature) * 8 - 1))
    forged = bytearray(signature)
    forged[at // 8] ^= 1 << at % 8
    assert not verify([secret], body, bytes(forged))
