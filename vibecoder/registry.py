"""Finds one file on the package indexes that pip is configured with.

The simple repository API, as JSON or HTML (https://packaging.python.org/specifications/
simple-repository-api/), over HTTP or from files, and pip's `find-links` folders and pages.
"""

import ast
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.request import url2pathname

import httpx

DEFAULT_INDEX = "https://pypi.org/simple"
ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
MAX_DOWNLOAD = 100 * 1024 * 1024
TIMEOUT = httpx.Timeout(20, read=60)


class NoAnswer(Exception):
    """No index could be reached."""


class NotFound(Exception):
    """The indexes answered, and none lists the file."""


@dataclass(frozen=True, slots=True)
class Config:
    """What of pip's configuration decides where files come from."""

    indexes: tuple[str, ...]
    find_links: tuple[str, ...]
    cert: str | None  # a file with CA certificates
    trusted_hosts: frozenset[str]  # "host" or "host:port", whose certificate pip does not check
    proxy: str | None


def normal(name: str) -> str:
    """A project's name as indexes spell it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def without_password(text: str) -> str:
    """`text` with the credentials taken out of every URL in it."""
    return re.sub(r"(://)[^/\s@]+@", r"\1", text)


@cache
def config() -> Config:
    """pip's own answer, from its files and variables; PyPI where pip has none."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    return parse_config(listing.stdout if listing.returncode == 0 else "")


def parse_config(listing: str) -> Config:
    """The output of `pip config list`: lines of section.key='value'."""
    values: dict[str, str] = {}
    ranks = {"global": 0, "download": 1, ":env:": 2}  # pip: variables win over sections
    best: dict[str, int] = {}
    for line in listing.splitlines():
        match = re.fullmatch(r"(:env:|[\w-]+)\.([\w-]+)=(.+)", line)
        if match is None or match[1] not in ranks or ranks[match[1]] < best.get(match[2], 0):
            continue
        best[match[2]] = ranks[match[1]]
        values[match[2]] = str(ast.literal_eval(match[3]))
    indexes = [values.get("index-url", DEFAULT_INDEX), *values.get("extra-index-url", "").split()]
    if values.get("no-index", "").lower() in {"1", "true", "yes", "on"}:
        indexes = []
    return Config(
        indexes=tuple(indexes),
        find_links=tuple(values.get("find-links", "").split()),
        cert=values.get("cert"),
        trusted_hosts=frozenset(values.get("trusted-host", "").split()),
        proxy=values.get("proxy"),
    )


def download(package: str, file_name: str, sha256: str, where: Config | None = None) -> bytes:
    """The bytes of `file_name`, found by its name or by its hash. The caller checks the hash.

    Raises NoAnswer, NotFound; messages hold no credentials.
    """
    where = where or config()
    pages = [f"{index.rstrip('/')}/{normal(package)}/" for index in where.indexes]
    problems: list[str] = []
    answered = False
    for page in [*where.find_links, *pages]:
        try:
            for link in _links(page, where):
                answered = True
                url, fragment = urldefrag(link)
                name = unquote(urlsplit(url).path.rsplit("/", 1)[-1])
                if name.lower() == file_name.lower() or fragment == f"sha256={sha256}":
                    return _read(url, where, page)
            answered = answered or not page.startswith("file:")
        except httpx.HTTPStatusError as error:
            answered = True
            if error.response.status_code not in (404, 410):
                status = error.response.status_code
                problems.append(without_password(f"{page} answered {status}"))
        except (httpx.HTTPError, ssl.SSLError, ValueError, KeyError) as error:
            problems.append(without_password(f"{page}: {error or type(error).__name__}"))
        except OSError:
            continue  # a local folder of pip's list that is not there; pip ignores those too
    if problems or not answered:
        raise NoAnswer("; ".join(problems) or "pip is configured without any index")
    raise NotFound(f"No index that pip is configured with lists {file_name}.")


def answers(where: Config | None = None) -> bool:
    """Whether any index over the network can be reached at all."""
    where = where or config()
    for index in where.indexes:
        if index.startswith("file:"):
            continue
        try:
            with _client(index, where) as client:
                client.head(index)
        except httpx.HTTPError:
            continue
        return True
    return False


def _links(page: str, where: Config) -> Iterator[str]:
    """Absolute URLs of the files that a page or a folder lists."""
    local = _local(page)
    if local is not None and local.is_dir() and not (local / "index.html").is_file():
        yield from (path.resolve().as_uri() for path in local.iterdir() if path.is_file())
        return
    if local is not None:
        file = local / "index.html" if local.is_dir() else local
        yield from _anchors(file.read_text(errors="replace"), file.resolve().as_uri())
        return
    with _client(page, where) as client:
        answer = client.get(page, headers={"Accept": ACCEPT})
        answer.raise_for_status()
    if "json" in answer.headers.get("content-type", ""):
        for file_entry in json.loads(answer.content)["files"]:
            digest = file_entry.get("hashes", {}).get("sha256", "")
            yield urljoin(str(answer.url), file_entry["url"]) + f"#sha256={digest}"
    else:
        yield from _anchors(answer.text, str(answer.url))


def _read(url: str, where: Config, page: str) -> bytes:
    local = _local(url)
    if local is not None:
        return local.read_bytes()
    # An index behind a password usually serves its files from the same host, behind the same one.
    home = urlsplit(page)
    known = home.username if home.hostname == urlsplit(url).hostname else None
    auth = (unquote(known), unquote(home.password or "")) if known else None
    with _client(url, where) as client, client.stream("GET", url, auth=auth) as answer:
        answer.raise_for_status()
        data = bytearray()
        for chunk in answer.iter_bytes():
            data += chunk
            if len(data) > MAX_DOWNLOAD:
                raise NotFound(f"{without_password(url)} is larger than {MAX_DOWNLOAD:,} bytes.")
    return bytes(data)


def _client(url: str, where: Config) -> httpx.Client:
    parts = urlsplit(url)
    trusted = {parts.hostname, parts.netloc.rpartition("@")[2]} & where.trusted_hosts
    verify: ssl.SSLContext | bool = not trusted
    if where.cert and not trusted:
        verify = ssl.create_default_context(cafile=where.cert)
    return httpx.Client(verify=verify, proxy=where.proxy, timeout=TIMEOUT, follow_redirects=True)


def _local(place: str) -> Path | None:
    """The file or folder that `place` means, or None where it is on the network."""
    if place.startswith("file:"):
        return Path(url2pathname(urlsplit(place).path))
    return None if re.match(r"https?://", place) else Path(place)


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.base: str | None = None
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if href and tag == "base" and self.base is None:
            self.base = href
        elif href and tag == "a":
            self.found.append(href)


def _anchors(html: str, address: str) -> list[str]:
    parser = _Anchors()
    parser.feed(html)
    base = urljoin(address, parser.base or "")
    return [urljoin(base, link) for link in parser.found]
