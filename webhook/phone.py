"""The phone's screen for browsers: the web export of `mobile/`, served at `/app`."""

from contextlib import suppress
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_FOREVER = ("_expo/static/", "assets/")  # file names there hold a hash of the content


def _policy(github_url: str) -> str:
    """Everything comes from here and talks to here; avatars are GitHub's."""
    if github_url == "https://github.com":
        avatars = "https://avatars.githubusercontent.com"
    else:
        # A server of one's own has them at its address, or at a host beside it.
        scheme, _, host = github_url.partition("://")
        avatars = f"{github_url} https://avatars.{host}" if scheme == "https" else github_url
    return "; ".join(
        (
            "default-src 'self'",
            "style-src 'self' 'unsafe-inline'",  # react-native-web writes its styles into the page
            f"img-src 'self' data: {avatars}",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


class Phone(StaticFiles):
    """Files of the export; an address that is no file but wants a page gets the one page."""

    def __init__(self, folder: Path, github_url: str) -> None:
        super().__init__(directory=folder, html=True)
        self._policy = _policy(github_url)

    async def get_response(self, path: str, scope: Scope) -> Response:
        asked = Headers(scope=scope)
        try:
            response = await self._small(path, scope, asked)
        except HTTPException as error:
            # By what is accepted, not by suffix: routes may well hold a dot.
            if error.status_code != 404 or "text/html" not in asked.get("accept", ""):
                raise
            response = await super().get_response("index.html", scope)
            path = "index.html"
        forever = _stays(path)
        response.headers["Cache-Control"] = (
            "public, max-age=31536000, immutable" if forever else "no-cache"
        )
        response.headers["Content-Security-Policy"] = self._policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    async def _small(self, path: str, scope: Scope, asked: Headers) -> Response:
        """The file; the gzip of it where the export made one, and the browser takes it."""
        if _stays(path) and "gzip" in asked.get("accept-encoding", ""):
            with suppress(HTTPException):
                response = await super().get_response(f"{path}.gz", scope)
                response.headers["Content-Encoding"] = "gzip"
                response.headers["Vary"] = "Accept-Encoding"
                return response
        return await super().get_response(path, scope)


def _stays(path: str) -> bool:
    return path.replace("\\", "/").startswith(_FOREVER)
