"""Web Push's cryptography, by the standard's own example and by whoever receives it."""

import base64
from dataclasses import replace

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from jobs.webpush import MOST_BYTES, BadKeys, Browser, Vapid, check, seal, sealed_with

# RFC 8291, section 5 and appendix A
RFC = Browser(
    "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV",
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "BTBZMqHH6r4Tts7J_aSIgg",
)
RFC_KEY = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
RFC_SALT = "DGv6ra1nlYgDCS1FRnbzlw"
RFC_BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS"
    "6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qu"
    "lcy4a-fN"
)


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_standards_example() -> None:
    key = ec.derive_private_key(int.from_bytes(raw(RFC_KEY), "big"), ec.SECP256R1())
    body = sealed_with(b"When I grow up, I want to be a watermelon", RFC, key, raw(RFC_SALT))
    assert body == raw(RFC_BODY)


def test_no_two_messages_look_alike_and_the_longest_fits() -> None:
    longest = b"x" * MOST_BYTES
    one, two = seal(longest, RFC), seal(longest, RFC)
    assert len(one) == 4_096
    assert one[:16] != two[:16] and one[21:86] != two[21:86] and one[86:] != two[86:]
    with pytest.raises(ValueError, match="at most 3993 bytes"):
        seal(longest + b"x", RFC)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("p256dh", ""),
        ("p256dh", RFC.p256dh[:-4]),
        ("p256dh", base64.urlsafe_b64encode(b"\x04" + bytes(64)).decode()),  # not on the curve
        ("p256dh", "ü" * 88),
        ("auth", ""),
        ("auth", "AAAA"),
        ("auth", "not base64!!!!!!!!!!!!"),
    ],
)
def test_what_are_no_keys_is_said(field: str, value: str) -> None:
    with pytest.raises(BadKeys, match=f"^{field} must be base64url"):
        check(replace(RFC, **{field: value}))
    check(RFC)


def test_keys_may_be_padded() -> None:
    check(replace(RFC, p256dh=RFC.p256dh + "=", auth=RFC.auth + "=="))


def test_the_signature_names_the_push_service_and_ends() -> None:
    vapid = Vapid("the secret of these tests", "https://bot.example.org")
    scheme, _, rest = vapid.authorization(RFC.endpoint, 1_000_000.0).partition(" ")
    given = dict(part.split("=", 1) for part in rest.split(", "))
    point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw(given["k"]))
    claims = jwt.decode(
        given["t"], point, ["ES256"], audience="https://push.example.net", options={"verify_exp": 0}
    )
    assert scheme == "vapid"
    assert given["k"] == vapid.public
    assert claims["exp"] == 1_000_000 + 12 * 3_600
    assert claims["sub"] == "https://bot.example.org"


def test_the_same_secret_gives_the_same_key() -> None:
    assert Vapid("one secret").public == Vapid("one secret").public
    assert Vapid("one secret").public != Vapid("another").public
