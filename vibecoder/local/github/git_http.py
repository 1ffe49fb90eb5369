"""Git over HTTP: `git http-backend` behind GitHub's credentials, refusals and events.

Sources: git-http-backend(1), gitprotocol-http(5); the refusals' words as GitHub prints them.

It speaks ASGI directly: Starlette's streaming response listens for a disconnect while it streams,
and so swallows the rest of a request that is still being fed to git; pushes over 1 MiB broke.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from vibecoder.local.github import auth, bare, refs, report
from vibecoder.local.github.problems import Forbidden, NotFound, Problem, Unauthorized
from vibecoder.local.github.records import Repository
from vibecoder.local.github.world import World

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATH = re.compile(
    r"^/(?P<owner>[^/]+)/(?P<name>[^/]+?)(?:\.git)?"
    r"/(?P<rest>info/refs|git-upload-pack|git-receive-pack)$"
)
CHUNK = 64 * 1024

# For every repository, given by environment: the repositories themselves stay plain.
CONFIGURATION = {
    "http.receivepack": "true",
    "uploadpack.allowAnySHA1InWant": "true",
    "uploadpack.allowFilter": "true",
    "receive.fsckObjects": "true",
    "receive.autogc": "false",
    "receive.hideRefs": "refs/pull",
    "receive.shallowUpdate": "true",
    "gc.auto": "0",
}

LARGEST_FILE = 100 * 1024 * 1024

# Its words go to the person; what it appends to $GITHUB_REFUSED becomes the ref's reason.
UPDATE_HOOK = r"""#!/bin/sh
# Refuses one ref as GitHub would. Arguments: ref, old id, new id.
EMPTY=4b825dc642cb6eb9a060e54bf8d69288fbee4904
refuse() {
    printf '%s %s\n' "$1" "$2" >> "$GITHUB_REFUSED"
    exit 1
}
case " $GITHUB_PROTECTED " in
*" $1 "*)
    echo "error: GH006: Protected branch update failed for $1." >&2
    echo "error: Cannot update this protected branch; changes must go through a pull request." >&2
    refuse "$1" 'protected branch hook declined' ;;
esac
case "$3" in *[!0]*) ;; *) exit 0 ;; esac
large=$(git rev-list --objects "$3" --not --all |
    git cat-file --batch-check='%(objectsize) %(objecttype) %(rest)' |
    awk -v most="$GITHUB_LARGEST" '$2 == "blob" && $1 > most { print $3; exit }')
if [ -n "$large" ]; then
    echo "error: File $large exceeds GitHub's file size limit of 100.00 MB" >&2
    echo "error: GH001: Large files detected. You may want to try Git Large File Storage." >&2
    refuse "$1" 'pre-receive hook declined'
fi
if [ -n "$GITHUB_NO_WORKFLOWS" ]; then
    case "$2" in
    *[!0]*) old=$2 ;;
    *) old=$(git merge-base HEAD "$3" 2>/dev/null) || old=$EMPTY ;;
    esac
    found=$(git diff --name-only --diff-filter=d "$old" "$3" -- .github/workflows | head -n 1)
    if [ -n "$found" ]; then
        words='refusing to allow a GitHub App to create or update workflow `%s` '
        words=$(printf "$words"'without `workflows` permission' "$found")
        echo "$words" >&2
        refuse "$1" "$words"
    fi
fi
exit 0
"""

POST_RECEIVE_HOOK = """#!/bin/sh
cat >> "$GITHUB_MOVED"
"""


def matches(path: str) -> bool:
    """Whether a request path is git's rather than a page's."""
    return PATH.match(path) is not None


class GitHttp:
    """The ASGI app for `/{owner}/{name}.git/…`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._hooks = world.folder / "hooks"
        self._hooks.mkdir(exist_ok=True)
        for name, text in (("update", UPDATE_HOOK), ("post-receive", POST_RECEIVE_HOOK)):
            script = self._hooks / name
            script.write_text(text)
            script.chmod(0o755)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = PATH.match(scope["path"])
        if found is None:
            await _say(send, 404, "Not Found")
            return
        query = parse_qs(scope["query_string"].decode("latin-1"))
        # The path alone says what a POST does; only the advertisement is named by the query.
        service = query.get("service", [""])[0] if found["rest"] == "info/refs" else found["rest"]
        pushes = service == "git-receive-pack"
        try:
            repository, who = self._admit(scope, f"{found['owner']}/{found['name']}", pushes)
        except Unauthorized:
            # git asks its credential helper on 401 only, so the anonymous get one as well.
            words = (
                "Invalid username or token. Password authentication is not supported for Git "
                "operations."
            )
            await _say(send, 401, words, {"WWW-Authenticate": 'Basic realm="GitHub"'})
        except Problem as problem:
            await _say(send, problem.status, problem.message)
        else:
            with tempfile.TemporaryDirectory(dir=self._world.folder, prefix="push-") as notes:
                request = Exchange(Path(notes), receive, send, found["rest"] == "git-receive-pack")
                environment = self._environment(scope, repository, who, found["rest"], request)
                await request.run(environment, lambda moved: self._tell(repository, who, moved))

    def _admit(
        self, scope: Scope, full_name: str, pushes: bool
    ) -> tuple[Repository, auth.Credential]:
        headers = {key: value.decode("latin-1") for key, value in scope["headers"]}
        who = auth.credential(self._world, headers.get(b"authorization"))
        repository = self._world.find_repository(full_name)
        if repository is None or not auth.visible(self._world, who, repository):
            if who.kind == "none":
                raise Unauthorized
            raise NotFound("Repository not found.")
        needs = "contents:write" if pushes else "contents:read"
        try:
            auth.authorize(
                self._world, who, repository, needs=needs, role="write" if pushes else "read"
            )
        except Forbidden as refusal:
            if refusal.message == auth.SUSPENDED:
                raise
            name = who.account.login if who.account else "you"
            if not pushes:
                raise Forbidden("Write access to repository not granted.") from None
            words = f"Permission to {repository.full_name}.git denied to {name}."
            raise Forbidden(words) from None
        if pushes and repository.archived:
            raise Forbidden("This repository was archived so it is read-only.")
        return repository, who

    def _environment(
        self,
        scope: Scope,
        repository: Repository,
        who: auth.Credential,
        rest: str,
        request: Exchange,
    ) -> dict[str, str]:
        headers = {key: value.decode("latin-1") for key, value in scope["headers"]}
        environment = {
            **bare.ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(repository.folder.parent),
            "PATH_INFO": f"/{repository.folder.name}/{rest}",
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": scope["method"],
            "QUERY_STRING": scope["query_string"].decode("latin-1"),
            "CONTENT_TYPE": headers.get(b"content-type", ""),
            "REMOTE_USER": who.account.login if who.account else "",
            "REMOTE_ADDR": "127.0.0.1",
            "GITHUB_MOVED": str(request.moved),
            "GITHUB_REFUSED": str(request.refused),
            "GITHUB_LARGEST": str(LARGEST_FILE),
            "GITHUB_PROTECTED": " ".join(f"refs/heads/{name}" for name in repository.protected),
        }
        if who.kind == "installation" and who.token and "workflows" not in who.token.permissions:
            environment["GITHUB_NO_WORKFLOWS"] = "1"
        for name, variable in (
            (b"git-protocol", "HTTP_GIT_PROTOCOL"),
            (b"content-encoding", "HTTP_CONTENT_ENCODING"),
            # Not the length: git then reads to the end. With a length it would ask for the rest
            # of a cut request for ever, at full speed, also after this process is gone.
        ):
            if name in headers:
                environment[variable] = headers[name]
        settings = {**CONFIGURATION, "core.hooksPath": str(self._hooks)}
        environment["GIT_CONFIG_COUNT"] = str(len(settings))
        for position, (key, value) in enumerate(settings.items()):
            environment[f"GIT_CONFIG_KEY_{position}"] = key
            environment[f"GIT_CONFIG_VALUE_{position}"] = value
        return environment

    def _tell(self, repository: Repository, who: auth.Credential, moved: list[str]) -> None:
        """Fires the events of the refs that a push moved, given as "old new ref"."""
        for line in moved:
            old, new, ref = line.split(" ", 2)
            # Only here: who reads a public repository may be nobody.
            refs.moved(self._world, repository, who.actor(), ref, old, new)


class Exchange:
    """One request to git and its answer; `notes` is a folder in which the hooks leave word."""

    def __init__(self, notes: Path, receive: Receive, send: Send, pushes: bool) -> None:
        self.moved, self.refused = notes / "moved", notes / "refused"
        self._receive, self._send = receive, send
        self._pushes = pushes

    async def run(self, environment: dict[str, str], finish: Callable[[list[str]], None]) -> None:
        """Feeds the request to git and drains its answer at the same time.

        `finish` gets the refs that moved once git has ended, before the answer's last byte:
        what a push caused is true by the time the client knows of the push.
        """
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # to be ended with the receive-pack that it starts
        )
        feeding = asyncio.create_task(self._feed(process))
        try:
            kept = await self._drain(process)
            await process.wait()
            finish(_lines(self.moved))
            if kept:
                refused = dict(line.split(" ", 1) for line in _lines(self.refused))
                kept = report.reasoned(kept, refused) if refused else kept
            await self._send({"type": "http.response.body", "body": kept, "more_body": False})
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            if process.returncode is None:
                _end(process)
                await process.wait()

    async def _feed(self, process: asyncio.subprocess.Process) -> None:
        stdin = process.stdin
        if stdin is None:
            return
        try:
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    _end(process)
                    return
                stdin.write(message.get("body", b""))
                await stdin.drain()
                if not message.get("more_body"):
                    break
        except (BrokenPipeError, ConnectionResetError):
            return  # git answered without reading everything, which is its right
        stdin.close()

    async def _drain(self, process: asyncio.subprocess.Process) -> bytes:
        """Passes the answer on; that of a push, which is short, is returned instead."""
        stdout = process.stdout
        if stdout is None:
            return b""
        status, headers = 200, []
        while line := (await stdout.readline()).strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"status":
                status = int(value.split()[0])
            else:
                headers.append((name.lower(), value.strip()))
        start = {"type": "http.response.start", "status": status, "headers": headers}
        await self._send(start)
        if self._pushes and status == 200:
            return await stdout.read()
        while chunk := await stdout.read(CHUNK):
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        return b""


def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _lines(file: Path) -> list[str]:
    return file.read_text(errors="replace").splitlines() if file.exists() else []


async def _say(send: Send, status: int, words: str, headers: dict[str, str] | None = None) -> None:
    """A refusal that git shows as `remote: …`."""
    body = (words + "\n").encode()
    listed = [(b"content-type", b"text/plain; charset=utf-8")]
    listed.append((b"content-length", str(len(body)).encode()))
    listed += [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": body})
