"""The phone's screen for browsers: the web export of `mobile/`, served at `/app`."""

from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

# Everything comes from here and talks to here; avatars are GitHub's.
_POLICY = "; ".join(
    (
        "default-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # react-native-web writes its styles into the page
        "img-src 'self' data: https://avatars.githubusercontent.com",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_FOREVER = ("_expo/static/", "assets/")  # file names there hold a hash of the content


class Phone(StaticFiles):
    """Files of the export; an address that is no file but wants a page gets the one page."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        try:
            response = await super().get_response(path, scope)
        except HTTPException as error:
            # By what is accepted, not by suffix: routes may well hold a dot.
            if error.status_code != 404 or "text/html" not in Headers(scope=scope).get(
                "accept", ""
            ):
                raise
            response = await super().get_response("index.html", scope)
            path = "index.html"
        forever = path.replace("\\", "/").startswith(_FOREVER)
        response.headers["Cache-Control"] = (
            "public, max-age=31536000, immutable" if forever else "no-cache"
        )
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response
