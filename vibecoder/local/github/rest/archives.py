"""All files of a commit as one archive, by way of a redirect, as clients expect it."""

import hashlib
import hmac
from functools import partial

from vibecoder.local.github import bare
from vibecoder.local.github.problems import NotFound
from vibecoder.local.github.rest.call import Answer, Call, route
from vibecoder.local.github.rest.repos import commit_of

MEDIA = {"tar.gz": "application/x-gzip", "zip": "application/zip"}


def _pass(call: Call, sha: str) -> str:
    """Opens one commit's archive to whoever follows the redirect, who sends no token there."""
    secret = call.world.client_secret.encode()
    return hmac.new(secret, sha.encode(), hashlib.sha256).hexdigest()[:32]


def archive(suffix: str, call: Call) -> Answer:
    """302 to where the archive is; on github.com that is codeload.github.com."""
    sha = commit_of(call, call.params.get("ref") or call.repo.default_branch)
    place = f"{call.site.html}/_codeload/{call.repo.full_name}/legacy.{suffix}/{sha}"
    return Answer(status=302, headers={"Location": f"{place}?token={_pass(call, sha)}"})


for _kind, _suffix in (("tarball", "tar.gz"), ("zipball", "zip")):
    for _path in (_kind, _kind + "/{ref:path}"):
        declare = route("GET", f"/repos/{{owner}}/{{repo}}/{_path}", needs="contents:read")
        declare(partial(archive, _suffix))


@route("GET", "/_codeload/{owner}/{repo}/legacy.{suffix}/{sha}")
def download(call: Call) -> Answer:
    repo = call.world.find_repository(f"{call.params['owner']}/{call.params['repo']}")
    sha, suffix = call.params["sha"], call.params["suffix"]
    given = call.query("token").encode()
    if repo is None or suffix not in MEDIA or not hmac.compare_digest(
        given, _pass(call, sha).encode()
    ):  # fmt: skip
        raise NotFound
    name = f"{repo.owner.login}-{repo.name}-{sha[:7]}"
    data = bare.git(repo.folder, "archive", f"--format={suffix}", f"--prefix={name}/", sha)
    headers = {"Content-Disposition": f"attachment; filename={name}.{suffix}"}
    return Answer(data, headers=headers, media=MEDIA[suffix])
