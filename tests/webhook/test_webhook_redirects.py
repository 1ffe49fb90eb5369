"""Where people may be sent after signing in, by whatever hypothesis thinks of."""

import re
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.problems import Malformed
from webhook.signin import HOME, next_of, redirect_of

OURS = "https://bot.example"
CUSTOM = "exp://192.168.1.5:8081/--/signed-in"
# What parsers of addresses disagree about.
PIECES = st.sampled_from(
    ["/app", "/", "//", "\\", "..", ".", "%2e", "%2F", "%5c", "%09", "@", ":", "?", "#", ";", "&",
     "https:", "javascript:", "vibecoder:", "evil.example", "\t", "\n", "\r", "\0", " ", "app",
     "\u3002", "\uff0f", "jobs", "j1", "%", "=", "[", "|", "user", "signed-in"]
)  # fmt: skip
HOSTILE = st.one_of(
    st.text(max_size=60),
    st.lists(PIECES, max_size=8).map("".join),
    st.lists(PIECES, max_size=8).map(lambda found: "/app/" + "".join(found)),
    st.lists(PIECES, max_size=8).map(lambda found: "vibecoder://" + "".join(found)),
)


def as_a_browser(address: str) -> str:
    """Where a browser goes from our callback: it drops and turns some characters first."""
    cleaned = re.sub(r"[\t\n\r]", "", address.strip("".join(map(chr, range(33)))))
    return urljoin(f"{OURS}/auth/github/callback", cleaned.replace("\\", "/"))


@given(HOSTILE)
def test_a_browser_stays_in_the_app(given: str) -> None:
    try:
        target = next_of(given)
    except Malformed:
        return
    for address in (target, unquote(target)):
        went = urlsplit(as_a_browser(address))
        assert f"{went.scheme}://{went.netloc}" == OURS
        assert went.path == "/app" or went.path.startswith("/app/")
        assert "//" not in went.path
    assert target.isascii() and target.isprintable() and "#" not in target


@given(HOSTILE)
def test_a_phone_goes_back_to_its_app(given: str) -> None:
    try:
        target = redirect_of(given, (CUSTOM,))
    except Malformed:
        return
    if target == CUSTOM:
        return
    assert target.startswith("vibecoder://")
    assert target.isascii() and target.isprintable()
    assert not set("?#@\\ ") & set(target)


@pytest.mark.parametrize(
    "page",
    [
        "",
        "/app",
        "/app/",
        "/app/job/j1",
        "/app/job/j1?tab=diff&file=src/a%20b.py",
        "/app/?repository=acme%2Fwidget&text=it's%20(v1.)%3F&list[]=1",
    ],
)
def test_pages_of_the_app_are_where_people_were(page: str) -> None:
    assert next_of(page) == (page or HOME)


@pytest.mark.parametrize(
    "app", ["vibecoder://signed-in", "vibecoder:///signed-in", "vibecoder://a/b/", CUSTOM]
)
def test_addresses_of_the_phones_app(app: str) -> None:
    assert redirect_of(app, (CUSTOM,)) == app
